"""The cycles of a VEC: what the vector unit's walk takes, word by word.

Windows *slide* where an output's window shares words with the next one's: ``x_step`` a multiple of ``tap_x_step``, and
no more than MAX_SHARE outputs that share a word, because a lane has so many accumulators. Then a line is a row of
positions ``tap_x_step`` apart; else one position for each pixel and horizontal tap. A position takes a cycle for each
vertical tap inside the map and each turn of `taps_per_lane` accumulators, at least one; a line takes at least its
vertical taps, which are looked for one a cycle beside the work on the line before.
"""

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Core
from chanzi.isa.fields import VecFlag, VecKind
from chanzi.isa.instruction import Instruction
from chanzi.isa.pipeline import float_add_cycles, softmax_drain_cycles

Ints = npt.NDArray[np.int64]
MAX_SHARE = 8
"""Accumulators a lane: neighbouring outputs that a word read can serve. Windows that need more do not slide."""


def vec_cycles(core: Core, ins: Instruction) -> int:
    """Return the cycles of a VEC; it is complete `vector_latency_cycles` later.

    Table words; then for each block of `lanes` channels its parameters, while the first line's vertical taps are found
    and x_step is divided by tap_x_step; then its lines.
    """
    W, flags = core.port_bytes, ins.flags
    if ins.kind == VecKind.SOFTMAX:
        return softmax_cycles(core, ins)
    windowed = ins.kind in (VecKind.MAX, VecKind.SUM, VecKind.MAC)
    taps_y, taps_x = (ins.taps_y, ins.taps_x) if windowed else (1, 1)
    words = -(-4 * core.lanes // W)
    sums = ins.kind in (VecKind.SUM, VecKind.MAC)
    parameters = words * (bool(flags & VecFlag.BIAS) + bool(flags & VecFlag.CHANNEL_SCALE)) if sums else 0
    parameters += taps_y * taps_x if ins.kind == VecKind.MAC else 0
    divide = taps_x + 2 if taps_x > 1 else 1
    positions, inside, share = _positions(ins, taps_x)
    turns = -(-share // core.taps_per_lane)
    if flags & VecFlag.CLAMP_EDGE:
        lines = ins.rows * max(positions * taps_y * turns, taps_y)
    else:
        first = np.arange(ins.rows, dtype=np.int64) * ins.y_step - ins.pad_y
        found = _between(first, ins.tap_y_step, taps_y, 0, ins.height - 1)  # vertical taps inside the map
        each = positions - inside + inside * np.maximum(found * turns, 1)
        lines = int(np.maximum(each, taps_y).sum())
    table = -(-256 // W) if flags & VecFlag.TABLE else 0
    return table + -(-ins.channels // core.lanes) * (max(parameters, taps_y, divide) + lines)


def softmax_cycles(core: Core, ins: Instruction) -> int:
    """Return the cycles of a SOFTMAX: for each pixel the largest, the sum, and the shares of its channels.

    The sum is in order, to the bit: each addition waits for the one before.
    """
    W = core.port_bytes
    pixel = -(-ins.channels // W) + (W - 1).bit_length() + (float_add_cycles(core) + 1) * ins.channels
    return -(-1024 // W) + ins.rows * ins.columns * pixel + softmax_drain_cycles(core)


def step_and_share(ins: Instruction) -> tuple[int, int, bool]:
    """Return (taps from an output to the next, outputs that share a word, whether the window slides)."""
    taps = ins.taps_x
    if ins.columns > 1 and ins.tap_x_step and ins.x_step and ins.x_step % ins.tap_x_step == 0:
        step = ins.x_step // ins.tap_x_step
        if step < taps and -(-taps // step) <= MAX_SHARE:
            return step, -(-taps // step), True
    return taps, 1, False


def _positions(ins: Instruction, taps_x: int) -> tuple[int, int, int]:
    """Return (positions of a line, how many of them touch the map, outputs that share a word)."""
    step, share, slides = step_and_share(ins) if taps_x > 1 else (1, 1, False)
    if slides:
        count = (ins.columns - 1) * step + taps_x
        # position i lies at byte i * tap_x_step - pad_x; it touches the map where some of its channels do
        low = max(-(-(ins.pad_x - ins.channels + 1) // ins.tap_x_step), 0)
        high = min((ins.pad_x + ins.width_bytes - 1) // ins.tap_x_step, count - 1)
        return count, max(high - low + 1, 0), share
    first = np.arange(ins.columns, dtype=np.int64) * ins.x_step - ins.pad_x
    inside = _between(first, ins.tap_x_step, taps_x, 1 - ins.channels, ins.width_bytes - 1)
    return ins.columns * taps_x, int(inside.sum()), share


def cut_pixels(ins: Instruction) -> int:
    """Return how many positions of a line lie partly outside the map: some of their channels exist, others do not."""
    if ins.flags & VecFlag.CLAMP_EDGE:
        return 0
    taps_x = ins.taps_x if ins.kind in (VecKind.MAX, VecKind.SUM, VecKind.MAC) else 1
    first = np.arange(ins.columns, dtype=np.int64) * ins.x_step - ins.pad_x
    touched = _between(first, ins.tap_x_step, taps_x, 1 - ins.channels, ins.width_bytes - 1)
    whole = _between(first, ins.tap_x_step, taps_x, 0, ins.width_bytes - ins.channels)
    return int((touched - whole).sum())


def _between(first: Ints, step: int, taps: int, low: int, high: int) -> Ints:
    """Return, for each `first`, how many of ``first + step * t``, t < taps, lie in low .. high (both included)."""
    if step == 0:
        return np.where((first >= low) & (first <= high), taps, 0)
    below = np.clip(-((first - low) // step), 0, taps)  # the first t that is not below low
    upto = np.clip((high - first) // step + 1, 0, taps)
    return np.maximum(upto - below, 0)
