"""The reference interpreter: the meaning of every instruction, in NumPy, to be read as the manual.

One function per instruction, in the manual's order. Nothing here is fast and nothing is clever; the fast simulator and
the RTL must leave the same bytes in memory for every legal program.

A core runs its instructions in program order here. The machine overlaps them, but a legal program waits wherever that
could be seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Chip
from chanzi.errors import ProgramError
from chanzi.isa.fields import ENGINE_OF, WAITS, DotFlag, Engine, Opcode, VecFlag, VecKind
from chanzi.isa.instruction import Instruction
from chanzi.numerics.fused import fma
from chanzi.program.layout import Frame, read_outputs, write_inputs
from chanzi.program.program import Compiled

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Operand = tuple[Ints, int, float]
"""Stored values, zero point, factor."""


@dataclass(slots=True)
class CoreState:
    """A core: its scratchpad, its accumulators, and how many instructions of each engine have completed."""

    scratchpad: Bytes
    accumulators: npt.NDArray[np.int32]
    done: list[int] = field(default_factory=lambda: [0, 0, 0, 0])


@dataclass(slots=True)
class Machine:
    """All memories of a chip."""

    chip: Chip
    dram: Bytes
    cores: list[CoreState]


def machine(chip: Chip, dram: Bytes, cores: int) -> Machine:
    """Return a machine of `cores` cores with empty scratchpads."""
    D = chip.core.dim

    def core() -> CoreState:
        return CoreState(np.zeros(chip.core.scratchpad.bytes, np.uint8), np.zeros((D, D), np.int32))

    return Machine(chip, dram, [core() for _ in range(cores)])


# ---------------------------------------------------------------------------------------------------------------------
# LOAD and STORE


def load(m: Machine, core: CoreState, ins: Instruction) -> None:
    """LOAD: copy count2 x count1 runs of `run` bytes from DRAM to the scratchpad."""
    core.scratchpad[_runs(ins, "base", core.scratchpad)] = m.dram[_runs(ins, "dram", m.dram)]


def store(m: Machine, core: CoreState, ins: Instruction) -> None:
    """STORE: copy count2 x count1 runs of `run` bytes from the scratchpad to DRAM."""
    m.dram[_runs(ins, "dram", m.dram)] = core.scratchpad[_runs(ins, "base", core.scratchpad)]


def _runs(ins: Instruction, side: str, memory: Bytes) -> Ints:
    """Return the addresses of one side of a copy, [count2][count1][run]."""
    group = np.arange(ins.count2, dtype=np.int64)[:, None, None] * getattr(ins, f"{side}_step2")
    run = np.arange(ins.count1, dtype=np.int64)[None, :, None] * getattr(ins, f"{side}_step1")
    return _inside(memory, getattr(ins, side) + group + run + np.arange(ins.run, dtype=np.int64), side)


# ---------------------------------------------------------------------------------------------------------------------
# DOT


def dot(m: Machine, core: CoreState, ins: Instruction) -> None:
    """DOT: every row of A times every row of B, D rows by D columns at a time, then the epilogue."""
    D, flags = m.chip.core.dim, ins.flags
    for column in range(0, ins.b_count, D):
        columns = np.arange(column, min(column + D, ins.b_count), dtype=np.int64)
        b = _stream(core, ins, "b", ins.b_first + columns)
        for row in range(0, ins.a_count, D):
            rows = ins.a_first + np.arange(row, min(row + D, ins.a_count), dtype=np.int64)
            a = _stream(core, ins, "a", rows)
            total = _int32(_products(a, b))
            kept = core.accumulators[: len(rows), : len(columns)]
            if flags & DotFlag.CONTINUE:
                total = _int32(total.astype(np.int64) + (kept.astype(np.int64) << ins.carry_shift))
            kept[:] = total
            if not flags & DotFlag.HOLD:
                _drain(core, ins, rows, columns, total)


def _stream(core: CoreState, ins: Instruction, side: str, row: Ints) -> Ints:
    """Return rows of a stream as [row][k], zero point subtracted; what lies outside the map is 0."""

    def get(name: str) -> int:
        return getattr(ins, f"{side}_{name}")

    y, x = np.divmod(row, get("row_width"))
    ty = np.arange(get("taps_y"), dtype=np.int64)
    tx = np.arange(get("taps_x"), dtype=np.int64)
    j = np.arange(get("run"), dtype=np.int64)
    line = y[:, None] * get("y_step") + ty * get("tap_y_step") - get("pad_y")  # [row][ty]
    byte = x[:, None] * get("x_step") + tx * get("tap_x_step") - get("pad_x")  # [row][tx]
    byte = byte[:, :, None] + j  # [row][tx][j]
    exists_y = (line >= 0) & (line < get("height"))
    exists_x = (byte >= 0) & (byte < get("width_bytes"))
    exists = exists_y[:, :, None, None] & exists_x[:, None]  # [row][ty][tx][j]
    address = get("base") + line[:, :, None, None] * get("line_stride") + byte[:, None]
    address = _inside(core.scratchpad, np.where(exists, address, get("base")), f"stream {side.upper()}")
    value = _value(core.scratchpad[address], get("signed")) - get("zero")
    return np.where(exists, value, 0).reshape(len(row), -1)


def _products(a: Ints, b: Ints) -> Ints:
    """Return a @ b.T; float64 holds these sums exactly (17-bit products, far fewer than 2^36 of them)."""
    return (a.astype(np.float64) @ b.astype(np.float64).T).astype(np.int64)


def _drain(core: CoreState, ins: Instruction, row: Ints, column: Ints, total: npt.NDArray[np.int32]) -> None:
    """Write one tile: int32 sums where RAW, else bytes through the epilogue."""
    flags, memory = ins.flags, core.scratchpad
    if flags & DotFlag.BIAS:
        bias = _words(memory, ins.bias_base + 4 * column, "<i4", "biases")
        total = _int32(total.astype(np.int64) + bias)
    y, x = np.divmod(row, ins.a_row_width)
    pixel = (ins.out_base + y * ins.out_y + x * ins.out_x)[:, None]
    if flags & DotFlag.RAW:
        address = _inside(memory, pixel + 4 * column, "output")[:, :, None] + np.arange(4)
        memory[_inside(memory, address, "output")] = total.astype("<i4")[:, :, None].view(np.uint8)
        return
    multiplier: Floats | np.float32 = np.float32(ins.scale)
    if flags & DotFlag.COLUMN_SCALE:
        multiplier = _words(memory, ins.scale_base + 4 * column, "<f4", "multipliers")
    result = _requantize(total.astype(np.float32) * multiplier, ins.zero, ins.low, ins.high)
    if flags & DotFlag.TABLE:
        result = _look_up(memory, ins.table_base, result)
    if flags & (DotFlag.ADD | DotFlag.MUL):
        address = (ins.res_base + y * ins.res_y + x * ins.res_x)[:, None] + column
        residual = memory[_inside(memory, address, "residual")]
        mine = (_value(result, ins.mid_signed), ins.mid_zero, ins.mid_scale)
        theirs = (_value(residual, ins.res_signed), ins.res_zero, ins.res_scale)
        if flags & DotFlag.ADD:
            value = _sum(theirs, mine, ins.out_zero) if ins.res_first else _sum(mine, theirs, ins.out_zero)
        else:
            value = _product(mine, theirs, ins.mid_scale, ins.out_zero)
        result = _requantize(value, 0, ins.out_low, ins.out_high)
    memory[_inside(memory, pixel + column, "output")] = result


# ---------------------------------------------------------------------------------------------------------------------
# VEC


def vec(m: Machine, core: CoreState, ins: Instruction) -> None:
    """VEC: one byte for each output line, pixel and channel."""
    del m
    kind, flags, memory = ins.kind, ins.flags, core.scratchpad
    if kind == VecKind.COPY:
        value, _ = _tap(core, ins, 0, 0)
        result = (value & 0xFF).astype(np.uint8)
    elif kind == VecKind.MAX:
        result = (_largest(core, ins) & 0xFF).astype(np.uint8)
    elif kind in (VecKind.SUM, VecKind.MAC):
        result = _requantize(_weighted_sum(core, ins), ins.zero, ins.low, ins.high)
    elif kind in (VecKind.ADD, VecKind.MUL):
        result = _requantize(_two_operands(core, ins), 0, ins.low, ins.high)
    else:
        result = _softmax(core, ins)
    if flags & VecFlag.TABLE and kind != VecKind.SOFTMAX:
        result = _look_up(memory, ins.table_base, result)
    y, x, c = _output(ins)
    memory[_inside(memory, ins.out_base + y * ins.out_y + x * ins.out_x + c, "output")] = result


def _output(ins: Instruction) -> tuple[Ints, Ints, Ints]:
    """Return the coordinates of the output bytes, to be broadcast to [line][pixel][channel]."""
    y = np.arange(ins.rows, dtype=np.int64)[:, None, None]
    x = np.arange(ins.columns, dtype=np.int64)[None, :, None]
    return y, x, np.arange(ins.channels, dtype=np.int64)[None, None, :]


def _tap(core: CoreState, ins: Instruction, ty: int, tx: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Return the operand's values at one tap of every output, and which exist; the others are the zero point."""
    y, x, c = _output(ins)
    line = y * ins.y_step + ty * ins.tap_y_step - ins.pad_y
    byte = x * ins.x_step + tx * ins.tap_x_step - ins.pad_x
    if ins.flags & VecFlag.CLAMP_EDGE:
        line = np.clip(line, 0, ins.height - 1)
        byte = np.clip(byte, 0, ins.width_bytes - ins.channels)
    byte = byte + c
    exists = (line >= 0) & (line < ins.height) & (byte >= 0) & (byte < ins.width_bytes)
    address = np.where(exists, ins.base + line * ins.line_stride + byte, ins.base)
    value = _value(core.scratchpad[_inside(core.scratchpad, address, "operand")], ins.signed)
    return np.where(exists, value, ins.zero_in), exists


def _largest(core: CoreState, ins: Instruction) -> Ints:
    """MAX: the largest tap inside the map, the least value of the type where there is none."""
    least = -128 if ins.signed else 0
    best = np.full((ins.rows, ins.columns, ins.channels), least, np.int64)
    for ty in range(ins.taps_y):
        for tx in range(ins.taps_x):
            value, exists = _tap(core, ins, ty, tx)
            best = np.maximum(best, np.where(exists, value, least))
    return best


def _weighted_sum(core: CoreState, ins: Instruction) -> Floats:
    """SUM and MAC: the sum of all taps, zero points subtracted, [times weights], plus bias, times multiplier."""
    memory = core.scratchpad
    channel = np.arange(ins.channels, dtype=np.int64)
    total = np.zeros((ins.rows, ins.columns, ins.channels), np.int64)
    for ty in range(ins.taps_y):
        for tx in range(ins.taps_x):
            value = _tap(core, ins, ty, tx)[0] - ins.zero_in
            if ins.kind == VecKind.MAC:
                address = ins.weight_base + (ty * ins.taps_x + tx) * ins.channels + channel
                weight = _value(memory[_inside(memory, address, "weights")], ins.weight_signed)
                value = value * (weight - ins.weight_zero)
            total += value
    if ins.flags & VecFlag.BIAS:
        total += _words(memory, ins.bias_base + 4 * channel, "<i4", "biases")
    multiplier: Floats | np.float32 = np.float32(ins.scale)
    if ins.flags & VecFlag.CHANNEL_SCALE:
        multiplier = _words(memory, ins.scale_base + 4 * channel, "<f4", "multipliers")
    return _int32(total).astype(np.float32) * multiplier


def _two_operands(core: CoreState, ins: Instruction) -> Floats:
    """ADD and MUL: the float32 value that is rounded to the result, its zero point included."""
    memory = core.scratchpad
    y, x, c = _output(ins)
    if ins.flags & VecFlag.SCALAR:
        c = np.zeros_like(c)
    address = ins.second_base + y * ins.second_y + x * ins.second_x + c
    second = _value(memory[_inside(memory, address, "second operand")], ins.second_signed)
    a = (_tap(core, ins, 0, 0)[0], ins.zero_in, ins.scale_a)
    b = (second, ins.second_zero, ins.scale_b)
    return _sum(a, b, ins.zero) if ins.kind == VecKind.ADD else _product(a, b, ins.scale, ins.zero)


def _softmax(core: CoreState, ins: Instruction) -> Bytes:
    """SOFTMAX: exponentials from a table of 256 float32, indexed by how far a value lies below its pixel's largest.

    The entry of a byte is that of ``value + most - largest``, `most` being the largest value of the type. The sum runs
    over the channels in order, in float32; then ``entry * scale / sum`` is requantized.
    """
    value, _ = _tap(core, ins, 0, 0)
    most = 127 if ins.signed else 255
    raised = value + most - value.max(axis=2, keepdims=True)
    entry = _words(core.scratchpad, ins.table_base + 4 * np.arange(256, dtype=np.int64), "<f4", "table")[raised & 0xFF]
    total = np.zeros((ins.rows, ins.columns, 1), np.float32)
    for c in range(ins.channels):
        total = total + entry[:, :, c : c + 1]
    return _requantize(entry * np.float32(ins.scale) / total, ins.zero, ins.low, ins.high)


# ---------------------------------------------------------------------------------------------------------------------
# What the instructions share


def _value(data: Bytes, signed: int) -> Ints:
    """Return bytes as numbers."""
    return (data.view(np.int8) if signed else data).astype(np.int64)


def _int32(value: Ints) -> npt.NDArray[np.int32]:
    """Return the low 32 bits: accumulators wrap around."""
    return value.astype(np.uint64).astype(np.uint32).view(np.int32)


def _sum(first: Operand, second: Operand, zero: int) -> Floats:
    """Return ``A a + (B b + offset)``, ``offset = zero - (A za + B zb)``: products fused with the sums around them.

    Of offset's two products the second is rounded by itself. This is the order of ONNX Runtime's QLinearAdd.
    """
    (a, za, scale_a), (b, zb, scale_b) = first, second
    offset = np.float32(zero) - fma(scale_a, za, np.float32(scale_b) * np.float32(zb))
    return fma(scale_a, a, fma(scale_b, b, offset))


def _product(first: Operand, second: Operand, scale: float, zero: int) -> Floats:
    """Return ``(a - za) (b - zb) scale + zero``, rounded to float32 after each operation, from left to right."""
    (a, za, _), (b, zb, _) = first, second
    both = (a - za).astype(np.float32) * (b - zb).astype(np.float32)
    return both * np.float32(scale) + np.float32(zero)


def _requantize(value: Floats, zero: int, low: int, high: int) -> Bytes:
    """Return the byte of ``clip(rint(value) + zero, low, high)``, rounding halves to even; NaN gives `low`."""
    least, most = np.float32(low - zero), np.float32(high - zero)
    value = np.where(np.isnan(value), least, np.clip(value, least, most))
    return ((np.rint(value).astype(np.int64) + zero) & 0xFF).astype(np.uint8)


def _look_up(memory: Bytes, base: int, index: Bytes) -> Bytes:
    """Return each byte's entry in the 256 bytes at `base`."""
    return memory[_inside(memory, base + np.arange(256, dtype=np.int64), "table")][index]


def _words(memory: Bytes, address: Ints, kind: str, what: str) -> npt.NDArray:
    """Return the four-byte values at these addresses."""
    return memory[_inside(memory, address[:, None] + np.arange(4), what)].view(kind)[:, 0]


def _inside(memory: Bytes, address: Ints, what: str) -> Ints:
    """Return the addresses; all must lie in the memory."""
    if address.size and (address.min() < 0 or address.max() >= memory.size):
        outside = int(address.min()) if address.min() < 0 else int(address.max())
        raise ProgramError(f"{what}: address {outside} is outside the memory of {memory.size} bytes")
    return address


# ---------------------------------------------------------------------------------------------------------------------
# Running a program

EXECUTE = {Opcode.LOAD: load, Opcode.STORE: store, Opcode.DOT: dot, Opcode.VEC: vec}


def execute(m: Machine, code: Sequence[Sequence[Instruction]]) -> None:
    """Run one program on each core until all have reached HALT.

    Each core's counters start from zero. A core runs until it needs a STORE that a peer has not done yet; then the
    next core has its turn.

    Raises
    ------
    ProgramError
        An instruction does what is not allowed, or waits for what never comes; its core and index are named.
    """
    at = [0] * len(code)
    for core in m.cores:
        core.done = [0, 0, 0, 0]
    while any(i < len(c) for i, c in zip(at, code, strict=True)):
        before = list(at)
        for n, program in enumerate(code):
            while at[n] < len(program) and _peer_ready(m, program[at[n]], n, at[n]):
                ins = program[at[n]]
                if ins.opcode == Opcode.HALT:
                    at[n] = len(program)
                    break
                _step(m, n, at[n], ins)
                at[n] += 1
        if at == before:
            n = next(n for n, i in enumerate(at) if i < len(code[n]))
            raise ProgramError(f"core {n}, instruction {at[n]}: waits for a STORE of a peer that never comes")


def _peer_ready(m: Machine, ins: Instruction, n: int, index: int) -> bool:
    if not ins.wait_peer:
        return True
    if ins.peer_core >= len(m.cores):
        raise ProgramError(f"core {n}, instruction {index}: waits for core {ins.peer_core}, which is not there")
    return m.cores[ins.peer_core].done[Engine.STORE] >= ins.wait_peer


def _step(m: Machine, n: int, index: int, ins: Instruction) -> None:
    core = m.cores[n]
    where = f"core {n}, instruction {index} ({ins.opcode.name})"
    for engine, name in enumerate(WAITS):
        if getattr(ins, name) > core.done[engine]:
            raise ProgramError(f"{where}: {name} is {getattr(ins, name)}, only {core.done[engine]} come before it")
    try:
        with np.errstate(all="ignore"):
            EXECUTE[ins.opcode](m, core, ins)
    except ProgramError as error:
        raise ProgramError(f"{where}: {error}") from None
    core.done[ENGINE_OF[ins.opcode]] += 1


class Simulator:
    """Runs a compiled segment.

    Parameters
    ----------
    compiled : Compiled
    """

    def __init__(self, compiled: Compiled) -> None:
        self.segment = compiled.segment
        dram = np.zeros(max(self.segment.dram_bytes, self.segment.image.size), np.uint8)
        dram[: self.segment.image.size] = self.segment.image
        self.machine = machine(compiled.chip, dram, len(self.segment.cores))
        self._ready = False

    @property
    def dram(self) -> Bytes:
        """The DRAM's bytes."""
        return self.machine.dram

    @property
    def scratchpads(self) -> list[Bytes]:
        """Every core's scratchpad."""
        return [core.scratchpad for core in self.machine.cores]

    def setup(self) -> None:
        """Run the setup code: weights that stay are loaded."""
        execute(self.machine, [core.setup for core in self.segment.cores])
        self._ready = True

    def step(self) -> None:
        """Run the frame code once on what lies in DRAM; setup first where it has not run yet."""
        if not self._ready:
            self.setup()
        execute(self.machine, [core.frame for core in self.segment.cores])

    def run(self, inputs: Sequence[Mapping[str, Frame]]) -> list[dict[str, Frame]]:
        """Return the outputs of each frame.

        A run of the segment takes `segment.frames` frames at once; where the last run has too few, its last frame is
        computed more than once.
        """
        outputs: list[dict[str, Frame]] = []
        per_run = self.segment.frames
        for first in range(0, len(inputs), per_run):
            group = list(inputs[first : first + per_run])
            group += [group[-1]] * (per_run - len(group))
            write_inputs(self.dram, self.segment, group)
            self.step()
            outputs += read_outputs(self.dram, self.segment)
        return outputs[: len(inputs)]
