"""Frames from where the network itself comes to, labelled with what was so: the network drives, a teacher saves it.

DAgger (Ross, Gordon, Bagnell 2011): an expert's own drives do not show the mistakes that a network makes, and what it
would have to do after them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chanzi.drive.controller import Driver
from chanzi.drive.episode import Hands, Parts, Pilot, run_episode
from chanzi.drive.expert import expert_control
from chanzi.drive.messages import Control, Frame, Truth
from chanzi.drive.network.collect import Recipe, Unsteady, shard_path
from chanzi.drive.network.shards import make_shard, write_shard
from chanzi.drive.world.registry import make_world
from chanzi.drive.world.world import World

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """How the wheel is shared.

    Parameters
    ----------
    share : float
        Of the time that the teacher drives, unsteady as in `collect`, in stretches of `stretch_s`.
    stretch_s : float
    far_m : float
        Beside the lane's centre, from where the teacher saves the car, back to a third of it.
    """

    share: float = 0.3
    stretch_s: float = 2.5
    far_m: float = 1.6


class _Teacher:
    """A co-driver: pushes the car off its line now and then, saves it, and keeps frames with what was so."""

    def __init__(self, recipe: Recipe, lesson: Lesson, seed: int) -> None:
        self._recipe, self._lesson = recipe, lesson
        self._rng = np.random.default_rng([seed, 11])
        self._unsteady = Unsteady(recipe, seed)
        self._until_s = 0.0
        self._mine = self._saving = False
        self._hands: Hands | None = None
        self._think_s = self._keep_s = 0.0
        self._world: World | None = None
        self.frames: list[Frame] = []
        self.truths: list[Truth] = []

    def begin(self, world: World) -> None:
        """Begin an episode."""
        self._world = world

    def saw(self, frame: Frame) -> Frame:
        """Keep a frame, if it is time for one; it goes on as it is."""
        assert self._world is not None
        if frame.time_s >= self._keep_s - 1e-9:
            self._keep_s = frame.time_s + self._recipe.every_s
            truth = self._world.truth()
            if abs(truth.lateral_m) <= self._recipe.most_lateral_m:
                self.frames.append(frame)
                self.truths.append(truth)
        return frame

    def take(self, world: World, time_s: float, speed_m_s: float) -> Hands | None:
        """Return the teacher's control, or None where the network drives."""
        if time_s >= self._until_s:
            self._mine = self._rng.random() < self._lesson.share
            self._until_s = time_s + self._lesson.stretch_s
        # The truth costs more than a tick of the world: the teacher thinks as often as the expert of `collect`.
        if time_s >= self._think_s - 1e-9:
            self._hands = self._think(world, time_s, speed_m_s)
            self._think_s = time_s + 0.08
        return self._hands

    def _think(self, world: World, time_s: float, speed_m_s: float) -> Hands | None:
        truth = world.truth()
        off = abs(truth.lateral_m)
        self._saving = off > self._lesson.far_m or (self._saving and off > self._lesson.far_m / 3)
        if self._saving:
            return Hands(control=expert_control(truth, speed_m_s, world.vehicle), why="saved")
        if not self._mine:
            return None
        told, push_rad = self._unsteady.disturb(time_s, truth)
        sure = expert_control(told, speed_m_s, world.vehicle)
        pushed = Control(steering_rad=sure.steering_rad + push_rad, acceleration_m_s2=sure.acceleration_m_s2)
        return Hands(control=pushed, why="pushed")


def aggregate(
    folder: Path,
    seeds: Sequence[int],
    recipe: Recipe,
    pilot: Pilot,
    lesson: Lesson | None = None,
    *,
    progress: Progress | None = None,
) -> list[Path]:
    """Let a network drive the episodes of `seeds` and write a shard of each; those that are there are not driven again.

    Returns
    -------
    list of Path
        In the order of the seeds; an episode of which nothing is worth keeping has none.
    """
    lesson = lesson or Lesson()
    world = make_world(recipe.world, **recipe.options)
    try:
        for done, seed in enumerate(seeds):
            if shard_path(folder, seed).is_file():
                continue
            teacher = _Teacher(recipe, lesson, seed)
            parts = Parts(pilot=pilot, driver=Driver(world.vehicle), codriver=teacher, sensor=teacher.saw)
            episode = run_episode(world, seed, parts, limit_s=recipe.seconds)
            if teacher.frames:
                write_shard(shard_path(folder, seed), make_shard(teacher.frames, teacher.truths))
            if progress:
                saved = sum(takeover.why == "saved" for takeover in episode.takeovers)
                progress(f"{done + 1} of {len(seeds)} episodes: {episode.ended}, saved {saved} times")
    finally:
        world.close()
    return [path for seed in seeds if (path := shard_path(folder, seed)).is_file()]
