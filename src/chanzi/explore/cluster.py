"""Trying chips on a Ray cluster: one actor a processor, replaced where it or its machine is lost.

Needs the extra `[ray]`. The first process asks, keeps and decides; actors hold nothing that cannot be had again, so a
worker that is killed loses no trial: its tasks are given to another.
"""

from collections import deque
from typing import Any

from chanzi.errors import ExploreError
from chanzi.explore.evaluate import Outcome
from chanzi.explore.workers import AHEAD, MOST_DEATHS, Evaluator, Problem, Task


class Cluster:
    """A runner on the Ray cluster at `address`, or on one started here; `jobs` actors, by default one a processor."""

    def __init__(self, problem: Problem, address: str = "", jobs: int = 0) -> None:
        try:
            import ray
        except ImportError as error:
            raise ExploreError("Ray is not installed", hint="pip install 'chanzi[ray]'") from error
        self._ray = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                ray.init(address=address or None, log_to_driver=False, configure_logging=False)
            except Exception as error:  # Ray raises what its parts raise
                raise ExploreError(f"cannot reach a Ray cluster: {error}", hint="--ray ADDRESS, or none") from error
        self._problem = ray.put(problem)
        self._actor = ray.remote(num_cpus=1, max_restarts=0)(Evaluator)
        n = jobs or max(int(ray.cluster_resources().get("CPU", 1)), 1)
        self._actors = [self._new() for _ in range(n)]
        self._tasks: dict[Any, tuple[int, Task]] = {}  # reference -> the actor's place, the task
        self._deaths: dict[int, int] = {}
        self._given_up: deque[tuple[Task, Outcome]] = deque()

    def _new(self) -> Any:
        return self._actor.remote(self._problem)

    @property
    def room(self) -> int:
        """A task at work and one ahead for each actor."""
        return AHEAD * len(self._actors) - self.busy

    @property
    def busy(self) -> int:
        """Tasks submitted whose outcome has not been given back."""
        return len(self._tasks) + len(self._given_up)

    def submit(self, task: Task) -> None:
        """Give a task to the least busy actor."""
        load = [0] * len(self._actors)
        for place, _ in self._tasks.values():
            load[place] += 1
        self._give(load.index(min(load)), task)

    def _give(self, place: int, task: Task) -> None:
        self._tasks[self._actors[place].run.remote(task)] = (place, task)

    def next(self) -> tuple[Task, Outcome]:
        """Wait for an outcome; replace actors that have died."""
        while True:
            if self._given_up:
                return self._given_up.popleft()
            (done,), _ = self._ray.wait(list(self._tasks), num_returns=1)
            place, task = self._tasks.pop(done)
            try:
                return task, self._ray.get(done)
            except self._ray.exceptions.RayError:
                self._replace(place, task)

    def _replace(self, place: int, task: Task) -> None:
        """Start another actor in place of one that has died, and give it the same tasks."""
        mine = [(reference, t) for reference, (p, t) in self._tasks.items() if p == place]
        for reference, _ in mine:
            del self._tasks[reference]
        self._ray.kill(self._actors[place])
        self._actors[place] = self._new()
        self._deaths[task.number] = self._deaths.get(task.number, 0) + 1
        if self._deaths[task.number] >= MOST_DEATHS:
            self._given_up.append((task, Outcome(reason=f"it ended its worker {MOST_DEATHS} times")))
        else:
            self._give(place, task)
        for _, t in mine:
            self._give(place, t)

    def close(self) -> None:
        """End all actors, and the cluster where it was started for this search."""
        for actor in self._actors:
            self._ray.kill(actor)
        if self._ours:
            self._ray.shutdown()
