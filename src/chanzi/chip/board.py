"""A board: one chip, or several of a kind that share the frames or watch one another."""

from dataclasses import dataclass

from chanzi.chip.chip import Chip
from chanzi.errors import ChipError


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Chips on one board.

    Parameters
    ----------
    chip : Chip
    chips : int
        1 to 8 of them.
    redundant : bool
        Two chips run every frame, and the car acts only on what both say, as in Tesla's 2019 computer. Otherwise
        chips take frames in turn.
    """

    chip: Chip
    chips: int = 1
    redundant: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.chips <= 8:
            raise ChipError(f"a board of {self.chips} chips", hint="1 to 8")
        if self.redundant and self.chips != 2:
            raise ChipError(f"{self.chips} chips cannot watch one another", hint="redundant boards have 2")

    def busy_s(self, frame_s: float) -> float:
        """Return the time between two frames that the board takes, of chips that take `frame_s` for one."""
        return frame_s if self.redundant else frame_s / self.chips
