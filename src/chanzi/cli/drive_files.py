"""The files of ``chanzi drive``: the first episode's film, logs and trace, all episodes' tables."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from chanzi.cli.console import note, working
from chanzi.drive.episode import Episode, Listener
from chanzi.drive.runs import Drive, Eyes, drive_all, drive_seed, make_course, make_pilot
from chanzi.drive.world.world import World

_PER_EPISODE = 1000


def drive_and_write(
    what: Drive, seed: int, count: int, jobs: int, folder: Path | None, *, film: bool
) -> tuple[list[Episode], Eyes]:
    """Drive all episodes: the first one here, where it is written down, the others wherever.

    Parameters
    ----------
    what : Drive
    seed, count : int
        Of the first episode; how many.
    jobs : int
        Processes.
    folder : Path or None
        Where files go; None writes none.
    film : bool
    """
    with working("compiling"):
        world, eyes = make_course(what.course), make_pilot(what)
    with working("driving", _PER_EPISODE * count) as advance, ExitStack() as after:
        listeners: list[Listener] = [_Live(advance)]
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            listeners += _recorders(what, world, eyes, folder, film)
        for listener in listeners:
            after.callback(getattr(listener, "close", lambda: None))
        found = [drive_seed(what, seed, world=world, pilot=eyes.pilot, listeners=listeners)]
        rest = [(what, seed + i) for i in range(1, count)]
        others = drive_all(rest, jobs=jobs, done=lambda n: advance(n * _PER_EPISODE))
        found += [episode for _, episode in sorted(others, key=lambda pair: pair[0])]
    if folder is not None:
        _tables(found, folder)
    return found, eyes


class _Live:
    """Shows how far the first episode is."""

    def __init__(self, advance: Any) -> None:
        self._advance, self._shown = advance, 0

    def begin(self, world: World, seed: int) -> None:
        """Begin an episode."""

    def frame(self, world: World, moment: Any) -> None:
        """Show how far it is."""
        del world
        done = round(_PER_EPISODE * moment.status.progress)
        self._advance(max(done - self._shown, 0))
        self._shown = max(done, self._shown)

    def passed(self, passage: Any) -> None:
        """See `Listener`."""

    def plan(self, passage: Any, perception: Any, plan: Any) -> None:
        """See `Listener`."""

    def tick(self, time_s: float, control: Any, by: str) -> None:
        """See `Listener`."""

    def end(self, episode: Episode) -> None:
        """Show that it is done."""
        del episode
        self._advance(_PER_EPISODE - self._shown)


def _recorders(what: Drive, world: World, eyes: Eyes, folder: Path, film: bool) -> list[Listener]:
    from importlib.util import find_spec

    from chanzi.drive.record.mcap_log import McapLog

    chip = "" if eyes.figures is None else eyes.figures.chip.name
    listeners: list[Listener] = [McapLog(folder / "drive.mcap", {"backend": what.backend, "chip": chip})]
    if find_spec("rerun") is not None:
        from chanzi.drive.record.rerun_log import RerunLog

        listeners.append(RerunLog(folder / "drive.rrd"))
    if film:
        from chanzi.drive.record.film import Film, credits_of, twin_of

        listeners.append(Film(folder / "drive.mp4", credits_of(what, world, eyes.figures), twin=twin_of(what.course)))
    return listeners


def _tables(found: list[Episode], folder: Path) -> None:
    from chanzi.drive.record.tables import write_episodes, write_frames
    from chanzi.report.drive_trace import write_drive_trace

    write_episodes(folder / "episodes.parquet", found)
    write_frames(folder / "frames.parquet", found)
    write_drive_trace(folder / "drive.json", found[0])
    written = [name for name in ("drive.mp4", "drive.rrd", "drive.mcap") if (folder / name).exists()]
    note(f"wrote {', '.join((*written, 'drive.json, episodes.parquet and frames.parquet'))} in {folder.resolve()}")
