"""Another driver beside the car's own: a teacher who drives all the time, a safety driver who takes over in need."""

import math

import numpy as np

from chanzi.drive.episode import Hands
from chanzi.drive.expert import expert_control
from chanzi.drive.messages import PATH_DISTANCES_M, Truth, Vehicle
from chanzi.drive.world.boxes import gaps
from chanzi.drive.world.world import World

_LOOK_S = (0.25, 0.5, 0.75, 1.0)
"""How far ahead a safety driver sees a collision coming; reaction times of attentive drivers are about a second."""
_CLOSE_M = 0.3
_CHECK_S = 0.1
"""A safety driver looks up ten times a second."""


class Teacher:
    """The expert drives, all the time."""

    def begin(self, world: World) -> None:
        """Begin an episode."""

    def take(self, world: World, time_s: float, speed_m_s: float) -> Hands | None:
        """Return the expert's control."""
        del time_s
        return Hands(control=expert_control(world.truth(), speed_m_s, world.vehicle), why="expert")


class Supervisor:
    """Takes over where the car leaves its lane or is about to hit something, and hands back when it is in order again.

    Parameters
    ----------
    lateral_m : float
        Off the lane's centre, from which it takes over.
    back_m, back_rad : float
        It hands back once the car is nearer to the centre and points along the lane this well, and nothing is near.
    least_s : float
        It keeps the wheel at least so long.
    """

    def __init__(
        self, *, lateral_m: float = 1.5, back_m: float = 0.5, back_rad: float = 0.15, least_s: float = 1.0
    ) -> None:
        self.lateral_m, self.back_m, self.back_rad, self.least_s = lateral_m, back_m, back_rad, least_s
        self.begin_s = 0.0
        self.why = ""
        self._next_s = 0.0

    def begin(self, world: World) -> None:
        """Begin an episode."""
        del world
        self.begin_s, self.why, self._next_s = 0.0, "", 0.0

    def take(self, world: World, time_s: float, speed_m_s: float) -> Hands | None:
        """Return the expert's control while it has the wheel."""
        if time_s >= self._next_s - 1e-9:
            self._next_s = time_s + _CHECK_S
            self._judge(world, time_s, speed_m_s)
        if not self.why:
            return None
        return Hands(control=expert_control(world.truth(), speed_m_s, world.vehicle), why=self.why)

    def _judge(self, world: World, time_s: float, speed_m_s: float) -> None:
        truth = world.truth()
        near = near_miss(truth, speed_m_s, world.vehicle)
        if not self.why:
            if near:
                self.why, self.begin_s = "near miss", time_s
            elif abs(truth.lateral_m) > self.lateral_m:
                self.why, self.begin_s = "left its lane", time_s
            return
        again = abs(truth.lateral_m) < self.back_m and abs(truth.heading_rad) < self.back_rad
        if again and not near and time_s - self.begin_s >= self.least_s:
            self.why = ""


def near_miss(truth: Truth, speed_m_s: float, vehicle: Vehicle) -> bool:
    """Return whether the car, going on along its lane at its speed, comes within 30 cm of a vehicle within a second."""
    if not len(truth.vehicles):
        return False
    path = np.concatenate([np.zeros((1, 2)), truth.path_m])
    along = np.array((0.0, *PATH_DISTANCES_M))
    for ahead_s in _LOOK_S:
        x, y = (float(np.interp(speed_m_s * ahead_s, along, path[:, axis])) for axis in (0, 1))
        later = (float(np.interp(speed_m_s * ahead_s + 1.0, along, path[:, axis])) for axis in (0, 1))
        dx, dy = (b - a for a, b in zip((x, y), later, strict=True))
        own = np.array([x, y, math.atan2(dy, dx), vehicle.length_m, vehicle.width_m])
        others = truth.vehicles[:, :5].astype(np.float64)
        others[:, :2] += ahead_s * truth.vehicles[:, 5:7]
        if float(gaps(own, others).min(initial=math.inf)) < _CLOSE_M:
            return True
    return False
