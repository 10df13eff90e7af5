"""How often the engine's two guards let a network through: the gate by simulation, the rollout exactly.

python bench/loop_gate.py             print the tables
python bench/loop_gate.py --write     also write docs/results/loop-guards.md
"""

import argparse
import math
from pathlib import Path

import numpy as np

from chanzi.drive.engine.acceptance import Rule, judge
from chanzi.drive.engine.fleet import Fleet
from chanzi.drive.statistics import wilson

TARGET = Path(__file__).parents[1] / "docs" / "results" / "loop-guards.md"
DRAWS = 2000
SIZES = ((36, 36), (60, 60), (120, 120))
OLD = (0.4, 0.7, 0.9)
STEPS = (-0.1, 0.0, 0.05, 0.1, 0.2, 0.3)
SHARED = 0.5
"""Share of scenarios whose difficulty decides for both networks alike; the others are drawn for each alone."""


def passes(chance: np.random.Generator, new: float, old: float, count: int) -> tuple[list[bool], list[bool]]:
    """Return passes of two networks on the same scenarios."""
    common = chance.random(count) < SHARED
    luck = chance.random((3, count))
    luck_new, luck_old = (np.where(common, luck[0], own) for own in luck[1:])
    return [bool(x) for x in luck_new < new], [bool(x) for x in luck_old < old]


def through(new: float, old: float, suite: int, road: int) -> float:
    """Return how often the gate lets a network of that pass rate replace one of another."""
    chance = np.random.default_rng(0)
    rule, count = Rule(), 0
    for _ in range(DRAWS):
        on_suite, on_road = passes(chance, new, old, suite), passes(chance, new, old, road)
        failed = [i for i, one in enumerate(on_road[1]) if not one]
        mined = [on_road[0][i] for i in failed], [False] * len(failed)
        count += judge(rule, suite=on_suite, road=on_road, mined=mined).deploy
    return count / DRAWS


def gate_rows() -> list[str]:
    """Return the gate's table."""
    rows = ["| suite + road | old network passes | " + " | ".join(f"new {step:+.0%}" for step in STEPS) + " |"]
    rows.append("|---|---:|" + "---:|" * len(STEPS))
    for suite, road in SIZES:
        for old in OLD:
            cells = [f"{through(old + s, old, suite, road):.1%}" if 0 <= old + s <= 1 else "" for s in STEPS]
            rows.append(f"| {suite} + {road} | {old:.0%} | " + " | ".join(cells) + " |")
    return rows


def called_back(fleet: Fleet, old: float, new: float) -> float:
    """Return how often a version is called back, over everything that the old one's drives may have shown of it."""
    n = fleet.drives
    chances = [math.comb(n, k) * old**k * (1 - old) ** (n - k) for k in range(n + 1)]
    return sum(p * fleet.watch(k, n).power(new, n) for k, p in enumerate(chances) if p > 1e-9)


def rollout_rows() -> list[str]:
    """Return the rollout's table."""
    rates = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0)
    rows = ["| cars × drives | old network fails | " + " | ".join(f"new fails {r:.0%}" for r in rates) + " |"]
    rows.append("|---|---:|" + "---:|" * len(rates))
    for cars, each in ((18, 2), (20, 3)):
        fleet = Fleet(cars=cars, drives_per_car=each)
        for share in (0.1, 0.2, 0.3):
            cells = [f"{called_back(fleet, share, rate):.1%}" for rate in rates]
            rows.append(f"| {cars} × {each} | {share:.0%} | " + " | ".join(cells) + " |")
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    wanted = parser.parse_args()
    noise = wilson(DRAWS // 20, DRAWS)
    gate, rollout = "\n".join(gate_rows()), "\n".join(rollout_rows())
    text = f"""# What the engine's guards let through

`python bench/loop_gate.py --write`. Both guards are described in [the data engine](../loop.md).

## The gate

How often a new network replaces the old one, {DRAWS} draws a cell (5 % is known to {noise.low:.1%}-{noise.high:.1%}),
at alpha 0.05 and a margin of 0.1. Half of the scenarios are decided by their own difficulty, alike for both networks.
*new +10%* passes ten points more than the old one; *new +0%* is a network that is no better, and should stay below 5 %.

{gate}

## The rollout

How often a new version is called back before the fleet's last drive of the turn, exactly, over everything that the old
version's drives may have shown of it: the test knows its failure rate only from as many drives. Where the new version
fails as often as the old one, it is called back for nothing.

{rollout}
"""
    print(text)
    if wanted.write:
        TARGET.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
