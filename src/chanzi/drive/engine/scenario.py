"""Scenarios: all that decides an episode but the driver. Whatever goes wrong in one can be driven again, exactly."""

from dataclasses import dataclass
from enum import IntEnum

from chanzi.errors import LoopError

_TURNS, _INDICES, _RUNS = 100, 1000, 100


class Purpose(IntEnum):
    """What a seed is for. Seeds of two purposes are never the same: nothing is judged on what it was trained on."""

    LEARN = 1
    ROAD = 2
    SUITE = 3
    HELD_OUT = 4


def seed_of(purpose: Purpose, run_seed: int, turn: int, index: int) -> int:
    """Return a seed below 2**31, different for each (purpose, run seed modulo 100, turn, index).

    Raises
    ------
    LoopError
        More turns or drives than there are seeds.
    """
    if not (0 <= turn < _TURNS and 0 <= index < _INDICES):
        raise LoopError(f"no seed for drive {index} of turn {turn}", hint=f"{_INDICES} drives a turn, {_TURNS} turns")
    return ((int(purpose) * _RUNS + run_seed % _RUNS) * _TURNS + turn) * _INDICES + index


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Where, when and in what weather a car drives.

    Parameters
    ----------
    world : str
        As `chanzi.drive.world.registry` names it: 'highway:racetrack'.
    seed : int
        Of the world's own chance: roads, traffic, noise of the cameras.
    weather : str
        A named condition of the world.
    seconds : float
        At most so long.
    """

    world: str
    seed: int
    weather: str
    seconds: float

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.world}/{self.weather}/{self.seed}"


def scenarios(
    purpose: Purpose,
    *,
    worlds: tuple[str, ...],
    weathers: tuple[str, ...],
    seconds: float,
    run_seed: int,
    turn: int,
    count: int,
) -> tuple[Scenario, ...]:
    """Return `count` scenarios; every world meets every weather, as evenly as the count allows."""
    return tuple(
        Scenario(
            world=worlds[i % len(worlds)],
            weather=weathers[i // len(worlds) % len(weathers)],
            seed=seed_of(purpose, run_seed, turn, i),
            seconds=seconds,
        )
        for i in range(count)
    )
