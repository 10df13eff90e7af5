"""How slow may the chip be: driving over the chip's frame time at several speeds, with the presets on the same axis.

    python bench/latency.py                drive what the journal does not have yet; print the page
    python bench/latency.py --seeds 10     more drives of each
    python bench/latency.py --write        also rewrite docs/results/latency.md and its plot (needs matplotlib)

The sweep is `chanzi drive --chip chanzi-8 --sweep clock_hz=... --sweep pace=... --backend ort-int8 --traffic 0`, with
every drive written down in build/latency.jsonl as it ends.
"""

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chanzi.chip import load_chip, presets
from chanzi.drive.network import shipped
from chanzi.drive.runs import Course, Drive, Network, drive_seed, figures_of, make_course, make_pilot
from chanzi.drive.statistics import Interval, bootstrap_mean
from chanzi.drive.sweep import SAME_COMPLETION, Axis, Variant, variants
from chanzi.drive.timeline import latency_of

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
WORLD, CHIP = "highway:racetrack", "chanzi-8"
CLOCKS_HZ = {
    1.0: (60e6, 5e6, 2.5e6, 1.6e6, 1.2e6, 1e6),
    1.5: (60e6, 5e6, 2.5e6, 1.6e6),
    2.0: (60e6, 5e6, 2.5e6, 1.6e6, 1.2e6, 1e6),
}
"""Of each pace: times the network's own speed."""
FIRST_SEED, SEEDS = 7300, 3
LIMIT_S = 60.0
"""A lap at the network's own speed takes 43 s."""
HALF_LANE_M = 2.5
COLOURS = ("#3f8efc", "#2a9d5c", "#d1495b")
Line = dict[str, Any]


def base() -> tuple[Drive, str]:
    """Return the drive that is varied, and what tells its network from others."""
    net = shipped(WORLD)
    if net is None:
        raise SystemExit("no driving network ships")
    drive = Drive(
        course=Course(world=WORLD, options=(("traffic", 0),), limit_s=LIMIT_S),
        backend="ort-int8",
        network=Network(int8=str(net.int8), floating=str(net.floating)),
        chip=load_chip(CHIP),
    )
    return drive, hashlib.sha256(net.int8.read_bytes()).hexdigest()[:8]


def drive_all(seeds: int, path: Path) -> list[Line]:
    """Drive what is not written down yet; a seed of all variants before the next."""
    drive, digest = base()
    every: list[Variant] = []
    for pace, clocks in CLOCKS_HZ.items():
        every += variants(drive, axes=[Axis(key="clock_hz", values=clocks), Axis(key="pace", values=(pace,))])
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(text) for text in path.read_text("utf-8").splitlines()] if path.is_file() else []
    lines = [line for line in lines if line["network"] == digest]
    known = {(line["clock_hz"], line["pace"], line["seed"]) for line in lines}
    world = make_course(drive.course)
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for one in every:
            at = dict(one.at)
            if (at["clock_hz"], at["pace"], seed) in known:
                continue
            lines.append({"network": digest, **at, "seed": seed, **driven(one, seed, world)})
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    return [line for line in lines if line["seed"] < FIRST_SEED + seeds]


def driven(one: Variant, seed: int, world: Any) -> Line:
    """Drive, and return what is written down."""
    eyes = make_pilot(one.drive)
    assert eyes.figures is not None
    episode = drive_seed(one.drive, seed, world=world, pilot=eyes.pilot)
    late = latency_of(episode.passages)
    return {
        "cycles": eyes.figures.cycles,
        "chip_s": eyes.figures.chip_s,
        "ended": episode.ended,
        "progress": episode.progress,
        "time_s": episode.time_s,
        "metres": episode.distance_m,
        "late_s": late.mean_s if late.mean_s == late.mean_s else None,
        "used": sum(p.acted_s is not None for p in episode.passages),
        "frames": len(episode.passages),
        "astray_m": episode.lateral_most_m,
        "stops": len(episode.stops),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One clock at one pace."""

    clock_hz: float
    chip_s: float
    late_s: float
    speed_m_s: float
    used: float
    completion: Interval
    unsafe: int
    stopped: int
    astray_m: float
    drives: int


def points(lines: list[Line], pace: float) -> list[Point]:
    """Return a pace's points, the fastest chip first."""
    found = []
    for clock_hz in CLOCKS_HZ[pace]:
        mine = [one for one in lines if one["clock_hz"] == clock_hz and one["pace"] == pace]
        if not mine:
            continue
        late = [one["late_s"] for one in mine if one["late_s"] is not None]
        found.append(
            Point(
                clock_hz=clock_hz,
                chip_s=mine[0]["chip_s"],
                late_s=sum(late) / len(late) if late else float("nan"),
                speed_m_s=sum(one["metres"] for one in mine) / sum(one["time_s"] for one in mine),
                used=sum(one["used"] for one in mine) / sum(one["time_s"] for one in mine),
                completion=bootstrap_mean([one["progress"] for one in mine]),
                unsafe=sum(one["ended"] in ("crash", "off road") or one["astray_m"] > HALF_LANE_M for one in mine),
                stopped=sum(one["stops"] > 0 for one in mine),
                astray_m=max(one["astray_m"] for one in mine),
                drives=len(mine),
            )
        )
    return found


def edge(found: list[Point]) -> Point | None:
    """Return the slowest chip that drives as the fastest does; None where that is unsafe."""
    good = None
    if found[0].unsafe:
        return None
    for one in found:
        kept = one.completion.value >= found[0].completion.value - SAME_COMPLETION
        if one.unsafe > found[0].unsafe or not kept:
            break
        good = one
    return good


def table(found: list[Point]) -> str:
    """Return a pace's table."""
    rows = [
        "| clock, MHz | frame, ms | to steering, ms | frames/s used | m/s | lap done | unsafe | stopped | astray, m |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    rows += [
        f"| {p.clock_hz / 1e6:g} | {1e3 * p.chip_s:.1f} | {1e3 * p.late_s:.0f} | {p.used:.1f} | {p.speed_m_s:.1f} |"
        f" {p.completion.value:.1%} | {p.unsafe} of {p.drives} | {p.stopped} | {p.astray_m:.2f} |"
        for p in found
    ]
    return "\n".join(rows)


def chips() -> list[tuple[str, int, float, float]]:
    """Return name, cycles of a frame, its seconds and the clock of every preset."""
    drive, _ = base()
    found = []
    for name in presets():
        chip = load_chip(name)
        figures = figures_of(Drive(course=drive.course, backend="ort-int8", network=drive.network, chip=chip))
        assert figures is not None
        found.append((name, figures.cycles, figures.chip_s, float(chip.clock_hz)))
    return sorted(found, key=lambda row: -row[2])


def page(lines: list[Line]) -> str:
    """Return the page."""
    found = {pace: points(lines, pace) for pace in CLOCKS_HZ}
    seeds = len({line["seed"] for line in lines})
    parts, said = [], []
    best: dict[float, Point] = {}
    for pace, mine in found.items():
        speed = mine[0].speed_m_s
        parts.append(f"### {speed:.1f} m/s (pace {pace:g})\n\n{table(mine)}")
        good, bad = edge(mine), next((p for p in mine if p.unsafe), None)
        if good is None:
            hurt = f"{mine[0].unsafe} of {mine[0].drives}"
            said.append(f"- {speed:.1f} m/s: no chip helps; with the fastest it is unsafe, too ({hurt}).")
            continue
        best[pace] = good
        after = next((p for p in mine if p.chip_s > good.chip_s), None)
        worse = ""
        if after is not None and not after.unsafe:
            worse = f"; at {1e3 * after.chip_s:.0f} ms it does {after.completion.value:.0%} of the lap in the time"
        hurt = "is nowhere unsafe" if bad is None else f"is unsafe from {1e3 * bad.chip_s:.0f} ms"
        said.append(f"- {speed:.1f} m/s: drives until {1e3 * good.chip_s:.0f} ms a frame{worse}; {hurt}.")
    rows = ["| chip | clock, MHz | cycles | frame, ms |" + "".join(
        f" at {found[p][0].speed_m_s:.1f} m/s could be slower by |" for p in best
    )]  # fmt: skip
    rows.append("|---|---:|---:|---:|" + "---:|" * len(best))
    for name, cycles, chip_s, clock_hz in chips():
        spare = "".join(f" {good.chip_s / chip_s:,.0f}x |" for good in best.values())
        rows.append(f"| `{name}` | {clock_hz / 1e6:g} | {cycles:,} | {1e3 * chip_s:.3g} |{spare}")
    nl = "\n"
    count = "one whole lap" if seeds == 1 else f"{seeds} whole laps"
    return f"""# How slow may the chip be

`python bench/latency.py --write`: the network {lines[0]["network"]} (sha256, the one that ships) in {WORLD}, no
traffic, a frame every 0.1 s, {count} a point, {LIMIT_S:g} s at most. The chip is `{CHIP}`, its clock swept; its cycles
are the program's. One speed of it is asked by

```sh
chanzi drive --chip {CHIP} --backend ort-int8 --traffic 0 --seed {FIRST_SEED} -n {seeds} --seconds {LIMIT_S:g} \\
  --sweep clock_hz={",".join(f"{hz:g}" for hz in CLOCKS_HZ[1.0])}
```

![Driving over the chip's frame time](latency.svg)

{nl.join(said)}

*Unsafe* is a collision, the road left, or the car's middle in another lane (more than {HALF_LANE_M} m *astray* from its
own lane's centre; from 1.5 m on a wheel is over the line). *Stopped*: it braked for safety. *To steering*: the time
from light to steering. *Drives*: it is not unsafe, and does within two points as much of the lap as with the fastest
chip.

Sensor, link and planner take 20 ms in every row. The controller takes a plan older than 0.6 s for a failure and brakes
until the next one comes; a plan grows nearly twice as old as a frame takes, so that a chip that is too slow by far
crawls instead of crashing. The controller reckons with how the car has moved since the picture was taken, so that it is
not the lag itself that decides but how far ahead the picture shows.

## The presets

What each takes for a frame of this network of 21.5 MMAC, and how many times slower it could be and still drive. Driving
a car round this track does not need many TOPS; more pixels, more cameras and larger networks do
([how cycles grow](drive-network.md)).

{nl.join(rows)}

## Drives

{(nl * 2).join(parts)}
"""


def draw(lines: list[Line], target: Path) -> None:
    """Draw the share of the lap, and where it is unsafe, over the frame time; presets as lines."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "chanzi"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4))
    for pace, colour in zip(CLOCKS_HZ, COLOURS, strict=True):
        mine = points(lines, pace)
        x = [1e3 * p.chip_s for p in mine]
        y = [100 * p.completion.value for p in mine]
        error = [[100 * (p.completion.value - p.completion.low) for p in mine],
                 [100 * (p.completion.high - p.completion.value) for p in mine]]  # fmt: skip
        axes.errorbar(x, y, error, marker="o", ms=4, capsize=2, color=colour, label=f"{mine[0].speed_m_s:.1f} m/s")
        bad = [(1e3 * p.chip_s, 100 * p.completion.value) for p in mine if p.unsafe]
        axes.plot([a for a, _ in bad], [b for _, b in bad], "x", ms=11, mew=2, color=colour)
    for name, _, chip_s, _ in chips():
        axes.axvline(1e3 * chip_s, color="#8a929e", lw=0.8, ls=":")
        axes.text(1e3 * chip_s * 1.06, 40, name, rotation=90, fontsize=8, color="#66707f")
    axes.plot([], [], "x", color="#66707f", ms=9, mew=2, label="some unsafe")
    axes.set_xscale("log")
    axes.set_xlabel("a frame on the chip, ms")
    axes.set_ylabel("of the lap, %")
    axes.set_ylim(0, 104)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(0.27, 0.72))
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    """Drive, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--journal", type=Path, default=ROOT / "build" / "latency.jsonl")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    lines = drive_all(given.seeds, given.journal)
    text = page(lines)
    print(text)
    if given.write:
        (RESULTS / "latency.md").write_text(text, "utf-8")
        draw(lines, RESULTS / "latency.svg")


if __name__ == "__main__":
    main()
