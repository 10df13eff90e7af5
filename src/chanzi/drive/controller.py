"""From a plan to steering and acceleration, every tick: pure pursuit, a speed loop, and limits on how fast both change.

A plan speaks of where the car was when its picture was taken. The car has moved since, by the time that cameras, chip
and planner took; `Driver` knows where to, from the controls it gave and the speed it measured, and steers from there.
"""

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from chanzi.drive.messages import Control, Frame, Perception, Plan, Vehicle
from chanzi.drive.motion import Motion, advance, held, seen_from
from chanzi.drive.planner import Lead, Limits, grip, make_plan, stop_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How the controller drives.

    Parameters
    ----------
    look_s, least_look_m, most_look_m : float
        How far ahead of the rear axle the point lies that it steers for: a time at its speed, within bounds. The chord
        to a point at distance d cuts d^2 / 8R off a bend of radius R: with 5 m half a metre in a ring of 6 m.
    steering_rad_s : float
        How fast the wheels turn at most.
    lateral_m_s2 : float
        No steering angle asks for more at the speed driven.
    push_m_s3, brake_m_s3 : float
        How fast acceleration may rise, and fall.
    patience_s : float
        Age of a plan, since its picture, from which the car stops.
    response_s : float
        Time in which a difference of speed is closed; as `Limits.response_s`.
    """

    look_s: float = 0.7
    least_look_m: float = 3.5
    most_look_m: float = 20.0
    steering_rad_s: float = 1.0
    lateral_m_s2: float = 6.0
    push_m_s3: float = 8.0
    brake_m_s3: float = 30.0
    patience_s: float = 0.6
    response_s: float = 0.8

    @staticmethod
    def of(vehicle: Vehicle) -> "Tuning":
        """Return the tuning of a vehicle, scaled as `chanzi.drive.planner.grip` says."""
        base, k = Tuning(), grip(vehicle)
        root = math.sqrt(k)
        return replace(
            base,
            look_s=base.look_s / root,
            steering_rad_s=base.steering_rad_s * root,
            lateral_m_s2=base.lateral_m_s2 * k,
            push_m_s3=base.push_m_s3 * k * root,
            brake_m_s3=base.brake_m_s3 * k * root,
            patience_s=base.patience_s / root,
            response_s=base.response_s / root,
        )


def steer_rad(path_m: npt.NDArray[np.floating], speed_m_s: float, vehicle: Vehicle, tuning: Tuning) -> float:
    """Return the wheels' angle that leads the rear axle on an arc to a point of the path: pure pursuit (Coulter 1992).

    Parameters
    ----------
    path_m : (N, 2)
        In the car's frame now.
    speed_m_s : float
    """
    look = min(max(tuning.look_s * speed_m_s, tuning.least_look_m), tuning.most_look_m)
    points = np.asarray(path_m, np.float64) + np.array([vehicle.wheelbase_m / 2, 0.0])
    goal = _at_distance(points, look)
    reach = math.hypot(*goal)
    if reach < 1e-3:
        return 0.0
    angle = math.atan(2 * vehicle.wheelbase_m * float(goal[1]) / reach**2)
    sharpest = math.atan(tuning.lateral_m_s2 * vehicle.wheelbase_m / max(speed_m_s, 0.1) ** 2)
    most = min(sharpest, vehicle.max_steering_rad)
    return min(max(angle, -most), most)


def _at_distance(points_m: npt.NDArray[np.float64], distance_m: float) -> npt.NDArray[np.float64]:
    """Return the first point of a line, from its nearest on, that is so far from the origin; it ends straight."""
    away = np.hypot(*points_m.T)
    nearest = int(away.argmin())
    beyond = np.flatnonzero(away[nearest:] >= distance_m)
    if not len(beyond):
        way = points_m[-1] - points_m[-2]
        way /= max(math.hypot(*way), 1e-9)
        along = float(points_m[-1] @ way)
        return points_m[-1] + way * (math.sqrt(max(along**2 + distance_m**2 - away[-1] ** 2, 0.0)) - along)
    index = nearest + int(beyond[0])
    if index == nearest:
        return points_m[nearest]
    a, b = points_m[index - 1], points_m[index]
    step = b - a
    # |a + t * step| = distance: the root between 0 and 1
    qa, qb, qc = float(step @ step), float(a @ step), float(a @ a) - distance_m**2
    t = (-qb + math.sqrt(max(qb**2 - qa * qc, 0.0))) / max(qa, 1e-12)
    return a + min(max(t, 0.0), 1.0) * step


def control(
    plan: Plan,
    *,
    then: Motion,
    now: Motion,
    last: Control,
    vehicle: Vehicle,
    tick_s: float,
    tuning: Tuning | None = None,
) -> Control:
    """Return the control of the next tick.

    Parameters
    ----------
    plan : Plan
    then, now : Motion
        Of the car when the plan's picture was taken, and as the tick begins, in one frame.
    last : Control
        Of the tick before: what changes are limited against.
    vehicle : Vehicle
    tick_s : float
    tuning : Tuning, optional
    """
    tuning = tuning or Tuning.of(vehicle)
    aim = steer_rad(seen_from(plan.path_m, then, now), now.speed_m_s, vehicle, tuning)
    turn = tuning.steering_rad_s * tick_s
    steering = min(max(aim, last.steering_rad - turn), last.steering_rad + turn)
    target = min(max(plan.speed_m_s, 0.0), vehicle.max_speed_m_s)
    asked = (target - now.speed_m_s) / tuning.response_s
    if plan.stop:
        asked = min(asked, -vehicle.max_braking_m_s2 / 2)
    asked = min(max(asked, last.acceleration_m_s2 - tuning.brake_m_s3 * tick_s), _rise(last, tuning, tick_s))
    # Braking ends where the car stands: it never rolls back.
    asked = max(asked, -now.speed_m_s / tick_s)
    return held(Control(steering_rad=steering, acceleration_m_s2=asked), vehicle)


def _rise(last: Control, tuning: Tuning, tick_s: float) -> float:
    return max(last.acceleration_m_s2, 0.0) + tuning.push_m_s3 * tick_s


class Driver:
    """What the car's own computer remembers between ticks: its way, the last plan, the vehicle in front.

    In the order of the loop: `saw` when a frame is taken, `decide` when the network has answered it, `tick` for every
    tick of the world. `stop` in place of `decide` where there is no answer to be trusted.

    Parameters
    ----------
    vehicle : Vehicle
    limits : Limits, optional
    tuning : Tuning, optional
    """

    def __init__(self, vehicle: Vehicle, *, limits: Limits | None = None, tuning: Tuning | None = None) -> None:
        self.vehicle = vehicle
        self.limits = limits or Limits.of(vehicle)
        self.tuning = tuning or Tuning.of(vehicle)
        self.plan: Plan | None = None
        self._lead: Lead | None = None
        self._now = Motion()
        self._time_s = 0.0
        self._plan_time_s = 0.0
        self._then = Motion()
        self._last = Control()
        self._frames: deque[tuple[int, float, Motion]] = deque(maxlen=64)

    def saw(self, frame: Frame) -> None:
        """Remember where the car is as a frame is taken, and take the measured speed for its own."""
        now = self._now
        self._time_s = frame.time_s
        self._now = Motion(x_m=now.x_m, y_m=now.y_m, heading_rad=now.heading_rad, speed_m_s=frame.speed_m_s)
        self._frames.append((frame.number, frame.time_s, self._now))

    def decide(self, perception: Perception) -> Plan:
        """Return the plan that follows from the network's answer, and drive by it from now on.

        An answer to a frame that was never seen, or to an older one than is driven by, changes nothing.
        """
        seen = next((entry for entry in self._frames if entry[0] == perception.frame), None)
        if seen is None or (self.plan is not None and seen[1] < self._plan_time_s):
            return self.plan or stop_plan(None, "an answer to no frame")
        _, time_s, then = seen
        plan, self._lead = make_plan(
            perception,
            time_s=time_s,
            speed_m_s=then.speed_m_s,
            vehicle=self.vehicle,
            limits=self.limits,
            lead=self._lead,
        )
        if plan.stop and self.plan is not None:
            return self.stop(plan.stop)
        self.plan, self._plan_time_s, self._then = plan, time_s, then
        return plan

    def stop(self, why: str) -> Plan:
        """Stop in lane, along the last path that was believed; the next good answer ends it."""
        if self.plan is None:
            self._plan_time_s, self._then = self._time_s, self._now
        self.plan = stop_plan(self.plan, why)
        return self.plan

    def tick(self, tick_s: float, instead: Control | None = None) -> Control:
        """Return the control of the next tick, and reckon with having given it, or another driver's in its place."""
        if instead is not None:
            given = held(instead, self.vehicle)
        elif self.plan is None:
            given = held(Control(acceleration_m_s2=-self._now.speed_m_s / self.tuning.response_s), self.vehicle)
        else:
            if not self.plan.stop and self._time_s - self._plan_time_s > self.tuning.patience_s + 1e-9:
                self.stop(f"no plan for {self.tuning.patience_s:g} s")
            given = control(
                self.plan,
                then=self._then,
                now=self._now,
                last=self._last,
                vehicle=self.vehicle,
                tick_s=tick_s,
                tuning=self.tuning,
            )
        self._now = advance(self._now, given, self.vehicle, tick_s)
        self._time_s += tick_s
        self._last = given
        return given
