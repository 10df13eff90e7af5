"""Episodes by description: what to drive is a plain frozen value, so that any process, here or elsewhere, can drive it.

A description and a seed give the same episode everywhere.
"""

import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Literal, get_args

from chanzi.chip.chip import Chip
from chanzi.drive.controller import Driver
from chanzi.drive.episode import CoDriver, Episode, Listener, Parts, Pilot, run_episode
from chanzi.drive.messages import Frame
from chanzi.drive.oracle import Oracle
from chanzi.drive.sensor import Fault, FaultyCamera, ReadNoise, chain
from chanzi.drive.supervise import Supervisor, Teacher
from chanzi.drive.timeline import Delays
from chanzi.drive.watch import Watch
from chanzi.drive.world.registry import make_world
from chanzi.drive.world.world import World
from chanzi.errors import DriveError, did_you_mean

Backend = Literal["chip", "ort-int8", "float", "truth", "expert"]
Option = int | float | str


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
class Drive:
    """What drives there.

    Parameters
    ----------
    course : Course
    backend : str
        chip: the network's program on the simulated chip. ort-int8: the same quantized network in ONNX Runtime.
        float: the network as it was trained. truth: no network; the planner is told what is so. expert: another driver.
        All but the last have the chip's latency.
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
    chip: Chip | None = None
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


def make_course(course: Course) -> World:
    """Return the world of a course."""
    return make_world(course.world, **dict(course.options))


def make_pilot(drive: Drive) -> Pilot:
    """Return who looks at the frames."""
    if drive.backend in ("truth", "expert"):
        return Oracle(drive.chip_s or 0.0, drive.busy_s)
    raise DriveError(f"backend '{drive.backend}' has no network yet")


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
    pilot: Pilot | None = None,
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
        pilot=make_pilot(drive) if pilot is None else pilot,
        driver=Driver(world.vehicle),
        delays=drive.delays,
        guard=Watch(world.cameras) if drive.watch else None,
        sensor=chain(stages),
        codriver=make_codriver(drive),
        listeners=listeners,
    )
    return run_episode(world, seed, parts, limit_s=drive.course.limit_s)


_kept: dict[str, tuple[Drive, World, Pilot]] = {}


def _in_worker(drive: Drive, seed: int) -> Episode:
    """Drive an episode in a process that keeps its last world and pilot, which take longer to make than a drive."""
    kept = _kept.get("last")
    if kept is None or kept[0] != drive:
        if kept is not None:
            kept[1].close()
        kept = (drive, make_course(drive.course), make_pilot(drive))
        _kept["last"] = kept
    return drive_seed(drive, seed, world=kept[1], pilot=kept[2])


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
