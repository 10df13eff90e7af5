"""Episodes as Parquet: a row an episode, a row a frame."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chanzi.drive.episode import Episode
from chanzi.errors import DriveError

_EPISODE = (
    "world", "seed", "ended", "time_s", "distance_m", "progress", "reward", "crashes", "nearest_m", "lateral_rms_m",
    "lateral_most_m", "digest",
)  # fmt: skip
_PASSAGE = ("frame", "taken_s", "read_s", "arrived_s", "answered_s", "planned_s", "acted_s", "why")


def write_episodes(path: Path, episodes: Sequence[Episode]) -> None:
    """Write a row for each episode.

    Raises
    ------
    DriveError
        The package `pyarrow` is not installed.
    """
    columns: dict[str, list[Any]] = {name: [getattr(e, name) for e in episodes] for name in _EPISODE}
    columns["interventions"] = [len(e.takeovers) for e in episodes]
    columns["stops"] = [[f"{stop.time_s:.2f} s: {stop.why}" for stop in e.stops] for e in episodes]
    _write(path, columns)


def write_frames(path: Path, episodes: Sequence[Episode]) -> None:
    """Write a row for each frame of each episode: its way from light to steering.

    Raises
    ------
    DriveError
        The package `pyarrow` is not installed.
    """
    rows = [(e, passage) for e in episodes for passage in e.passages]
    columns: dict[str, list[Any]] = {"world": [e.world for e, _ in rows], "seed": [e.seed for e, _ in rows]}
    columns |= {name: [getattr(passage, name) for _, passage in rows] for name in _PASSAGE}
    columns["fate"] = [passage.fate.value for _, passage in rows]
    columns["latency_s"] = [passage.latency_s for _, passage in rows]
    _write(path, columns)


def _write(path: Path, columns: dict[str, list[Any]]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise DriveError("tables need the package pyarrow", hint="pip install 'chanzi[drive]'") from error
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    parquet.write_table(pyarrow.table(columns), temporary)
    temporary.replace(path)
