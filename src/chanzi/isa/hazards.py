"""Which banks an instruction touches, and which instructions may be in flight together.

One rule keeps the core free of arbitration: two streams that may be active at the same time never share a bank. It
also covers every data hazard, because bytes that are shared lie in a bank that is shared. The compiler derives all
waits from it and the verifier checks them with the same words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chanzi.isa.fields import ENGINE_OF, WAITS, DotFlag, Engine, Opcode, VecFlag, VecKind
from chanzi.isa.instruction import Instruction

Span = tuple[int, int]
"""Half-open range of scratchpad bytes."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One port's accesses: `late` streams (the array's drain) outlive the next instruction's start."""

    name: str
    spans: tuple[Span, ...]
    writes: bool = False
    late: bool = False


def _window(base: int, stride: int, first: int, last: int, height: int, width_bytes: int) -> Span:
    """Return the bytes of lines first..last (inclusive, clipped to the map)."""
    first, last = max(first, 0), min(last, height - 1)
    if last < first:
        return (base, base)
    return (base + first * stride, base + last * stride + width_bytes)


def _dot_stream(ins: Instruction, p: str) -> Span:
    get = lambda name: getattr(ins, f"{p}_{name}")  # noqa: E731 - a local shorthand for 12 fields of one prefix
    first, count, width = get("first"), get("count"), get("row_width")
    y0, y1 = first // width, (first + count - 1) // width
    line0 = y0 * get("y_step") - get("pad_y")
    line1 = y1 * get("y_step") + (get("taps_y") - 1) * get("tap_y_step") - get("pad_y")
    base, stride = get("base"), get("line_stride")
    if line0 == line1 and y0 == y1:  # one line of pixels on one line of bytes: from its first to its last window
        x0 = first % width * get("x_step") - get("pad_x")
        x1 = ((first + count - 1) % width) * get("x_step") - get("pad_x")
        x1 += (get("taps_x") - 1) * get("tap_x_step") + get("run")
        x0, x1 = max(x0, 0), min(x1, get("width_bytes"))
        if 0 <= line0 < get("height") and x0 < x1:
            return (base + line0 * stride + x0, base + line0 * stride + x1)
        return (base, base)
    return _window(base, stride, line0, line1, get("height"), get("width_bytes"))


def _pixels(base: int, y_stride: int, x_stride: int, first: int, count: int, width: int, n_bytes: int) -> Span:
    y0, x0 = divmod(first, width)
    y1, x1 = divmod(first + count - 1, width)
    if y0 == y1:
        return (base + y0 * y_stride + x0 * x_stride, base + y0 * y_stride + x1 * x_stride + n_bytes)
    return (base + y0 * y_stride, base + y1 * y_stride + (width - 1) * x_stride + n_bytes)


def _dot_streams(ins: Instruction) -> tuple[Stream, ...]:
    flags, n = ins.flags, ins.b_count
    parameters: list[Span] = []
    if flags & DotFlag.BIAS:
        parameters.append((ins.bias_base, ins.bias_base + 4 * n))
    if flags & DotFlag.COLUMN_SCALE:
        parameters.append((ins.scale_base, ins.scale_base + 4 * n))
    if flags & DotFlag.TABLE:
        parameters.append((ins.table_base, ins.table_base + 256))
    streams = [Stream("A", (_dot_stream(ins, "a"),)), Stream("B", (_dot_stream(ins, "b"),))]
    if parameters:
        streams.append(Stream("parameters", tuple(parameters)))
    pixel = (ins.a_first, ins.a_count, ins.a_row_width)
    if not flags & DotFlag.HOLD:
        n_bytes = 4 * n if flags & DotFlag.RAW else n
        span = _pixels(ins.out_base, ins.out_y, ins.out_x, *pixel, n_bytes)
        streams.append(Stream("output", (span,), writes=True, late=True))
        if flags & (DotFlag.ADD | DotFlag.MUL):
            span = _pixels(ins.res_base, ins.res_y, ins.res_x, *pixel, n)
            streams.append(Stream("residual", (span,), late=True))
    return tuple(streams)


def _vec_streams(ins: Instruction) -> tuple[Stream, ...]:
    flags, channels = ins.flags, ins.channels
    line0 = -ins.pad_y
    line1 = (ins.rows - 1) * ins.y_step + (ins.taps_y - 1) * ins.tap_y_step - ins.pad_y
    if flags & VecFlag.CLAMP_EDGE:
        line0, line1 = min(max(line0, 0), ins.height - 1), max(min(line1, ins.height - 1), 0)
    streams = [Stream("operand", (_window(ins.base, ins.line_stride, line0, line1, ins.height, ins.width_bytes),))]
    if ins.kind in (VecKind.ADD, VecKind.MUL):
        width = 1 if flags & VecFlag.SCALAR else channels
        last = (ins.rows - 1) * ins.second_y + (ins.columns - 1) * ins.second_x + width
        streams.append(Stream("second", ((ins.second_base, ins.second_base + last),)))
    parameters: list[Span] = []
    if ins.kind == VecKind.MAC:
        parameters.append((ins.weight_base, ins.weight_base + ins.taps_y * ins.taps_x * channels))
    if flags & VecFlag.BIAS:
        parameters.append((ins.bias_base, ins.bias_base + 4 * channels))
    if flags & VecFlag.CHANNEL_SCALE:
        parameters.append((ins.scale_base, ins.scale_base + 4 * channels))
    if ins.kind == VecKind.SOFTMAX:
        parameters.append((ins.table_base, ins.table_base + 1024))
    elif flags & VecFlag.TABLE:
        parameters.append((ins.table_base, ins.table_base + 256))
    if parameters:
        streams.append(Stream("parameters", tuple(parameters)))
    last = (ins.rows - 1) * ins.out_y + (ins.columns - 1) * ins.out_x + channels
    streams.append(Stream("output", ((ins.out_base, ins.out_base + last),), writes=True))
    return tuple(streams)


def streams(ins: Instruction) -> tuple[Stream, ...]:
    """Return every stream of the instruction with the scratchpad bytes it may touch (a covering range)."""
    match ins.opcode:
        case Opcode.DOT:
            return _dot_streams(ins)
        case Opcode.VEC:
            return _vec_streams(ins)
        case Opcode.LOAD | Opcode.STORE:
            last = (ins.count1 - 1) * ins.base_step1 + (ins.count2 - 1) * ins.base_step2 + ins.run
            return (Stream("scratchpad", ((ins.base, ins.base + last),), writes=ins.opcode == Opcode.LOAD),)
        case _:
            return ()


def dram_span(ins: Instruction) -> Span:
    """Return the covering range of DRAM bytes of a LOAD or STORE."""
    last = (ins.count1 - 1) * ins.dram_step1 + (ins.count2 - 1) * ins.dram_step2 + ins.run
    return (ins.dram, ins.dram + last)


def share_bank(a: Stream, b: Stream, bank_bytes: int) -> bool:
    """Return whether some bank holds bytes of both."""
    for lo_a, hi_a in a.spans:
        for lo_b, hi_b in b.spans:
            if hi_a > lo_a and hi_b > lo_b:
                first = max(lo_a // bank_bytes, lo_b // bank_bytes)
                last = min((hi_a - 1) // bank_bytes, (hi_b - 1) // bank_bytes)
                if first <= last:
                    return True
    return False


def conflict(
    earlier: tuple[Stream, ...], later: tuple[Stream, ...], bank_bytes: int, *, same_engine: bool
) -> str | None:
    """Return the names of two streams that must not be active together, or None.

    Instructions of one engine overlap only in the array: the earlier one drains while the later one is fed.
    """
    for a in earlier:
        for b in later:
            if same_engine and not (a.late and not b.late):
                continue
            if share_bank(a, b, bank_bytes):
                return f"{a.name}/{b.name}"
    return None


def data_shared(earlier: tuple[Stream, ...], later: tuple[Stream, ...]) -> bool:
    """Return whether one writes bytes that the other touches: a data hazard, not only a bank conflict."""
    for a in earlier:
        for b in later:
            if a.writes or b.writes:
                for lo_a, hi_a in a.spans:
                    for lo_b, hi_b in b.spans:
                        if lo_a < hi_b and lo_b < hi_a:
                            return True
    return False


def clocks(program: Sequence[Instruction]) -> list[tuple[int, int, int, int]]:
    """Return, for each instruction, how many of each engine's instructions have certainly completed when it starts.

    What an instruction waits for, and what those in turn had waited for, has completed; so has, in the load, store and
    vector engines, everything before it in the same engine, and for the array what its predecessor knew.
    """
    known: list[tuple[int, int, int, int]] = []
    positions: tuple[list[int], ...] = ([], [], [], [])
    for ins in program:
        if ins.opcode == Opcode.HALT:
            known.append(tuple(len(p) for p in positions))  # type: ignore[arg-type]
            continue
        engine = ENGINE_OF[ins.opcode]
        now = [0, 0, 0, 0]
        mine = positions[engine]
        if mine:
            now = list(known[mine[-1]])
            if engine != Engine.ARRAY:
                now[engine] = len(mine)
        for e, name in enumerate(WAITS):
            n = getattr(ins, name)
            if n:
                now[e] = max(now[e], n)
                if n <= len(positions[e]):
                    then = known[positions[e][n - 1]]
                    now = [max(x, y) for x, y in zip(now, then, strict=True)]
        mine.append(len(known))
        known.append(tuple(now))  # type: ignore[arg-type]
    return known
