"""Who performs units: this process, processes beside it, or machines under Ray; the units do not know which.

A worker that dies (killed, out of memory, its machine gone) or hangs loses nothing but its time: its unit is performed
again by another, and since a unit's result depends on its fields alone, the result is the same.
"""

import contextlib
import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Any, Protocol

from chanzi.drive.engine.store import Store
from chanzi.drive.engine.unit import Made, Read, Unit
from chanzi.errors import ChanziError, LoopError

MAX_LOSSES = 3
"""A unit that has cost so many workers is at fault itself."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

Begin = Callable[[Unit], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Performed:
    """A unit that somebody performed."""

    index: int
    made: Made
    cpu_s: float


class Executor(Protocol):
    """Performs units, several at a time where it can."""

    def perform(self, units: Sequence[Unit], begin: Begin) -> Generator[Performed, None, None]:
        """Yield each unit's result as it comes; `begin` is called whenever one is given to a worker.

        Raises
        ------
        ChanziError
            What a unit raised, or that it ended its worker `MAX_LOSSES` times.
        """
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


class SerialExecutor:
    """The process that asks, one unit after the other."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def perform(self, units: Sequence[Unit], begin: Begin) -> Generator[Performed, None, None]:
        """See `Executor`."""
        for index, unit in enumerate(units):
            begin(unit)
            start = time.process_time()
            made = unit.perform(self._store.get)
            yield Performed(index=index, made=made, cpu_s=time.process_time() - start)

    def close(self) -> None:
        """See `Executor`."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: "connection.Connection[Any, Any]"
    index: int | None = None
    since: float = field(default=0.0)


class ProcessExecutor:
    """ProcessExecutor on this machine.

    Parameters
    ----------
    count : int
    folder : Path
        Of the store; workers read from it and write nothing.
    """

    def __init__(self, count: int, folder: Path) -> None:
        if count < 1:
            raise LoopError(f"{count} workers", hint="one or more")
        self._count, self._folder = count, folder
        # A fresh interpreter for each: a fork would copy locks of threads that it does not have.
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """The workers' process numbers."""
        return tuple(worker.process.pid for worker in self._workers if worker.process.pid is not None)

    def _hire(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, str(self._folder)), daemon=True)
        with _one_thread():
            process.start()
        theirs.close()
        return _Worker(process=process, pipe=ours)

    def perform(self, units: Sequence[Unit], begin: Begin) -> Generator[Performed, None, None]:
        """See `Executor`."""
        waiting = deque(range(len(units)))
        losses = dict.fromkeys(waiting, 0)
        left = len(units)
        try:
            while left:
                self._assign(units, waiting, begin)
                for worker in self._ready(units):
                    index = worker.index
                    assert index is not None
                    answer = _receive(worker)
                    if answer is None:
                        self._dismiss(worker)
                        losses[index] += 1
                        if losses[index] >= MAX_LOSSES:
                            raise lost_too_often(units[index])
                        waiting.appendleft(index)
                        continue
                    worker.index = None
                    if isinstance(answer, BaseException):
                        raise answer
                    left -= 1
                    yield Performed(index=index, made=answer[0], cpu_s=answer[1])
        finally:
            # Whoever stops early (an error, a consumer that had enough) leaves work in flight; nobody will ask for it.
            for worker in [w for w in self._workers if w.index is not None]:
                self._dismiss(worker)

    def _assign(self, units: Sequence[Unit], waiting: deque[int], begin: Begin) -> None:
        """Give waiting units to idle workers, hiring as many as there is work for."""
        while waiting:
            idle = next((worker for worker in self._workers if worker.index is None), None)
            if idle is None:
                if len(self._workers) >= self._count:
                    return
                idle = self._hire()
                self._workers.append(idle)
            if not idle.process.is_alive():  # it died while it had nothing to do
                self._dismiss(idle)
                continue
            index = waiting.popleft()
            begin(units[index])
            idle.index, idle.since = index, time.monotonic()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the next look finds it dead
                idle.pipe.send(units[index])

    def _ready(self, units: Sequence[Unit]) -> list[_Worker]:
        """Wait until some worker has answered, died, or used up its unit's patience."""
        busy = [worker for worker in self._workers if worker.index is not None]
        answered = connection.wait([worker.pipe for worker in busy], timeout=1.0)
        now = time.monotonic()
        ready = []
        for worker in busy:
            assert worker.index is not None
            if worker.pipe in answered:
                ready.append(worker)
            elif now - worker.since > units[worker.index].patience_s:
                worker.process.kill()  # the pipe closes with it, and the next look finds it dead
        return ready

    def _dismiss(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)

    def close(self) -> None:
        """See `Executor`."""
        for worker in list(self._workers):
            self._dismiss(worker)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes started inside use one thread each: they share the cores, and sums must not depend on how many."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _receive(worker: _Worker) -> "tuple[Made, float] | BaseException | None":
    """Return what a worker sent: a result with what it took, what the unit raised, or None if the worker is dead."""
    try:
        return worker.pipe.recv()
    except (EOFError, ConnectionResetError, OSError):
        return None


def _serve(pipe: "connection.Connection[Any, Any]", folder: str) -> None:
    """Perform units from the pipe until it closes; the whole life of a worker."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()
    store = Store(Path(folder))
    while True:
        try:
            unit = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send(attempt(unit, store.get))
        except KeyboardInterrupt:
            return
        except (BrokenPipeError, ConnectionResetError):
            return


def _die_with(sentinel: int) -> None:
    """End this process when its parent is gone, however it went: nobody would read the answer."""
    connection.wait([sentinel])
    os._exit(1)


def attempt(unit: Unit, read: Read) -> tuple[Made, float] | Exception:
    """Perform a unit in a worker; return its result and what it took, or what can be sent of what it raised.

    What it took are seconds of processor time, over all threads: on a machine with other work they say more.

    A user's mistake is sent as it is, anything else with its traceback as text.
    """
    start = time.process_time()
    try:
        return unit.perform(read), time.process_time() - start
    except ChanziError as error:
        return error
    except Exception as error:
        import traceback

        text = "".join(traceback.format_exception(error))
        return RuntimeError(f"{unit.kind} {unit.name} failed in its worker:\n{text}")


def lost_too_often(unit: Unit) -> LoopError:
    """Return what to raise for a unit that has cost `MAX_LOSSES` workers."""
    return LoopError(
        f"{unit.kind} {unit.name} ended its worker {MAX_LOSSES} times",
        hint="too little memory, or a bug; fewer workers need less",
    )
