"""What stands beside the roads: trees in the grass, posts along the edges."""

from collections.abc import Sequence

import numpy as np

from chanzi.drive.world.road import Lane, Points
from chanzi.drive.world.solids import Scenery

_TREES_PER_HECTARE = 34.0
_MOST_TREES = 900
_NEAREST_TREE_M, _FARTHEST_TREE_M = 5.0, 45.0
_POST_EVERY_M = 18.0
_POST_BESIDE_M = 1.4


def scatter(lanes: Sequence[Lane], rng: np.random.Generator) -> Scenery:
    """Return trees and posts round a map, none of them on a road.

    Parameters
    ----------
    lanes : sequence of Lane
    rng : numpy.random.Generator
    """
    middle = np.concatenate([lane.points_m[::4] for lane in lanes])
    half = np.concatenate([np.full(len(lane.points_m[::4]), lane.width_m / 2) for lane in lanes])
    low, high = middle.min(axis=0) - _FARTHEST_TREE_M, middle.max(axis=0) + _FARTHEST_TREE_M
    count = min(_MOST_TREES, round(float(np.prod(high - low)) / 10_000 * _TREES_PER_HECTARE))
    trees = rng.uniform(low, high, (count, 2))
    free = _clearance(trees, middle, half)
    trees = trees[(free > _NEAREST_TREE_M) & (free < _FARTHEST_TREE_M)]
    posts = _posts(lanes, middle, half)

    pointed = rng.random(len(trees)) < 0.45
    green = np.array([66.0, 98.0, 52.0]) + rng.uniform(-14, 14, (len(trees), 1)) + rng.uniform(-10, 10, (len(trees), 3))
    green[pointed] *= (0.72, 0.86, 0.9)
    return Scenery(
        places_m=np.concatenate([trees, posts]),
        heights_m=np.concatenate([rng.uniform(4.0, 9.0, len(trees)), np.full(len(posts), 0.95)]),
        tones=np.concatenate([green, np.full((len(posts), 3), 232.0)]),
        kinds=np.concatenate([pointed.astype(np.int64), np.full(len(posts), 2)]),
    )


def _clearance(places: Points, middle: Points, half: np.ndarray) -> np.ndarray:
    """Return how far each place (N, 2) lies from the nearest lane's edge, (N,)."""
    if not len(places):
        return np.empty(0)
    free = np.full(len(places), np.inf)
    for first in range(0, len(middle), 512):
        offset = places[:, None] - middle[None, first : first + 512]
        free = np.minimum(free, (np.hypot(offset[..., 0], offset[..., 1]) - half[first : first + 512]).min(axis=1))
    return free


def _posts(lanes: Sequence[Lane], middle: Points, half: np.ndarray) -> Points:
    """Return places along both sides of every lane where no other lane runs."""
    places = []
    for lane in lanes:
        stride = round(_POST_EVERY_M / 0.5)
        at = lane.points_m[stride // 2 : -1 : stride]
        if not len(at):
            continue
        along = np.gradient(lane.points_m, axis=0)[stride // 2 : -1 : stride]
        along /= np.maximum(np.hypot(*along.T), 1e-9)[:, None]
        left = np.stack([-along[:, 1], along[:, 0]], axis=1) * (lane.width_m / 2 + _POST_BESIDE_M)
        places += [at + left, at - left]
    every = np.concatenate(places) if places else np.empty((0, 2))
    return every[_clearance(every, middle, half) > _POST_BESIDE_M - 0.35]
