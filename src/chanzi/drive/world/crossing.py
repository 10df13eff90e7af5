"""How fast a careful driver goes where others cross the way: the most that leaves room in place and in time.

A handful of speeds is tried, each with the acceleration that leads to it and slower where the road asks for it; the car
is followed along its route and the others along theirs, at the speed they have. The trial that keeps most time between
them is taken, and of several the fastest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

HORIZON_S = 6.0
STEP_S = 0.25
TIMES_S = np.arange(0.0, HORIZON_S + STEP_S / 2, STEP_S)
"""Moments at which encounters are looked for."""

_SHARES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
_PUSH_M_S2 = 1.5
_BRAKE_M_S2 = np.where(np.array(_SHARES) > 0, 3.0, 5.0)
_AIR_M = 0.3
_AIR_STEPS = (3, 2, 1, 0)
"""Nobody may be where the car is from this many steps before it to as many after it; fewer where that cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Where another vehicle is expected.

    Parameters
    ----------
    places_m : float64 (len(TIMES_S), 2)
        Its middle.
    headings_rad : float64 (len(TIMES_S),)
    length_m, width_m : float
    """

    places_m: npt.NDArray[np.float64]
    headings_rad: npt.NDArray[np.float64]
    length_m: float
    width_m: float


def trials_m(
    speed_m_s: float, target_m_s: float, along_m: npt.NDArray[np.floating], limits_m_s: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the speeds that are tried (S,), fastest first, and how far each has led at `TIMES_S`, (S, T).

    Parameters
    ----------
    speed_m_s, target_m_s : float
        Now, and at most.
    along_m, limits_m_s : (N,)
        What the road allows at distances ahead, 0 and up.
    """
    tried = target_m_s * np.array(_SHARES)
    speed = np.full(len(tried), max(speed_m_s, 0.0))
    way = np.zeros((len(tried), len(TIMES_S)))
    for k in range(1, len(TIMES_S)):
        aim = np.minimum(tried, np.interp(way[:, k - 1], along_m, limits_m_s))
        following = np.clip(aim, speed - _BRAKE_M_S2 * STEP_S, speed + _PUSH_M_S2 * STEP_S)
        way[:, k] = way[:, k - 1] + (speed + following) / 2 * STEP_S
        speed = following
    return tried, way


def clear_speed_m_s(
    places_m: npt.NDArray[np.float64],
    headings_rad: npt.NDArray[np.float64],
    speeds_m_s: npt.NDArray[np.float64],
    length_m: float,
    width_m: float,
    others: Sequence[Forecast],
) -> float:
    """Return the first of the tried speeds that meets nobody with most time between; if all do, that which does last.

    Parameters
    ----------
    places_m : (S, T, 2)
        Where each trial leads.
    headings_rad : (S, T)
    speeds_m_s : (S,)
    length_m, width_m : float
        Of the car.
    others : sequence of Forecast
    """
    if not others:
        return float(speeds_m_s[0])
    own = _discs(places_m, headings_rad, length_m)
    low, high = own.min(axis=(0, 1, 2)), own.max(axis=(0, 1, 2))
    near = np.zeros((*places_m.shape[:2], _AROUND.shape[1]), bool)
    for other in others:
        theirs = _discs(other.places_m, other.headings_rad, other.length_m)
        reach = _radius(length_m, width_m) + _radius(other.length_m, other.width_m) + _AIR_M
        if (theirs.max(axis=(0, 1)) < low - reach).any() or (theirs.min(axis=(0, 1)) > high + reach).any():
            continue
        # (S, T, times near T, own disc, their disc)
        around = theirs[_AROUND][None, :, :, None, :]
        x, y = (own[:, :, None, :, None, k] - around[..., k] for k in (0, 1))
        near |= (x * x + y * y < reach * reach).any(axis=(3, 4))
    middle = _AIR_STEPS[0]
    for air in _AIR_STEPS:
        free = np.flatnonzero(~near[:, :, middle - air : middle + air + 1].any(axis=(1, 2)))
        if len(free):
            return float(speeds_m_s[free[0]])
    return float(speeds_m_s[int(near[:, :, middle].argmax(axis=1).argmax())])


_AROUND = np.clip(
    np.add.outer(np.arange(len(TIMES_S)), np.arange(-_AIR_STEPS[0], _AIR_STEPS[0] + 1)), 0, len(TIMES_S) - 1
)
"""For each moment the moments round it, (T, 2 * _AIR_STEPS[0] + 1)."""


def _discs(
    places_m: npt.NDArray[np.float64], headings_rad: npt.NDArray[np.float64], length_m: float
) -> npt.NDArray[np.float64]:
    """Return the middles of three discs that cover a vehicle, (..., 3, 2)."""
    along = np.stack([np.cos(headings_rad), np.sin(headings_rad)], axis=-1)
    return places_m[..., None, :] + np.array([-1, 0, 1])[:, None] * (length_m / 3) * along[..., None, :]


def _radius(length_m: float, width_m: float) -> float:
    return float(np.hypot(length_m / 6, width_m / 2))
