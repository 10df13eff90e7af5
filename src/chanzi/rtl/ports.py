"""Signatures that blocks of the core share."""

from amaranth import Const, Mux, Value
from amaranth.lib.wiring import In, Out, Signature

from chanzi.chip.chip import Core
from chanzi.rtl.descriptor import address_bits

READ_LATENCY = 3
"""Cycles from an address on a read port to its word."""


def read_port(core: Core) -> Signature:
    """Return a scratchpad read port, seen from the engine: `data` is valid READ_LATENCY cycles after `en`.

    `need` is how many bytes of the word, from its first on, the engine uses; 0 means all.
    """
    word = core.port_bytes
    need = Out(range(word + 1))
    return Signature({"addr": Out(address_bits(core)), "en": Out(1), "need": need, "data": In(8 * word)})


def write_port(core: Core) -> Signature:
    """Return a scratchpad write port, seen from the engine: reads presented in a later cycle see the bytes."""
    word = core.port_bytes
    return Signature({"addr": Out(address_bits(core)), "en": Out(1), "data": Out(8 * word), "mask": Out(word)})


def engine_port(layout: object) -> Signature:
    """Return how the sequencer hands a descriptor to an engine, seen from the sequencer.

    `done` says how many instructions will be complete in the next cycle.
    """
    return Signature({"valid": Out(1), "ready": In(1), "desc": Out(layout), "done": In(2)})


def least(most: int, *left: Value) -> tuple[Value, Value]:
    """Return (how many bytes of a word to read, whether any): at most `most`, and no more than each `left`, signed."""
    need: Value = Const(most, range(most + 1))
    some: Value = Const(1, 1)
    for number in left:
        need = Mux(number < need, number[: most.bit_length()], need)
        some = some & (number > 0)
    return need, some
