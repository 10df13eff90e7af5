"""Roads as the worlds draw and measure them: lanes with their lines, and routes along lanes.

All in one world frame: x east, y north in metres, angles counter-clockwise. A simulator with another convention is
converted where its roads are read, and nowhere else.
"""

import math
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

ROUTE_STEP_M = 0.5
_SMOOTH_M = 1.5
_WALK_ON = 6
"""Segments that `Route.follow` looks at after the best so far."""


class Line(Enum):
    """What is painted along one side of a lane."""

    NONE = "none"
    DASHED = "dashed"
    SOLID = "solid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One lane.

    Parameters
    ----------
    points_m : float64 (N, 2)
        Its centre line, in driving direction, half a metre or so apart.
    width_m : float
    left, right : Line
    limit_m_s : float
        Speed limit.
    """

    points_m: Points
    width_m: float
    left: Line = Line.NONE
    right: Line = Line.NONE
    limit_m_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands along a route.

    Parameters
    ----------
    along_m : float
        Distance along it of the nearest point.
    lateral_m : float
        Positive is left of it.
    """

    along_m: float
    lateral_m: float


class Route:
    """A smooth line to drive along, open or closed, measured by the distance along it.

    Parameters
    ----------
    points_m : float64 (N, 2)
        Corners may be rough: they are resampled every half metre and smoothed over one and a half.
    closed : bool
        Whether its end is its beginning.
    """

    def __init__(self, points_m: Points, *, closed: bool = False) -> None:
        points = np.asarray(points_m, np.float64)
        keep = np.ones(len(points), bool)
        keep[1:] = np.hypot(*np.diff(points, axis=0).T) > 1e-6
        points = points[keep]
        if closed:
            points = np.concatenate([points, points[:1]])
        steps = np.hypot(*np.diff(points, axis=0).T)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        count = max(2, round(along[-1] / ROUTE_STEP_M) + 1)
        even = np.linspace(0.0, along[-1], count)
        raw = np.stack([np.interp(even, along, points[:, k]) for k in (0, 1)], axis=1)
        self.closed = closed
        self.points_m = _smooth_line(raw[:-1] if closed else raw, closed=closed)
        ends = np.concatenate([self.points_m, self.points_m[:1]]) if closed else self.points_m
        self._segments = np.diff(ends, axis=0)
        self._lengths = np.hypot(*self._segments.T)
        self.along_m = np.concatenate([[0.0], np.cumsum(self._lengths)])
        self._ends = ends

    @property
    def length_m(self) -> float:
        """Distance from its beginning to its end."""
        return float(self.along_m[-1])

    @cached_property
    def headings_rad(self) -> npt.NDArray[np.float64]:
        """Direction at each of `along_m`, (N,), without jumps: round a closed route, the last is a full turn on."""
        angles = np.unwrap(np.arctan2(self._segments[:, 1], self._segments[:, 0]))
        turn = 0.0
        if self.closed:
            turn = angles[-1] - angles[0]
            turn = round((turn + _wrapped(angles[0] - angles[-1])) / (2 * math.pi)) * 2 * math.pi
            before, after = angles[-1] - turn, angles[0] + turn
        else:
            before, after = angles[0], angles[-1]
        padded = np.concatenate([[before], angles, [after]])
        return (padded[:-1] + padded[1:]) / 2

    @cached_property
    def curvatures_1_m(self) -> npt.NDArray[np.float64]:
        """Curvature at each of `along_m`, (N,); positive turns left."""
        return np.gradient(self.headings_rad, self.along_m)

    def point(self, along_m: npt.ArrayLike) -> Points:
        """Return points (..., 2) at distances along the route; an open one goes on straight beyond its ends."""
        s = np.asarray(along_m, np.float64)
        if self.closed:
            s = np.mod(s, self.length_m)
        inside = np.clip(s, 0.0, self.length_m)
        points = np.stack([np.interp(inside, self.along_m, self._ends[:, k]) for k in (0, 1)], axis=-1)
        beyond = s - inside
        if np.any(beyond):
            heading = np.where(beyond < 0, self.headings_rad[0], self.headings_rad[-1])
            points = points + beyond[..., None] * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
        return points

    def heading_rad(self, along_m: float) -> float:
        """Return the route's direction at a distance along it."""
        s = along_m % self.length_m if self.closed else along_m
        return float(np.interp(s, self.along_m, self.headings_rad))

    def curvature_1_m(self, along_m: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the curvature at distances along the route; positive turns left."""
        s = np.asarray(along_m, np.float64)
        s = np.mod(s, self.length_m) if self.closed else np.clip(s, 0.0, self.length_m)
        return np.interp(s, self.along_m, self.curvatures_1_m)

    def nearest(self, point_m: npt.ArrayLike, *, about_m: float | None = None, within_m: float = 20.0) -> Place:
        """Return where a point stands along the route.

        Parameters
        ----------
        point_m : (2,)
        about_m : float, optional
            Look only `within_m` before and after here: a route that passes near itself needs it.
        within_m : float
        """
        count = len(self._lengths)
        if about_m is None:
            index = np.arange(count)
        else:
            middle = int(np.searchsorted(self.along_m, about_m % self.length_m if self.closed else about_m)) - 1
            reach = math.ceil(within_m / ROUTE_STEP_M)
            index = np.arange(middle - reach, middle + reach + 1)
            index = index % count if self.closed else np.arange(max(index[0], 0), min(index[-1] + 1, count))
            if not len(index):
                index = np.array([0 if middle < 0 else count - 1])
        start, step, length = self._ends[index], self._segments[index], self._lengths[index]
        offset = np.asarray(point_m, np.float64) - start
        share = np.minimum(np.maximum((offset * step).sum(axis=1) / length**2, 0.0), 1.0)
        miss = offset - share[:, None] * step
        best = int(np.argmin((miss * miss).sum(axis=1)))
        return self._place(int(index[best]), float(share[best]), float(miss[best, 0]), float(miss[best, 1]))

    def follow(self, point_m: tuple[float, float], from_m: float) -> Place:
        """Return where a point stands that stood near `from_m` a moment ago: walks along the route, which is quick."""
        count = len(self._lengths)
        at = int(from_m / self.length_m * count)
        best, best_miss = (0, 0.0, 0.0, 0.0), math.inf
        for way in (1, -1):
            segment, worse = at if way > 0 else at - 1, 0
            while worse < _WALK_ON:
                if self.closed:
                    segment %= count
                elif not 0 <= segment < count:
                    break
                x, y, dx, dy, length = self._walk[segment]
                ahead, left = point_m[0] - x, point_m[1] - y
                share = min(max((ahead * dx + left * dy) / (length * length), 0.0), 1.0)
                miss_x, miss_y = ahead - share * dx, left - share * dy
                miss = miss_x * miss_x + miss_y * miss_y
                worse = 0 if miss < best_miss else worse + 1
                if miss < best_miss:
                    best, best_miss = (segment, share, miss_x, miss_y), miss
                segment += way
        if best_miss == math.inf:
            return self.nearest(point_m)
        return self._place(*best)

    @cached_property
    def _walk(self) -> list[tuple[float, ...]]:
        return [tuple(row) for row in np.column_stack([self._ends[:-1], self._segments, self._lengths]).tolist()]

    def _place(self, segment: int, share: float, miss_x: float, miss_y: float) -> Place:
        dx, dy = self._segments[segment]
        length = float(self._lengths[segment])
        return Place(
            float(self.along_m[segment]) + float(share) * length, (float(dx) * miss_y - float(dy) * miss_x) / length
        )


def _wrapped(angle_rad: float) -> float:
    """Return an angle in [-pi, pi)."""
    return (angle_rad + math.pi) % (2 * math.pi) - math.pi


def _smooth_line(points_m: Points, *, closed: bool) -> Points:
    """Return points (N, 2) averaged with a Gaussian along the line; an open line keeps its ends."""
    reach = math.ceil(3 * _SMOOTH_M / ROUTE_STEP_M)
    if len(points_m) < 2 * reach:
        return points_m
    offsets = np.arange(-reach, reach + 1) * ROUTE_STEP_M
    weights = np.exp(-0.5 * (offsets / _SMOOTH_M) ** 2)
    weights /= weights.sum()
    if closed:
        padded = np.concatenate([points_m[-reach:], points_m, points_m[:reach]])
    else:
        # Reflected through the end points, so that a straight line stays what it is.
        padded = np.concatenate(
            [2 * points_m[0] - points_m[reach:0:-1], points_m, 2 * points_m[-1] - points_m[-2 : -reach - 2 : -1]]
        )
    return np.stack([np.convolve(padded[:, k], weights, mode="valid") for k in (0, 1)], axis=1)
