"""How fast driving is here: worlds, the closed loop by who looks, the film, training.

    python bench/drive_speed.py            measure and print
    python bench/drive_speed.py --write    also rewrite docs/results/drive-speed.md
    python bench/drive_speed.py --seconds 4 --frames 30

Needs the extras [metadrive] and [train]. Processor time is what a frame costs, all threads and children added; wall
time is this machine's with whatever else runs on it. `bench/worlds.py` has worlds in more sizes.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("CHANZI_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import worlds as bench_worlds

from chanzi.chip import load_chip
from chanzi.drive.episode import Listener, Moment
from chanzi.drive.network import shipped
from chanzi.drive.network.shards import make_shard, write_shard
from chanzi.drive.network.spec import NetSpec
from chanzi.drive.record.film import Film, credits_of, twin_of
from chanzi.drive.record.mcap_log import McapLog
from chanzi.drive.runs import Course, Drive, Network, drive_seed, make_course, make_pilot

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "drive-speed.md"
WORLDS = (
    "highway:racetrack", "highway:highway", "highway:merge", "highway:roundabout", "highway:intersection",
    "metadrive:straight", "metadrive:curve", "metadrive:intersection", "metadrive:roundabout", "carracing",
)  # fmt: skip
CAMERAS = (0, 1, 3, 8)
CHIPS = ("chanzi-8", "chanzi-16", "tesla-fsd-hw3")
SEED = 7500


def spent() -> float:
    """Return the processor seconds of this process and its children."""
    return sum(os.times()[:4])


class Timer:
    """Wall and processor time of what happens inside."""

    def __enter__(self) -> "Timer":
        """Begin."""
        self.wall, self.processor = time.perf_counter(), spent()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self.wall, self.processor = time.perf_counter() - self.wall, spent() - self.processor

    def row(self, name: str, frames: int) -> str:
        """Return a row of a table."""
        return f"| {name} | {frames / self.wall:.1f} | {1e3 * self.processor / frames:.1f} |"


class Keeper:
    """Keeps the frames of a drive, for training."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.truths: list[Any] = []

    def frame(self, world: Any, moment: Moment) -> None:
        """Keep a frame."""
        del world
        self.frames.append(moment.frame)
        self.truths.append(moment.truth)

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Let everything else pass."""
        return lambda *_: None


def worlds(names: Sequence[str]) -> list[str]:
    """Return the worlds' table."""
    rows = ["| world | not looking | 1 camera | 3 cameras | 8 cameras |", "|---|---:|---:|---:|---:|"]
    for name in names:
        cells = []
        for cameras in CAMERAS if name != "carracing" else (0, 1):
            rate, cost = bench_worlds.measure(name, cameras, 160, 80) if name != "carracing" else racing(cameras)
            cells.append(f"{rate:.0f} ({cost:.1f} ms)")
        rows.append(f"| {name} | {' | '.join(cells + [''] * (4 - len(cells)))} |")
        print(rows[-1], flush=True)
    return rows


def racing(cameras: int) -> tuple[float, float]:
    """Measure the world whose picture has a size of its own."""
    from chanzi.drive.messages import Control
    from chanzi.drive.world.registry import make_world

    world, frames = make_world("carracing"), 100
    with Timer() as timer:
        for _ in range(frames):
            for _ in range(round(world.frame_s / world.tick_s)):
                world.step(Control(acceleration_m_s2=1.0))
            if cameras:
                world.observe()
    world.close()
    return frames / timer.wall, 1e3 * timer.processor / frames


def loops(seconds: float) -> tuple[list[str], Keeper]:
    """Return the closed loop's table, and the frames that were seen."""
    net = shipped("highway")
    if net is None:
        raise SystemExit("no driving network ships")
    base = Drive(
        course=Course(world="highway:racetrack", limit_s=seconds),
        backend="chip",
        network=Network(int8=str(net.int8), floating=str(net.floating)),
        chip=load_chip("chanzi-16"),
    )
    ways = [(f"the chip, `{name}`, simulated by `fast`", replace(base, chip=load_chip(name))) for name in CHIPS]
    ways += [
        ("two chips, `chanzi-16`", replace(base, redundant=True)),
        ("ONNX Runtime, int8", replace(base, backend="ort-int8")),
        ("ONNX Runtime, float", replace(base, backend="float")),
        ("told the truth", replace(base, backend="truth")),
    ]
    rows = ["| who looks | frames/s | processor ms a frame |", "|---|---:|---:|"]
    world, keeper = make_course(base.course), Keeper()
    for name, drive in ways:
        pilot = make_pilot(drive).pilot
        short = replace(drive, course=replace(drive.course, limit_s=0.3))
        drive_seed(short, SEED, world=world, pilot=pilot)  # kernels are compiled, weights prepared
        with Timer() as timer:
            episode = drive_seed(drive, SEED, world=world, pilot=pilot)
        rows.append(timer.row(name, len(episode.passages)))
        print(rows[-1], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        eyes = make_pilot(base)
        film = Film(Path(folder) / "d.mp4", credits_of(base, world, eyes.figures), twin=twin_of(base.course))
        recorders: list[tuple[str, Listener]] = [
            ("with MCAP", McapLog(Path(folder) / "d.mcap", {})),
            ("with a film", film),
        ]
        for name, listener in recorders:
            with Timer() as timer:
                episode = drive_seed(base, SEED, world=world, pilot=eyes.pilot, listeners=[listener])
            rows.append(timer.row(f"`chanzi-16`, {name}", len(episode.passages)))
            print(rows[-1], flush=True)
        drive_seed(base, SEED, world=world, pilot=eyes.pilot, listeners=[keeper])
    return rows, keeper


def training(keeper: Keeper) -> list[str]:
    """Return what an epoch costs, a frame at a time."""
    from chanzi.drive.network.train import Training, train

    rows = ["| training | frames/s | processor ms a frame |", "|---|---:|---:|"]
    with tempfile.TemporaryDirectory() as folder:
        shard = Path(folder) / "episode-000000.npz"
        write_shard(shard, make_shard(keeper.frames, keeper.truths))
        marks: list[tuple[float, float]] = []

        def mark(text: str) -> None:
            del text
            marks.append((time.perf_counter(), spent()))

        train([shard], Path(folder), NetSpec(), Training(epochs=5, held_share=0.0, threads=1), progress=mark)
    (a, b), (c, d) = marks[0], marks[-1]
    frames = len(keeper.frames) * (len(marks) - 1)
    rows.append(f"| one thread, batches of 64 | {frames / (c - a):.0f} | {1e3 * (d - b) / frames:.1f} |")
    print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--frames", type=int, default=60, help="of each world and rig")
    parser.add_argument("--worlds", nargs="*", default=WORLDS)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    bench_worlds.EPISODES, bench_worlds.FRAMES = 1, given.frames
    loop, keeper = loops(given.seconds)
    taught = training(keeper)
    seen = worlds(given.worlds)
    nl = "\n"
    text = f"""# How fast driving is here

`python bench/drive_speed.py {" ".join(sys.argv[1:])}`, once,
on {os.cpu_count()} cores ({platform.machine()}), one thread, with other work on them: the load average was
{os.getloadavg()[2]:.0f}, so that wall times say little. A core that does nothing else takes as many frames a second as
processor times go into one, or more, for caches that are shared cost, too. A frame is 0.1 s of driving (0.04 s in
CarRacing), pictures are 160x80.

## Worlds

Frames a second, and processor time of a frame, with the expert driving, {given.frames} frames each; `bench/worlds.py`
measures more sizes.

{nl.join(seen)}

## The closed loop

{given.seconds:g} s of `highway:racetrack` with its traffic: world, camera, watch, network, planner, controller.

{nl.join(loop)}

A film has 25 pictures a second of driving, two and a half for each frame, and 1.5 s of an end, which weighs here; its
encoder is counted.

## Training

The network that ships, forward and backward, with the mirror and new light.

{nl.join(taught)}
"""
    print(text)
    if given.write:
        RESULTS.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
