"""Random single instructions inside given regions: operands, windows, strides, padding, epilogues."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from chanzi.chip.chip import Core
from chanzi.isa.fields import DotFlag, VecFlag, VecKind
from chanzi.isa.instruction import Dot, Instruction, Vec
from chanzi.isa.legality import MAX_WEIGHT_TAPS
from chanzi.isa.vector_cycles import cut_pixels

T = TypeVar("T")
Fields = dict[str, int | float]
BIASES, SCALES, SOFTMAX_TABLE, TABLES = 0, 1024, 2048, 3072
"""Where things lie in a block of parameters: 1024 bytes each."""


@dataclass(frozen=True, slots=True)
class Region:
    """Whole banks of a scratchpad: bytes low .. high - 1."""

    low: int
    high: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.high - self.low


class Draw:
    """Random choices.

    Parameters
    ----------
    rng : numpy.random.Generator
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def between(self, low: int, high: int) -> int:
        """Return an integer, both ends included."""
        return int(self.rng.integers(low, max(low, high) + 1))

    def chance(self, p: float) -> bool:
        """Return True with probability p."""
        return bool(self.rng.random() < p)

    def choice(self, items: Sequence[T]) -> T:
        """Return one of the items."""
        return items[self.between(0, len(items) - 1)]

    def flags(self, *bits: int) -> int:
        """Return a random union of the bits."""
        return sum(int(bit) for bit in bits if self.chance(0.5))

    def factor(self) -> float:
        """Return a float32 between 2^-10 and 2: often a hair off a power of two, where sums come near halves; or 0."""
        if self.chance(0.03):
            return 0.0
        if self.chance(0.5):
            return float(np.float32(2.0 ** self.between(-4, 0)) * np.float32(1 + self.between(-3, 3) * 2.0**-22))
        return float(np.float32(np.exp2(self.rng.uniform(-10, 1))))

    def half(self) -> float:
        """Return a float32 at most three units beside 1/2: two such make sums whose rounding tells their order."""
        return float(np.float32(0.5) * np.float32(1 + self.between(-3, 3) * 2.0**-23))

    def zero_point(self, signed: int) -> int:
        """Return a zero point of the type; often 0."""
        if self.chance(0.3):
            return 0
        return self.between(-128, 127) if signed else self.between(0, 255)


def _result(draw: Draw, prefix: str = "") -> Fields:
    """Return zero, low and high of a requantization."""
    low, high = draw.choice([(-128, 127), (0, 255)])
    if draw.chance(0.3):
        low = draw.between(low, high)
        high = draw.between(low, high)
        if draw.chance(0.1):
            low, high = min(low, 0), 0
    zero = draw.between(-128, 255) if draw.chance(0.7) else draw.between(-32768, 32767)
    return {f"{prefix}zero": zero, f"{prefix}low": low, f"{prefix}high": high}


def _parameters(draw: Draw, block: Region) -> Fields:
    """Return addresses inside a block of parameters, with room for 64 columns or channels behind each."""
    return {
        "bias_base": block.low + BIASES + 16 * draw.between(0, 32),
        "scale_base": block.low + SCALES + 16 * draw.between(0, 32),
        "table_base": block.low + TABLES + 16 * draw.between(0, 48),
        "scale": draw.factor() / 16,
    }


def _map(draw: Draw, region: Region, atom: int) -> Fields:
    """Return a map of bytes that fits the region: base, line_stride, height, width_bytes."""
    height = draw.between(1, 6)
    stride = atom * draw.between(1, max(1, min(24, region.size // atom // height)))
    height = min(height, region.size // stride)
    width = (
        draw.between(1, stride)
        if draw.chance(0.8)
        else min(draw.between(1, 2 * stride), region.size - (height - 1) * stride)
    )
    slack = (region.size - (height - 1) * stride - width) // atom
    return {
        "base": region.low + atom * draw.between(0, min(slack, 8)),
        "line_stride": stride,
        "height": height,
        "width_bytes": width,
    }


def _steps(draw: Draw, atom: int, run: int) -> Fields:
    """Return how a window moves and how its taps lie; often side by side, as real layers have them."""
    side_by_side = -(-run // atom) * atom
    return {
        "x_step": draw.choice([side_by_side, atom * draw.between(0, 4)]),
        "tap_x_step": draw.choice([side_by_side, atom * draw.between(0, 3)]),
        "pad_x": atom * draw.between(-2, 3),
        "y_step": draw.between(0, 3),
        "tap_y_step": draw.between(0, 2),
        "pad_y": draw.between(-2, 3),
    }


def _split(draw: Draw, k: int) -> tuple[int, int, int]:
    """Return (taps_y, taps_x, run) with product k."""
    taps_y = draw.choice([n for n in range(1, 5) if k % n == 0])
    rest = k // taps_y
    taps_x = draw.choice([n for n in range(1, 5) if rest % n == 0])
    return taps_y, taps_x, rest // taps_x


def _stream(draw: Draw, side: str, region: Region, atom: int, k: int, count: int) -> Fields:
    taps_y, taps_x, run = _split(draw, k)
    row_width = draw.choice([count, draw.between(1, 9)])
    signed = draw.between(0, 1)
    fields: Fields = {
        **_map(draw, region, atom),
        **_steps(draw, atom, run),
        "first": 0 if draw.chance(0.5) else draw.between(0, min(12, row_width - 1)),
        "count": count,
        "row_width": row_width,
        "run": run,
        "taps_y": taps_y,
        "taps_x": taps_x,
        "signed": signed,
        "zero": draw.zero_point(signed),
    }
    return {f"{side}_{name}": value for name, value in fields.items()}


def _grid(
    draw: Draw, region: Region, atom: int, width: int, lines: tuple[int, int], columns: int
) -> tuple[int, int, int] | None:
    """Return (base, y, x) of an output: lines first .. last of `columns` pixels of `width` bytes, none overlapping."""
    first, last = lines
    pixel = -(-width // atom) * atom + atom * draw.between(0, 1)
    x, y = pixel, pixel * columns + atom * draw.between(0, 2)
    if draw.chance(0.15):  # columns outermost
        x, y = pixel * (last - first + 1) + atom * draw.between(0, 1), pixel
    reach = (last - first) * y + (columns - 1) * x + width
    if reach > region.size:
        return None
    base = region.low + atom * draw.between(0, min((region.size - reach) // atom, 4)) - first * y
    return None if base < 0 else (base, y, x)


def dot(draw: Draw, core: Core, block: Region, regions: Sequence[Region], held: Instruction | None) -> Instruction:
    """Return a legal DOT: A, B, output and residual in one region each; after `held`, one that continues it."""
    while True:
        ins = _dot(draw, core, block, regions, held)
        if ins is not None:
            return ins


def _dot(
    draw: Draw, core: Core, block: Region, regions: Sequence[Region], held: Instruction | None
) -> Instruction | None:
    D, atom = core.dim, core.atom_bytes
    a_region, b_region, out_region, res_region = regions
    keep = (held is not None and draw.chance(0.3)) or (held is None and draw.chance(0.15))
    if held is not None:
        m, n = held.a_count, held.b_count
    elif keep:
        m, n = draw.between(1, D), draw.between(1, min(D, 64))
    else:
        m, n = draw.between(1, min(3 * D + 1, 60)), draw.between(1, min(3 * D + 1, 60))
    k = draw.between(1, 40) * draw.choice([1, 1, 2, 4, 6, 9])
    flags = DotFlag.CONTINUE if held is not None else 0
    if keep:
        flags |= DotFlag.HOLD
    elif draw.chance(0.12 if held is None else 0.4):  # kept sums are seen best where nothing clips them
        flags |= DotFlag.RAW | draw.flags(DotFlag.BIAS)
    else:
        flags |= draw.flags(DotFlag.BIAS, DotFlag.COLUMN_SCALE, DotFlag.TABLE)
        flags |= draw.choice([0, DotFlag.ADD, DotFlag.MUL])
    fields = _stream(draw, "a", a_region, atom, k, m) | _stream(draw, "b", b_region, atom, k, n)
    first, width = int(fields["a_first"]), int(fields["a_row_width"])
    lines = first // width, (first + m - 1) // width
    columns = width if lines[0] != lines[1] else (first + m - 1) % width + 1
    out = _grid(draw, out_region, atom, n * (4 if flags & DotFlag.RAW else 1), lines, columns)
    res = _grid(draw, res_region, atom, n, lines, columns)
    if out is None or res is None:
        return None
    signed = draw.between(0, 1), draw.between(0, 1)
    fields |= dict(zip(("out_base", "out_y", "out_x"), out, strict=True))
    if draw.chance(0.1):  # one residual for all pixels
        res = (res_region.low, 0, 0)
    fields |= dict(zip(("res_base", "res_y", "res_x"), res, strict=True))
    fields |= _parameters(draw, block) | _result(draw) | _result(draw, "out_")
    fields |= {
        "mid_scale": draw.factor(),
        "res_scale": draw.factor(),
        "mid_signed": signed[0],
        "res_signed": signed[1],
        "mid_zero": draw.zero_point(signed[0]),
        "res_zero": draw.zero_point(signed[1]),
    }
    if flags & DotFlag.ADD and draw.chance(0.8):
        fields |= {"mid_scale": draw.half(), "res_scale": draw.half()}
    layer, note = draw.between(0, 9), draw.between(0, 15)
    carry_shift = draw.choice([0, 8]) if held is not None else 0
    return Dot(flags=int(flags), layer=layer, note=note, res_first=note & 1, carry_shift=carry_shift, **fields)


def vec(draw: Draw, core: Core, block: Region, regions: Sequence[Region]) -> Instruction:
    """Return a legal VEC: operand, second operand and output in one region each."""
    while True:
        ins = _vec(draw, core, block, regions)
        if ins is not None:
            return ins


_WINDOWED = (VecKind.MAX, VecKind.SUM, VecKind.MAC)


def _vec(draw: Draw, core: Core, block: Region, regions: Sequence[Region]) -> Instruction | None:
    atom = core.atom_bytes
    operand, second, out_region = regions
    kind = draw.choice(list(VecKind))
    channels = draw.between(1, 64)
    rows, columns = draw.between(1, 5), draw.between(1, 6)
    flags = draw.flags(VecFlag.CLAMP_EDGE)
    if kind in (VecKind.SUM, VecKind.MAC):
        flags |= draw.flags(VecFlag.BIAS, VecFlag.CHANNEL_SCALE)
    if kind in (VecKind.ADD, VecKind.MUL):
        flags |= draw.flags(VecFlag.SCALAR)
    if kind != VecKind.SOFTMAX:
        flags |= draw.flags(VecFlag.TABLE)
    fields = _map(draw, operand, atom)
    channels = min(channels, int(fields["width_bytes"]))
    taps_y, taps_x = (draw.between(1, 3), draw.between(1, 3)) if kind in _WINDOWED else (1, 1)
    if kind == VecKind.MAC and draw.chance(0.1):  # up to all the weights that a lane holds
        channels = min(channels, 16)
        taps_y = draw.between(1, 16)
        taps_x = draw.between(1, MAX_WEIGHT_TAPS // taps_y)
        taps_y, taps_x = draw.choice([(taps_y, taps_x), (taps_x, taps_y)])
    if kind == VecKind.MAC and taps_y * taps_x > 1:  # a tap's weights are whole atoms
        channels = -(-channels // atom) * atom
        if channels > int(fields["width_bytes"]):
            return None
    if flags & VecFlag.CLAMP_EDGE:  # the edge pixel too
        fields["width_bytes"] -= (int(fields["width_bytes"]) - channels) % atom
    out = _grid(draw, out_region, atom, channels, (0, rows - 1), columns)
    if out is None:
        return None
    signed, second_signed, weight_signed = (draw.between(0, 1) for _ in range(3))
    grain = 1 if flags & VecFlag.SCALAR and kind in (VecKind.ADD, VecKind.MUL) else atom
    second_y, second_x = (grain * draw.between(0, 3 * atom // grain) for _ in range(2))
    second_low = second.low + grain * draw.between(0, atom // grain)
    if second_low + (rows - 1) * second_y + (columns - 1) * second_x + channels > second.high:
        second_y = second_x = 0
        second_low = second.low
        if channels > second.size:
            return None
    fields |= _steps(draw, atom, channels) | _parameters(draw, block) | _result(draw)
    if not flags & VecFlag.CLAMP_EDGE and draw.chance(0.9):
        fields |= _whole_pixels(draw, int(fields["width_bytes"]), atom, channels)
    fields |= dict(zip(("out_base", "out_y", "out_x"), out, strict=True))
    fields |= {
        "kind": int(kind),
        "signed": signed,
        "zero_in": draw.zero_point(signed),
        "taps_y": taps_y,
        "taps_x": taps_x,
        "rows": rows,
        "columns": columns,
        "channels": channels,
        "second_base": second_low,
        "second_y": second_y,
        "second_x": second_x,
        "second_signed": second_signed,
        "second_zero": draw.zero_point(second_signed),
        "weight_signed": weight_signed,
        "weight_zero": draw.zero_point(weight_signed),
        "weight_base": block.low + BIASES + 16 * draw.between(0, 64),
        "scale_a": draw.factor(),
        "scale_b": draw.factor(),
    }
    if kind == VecKind.SOFTMAX:
        fields["table_base"] = block.low + SOFTMAX_TABLE
        fields["scale"] = float(draw.choice([255, 256, 127, 4096]))
    ins = Vec(flags=int(flags), layer=draw.between(0, 9), note=draw.between(0, 15), **fields)
    return None if cut_pixels(ins) else ins


def _whole_pixels(draw: Draw, width: int, atom: int, channels: int) -> Fields:
    """Return a line of whole pixels, at most `width` bytes, and windows that move by pixels: none is cut by an edge."""
    pixel = -(-channels // atom) * atom + atom * draw.between(0, 1)
    return {
        "width_bytes": (width - channels) // pixel * pixel + channels,
        "x_step": pixel * draw.choice([1, draw.between(0, 3)]),
        "tap_x_step": pixel * draw.choice([1, draw.between(0, 2)]),
        "pad_x": pixel * draw.between(-2, 3),
    }
