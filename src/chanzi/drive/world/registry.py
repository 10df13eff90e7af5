"""Worlds by name: `highway`, `highway:merge`, `carracing`, `gym:CartPole-v1`. Each is imported when it is asked for."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

from chanzi.drive.world.world import World
from chanzi.errors import DriveError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """Where a world's class is, what the part after the colon means to it, and what it needs."""

    place: str
    detail: str
    needs: str


_WORLDS: Mapping[str, _Entry] = {
    "highway": _Entry(place="chanzi.drive.world.highway:HighwayWorld", detail="scenario", needs="chanzi[drive]"),
    "metadrive": _Entry(
        place="chanzi.drive.world.metadrive.world:MetaDriveWorld", detail="scenario", needs="chanzi[metadrive]"
    ),
}


def world_names() -> tuple[str, ...]:
    """Return the names that `make_world` knows."""
    return tuple(_WORLDS)


def make_world(name: str, **options: object) -> World:
    """Return a new world at the beginning of the episode of seed 0.

    Parameters
    ----------
    name : str
        One of `world_names`; after a colon its scenario, map or environment: `highway:racetrack` is
        `make_world("highway", scenario="racetrack")`.
    options
        As the world's class documents them; all know `cameras`.

    Raises
    ------
    DriveError
        There is no such world, it does not know an option, or what it needs is not installed.
    """
    base, _, detail = name.partition(":")
    entry = _WORLDS.get(base)
    if entry is None:
        raise DriveError(f"there is no world '{base}'", hint=did_you_mean(base, _WORLDS))
    if detail:
        options = {entry.detail: detail, **options}
    module, _, kind = entry.place.partition(":")
    try:
        build = getattr(importlib.import_module(module), kind)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("chanzi"):
            raise
        raise DriveError(f"the world '{base}' needs {error.name}", hint=f"pip install '{entry.needs}'") from error
    known = set(build.__init__.__annotations__) - {"return"}
    for option in options:
        if option not in known:
            raise DriveError(f"the world '{base}' has no option '{option}'", hint=did_you_mean(option, known))
    return build(**options)
