"""A run of the engine: its folder, whose turn it is, and how a stage's units get done once each."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from chanzi.drive.engine.executor import Executor, SerialExecutor
from chanzi.drive.engine.interface import UnitMaker
from chanzi.drive.engine.journal import Journal
from chanzi.drive.engine.settings import Settings
from chanzi.drive.engine.store import Store
from chanzi.drive.engine.unit import Done, Unit, canonical, code_version
from chanzi.errors import LoopError

STAGES = ("collect", "label", "train", "quantize", "compile", "gate", "deploy", "mine")
"""Of a turn, in order."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a stage's present units are."""

    turn: int
    stage: str
    name: str
    done: int
    total: int


class Loop:
    """A run that is being worked on. Made by `open_loop`, which holds the folder's lock."""

    def __init__(
        self,
        *,
        settings: Settings,
        journal: Journal,
        store: Store,
        executor: Executor,
        make: UnitMaker,
        tell: Callable[[Progress], None],
    ) -> None:
        self.settings, self.journal, self.store, self.make = settings, journal, store, make
        self._executor, self._tell = executor, tell

    def due(self) -> tuple[int, str]:
        """Return the turn and the stage that come next."""
        return due(self.journal)

    def outcome(self, turn: int, stage: str, kind: type[T]) -> T:
        """Return what came of a stage that is over."""
        found = self.journal.conclusion(turn, stage)
        if found is None:
            raise LoopError(f"stage {stage} of turn {turn} is not over", hint="this is a bug")
        return msgspec.json.decode(found, type=kind)

    def conclude(self, turn: int, stage: str, outcome: Any) -> None:
        """Note that a stage is over, and what came of it."""
        self.journal.conclude(turn, stage, canonical(outcome))

    def run(self, units: Sequence[Unit], turn: int, stage: str) -> list[Done]:
        """Return what the units made, in their order; those that are done already are not done again."""
        found: dict[str, Done] = {}
        missing: dict[str, Unit] = {}
        for unit in units:
            known = self.journal.done(unit.id)
            if known is None:
                missing[unit.id] = unit
            else:
                found[unit.id] = known
        waiting = list(missing.values())
        total = len(found) + len(waiting)
        results = self._executor.perform(waiting, lambda unit: self.journal.begin(unit, turn, stage))
        with contextlib.closing(results):
            for result in results:
                unit = waiting[result.index]
                done = self.journal.commit(unit, result.made, turn, stage, result.cpu_s)
                found[done.unit] = done
                self._tell(Progress(turn=turn, stage=stage, name=unit.name, done=len(found), total=total))
        return [found[unit.id] for unit in units]


def due(journal: Journal) -> tuple[int, str]:
    """Return the turn and the stage that come next in a run."""
    turn = 0
    while journal.conclusion(turn, STAGES[-1]) is not None:
        turn += 1
    return turn, next(stage for stage in STAGES if journal.conclusion(turn, stage) is None)


def journal_path(folder: Path) -> Path:
    """Return where a run's journal is."""
    return folder / "journal.sqlite"


def store_path(folder: Path) -> Path:
    """Return where a run's artefacts are."""
    return folder / "artefacts"


def read_run(folder: Path) -> tuple[Settings, Journal]:
    """Open a run to look at it, while another process may be working on it.

    Raises
    ------
    LoopError
        There is no run.
    """
    if not journal_path(folder).is_file():
        raise LoopError(f"{folder} holds no run", hint=f"chanzi loop run {folder}")
    journal = Journal(journal_path(folder), Store(store_path(folder)), readonly=True)
    return _settings(journal, folder), journal


def _settings(journal: Journal, folder: Path) -> Settings:
    text = journal.setting("settings")
    if text is None:
        raise LoopError(f"the run in {folder} has no settings", hint="begin a new run")
    try:
        return msgspec.json.decode(text, type=Settings)
    except msgspec.ValidationError as error:
        raise LoopError(f"the run in {folder} is of another version: {error}", hint="begin a new run") from None


@contextmanager
def open_loop(
    folder: Path,
    make_units: Callable[[Settings], UnitMaker],
    *,
    settings: Settings | None = None,
    make_executor: Callable[[Store, Path], Executor] | None = None,
    tell: Callable[[Progress], None] = lambda _: None,
) -> Generator[Loop, None, None]:
    """Open a run to work on it, beginning it where there is none.

    Parameters
    ----------
    folder : Path
    make_units : function
        From settings to what makes the units.
    settings : Settings, optional
        Of a new run; a run that has begun goes on with its own, and other ones are refused.
    make_executor : function, optional
        From the store and its folder to who performs the units; this process by default.
    tell : function, optional
        Is told whenever a unit is done.

    Raises
    ------
    LoopError
        Another process works on it, it was begun with other settings, or there is no run and no settings.
    """
    if settings is None and not journal_path(folder).is_file():
        raise LoopError(f"{folder} holds no run", hint=f"chanzi loop run {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        store = Store(store_path(folder))
        journal = Journal(journal_path(folder), store)
        try:
            if settings is not None:
                _begin(journal, settings, folder)
            found = _settings(journal, folder)
            journal.open_session(code_version())
            store.sweep(journal.artefacts())
            executor = SerialExecutor(store) if make_executor is None else make_executor(store, store_path(folder))
            try:
                yield Loop(
                    settings=found, journal=journal, store=store, executor=executor, make=make_units(found), tell=tell
                )
            finally:
                executor.close()
        finally:
            journal.close()


def _begin(journal: Journal, settings: Settings, folder: Path) -> None:
    text = canonical(settings).decode()
    known = journal.setting("settings")
    if known is not None and known != text:
        before, now = msgspec.json.decode(known), msgspec.json.decode(text)
        other = ", ".join(sorted(key for key in now if now[key] != before.get(key)))
        raise LoopError(
            f"the run in {folder} was begun with other settings: {other}",
            hint="leave them out to go on with it, or begin another run in another folder",
        )
    journal.set("settings", text)


@contextmanager
def _locked(folder: Path) -> Generator[None, None, None]:
    """Hold the folder's lock; the system lets go of it when this process ends, however it ends."""
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip()
            raise LoopError(
                f"another process units on {folder}{f' (process {owner})' if owner else ''}",
                hint="`chanzi loop status` may look while it does",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
