"""highway-env's scenarios: which road, which way along it, when it is done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from highway_env.envs.common.abstract import AbstractEnv
from highway_env.envs.racetrack_env import ConnectedLaneRacetrackEnv

from chanzi.drive.world.highway_roads import centre_line
from chanzi.drive.world.road import Points, Route


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
        How many others there are, where nobody says.
    traffic_key : str
        Its setting for that number.
    route : callable
        From the environment after its reset to the route.
    limit_m_s : float
        Speed limit, where the lanes have none that suits.
    time_s : float
        When an episode is over.
    kerbs : bool
        Whether bends have red and white kerbs.
    """

    build: type[AbstractEnv]
    config: Mapping[str, object] = field(default_factory=dict)
    traffic: int
    traffic_key: str
    route: Callable[[AbstractEnv], Route]
    limit_m_s: float
    time_s: float
    kerbs: bool = False


def _lap(env: AbstractEnv) -> Route:
    """Return the lap along the lane in which the car stands."""
    network = env.road.network
    _, _, number = env.vehicle.lane_index
    node, pieces = "a", []
    while True:
        (following,) = network.graph[node]
        pieces.append(centre_line(network.get_lane((node, following, number))))
        node = following
        if node == "a":
            return Route(_joined(pieces), closed=True)


def _joined(pieces: list[Points]) -> Points:
    """Return pieces end to end. Where two overlap, as some arcs do by a degree, the overlap is cut out."""
    line = pieces[0]
    for piece in [*pieces[1:], pieces[0][:1]]:
        ahead = line[-1] - line[-2]
        beyond = (piece - line[-1]) @ ahead > 0.0
        piece = piece[np.argmax(beyond) :] if beyond.any() else piece
        line = np.concatenate([line, piece])
    return line[:-1]


SCENARIOS: dict[str, Scenario] = {
    "racetrack": Scenario(
        build=ConnectedLaneRacetrackEnv,
        traffic=3,
        traffic_key="other_vehicles",
        route=_lap,
        limit_m_s=10.0,
        time_s=150.0,
        kerbs=True,
    ),
}
