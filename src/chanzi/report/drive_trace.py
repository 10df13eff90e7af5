"""A drive as a trace that https://ui.perfetto.dev opens: sensor, link, chip and planner as threads."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chanzi.drive.episode import Episode
from chanzi.drive.timeline import Fate, Passage

_ROWS = ("sensor", "link", "chip", "planner", "steering")
_PID = 1


def write_drive_trace(path: Path, episode: Episode) -> None:
    """Write where the time of every frame went; the file is put in its place when it is whole."""
    document = {"displayTimeUnit": "ms", "traceEvents": list(drive_events(episode))}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
    temporary.replace(path)


def drive_events(episode: Episode) -> Iterator[dict[str, Any]]:
    """Yield the events of an episode: slices, an instant for what was decided, an arrow from light to steering."""
    yield {
        "ph": "M",
        "name": "process_name",
        "pid": _PID,
        "tid": 0,
        "args": {"name": f"{episode.world} {episode.seed}"},
    }
    for row, name in enumerate(_ROWS):
        yield {"ph": "M", "name": "thread_name", "pid": _PID, "tid": row + 1, "args": {"name": name}}
    for passage in episode.passages:
        yield from _of_frame(passage)
    for stop in episode.stops:
        yield _instant(stop.time_s, f"stop: {stop.why}")
    for taken in episode.takeovers:
        yield _slice("steering", f"by hand: {taken.why}", taken.begin_s, taken.end_s, {})


def _of_frame(p: Passage) -> Iterator[dict[str, Any]]:
    args = {"frame": p.frame, "fate": p.fate.value, **({"why": p.why} if p.why else {})}
    name = f"frame {p.frame}"
    yield _slice("sensor", name, p.taken_s, p.read_s, args)
    yield _slice("link", name, p.read_s, p.arrived_s, args)
    if p.fate is Fate.DROPPED:
        yield _instant(p.arrived_s, f"{name} let go: the chip was busy", "chip")
    if p.answered_s is None:
        return
    yield _slice("chip", name, p.arrived_s, p.answered_s, args)
    if p.planned_s is not None:
        yield _slice("planner", name, p.answered_s, p.planned_s, args)
    if p.acted_s is not None:
        common = {"name": "light to steering", "cat": "frame", "id": p.frame, "pid": _PID}
        yield {"ph": "s", **common, "tid": 1, "ts": _us(p.taken_s)}
        yield {"ph": "f", "bp": "e", **common, "tid": 4, "ts": _us(p.acted_s)}
        yield _instant(p.acted_s, f"steering by {name}")


def _slice(row: str, name: str, begin_s: float, end_s: float, args: dict[str, Any]) -> dict[str, Any]:
    begin = _us(begin_s)
    common = {"ph": "X", "cat": "frame", "name": name, "pid": _PID, "tid": _ROWS.index(row) + 1}
    return {**common, "ts": begin, "dur": round(_us(end_s) - begin, 3), "args": args}


def _instant(time_s: float, name: str, row: str = "steering") -> dict[str, Any]:
    return {"ph": "i", "s": "t", "name": name, "pid": _PID, "tid": _ROWS.index(row) + 1, "ts": _us(time_s)}


def _us(time_s: float) -> float:
    """Return microseconds in whole nanoseconds: the format's unit, at its finest."""
    return round(time_s * 1e9) / 1000
