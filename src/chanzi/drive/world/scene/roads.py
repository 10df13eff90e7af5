"""The ground of a map as one mesh, in the order in which it is painted: grass, asphalt, walks, lines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from chanzi.drive.world.look import Look
from chanzi.drive.world.scene.mesh import Colour, Mesh, faces, joined, strip

Points = npt.NDArray[np.float64]

_LINE_M = 0.17
_DASH_M, _PERIOD_M = 3.0, 9.0
_SHOULDER_M = 0.35
_FAR_M = 2500.0
_YELLOW: Colour = (232, 182, 44)
_WALK: Colour = (150, 146, 138)

GRASS_GRAIN, ROAD_GRAIN = 0.34, 0.10
"""How strongly the ground's unevenness shows, as a share of full white."""


class Paint(Enum):
    """What a line on the road is."""

    WHITE_DASHED = "white dashed"
    WHITE_SOLID = "white solid"
    YELLOW_SOLID = "yellow solid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripe:
    """A line on the road: points (N, 2) along it, in metres, and what it is."""

    points_m: Points
    paint: Paint


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A piece of road or pavement: the points (N, 2) of its left and of its right edge."""

    left_m: Points
    right_m: Points


def ground_mesh(lanes: Sequence[Band], walks: Sequence[Band], stripes: Sequence[Stripe], look: Look) -> Mesh:
    """Return the ground with everything flat that lies on it.

    Parameters
    ----------
    lanes, walks : sequence of Band
        Lanes are drawn a little wider than they are, so that neighbours leave no gap.
    stripes : sequence of Stripe
    look : Look
    """
    middle = np.concatenate([band.left_m for band in lanes]).mean(axis=0)
    parts = [_plain(middle, look.grass)]
    parts += [strip(walk.left_m, walk.right_m, _WALK, ROAD_GRAIN * look.grain) for walk in walks]
    parts += [_road(lane, look) for lane in lanes]
    for stripe in stripes:
        parts += _painted(stripe, look.paint)
    return joined(parts)


def _plain(middle_m: Points, colour: Colour) -> Mesh:
    x, y = (float(v) for v in middle_m)
    corners = [(x + a * _FAR_M, y + b * _FAR_M, 0.0) for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
    return faces([corners], colour, GRASS_GRAIN)


def _road(lane: Band, look: Look) -> Mesh:
    across = lane.left_m - lane.right_m
    across /= np.maximum(np.hypot(*across.T), 1e-9)[:, None]
    left, right = lane.left_m + _SHOULDER_M * across, lane.right_m - _SHOULDER_M * across
    # A hand's breadth longer at both ends: lanes that follow each other leave no gap.
    reach = 0.1 * np.array([[-across[0, 1], across[0, 0]], [across[-1, 1], -across[-1, 0]]])
    along = lane.left_m[1] - lane.left_m[0]
    if reach[0] @ along > 0:
        reach = -reach
    left[[0, -1]] += reach
    right[[0, -1]] += reach
    return strip(left, right, look.asphalt, ROAD_GRAIN * look.grain)


def _painted(stripe: Stripe, white: Colour) -> list[Mesh]:
    colour = _YELLOW if stripe.paint is Paint.YELLOW_SOLID else white
    points = stripe.points_m
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    if along[-1] < 0.2:
        return []
    if stripe.paint is not Paint.WHITE_DASHED:
        return [_line(points, colour)]
    dashes = []
    for start in np.arange(0.0, along[-1], _PERIOD_M):
        stop = min(start + _DASH_M, along[-1])
        if stop - start < 0.3:
            continue
        at = np.linspace(start, stop, max(2, math.ceil(stop - start) + 1))
        dashes.append(_line(np.stack([np.interp(at, along, points[:, k]) for k in (0, 1)], axis=1), colour))
    return dashes


def _line(points_m: Points, colour: Colour) -> Mesh:
    along = np.gradient(points_m, axis=0)
    along /= np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    left = np.stack([-along[:, 1], along[:, 0]], axis=1) * (_LINE_M / 2)
    return strip(points_m + left, points_m - left, colour)
