"""What every world is to the loop: a clock that ticks, a car that is steered, cameras that look, a judge that knows."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from chanzi.drive.camera import Camera
from chanzi.drive.messages import Control, Frame, Status, Truth, Vehicle

TOP_VIEW_M = 60.0
"""Metres that the height of a top view covers."""


class World(Protocol):
    """A simulator that drives one car; a new one stands at the beginning of the episode of seed 0.

    The same seed and the same controls give the same episode, picture for picture. Nothing is rendered but in `observe`
    and `top_view`, so that a tick may be much shorter than a frame.
    """

    @property
    def name(self) -> str:
        """As `--sim` names it."""
        ...

    @property
    def tick_s(self) -> float:
        """Seconds of simulated time of a `step`."""
        ...

    @property
    def frame_s(self) -> float:
        """Seconds between the cameras' frames, a whole number of ticks."""
        ...

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """The rig, in the order of `Frame.images`."""
        ...

    @property
    def vehicle(self) -> Vehicle:
        """The car that is driven."""
        ...

    def reset(self, seed: int) -> None:
        """Begin the episode of a seed."""
        ...

    def step(self, control: Control) -> None:
        """Let a tick pass under a control, which is held to what the vehicle can do.

        A world whose episode has ended stands still.
        """
        ...

    def observe(self) -> Frame:
        """Return what the sensors see now; the same moment gives the same frame.

        Its number is its time in whole frames, so that a frame that nobody looks at leaves a gap.
        """
        ...

    def truth(self) -> Truth:
        """Return what is so now."""
        ...

    def status(self) -> Status:
        """Return how the episode stands."""
        ...

    def top_view(self, width: int, height: int) -> npt.NDArray[np.uint8]:
        """Return a picture (height, width, 3) from above, for people to look at.

        The car is in its middle and looks up; the height covers `TOP_VIEW_M`.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...
