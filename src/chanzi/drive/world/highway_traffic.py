"""highway-env's other drivers: where each means to go, and how fast one drives carefully among them."""

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from highway_env.road.road import RoadNetwork
from highway_env.vehicle.behavior import IDMVehicle
from highway_env.vehicle.controller import ControlledVehicle
from highway_env.vehicle.objects import RoadObject

from chanzi.drive.messages import Vehicle
from chanzi.drive.world.careful import BRAKING_M_S2, STANDSTILL_M, follow_speed_m_s
from chanzi.drive.world.highway_roads import centre_line, turned_angle, turned_point
from chanzi.drive.world.road import Place, Points, Route

LaneIndex = tuple[str, str, int]

_TIMES_S = np.arange(0.0, 6.01, 0.25)
_SETTLES_S = 0.8
"""How fast a vehicle comes back to the middle of the lane it wants."""
_LANES_AHEAD = 4
_MARGIN_S = 1.0
_AHEAD_M = np.arange(0.0, 61.0, 1.0)
_NEARBY_M = 70.0
_ALIKE = 0.7
"""Cosine of the angle below which two ways cross and above which they join."""
_PULL_AWAY_M_S2 = 2.0
_PULLING_M_S2 = 0.3


class PatientVehicle(IDMVehicle):
    """Traffic at a junction.

    highway-env's junction sets the gaps of whatever class its traffic has, for every world of the process; this one's
    it may set.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ways:
    """Where others will be: middles (N, T, 2), headings (N, T), at `_TIMES_S`."""

    places_m: npt.NDArray[np.float64]
    headings_rad: npt.NDArray[np.float64]


class Foresight:
    """Predicts traffic on one network along the lanes it means to take.

    Parameters
    ----------
    network : RoadNetwork
    """

    def __init__(self, network: RoadNetwork) -> None:
        self._network = network
        self._line = functools.cache(self._drawn)

    def _drawn(self, lanes: tuple[LaneIndex, ...]) -> Route:
        return Route(np.concatenate([centre_line(self._network.get_lane(lane)) for lane in lanes]))

    def _lanes(self, vehicle: RoadObject) -> tuple[LaneIndex, ...]:
        """Return the lane a vehicle wants and those that follow, on its planned route where it has one."""
        graph = self._network.graph
        now: LaneIndex = getattr(vehicle, "target_lane_index", None) or vehicle.lane_index
        planned = {road[0]: (road[1], road[2]) for road in getattr(vehicle, "route", None) or []}
        lanes = [now]
        while len(lanes) < _LANES_AHEAD:
            _, node, number = lanes[-1]
            onwards = graph.get(node, {})
            if node in planned and planned[node][0] in onwards:
                following, wanted = planned[node]
            elif len(onwards) == 1:
                following, wanted = next(iter(onwards)), None
            else:
                break
            wanted = number if wanted is None else wanted
            lanes.append((node, following, min(wanted, len(onwards[following]) - 1)))
        return tuple(lanes)

    def ways(self, others: list[RoadObject]) -> _Ways:
        """Return where others will be if they keep their speed, or pull away as they are doing."""
        places, headings = [], []
        for other in others:
            here, speed = turned_point(other.position), float(other.speed)
            if not isinstance(other, ControlledVehicle):
                heading = turned_angle(float(other.heading))
                course = np.array([math.cos(heading), math.sin(heading)])
                places.append(here + speed * _TIMES_S[:, None] * course)
                headings.append(np.full(len(_TIMES_S), heading))
                continue
            line = self._line(self._lanes(other))
            place = line.nearest(here)
            along = place.along_m + _way_m(other)
            heading = np.interp(along, line.along_m, line.headings_rad)
            aside = place.lateral_m * np.exp(-_TIMES_S / _SETTLES_S)
            left = np.stack([-np.sin(heading), np.cos(heading)], axis=-1)
            places.append(line.point(along) + aside[:, None] * left)
            headings.append(heading)
        shape = (len(others), len(_TIMES_S))
        return _Ways(
            places_m=np.array(places).reshape(*shape, 2),
            headings_rad=np.array(headings).reshape(shape),
        )

    def careful_speed_m_s(
        self,
        route: Route,
        along_m: float,
        speed_m_s: float,
        free_m_s: float,
        vehicle: Vehicle,
        others: list[RoadObject],
    ) -> float:
        """Return how fast to go among others, `free_m_s` at most.

        1. Whoever is ahead in the car's way is followed.
        2. Whoever will come into its way in the same direction is let in, unless the car is there clearly sooner.
        3. Whoever will cross its way is waited for before the crossing, unless one of both is clearly sooner.

        Parameters
        ----------
        route : Route
        along_m, speed_m_s : float
            The car's.
        free_m_s : float
            What limit and curves allow.
        vehicle : Vehicle
        others : list of RoadObject
        """
        path = route.point(along_m + _AHEAD_M)
        near = [o for o in others if np.hypot(*(turned_point(o.position) - path[0])) < _NEARBY_M]
        if not near:
            return free_m_s
        path_heading = np.interp(
            along_m + _AHEAD_M if not route.closed else np.mod(along_m + _AHEAD_M, route.length_m),
            route.along_m,
            route.headings_rad,
        )
        ways = self.ways(near)
        speed = free_m_s
        for number, other in enumerate(near):
            gap = _lead_gap_m(route, along_m, vehicle, other)
            if gap is not None:
                bumper, lead = gap
                speed = min(speed, follow_speed_m_s(bumper, lead))
                continue
            meeting = _meeting(path, ways.places_m[number], ways.headings_rad[number], other, vehicle)
            if meeting is None:
                continue
            entry, leave, begin_s, end_s = meeting
            first = int(np.argmin(np.abs(_TIMES_S - begin_s)))
            alike = math.cos(ways.headings_rad[number, first] - path_heading[min(int(entry), len(path) - 1)])
            if alike > _ALIKE:
                speed = min(speed, _let_in(entry, begin_s, float(other.speed), speed_m_s, free_m_s, vehicle))
            else:
                speed = min(speed, _wait(entry, leave, begin_s, end_s, speed_m_s, free_m_s, vehicle))
        return speed


def _way_m(other: ControlledVehicle) -> npt.NDArray[np.float64]:
    """Return how far a vehicle will have gone at each of `_TIMES_S`."""
    speed, gain = float(other.speed), float(other.action["acceleration"])
    top = max(speed, min(float(other.target_speed or 0.0), float(other.lane.speed_limit or math.inf)))
    if gain < _PULLING_M_S2 or top <= speed:
        return speed * _TIMES_S
    gaining = np.minimum(_TIMES_S, (top - speed) / gain)
    return speed * gaining + gain * gaining**2 / 2 + top * (_TIMES_S - gaining)


def _lead_gap_m(route: Route, along_m: float, vehicle: Vehicle, other: RoadObject) -> tuple[float, float] | None:
    """Return the gap to a vehicle that is in the way now, bumper to bumper, and its speed along it."""
    place: Place = route.nearest(turned_point(other.position), about_m=along_m + 30.0, within_m=45.0)
    ahead = place.along_m - along_m
    if route.closed:
        ahead = (ahead + route.length_m / 2) % route.length_m - route.length_m / 2
    if ahead <= 0 or abs(place.lateral_m) > (vehicle.width_m + other.WIDTH) / 2 + 0.3:
        return None
    turn = turned_angle(float(other.heading)) - route.heading_rad(place.along_m)
    if math.cos(turn) < _ALIKE and abs(float(other.speed)) > 0.5:
        return None
    bumper = ahead - (vehicle.length_m + other.LENGTH) / 2
    return bumper, max(0.0, float(other.speed) * math.cos(turn))


def _meeting(
    path: Points, places: Points, headings: npt.NDArray[np.float64], other: RoadObject, vehicle: Vehicle
) -> tuple[float, float, float, float] | None:
    """Return the stretch of the path that another's way touches, and from when to when: entry, leave, begin, end."""
    # A vehicle is three discs along its length.
    course = np.stack([np.cos(headings), np.sin(headings)], axis=-1)
    third = other.LENGTH / 3
    discs = places[:, None] + np.array([-third, 0.0, third])[:, None] * course[:, None]
    reach = math.hypot(other.LENGTH / 6, other.WIDTH / 2) + vehicle.width_m / 2 + 0.2
    offset = discs[:, :, None] - path
    close = ((offset * offset).sum(axis=-1) < reach**2).any(axis=1)
    if not close.any():
        return None
    when, where = np.flatnonzero(close.any(axis=1)), np.flatnonzero(close.any(axis=0))
    return float(_AHEAD_M[where[0]]), float(_AHEAD_M[where[-1]]), float(_TIMES_S[when[0]]), float(_TIMES_S[when[-1]])


def _reach_s(way_m: float, speed_m_s: float, free_m_s: float) -> float:
    """Return when a car that pulls away has gone a way."""
    if way_m <= 0:
        return 0.0
    top = max(free_m_s, speed_m_s, 0.5)
    gaining = (top**2 - speed_m_s**2) / (2 * _PULL_AWAY_M_S2)
    if way_m < gaining:
        return (math.sqrt(speed_m_s**2 + 2 * _PULL_AWAY_M_S2 * way_m) - speed_m_s) / _PULL_AWAY_M_S2
    return (top - speed_m_s) / _PULL_AWAY_M_S2 + (way_m - gaining) / top


def _let_in(
    entry_m: float, begin_s: float, other_m_s: float, speed_m_s: float, free_m_s: float, vehicle: Vehicle
) -> float:
    if _reach_s(entry_m + vehicle.length_m, speed_m_s, free_m_s) + _MARGIN_S / 2 < begin_s:
        return free_m_s
    # As if it drove in the car's way already, as far from where the ways join as it is.
    gap = entry_m - other_m_s * begin_s - vehicle.length_m
    later = max(entry_m - vehicle.length_m / 2, 0.0) / (begin_s + 2 * _MARGIN_S)
    return min(free_m_s, max(follow_speed_m_s(gap, other_m_s), later))


def _wait(
    entry_m: float,
    leave_m: float,
    begin_s: float,
    end_s: float,
    speed_m_s: float,
    free_m_s: float,
    vehicle: Vehicle,
) -> float:
    half = vehicle.length_m / 2
    if entry_m - half < 0.5:
        return free_m_s  # It stands in the crossing already: out of it.
    if _reach_s(leave_m + half, speed_m_s, free_m_s) + _MARGIN_S < begin_s:
        return free_m_s
    if _reach_s(entry_m - half, speed_m_s, free_m_s) > end_s + _MARGIN_S:
        return free_m_s
    room = entry_m - half - 1.0
    if speed_m_s**2 / (2 * vehicle.max_braking_m_s2) > room + 1.0:
        return free_m_s  # Too late to stop.
    return min(free_m_s, follow_speed_m_s(room + STANDSTILL_M, 0.0), math.sqrt(2 * BRAKING_M_S2 * max(room, 0.0)))
