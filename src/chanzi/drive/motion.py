"""Where the car has gone since a picture was taken: a kinematic bicycle about its centre, and changes of frame."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chanzi.drive.messages import Control, Vehicle


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Place, direction and speed of the car in any fixed frame, such as its own at the start of the episode."""

    x_m: float = 0.0
    y_m: float = 0.0
    heading_rad: float = 0.0
    speed_m_s: float = 0.0


def held(control: Control, vehicle: Vehicle) -> Control:
    """Return the control cut to what the vehicle can do."""
    steer, brake, push = vehicle.max_steering_rad, vehicle.max_braking_m_s2, vehicle.max_acceleration_m_s2
    return Control(
        steering_rad=min(max(control.steering_rad, -steer), steer),
        acceleration_m_s2=min(max(control.acceleration_m_s2, -brake), push),
    )


def advance(motion: Motion, control: Control, vehicle: Vehicle, seconds: float) -> Motion:
    """Return the motion after some seconds under one control.

    The wheels do not slip: the centre moves at an angle ``atan(tan(steering) / 2)`` to the car (Rajamani, Vehicle
    Dynamics and Control, section 2.2). Speed stays between standing still and the vehicle's most.
    """
    given = held(control, vehicle)
    speed = min(max(motion.speed_m_s + given.acceleration_m_s2 * seconds, 0.0), vehicle.max_speed_m_s)
    way = (motion.speed_m_s + speed) / 2 * seconds
    slip = math.atan(math.tan(given.steering_rad) / 2)
    turn = way * 2 * math.sin(slip) / vehicle.wheelbase_m
    # The middle of the arc has the direction of its chord.
    along = motion.heading_rad + slip + turn / 2
    return Motion(
        x_m=motion.x_m + way * math.cos(along),
        y_m=motion.y_m + way * math.sin(along),
        heading_rad=motion.heading_rad + turn,
        speed_m_s=speed,
    )


def seen_from(points_m: npt.NDArray[np.floating], then: Motion, now: Motion) -> npt.NDArray[np.float64]:
    """Return points (N, 2) that were given in the car's frame `then` in the car's frame `now`."""
    points = np.asarray(points_m, np.float64) @ _turn(then.heading_rad).T
    moved = points + np.array([then.x_m - now.x_m, then.y_m - now.y_m])
    return moved @ _turn(now.heading_rad)


def _turn(angle_rad: float) -> npt.NDArray[np.float64]:
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[c, -s], [s, c]])
