"""Chip descriptions: whatever the TOML says, a chip that can be built or one clear line."""

import math
import random

import mutate

from chanzi.chip import dump_chip, parse_chip, presets

_GOOD = [text.encode() for text in presets().values()]


def make(rng: random.Random) -> bytes:
    """Return a spoiled preset."""
    return mutate.spoil(rng.choice(_GOOD), rng, text=True)


def check(data: bytes) -> None:
    """Parse; a chip that is accepted must have finite figures and survive being written and read."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    chip = parse_chip(text)
    assert parse_chip(dump_chip(chip)) == chip
    assert math.isfinite(chip.peak_tops)
    assert math.isfinite(chip.dram_bytes_per_cycle)
    assert chip.dram_bytes_per_cycle > 0
    assert chip.dram_latency_cycles >= 0
    assert chip.core.scratchpad.bank_bytes * chip.core.scratchpad.banks == chip.core.scratchpad.bytes
