"""The timing rules: how many cycles each instruction keeps its engine busy, and when its effects are complete.

They are part of the instruction set's promise: the timing simulator adds them up, the RTL takes exactly as long, and
the compiler plans with them. All figures are clock cycles of the core.

Array. Tiles are taken columns outermost, rows innermost. Feeding tile t takes
``feed_t = max(K, row words * rows of A, row words * rows of B, parameter words)`` cycles: K bytes enter each edge cell,
while one port a side brings words of W bytes to all edge cells in turn. Sums are complete `array_latency` cycles after
the last byte went in; the drain then takes one row in `turns` cycles (one for each `epilogue_lanes` columns; RAW has
four bytes a column, and one for each word) while the next tile is fed. All columns of a row leave together, so a tile's
first column may not overwrite its shadow before the last one is complete: tiles that drain follow each other every
``max(feed_t, spacing_{t-1})`` cycles, spacing = rows * turns + max(0, D - rows - turns + 1). At most two DOTs are under
way.

Vector unit. `chanzi.isa.vector_cycles`: one word a cycle from the operand's port, shared by the taps of all
neighbouring outputs that need it.

DMA. Transfers move whole beats, no more than one a cycle, at the pace of the DRAM's bandwidth: slot i of a transfer
comes ``i * pace_q16 >> 16`` cycles after its first. A slot is a beat; a run of a LOAD whose end, rotated to the
scratchpad's bytes, spills over its last beat takes one more. The bus changes over from one transfer to the next in a
cycle.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from chanzi.chip.chip import Chip, Core
from chanzi.isa.fields import DotFlag, Opcode
from chanzi.isa.instruction import Instruction
from chanzi.isa.pipeline import epilogue_cycles, float_add_cycles, softmax_drain_cycles, vector_latency_cycles
from chanzi.isa.vector_cycles import vec_cycles

__all__ = [
    "DotTiming",
    "array_latency",
    "busy_cycles",
    "dma_cycles",
    "dma_slots",
    "dma_span",
    "dot_timing",
    "epilogue_cycles",
    "float_add_cycles",
    "pace_q16",
    "softmax_drain_cycles",
    "vec_cycles",
    "vector_latency_cycles",
]

START_CYCLES = 16
"""From the start register to the first instruction leaving the sequencer."""
ARRAY_PIPELINE_CYCLES = 10
"""From an address at the array's edge to a sum in a shadow register, beside the skew."""
REQUEST_CYCLES = 7
"""From a LOAD's place in line to its first beat, beside the latency of the DRAM."""
FETCH_CYCLES = 4
"""By so much a STORE asks for its place in line after its start: its first words come from the scratchpad meanwhile."""
TURN_CYCLES = 4
"""From a STORE's place in line to its first beat."""
ARRIVAL_CYCLES = 1
"""From a LOAD's last beat to its bytes in the scratchpad."""
RESPONSE_CYCLES = 3
"""From a STORE's last beat to its response, beside the latency of the DRAM."""


def array_latency(core: Core) -> int:
    """Cycles from the last byte of a tile at the edge to its first complete row: the skew across D columns."""
    return core.dim + ARRAY_PIPELINE_CYCLES


@dataclass(frozen=True, slots=True)
class DotTiming:
    """Of one DOT: `first` cycles feed the first tile, `rest` all others, `last_drain` drain the last one.

    A tile that drains ends at least `last_spacing` cycles after the last one of this DOT (see `dot_timing`).

    ``first + rest == ideal + edge + feed + drain``: `ideal` is MACs / D^2 (a fraction of cycles), `edge` what partly
    filled tiles lose, `feed` what the ports lose over K, `drain` what draining loses over feeding.
    """

    first: int
    rest: int
    last_drain: int
    last_spacing: int
    ideal: float
    edge: float
    feed: int
    drain: int


def _words(n_bytes: int, word: int) -> int:
    return -(-n_bytes // word)


def _split(count: int, dim: int) -> list[tuple[int, int]]:
    """Return [(rows of a tile, tiles)]: full tiles, then the partial one."""
    full, part = divmod(count, dim)
    return ([(dim, full)] if full else []) + ([(part, 1)] if part else [])


def dot_timing(core: Core, ins: Instruction) -> DotTiming:
    """Return the cycles of a DOT on `core`."""
    D, W = core.dim, core.port_bytes
    K = ins.a_run * ins.a_taps_y * ins.a_taps_x
    a_words = ins.a_taps_y * ins.a_taps_x * _words(ins.a_run, W)
    b_words = ins.b_taps_y * ins.b_taps_x * _words(ins.b_run, W)
    flags = ins.flags
    drains = not flags & DotFlag.HOLD
    table_words = _words(256, W) if flags & DotFlag.TABLE else 0
    m_tiles, n_tiles = _split(ins.a_count, D), _split(ins.b_count, D)

    def parameters(n: int) -> int:
        per_column = bool(flags & DotFlag.BIAS) + bool(flags & DotFlag.COLUMN_SCALE)
        return per_column * _words(4 * n, W)

    def feed(m: int, n: int) -> int:
        return max(K, m * a_words, n * b_words, parameters(n))

    def turns(n: int) -> int:
        return _words(4 * n, W) if flags & DotFlag.RAW else _words(n, core.row_lanes)

    def drain(m: int, n: int) -> int:
        """Cycles between tiles: rows drained, and the last cell of a row complete before the next tile's first is."""
        return m * turns(n) + max(0, D - m - turns(n) + 1) if drains else 0

    total_feed = over_k = over_feed = 0
    first = 0
    previous_drain = 0
    k_cycles = 0
    for n, n_count in n_tiles:
        m_first, m_full = m_tiles[0]
        m_last, _ = m_tiles[-1]
        per_column = sum(count for _, count in m_tiles)
        k_cycles += K * per_column * n_count
        for turn, repeat in ((0, 1), (1, n_count - 1)):  # the first column of this width, then its equals
            if not repeat:
                continue
            # entering tile: after whatever came before it
            enter = feed(m_first, n)
            if turn == 0 and not total_feed:
                enter = max(enter, table_words + parameters(n))
                first = enter
                spacing = enter
            else:
                spacing = max(enter, previous_drain)
            # the following full tiles, then the partial one
            steady = max(enter if turn else feed(m_first, n), drain(m_first, n))
            column = spacing + (m_full - 1) * steady
            bare = enter + (m_full - 1) * feed(m_first, n)
            if m_last != m_first:
                column += max(feed(m_last, n), drain(m_first, n))
                bare += feed(m_last, n)
            previous_drain = drain(m_last, n)
            total_feed += repeat * column
            over_k += repeat * bare
    over_feed = total_feed - over_k
    over_k -= k_cycles
    ideal = ins.a_count * ins.b_count * K / (D * D)
    return DotTiming(
        first=first,
        rest=total_feed - first,
        last_drain=m_tiles[-1][0] * turns(n_tiles[-1][0]) if drains else 0,
        last_spacing=previous_drain,
        ideal=ideal,
        edge=k_cycles - ideal,
        feed=over_k,
        drain=over_feed,
    )


def pace_q16(chip: Chip) -> int:
    """Return the cycles from a beat to the next, in 1/65536: at least one, else what the DRAM's bandwidth needs."""
    return max(1 << 16, -((-chip.dram.beat_bytes * chip.clock_hz << 16) // chip.dram.bytes_per_s))


def dma_slots(chip: Chip, ins: Instruction) -> int:
    """Return the slots of a LOAD or STORE: its beats, and the cycles in which the end of a LOAD's run spills over."""
    beat = chip.dram.beat_bytes
    if (ins.count1 == 1 or ins.dram_step1 % beat == 0) and (ins.count2 == 1 or ins.dram_step2 % beat == 0):
        return ins.count1 * ins.count2 * int(_run_slots(ins.dram % beat, ins, beat))
    one, times1 = _offsets(ins.dram_step1, ins.count1, beat)
    two, times2 = _offsets(ins.dram_step2, ins.count2, beat)
    slots = _run_slots((ins.dram % beat + two[:, None] + one[None, :]) % beat, ins, beat)
    return int(times2 @ slots @ times1)


def _offsets(step: int, count: int, beat: int) -> tuple[Any, Any]:
    """Return (the offsets within a beat of `count` steps, how often each): they repeat after at most `beat` steps."""
    period = beat // math.gcd(step, beat)
    turns, more = divmod(count, period)
    first = np.arange(min(count, period), dtype=np.int64)
    return first * (step % beat) % beat, turns + (first < more)


def _run_slots(offset: Any, ins: Instruction, beat: int) -> Any:
    """Return the slots of runs that begin `offset` bytes into a beat."""
    beats = -(-(offset + ins.run) // beat)
    spills = (offset != 0) & (beats > 1) & (_words(ins.run, beat) == beats)
    return beats + (spills & (ins.opcode == Opcode.LOAD))


def dma_span(chip: Chip, ins: Instruction) -> int:
    """Return the cycles from the first beat of a LOAD or STORE to the end of its last slot."""
    return ((dma_slots(chip, ins) - 1) * pace_q16(chip) >> 16) + 1


def dma_cycles(chip: Chip, ins: Instruction) -> int:
    """Return the cycles that a LOAD or STORE keeps the bus from the next."""
    slots, pace = dma_slots(chip, ins), pace_q16(chip)
    return max(((slots - 1) * pace >> 16) + 2, slots * pace >> 16)


def busy_cycles(chip: Chip, ins: Instruction) -> int:
    """Return the cycles the instruction keeps its engine busy, taken alone."""
    match ins.opcode:
        case Opcode.LOAD | Opcode.STORE:
            return dma_cycles(chip, ins)
        case Opcode.DOT:
            t = dot_timing(chip.core, ins)
            return t.first + t.rest
        case Opcode.VEC:
            return vec_cycles(chip.core, ins)
        case _:
            return 0
