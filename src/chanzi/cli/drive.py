"""``chanzi drive``: a network on a chip drives a car, with the chip's own latency in the loop."""

import math
import re
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from chanzi.chip import DEFAULT_CHIP, Chip, load_chip, presets
from chanzi.cli.console import note, say, say_json, working
from chanzi.cli.drive_files import drive_and_write
from chanzi.cli.drive_gym import drive_gym
from chanzi.drive.episode import Episode
from chanzi.drive.runs import Backend, Course, Drive, Eyes, Network
from chanzi.drive.sensor import Fault
from chanzi.drive.sweep import Variant, axis_of, compare, edges, variants
from chanzi.errors import DriveError


def drive(
    *,
    sim: str = "highway",
    scenario: str | None = None,
    weather: str | None = None,
    model: Annotated[Path | None, Parameter(name=["--model", "-m"])] = None,
    float_model: Path | None = None,
    backend: str | None = None,
    chip: Annotated[str | None, Parameter(name=["--chip", "-c"])] = None,
    chips: str | None = None,
    sweep: tuple[str, ...] = (),
    redundant: bool = False,
    episodes: Annotated[int, Parameter(name=["--episodes", "-n"])] = 1,
    seed: int = 0,
    cameras: int = 1,
    fps: float | None = None,
    traffic: float | None = None,
    seconds: float | None = None,
    pace: float | None = None,
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
        Runtime, in the chip's time. truth: a planner that is told what is so. expert: another driver. Several, with
        commas between them, are compared.
    chip
        A preset's name or a .toml file; tesla-fsd-hw3 by default.
    chips
        Several of them, or all, with commas between them: each drives the same episodes.
    sweep
        A figure and its values: latency_ms, fps, pace, traffic, or one of the chip's, such as clock_hz. KEY=a,b,c, or
        KEY=low:high:count, even in ratios. Several are combined; where driving ends is told for the first.
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
        Times the speed that the network proposes; by default 1, or what the network that ships for the world drives
        best with.
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
    if sim.startswith("gym:"):
        refused = {"--scenario": scenario, "--weather": weather, "--traffic": traffic, "--fault": fault, "--fps": fps,
                   "--sweep": sweep, "--redundant": redundant, "--supervised": supervised}  # fmt: skip
        for name, given in refused.items():
            if given:
                raise DriveError(f"{name} and {sim}", hint="of an environment only its spaces and its clock are known")
        drive_gym(
            sim.removeprefix("gym:"),
            model,
            _chips(chips) or [_chip(chip)],
            _backends(backend),
            seed=seed,
            episodes=episodes,
            latency_ms=latency_ms,
            seconds=seconds,
            folder=folder if files else None,
            film=video,
            json=json,
        )
        return 0
    network, own_pace = _network(sim, cameras, model, float_model)
    backends = _backends(backend) or [("truth" if network is None else "chip")]
    base = Drive(
        course=_course(sim, scenario, weather=weather, cameras=cameras, fps=fps, traffic=traffic, seconds=seconds),
        backend=backends[0],
        network=network,
        chip=_chip(chip),
        redundant=redundant,
        pace=own_pace if pace is None else pace,
        chip_s=None if latency_ms is None else latency_ms / 1e3,
        supervised=supervised,
        watch=watch,
        fault=_fault(fault),
    )
    if len(backends) > 1 or chips is not None or sweep:
        what = variants(
            base,
            backends=backends if len(backends) > 1 else (),
            chips=_chips(chips),
            axes=[axis_of(text) for text in sweep],
        )
        _compare(what, range(seed, seed + episodes), jobs, folder if files else None, json)
        return 0
    found, eyes = drive_and_write(base, seed, episodes, jobs, folder if files else None, film=video)
    if network is None and backend is None:
        note(f"no network ships for {sim} with {cameras} cameras, so the planner was told the truth; --model names one")
    _show(base, eyes, found, json)
    return 0


def _network(sim: str, cameras: int, model: Path | None, float_model: Path | None) -> tuple[Network | None, float]:
    """Return the network that is named, else the one that ships for such a world and rig, and its pace."""
    if model is not None:
        if not model.is_file():
            raise DriveError(f"there is no network {model}", hint="check the path")
        return Network(int8=str(model), floating=None if float_model is None else str(float_model)), 1.0
    from chanzi.drive.network import shipped
    from chanzi.drive.network.export import spec_of

    found = shipped(sim)
    if found is None or spec_of(found.int8).cameras != cameras:
        return None, 1.0
    return Network(int8=str(found.int8), floating=str(found.floating)), found.pace


def _chip(chip: str | None) -> Chip:
    return load_chip(DEFAULT_CHIP if chip is None else chip)


def _chips(names: str | None) -> list[Chip]:
    if names is None:
        return []
    wanted = list(presets()) if names == "all" else [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise DriveError("no chips to compare", hint="--chips chanzi-16,tesla-fsd-hw3, or --chips all")
    return [load_chip(name) for name in wanted]


def _backends(names: str | None) -> list[Backend]:
    # `Drive` refuses what is none
    found: list[Any] = [] if names is None else [name.strip() for name in names.split(",") if name.strip()]
    return found


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


def _compare(what: list[Variant], seeds: range, jobs: int, folder: Path | None, json: bool) -> None:
    """Drive the variants over the same seeds, and show what each comes to."""
    from chanzi.report import drive_sweep as report

    with working("driving", len(what) * len(seeds)) as advance:
        found = list(compare(what, seeds, jobs=jobs, done=advance))
    axis = what[0].at[-1][0] if what[0].at else ""
    lines = [] if axis == "backend" else report.edge_lines(edges(found, axis), axis)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        title = f"Drives in {what[0].drive.course.world}"
        report.write_sweep_page(folder / "drives.html", title, found, axis, lines)
        note(f"wrote drives.html in {folder.resolve()}")
    if json:
        say_json({"axis": axis, "edges": lines, "drives": report.sweep_json(found)})
        return
    from chanzi.cli.tables import show

    count = "one episode" if len(seeds) == 1 else f"{len(seeds)} episodes"
    show(report.sweep_table(f"{count} each in {what[0].drive.course.world}", found))
    for line in lines:
        say(line)
