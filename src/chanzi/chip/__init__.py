"""The description everything else derives from."""

from chanzi.chip.board import Board
from chanzi.chip.chip import Chip, Core, Dram, Scratchpad
from chanzi.chip.load import DEFAULT_CHIP, dump_chip, load_chip, parse_chip, presets

__all__ = [
    "DEFAULT_CHIP",
    "Board",
    "Chip",
    "Core",
    "Dram",
    "Scratchpad",
    "dump_chip",
    "load_chip",
    "parse_chip",
    "presets",
]
