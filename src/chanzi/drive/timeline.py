"""What each leg of the way from light to steering takes, and when every frame passed it.

A frame is taken, read out, transferred, waits for no one: a chip that is busy when it arrives lets it go, as in a car.
The chip's answer is planned on, and the controller acts on it from the first tick after that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from chanzi.errors import DriveError


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Seconds of each leg but the chip's, which its program decides.

    Parameters
    ----------
    sensor_s : float
        From the middle of the exposure to the last line read out. Estimated: half of the 1/36 s in which a 36 frames/s
        automotive sensor with a rolling shutter reads a picture.
    transfer_s : float
        From the sensor to the chip's memory: serial link, image processor, DMA. Estimated.
    planning_s : float
        From the chip's answer to a plan that the controller has. Estimated.
    """

    sensor_s: float = 0.014
    transfer_s: float = 0.004
    planning_s: float = 0.002

    def __post_init__(self) -> None:
        for name in ("sensor_s", "transfer_s", "planning_s"):
            value = getattr(self, name)
            if not 0 <= value <= 60:
                raise DriveError(f"{name} is {value}", hint="seconds, 0 to 60")


class Fate(Enum):
    """What became of a frame."""

    USED = "used"  # a plan rests on it
    DROPPED = "dropped"  # the chip was busy when it arrived
    REFUSED = "refused"  # the watch found something wrong with it
    FAILED = "failed"  # the chip gave no answer that may be acted on
    UNFINISHED = "unfinished"  # the episode ended first


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One frame's way. Times are of the episode; those of legs that it did not pass are None.

    Parameters
    ----------
    frame : int
    taken_s : float
    read_s, arrived_s : float
        Read out of the sensor; in the chip's memory, where the chip takes it at once or not at all.
    answered_s : float or None
        The chip is done with it (twice, where it had to be run again).
    planned_s : float or None
    acted_s : float or None
        The tick from which the controller acted on it.
    fate : Fate
    why : str
        Of a frame that was refused or failed.
    """

    frame: int
    taken_s: float
    read_s: float
    arrived_s: float
    fate: Fate
    answered_s: float | None = None
    planned_s: float | None = None
    acted_s: float | None = None
    why: str = ""

    @property
    def latency_s(self) -> float | None:
        """From the taking of the frame to the tick that acts on it."""
        return None if self.acted_s is None else self.acted_s - self.taken_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Of the frames that were acted on, in seconds from light to steering; NaN where there was none."""

    mean_s: float
    p50_s: float
    p99_s: float
    most_s: float


def latency_of(passages: Sequence[Passage]) -> Latency:
    """Return how long frames took from light to steering."""
    taken = [p.latency_s for p in passages if p.latency_s is not None]
    if not taken:
        nan = float("nan")
        return Latency(mean_s=nan, p50_s=nan, p99_s=nan, most_s=nan)
    return Latency(
        mean_s=float(np.mean(taken)),
        p50_s=float(np.quantile(taken, 0.5)),
        p99_s=float(np.quantile(taken, 0.99)),
        most_s=max(taken),
    )


def counted(passages: Sequence[Passage]) -> dict[Fate, int]:
    """Return how many frames met each fate."""
    return {fate: sum(p.fate is fate for p in passages) for fate in Fate}
