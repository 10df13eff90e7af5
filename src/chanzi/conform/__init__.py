"""Random legal programs that hold every machine to the same bytes.

`check_machine` takes anything that runs a `Compiled` and returns its memories; `random_program` makes programs for any
chip; `missing` says what of the encoding space they have not reached.
"""

from chanzi.conform.check import Machine, Memories, MismatchError, check_machine, run_fast, run_reference
from chanzi.conform.coverage import missing, seen, space
from chanzi.conform.generate import random_program

__all__ = [
    "Machine",
    "Memories",
    "MismatchError",
    "check_machine",
    "missing",
    "random_program",
    "run_fast",
    "run_reference",
    "seen",
    "space",
]
