"""A drive as a unit of work: a world, a network in it, an expert beside it, a watcher who takes notes."""

import tempfile
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from chanzi.drive.controller import Driver as Controller
from chanzi.drive.engine.car.codriver import ExpertCoDriver
from chanzi.drive.engine.car.pilot import NetworkPilot
from chanzi.drive.engine.car.watcher import Watcher
from chanzi.drive.engine.interface import RECORDING, SIGNALS, DriveOrder, Driver, Drove
from chanzi.drive.engine.signals import write_signals
from chanzi.drive.engine.unit import Made, Read, Unit, canonical
from chanzi.drive.episode import Episode, Parts, run_episode
from chanzi.drive.oracle import Oracle
from chanzi.drive.record.mcap_log import McapLog
from chanzi.drive.supervise import Supervisor
from chanzi.drive.world.registry import make_world
from chanzi.drive.world.world import World

CLEAR = "clear"
"""The weather of a world that knows none."""
SLOW_SHARE = 0.5
"""Whoever comes less far than this share of what a careful driver would has not driven."""
_KEPT_WORLDS = 4

_worlds: "OrderedDict[tuple[str, str, int], World]" = OrderedDict()


def world_of(name: str, weather: str, cameras: int) -> World:
    """Return a world, kept by this process: making one takes longer than driving in it."""
    key = (name, weather, cameras)
    if key not in _worlds:
        if len(_worlds) >= _KEPT_WORLDS:
            _worlds.popitem(last=False)[1].close()
        options = {} if weather == CLEAR else {"weather": weather}
        _worlds[key] = make_world(name, cameras=cameras, **options)
    _worlds.move_to_end(key)
    return _worlds[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveCar(Unit):
    """One drive."""

    kind: ClassVar[str] = "drive"
    patience_s: ClassVar[float] = 1800.0

    order: DriveOrder
    cameras: int

    @property
    def name(self) -> str:
        """See `Unit`."""
        return self.order.scenario.name

    def inputs(self) -> tuple[str, ...]:
        """See `Unit`."""
        return tuple(d.network for d in (self.order.driver, self.order.shadow) if d is not None)

    def perform(self, read: Read) -> Made:
        """See `Unit`."""
        order = self.order
        world = world_of(order.scenario.world, order.scenario.weather, self.cameras)
        watcher = Watcher(None if order.shadow is None else _pilot(order.shadow, read), order.failure_s)
        parts = Parts(
            pilot=Oracle() if order.driver is None else _pilot(order.driver, read),
            driver=Controller(world.vehicle),
            codriver=None if order.mix is None else ExpertCoDriver(order.mix, Supervisor()),
            listeners=(watcher,),
        )
        seed, limit_s = order.scenario.seed, order.scenario.seconds
        files: tuple[tuple[str, bytes], ...] = ()
        if order.record:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "drive.mcap"
                log = McapLog(
                    path, {"weather": order.scenario.weather, "network": order.driver.network if order.driver else ""}
                )
                episode = run_episode(world, seed, replace(parts, listeners=(watcher, log)), limit_s=limit_s)
                files = ((RECORDING, path.read_bytes()), (SIGNALS, write_signals(watcher.signals())))
        else:
            episode = run_episode(world, seed, parts, limit_s=limit_s)
        return Made(values=canonical(judged(episode, watcher, order.scenario.weather)), files=files)


def _pilot(driver: Driver, read: Read) -> NetworkPilot:
    return NetworkPilot(read(driver.network), driver.backend, driver.latency_s)


def judged(episode: Episode, watcher: Watcher, weather: str) -> Drove:
    """Return how a drive went: a failure is a crash, the road left, a stop for safety, or no getting on."""
    slow = episode.distance_m < SLOW_SHARE * watcher.wanted_m
    passed = episode.safe and episode.ended in ("arrived", "time") and not slow
    ended = "too slow" if slow and episode.safe and episode.ended == "time" else episode.ended
    return Drove(
        passed=passed,
        ended=ended,
        circumstances="" if passed else watcher.circumstances(ended, weather),
        time_s=episode.time_s,
        distance_m=episode.distance_m,
        progress=episode.progress,
        frames=len(watcher),
        interventions=watcher.interventions,
        digest=episode.digest,
    )
