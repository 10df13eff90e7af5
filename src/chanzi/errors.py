"""Everything Chanzi raises on purpose: one root, each with the way out.

The command line prints these as one line and exits 2; a traceback always means a bug in Chanzi.
"""

import difflib
from collections.abc import Iterable

_MAX_CHARACTERS = 400


class ChanziError(Exception):
    """A user-facing error.

    Parameters
    ----------
    message : str
        Names the thing that is wrong.
    hint : str, optional
        What to do about it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(_one_line(message))
        self.hint = _one_line(hint)

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} ({self.hint})" if self.hint else message


def _one_line(text: str) -> str:
    """Return `text` as one printable line: names in a damaged file may hold anything, and any amount of it."""
    if len(text) > _MAX_CHARACTERS:
        text = f"{text[: _MAX_CHARACTERS // 2]} ... {text[-_MAX_CHARACTERS // 2 :]}"
    text = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class ChipError(ChanziError):
    """A chip description that cannot be built, or cannot be read."""


class ModelError(ChanziError):
    """A network that cannot be imported or quantized."""


class CompileError(ChanziError):
    """A network that cannot be made into a program for this chip."""


class ProgramError(ChanziError):
    """A program file that is corrupt, of another version, or illegal for its chip."""


class RunError(ChanziError):
    """Inputs that do not fit the network, or a run that cannot go on."""


class CostError(ChanziError):
    """A price, a node, an area or a case that makes no sense."""


class ExploreError(ChanziError):
    """A search that asks for the impossible, or cannot go on."""


class FlowError(ChanziError):
    """A tool of the hardware flow that is missing, or refuses what it is given."""


class DriveError(ChanziError):
    """A world, a rig or a drive that is not to be had."""


class LoopError(ChanziError):
    """A run of the data engine that cannot begin, or cannot go on."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"did you mean 'x'?"`` for the nearest of `known`, or the list of all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else "known: " + ", ".join(names)
