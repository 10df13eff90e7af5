"""Drives of the expert that a network can learn from: it is pushed off its line and shows how to come back.

A driver who never errs shows no one how to recover (Pomerleau 1989); so noise comes in bursts on the steering, the line
that is aimed at wanders beside the lane's centre, and speed is now and then not what it should be. Labels are what is
so, never what was done.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from chanzi.drive.expert import expert_control
from chanzi.drive.messages import Control, Frame, Truth
from chanzi.drive.network.shards import make_shard, write_shard
from chanzi.drive.world.registry import make_world
from chanzi.drive.world.world import World

Progress = Callable[[str], None]
_THINK_S = 0.08
"""Between the expert's decisions: the truth costs more than a tick of the world."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How drives are collected.

    Parameters
    ----------
    world : str
        As `make_world` takes it.
    options : mapping
        Of the world: cameras, size, traffic.
    every_s : float
        Between frames that are kept: neighbours teach little.
    burst_rad : float
        Steering noise of a burst, at most.
    wander_m : float
        How far beside the lane's centre it aims, at most.
    most_lateral_m : float
        Frames further from the centre are not kept: another lane may be nearer there.
    seconds : float
        Of an episode, at most.
    """

    world: str = "highway:racetrack"
    options: Mapping[str, object] = field(default_factory=dict)
    every_s: float = 0.2
    burst_rad: float = 0.25
    wander_m: float = 1.2
    most_lateral_m: float = 2.3
    seconds: float = 60.0


class Unsteady:
    """What makes the expert's driving worth learning from: bursts on the steering, a line that wanders, odd speeds."""

    def __init__(self, recipe: Recipe, seed: int) -> None:
        self._recipe = recipe
        self._rng = np.random.default_rng([seed, 7])
        self._until = dict.fromkeys(("burst", "wander", "pace"), 0.0)
        self._burst_rad = self._aside_m = 0.0
        self._pace = 1.0

    def disturb(self, time_s: float, truth: Truth) -> tuple[Truth, float]:
        """Return what the expert is told, and what is added to its steering."""
        rng, until = self._rng, self._until
        if time_s >= until["burst"]:
            busy = self._burst_rad == 0.0
            self._burst_rad = float(rng.uniform(-1, 1)) * self._recipe.burst_rad if busy else 0.0
            until["burst"] = time_s + float(rng.uniform(0.2, 0.8) if busy else rng.uniform(0.8, 2.5))
        if time_s >= until["wander"]:
            self._aside_m = float(rng.uniform(-1, 1)) * self._recipe.wander_m
            until["wander"] = time_s + float(rng.uniform(1.5, 4.0))
        if time_s >= until["pace"]:
            self._pace = float(rng.uniform(0.5, 1.15))
            until["pace"] = time_s + float(rng.uniform(2.0, 6.0))
        told = replace(
            truth,
            path_m=truth.path_m + np.array([0.0, self._aside_m], np.float32),
            target_speed_m_s=truth.target_speed_m_s * self._pace,
        )
        return told, self._burst_rad


def drive(world: World, seed: int, recipe: Recipe) -> tuple[list[Frame], list[Truth]]:
    """Return the frames of an episode that are worth keeping, and what was so at each."""
    world.reset(seed)
    unsteady = Unsteady(recipe, seed)
    frames: list[Frame] = []
    truths: list[Truth] = []
    ticks = max(1, round(recipe.every_s / world.tick_s))
    thinking = max(1, round(_THINK_S / world.tick_s))
    speed, tick = 0.0, 0
    control = Control()
    status = world.status()
    while not status.ended and status.time_s < recipe.seconds:
        if tick % ticks == 0:
            frame, truth = world.observe(), world.truth()
            speed = frame.speed_m_s
            if abs(truth.lateral_m) <= recipe.most_lateral_m:
                frames.append(frame)
                truths.append(truth)
        if tick % thinking == 0:
            truth = world.truth()
            told, noise = unsteady.disturb(tick * world.tick_s, truth)
            sure = expert_control(told, speed, world.vehicle)
            # Far out the expert has the wheel to itself: an episode that ends in the grass teaches less.
            wild = noise if abs(truth.lateral_m) < 0.6 * recipe.most_lateral_m else 0.0
            control = Control(steering_rad=sure.steering_rad + wild, acceleration_m_s2=sure.acceleration_m_s2)
        speed = max(0.0, speed + control.acceleration_m_s2 * world.tick_s)
        world.step(control)
        status = world.status()
        tick += 1
    return frames, truths


def shard_path(folder: Path, seed: int) -> Path:
    """Return where the episode of a seed is kept."""
    return folder / f"episode-{seed:06d}.npz"


def collect(
    folder: Path, seeds: Sequence[int], recipe: Recipe, *, processes: int = 1, progress: Progress | None = None
) -> list[Path]:
    """Drive the episodes of `seeds` and write a shard of each; those that are there already are not driven again.

    Returns
    -------
    list of Path
        In the order of the seeds; an episode of which nothing is worth keeping has none.
    """
    wanted = [seed for seed in seeds if not shard_path(folder, seed).is_file()]
    if processes > 1 and len(wanted) > 1:
        parts = [wanted[i::processes] for i in range(processes)]
        with ProcessPoolExecutor(processes) as pool:
            list(pool.map(_some, [folder] * processes, parts, [recipe] * processes))
    else:
        _some(folder, wanted, recipe, progress)
    return [path for seed in seeds if (path := shard_path(folder, seed)).is_file()]


def _some(folder: Path, seeds: Sequence[int], recipe: Recipe, progress: Progress | None = None) -> None:
    if not seeds:
        return
    world = make_world(recipe.world, **recipe.options)
    try:
        for done, seed in enumerate(seeds):
            frames, truths = drive(world, seed, recipe)
            if frames:
                write_shard(shard_path(folder, seed), make_shard(frames, truths))
            if progress:
                progress(f"{done + 1} of {len(seeds)} episodes, {len(frames)} frames of seed {seed}")
    finally:
        world.close()
