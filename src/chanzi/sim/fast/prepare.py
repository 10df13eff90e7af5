"""Turn instructions into prepared operations: everything that stays the same from frame to frame is done here, once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from chanzi.chip.chip import Chip
from chanzi.errors import ProgramError
from chanzi.isa.fields import DotFlag, Opcode, VecFlag, VecKind
from chanzi.isa.hazards import Span, streams
from chanzi.isa.instruction import Instruction
from chanzi.sim.fast import dot, vec
from chanzi.sim.fast.workers import Workers

Bytes = npt.NDArray[np.uint8]
Operation = Callable[[], None]
_BLANK_TABLE = np.arange(256, dtype=np.uint8)
_GATHER_BYTES = 1 << 18  # rows a task gathers at once: what stays in a core's cache
_SMALL = 1 << 15  # work (bytes touched, or products / 64) below which a second thread costs more than it saves


@dataclass(slots=True)
class Memories:
    """What operations work on; the arrays are never replaced."""

    chip: Chip
    dram: Bytes
    scratchpads: list[Bytes]
    kept: list[npt.NDArray[np.int32]]
    workers: Workers


@dataclass(slots=True)
class _Packed:
    """B of one or more DOTs, ready for the inner loop; made by the first, dropped after the last of a frame."""

    constant: bool
    span: Span
    last_use: int = 0
    data: tuple[Bytes, npt.NDArray[np.int32]] | None = None


@dataclass(slots=True)
class _Writes:
    """Spans of the scratchpad that a core's frame code writes, in program order."""

    index: list[int] = field(default_factory=list)
    low: list[int] = field(default_factory=list)
    high: list[int] = field(default_factory=list)

    def add(self, index: int, span: Span) -> None:
        self.index.append(index)
        self.low.append(span[0])
        self.high.append(span[1])

    def arrays(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        return tuple(np.array(x, np.int64) for x in (self.index, self.low, self.high))  # type: ignore[return-value]


class CorePlan:
    """Prepares the code of one core.

    Parameters
    ----------
    memories : Memories
    core : int
    code : sequence of instructions
    """

    def __init__(self, memories: Memories, core: int, code: Sequence[Instruction]) -> None:
        self.memories = memories
        self.memory = memories.scratchpads[core]
        self.kept = memories.kept[core]
        self.code = code
        writes = _Writes()
        for i, ins in enumerate(code):
            for stream in streams(ins):
                for span in stream.spans:
                    if span[0] < 0 or span[1] > self.memory.size:
                        raise ProgramError(
                            f"core {core}, instruction {i} ({ins.opcode.name}): {stream.name} reaches from {span[0]} "
                            f"to {span[1]}, outside the scratchpad of {self.memory.size} bytes"
                        )
                    if stream.writes:
                        writes.add(i, span)
        self._index, self._low, self._high = writes.arrays()
        self._packed: dict[tuple[object, ...], _Packed] = {}
        self._held: list[tuple[Span, list[npt.NDArray]]] = []
        self._disturb: dict[int, Callable[[int, int, int], None]] = {}

    def forget(self, span: Span) -> None:
        """Drop what was kept of bytes in the span: they have changed behind the code's back."""
        for packed in self._packed.values():
            if packed.span[0] < span[1] and packed.span[1] > span[0]:
                packed.data = None
        for (low, high), held in self._held:
            if low < span[1] and high > span[0]:
                held.clear()

    def disturb(self, index: int, row: int, column: int, change: int) -> None:
        """Let a sum of the DOT `index`, which has just run, be off by `change`: what was made of it is made again."""
        self._disturb[index](row, column, change)

    def _last_write(self, span: Span, before: int) -> int:
        """Return the last instruction before `before` that writes into the span; -1: none; -2: none in the code."""
        hit = self._index[(self._low < span[1]) & (self._high > span[0])]
        if not len(hit):
            return -2
        earlier = hit[hit < before]
        return int(earlier[-1]) if len(earlier) else -1

    def prepare(self, index: int) -> Operation:
        """Return the operation of instruction `index`."""
        ins = self.code[index]
        match ins.opcode:
            case Opcode.LOAD:
                target = _runs(self.memory, ins, "base", writeable=True)
                source = _runs(self.memories.dram, ins, "dram", writeable=False)
                return lambda: np.copyto(target, source)
            case Opcode.STORE:
                target = _runs(self.memories.dram, ins, "dram", writeable=True)
                source = _runs(self.memory, ins, "base", writeable=False)
                return lambda: np.copyto(target, source)
            case Opcode.DOT:
                return self._dot(index, ins)
            case Opcode.VEC:
                return self._softmax(ins) if ins.kind == VecKind.SOFTMAX else self._vec(ins)
            case _:
                raise ProgramError(f"instruction {index}: {ins.opcode!r} cannot be run")

    def _parameter(self, base: int, n_bytes: int, kind: str) -> Callable[[], npt.NDArray]:
        """Return what reads a small array of parameters; those no instruction writes are read once."""
        memory = self.memory
        if base + n_bytes > memory.size:
            raise ProgramError(f"parameters at {base} lie outside the scratchpad of {memory.size} bytes")
        if self._last_write((base, base + n_bytes), 0) != -2:
            return lambda: memory[base : base + n_bytes].copy().view(kind)
        held: list[npt.NDArray] = []
        self._held.append(((base, base + n_bytes), held))

        def read() -> npt.NDArray:
            if not held:
                held.append(memory[base : base + n_bytes].copy().view(kind))
            return held[0]

        return read

    def _dot(self, index: int, ins: Instruction) -> Operation:
        flags, n, memory = ins.flags, ins.b_count, self.memory
        a, b = _stream(ins, "a", 128), _stream(ins, "b", 0)
        zero_a, zero_b = int(a[dot.FILL]), int(np.int8(np.uint8(b[dot.FILL])))
        k = ins.a_run * ins.a_taps_y * ins.a_taps_x
        packed = self._packed_b(index, ins, b)
        d, f = self._drain(ins, zero_b)
        bias = self._parameter(ins.bias_base, 4 * n, "<i4") if flags & DotFlag.BIAS else None
        fixed = np.full(n, ins.scale, np.float32)
        scale = self._parameter(ins.scale_base, 4 * n, "<f4") if flags & DotFlag.COLUMN_SCALE else lambda: fixed
        table = self._parameter(ins.table_base, 256, "u1") if flags & DotFlag.TABLE else lambda: _BLANK_TABLE
        workers = self.memories.workers
        chunk = max(1, _GATHER_BYTES // int(a[dot.ROW_BYTES]) // dot.ROWS) * dot.ROWS
        m, small = ins.a_count, ins.a_count * n * k < _SMALL * 64
        by_rows = m >= 16 * dot.ROWS * workers.threads or n <= dot.BLOCK
        kept = self.kept

        def operands() -> tuple[Bytes, npt.NDArray[np.int32]]:
            """Return packed B and what each column's sum is corrected by."""
            data, sums = packed.data or self._pack(packed, b)
            correction = (k * zero_a * zero_b - zero_a * sums.astype(np.int64)).astype(np.int32)
            if bias is not None:
                correction += bias()
            return data, correction

        def disturb(row: int, column: int, change: int) -> None:
            wrapped = np.array([change & 0xFFFFFFFF], np.uint32).view(np.int32)
            if flags & DotFlag.HOLD:
                at = row * self.memories.chip.core.dim + column
                kept[at : at + 1] += wrapped
                return
            data, correction = operands()
            correction[column : column + 1] += wrapped
            first = column // dot.BLOCK * dot.BLOCK
            rest = (correction, scale(), table(), d, f, kept)
            dot.dot(memory, a, row, row + 1, first, min(first + dot.BLOCK, n), chunk, data, *rest)
            if packed.last_use == index and not packed.constant:
                packed.data = None

        self._disturb[index] = disturb

        def run() -> None:
            data, correction = operands()
            rest = (correction, scale(), table(), d, f, kept)
            if small:
                dot.dot(memory, a, 0, m, 0, n, chunk, data, *rest)
            elif by_rows:
                workers.run(lambda i, j: dot.dot(memory, a, i, j, 0, n, chunk, data, *rest), m, dot.ROWS)
            else:
                workers.run(lambda i, j: dot.dot(memory, a, 0, m, i, j, chunk, data, *rest), n, dot.BLOCK)
            if packed.last_use == index and not packed.constant:
                packed.data = None

        return run

    def _packed_b(self, index: int, ins: Instruction, b: npt.NDArray[np.int64]) -> _Packed:
        """Return the holder of this DOT's packed B, shared with every DOT that reads the same bytes."""
        span = streams(ins)[1].spans[0]
        writer = self._last_write(span, index)
        packed = self._packed.setdefault((b.tobytes(), writer), _Packed(constant=writer == -2, span=span))
        packed.last_use = index
        return packed

    def _pack(self, packed: _Packed, b: npt.NDArray[np.int64]) -> tuple[Bytes, npt.NDArray[np.int32]]:
        count, row_bytes = int(b[dot.COUNT]), int(b[dot.ROW_BYTES])
        data = np.empty(-(-count // dot.LANES) * dot.LANES * row_bytes, np.uint8)
        sums = np.empty(count, np.int32)
        memory = self.memory
        if count * row_bytes < _SMALL:
            dot.pack(memory, b, 0, count, data, sums)
        else:
            self.memories.workers.run(lambda i, j: dot.pack(memory, b, i, j, data, sums), count, dot.BLOCK)
        packed.data = (data, sums)
        return packed.data

    def _drain(self, ins: Instruction, zero_b: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        flags = ins.flags
        d = np.zeros(dot.DRAIN_INTS, np.int64)
        f = np.zeros(dot.DRAIN_FLOATS, np.float32)
        d[[dot.OUT_BASE, dot.OUT_Y, dot.OUT_X]] = ins.out_base, ins.out_y, ins.out_x
        d[[dot.RES_BASE, dot.RES_Y, dot.RES_X]] = ins.res_base, ins.res_y, ins.res_x
        modes = ((DotFlag.HOLD, dot.HOLD), (DotFlag.RAW, dot.RAW), (DotFlag.ADD, dot.ADD), (DotFlag.MUL, dot.MUL))
        d[dot.MODE] = next((mode for flag, mode in modes if flags & flag), dot.BYTES)
        d[[dot.USE_TABLE, dot.CONTINUES]] = bool(flags & DotFlag.TABLE), bool(flags & DotFlag.CONTINUE)
        d[dot.CARRY_SHIFT] = ins.carry_shift
        d[[dot.N, dot.ZERO_B, dot.KEPT_ROW]] = ins.b_count, zero_b, self.memories.chip.core.dim
        d[[dot.MID_SIGNED, dot.MID_ZERO]] = ins.mid_signed, ins.mid_zero
        d[[dot.RES_SIGNED, dot.RES_ZERO, dot.RES_FIRST]] = ins.res_signed, ins.res_zero, ins.res_first
        d[[dot.ZERO, dot.OUT_ZERO]] = ins.zero, ins.out_zero
        f[[dot.LOW, dot.HIGH]] = ins.low - ins.zero, ins.high - ins.zero
        f[[dot.OUT_LOW, dot.OUT_HIGH]] = ins.out_low, ins.out_high
        f[[dot.MID_SCALE, dot.RES_SCALE]] = ins.mid_scale, ins.res_scale
        return d, f

    def _vec(self, ins: Instruction) -> Operation:
        flags, n, memory = ins.flags, ins.channels, self.memory
        v, f = _vec_numbers(ins)
        pixels = ins.rows * ins.columns
        taps = ins.taps_y * ins.taps_x
        unit = 1 if pixels * n * taps > _SMALL else pixels
        no_bias = np.zeros(n, np.int32)
        fixed = np.full(n, ins.scale, np.float32)
        blank = np.zeros(1, np.int16)
        bias = self._parameter(ins.bias_base, 4 * n, "<i4") if flags & VecFlag.BIAS else lambda: no_bias
        scale = self._parameter(ins.scale_base, 4 * n, "<f4") if flags & VecFlag.CHANNEL_SCALE else lambda: fixed
        table = self._parameter(ins.table_base, 256, "u1") if flags & VecFlag.TABLE else lambda: _BLANK_TABLE
        workers = self.memories.workers

        def run(weights: npt.NDArray) -> None:
            rest = (weights, bias(), scale(), table())
            workers.run(lambda i, j: vec.pixels(memory, v, f, i, j, *rest), pixels, unit)

        if ins.kind != VecKind.MAC:
            return lambda: run(blank)
        raw = self._parameter(ins.weight_base, taps * n, "i1" if ins.weight_signed else "u1")
        zero = np.int16(ins.weight_zero)
        return lambda: run(raw().astype(np.int16) - zero)

    def _softmax(self, ins: Instruction) -> Operation:
        memory = self.memory
        v, f = _vec_numbers(ins)
        table = self._parameter(ins.table_base, 1024, "<f4")
        pixels = ins.rows * ins.columns
        unit = 1 if pixels * ins.channels > _SMALL else pixels
        workers = self.memories.workers

        def run() -> None:
            entries = table()
            workers.run(lambda i, j: vec.softmax(memory, v, f, i, j, entries), pixels, unit)

        return run


def _runs(memory: Bytes, ins: Instruction, side: str, *, writeable: bool) -> Bytes:
    """Return one side of a copy as a view [count2][count1][run]."""
    base, step1, step2 = getattr(ins, side), getattr(ins, f"{side}_step1"), getattr(ins, f"{side}_step2")
    last = base + (ins.count1 - 1) * step1 + (ins.count2 - 1) * step2 + ins.run
    if last > memory.size:
        raise ProgramError(f"{ins.opcode.name} reaches address {last - 1} of a memory of {memory.size} bytes")
    return as_strided(memory[base:], (ins.count2, ins.count1, ins.run), (step2, step1, 1), writeable=writeable)


def _stream(ins: Instruction, side: str, turn_signed: int) -> npt.NDArray[np.int64]:
    """Return the stream's numbers: A's signed bytes (`turn_signed` 128) or B's unsigned ones are turned."""

    def get(name: str) -> int:
        return getattr(ins, f"{side}_{name}")

    s = np.zeros(dot.STREAM_INTS, np.int64)
    s[[dot.BASE, dot.FIRST, dot.COUNT, dot.ROW_WIDTH]] = get("base"), get("first"), get("count"), get("row_width")
    s[[dot.LINE_STRIDE, dot.HEIGHT, dot.WIDTH]] = get("line_stride"), get("height"), get("width_bytes")
    s[[dot.X_STEP, dot.TAP_X, dot.RUN, dot.PAD_X]] = get("x_step"), get("tap_x_step"), get("run"), get("pad_x")
    s[[dot.Y_STEP, dot.TAP_Y, dot.TAPS_Y]] = get("y_step"), get("tap_y_step"), get("taps_y")
    s[[dot.TAPS_X, dot.PAD_Y]] = get("taps_x"), get("pad_y")
    if get("tap_x_step") == get("run"):  # taps side by side are one run
        s[[dot.RUN, dot.TAPS_X]] = get("run") * get("taps_x"), 1
    turned = bool(get("signed")) == bool(turn_signed)
    s[dot.FLIP] = 128 if turned else 0
    s[dot.FILL] = (get("zero") & 0xFF) ^ s[dot.FLIP]
    s[dot.ROW_BYTES] = -(-get("run") * get("taps_x") * get("taps_y") // 4) * 4
    return s


def _vec_numbers(ins: Instruction) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    v = np.zeros(vec.VEC_INTS, np.int64)
    f = np.zeros(vec.VEC_FLOATS, np.float32)
    v[[vec.KIND, vec.BASE, vec.LINE_STRIDE, vec.HEIGHT]] = ins.kind, ins.base, ins.line_stride, ins.height
    v[[vec.WIDTH, vec.X_STEP, vec.TAP_X, vec.PAD_X]] = ins.width_bytes, ins.x_step, ins.tap_x_step, ins.pad_x
    v[[vec.PAD_Y, vec.Y_STEP, vec.TAP_Y]] = ins.pad_y, ins.y_step, ins.tap_y_step
    v[[vec.TAPS_Y, vec.TAPS_X]] = ins.taps_y, ins.taps_x
    v[[vec.ROWS, vec.COLUMNS, vec.CHANNELS]] = ins.rows, ins.columns, ins.channels
    v[[vec.OUT_BASE, vec.OUT_Y, vec.OUT_X]] = ins.out_base, ins.out_y, ins.out_x
    v[[vec.SECOND_BASE, vec.SECOND_Y, vec.SECOND_X]] = ins.second_base, ins.second_y, ins.second_x
    v[[vec.FLIP, vec.ZERO_IN]] = 128 * bool(ins.signed), ins.zero_in + 128 * bool(ins.signed)
    v[vec.SECOND_FLIP] = 128 * bool(ins.second_signed)
    v[vec.SECOND_ZERO] = ins.second_zero + 128 * bool(ins.second_signed)
    v[[vec.ZERO, vec.USE_TABLE]] = ins.zero, bool(ins.flags & VecFlag.TABLE)
    v[[vec.CLAMP, vec.SCALAR]] = bool(ins.flags & VecFlag.CLAMP_EDGE), bool(ins.flags & VecFlag.SCALAR)
    f[[vec.SCALE_A, vec.SCALE_B, vec.SCALE]] = ins.scale_a, ins.scale_b, ins.scale
    inside = ins.kind in (VecKind.ADD, VecKind.MUL)  # their zero point is in the value that is rounded
    f[[vec.LOW, vec.HIGH]] = (ins.low, ins.high) if inside else (ins.low - ins.zero, ins.high - ins.zero)
    return v, f
