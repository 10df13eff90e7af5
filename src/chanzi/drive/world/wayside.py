"""What stands beside the roads: trees in the grass, posts along the edges."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chanzi.drive.world.brush import SCALE, Canvas, disc, fill_fixed
from chanzi.drive.world.lens import Lens, Pose
from chanzi.drive.world.light import brightness, haze
from chanzi.drive.world.look import Look
from chanzi.drive.world.road import Lane, Points

ROUND, POINTED, POST = range(3)

_TREES_PER_HECTARE = 34.0
_MOST_TREES = 900
_NEAREST_TREE_M, _FARTHEST_TREE_M = 5.0, 45.0
_POST_EVERY_M = 18.0
_POST_BESIDE_M = 1.4
_SEEN_M = 110.0
_FINE_PX = 16.0
_BARK = np.array([74.0, 58.0, 44.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenery:
    """What stands beside the roads, in the world's frame.

    Parameters
    ----------
    places_m : float64 (N, 2)
    heights_m : float64 (N,)
    tones : float64 (N, 3)
        Colours of the crowns; of a post, its own.
    kinds : int64 (N,)
        `ROUND` and `POINTED` trees, `POST`.
    """

    places_m: Points
    heights_m: npt.NDArray[np.float64]
    tones: npt.NDArray[np.float64]
    kinds: npt.NDArray[np.int64]


class Seen:
    """The scenery that one camera sees from one place.

    Parameters
    ----------
    scenery : Scenery
    lens : Lens
    pose : Pose
    look : Look
    """

    def __init__(self, scenery: Scenery, lens: Lens, pose: Pose, look: Look) -> None:
        c, s = math.cos(pose[2]), math.sin(pose[2])
        camera = lens.camera
        every = (scenery.places_m - (pose[0], pose[1])) @ np.array([[c, -s], [s, c]])
        from_lens = every - lens.place[:2]
        ahead, aside = from_lens @ lens.axes[2, :2], from_lens @ lens.axes[0, :2]
        far = np.hypot(from_lens[:, 0], from_lens[:, 1])
        inside = (ahead > 1.0) & (far < _SEEN_M) & (np.abs(aside) < ahead * (camera.width / 2 / camera.focal_px) + 3.0)
        index = np.flatnonzero(inside)
        foot = np.pad(from_lens[index], ((0, 0), (0, 1)), constant_values=-camera.z_m) @ lens.axes.T
        size = camera.focal_px / foot[:, 2]
        self.distances_m: list[float] = far[index].tolist()
        self._x = (foot[:, 0] * size + camera.width / 2 - 0.5).tolist()
        self._y = (foot[:, 1] * size + camera.height / 2 - 0.5).tolist()
        self._size = size.tolist()
        self._tall = (scenery.heights_m[index] * size).tolist()
        self._kinds = scenery.kinds[index].tolist()
        share = haze(look, far[index])[:, None]
        light = brightness(look, every[index, 0], every[index, 1])[:, None] * (1 - share)
        self._veil = share * np.array(look.sky_low)
        self._lit = scenery.tones[index] * light
        self._bark = np.minimum(_BARK * light + self._veil, 255).tolist()

    def paint(self, canvas: Canvas, number: int) -> None:
        """Paint one of them; `distances_m` says in which order."""
        x, y, tall = self._x[number], self._y[number], self._tall[number]
        lit, veil = self._lit[number], self._veil[number]

        def tinted(factor: float) -> list[float]:
            return np.minimum(lit * factor + veil, 255).tolist()

        kind = self._kinds[number]
        if kind == POST:
            half = max(0.06 * self._size[number], 0.35)
            _rectangle(canvas, x - half, y - tall, x + half, y, tinted(1.0))
            if tall > 4:
                _rectangle(canvas, x - half, y - tall * 0.85, x + half, y - tall * 0.65, tinted(0.2))
            return
        half = max(0.025 * tall, 0.3)
        _rectangle(canvas, x - half, y - tall * 0.4, x + half, y, self._bark[number])
        fine = tall > _FINE_PX
        if kind == POINTED:
            for low, high, wide, factor in _TIERS if fine else _ONE_TIER:
                left, right, base, peak = x - wide * tall, x + wide * tall, y - low * tall, y - high * tall
                _triangle(canvas, left, base, right, base, x, peak, tinted(factor))
                if fine:
                    _triangle(canvas, left, base, x - 0.2 * wide * tall, base, x, peak, tinted(factor * 1.16))
            return
        for aside, high, radius, factor in _BLOBS if fine else _ONE_BLOB:
            disc(canvas, x + aside * tall, y - high * tall, radius * tall, tinted(factor))


_TIERS = ((0.12, 0.62, 0.24, 0.72), (0.38, 0.84, 0.18, 0.88), (0.62, 1.0, 0.12, 1.0))
_ONE_TIER = ((0.12, 1.0, 0.2, 0.85),)
"""Of a pointed tree: base, peak, half width in shares of its height, and how light."""

_BLOBS = (
    (0.0, 0.60, 0.27, 0.72),
    (-0.13, 0.58, 0.19, 0.86),
    (0.14, 0.62, 0.18, 0.8),
    (-0.03, 0.78, 0.2, 1.0),
    (-0.07, 0.81, 0.12, 1.15),
)
_ONE_BLOB = ((0.0, 0.66, 0.3, 0.86),)
"""Of a round one: right of the trunk, height, radius, and how light."""


def _rectangle(canvas: Canvas, left: float, top: float, right: float, bottom: float, paint: list[float]) -> None:
    points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    fill_fixed(canvas, np.array([(round(x * SCALE), round(y * SCALE)) for x, y in points], np.int32), paint)


def _triangle(
    canvas: Canvas, x0: float, y0: float, x1: float, y1: float, x2: float, y2: float, paint: list[float]
) -> None:
    points = [(x0, y0), (x1, y1), (x2, y2)]
    fill_fixed(canvas, np.array([(round(x * SCALE), round(y * SCALE)) for x, y in points], np.int32), paint)


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
