"""highway-env's roads and vehicles in the world's frame.

highway-env's y axis points down the screen and its angles turn clockwise. Here, and nowhere else, both are turned
round: x stays, y and angles change sign. So its left stays left, and its pictures look as they do on its own screen.
"""

import math

import numpy as np
import numpy.typing as npt
from highway_env.road.lane import AbstractLane, CircularLane, LineType, SineLane, StraightLane
from highway_env.road.road import RoadNetwork
from highway_env.vehicle.objects import RoadObject

from chanzi.drive.world.road import Lane, Line, Points

_STEP_M = 0.5
_LINES = {
    LineType.NONE: Line.NONE,
    LineType.STRIPED: Line.DASHED,
    LineType.CONTINUOUS: Line.SOLID,
    LineType.CONTINUOUS_LINE: Line.SOLID,
}


def turned_point(point: npt.ArrayLike) -> Points:
    """Return a point (2,) or points (N, 2) in the other frame; the same both ways."""
    return np.asarray(point, np.float64) * (1.0, -1.0)


def turned_angle(angle_rad: float) -> float:
    """Return an angle, a rate or a steering angle in the other frame; the same both ways."""
    return -angle_rad


def centre_line(lane: AbstractLane, begin_m: float = 0.0, end_m: float | None = None) -> Points:
    """Return a lane's middle (N, 2), half a metre apart."""
    end_m = float(lane.length) if end_m is None else end_m
    along = np.linspace(begin_m, end_m, max(2, math.ceil((end_m - begin_m) / _STEP_M) + 1))
    if type(lane) is StraightLane:  # Some are ten kilometres long.
        return turned_point(lane.start + along[:, None] * lane.direction)
    return turned_point(np.array([lane.position(s, 0.0) for s in along]))


def lane_of(lane: AbstractLane, begin_m: float = 0.0, end_m: float | None = None) -> Lane:
    """Return a lane, or a part of it."""
    # Its first line lies at negative lateral places, which are left of it.
    left, right = lane.line_types
    return Lane(
        points_m=centre_line(lane, begin_m, end_m),
        width_m=float(lane.width_at(0.0)),
        left=_LINES[left],
        right=_LINES[right],
        limit_m_s=math.inf if lane.speed_limit is None else float(lane.speed_limit),
    )


def slip_rad(thing: RoadObject) -> float:
    """Return the angle between where a vehicle points and where its middle goes, in highway-env's frame.

    Its own `velocity` leaves it out (highway_env.vehicle.kinematics says so), though its `step` moves along it.
    """
    steering = getattr(thing, "action", None)
    return math.atan(math.tan(steering["steering"]) / 2) if steering else 0.0


class QuickNetwork(RoadNetwork):
    """highway-env's network with its most frequent question, which lane is nearest, answered for all lanes at once.

    The answers are the same (a test compares them); asked lane by lane, they cost most of a tick.
    """

    def __init__(self, network: RoadNetwork) -> None:
        super().__init__()
        self.graph = network.graph
        entries = list(self.lanes_dict().items())
        straight = [(index, lane) for index, lane in entries if isinstance(lane, StraightLane)]
        bent = [(index, lane) for index, lane in entries if isinstance(lane, CircularLane)]
        self._plain = len(straight) + len(bent) == len(entries)
        self._indices = [index for index, _ in straight + bent]
        lanes = [lane for _, lane in straight]
        self._start = np.array([lane.start for lane in lanes], np.float64).reshape(-1, 2)
        self._along = np.array([lane.direction for lane in lanes], np.float64).reshape(-1, 2)
        self._across = np.array([lane.direction_lateral for lane in lanes], np.float64).reshape(-1, 2)
        self._heading = np.array([lane.heading for lane in lanes], np.float64)
        wave = [
            (lane.amplitude, lane.pulsation, lane.phase) if isinstance(lane, SineLane) else (0, 0, 0) for lane in lanes
        ]
        self._swing, self._rate, self._phase = np.array(wave, np.float64).reshape(-1, 3).T
        rings = [lane for _, lane in bent]
        self._centre = np.array([lane.center for lane in rings], np.float64).reshape(-1, 2)
        self._radius = np.array([lane.radius for lane in rings], np.float64)
        self._begin = np.array([lane.start_phase for lane in rings], np.float64)
        self._turn = np.array([lane.direction for lane in rings], np.float64)
        self._length = np.array([lane.length for _, lane in straight + bent], np.float64)

    def get_closest_lane_index(self, position: Points, heading: float | None = None) -> tuple[str, str, int]:
        """Return the index of the lane closest to a position, as the class above defines it."""
        if not self._plain:
            return super().get_closest_lane_index(position, heading)
        offset = position - self._start
        s = (offset * self._along).sum(axis=1)
        wave = self._rate * s + self._phase
        r = (offset * self._across).sum(axis=1) - self._swing * np.sin(wave)
        offset = position - self._centre
        bearing = np.arctan2(offset[:, 1], offset[:, 0]) - self._begin
        bearing = (bearing + np.pi) % (2 * np.pi) - np.pi
        s_all = np.concatenate([s, self._turn * bearing * self._radius])
        r_all = np.concatenate([r, self._radius - np.hypot(offset[:, 0], offset[:, 1])])
        distance = np.abs(r_all) + np.maximum(s_all - self._length, 0) + np.maximum(-s_all, 0)
        if heading is not None:
            directions = np.concatenate(
                [
                    self._heading + np.arctan(self._swing * self._rate * np.cos(wave)),
                    self._begin + bearing + np.pi / 2 * self._turn,
                ]
            )
            distance += np.abs((heading - directions + np.pi) % (2 * np.pi) - np.pi)
        return self._indices[int(np.argmin(distance))]
