"""highway-env's scenarios: which road, which way along it, when it is done."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from highway_env.envs.common.abstract import AbstractEnv
from highway_env.envs.highway_env import HighwayEnv
from highway_env.envs.intersection_env import ConnectedLaneIntersectionEnv
from highway_env.envs.merge_env import ConnectedLaneMergeEnv
from highway_env.envs.racetrack_env import (
    ConnectedLaneRacetrackEnv,
    ConnectedLaneRacetrackEnvLarge,
    ConnectedLaneRacetrackEnvOval,
)
from highway_env.envs.roundabout_env import ConnectedLaneRoundaboutGenericEnv

from chanzi.drive.messages import Command
from chanzi.drive.world.highway_roads import centre_line, lane_of
from chanzi.drive.world.highway_traffic import LaneIndex, PatientVehicle
from chanzi.drive.world.road import Lane, Points, Route

_ANNOUNCED_M = 45.0
"""How long before a junction the route says what to do there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A drive.

    Parameters
    ----------
    route : Route
        It ends where the drive does.
    orders : tuple of (from_m, to_m, Command)
        What the route asks for on which stretch; elsewhere it is to be followed.
    """

    route: Route
    orders: tuple[tuple[float, float, Command], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One of highway-env's roads, and the drive on it.

    Parameters
    ----------
    build : class
        The environment that makes roads and vehicles.
    config : mapping
        What differs from its own settings.
    traffic : int
        How many others there are at the beginning, where nobody says.
    traffic_key : str, optional
        Its setting for that number; where it has none, some are taken away.
    trip : callable
        From the environment after its reset, and a generator of the episode, to the drive.
    limit_m_s : float
        Speed limit.
    time_s : float
        When an episode is over.
    kerbs : bool
        Whether bends have red and white kerbs.
    extent_m : float
        How much of a long road is there to be seen.
    every_second : callable, optional
        What else happens each second of a drive with traffic.
    """

    build: type[AbstractEnv]
    config: Mapping[str, object] = field(default_factory=dict)
    traffic: int
    traffic_key: str | None = None
    trip: Callable[[AbstractEnv, np.random.Generator], Trip]
    limit_m_s: float
    time_s: float
    kerbs: bool = False
    extent_m: float = math.inf
    every_second: Callable[[AbstractEnv], None] | None = None

    def lanes(self, env: AbstractEnv) -> list[Lane]:
        """Return the roads that are there to be seen."""
        return [lane_of(lane, 0.0, min(float(lane.length), self.extent_m)) for lane in env.road.network.lanes_list()]


def _lap(env: AbstractEnv, rng: np.random.Generator) -> Trip:  # noqa: ARG001  # a racetrack leaves no choice
    """Go once round, on the lane in which the car stands."""
    network = env.road.network
    _, _, number = env.vehicle.lane_index
    node, lanes = "a", []
    while True:
        (following,) = network.graph[node]
        lanes.append((node, following, number))
        node = following
        if node == "a":
            return Trip(route=Route(_line(env, lanes, closed=True), closed=True))


def _line(env: AbstractEnv, lanes: Sequence[LaneIndex], *, closed: bool = False) -> Points:
    """Return lanes end to end. Where two overlap, as some arcs do by a degree, the overlap is cut out."""
    pieces = [centre_line(env.road.network.get_lane(lane)) for lane in lanes]
    line = pieces[0]
    for piece in [*pieces[1:], *([pieces[0][:1]] if closed else [])]:
        ahead = line[-1] - line[-2]
        beyond = (piece - line[-1]) @ ahead > 0.0
        line = np.concatenate([line, piece[np.argmax(beyond) :] if beyond.any() else piece])
    return line[:-1] if closed else line


def _cut(line: Points, end_m: float) -> Points:
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    return line[along <= end_m]


def _straight_on(env: AbstractEnv, rng: np.random.Generator) -> Trip:  # noqa: ARG001  # the lane is the car's own
    """Drive a kilometre of motorway."""
    line = _line(env, [env.vehicle.lane_index])
    return Trip(route=Route(_cut(line, float(env.vehicle.position[0]) + 1000.0)))


def _past_the_ramp(env: AbstractEnv, rng: np.random.Generator) -> Trip:  # noqa: ARG001  # there is one way
    """Go past the ramp, to where highway-env ends the episode."""
    lanes = [("a", "b", 1), ("b", "c", 1), ("c", "d", 1)]
    return Trip(route=Route(_cut(_line(env, lanes), 370.0)))


_ROUNDABOUT = {Command.RIGHT: "e", Command.STRAIGHT: "n", Command.LEFT: "w"}


def _round(env: AbstractEnv, rng: np.random.Generator) -> Trip:
    """Leave at the first, second or third exit, on the outer lane."""
    order = list(_ROUNDABOUT)[int(rng.integers(3))]
    side = _ROUNDABOUT[order]
    nodes = ["ser", "ses", *env.road.network.shortest_path("se", f"{side}xr")]
    lanes = [(a, b, len(env.road.network.graph[a][b]) - 1) for a, b in itertools.pairwise(nodes)]
    line = _line(env, lanes)
    before = float(env.road.network.get_lane(lanes[0]).length)
    after = float(env.road.network.get_lane(lanes[-1]).length)
    route = Route(_cut(line, float(np.hypot(*np.diff(line, axis=0).T).sum()) - after + 25.0))
    return Trip(route=route, orders=((before - _ANNOUNCED_M, route.length_m - 25.0, order),))


_CROSSING = {Command.LEFT: 1, Command.STRAIGHT: 2, Command.RIGHT: 3}


def _across(env: AbstractEnv, rng: np.random.Generator) -> Trip:
    """Turn left, go straight on or turn right, to where highway-env says the car has arrived."""
    order = list(_CROSSING)[int(rng.integers(3))]
    exit_node = _CROSSING[order]
    lanes = [("o0", "ir0", 0), ("ir0", f"il{exit_node}", 0), (f"il{exit_node}", f"o{exit_node}", 0)]
    before, through = (float(env.road.network.get_lane(lane).length) for lane in lanes[:2])
    route = Route(_cut(_line(env, lanes), before + through + 25.0))
    return Trip(route=route, orders=((before - _ANNOUNCED_M, before + through, order),))


def _come_and_go(env: AbstractEnv) -> None:
    """Let vehicles leave and arrive, as highway-env's own step does each second."""
    env._clear_vehicles()
    env._spawn_vehicle(spawn_probability=env.config["spawn_probability"])


_PATIENT = f"{PatientVehicle.__module__}.{PatientVehicle.__qualname__}"


def _racetrack(build: type[AbstractEnv], time_s: float) -> Scenario:
    return Scenario(
        build=build,
        traffic=3,
        traffic_key="other_vehicles",
        trip=_lap,
        limit_m_s=10.0,
        time_s=time_s,
        kerbs=True,
    )


SCENARIOS: dict[str, Scenario] = {
    "racetrack": _racetrack(ConnectedLaneRacetrackEnv, 150.0),
    "racetrack-large": _racetrack(ConnectedLaneRacetrackEnvLarge, 300.0),
    "racetrack-oval": _racetrack(ConnectedLaneRacetrackEnvOval, 200.0),
    "highway": Scenario(
        build=HighwayEnv,
        traffic=20,
        traffic_key="vehicles_count",
        trip=_straight_on,
        limit_m_s=28.0,
        time_s=120.0,
        extent_m=1700.0,
    ),
    "merge": Scenario(build=ConnectedLaneMergeEnv, traffic=4, trip=_past_the_ramp, limit_m_s=25.0, time_s=60.0),
    "roundabout": Scenario(
        build=ConnectedLaneRoundaboutGenericEnv,
        config={"other_vehicles_type": _PATIENT},
        traffic=4,
        traffic_key="vehicles_count",
        trip=_round,
        limit_m_s=12.0,
        time_s=90.0,
    ),
    "intersection": Scenario(
        build=ConnectedLaneIntersectionEnv,
        config={"other_vehicles_type": _PATIENT, "spawn_probability": 0.3, "destination": "o1"},
        traffic=6,
        traffic_key="initial_vehicle_count",
        trip=_across,
        limit_m_s=10.0,
        time_s=90.0,
        every_second=_come_and_go,
    ),
}
