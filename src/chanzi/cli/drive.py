"""``chanzi drive``: a network on a chip drives a car, with the chip's own latency in the loop."""

import math
import re
from typing import Annotated, Any

from cyclopts import Parameter

from chanzi.cli.console import say_json, working
from chanzi.drive.runs import Backend, Course, Drive, drive_all
from chanzi.drive.sensor import Fault
from chanzi.errors import DriveError


def drive(
    *,
    sim: str = "highway",
    scenario: str | None = None,
    backend: Backend = "truth",
    episodes: Annotated[int, Parameter(name=["--episodes", "-n"])] = 1,
    seed: int = 0,
    cameras: int = 1,
    fps: float | None = None,
    traffic: float | None = None,
    seconds: float | None = None,
    latency_ms: float = 0.0,
    supervised: bool = False,
    fault: str | None = None,
    watch: bool = True,
    jobs: int = 1,
    json: bool = False,
) -> int:
    """Let a network on a chip drive a car.

    Parameters
    ----------
    sim
        The world: highway, metadrive, carracing, or gym:ENV.
    scenario
        The world's road or map.
    backend
        Who looks at the frames. truth: a planner that is told what is so. expert: another driver.
    episodes
        How many, of one seed after the other.
    seed
        Of the first episode.
    cameras
        1, 3 or 8.
    fps
        Frames a second of the cameras; the world's own by default.
    traffic
        Other vehicles, as the world counts them.
    seconds
        Simulated seconds after which an episode ends.
    latency_ms
        From a frame in the chip's memory to its answer.
    supervised
        A safety driver takes over where it must; interventions per km are counted.
    fault
        A camera fails: black, white, covered, noise, frozen, torn, late, wrong-size or missing; after an @ the second
        in which it begins, after a # the camera: frozen@3#0.
    watch
        Look at frames before driving by them, and stop where the camera cannot be trusted.
    jobs
        Processes.
    json
        Write JSON.
    """
    if episodes < 1:
        raise DriveError(f"{episodes} episodes", hint="at least 1")
    what = _described(
        sim, scenario, backend, cameras=cameras, fps=fps, traffic=traffic, seconds=seconds, latency_ms=latency_ms,
        supervised=supervised, watch=watch, fault=_fault(fault),
    )  # fmt: skip
    orders = [(what, seed + i) for i in range(episodes)]
    with working("driving", episodes) as advance:
        ended = sorted(drive_all(orders, jobs=jobs, done=advance), key=lambda pair: pair[0])
    found = [episode for _, episode in ended]
    _show(what, found, json)
    return 0


def _described(
    sim: str,
    scenario: str | None,
    backend: Backend,
    *,
    cameras: int,
    fps: float | None,
    traffic: float | None,
    seconds: float | None,
    latency_ms: float,
    supervised: bool,
    watch: bool,
    fault: Fault | None,
) -> Drive:
    options: list[tuple[str, Any]] = [("cameras", cameras)]
    if fps is not None:
        if not 0.1 <= fps <= 1000:
            raise DriveError(f"{fps} frames a second", hint="0.1 to 1000")
        options.append(("frame_s", 1 / fps))
    if traffic is not None:
        options.append(("traffic", int(traffic) if traffic == int(traffic) else traffic))
    course = Course(
        world=sim if scenario is None else f"{sim}:{scenario}",
        options=tuple(options),
        limit_s=math.inf if seconds is None else seconds,
    )
    return Drive(
        course=course, backend=backend, chip_s=latency_ms / 1e3, supervised=supervised, watch=watch, fault=fault
    )


def _fault(text: str | None) -> Fault | None:
    """Return the camera fault of such a text as `frozen@3#0`."""
    if text is None:
        return None
    found = re.fullmatch(r"(?P<kind>[a-z-]+)(@(?P<begin>\d+(\.\d+)?))?(#(?P<camera>\d+))?", text)
    if found is None:
        raise DriveError(f"camera fault '{text}'", hint="such as frozen, frozen@3 or frozen@3#0")
    # `Fault` refuses a kind that is none
    kind: Any = found["kind"]
    return Fault(kind=kind, begin_s=float(found["begin"] or 2.0), camera=int(found["camera"] or 0))


def _show(what: Drive, found: list[Any], json: bool) -> None:
    from chanzi.drive.metrics import tally
    from chanzi.report import drive as report

    total = tally(found, supervised=what.supervised)
    if json:
        say_json({"total": report.tally_json(total), "episodes": [report.episode_json(e) for e in found]})
        return
    from chanzi.cli.tables import show

    if len(found) <= 20:
        show(report.episodes_table(found))
    show(report.drive_table(f"{what.backend} in {what.course.world}", total))
