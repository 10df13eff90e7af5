"""The ground as a sheet of materials: roads, paint, kerbs and grain, drawn once and warped into every picture."""

import functools
import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from chanzi.drive.world.road import Lane, Line, Points

ROAD, PAINT, KERB, GRAIN = range(4)
"""Channels of a sheet: coverage by asphalt, by white paint and by red kerb, 0 to 255, and grain round 128."""

LEVELS = 4
"""A sheet comes at full size and halved up to three times, for what is far away."""

MARGIN_M = 120.0
"""Grass that a sheet holds round the roads; beyond it the ground has no grain."""

_SHOULDER_M = 0.4
_LINE_M = 0.16
_DASH_M, _DASH_PERIOD_M = 3.0, 8.0
_KERB_M = 0.5
_OPEN_M = 0.4
_KERB_BEND_1_M = 1 / 60
_MOST_PIXELS = 24_000_000
_WINDOW_M, _WINDOW_STEP_M = 384.0, 64.0
_WINDOWS_KEPT = 4
_GRAIN_PX = 1024
_SHIFT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A piece of ground.

    Parameters
    ----------
    levels : tuple of uint8 (height, width, 4)
        Full size, then halves. Rows go south, columns east.
    west_m, north_m : float
        Of the upper left corner.
    px_per_m : float
        At full size.
    """

    levels: tuple[npt.NDArray[np.uint8], ...]
    west_m: float
    north_m: float
    px_per_m: float

    def from_world(self, level: int) -> npt.NDArray[np.float64]:
        """Return the matrix (3, 3) from world metres (x, y, 1) to this level's pixel indices (column, row, 1)."""
        scale = self.px_per_m / 2**level
        return np.array(
            [[scale, 0.0, -self.west_m * scale - 0.5], [0.0, -scale, self.north_m * scale - 0.5], [0.0, 0.0, 1.0]]
        )


class Ground:
    """The ground of one map.

    Parameters
    ----------
    lanes : sequence of Lane
    px_per_m : int
        How finely it is drawn.
    kerbs : bool
        Red and white ones along solid lines where a lane bends, as on a racetrack.
    """

    def __init__(self, lanes: Sequence[Lane], *, px_per_m: int = 8, kerbs: bool = False) -> None:
        self.lanes = tuple(lanes)
        self.px_per_m = px_per_m
        self._kerbs = kerbs
        every = np.concatenate([lane.points_m for lane in self.lanes])
        self._low, self._high = np.floor(every.min(axis=0) - MARGIN_M), np.ceil(every.max(axis=0) + MARGIN_M)
        self._whole = math.prod(self._high - self._low) * px_per_m**2 <= _MOST_PIXELS
        self._sheets: OrderedDict[tuple[int, int], Sheet] = OrderedDict()

    def around(self, x_m: float, y_m: float) -> Sheet:
        """Return a sheet that reaches far round a point: all of a small map, a window of a large one."""
        cell = (0, 0) if self._whole else (round(x_m / _WINDOW_STEP_M), round(y_m / _WINDOW_STEP_M))
        if cell not in self._sheets:
            self._sheets[cell] = self._draw(cell)
            if len(self._sheets) > _WINDOWS_KEPT:
                self._sheets.popitem(last=False)
        self._sheets.move_to_end(cell)
        return self._sheets[cell]

    def _draw(self, cell: tuple[int, int]) -> Sheet:
        low, high = self._low, self._high
        if not self._whole:
            middle = np.array(cell) * _WINDOW_STEP_M
            low, high = np.maximum(low, middle - _WINDOW_M / 2), np.minimum(high, middle + _WINDOW_M / 2)
            high = np.maximum(high, low + 1.0)
        width, height = (int(v) for v in (high - low) * self.px_per_m)
        road, paint, kerb = (np.zeros((2 * height, 2 * width), np.uint8) for _ in range(3))
        brush = _Brush(west_m=low[0], north_m=high[1], px_per_m=2 * self.px_per_m)
        near = [lane for lane in self.lanes if _touches(lane, low, high)]
        for lane in near:
            points, normals = lane.points_m, _normals(lane.points_m)
            half = lane.width_m / 2 + _SHOULDER_M
            brush.fill(road, [_strip(_lengthened(points, 0.5), _lengthened_normals(normals), -half, half)])
        # Solid lines stop where another lane runs: entries and exits are open.
        inner = np.zeros_like(road)
        for lane in near:
            half = lane.width_m / 2 - _OPEN_M
            brush.fill(inner, [_strip(lane.points_m, _normals(lane.points_m), -half, half)])
        for lane in near:
            normals = _normals(lane.points_m)
            for line, side in ((lane.left, 0.5), (lane.right, -0.5)):
                at = side * lane.width_m
                runs = [(lane.points_m, normals)]
                if line is Line.SOLID:
                    outside = ~brush.touched(inner, lane.points_m + at * normals)
                    runs = [(lane.points_m[run], normals[run]) for run in _runs(outside)]
                for points, left in runs:
                    brush.fill(paint, _line_strips(points, left, line, at))
                if self._kerbs and line is Line.SOLID:
                    red, white = _kerb_strips(lane.points_m, normals, at)
                    brush.fill(kerb, red)
                    brush.fill(paint, white)
                    brush.fill(road, red)
                    brush.fill(road, white)
        small = [cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA) for mask in (road, paint, kerb)]
        grain = _grain(int(low[0] * self.px_per_m), int(high[1] * self.px_per_m), width, height)
        # Asphalt is much smoother than grass.
        calm = 1.0 - 0.72 * (small[0].astype(np.float32) / 255)
        grain = np.clip(128 + grain * calm, 0, 255).astype(np.uint8)
        levels = [cv2.merge([*small, grain])]
        while len(levels) < LEVELS:
            h, w = levels[-1].shape[:2]
            levels.append(cv2.resize(levels[-1], (max(w // 2, 1), max(h // 2, 1)), interpolation=cv2.INTER_AREA))
        return Sheet(levels=tuple(levels), west_m=low[0], north_m=high[1], px_per_m=self.px_per_m)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Brush:
    west_m: float
    north_m: float
    px_per_m: float

    def fill(self, mask: npt.NDArray[np.uint8], polygons: Iterable[Points]) -> None:
        """Fill polygons (N, 2) in world metres."""
        scale = self.px_per_m * 2**_SHIFT
        for polygon in polygons:
            pixels = np.stack([(polygon[:, 0] - self.west_m) * scale, (self.north_m - polygon[:, 1]) * scale], axis=1)
            cv2.fillPoly(mask, [np.rint(pixels).astype(np.int32)], 255, shift=_SHIFT)

    def touched(self, mask: npt.NDArray[np.uint8], points_m: Points) -> npt.NDArray[np.bool_]:
        """Return which points (N, 2) lie on what was filled."""
        columns = np.clip((points_m[:, 0] - self.west_m) * self.px_per_m, 0, mask.shape[1] - 1).astype(np.int64)
        rows = np.clip((self.north_m - points_m[:, 1]) * self.px_per_m, 0, mask.shape[0] - 1).astype(np.int64)
        return mask[rows, columns] > 0


def _runs(wanted: npt.NDArray[np.bool_]) -> list[slice]:
    """Return the stretches of two points or more that are wanted."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]])))
    return [slice(first, last) for first, last in edges.reshape(-1, 2).tolist() if last - first > 1]


def _touches(lane: Lane, low: Points, high: Points) -> bool:
    reach = lane.width_m
    return bool(np.all(lane.points_m.min(axis=0) - reach < high) and np.all(lane.points_m.max(axis=0) + reach > low))


def _normals(points_m: Points) -> Points:
    """Return the unit vectors (N, 2) to the left of a line."""
    along = np.gradient(points_m, axis=0)
    along /= np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    return np.stack([-along[:, 1], along[:, 0]], axis=1)


def _lengthened(points_m: Points, by_m: float) -> Points:
    """Return a line with both ends drawn out, so that lanes that follow each other leave no gap."""
    first, last = points_m[0] - points_m[1], points_m[-1] - points_m[-2]
    return np.concatenate(
        [
            [points_m[0] + by_m * first / np.hypot(*first)],
            points_m,
            [points_m[-1] + by_m * last / np.hypot(*last)],
        ]
    )


def _lengthened_normals(normals: Points) -> Points:
    return np.concatenate([normals[:1], normals, normals[-1:]])


def _strip(points_m: Points, normals: Points, low_m: float, high_m: float) -> Points:
    """Return the polygon between two offsets of a line; positive is left."""
    return np.concatenate([points_m + high_m * normals, (points_m + low_m * normals)[::-1]])


def _line_strips(points_m: Points, normals: Points, line: Line, at_m: float) -> list[Points]:
    if line is Line.NONE:
        return []
    if line is Line.SOLID:
        return [_strip(points_m, normals, at_m - _LINE_M / 2, at_m + _LINE_M / 2)]
    return _pieces(points_m, normals, at_m - _LINE_M / 2, at_m + _LINE_M / 2, _DASH_PERIOD_M, 0.0, _DASH_M)


def _kerb_strips(points_m: Points, normals: Points, at_m: float) -> tuple[list[Points], list[Points]]:
    """Return red and white pieces outside a line, where it bends."""
    heading = np.unwrap(np.arctan2(-normals[:, 0], normals[:, 1]))
    along = _along(points_m)
    if along[-1] < 1.0 or abs(heading[-1] - heading[0]) / along[-1] < _KERB_BEND_1_M:
        return [], []
    low, high = sorted((at_m, at_m + math.copysign(_KERB_M, at_m)))
    red = _pieces(points_m, normals, low, high, 2.0, 0.0, 1.0)
    return red, _pieces(points_m, normals, low, high, 2.0, 1.0, 2.0)


def _along(points_m: Points) -> npt.NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points_m, axis=0).T))])


def _pieces(
    points_m: Points, normals: Points, low_m: float, high_m: float, period_m: float, begin_m: float, end_m: float
) -> list[Points]:
    """Return strips over the part from `begin_m` to `end_m` of every period along a line."""
    along = _along(points_m)
    strips = []
    for start in np.arange(begin_m, along[-1], period_m):
        stop = min(start + end_m - begin_m, along[-1])
        if stop - start < 0.1:
            continue
        at = np.linspace(start, stop, max(2, math.ceil((stop - start) / 0.5) + 1))
        line = np.stack([np.interp(at, along, points_m[:, k]) for k in (0, 1)], axis=1)
        left = np.stack([np.interp(at, along, normals[:, k]) for k in (0, 1)], axis=1)
        strips.append(_strip(line, left, low_m, high_m))
    return strips


def _grain(column: int, row: int, width: int, height: int) -> npt.NDArray[np.float32]:
    """Return the ground's unevenness (height, width), a pattern that stays where it is in the world."""
    tile = _grain_tile()
    columns = np.arange(column, column + width) % _GRAIN_PX
    rows = np.arange(-row, -row + height) % _GRAIN_PX
    return tile[np.ix_(rows, columns)]


@functools.cache
def _grain_tile() -> npt.NDArray[np.float32]:
    """Return a square of noise at several scales that repeats without a seam."""
    rng = np.random.default_rng(20260101)
    total = np.zeros((_GRAIN_PX, _GRAIN_PX), np.float32)
    for cells, strength in ((8, 16.0), (32, 12.0), (128, 9.0), (512, 7.0)):
        wrapped = np.pad(rng.standard_normal((cells, cells)).astype(np.float32), 2, mode="wrap")
        scale = _GRAIN_PX // cells
        fine = cv2.resize(wrapped, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += strength * fine[2 * scale : -2 * scale, 2 * scale : -2 * scale]
    return total
