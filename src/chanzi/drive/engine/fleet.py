"""The fleet: which car drives with which version, and how a new version spreads: a few cars first, then the rest.

After every drive of a car with the new version a sequential test asks whether it fails more often than the old version
did; at an alarm all cars go back to the old one at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chanzi.drive.statistics import FailureTest
from chanzi.errors import LoopError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Cars, and how a new version reaches them.

    Parameters
    ----------
    cars : int
    waves : tuple of float
        Shares of the fleet that have the new version after each wave, rising to 1.
    drives_per_car : int
        That each car drives in a turn, with whatever version it has.
    alpha : float
        Probability that a version as good as the old one is rolled back, where the old one's rate is what its drives
        showed; with the chance in that, somewhat more (`bench/loop_gate.py` works it out).
    rise : float
        Of the failure rate; so much worse than the old version is what the test looks for.
    """

    cars: int = 20
    waves: tuple[float, ...] = (0.1, 0.4, 1.0)
    drives_per_car: int = 3
    alpha: float = 0.05
    rise: float = 0.2

    def __post_init__(self) -> None:
        if self.cars < 1 or self.drives_per_car < 1:
            raise LoopError(f"a fleet of {self.cars} cars that drive {self.drives_per_car} times a turn")
        if not self.waves or self.waves[-1] != 1.0 or list(self.waves) != sorted({*self.waves}) or self.waves[0] <= 0:
            raise LoopError(f"a rollout in waves of {self.waves}", hint="shares that rise to 1: 0.1, 0.4, 1")
        if not 0 < self.alpha < 0.5 or not 0 < self.rise < 1:
            raise LoopError(f"a rollout watched with alpha {self.alpha} for a rise of {self.rise}", hint="0.05, 0.2")

    @property
    def drives(self) -> int:
        """Of the whole fleet in a turn."""
        return self.cars * self.drives_per_car

    def reached(self, wave: int) -> int:
        """Return how many cars have the new version after a wave: at least one more than before, if there are any."""
        before = self.reached(wave - 1) if wave > 0 else 0
        return (
            self.cars
            if wave == len(self.waves) - 1
            else min(self.cars, max(before + 1, round(self.waves[wave] * self.cars)))
        )

    def of_car(self, car: int) -> range:
        """Return the numbers of a car's drives among the fleet's of a turn."""
        return range(car * self.drives_per_car, (car + 1) * self.drives_per_car)

    def watch(self, failures: int, drives: int) -> FailureTest:
        """Return the test for a version that follows one with so many failures in so many drives.

        The old version's rate is not known but estimated, with half a failure and half a pass added (the mean under
        Jeffreys' prior), so that a fleet which has seen none is not held to never failing.
        """
        usual = (failures + 0.5) / (drives + 1)
        usual = min(max(usual, 0.01), 0.9)
        return FailureTest(usual_rate=usual, alarm_rate=min(usual + self.rise, 0.5 + usual / 2), alpha=self.alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """What a wave came to.

    Parameters
    ----------
    cars : int
        That have the new version now.
    drives, failures : int
        With it, since the rollout began.
    evidence : float
        Log likelihood ratio of the test after the last drive; the alarm is at its `limit`.
    """

    cars: int
    drives: int
    failures: int
    evidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How a version spread.

    Parameters
    ----------
    waves : tuple of Wave
        That began.
    alarm : int or None
        After how many drives it was rolled back, or None.
    usual_rate, alarm_rate, limit : float
        Of the test.
    """

    waves: tuple[Wave, ...]
    alarm: int | None
    usual_rate: float
    alarm_rate: float
    limit: float


def roll_out(
    fleet: Fleet, test: FailureTest, drive: Callable[[Sequence[int]], Sequence[bool]]
) -> tuple[Rollout, tuple[int, ...]]:
    """Give a new version to wave after wave; return how it went, and the numbers of the drives with it.

    Parameters
    ----------
    fleet : Fleet
    test : FailureTest
    drive : function
        Drives the fleet's drives of those numbers with the new version and says which failed. Drives of a wave run at
        the same time; the test looks at them in the order of their numbers, so that the answer is the same each time.
    """
    failed: list[bool] = []
    driven: list[int] = []
    waves: list[Wave] = []
    alarm = None
    for wave in range(len(fleet.waves)):
        before = fleet.reached(wave - 1) if wave else 0
        cars = range(before, fleet.reached(wave))
        if not cars:
            continue
        # All cars' first drives, then all their second ones: the order in which they end on the road.
        numbers = [fleet.of_car(car)[k] for k in range(fleet.drives_per_car) for car in cars]
        failed += drive(numbers)
        driven += numbers
        alarm = test.alarm(failed)
        evidence = test.evidence(failed)
        waves.append(Wave(cars=fleet.reached(wave), drives=len(failed), failures=sum(failed), evidence=evidence[-1]))
        if alarm is not None:
            break
    rollout = Rollout(
        waves=tuple(waves), alarm=alarm, usual_rate=test.usual_rate, alarm_rate=test.alarm_rate, limit=test.limit
    )
    return rollout, tuple(driven)
