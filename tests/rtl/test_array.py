"""The array engine against the reference and the timing rules: random DOTs, one after another and overlapping."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from chanzi.chip import load_chip
from chanzi.conform.coverage import missing
from chanzi.conform.generate import random_program
from chanzi.flow.module import model
from chanzi.flow.verilator import Model
from chanzi.isa.cycles import array_latency, dot_timing, epilogue_cycles
from chanzi.isa.fields import DotFlag, Opcode
from chanzi.isa.hazards import conflict, streams
from chanzi.isa.instruction import Dot
from chanzi.rtl.array.engine import ArrayEngine
from chanzi.rtl.descriptor import DOT_PRODUCTS, dot_layout
from chanzi.rtl.ports import READ_LATENCY
from chanzi.sim import reference

READS = {"a": "A", "b": "B", "params": "parameters", "residual": "residual"}
"""Port -> its stream in the rule that keeps streams in banks of their own."""


def descriptor(core, ins) -> int:
    """Return the bits that the sequencer would hand over."""
    layout = dot_layout(core)
    values = {}
    for name, _ in layout:
        value = getattr(ins, name, None)
        if name in DOT_PRODUCTS:
            x, y, z, sign = DOT_PRODUCTS[name]
            product = getattr(ins, x) * getattr(ins, y)
            rest = getattr(ins, z) if z else 0
            value = product - rest if name.endswith("_first_byte") else rest + sign * product
        elif isinstance(value, float):
            value = int(np.float32(value).view(np.uint32))
        values[name] = value
    bits = 0
    for name, field in layout:
        bits |= (values[name] & ((1 << field.width) - 1)) << field.offset
    return bits


class Bench:
    """The engine with a scratchpad: cycle by cycle in Python.

    Bytes that the engine does not ask for are noise, as another stream's bank would give; those it does ask for must be
    in the `allowed` bytes of their streams, those that legality counts.
    """

    def __init__(self, core, dut: Model, memory: np.ndarray) -> None:
        self.core, self.dut, self.memory = core, dut, memory
        self.cycle = 0
        self.pipes = {name: [0] * READ_LATENCY for name in READS}
        self.allowed: dict[str, list[tuple[int, int]]] = {}
        self.noise = np.random.default_rng(0)

    def _check(self, stream: str, low: int, high: int) -> None:
        spans = self.allowed.get(stream, [])
        assert any(a <= low and high <= b for a, b in spans), f"{stream}: {low} to {high} of {spans}"

    def tick(self, bits: int | None) -> tuple[bool, int]:
        """Offer a descriptor (or none); return whether it was taken, and how many DOTs will be complete."""
        dut, W = self.dut, self.core.port_bytes
        dut.set("engine__valid", int(bits is not None))
        dut.set("engine__desc", bits or 0)
        for name in READS:
            dut.set(f"{name}__data", self.pipes[name][0])
        dut.eval()
        taken, done = bits is not None and dut.get("engine__ready") == 1, dut.get("engine__done")
        for name in READS:
            word = 0
            if dut.get(f"{name}__en"):
                at, skip, need = (dut.get(f"{name}__{what}") for what in ("addr", "skip", "need"))
                at -= self.memory.size if at + skip >= self.memory.size else 0  # a window that begins before the memory
                low, high = at + skip, at + (need or W)
                self._check(READS[name], low, high)
                found = self.noise.integers(0, 256, W, dtype=np.uint8)
                found[low - at : high - at] = self.memory[low:high]
                word = int.from_bytes(found.tobytes(), "little")
            self.pipes[name] = [*self.pipes[name][1:], word]
        if dut.get("result__en"):
            at, mask = dut.get("result__addr"), dut.get("result__mask")
            data = dut.get("result__data").to_bytes(W, "little")
            for j in range(W):
                if mask >> j & 1:
                    self._check("output", at + j, at + j + 1)
                    self.memory[at + j] = data[j]
        dut.step()
        self.cycle += 1
        return taken, done


def run(core, dut, memory, dots, *, careful: bool) -> tuple[list[int], list[int]]:
    """Return begin and complete cycles; if `careful`, a DOT waits until it cannot meet those before it in a bank."""
    bench = Bench(core, dut, memory)
    begins, completes = [], []
    touched = [streams(ins) for ins in dots]
    bank = core.scratchpad.bank_bytes
    while len(completes) < len(dots):
        k = len(begins)
        free = k < len(dots) and not (
            careful and any(conflict(touched[i], touched[k], bank, same_engine=True) for i in range(len(completes), k))
        )
        now = bench.cycle
        bench.allowed = {}
        for found in touched[len(completes) : k]:
            for stream in found:
                bench.allowed.setdefault(stream.name, []).extend(stream.spans)
        taken, done = bench.tick(descriptor(core, dots[k]) if free else None)
        if taken:
            begins.append(now)
        completes += [now + 1] * done
        assert bench.cycle < 40_000, "the engine hangs"
    return begins, completes


def expected(core, dots, begins) -> tuple[list[int], list[int]]:
    """Return the cycles the rules give: earliest begin allowed by the engine, and completion."""
    earliest, completes, end, gate = [], [], 0, 0
    for k, ins in enumerate(dots):
        t = dot_timing(core, ins)
        earliest.append(max(end, completes[k - 2] if k > 1 else 0))
        held = ins.flags & DotFlag.HOLD
        first = begins[k] + t.first
        if not held:
            first = max(first, gate)
        end = first + t.rest
        complete = end + array_latency(core)
        if not held:
            gate = end + t.last_spacing
            complete += t.last_drain + epilogue_cycles(core)
        completes.append(max(complete, completes[-1] if completes else 0))
    return earliest, completes


def _core(dim: int, port: int, epilogue: int = 0):
    core = load_chip("chanzi-8").core
    pad = dataclasses.replace(core.scratchpad, bytes=1 << 17, banks=32)
    return dataclasses.replace(core, dim=dim, port_bytes=port, lanes=dim, epilogue_lanes=epilogue, scratchpad=pad)


@pytest.mark.parametrize(
    ("dim", "port", "epilogue", "programs"),
    [
        (4, 4, 0, 20),
        (4, 4, 1, 20),
        pytest.param(8, 16, 0, 40, marks=pytest.mark.slow),
        pytest.param(8, 8, 2, 40, marks=pytest.mark.slow),
    ],
)
def test_bytes_and_cycles_of_random_dots(dim: int, port: int, epilogue: int, programs: int) -> None:
    core = _core(dim, port, epilogue)
    plain = load_chip("chanzi-8")
    chip = dataclasses.replace(plain, core=core, dram=dataclasses.replace(plain.dram, beat_bytes=0))
    rng = np.random.default_rng(dim)
    dut = model(ArrayEngine(core))
    chosen = [random_program(chip, rng, instructions=12, cores=1) for _ in range(programs)]
    assert not [name for name in missing(chosen) if name.startswith("DOT ")], "an epilogue or flag is not reached"
    for compiled in chosen:
        simulator = reference.Simulator(compiled)
        simulator.setup()
        dots = [ins for ins in compiled.segment.cores[0].frame if ins.opcode == Opcode.DOT]
        wanted = simulator.machine.cores[0]
        mine = wanted.scratchpad.copy()
        with np.errstate(all="ignore"):
            for ins in dots:
                reference.dot(simulator.machine, wanted, ins)
        begins, completes = run(core, dut, mine, dots, careful=True)
        _, times = expected(core, dots, begins)
        assert completes == times
        assert (mine == wanted.scratchpad).all(), [int(i) for i in np.flatnonzero(mine != wanted.scratchpad)[:8]]
        # times do not depend on bytes: all offered at once, each begins in the first cycle the rules allow
        begins, completes = run(core, dut, mine, dots, careful=False)
        earliest, times = expected(core, dots, begins)
        assert begins == earliest
        assert completes == times


@pytest.mark.parametrize("dim", [4, pytest.param(8, marks=pytest.mark.slow)])
def test_kept_sums_are_shifted_by_a_byte_where_asked(dim: int) -> None:
    """Chains of DOTs that hold, continue with a shift and without one, and drain: the reference's int32 sums."""
    core = _core(dim, dim)
    plain = load_chip("chanzi-8")
    chip = dataclasses.replace(plain, core=core, dram=dataclasses.replace(plain.dram, beat_bytes=0))
    dut = model(ArrayEngine(core))
    rng = np.random.default_rng(dim)
    bank, k = core.scratchpad.bank_bytes, 8
    sizes = {"line_stride": dim * k, "height": 1, "width_bytes": dim * k, "x_step": k, "run": k, "tap_x_step": k}
    sizes |= {"count": dim, "row_width": dim, "taps_y": 1, "taps_x": 1}
    both = {f"{side}_{name}": value for side in "ab" for name, value in sizes.items()}
    for shifts in ((8,), (0, 8), (8, 8, 0), (8, 8, 8, 8)):
        dots = []
        for i, shift in enumerate((0, *shifts)):
            flags = DotFlag.CONTINUE if i else DotFlag.NONE
            flags |= DotFlag.HOLD if i < len(shifts) else DotFlag.RAW
            where = {"a_base": 2 * i * bank, "b_base": (2 * i + 1) * bank, "out_base": 30 * bank}
            steps = {"out_x": 4 * dim, "out_y": 4 * dim * dim, "a_signed": int(i == 0), "b_signed": 1}
            dots.append(Dot(flags=int(flags), carry_shift=shift, **where, **steps, **both))
        machine = reference.machine(chip, np.zeros(0, np.uint8), 1)
        wanted = machine.cores[0]
        wanted.scratchpad[:] = rng.integers(0, 256, wanted.scratchpad.size)
        mine = wanted.scratchpad.copy()
        for ins in dots:
            reference.dot(machine, wanted, ins)
        run(core, dut, mine, dots, careful=False)
        np.testing.assert_array_equal(mine, wanted.scratchpad)
