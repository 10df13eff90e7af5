"""The cycles that `chanzi.rtl.vector.engine.VectorEngine` takes.

`chanzi.isa.cycles.vec_cycles` is still the older promise, which this hardware does not keep; these rules are to replace
it, once SOFTMAX is built too.
"""

from chanzi.chip.chip import Core
from chanzi.isa.fields import VecFlag, VecKind
from chanzi.isa.instruction import Instruction

MAX_SHARE = 8
"""Accumulators a lane: neighbouring outputs that a word read can serve. Windows that need more do not slide."""
LATENCY_CYCLES = 40
"""From the handshake to completion, beside `engine_cycles`."""


def step_and_share(ins: Instruction) -> tuple[int, int, bool]:
    """Return (taps from an output to the next, outputs that share a word, whether the window slides)."""
    taps = ins.taps_x
    if ins.columns > 1 and ins.tap_x_step and ins.x_step and ins.x_step % ins.tap_x_step == 0:
        step = ins.x_step // ins.tap_x_step
        if step < taps and -(-taps // step) <= MAX_SHARE:
            return step, -(-taps // step), True
    return taps, 1, False


def _positions(ins: Instruction) -> list[int]:
    """Return the first byte that each position of a line reads, relative to the line."""
    _, _, slides = step_and_share(ins)
    if slides:
        count = (ins.columns - 1) * (ins.x_step // ins.tap_x_step) + ins.taps_x
        return [i * ins.tap_x_step - ins.pad_x for i in range(count)]
    return [x * ins.x_step + t * ins.tap_x_step - ins.pad_x for x in range(ins.columns) for t in range(ins.taps_x)]


def engine_cycles(core: Core, ins: Instruction) -> int:
    """Return the cycles of a VEC that is not a SOFTMAX; it completes `LATENCY_CYCLES` later.

    Table words; then for each block of lanes: parameters, while the first line's vertical taps are found and x_step is
    divided by tap_x_step; then each line: every position takes a cycle for each vertical tap inside the map and each
    turn of `taps_per_lane` accumulators, at least one; a line takes at least its vertical taps.
    """
    W, flags = core.port_bytes, ins.flags
    clamps = bool(flags & VecFlag.CLAMP_EDGE)
    words = -(-4 * core.lanes // W)
    parameters = words * (bool(flags & VecFlag.BIAS) + bool(flags & VecFlag.CHANNEL_SCALE))
    parameters += ins.taps_y * ins.taps_x if ins.kind == VecKind.MAC else 0
    divide = ins.taps_x + 2 if ins.taps_x > 1 else 1
    _, share, _ = step_and_share(ins)
    turns = -(-share // core.taps_per_lane)
    at = _positions(ins)
    inside = len(at) if clamps else sum(-ins.channels < p < ins.width_bytes for p in at)
    total = max(parameters, ins.taps_y, divide)
    for y in range(ins.rows):
        line = [y * ins.y_step + t * ins.tap_y_step - ins.pad_y for t in range(ins.taps_y)]
        taps = ins.taps_y if clamps else sum(0 <= i < ins.height for i in line)
        total += max(len(at) - inside + inside * max(1, taps * turns), ins.taps_y)
    table = -(-256 // W) if flags & VecFlag.TABLE else 0
    return table + -(-ins.channels // core.lanes) * total
