"""Small chips whose RTL tests can build in seconds."""

import dataclasses

from chanzi.chip import load_chip
from chanzi.chip.chip import Chip, Scratchpad


def small_chip(dim: int = 4, *, cores: int = 1, **core: int) -> Chip:
    """Return `chanzi-8` with another array, ports and lanes of its size, and 64 KiB of scratchpad."""
    chip = load_chip("chanzi-8")
    sizes = {"dim": dim, "port_bytes": dim, "lanes": dim, "code_instructions": 1024} | core
    made = dataclasses.replace(chip.core, scratchpad=Scratchpad(bytes=1 << 16, banks=64), **sizes)
    return dataclasses.replace(chip, cores=cores, core=made, dram=dataclasses.replace(chip.dram, beat_bytes=4))
