"""``chanzi drive``: a network on a chip drives a car, with the chip's own latency in the loop."""

import math
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from chanzi.cli.console import note, say_json, working
from chanzi.drive.episode import Episode, Listener
from chanzi.drive.runs import Backend, Course, Drive, Eyes, Network, drive_all, drive_seed, make_course, make_pilot
from chanzi.drive.sensor import Fault
from chanzi.drive.world.world import World
from chanzi.errors import DriveError

_PER_EPISODE = 1000


def drive(
    *,
    sim: str = "highway",
    scenario: str | None = None,
    weather: str | None = None,
    model: Annotated[Path | None, Parameter(name=["--model", "-m"])] = None,
    float_model: Path | None = None,
    backend: Backend | None = None,
    chip: Annotated[str | None, Parameter(name=["--chip", "-c"])] = None,
    redundant: bool = False,
    episodes: Annotated[int, Parameter(name=["--episodes", "-n"])] = 1,
    seed: int = 0,
    cameras: int = 1,
    fps: float | None = None,
    traffic: float | None = None,
    seconds: float | None = None,
    pace: float = 1.0,
    latency_ms: float | None = None,
    supervised: bool = False,
    fault: str | None = None,
    watch: bool = True,
    jobs: int = 1,
    folder: Path = Path(),
    video: bool = True,
    files: bool = True,
    json: bool = False,
) -> int:
    """Let a network on a chip drive a car.

    Parameters
    ----------
    sim
        The world: highway, metadrive, carracing, or gym:ENV.
    scenario
        The world's road or map.
    weather
        As the world knows it: clear, rain, fog, night, ..., or mixed.
    model
        The driving network, QDQ int8 ONNX as chanzi.drive.network makes it; the one that ships by default.
    float_model
        The same network as it was trained, for --backend float.
    backend
        Who looks at the frames. chip: the network's program on the simulated chip. ort-int8, float: the network in ONNX
        Runtime, in the chip's time. truth: a planner that is told what is so. expert: another driver.
    chip
        A preset's name or a .toml file; tesla-fsd-hw3 by default.
    redundant
        Two chips run every frame, and the car acts only on what both say.
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
    pace
        Times the speed that the network proposes.
    latency_ms
        From a frame in the chip's memory to its answer; what the program takes by default.
    supervised
        A safety driver takes over where it must; interventions per km are counted.
    fault
        A camera fails: black, white, covered, noise, frozen, torn, late, wrong-size or missing; after an @ the second
        in which it begins, after a # the camera: frozen@3#0.
    watch
        Look at frames before driving by them, and stop where the camera cannot be trusted.
    jobs
        Processes.
    folder
        Where files go: of the first episode drive.mp4, drive.mcap, drive.json (for Perfetto) and, where rerun-sdk is
        installed, drive.rrd; of all of them episodes.parquet and frames.parquet.
    video
        Film the first episode.
    files
        Write files.
    json
        Write JSON.
    """
    if episodes < 1:
        raise DriveError(f"{episodes} episodes", hint="at least 1")
    if jobs < 1:
        raise DriveError(f"{jobs} jobs", hint="at least 1")
    network = _network(model, float_model)
    what = Drive(
        course=_course(sim, scenario, weather=weather, cameras=cameras, fps=fps, traffic=traffic, seconds=seconds),
        backend=backend or ("truth" if network is None else "chip"),
        network=network,
        chip=_chip(chip),
        redundant=redundant,
        pace=pace,
        chip_s=None if latency_ms is None else latency_ms / 1e3,
        supervised=supervised,
        watch=watch,
        fault=_fault(fault),
    )
    found, eyes = _drive(what, seed, episodes, jobs, folder if files else None, video)
    _show(what, eyes, found, json)
    return 0


def _network(model: Path | None, float_model: Path | None) -> Network | None:
    if model is None:
        return None
    if not model.is_file():
        raise DriveError(f"there is no network {model}", hint="check the path")
    return Network(int8=str(model), floating=None if float_model is None else str(float_model))


def _chip(chip: str | None) -> Any:
    if chip is None:
        return None
    from chanzi.chip import load_chip

    return load_chip(chip)


def _course(
    sim: str,
    scenario: str | None,
    *,
    weather: str | None,
    cameras: int,
    fps: float | None,
    traffic: float | None,
    seconds: float | None,
) -> Course:
    options: list[tuple[str, Any]] = [("cameras", cameras)]
    if fps is not None:
        if not 0.1 <= fps <= 1000:
            raise DriveError(f"{fps} frames a second", hint="0.1 to 1000")
        options.append(("frame_s", 1 / fps))
    if traffic is not None:
        options.append(("traffic", int(traffic) if traffic == int(traffic) else traffic))
    if weather is not None:
        options.append(("weather", weather))
    return Course(
        world=sim if scenario is None else f"{sim}:{scenario}",
        options=tuple(options),
        limit_s=math.inf if seconds is None else seconds,
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


def _drive(
    what: Drive, seed: int, count: int, jobs: int, folder: Path | None, video: bool
) -> tuple[list[Episode], Eyes]:
    """Drive all episodes: the first one here, where it is written down, the others wherever."""
    with working("compiling"):
        world, eyes = make_course(what.course), make_pilot(what)
    with working("driving", _PER_EPISODE * count) as advance, ExitStack() as after:
        listeners: list[Listener] = [_Live(advance)]
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            listeners += _recorders(what, world, eyes, folder, video)
        for listener in listeners:
            after.callback(getattr(listener, "close", lambda: None))
        found = [drive_seed(what, seed, world=world, pilot=eyes.pilot, listeners=listeners)]
        rest = [(what, seed + i) for i in range(1, count)]
        others = drive_all(rest, jobs=jobs, done=lambda n: advance(n * _PER_EPISODE))
        found += [episode for _, episode in sorted(others, key=lambda pair: pair[0])]
    if folder is not None:
        _tables(found, folder)
    return found, eyes


class _Live:
    """Shows how far the first episode is."""

    def __init__(self, advance: Any) -> None:
        self._advance, self._shown = advance, 0

    def begin(self, world: World, seed: int) -> None:
        """Begin an episode."""

    def frame(self, world: World, moment: Any) -> None:
        """Show how far it is."""
        del world
        done = round(_PER_EPISODE * moment.status.progress)
        self._advance(max(done - self._shown, 0))
        self._shown = max(done, self._shown)

    def passed(self, passage: Any) -> None:
        """See `Listener`."""

    def plan(self, passage: Any, perception: Any, plan: Any) -> None:
        """See `Listener`."""

    def tick(self, time_s: float, control: Any, by: str) -> None:
        """See `Listener`."""

    def end(self, episode: Episode) -> None:
        """Show that it is done."""
        del episode
        self._advance(_PER_EPISODE - self._shown)


def _recorders(what: Drive, world: World, eyes: Eyes, folder: Path, video: bool) -> list[Listener]:
    from importlib.util import find_spec

    from chanzi.drive.record.mcap_log import McapLog

    chip = "" if eyes.figures is None else eyes.figures.chip.name
    listeners: list[Listener] = [McapLog(folder / "drive.mcap", {"backend": what.backend, "chip": chip})]
    if find_spec("rerun") is not None:
        from chanzi.drive.record.rerun_log import RerunLog

        listeners.append(RerunLog(folder / "drive.rrd"))
    if video:
        from chanzi.drive.record.film import Film, credits_of, twin_of

        listeners.append(Film(folder / "drive.mp4", credits_of(what, world, eyes.figures), twin=twin_of(what.course)))
    return listeners


def _tables(found: list[Episode], folder: Path) -> None:
    from chanzi.drive.record.tables import write_episodes, write_frames
    from chanzi.report.drive_trace import write_drive_trace

    write_episodes(folder / "episodes.parquet", found)
    write_frames(folder / "frames.parquet", found)
    write_drive_trace(folder / "drive.json", found[0])
    written = [name for name in ("drive.mp4", "drive.rrd", "drive.mcap") if (folder / name).exists()]
    note(f"wrote {', '.join((*written, 'drive.json, episodes.parquet and frames.parquet'))} in {folder.resolve()}")


def _show(what: Drive, eyes: Eyes, found: list[Episode], json: bool) -> None:
    from chanzi.drive.metrics import tally
    from chanzi.report import drive as report

    total = tally(found, supervised=what.supervised)
    if json:
        say_json(
            {
                "total": report.tally_json(total),
                "chip": None if eyes.figures is None else report.chip_json(eyes.figures, total),
                "episodes": [report.episode_json(e) for e in found],
            }
        )
        return
    from chanzi.cli.tables import show

    if 1 < len(found) <= 20:
        show(report.episodes_table(found))
    show(report.drive_table(f"{what.backend} in {found[0].world}", total, eyes.figures))
