"""The search, measured: chips tried a second, two workers, a worker killed on a Ray cluster, the fast model's error.

    python bench/explore.py                       all parts; results are kept in docs/results/explore.json as they come
    python bench/explore.py speed workers         only these parts
    python bench/explore.py --write               rewrite docs/results/explore.md from what is kept

Needs the extras [explore], [ray] and, the first time, [train] for the networks.
"""

import argparse
import json
import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from five import TITLES, five

from chanzi.chip import load_chip
from chanzi.explore.evaluate import evaluate, measured
from chanzi.explore.goals import Goals
from chanzi.explore.networks import Network, Quantized
from chanzi.explore.search import search
from chanzi.explore.space import AXES, Space, narrowed
from chanzi.explore.workers import Here, Problem, Processes, Runner
from chanzi.report.explore import chip_text

RESULTS = Path(__file__).parents[1] / "docs" / "results"
KEPT = RESULTS / "explore.json"
GOALS = Goals(minimize=("energy", "time"), node_nm=14)
SPACE = Space(
    node_nm=14, max_clock_hz=2e9,
    axes=narrowed(AXES, {"dim": "32:96", "cores": "1:4", "scratchpad_kib": "8192:32768", "bank_kib": "32"}),
)  # fmt: skip
"""Chips that hold the five networks' maps, so that none is pruned for that."""
FEW_SHAPES = Space(
    node_nm=14,
    max_clock_hz=2e9,
    axes=narrowed(
        AXES,
        {"dim": "64", "port_factor": "2", "lanes_share": "1,2", "cores": "1:4", "bank_kib": "32"}
        | {"scratchpad_kib": "8192:32768"},
    ),
)
"""For two workers: each soon has laid the networks out for all shapes."""
SPEED_CHIPS, PAIRS, PAIR_TRIALS, RAY_TRIALS, MODEL_CHIPS = 40, 3, 400, 60, 2


def points(n: int, seed: int) -> list[dict[str, float]]:
    """Return points of the space, drawn evenly."""
    from optuna.distributions import BaseDistribution, CategoricalDistribution

    rng = random.Random(seed)

    def draw(of: BaseDistribution) -> float:
        if isinstance(of, CategoricalDistribution):
            return rng.choice(of.choices)
        low, high, step = of.low, of.high, of.step
        if of.log:
            value = low * (high / low) ** rng.random()
            return round(value) if step else value
        return rng.uniform(low, high) if not step else low + step * rng.randrange(round((high - low) / step) + 1)

    return [{name: draw(of) for name, of in SPACE.distributions().items()} for _ in range(n)]


def speed(sources: tuple[Quantized, ...]) -> dict[str, Any]:
    """Return chips a second of one processor: those of known shapes, and the first of each shape."""
    networks = [Network.read(source) for source in sources]
    chips = [SPACE.chip(point, "x") for point in points(SPEED_CHIPS, 1)]
    evaluate(chips[0], networks, GOALS, spilled=False)  # the loops are compiled once
    first: list[float] = []
    again: list[float] = []
    walls: list[float] = []
    plans: dict[str, int] = {}
    for times in (first, again):
        for chip in chips:
            cpu, wall = time.process_time(), time.perf_counter()
            outcome = evaluate(chip, networks, GOALS, spilled=False)
            if not outcome.done:
                continue
            times.append(time.process_time() - cpu)
            if times is again:
                walls.append(time.perf_counter() - wall)
                for result in outcome.results:
                    plans[result.plan] = plans.get(result.plan, 0) + 1
    return {
        "chips": len(again), "first_per_s": len(first) / sum(first), "per_s": len(again) / sum(again),
        "wall_per_s": len(walls) / sum(walls), "median_ms": 1e3 * statistics.median(again),
        "worst_ms": 1e3 * max(again), "plans": plans,
    }  # fmt: skip


def workers(sources: tuple[Quantized, ...]) -> dict[str, Any]:
    """Return trials a second as ``--jobs 1`` does them (in one process), with one and with two workers, in turns."""
    problem = Problem(networks=sources, space=FEW_SHAPES, goals=GOALS)
    one, two = Processes(problem, 1), Processes(problem, 2)
    runners: dict[str, tuple[Runner, list[int]]] = {
        "here": (Here(problem), []), "one": (one, one.pids), "two": (two, two.pids),
    }  # fmt: skip
    rates: dict[str, list[float]] = {name: [] for name in runners}
    cpu: dict[str, list[float]] = {name: [] for name in runners}
    try:
        for runner, _ in runners.values():
            _search(problem, runner, 16, seed=9)  # reads networks, compiles loops, meets the shapes
        for turn in range(PAIRS):
            for name, (runner, pids) in runners.items():
                spent, began = _cpu(pids), time.perf_counter()
                _search(problem, runner, PAIR_TRIALS, seed=9 + turn)
                rates[name].append(PAIR_TRIALS / (time.perf_counter() - began))
                cpu[name].append((_cpu(pids) - spent) / PAIR_TRIALS)
    finally:
        for runner, _ in runners.values():
            runner.close()
    return {"per_s": rates, "cpu_s": cpu}


def _cpu(pids: list[int]) -> float:
    """Return the processor seconds of this process and of others."""
    ticks = os.sysconf("SC_CLK_TCK")
    others = sum(sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) for pid in pids)
    return time.process_time() + others / ticks


def _search(problem: Problem, runner: Runner, trials: int, *, seed: int, told: Callable[[int], None] = lambda _: None):
    with tempfile.TemporaryDirectory() as folder:
        return search(
            problem, runner, trials=trials, storage=f"{folder}/s.db", seed=seed, sampler="random",
            report=lambda progress, _: told(progress.tried),
        )  # fmt: skip


def ray(sources: tuple[Quantized, ...]) -> dict[str, Any]:
    """Return what became of a search on a local Ray cluster, one of whose two workers was killed midway."""
    from chanzi.explore.cluster import Cluster

    problem = Problem(networks=sources, space=FEW_SHAPES, goals=GOALS)
    killed: list[int] = []
    cluster = Cluster(problem, "", 2)  # two actors on two processors

    def kill(tried: int) -> None:
        if tried >= RAY_TRIALS // 3 and not killed:
            victim = next(iter(_ray_workers()), 0)
            if victim:
                killed.append(tried)
                os.kill(victim, signal.SIGKILL)

    try:
        began = time.perf_counter()
        progress = _search(problem, cluster, RAY_TRIALS, seed=3, told=kill)
        seconds = time.perf_counter() - began
    finally:
        cluster.close()
    alone = _search(problem, Here(problem), RAY_TRIALS, seed=3)
    mine = {tuple(sorted(t.point.items())): t.outcome for t in progress.trials}
    theirs = {tuple(sorted(t.point.items())): t.outcome for t in alone.trials}
    return {
        "trials": progress.tried, "wanted": RAY_TRIALS, "killed_after": killed, "seconds": seconds,
        "lost": sum(not t.outcome.done and "ended its worker" in t.outcome.reason for t in progress.trials),
        "points_as_alone": len(set(mine) & set(theirs)),
        "results_as_alone": sum(mine[p].results == theirs[p].results for p in set(mine) & set(theirs)),
    }  # fmt: skip


def _ray_workers() -> list[int]:
    """Return the processes of this search's actors: children, grandchildren and so on named after the class."""
    found = []
    mine = {os.getpid()}
    for _ in range(6):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text()
                    if int(stat.rsplit(")", 1)[1].split()[1]) in mine:
                        mine.add(int(entry.name))
                except (OSError, ValueError):
                    continue
    for pid in sorted(mine):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if line.startswith(b"ray::Evaluator"):
            found.append(pid)
    return found


def model(sources: tuple[Quantized, ...]) -> dict[str, Any]:
    """Return the fast model's cycles and joules over those of compiled programs, chip by chip."""
    networks = [Network.read(source) for source in sources]
    chips = [replace(load_chip("tesla-fsd-hw3"), cores=1), load_chip("chanzi-one")]
    drawn = (SPACE.chip(point, "drawn") for point in points(200, 5))
    chips += [c for c in drawn if evaluate(c, networks, GOALS, spilled=False).done][:MODEL_CHIPS]
    rows = []
    for chip in chips:
        quick, real = evaluate(chip, networks, GOALS, spilled=False), measured(chip, networks, GOALS)
        for a, b in zip(quick.results, real.results, strict=True):
            rows.append(
                {
                    "chip": chip_text(chip), "network": a.network, "plan": a.plan,
                    "cycles": a.cycles / b.cycles - 1, "joules": a.joules / b.joules - 1,
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
    return {"rows": rows}


PARTS: dict[str, Callable[[tuple[Quantized, ...]], dict[str, Any]]] = {
    "speed": speed, "workers": workers, "ray": ray, "model": model,
}  # fmt: skip


def load_text() -> str:
    """Return how busy the machine was."""
    return f"{os.getloadavg()[0]:.1f} processes running or waiting on {os.cpu_count()} processors"


def kept() -> dict[str, Any]:
    """Return the results so far."""
    return json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}


def page(found: dict[str, Any]) -> str:
    """Return the page of results."""
    lines = ["# The search, measured", "", "`python bench/explore.py --write`. Five networks: "]
    lines[-1] += ", ".join(TITLES.values()) + "."
    if "speed" in found:
        s = found["speed"]
        lines += ["", "## Chips a second", ""]
        lines += [
            f"{s['chips']} chips drawn evenly from a space in which all five networks' maps fit, none pruned: time,",
            f"events, joules and area of all five. **{s['per_s']:.1f} chips a second of one processor's time** after",
            f"warm-up (median {s['median_ms']:.0f} ms, slowest {s['worst_ms']:.0f} ms); the aim was 20. By the wall's",
            f"clock it was {s['wall_per_s']:.1f}, with {s['load']}. The first chip of each shape (side, ports,",
            f"lanes) also lays the networks out: {s['first_per_s']:.1f} a second while shapes are new.",
        ]
    if "workers" in found:
        w = found["workers"]
        rates, cpu = w["per_s"], {name: 1e3 * statistics.median(c) for name, c in w["cpu_s"].items()}
        ratios = {name: [b / a for a, b in zip(rates[name], rates["two"], strict=True)] for name in ("one", "here")}
        middle = {name: statistics.median(r) for name, r in ratios.items()}
        every = {name: ", ".join(f"{r:.2f}" for r in rs) for name, rs in ratios.items()}
        names = "one process, one worker, two workers"
        lines += ["", "## Two workers", ""]
        lines += [
            f"The same {PAIR_TRIALS} trials with one and with two workers in turns, {len(rates['two'])} times:",
            f"**{middle['one']:.2f} times** the trials a second (median of {every['one']}); the aim was 1.8.",
            f"Against `--jobs 1`, all in one process, it is {middle['here']:.2f} times ({every['here']}).",
            f"Trials a second: {', '.join(f'{statistics.median(r):.0f}' for r in rates.values())} ({names});",
            f"processor time a trial: {', '.join(f'{c:.1f}' for c in cpu.values())} ms,",
            f"the process that asks and keeps included. Before it there were {w['load']}.",
        ]
    if "ray" in found:
        r = found["ray"]
        lines += ["", "## A worker killed on a Ray cluster", ""]
        lines += [
            f"A local cluster with two workers, {r['wanted']} trials; one worker was killed (SIGKILL) after trial",
            f"{', '.join(map(str, r['killed_after']))}. {r['trials']} trials were kept and {r['lost']} given up, in",
            f"{r['seconds']:.0f} s. {r['points_as_alone']} of the points are those that one process alone tries with",
            f"the same seed, {r['results_as_alone']} of them with the same results.",
        ]
    if "model" in found:
        rows = found["model"]["rows"]
        lines += ["", "## The fast model against compiled programs", "", "Its cycles and joules, relative:", ""]
        lines += ["| chip | " + " | ".join(TITLES.values()) + " |", "|---|" + "---:|" * len(TITLES)]
        for chip in dict.fromkeys(row["chip"] for row in rows):
            mine = {row["network"]: row for row in rows if row["chip"] == chip}
            cells = [f"{100 * mine[n]['cycles']:+.2f} %, {100 * mine[n]['joules']:+.2f} %" for n in TITLES if n in mine]
            lines.append(f"| {chip} | " + " | ".join(cells) + " |")
        for what in ("cycles", "joules"):
            sizes = sorted(abs(row[what]) for row in rows)
            middle = 100 * statistics.median(sizes)
            lines += ["", f"Median error of {what} {middle:.2f} %, largest {100 * sizes[-1]:.2f} %."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, keep, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--write", action="store_true", help="rewrite docs/results/explore.md")
    given = parser.parse_args()
    wanted = given.parts or ([] if given.write else list(PARTS))
    sources = five() if wanted else ()
    for name in wanted:
        before = load_text()
        found = PARTS[name](sources) | {"load": before}
        KEPT.write_text(json.dumps(kept() | {name: found}, indent=1) + "\n", "utf-8")
        print(name, json.dumps({k: v for k, v in found.items() if k != "rows"}), flush=True)
    text = page(kept())
    print(text)
    if given.write:
        (RESULTS / "explore.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
