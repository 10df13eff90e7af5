"""How deep the float32 pipelines are: cycles from what goes in to what comes out, by `Core.float_stages`.

Every step of a float32 unit (multiply, align and add, normalise, round) is a clock cycle, or two where a register cuts
it: a fabric of look-up tables needs that. The depth changes when results are there, never what they are.
"""

from dataclasses import dataclass
from functools import cache

from chanzi.chip.chip import Core

_TABLE = 1
"""The table behind a requantized byte."""
_WRITE = 4
"""From a row's byte at the end of the epilogue to the bank, and from the row's capture to the epilogue."""
_WORD = 4
"""From a cycle of the vector unit's walk to its word."""
_SUM = 3
"""From a word to the accumulator that has taken it."""
QUOTIENT_BITS = 27
"""Of a division, a cycle each: 24 of the significand, two that round, and one for a quotient below 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Latencies in cycles.

    `pack` normalises and rounds. The others are whole units: `from_int`, `multiply`, `multiply_add`, `divide`,
    `to_byte`; `requantize` (bias, scale, byte), `combine` (the sum or product of two bytes) and `constants`, which
    forms what `combine` needs of an instruction.
    """

    pack: int
    from_int: int
    multiply: int
    multiply_add: int
    divide: int
    to_byte: int
    requantize: int
    combine: int
    constants: int


@cache
def pipeline(stages: int) -> Pipeline:
    """Return the latencies of units whose steps take `stages` cycles, 1 or 2."""
    pack = 2 * stages
    from_int, multiply, multiply_add = stages - 1 + pack, stages + pack, 2 * stages + pack
    to_byte = 2 * stages
    return Pipeline(
        pack=pack,
        from_int=from_int,
        multiply=multiply,
        multiply_add=multiply_add,
        divide=stages + QUOTIENT_BITS + pack,
        to_byte=to_byte,
        requantize=1 + from_int + multiply + to_byte,
        combine=1 + 2 * multiply_add + to_byte,
        constants=3 * multiply_add,
    )


def epilogue_cycles(core: Core) -> int:
    """Return the cycles from a row leaving the array to its bytes in the scratchpad."""
    depth = pipeline(core.float_stages)
    return depth.requantize + _TABLE + depth.combine + _WRITE


def vector_lead_cycles(core: Core) -> int:
    """Return the cycles from a VEC's begin to the first of its walk: its constants must be there for the first sum."""
    return max(6, pipeline(core.float_stages).constants - _WORD - _SUM - 1)


def lane_cycles(core: Core) -> int:
    """Return the cycles from a vector lane's sum to its byte, before the table."""
    depth = pipeline(core.float_stages)
    return max(depth.requantize, depth.combine)


def vector_latency_cycles(core: Core) -> int:
    """Return the cycles from a VEC's begin to its first word, and from its last word to its completion."""
    return vector_lead_cycles(core) + 2 + _WORD + _SUM + lane_cycles(core) + 2


def float_add_cycles(core: Core) -> int:
    """Return the cycles of a float32 addition that waits for the one before, as softmax's in order."""
    return pipeline(core.float_stages).multiply_add


def softmax_drain_cycles(core: Core) -> int:
    """Return by how much softmax's multiply, divide and requantize are longer than the lanes' pipeline."""
    depth = pipeline(core.float_stages)
    softmax = _WORD + 2 + depth.multiply + depth.divide + depth.to_byte + 1
    return softmax - (_WORD + _SUM + lane_cycles(core) + 2)
