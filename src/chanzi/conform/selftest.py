"""One program that a chip's own test bench runs: random, legal, the same for the same chip."""

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.conform.generate import random_program
from chanzi.program.program import Compiled

INSTRUCTIONS = 48
_SEED = 20_26


def self_test(chip: Chip) -> Compiled:
    """Return a program of `INSTRUCTIONS` instructions on all cores of the chip."""
    return random_program(chip, np.random.default_rng(_SEED), instructions=INSTRUCTIONS, cores=chip.cores)
