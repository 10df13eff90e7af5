"""Who tries chips: this process, others on this machine. One that dies loses nothing: what it was given is given again.

A runner is given tasks and gives back outcomes in any order. `chanzi.explore.cluster` has one for a Ray cluster.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Literal, Protocol

from chanzi.errors import ChanziError
from chanzi.explore.evaluate import Outcome, evaluate, measured
from chanzi.explore.goals import Goals
from chanzi.explore.networks import Network, Quantized
from chanzi.explore.space import Space

MOST_DEATHS = 3
"""Workers that one task may take with it before it is given up."""
AHEAD = 2
"""Tasks that a worker has at once: it need not wait for the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """All that a worker has to know.

    `spilled`: chips whose scratchpad cannot hold a network's maps are compiled and simulated, which takes seconds, not
    pruned.
    """

    networks: tuple[Quantized, ...]
    space: Space
    goals: Goals
    spilled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A point to try with the model, or to compile and simulate ('measure'); `front` as `evaluate` takes it."""

    number: int
    point: Mapping[str, float]
    what: Literal["try", "measure"] = "try"
    front: tuple[tuple[float, ...], ...] = ()


class Evaluator:
    """A problem with its networks read."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.networks = [Network.read(source) for source in problem.networks]

    def run(self, task: Task) -> Outcome:
        """Return the outcome of a task."""
        goals = self.problem.goals
        try:
            chip = self.problem.space.chip(task.point, f"chip-{task.number}")
            if task.what == "measure":
                return measured(chip, self.networks, goals)
            return evaluate(chip, self.networks, goals, front=task.front, spilled=self.problem.spilled)
        except ChanziError as error:
            return Outcome(reason=str(error))


class Runner(Protocol):
    """Takes tasks, as many as `room` says, and gives their outcomes back."""

    @property
    def room(self) -> int:
        """Tasks that can be submitted now."""
        ...

    @property
    def busy(self) -> int:
        """Tasks submitted whose outcome has not been given back."""
        ...

    def submit(self, task: Task) -> None:
        """Take a task."""
        ...

    def next(self) -> tuple[Task, Outcome]:
        """Wait for an outcome."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...


class Here:
    """Tries chips in this process."""

    def __init__(self, problem: Problem) -> None:
        self._evaluator = Evaluator(problem)
        self._tasks: deque[Task] = deque()

    @property
    def room(self) -> int:
        """One task at a time."""
        return 1 - len(self._tasks)

    @property
    def busy(self) -> int:
        """Tasks submitted."""
        return len(self._tasks)

    def submit(self, task: Task) -> None:
        """Take a task."""
        self._tasks.append(task)

    def next(self) -> tuple[Task, Outcome]:
        """Work on the task."""
        task = self._tasks.popleft()
        return task, self._evaluator.run(task)

    def close(self) -> None:
        """Nothing is open."""


def work(connection: Connection, problem: Problem) -> None:
    """Try chips until there are no more: what a worker's process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides when it is over
    evaluator = Evaluator(problem)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        if task is None:
            return
        connection.send(evaluator.run(task))


class _Worker:
    def __init__(self, problem: Problem) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=work, args=(theirs, problem), daemon=True)
        self.process.start()
        theirs.close()
        self.tasks: deque[Task] = deque()


class Processes:
    """Tries chips in `jobs` processes of this machine."""

    def __init__(self, problem: Problem, jobs: int) -> None:
        self._problem = problem
        self._workers = [_Worker(problem) for _ in range(jobs)]
        self._deaths: dict[int, int] = {}
        self._given_up: deque[tuple[Task, Outcome]] = deque()

    @property
    def room(self) -> int:
        """A task at work and one ahead for each process."""
        return AHEAD * len(self._workers) - self.busy

    @property
    def busy(self) -> int:
        """Tasks submitted whose outcome has not been given back."""
        return sum(len(worker.tasks) for worker in self._workers) + len(self._given_up)

    @property
    def pids(self) -> list[int]:
        """Process numbers of the workers."""
        return [worker.process.pid or 0 for worker in self._workers]

    def submit(self, task: Task) -> None:
        """Give a task to the least busy process."""
        worker = min(self._workers, key=lambda w: len(w.tasks))
        worker.tasks.append(task)
        try:
            worker.connection.send(task)
        except OSError:
            self._replace(worker)

    def next(self) -> tuple[Task, Outcome]:
        """Wait for an outcome; replace processes that have died."""
        while True:
            if self._given_up:
                return self._given_up.popleft()
            by_connection = {worker.connection: worker for worker in self._workers}
            for connection in wait(list(by_connection)):
                worker = by_connection[connection]  # type: ignore[index]
                try:
                    outcome = worker.connection.recv()
                except (EOFError, OSError):
                    self._replace(worker)
                    continue
                return worker.tasks.popleft(), outcome

    def _replace(self, worker: _Worker) -> None:
        """Start another process in place of one that has died, and give it the same tasks."""
        worker.connection.close()
        worker.process.join()
        tasks = list(worker.tasks)
        new = _Worker(self._problem)
        self._workers[self._workers.index(worker)] = new
        if tasks:
            first = tasks[0]
            self._deaths[first.number] = self._deaths.get(first.number, 0) + 1
            if self._deaths[first.number] >= MOST_DEATHS:
                self._given_up.append((first, Outcome(reason=f"it ended its process {MOST_DEATHS} times")))
                tasks = tasks[1:]
        for task in tasks:
            new.tasks.append(task)
            new.connection.send(task)

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            worker.process.join(timeout=5)
            if worker.process.is_alive():
                worker.process.terminate()
                worker.process.join()
