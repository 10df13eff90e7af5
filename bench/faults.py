"""Faults while driving: cameras that fail, and bits that flip in the chip.

    python bench/faults.py cameras bits            drive, and print the tables
    python bench/faults.py --write                 also rewrite docs/results/faults.md
    python bench/faults.py bits --flips 100        fewer flips a lap

What is driven is written down line by line in build/faults.jsonl; the same command goes on from there.
"""

import argparse
import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["CHANZI_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # forks inherit no threads

import cv2
import numpy as np
from fault_bits import (
    ASTRAY_M,
    FOLLOW_S,
    LOOKS,
    NEAR_ALONG_M,
    NEAR_M,
    PLACES,
    SHORT_S,
    Chips,
    HitPilot,
    clean_drive,
    hit_drive,
)

from chanzi.chip import load_chip
from chanzi.drive.network import shipped
from chanzi.drive.runs import Course, Drive, Network, drive_seed, make_course, make_pilot
from chanzi.drive.sensor import Fault, Kind
from chanzi.drive.statistics import wilson
from chanzi.drive.timeline import Fate
from chanzi.drive.world.registry import make_world

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results" / "faults.md"
JOURNAL = ROOT / "build" / "faults.jsonl"
WORLD, CHIP = "highway:racetrack", "chanzi-16"
LAPS, FLIPS, FOLLOW, LAP_S = (7000, 7001, 7002, 7003), 2520, 150, 60.0
KINDS: tuple[Kind, ...] = (
    "black", "white", "covered", "noise", "frozen", "torn", "late", "wrong-size", "missing",
)  # fmt: skip
SEEDS = tuple(range(7100, 7103))
AFTER_S = 8.0
LANE_M = 5.0
"""highway-env's racetrack; its car is 2 m wide."""
Line = dict[str, Any]


class Journal:
    """Lines that were written before, and those that come."""

    def __init__(self, path: Path, head: str) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.loads(text) for text in path.read_text("utf-8").splitlines()] if path.is_file() else []
        if not lines or lines[0] != {"head": head}:
            if lines:
                path.replace(path.with_suffix(".old.jsonl"))
            path.write_text(json.dumps({"head": head}) + "\n", "utf-8")
            lines = lines[:0]
        self.lines: list[Line] = lines[1:]

    def add(self, line: Line) -> None:
        """Write a line down."""
        self.lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def cameras(network: Path, journal: Journal) -> None:
    """Let cameras fail, with the watch and without."""
    known = {(one["kind"], one["seed"], one["watch"]) for one in journal.lines if "kind" in one}
    base = Drive(
        course=Course(world=WORLD, limit_s=LAP_S),
        backend="ort-int8",
        network=Network(int8=str(network)),
        chip=load_chip(CHIP),
    )
    world, pilot = make_course(base.course), make_pilot(base).pilot
    for seed in SEEDS:
        begin_s = 2.0 + float(np.random.default_rng(seed).integers(60)) / 10
        for kind in KINDS:
            for watch in (True, False):
                if (kind, seed, watch) in known or (not watch and kind in ("wrong-size", "missing")):
                    continue  # the network takes no such pictures
                journal.add(camera(base, kind, begin_s, seed, watch, world, pilot))


def camera(base: Drive, kind: Kind, begin_s: float, seed: int, watch: bool, world: Any, pilot: Any) -> Line:
    """Return what a failing camera came to."""
    fault = Fault(kind=kind, begin_s=begin_s)
    drive = replace(base, fault=fault, watch=watch, course=replace(base.course, limit_s=begin_s + AFTER_S))
    episode = drive_seed(drive, seed, world=world, pilot=pilot)
    after = [p for p in episode.passages if p.taken_s >= begin_s - 1e-6]
    refused = [n for n, p in enumerate(after, 1) if p.fate is Fate.REFUSED]
    early = sum(p.fate is Fate.REFUSED for p in episode.passages if p.taken_s < begin_s - 1e-6)
    stop = next((s for s in episode.stops if s.time_s >= begin_s - 1e-6), None)
    return {
        "kind": kind, "seed": seed, "watch": watch, "begin_s": begin_s, "ended": episode.ended,
        "noticed": refused[0] if refused else None, "early": early,
        "alarm_s": None if stop is None else round(stop.time_s - begin_s, 2), "why": "" if stop is None else stop.why,
        "stood_s": round(episode.time_s - begin_s, 2), "off_m": round(abs(world.truth().lateral_m), 2),
        "worst_m": round(episode.lateral_most_m, 2), "crashes": episode.crashes,
    }  # fmt: skip


def bits(network: Path, journal: Journal, flips: int, follow: int) -> None:
    """Flip bits, lap by lap."""
    chips, world = Chips(network, load_chip(CHIP)), make_world(WORLD)
    for lap in LAPS:
        here = [line for line in journal.lines if line.get("lap") == lap]
        if any(line.get("followed", -1) >= follow for line in here):
            continue
        began = sum(os.times()[:4])
        episode, records = clean_drive(chips, world, lap, LAP_S)
        print(
            f"lap {lap}: {episode.ended}, {len(records)} frames, {episode.lateral_most_m:.2f} m off at most", flush=True
        )
        journal.add(
            {"lap": lap, "begun": follow, "ended": episode.ended, "frames": len(records),
             "worst_m": round(episode.lateral_most_m, 2)}
        )  # fmt: skip
        chips.check(next(iter(records.values())).inputs)
        rng = np.random.default_rng(lap)
        plan: dict[int, list[tuple[int, Any]]] = defaultdict(list)
        numbers = sorted(records)
        for at in range(flips):
            upset = chips.draw(PLACES[at % len(PLACES)], rng)
            plan[int(rng.choice(numbers))].append((at, upset))

        def sink(line: Line, lap: int = lap) -> None:
            journal.add({"lap": lap, **line})

        hit_drive(world, lap, LAP_S, HitPilot(chips, records, plan, sink, here, follow=follow))
        journal.add({"lap": lap, "followed": follow, "lap_s": round(sum(os.times()[:4]) - began)})


def median(values: list[float]) -> str:
    """Return a median with its ends."""
    if not values:
        return ""
    low, middle, high = min(values), float(np.median(values)), max(values)
    return f"{middle:.3g} ({low:.3g} to {high:.3g})" if high > low else f"{middle:.3g}"


def camera_table(lines: list[Line]) -> str:
    """Return the table of cameras."""
    rows = [
        "| fault | drives | noticed at | alarm, s | stands, s | in lane | off centre, m | it says | no watch: unsafe |",
        "|---|---:|---:|---:|---:|---:|---:|---|---:|",
    ]
    for kind in KINDS:
        mine = [one for one in lines if one.get("kind") == kind and one["watch"]]
        blind = [one for one in lines if one.get("kind") == kind and not one["watch"]]
        if not mine:
            continue
        # it stands in its lane where no wheel is on another: half a lane less half a car
        safe = [one for one in mine if one["ended"] == "stopped" and one["off_m"] <= LANE_M / 2 - 1.0]
        said = Counter(one["why"] for one in mine).most_common(1)[0][0]
        hurt = sum(one["ended"] in ("crash", "off road") for one in blind)
        rows.append(
            f"| {kind} | {len(mine)} | {median([one['noticed'] for one in mine if one['noticed']])} |"
            f" {median([one['alarm_s'] for one in mine if one['alarm_s'] is not None])} |"
            f" {median([one['stood_s'] for one in mine if one['ended'] == 'stopped'])} |"
            f" {len(safe)} of {len(mine)} | {median([one['off_m'] for one in mine])} | {said} |"
            f" {f'{hurt} of {len(blind)}' if blind else 'cannot be driven by'} |"
        )
    return "\n".join(rows)


ONE = ("masked", "stopped", "refused", "harmless", "harmful", "undefined")


def flips_of(lines: list[Line]) -> list[Line]:
    """Return the last line of each flip."""
    return list({(one["lap"], one["flip"]): one for one in lines if "flip" in one}.values())


def bit_table(flips: list[Line]) -> str:
    """Return the table of flipped bits: of one chip those that were driven on, of two chips all."""
    rows = [
        "| hit | chips | flips | masked | chip stops | refused | harmless | **harmful** | not defined |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in (*[place.value for place in PLACES], "all"):
        every = [one for one in flips if name in (one["place"], "all")]
        mine = [one for one in every if one["driven"]]
        if not mine:
            continue
        count = Counter(one["one"] for one in mine)
        cells = [f"{count[kind] / len(mine):.2%}" for kind in ONE]
        cells[4] = f"**{count['harmful']}** ({cells[4]})"
        rows.append(f"| {name} | 1 | {len(mine):,} | {' | '.join(cells)} |")
        noticed = [one for one in every if one["at"] is not None]
        undefined = sum(one["one"] == "undefined" and one["at"] is None for one in every)
        stops = sum("trap" in one for one in noticed)
        shares = [part / len(every) for part in (len(every) - len(noticed) - undefined, stops, len(noticed) - stops)]
        cells = [*(f"{share:.2%}" for share in shares), "0", "**0**", f"{undefined / len(every):.2%}"]
        rows.append(f"| | 2 | {len(every):,} | {' | '.join(cells)} |")
    return "\n".join(rows)


def follow_lines(lines: list[Line]) -> str:
    """Return what the followed drives came to where two chips differed, and where one chip stopped."""
    pairs, stops = ([one for one in lines if kind in one] for kind in ("two", "stop"))
    bad = sum(one["one"] == "harmful" for one in pairs)
    stood = Counter("harmful" if one["one"] == "harmful" else one["ended"] or "drove on" for one in stops)
    return (
        f"Where two chips differ, both are loaded anew and the answer is late by that; so it was at {len(pairs)} frames"
        f" of drives that were driven on:\n{bad} harmful, at most"
        f" {max((one['worst_m'] for one in pairs), default=0):.2f} m off the lane's centre. One chip stopped at"
        f" {len(stops)} frames of such drives: "
        + (", ".join(f"{word} {n}" for word, n in stood.items()) or "none")
        + "."
    )


def page(digest: str, lines: list[Line]) -> str:
    """Return the page."""
    laps = list({one["lap"]: one for one in lines if "begun" in one}.values())
    followed = {one["lap"]: one["begun"] for one in laps}
    flips = [{**one, "driven": one["flip"] < followed.get(one["lap"], 0)} for one in flips_of(lines)]
    driven = [one for one in flips if one["driven"]]
    harmful = [one for one in driven if one["one"] == "harmful"]
    worst = wilson(len(harmful), max(len(driven), 1))
    first = Counter(one.get("why") or one.get("trap", "") for one in driven if one["one"] in ("stopped", "refused"))
    reasons = ", ".join(f"{why.split(':')[0] if len(why) > 60 else why} {n}" for why, n in first.most_common(6))
    early = sum(one["early"] for one in lines if "kind" in one and one["watch"])
    frames = sum(round(one["begin_s"] * 10) for one in lines if "kind" in one and one["watch"])
    ends = Counter(one["ended"] for one in laps)
    total = sum(one["frames"] for one in laps)
    whole = {one["lap"] for one in lines if "followed" in one}
    rest = "" if len(whole) == len(laps) else ", the last of them not to its end"
    missing = len(LAPS) * FLIPS - len(flips)
    left = f" {missing:,} of the command's {len(LAPS) * FLIPS:,} are still to be done." if missing > 0 else ""
    count = "one lap" if len(laps) == 1 else f"{len(laps)} laps"
    spent = sum(one.get("lap_s", 0) for one in lines) / 60
    end_words = ", ".join(f"{n} {word}" for word, n in ends.items())
    return f"""# What faults do

`python bench/faults.py --write`: the network {digest} (sha256, the one that ships by default) on `{CHIP}` in {WORLD},
a frame every 0.1 s, traffic as it comes.

## Cameras

A camera fails at a moment between 2 and 8 s of a lap, drawn from the seed, and stays failed; {len(SEEDS)} seeds.
*Noticed at* counts frames: 1 is the first that was spoilt. *Alarm* is when the car decides to stop, *stands* when it
stands, both since the fault began; three wrong frames are an alarm at this rate ([the watch](../drive.md)). *In lane*:
it stands, and no wheel is outside. *No watch*: drives with the same fault and nobody looking at the pictures that ended
in a collision or off the road within {AFTER_S:g} s. Figures are medians, with the smallest and largest in brackets. Of
{frames:,} frames before the faults, {early} were called wrong.

{camera_table(lines)}

## Bits

{len(flips):,} flips of one bit, one a drive, spread evenly over {count} ({end_words}; {total:,} frames{rest}):
a third each in the scratchpad (any of its bits, used or not), in the array's sums and in the program, at any moment
while the chip works on a frame. What was hit stays hit: weights and code until they are loaded anew, which one chip
never does.{left}

- *Masked*: no output changes. Where something of the flip is left, the chip is asked again at the {len(LOOKS)} frames
  {", ".join(map(str, LOOKS))} later, over {FOLLOW_S:g} s.
- *Chip stops*: the hardware's sequencer or its watchdog finds nonsense; the car stops in its lane. *Refused*: with one
  chip, the planner finds nonsense in the answer and brakes; with two, their outputs differ.
- *Harmless* and *harmful* were noticed by nobody. Harmful is a collision, the road left, or more than {ASTRAY_M} m off
  the lane's centre (which is where a safety driver takes over).
- *Not defined*: the hit code asks for what the instruction set gives no meaning to; what that leaves is not known. With
  one chip it must be taken for harmful. With two it is noticed where an output differs, and harmless where none does.

Two chips notice at the first frame that differs, so all flips count there. What one chip does has to be driven:
{len(driven):,} flips were, each for {FOLLOW_S:g} s or to the lap's end; for {SHORT_S:g} s where the car never was more
than {100 * NEAR_M:g} cm aside and {100 * NEAR_ALONG_M:g} cm along from its place in the clean drive; or until it was
back there with nothing left of the flip. `--follow` drives more of them on.

{bit_table(flips)}

With one chip {len(harmful)} of {len(driven):,} flips were harmful, {worst.value:.2%} (95 %: {worst.low:.2%} to
{worst.high:.2%}). What one chip and its planner noticed: {reasons or "nothing"}.

{follow_lines(lines)}

The zero of two chips follows from the comparison: where no output differs, the car does what it would have done, and
where one does, it acts on what both say after they were loaded anew. The drives that were driven on bear it out. A flip
that only changes how long a frame takes is not told from others, and two flips at once were not tried.
Processor time of the laps that are done: {spent:.0f} minutes.
"""


def main() -> None:
    """Drive, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["cameras", "bits"])
    parser.add_argument("--model", type=Path, help="the driving network that ships by default")
    parser.add_argument("--flips", type=int, default=FLIPS)
    parser.add_argument("--follow", type=int, default=FOLLOW, help="of a lap's flips, so many are driven on")
    parser.add_argument("--journal", type=Path, default=JOURNAL)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    cv2.setNumThreads(0)
    ships = shipped("highway")
    network = given.model or (ships.int8 if ships else None)
    if network is None:
        raise SystemExit("no driving network ships; --model NET.onnx")
    digest = hashlib.sha256(network.read_bytes()).hexdigest()
    journal = Journal(given.journal, f"{digest} {given.flips}")
    parts: dict[str, Callable[[], None]] = {
        "cameras": lambda: cameras(network, journal),
        "bits": lambda: bits(network, journal, given.flips, given.follow),
    }
    for name in given.what:
        parts[name]()
    text = page(digest[:8], journal.lines)
    print(text)
    if given.write:
        PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
