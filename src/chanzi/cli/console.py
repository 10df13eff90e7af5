"""Output of the commands: lines and JSON on stdout, progress on stderr and only for a person."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

PATIENCE_S = 1.0
"""Seconds a person waits before a progress bar appears."""


def say(text: str = "") -> None:
    """Write a line to stdout."""
    sys.stdout.write(text + "\n")


def say_json(value: Any) -> None:
    """Write `value` to stdout as indented JSON."""
    encoded = msgspec.json.format(msgspec.json.encode(value), indent=2)
    sys.stdout.write(encoded.decode() + "\n")


def note(text: str) -> None:
    """Write a line to stderr."""
    sys.stderr.write(text + "\n")


@contextmanager
def working(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar (a spinner without `total`) on stderr while the block runs, if it takes long.

    Nothing is shown, and nothing is imported, where stderr is no terminal or the block is quick. Yields a function
    that advances the bar.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    bar = _Bar(what, total)
    timer = threading.Timer(PATIENCE_S, bar.show)
    timer.daemon = True
    timer.start()
    try:
        yield bar.advance
    finally:
        timer.cancel()
        bar.close()


@contextmanager
def stages(what: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on stderr while the block runs, if it takes long, with the stage that the yielded function told.

    Nothing is shown where stderr is no terminal.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    bar = _Bar(what, None)
    timer = threading.Timer(PATIENCE_S, bar.show)
    timer.daemon = True
    timer.start()
    try:
        yield lambda stage: bar.rename(f"{what}: {stage}")
    finally:
        timer.cancel()
        bar.close()


class _Bar:
    def __init__(self, what: str, total: int | None) -> None:
        self._what, self._total = what, total
        self._done = 0
        self._closed = False
        self._lock = threading.Lock()
        self._progress: Any = None
        self._task: Any = None

    def show(self) -> None:
        """Draw the bar; called once, from the timer's thread."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}")]
        if self._total is not None:
            columns += [BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"), TimeRemainingColumn()]
        progress = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
        with self._lock:
            if self._closed:
                return
            self._task = progress.add_task(self._what, total=self._total, completed=self._done)
            progress.start()
            self._progress = progress

    def advance(self, steps: int) -> None:
        """Count `steps` more of the total as done."""
        with self._lock:
            self._done += steps
            if self._progress is not None:
                self._progress.advance(self._task, steps)

    def rename(self, what: str) -> None:
        """Show another text."""
        with self._lock:
            self._what = what
            if self._progress is not None:
                self._progress.update(self._task, description=what)

    def close(self) -> None:
        """Take the bar away."""
        with self._lock:
            self._closed = True
            if self._progress is not None:
                self._progress.stop()
