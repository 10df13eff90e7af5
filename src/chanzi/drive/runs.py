"""Episodes by description: what to drive is a plain frozen value, so that any process, here or elsewhere, can drive it.

A description and a seed give the same episode everywhere.
"""

import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from chanzi.chip.chip import Chip
from chanzi.drive.controller import Driver
from chanzi.drive.episode import Answer, CoDriver, Episode, Listener, Parts, run_episode
from chanzi.drive.episode import Pilot as EpisodePilot
from chanzi.drive.figures import ChipFigures, chip_figures
from chanzi.drive.messages import Frame, Vehicle
from chanzi.drive.oracle import Oracle
from chanzi.drive.planner import Limits
from chanzi.drive.sensor import Fault, FaultyCamera, ReadNoise, chain
from chanzi.drive.supervise import Supervisor, Teacher
from chanzi.drive.timeline import Delays
from chanzi.drive.watch import Watch
from chanzi.drive.world.registry import make_world
from chanzi.drive.world.world import World
from chanzi.errors import DriveError, did_you_mean

Backend = Literal["chip", "ort-int8", "float", "truth", "expert"]
Option = int | float | str
_NETWORKS: tuple[Backend, ...] = ("chip", "ort-int8", "float")


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Where to drive: a world by name, and what its class is told.

    Parameters
    ----------
    world : str
        As `chanzi.drive.world.registry.make_world` takes it: `highway:racetrack`.
    options : tuple of (str, value)
        Such as ``("cameras", 3)``.
    limit_s : float
        Simulated seconds after which an episode ends, where the world has not ended it.
    """

    world: str
    options: tuple[tuple[str, Option], ...] = ()
    limit_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A driving network's files.

    Parameters
    ----------
    int8 : str
        The QDQ network: what chips run.
    floating : str, optional
        The network as it was trained.
    """

    int8: str
    floating: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """What drives there.

    Parameters
    ----------
    course : Course
    backend : str
        chip: the network's program on the simulated chip. ort-int8: the same quantized network in ONNX Runtime.
        float: the network as it was trained. truth: no network; the planner is told what is so. expert: another driver.
        All but the last have the chip's latency.
    network : Network, optional
        What looks at the frames.
    chip : Chip, optional
        What it runs on; the default chip without one.
    redundant : bool
        Two chips run every frame, and the car acts on what both say.
    pace : float
        Times the speed that the network proposes; curves are taken as much faster.
    chip_s, busy_s : float
        From a frame in the chip's memory to its answer, and until the next frame is taken: what the chip's program
        takes, unless it is given here.
    delays : Delays
    supervised : bool
        A safety driver takes over where it must, and is counted.
    watch : bool
        Frames are looked at before they are driven by.
    fault : Fault, optional
        A camera fails.
    """

    course: Course
    backend: Backend = "truth"
    network: Network | None = None
    chip: Chip | None = None
    redundant: bool = False
    pace: float = 1.0
    chip_s: float | None = None
    busy_s: float | None = None
    delays: Delays = field(default_factory=Delays)
    supervised: bool = False
    watch: bool = True
    fault: Fault | None = None

    def __post_init__(self) -> None:
        if self.backend not in get_args(Backend):
            raise DriveError(
                f"nothing drives with '{self.backend}'", hint=did_you_mean(self.backend, get_args(Backend))
            )
        if self.backend in _NETWORKS and self.network is None:
            raise DriveError(f"backend '{self.backend}' needs a network", hint="--model NET.onnx, or --backend truth")
        if self.redundant and self.backend != "chip":
            raise DriveError(f"two chips and backend '{self.backend}'", hint="--redundant goes with --backend chip")
        if not 0 < self.pace <= 10:
            raise DriveError(f"a pace of {self.pace:g}", hint="1 is the network's own; above 0, at most 10")


def make_course(course: Course) -> World:
    """Return the world of a course."""
    return make_world(course.world, **dict(course.options))


@dataclass(frozen=True, slots=True, kw_only=True)
class Eyes:
    """Who looks at the frames, and what the chip does with them."""

    pilot: EpisodePilot
    figures: ChipFigures | None


def make_pilot(drive: Drive) -> Eyes:
    """Return who looks at the frames."""
    figures = figures_of(drive)
    if drive.backend not in _NETWORKS or drive.network is None:
        chip_s = drive.chip_s or 0.0 if figures is None else figures.chip_s
        pilot: EpisodePilot = Oracle(chip_s, drive.busy_s if figures is None else figures.busy_s)
    else:
        assert figures is not None
        pilot = _network_pilot(drive, drive.network, figures)
    return Eyes(pilot=pilot if drive.pace == 1 else Paced(pilot, drive.pace), figures=figures)


def figures_of(drive: Drive) -> ChipFigures | None:
    """Return what the chip does with the network in a drive, or None where there is none."""
    if drive.network is None or drive.backend == "expert":
        return None
    figures = replace(_figures(drive.network.int8, drive.chip), chips=2 if drive.redundant else 1)
    if drive.chip_s is None:
        return figures
    busy_s = drive.chip_s if drive.busy_s is None else drive.busy_s
    # what a chip would spend that takes so long is not known
    return replace(figures, chip_s=drive.chip_s, busy_s=busy_s, joules=None, idle_w=None)


_told: dict[tuple[str, int, str], ChipFigures] = {}


def _figures(int8: str, chip: Chip | None) -> ChipFigures:
    """Return what a chip does with a network; worked out once for each, for a compilation takes a second."""
    from chanzi.runtime.session import Session

    path = Path(int8)
    key = int8, path.stat().st_mtime_ns, repr(chip)
    if key not in _told:
        session = Session(path, chip)
        _told[key] = chip_figures(session.model, session.timing())
    return _told[key]


def _network_pilot(drive: Drive, network: Network, figures: ChipFigures) -> EpisodePilot:
    from chanzi.drive.network.export import spec_of
    from chanzi.drive.pilot import Pilot
    from chanzi.drive.redundant import ChipUnit, RedundantPilot
    from chanzi.runtime.session import Session

    int8 = Path(network.int8)
    if drive.redundant:
        model = Session(int8, drive.chip).model
        units = (ChipUnit(model), ChipUnit(model))
        return RedundantPilot(spec_of(int8), units, chip_s=figures.chip_s, reload_s=figures.reload_s)
    backend: Any = drive.backend
    floating = None if network.floating is None else Path(network.floating)
    plain = Pilot(int8, floating=floating, backend=backend, chip=drive.chip)
    return Timed(plain, figures.chip_s, figures.busy_s)


class Timed:
    """A pilot whose answers take a given time."""

    def __init__(self, pilot: EpisodePilot, chip_s: float, busy_s: float) -> None:
        self.pilot, self.chip_s, self.busy_s = pilot, chip_s, busy_s

    def begin(self, world: World) -> None:
        """Begin an episode."""
        self.pilot.begin(world)

    def look(self, frame: Frame) -> Answer:
        """Return the pilot's answer, with that time."""
        return replace(self.pilot.look(frame), chip_s=self.chip_s, busy_s=self.busy_s)


class Paced:
    """A pilot in a hurry, or none: the speed it proposes is another's times a factor."""

    def __init__(self, pilot: EpisodePilot, pace: float) -> None:
        self.pilot, self.pace = pilot, pace

    def begin(self, world: World) -> None:
        """Begin an episode."""
        self.pilot.begin(world)

    def look(self, frame: Frame) -> Answer:
        """Return the pilot's answer, faster or slower."""
        answer = self.pilot.look(frame)
        if answer.perception is None:
            return answer
        faster = answer.perception.target_speed_m_s * self.pace
        return replace(answer, perception=replace(answer.perception, target_speed_m_s=faster))


def limits_of(drive: Drive, vehicle: Vehicle) -> Limits:
    """Return what a vehicle never does in a drive: its own limits, in curves as much faster as the drive's pace."""
    own = Limits.of(vehicle)
    return replace(own, lateral_m_s2=own.lateral_m_s2 * drive.pace**2)


def make_codriver(drive: Drive) -> CoDriver | None:
    """Return who else may take the wheel."""
    if drive.backend == "expert":
        return Teacher()
    return Supervisor() if drive.supervised else None


def drive_seed(
    drive: Drive,
    seed: int,
    *,
    world: World | None = None,
    pilot: EpisodePilot | None = None,
    listeners: Sequence[Listener] = (),
) -> Episode:
    """Drive one episode.

    Parameters
    ----------
    drive : Drive
    seed : int
    world, pilot : optional
        Made before by `make_course` and `make_pilot`; both may be used again and again.
    listeners : sequence of Listener
    """
    world = make_course(drive.course) if world is None else world
    if drive.fault is not None and drive.fault.camera >= len(world.cameras):
        raise DriveError(f"camera {drive.fault.camera} of {len(world.cameras)}", hint="they are counted from 0")
    stages: list[Callable[[Frame], Frame]] = [ReadNoise(seed)]
    if drive.fault is not None:
        stages.append(FaultyCamera(drive.fault, seed))
    parts = Parts(
        pilot=make_pilot(drive).pilot if pilot is None else pilot,
        driver=Driver(world.vehicle, limits=limits_of(drive, world.vehicle)),
        delays=drive.delays,
        guard=Watch(world.cameras) if drive.watch else None,
        sensor=chain(stages),
        codriver=make_codriver(drive),
        listeners=listeners,
    )
    return run_episode(world, seed, parts, limit_s=drive.course.limit_s)


_world: dict[Course, World] = {}
_pilot: dict[str, tuple[Drive, EpisodePilot]] = {}


def _in_worker(drive: Drive, seed: int) -> Episode:
    """Drive an episode in a process that keeps its last world and pilot, which take longer to make than a drive."""
    if drive.course not in _world:
        for old in _world.values():
            old.close()
        _world.clear()
        _world[drive.course] = make_course(drive.course)
    kept = _pilot.get("last")
    if kept is None or kept[0] != drive:
        kept = (drive, make_pilot(drive).pilot)
        _pilot["last"] = kept
    return drive_seed(drive, seed, world=_world[drive.course], pilot=kept[1])


def _one_thread() -> None:
    """Let a worker be one thread: the others use the other cores."""
    os.environ["CHANZI_THREADS"] = "1"


def drive_all(
    drives: Sequence[tuple[Drive, int]], *, jobs: int = 1, done: Callable[[int], None] = lambda _: None
) -> Iterator[tuple[int, Episode]]:
    """Yield (index, episode) of every (description, seed), as they end.

    Parameters
    ----------
    drives : sequence of (Drive, int)
    jobs : int
        Processes; 1 drives here.
    done : callable
        Called with 1 after each.

    Raises
    ------
    DriveError
        A world or a network is not to be had, or a process died.
    """
    if jobs < 1:
        raise DriveError(f"{jobs} jobs", hint="at least 1")
    if jobs == 1 or len(drives) < 2:
        for index, (drive, seed) in enumerate(drives):
            yield index, _in_worker(drive, seed)
            done(1)
        return
    # spawned, not forked: simulators and ONNX Runtime hold threads, which a fork would lose
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(drives)), context, _one_thread) as pool:
        waiting: dict[Future[Episode], int] = {pool.submit(_in_worker, *what): i for i, what in enumerate(drives)}
        try:
            while waiting:
                ended, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield waiting.pop(future), future.result()
                    done(1)
        finally:
            for future in waiting:
                future.cancel()
