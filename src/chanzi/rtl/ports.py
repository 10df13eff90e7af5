"""Signatures that blocks of the core share."""

from amaranth import Mux, Value
from amaranth.lib.wiring import In, Out, Signature

from chanzi.chip.chip import Core
from chanzi.rtl.descriptor import address_bits

READ_LATENCY = 3
"""Cycles from an address on a read port to its word."""


def read_port(core: Core) -> Signature:
    """Return a scratchpad read port, seen from the engine: `data` is valid READ_LATENCY cycles after `en`.

    The engine uses the bytes of the word from `skip`, whole atoms, to before `need`, where 0 means all. Only banks with
    such bytes are read; the others may be another stream's.
    """
    word = core.port_bytes
    used = {"need": Out(range(word + 1)), "skip": Out(range(word))}
    return Signature({"addr": Out(address_bits(core)), "en": Out(1), **used, "data": In(8 * word)})


def write_port(core: Core) -> Signature:
    """Return a scratchpad write port, seen from the engine: reads presented in a later cycle see the bytes."""
    word = core.port_bytes
    return Signature({"addr": Out(address_bits(core)), "en": Out(1), "data": Out(8 * word), "mask": Out(word)})


def engine_port(layout: object) -> Signature:
    """Return how the sequencer hands a descriptor to an engine, seen from the sequencer.

    `done` says how many instructions will be complete in the next cycle.
    """
    return Signature({"valid": Out(1), "ready": In(1), "desc": Out(layout), "done": In(2)})


def least(most: int, left: Value) -> tuple[Value, Value]:
    """Return (how many bytes of a word to read, whether any): at most `most`, and no more than are `left`, signed."""
    return Mux(left < most, left[: most.bit_length()], most), left > 0
