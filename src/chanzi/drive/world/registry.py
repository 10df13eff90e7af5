"""Worlds by name: `highway`, `highway:merge`, `carracing`. Each is imported when it is asked for."""

import importlib
import importlib.util
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
    package: str


_WORLDS: Mapping[str, _Entry] = {
    "highway": _Entry(
        place="chanzi.drive.world.highway:HighwayWorld",
        detail="scenario",
        needs="chanzi[drive]",
        package="highway_env",
    ),
    "metadrive": _Entry(
        place="chanzi.drive.world.metadrive.world:MetaDriveWorld",
        detail="scenario",
        needs="chanzi[metadrive]",
        package="metadrive",
    ),
    "carracing": _Entry(
        place="chanzi.drive.world.carracing:CarRacingWorld",
        detail="",
        needs="chanzi[drive]",
        package="Box2D",
    ),
}


def world_names() -> tuple[str, ...]:
    """Return the names that `make_world` knows."""
    return tuple(_WORLDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A world by name: what it needs, and whether that is installed."""

    name: str
    needs: str
    ready: bool


def known_worlds() -> tuple[Known, ...]:
    """Return the registered worlds, without loading any."""
    return tuple(
        Known(name=name, needs=entry.needs, ready=importlib.util.find_spec(entry.package) is not None)
        for name, entry in _WORLDS.items()
    )


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
    if detail and not entry.detail:
        raise DriveError(f"the world '{base}' has nothing to choose, not '{detail}'", hint=f"it is just '{base}'")
    if detail:
        options = {entry.detail: detail, **options}
    if importlib.util.find_spec(entry.package) is None:
        raise DriveError(f"the world '{base}' needs {entry.package}", hint=f"pip install '{entry.needs}'")
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
