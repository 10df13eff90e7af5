"""A driver who knows the truth: it makes labels, and shows that a world can be driven."""

import math

import numpy as np

from chanzi.drive.messages import PATH_DISTANCES_M, Control, Truth, Vehicle

_LOOK_AHEAD_S = 0.7
_NEAREST_M, _FARTHEST_M = 4.0, 25.0
_SPEED_GAIN_1_S = 1.5


def expert_control(truth: Truth, speed_m_s: float, vehicle: Vehicle) -> Control:
    """Return what to do now: pure pursuit along the path (Coulter 1992), and towards the target speed.

    Parameters
    ----------
    truth : Truth
    speed_m_s : float
    vehicle : Vehicle
        Its rear axle is taken to lie half a wheelbase behind its centre.
    """
    ahead_m = min(max(_LOOK_AHEAD_S * speed_m_s, _NEAREST_M), _FARTHEST_M)
    x, y = (float(np.interp(ahead_m, PATH_DISTANCES_M, truth.path_m[:, axis])) for axis in (0, 1))
    x += vehicle.wheelbase_m / 2
    steering = math.atan2(2 * vehicle.wheelbase_m * y, x * x + y * y)
    acceleration = _SPEED_GAIN_1_S * (truth.target_speed_m_s - speed_m_s)
    return Control(
        steering_rad=min(max(steering, -vehicle.max_steering_rad), vehicle.max_steering_rad),
        acceleration_m_s2=min(max(acceleration, -vehicle.max_braking_m_s2), vehicle.max_acceleration_m_s2),
    )
