"""MetaDrive's engine: one a process, as MetaDrive wants it, without its window, its assets and its pictures.

MetaDrive steps five ticks of physics at a time and renders inside its `step`. Here a step is one tick, traffic decides
every fifth as it does there, and nothing is rendered.
"""

import functools
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from metadrive.component.map.pg_map import PGMap
from metadrive.component.navigation_module.node_network_navigation import NodeNetworkNavigation
from metadrive.component.vehicle.base_vehicle import BaseVehicle
from metadrive.engine.base_engine import BaseEngine
from metadrive.envs.base_env import BaseEnv
from metadrive.envs.metadrive_env import MetaDriveEnv
from metadrive.manager.base_manager import BaseManager
from metadrive.manager.pg_map_manager import PGMapManager
from metadrive.manager.traffic_manager import PGTrafficManager
from metadrive.obs.observation_base import DummyObservation
from metadrive.policy.env_input_policy import EnvInputPolicy

from chanzi.drive.world.metadrive.scenarios import JUNCTIONS, Scenario
from chanzi.errors import DriveError

TICK_S = 0.02
DECISION_TICKS = 5
"""Ticks from one decision of the traffic to the next, as in MetaDrive."""

_START = (">", ">>")
_TRIES = 20
_SEEDS = 2**31 - 1
_JOINED_M = 0.3
_BLOCK = re.compile(r"-?(\d+)([A-Za-z$])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One lane of the route.

    Parameters
    ----------
    lane : metadrive lane
    junction : int or None
        Number of the junction whose inside it crosses.
    fork : bool
        Whether other ways begin where it begins.
    """

    lane: Any
    junction: int | None
    fork: bool


class _Maps(PGMapManager):
    """Makes each episode's map, and chooses where the car begins and where it goes."""

    def __init__(self) -> None:
        # Its parent lists every seed there is.
        BaseManager.__init__(self)
        self.current_map = None
        self.scenario: Scenario | None = None
        self.legs: tuple[Leg, ...] = ()

    def clear_stored_maps(self) -> None:
        """Do nothing: no map is stored."""

    def reset(self) -> None:
        """Generate a map on which a lane leads all the way to a goal."""
        scenario, config = self.scenario, self.engine.global_config
        assert scenario is not None
        rng = np.random.default_rng([self.engine.global_seed, 0])
        for _ in range(_TRIES):
            map_config = config["map_config"].copy()
            map_config["seed"] = self.engine.global_seed
            map_config["config"] = scenario.sequence(rng)
            map_config["lane_num"] = int(rng.choice(scenario.lanes))
            road_map = self.spawn_object(PGMap, map_config=map_config, random_seed=None)
            self.legs = _choose_route(road_map, rng)
            if self.legs:
                break
            road_map.destroy()
        else:
            raise DriveError("MetaDrive made no map with a way through", hint="another seed does")
        self.load_map(road_map)
        agent = config["agent_configs"]["default_agent"]
        agent["spawn_lane_index"] = self.legs[0].lane.index
        agent["destination"] = self.legs[-1].lane.index[1]


class _Navigation(NodeNetworkNavigation):
    """Finds a vehicle's lane, and leaves out what only MetaDrive's own observations would read."""

    def _get_info_for_checkpoint(
        self, lanes_id: int, ref_lane: Any, ego_vehicle: Any
    ) -> tuple[list[float], float, Any]:
        del lanes_id, ego_vehicle
        return [0.0] * self.CHECK_POINT_INFO_DIM, 0.0, ref_lane.end


class _Env(MetaDriveEnv):
    def setup_engine(self) -> None:
        # Not its parent's: that one would list every seed.
        BaseEnv.setup_engine(self)
        self.engine.register_manager("map_manager", _Maps())
        self.engine.register_manager("traffic_manager", PGTrafficManager())


@functools.cache
def the_env() -> MetaDriveEnv:
    """Return this process's MetaDrive, made at the first call."""
    # Nothing is drawn by MetaDrive, so nothing is to be fetched for it.
    BaseEngine.try_pull_asset = staticmethod(lambda: None)
    env = _Env(
        {
            "log_level": 50,
            "num_scenarios": _SEEDS,
            "map": "S",
            "store_map": False,
            "random_spawn_lane_index": False,
            "agent_policy": EnvInputPolicy,
            "vehicle_config": {"navigation_module": _Navigation},
            "agent_observation": DummyObservation,
            # What a vehicle of the last episode was has no say in this one.
            "num_buffering_objects": 0,
            "decision_repeat": 1,
            "physics_world_step_size": TICK_S,
        }
    )
    env.lazy_init()
    return env


def begin(scenario: Scenario, seed: int, density: float) -> None:
    """Begin an episode.

    Parameters
    ----------
    scenario : Scenario
    seed : int
        Taken modulo 2^31 - 1.
    density : float
        Vehicles per ten metres of lane, in MetaDrive's way.
    """
    env = the_env()
    env.engine.map_manager.scenario = scenario
    env.engine.global_config["traffic_density"] = density
    env.reset(seed=seed % _SEEDS)


def route() -> tuple[Leg, ...]:
    """Return the route's lanes, in order."""
    return the_env().engine.map_manager.legs


def others() -> list[BaseVehicle]:
    """Return all vehicles but the car that is driven, in the order in which they were made."""
    env = the_env()
    ego = env.agent
    return [thing for thing in env.engine.get_objects().values() if isinstance(thing, BaseVehicle) and thing is not ego]


def tick(number: int, steering: float, throttle: float) -> None:
    """Let a tick of physics pass.

    Parameters
    ----------
    number : int
        Of the tick in its episode, from 0: decisions and judgements fall on every fifth.
    steering, throttle : float
        -1 to 1, in MetaDrive's way.
    """
    env = the_env()
    engine = env.engine
    if number % DECISION_TICKS == 0:
        engine.before_step({"default_agent": [steering, throttle]})
    else:
        env.agent._set_action((steering, throttle))  # its own step has no door for a control between decisions
    engine.step_physics_world()
    if number % DECISION_TICKS == DECISION_TICKS - 1:
        engine.after_step()


def judgement() -> dict[str, bool]:
    """Return MetaDrive's own words on the last decision step: arrive_dest, crash, out_of_road and others."""
    return the_env().done_function("default_agent")[1]


def completion() -> float:
    """Return MetaDrive's own route completion, 0 to 1."""
    return float(the_env().agent.navigation.route_completion)


def _choose_route(road_map: PGMap, rng: np.random.Generator) -> tuple[Leg, ...]:
    """Return lanes that lead from the beginning to an exit of the last block, or nothing."""
    network = road_map.road_network
    sockets = road_map.blocks[-1].get_socket_list()
    goals = [socket.positive_road.end_node for socket in sockets]
    for goal in rng.permutation(goals):
        nodes = network.shortest_path((*_START, 0), str(goal))
        roads = list(itertools.pairwise(nodes))
        if len(roads) < 2:
            continue
        inside = _junctions(roads)
        chains = _chains(network.graph, roads)
        if chains:
            chain = _suited(chains, inside, rng)
            forks = [len(network.graph[start]) > 1 for start, _ in roads]
            return tuple(
                Leg(lane=lane, junction=number, fork=fork)
                for lane, number, fork in zip(chain, inside, forks, strict=True)
            )
    return ()


def _junctions(roads: Sequence[tuple[str, str]]) -> list[int | None]:
    """Say for each road of a route which junction it crosses: all of a junction's block but its exit."""
    blocks = []
    for _, end in roads:
        found = _BLOCK.match(end)
        blocks.append((int(found[1]), found[2]) if found else (0, "I"))
    return [
        number if letter in JUNCTIONS and k + 1 < len(blocks) and blocks[k + 1] == (number, letter) else None
        for k, (number, letter) in enumerate(blocks)
    ]


def _chains(graph: dict[str, dict[str, list[Any]]], roads: Sequence[tuple[str, str]]) -> list[list[Any]]:
    """Return every chain of lanes, one of each road, in which each begins where the last one ends."""
    chains = [[lane] for lane in graph[roads[0][0]][roads[0][1]]]
    for start, end in roads[1:]:
        chains = [
            [*chain, lane]
            for chain in chains
            for lane in graph[start][end]
            if math.dist(chain[-1].end, lane.start) < _JOINED_M
        ]
    return chains


def _suited(chains: list[list[Any]], inside: Sequence[int | None], rng: np.random.Generator) -> list[Any]:
    """Choose the chain for the first turn: the left lane to turn left, the right one to turn right."""
    chains = sorted(chains, key=lambda chain: chain[0].index[2])
    for number in dict.fromkeys(n for n in inside if n is not None):
        part = [k for k, n in enumerate(inside) if n == number]
        first, last = chains[0][part[0]], chains[0][part[-1]]
        turn = math.remainder(last.heading_theta_at(last.length) - first.heading_theta_at(0.0), 2 * math.pi)
        if abs(turn) > math.pi / 4:
            return chains[0] if turn > 0 else chains[-1]
    return chains[int(rng.integers(len(chains)))]
