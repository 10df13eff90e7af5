"""What passes between the parts of the loop: world -> Frame -> network -> Perception -> planner -> Plan -> Control.

One frame of coordinates for all: the car's, x forward and y left in metres, angles counter-clockwise in radians, origin
at the car's centre on the ground.
"""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

PATH_DISTANCES_M = (2.0, 4.0, 6.0, 9.0, 12.0, 16.0, 20.0, 25.0, 30.0, 40.0)
"""Distances along the path at which it is named."""

GRID_CELL_M = 2.0
GRID_ROWS, GRID_COLUMNS = 24, 12
"""The occupancy grid: row r covers x from 2r to 2r + 2 metres, column c covers y from 12 - 2c down to 10 - 2c."""


class Command(IntEnum):
    """What the route asks for at the next junction."""

    FOLLOW = 0
    LEFT = 1
    STRAIGHT = 2
    RIGHT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What the sensors give at one moment.

    Parameters
    ----------
    number : int
        Counts the frames of an episode from 0.
    time_s : float
        Of the episode, when it was taken.
    images : tuple of uint8 (height, width, 3)
        RGB, one a camera, in the rig's order. Nobody writes into them.
    stamps_s : tuple of float
        When each camera's picture was taken; a healthy camera's is `time_s`.
    speed_m_s : float
    command : Command
    """

    number: int
    time_s: float
    images: tuple[npt.NDArray[np.uint8], ...]
    stamps_s: tuple[float, ...]
    speed_m_s: float
    command: Command = Command.FOLLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the simulator knows at the moment of a frame: labels for training, and the judge. No network sees it.

    Parameters
    ----------
    path_m : float32 (10, 2)
        Where the route's lane goes, at `PATH_DISTANCES_M` along it from the point nearest to the car.
    target_speed_m_s : float
        What a careful driver would aim at here: the limit, the curve ahead, the vehicle in front.
    vehicles : float32 (N, 7)
        Others nearby: x, y, heading, length, width, and velocity (vx, vy) relative to the ground, in the car's frame.
    lateral_m, heading_rad : float
        Of the car against its lane's centre: positive is left of it, turned to the left of it.
    curvature_1_m : float
        Of the lane here; positive turns left.
    """

    path_m: npt.NDArray[np.float32]
    target_speed_m_s: float
    vehicles: npt.NDArray[np.float32]
    lateral_m: float
    heading_rad: float
    curvature_1_m: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Perception:
    """What the network says of a frame, in metres.

    Parameters
    ----------
    frame : int
        The number of the frame it was made from.
    path_m : float32 (10, 2)
        At `PATH_DISTANCES_M` along the drivable path.
    target_speed_m_s : float
    occupancy : float32 (GRID_ROWS, GRID_COLUMNS)
        Probability that a cell of the grid holds part of another vehicle.
    spread_m : float32 (10,)
        How unsure the path is, as a standard deviation across it.
    """

    frame: int
    path_m: npt.NDArray[np.float32]
    target_speed_m_s: float
    occupancy: npt.NDArray[np.float32]
    spread_m: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where the car means to go.

    Parameters
    ----------
    frame : int
        The number of the frame it rests on.
    path_m : float32 (N, 2)
    speed_m_s : float
        To be reached; 0 is a stop in lane.
    stop : str
        Why it stops for safety; empty where it does not.
    """

    frame: int
    path_m: npt.NDArray[np.float32]
    speed_m_s: float
    stop: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What the actuators are asked for.

    Parameters
    ----------
    steering_rad : float
        Angle of the front wheels; positive is left.
    acceleration_m_s2 : float
        Negative brakes.
    """

    steering_rad: float = 0.0
    acceleration_m_s2: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vehicle:
    """The car as its controller knows it."""

    length_m: float
    width_m: float
    wheelbase_m: float
    max_steering_rad: float
    max_acceleration_m_s2: float
    max_braking_m_s2: float
    max_speed_m_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How an episode stands.

    Parameters
    ----------
    time_s, distance_m : float
    progress : float
        Share of the route that is done, 0 to 1.
    reward : float
        The world's own, summed, where it has one.
    ended : str
        Empty while it goes on; then 'arrived', 'crash', 'off road', 'time', or the world's own word.
    nearest_m : float
        Gap to the nearest vehicle, infinite where there is none.
    events : tuple of str
        What happened in the last step and did not end the episode, such as 'crash' where it goes on.
    """

    time_s: float
    distance_m: float
    progress: float
    reward: float = 0.0
    ended: str = ""
    nearest_m: float = float("inf")
    events: tuple[str, ...] = field(default=())
