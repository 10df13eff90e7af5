"""Reference, fast simulator, timing simulator and RTL on the same random programs: the same bytes, the same cycles."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from chanzi.chip.chip import Chip, Core, Dram, Scratchpad
from chanzi.conform.check import RUNS, Memories, run_fast, run_reference
from chanzi.conform.coverage import seen
from chanzi.conform.generate import random_program
from chanzi.flow.chip_model import chip_machine
from chanzi.flow.simulator import Simulator
from chanzi.flow.verilator import Ports
from chanzi.program.program import Compiled
from chanzi.sim.timing import simulate

STALL = 0.3
"""Probability with which a channel of AXI pauses, in the programs that are run under stalls as well."""


@dataclass(slots=True)
class Tally:
    """What a number of programs showed.

    Attributes
    ----------
    programs, instructions, cycles : int
        Run, and simulated on the RTL (setup code once, frame code `RUNS` times).
    stalled : int
        Programs that were run once more with random AXI stalls.
    wrong : list of str
        One line for each program that differs: its seed and what.
    seen : Counter
        What of the encoding space occurred, see `chanzi.conform.coverage`.
    """

    programs: int = 0
    instructions: int = 0
    cycles: int = 0
    stalled: int = 0
    wrong: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)


def hardware_chips() -> dict[str, Chip]:
    """Return small chips of sides 4, 8 and 16 that differ in ports, beats, pace, cores, queues, lanes and banks."""

    def chip(name: str, dim: int, port: int, beat: int, cores: int, rate: int, banks: int = 32, **core: int) -> Chip:
        pad = Scratchpad(bytes=banks << 10, banks=banks)
        return Chip(
            name=name,
            clock_hz=100_000_000,
            cores=cores,
            core=Core(
                **{"dim": dim, "port_bytes": port, "lanes": dim, "code_instructions": 256} | core, scratchpad=pad
            ),
            dram=Dram(bytes_per_s=rate, beat_bytes=beat, latency_ns=120.0),
        )

    chips = (
        chip("d4", 4, 16, 16, 1, 1_600_000_000),
        chip("d4n", 4, 4, 4, 1, 400_000_000),
        chip("d8", 8, 16, 8, 1, 790_000_000, queue_depth=2, issue_cycles=3),
        chip("d8e", 8, 8, 8, 1, 400_000_000, banks=45, lanes=4, epilogue_lanes=2),
        chip("d8f", 8, 8, 8, 1, 400_000_000, lanes=2, epilogue_lanes=1, float_stages=2),
        chip("d8x2", 8, 16, 16, 2, 1_300_000_000, lanes=4, epilogue_lanes=4),
        chip("d16", 16, 16, 16, 1, 1_600_000_000, lanes=4, epilogue_lanes=4),
    )
    return {made.name: made for made in chips}


def cut_down(chip: Chip, dim: int = 8) -> Chip:
    """Return a chip of side `dim` in the proportions of another, small enough to be simulated gate by gate.

    Ports, lanes, epilogue and the bus keep their ratio to the side, the bus its bytes a cycle for each; cores, taps,
    queues and pace are the same. The scratchpad is 32 banks.
    """
    core = chip.core

    def scaled(n: int) -> int:
        return max(n * dim // core.dim, 1)

    small = Core(
        dim=dim,
        port_bytes=scaled(core.port_bytes),
        lanes=scaled(core.lanes),
        epilogue_lanes=scaled(core.row_lanes),
        taps_per_lane=core.taps_per_lane,
        queue_depth=core.queue_depth,
        issue_cycles=core.issue_cycles,
        float_stages=core.float_stages,
        code_instructions=256,
        scratchpad=Scratchpad(bytes=32 << 10, banks=32),
    )
    per_cycle = chip.dram.bytes_per_s * dim / core.dim / chip.clock_hz
    clock_hz = 100_000_000
    return Chip(
        name=f"{chip.name}-cut-to-{dim}",
        clock_hz=clock_hz,
        cores=chip.cores,
        core=small,
        dram=Dram(
            bytes_per_s=int(per_cycle * clock_hz),
            beat_bytes=max(scaled(chip.dram.beat_bytes), 4),
            latency_ns=chip.dram.latency_ns * chip.clock_hz / clock_hz,
        ),
    )


def check_hardware(
    chip: Chip,
    seeds: range,
    *,
    instructions: int = 12,
    stall_every: int = 10,
    built: tuple[Path, Ports] | None = None,
) -> Iterator[Tally]:
    """Run a random program for each seed on all four machines; yield the tally after each.

    Parameters
    ----------
    chip : Chip
    seeds : range
    instructions : int
        Of the frame code, about.
    stall_every : int
        Every so many programs one is run again with stalls, which may change its cycles and nothing else.
    built : (Path, mapping), optional
        A machine made by `chanzi.flow.chip_model` to run on, instead of the chip's own: of the same hardware, whose
        memory may have another latency.
    """
    tally = Tally()
    built = built or chip_machine(chip)
    for seed in seeds:
        compiled = random_program(chip, np.random.default_rng(seed), instructions=instructions, cores=chip.cores)
        reference = run_reference(compiled, RUNS)
        found = _differences(compiled, reference, built, 0.0, seed, tally)
        if seed % stall_every == 0:
            tally.stalled += 1
            found += _differences(compiled, reference, built, STALL, seed, tally)
        tally.programs += 1
        tally.instructions += sum(len(code) for core in compiled.segment.cores for code in (core.setup, core.frame))
        tally.seen.update(seen(compiled))
        if found:
            tally.wrong.append(f"{chip.name}, seed {seed}: {'; '.join(found)}")
        yield tally


def _differences(
    compiled: Compiled, reference: Memories, built: tuple[Path, Ports], stall: float, seed: int, tally: Tally
) -> list[str]:
    """Return what differs between the machines."""
    rtl = Simulator(compiled, stall=stall, seed=seed, built=built)
    for _ in range(RUNS):
        rtl.step()
    memories = {"RTL": Memories(rtl.dram.copy(), rtl.scratchpads)}
    if not stall:
        memories["fast"] = run_fast(compiled, RUNS)
    found = []
    for name, mine in memories.items():
        if not np.array_equal(mine.dram, reference.dram):
            found.append(f"DRAM of {name}")
        for n, (pad, wanted) in enumerate(zip(mine.scratchpads, reference.scratchpads, strict=True)):
            if not np.array_equal(pad, wanted):
                found.append(f"scratchpad {n} of {name}")
    took = {"setup": rtl.setup_cycles, "frame": rtl.frame_cycles}
    tally.cycles += rtl.setup_cycles + RUNS * rtl.frame_cycles
    if not stall:
        chip = dataclasses.replace(compiled.chip, cores=len(compiled.segment.cores))
        for part in ("setup", "frame"):
            wanted = simulate(chip, compiled.segment, part=part).cycles
            if took[part] != wanted:
                found.append(f"{part} takes {took[part]} cycles, not {wanted}")
    found += [f"AXI4: {broken.rule}" for broken in rtl.violations()]
    rtl.machine.close()
    return found
