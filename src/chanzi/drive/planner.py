"""From what the network says of a frame to where the car means to go, and how fast. Classical, and every limit is here.

The network proposes; this disposes: whatever it says, the car goes no faster than the curves ahead, the vehicle in
front and the network's own doubt allow, and where its words make no sense the car stops in its lane.
"""

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from chanzi.drive.messages import (
    GRID_CELL_M,
    GRID_COLUMNS,
    GRID_ROWS,
    PATH_DISTANCES_M,
    Perception,
    Plan,
    Vehicle,
)

Points = npt.NDArray[np.float64]

STEP_M = 1.0
"""Between the points of a plan's path."""
_CAR_M_S2 = 10.0
"""What a road car's tyres hold, about. A vehicle whose brakes do more is a racing car on wheels of glue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the car never does, and how it follows.

    Parameters
    ----------
    lateral_m_s2 : float
        Sideways acceleration in a curve. The network's own target is more careful; this is the fence behind it.
    braking_m_s2 : float
        With which it means to slow down for a curve or for what it cannot see.
    headway_s, standstill_m, acceleration_m_s2, comfort_m_s2 : float
        T, s0, a and b of the intelligent driver model (Treiber, Hennecke, Helbing 2000).
    occupied : float
        Probability from which a cell counts as taken.
    doubt_m : float
        Spread of the path from which it is not believed.
    response_s : float
        Time in which the controller closes a difference of speed; so a speed of ``v + a * response_s`` asks for `a`.
    """

    lateral_m_s2: float = 3.5
    braking_m_s2: float = 3.0
    headway_s: float = 1.2
    standstill_m: float = 3.0
    acceleration_m_s2: float = 2.0
    comfort_m_s2: float = 2.0
    occupied: float = 0.5
    doubt_m: float = 1.5
    response_s: float = 0.8

    @staticmethod
    def of(vehicle: Vehicle) -> "Limits":
        """Return the limits of a vehicle: a road car's, or those of one with `grip` times its tyres."""
        base, k = Limits(), grip(vehicle)
        return replace(
            base,
            lateral_m_s2=base.lateral_m_s2 * k,
            braking_m_s2=base.braking_m_s2 * k,
            acceleration_m_s2=base.acceleration_m_s2 * k,
            comfort_m_s2=base.comfort_m_s2 * k,
            headway_s=base.headway_s / math.sqrt(k),
            response_s=base.response_s / math.sqrt(k),
        )


def grip(vehicle: Vehicle) -> float:
    """Return how many times a road car's accelerations a vehicle bears, 1 and up.

    On the same road with k times the grip everything happens as before at sqrt(k) times the speed: accelerations grow
    by k and times shrink by sqrt(k), which is how limits and tuning are scaled.
    """
    return max(1.0, vehicle.max_braking_m_s2 / _CAR_M_S2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """The vehicle in front: gap from bumper to bumper, its speed, and when that was so."""

    time_s: float
    gap_m: float
    speed_m_s: float


def make_plan(
    perception: Perception,
    *,
    time_s: float,
    speed_m_s: float,
    vehicle: Vehicle,
    limits: Limits | None = None,
    lead: Lead | None = None,
) -> tuple[Plan, Lead | None]:
    """Return the plan of a frame, and what is known of the vehicle in front.

    Parameters
    ----------
    perception : Perception
    time_s, speed_m_s : float
        Of the frame.
    vehicle : Vehicle
    limits : Limits, optional
    lead : Lead, optional
        What the last call returned.
    """
    limits = limits or Limits.of(vehicle)
    wrong = nonsense(perception)
    if wrong:
        return Plan(frame=perception.frame, path_m=straight(), speed_m_s=0.0, stop=wrong), None
    path = smooth(perception.path_m)
    believed = believed_m(perception.spread_m, limits.doubt_m)
    if believed <= PATH_DISTANCES_M[0]:
        stop = f"the path is not known better than {limits.doubt_m:g} m"
        return Plan(frame=perception.frame, path_m=path.astype(np.float32), speed_m_s=0.0, stop=stop), None
    wanted = min(
        perception.target_speed_m_s,
        vehicle.max_speed_m_s,
        curve_speed_m_s(path, limits),
        math.sqrt(2 * limits.braking_m_s2 * believed),
    )
    wanted = max(wanted, 0.0)
    gap = gap_m(path, perception.occupancy, vehicle, limits)
    lead = followed(lead, gap, time_s=time_s, speed_m_s=speed_m_s, guess_m_s=min(speed_m_s, wanted))
    if lead is not None:
        asked = speed_m_s + limits.response_s * follow_m_s2(speed_m_s, lead, limits)
        wanted = min(wanted, max(asked, 0.0))
    return Plan(frame=perception.frame, path_m=path.astype(np.float32), speed_m_s=wanted), lead


def stop_plan(last: Plan | None, why: str) -> Plan:
    """Return the plan that stops the car in its lane: along the last path that was believed, straight on without."""
    if last is None:
        return Plan(frame=0, path_m=straight(), speed_m_s=0.0, stop=why)
    return Plan(frame=last.frame, path_m=last.path_m, speed_m_s=0.0, stop=last.stop or why)


def straight() -> npt.NDArray[np.float32]:
    """Return the path that goes straight on."""
    ahead = np.arange(0.0, PATH_DISTANCES_M[-1] + STEP_M, STEP_M)
    return np.stack([ahead, np.zeros_like(ahead)], axis=1).astype(np.float32)


def nonsense(perception: Perception) -> str:
    """Return what is wrong with a perception that no road can have, or nothing."""
    path = np.asarray(perception.path_m, np.float64)
    numbers = (path, perception.spread_m, perception.occupancy, np.float64(perception.target_speed_m_s))
    if not all(np.isfinite(part).all() for part in numbers):
        return "the network's answer is no number"
    along = np.asarray(PATH_DISTANCES_M)
    steps, expected = np.hypot(*np.diff(path, axis=0).T), np.diff(along)
    if (np.hypot(*path[0]) > 3 * GRID_CELL_M + along[0]) or (steps > 2 * expected + 1.0).any():
        return "the path tears"
    turns = np.abs(_wrapped(np.diff(np.arctan2(*np.diff(path, axis=0).T[::-1]))))
    if (turns[steps[1:] > expected[1:] / 2] > 2.0).any():
        return "the path turns back"
    return ""


def smooth(path_m: npt.NDArray[np.floating]) -> Points:
    """Return the path every metre from the point beside the car on, (N, 2): cubics through the named points."""
    return _cubics() @ np.asarray(path_m, np.float64)


@cache
def _cubics() -> npt.NDArray[np.float64]:
    """Return what maps the named points to a point every metre, which is linear: (N, 10).

    Catmull-Rom tangents at unequal distances; before the first point the path goes on as it begins.
    """
    along = np.asarray(PATH_DISTANCES_M)
    share = along[0] / (along[1] - along[0])
    named = np.concatenate([np.zeros((1, len(along))), np.eye(len(along))])
    named[0, :2] = 1 + share, -share
    along = np.concatenate([[0.0], along])
    tangent = np.gradient(named, along, axis=0, edge_order=2)
    at = np.arange(0.0, along[-1] + STEP_M / 2, STEP_M)
    left = np.clip(np.searchsorted(along, at, side="right") - 1, 0, len(along) - 2)
    width = (along[left + 1] - along[left])[:, None]
    t = (at[:, None] - along[left][:, None]) / width
    return (
        (2 * t**3 - 3 * t**2 + 1) * named[left]
        + (t**3 - 2 * t**2 + t) * width * tangent[left]
        + (3 * t**2 - 2 * t**3) * named[left + 1]
        + (t**3 - t**2) * width * tangent[left + 1]
    )


def curve_speed_m_s(path_m: Points, limits: Limits) -> float:
    """Return the speed now from which the car can meet every curve of the path at that curve's own speed.

    A curve is the circle through three points of the path, 8 m apart: a network's centimetres of noise are not curves.
    """
    reach = round(8.0 / STEP_M)
    before, here, after = path_m[: -2 * reach], path_m[reach:-reach], path_m[2 * reach :]
    a, b, c = (np.hypot(*(p - q).T) for p, q in ((here, before), (after, here), (after, before)))
    area = np.abs((here - before)[:, 0] * (after - before)[:, 1] - (here - before)[:, 1] * (after - before)[:, 0])
    curvature = 2 * area / np.maximum(a * b * c, 1e-6)
    # The first circle begins at the car, so its curve is here and now; of the others the middle counts.
    along = STEP_M * np.arange(len(curvature))
    squares = limits.lateral_m_s2 / np.maximum(curvature, 1e-5) + 2 * limits.braking_m_s2 * along
    return float(np.sqrt(squares.min()))


def believed_m(spread_m: npt.NDArray[np.floating], doubt_m: float) -> float:
    """Return how far along the path its spread stays below `doubt_m`; infinite where it does to the end."""
    wide = np.flatnonzero(np.asarray(spread_m) > doubt_m)
    if not len(wide):
        return math.inf
    return PATH_DISTANCES_M[wide[0] - 1] if wide[0] else 0.0


@cache
def cells_m() -> Points:
    """Return the middles of the grid's cells, (GRID_ROWS, GRID_COLUMNS, 2)."""
    x = (np.arange(GRID_ROWS) + 0.5) * GRID_CELL_M
    y = (GRID_COLUMNS / 2 - np.arange(GRID_COLUMNS) - 0.5) * GRID_CELL_M
    grid: Points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).astype(np.float64)
    return grid


def gap_m(path_m: Points, occupancy: npt.NDArray[np.floating], vehicle: Vehicle, limits: Limits) -> float:
    """Return how far the car's front is from the first taken cell on its way; infinite where none is."""
    taken = cells_m()[np.asarray(occupancy) >= limits.occupied]
    if not len(taken):
        return math.inf
    offset = taken[:, None] - path_m[None]
    distance = np.hypot(offset[..., 0], offset[..., 1])
    nearest = distance.argmin(axis=1)
    # A vehicle's edge lies at most half a cell from the middle of the cell that it takes. Where the car itself stands
    # there is no other.
    front = vehicle.length_m / 2
    blocked = (distance.min(axis=1) < vehicle.width_m / 2 + GRID_CELL_M / 2) & (STEP_M * nearest > front)
    if not blocked.any():
        return math.inf
    along = STEP_M * nearest[blocked].min() - GRID_CELL_M / 2 - front
    return max(float(along), 0.0)


def followed(lead: Lead | None, gap_m: float, *, time_s: float, speed_m_s: float, guess_m_s: float) -> Lead | None:
    """Return what is known of the vehicle in front after one more look: an alpha-beta filter of gap and speed.

    Parameters
    ----------
    lead : Lead, optional
        Before the look.
    gap_m : float
        As seen; infinite for none.
    time_s, speed_m_s : float
        Of the frame; the speed is our own.
    guess_m_s : float
        Its speed, as long as nothing is known of it.
    """
    if math.isinf(gap_m):
        return None
    if lead is None or not 0 < time_s - lead.time_s < 1.0 or abs(gap_m - lead.gap_m) > 4 * GRID_CELL_M:
        return Lead(time_s=time_s, gap_m=gap_m, speed_m_s=guess_m_s)
    passed = time_s - lead.time_s
    expected = lead.gap_m + (lead.speed_m_s - speed_m_s) * passed
    miss = gap_m - expected
    # Gains that forget in about half a second, whatever the frame rate: the gap comes in steps of a cell.
    alpha = 1 - math.exp(-passed / 0.4)
    beta = alpha**2 / (2 - alpha)
    return Lead(
        time_s=time_s,
        gap_m=max(expected + alpha * miss, 0.0),
        speed_m_s=max(lead.speed_m_s + beta * miss / passed, 0.0),
    )


def follow_m_s2(speed_m_s: float, lead: Lead, limits: Limits) -> float:
    """Return the acceleration of the intelligent driver model behind `lead`, without its term for the open road."""
    closing = speed_m_s - lead.speed_m_s
    dynamic = speed_m_s * limits.headway_s + speed_m_s * closing / (
        2 * math.sqrt(limits.acceleration_m_s2 * limits.comfort_m_s2)
    )
    wanted = limits.standstill_m + max(dynamic, 0.0)
    return limits.acceleration_m_s2 * (1 - (wanted / max(lead.gap_m, 0.1)) ** 2)


def _wrapped(angle_rad: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return (angle_rad + math.pi) % (2 * math.pi) - math.pi
