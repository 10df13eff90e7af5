"""What a search is for: what it minimizes, and what a chip must hold to be worth building."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chanzi.cost.area import logic
from chanzi.cost.tech import known_node
from chanzi.errors import ExploreError, did_you_mean

OBJECTIVES = {
    "energy": "J a frame, DRAM included, weighted geometric mean over the networks",
    "time": "s a frame of the whole chip, weighted geometric mean over the networks",
    "latency": "s from a frame's start to its end, weighted geometric mean over the networks",
    "cost": "USD a chip at the volume, design spread over it",
    "area": "mm2 of the die",
    "power": "W of the network that draws most, DRAM included",
}
"""What can be minimized. Every frame runs on a core of its own, weights in place where they fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """Objectives and limits.

    Parameters
    ----------
    minimize : tuple of str
        Of `OBJECTIVES`, one to four.
    node_nm : float
    max_area_mm2, max_power_w : float, optional
        Of the die; of the network that draws most.
    min_fps : float
        Frames a second that each network must reach.
    volume : float
        Chips over the product's life, for `cost`.
    """

    minimize: tuple[str, ...]
    node_nm: float
    max_area_mm2: float | None = None
    max_power_w: float | None = None
    min_fps: float = 0.0
    volume: float = 1e6

    def __post_init__(self) -> None:
        known_node(self.node_nm)
        if not 1 <= len(self.minimize) <= 4 or len(set(self.minimize)) < len(self.minimize):
            raise ExploreError(
                f"--minimize {','.join(self.minimize)} is not one to four different goals",
                hint="for instance energy,cost; known: " + ", ".join(OBJECTIVES),
            )
        for name in self.minimize:
            if name not in OBJECTIVES:
                raise ExploreError(f"cannot minimize '{name}'", hint=did_you_mean(name, OBJECTIVES))
        limits = {"max-area": (self.max_area_mm2, "mm2"), "max-power": (self.max_power_w, "W")}
        for name, (limit, unit) in limits.items():
            if limit is not None and not (math.isfinite(limit) and limit > 0):
                raise ExploreError(f"--{name} is {limit:g} {unit}", hint="a positive number")
        reticle = logic("place")["reticle_mm2"].value
        if self.max_area_mm2 is not None and self.max_area_mm2 > reticle:
            raise ExploreError(
                f"--max-area is {self.max_area_mm2:g} mm2, beyond the reticle's {reticle:g} mm2",
                hint="no scanner exposes such a die; leave the limit out to have none but the reticle's",
            )
        if not (math.isfinite(self.min_fps) and self.min_fps >= 0):
            raise ExploreError(f"--min-fps is {self.min_fps:g}", hint="frames a second, 0 for any")
        if not (math.isfinite(self.volume) and 1 <= self.volume <= 1e11):
            raise ExploreError(f"a volume of {self.volume:g} chips", hint="design is spread over at least one chip")

    @property
    def limits(self) -> int:
        """How many limits there are, that of the scratchpad included."""
        return 1 + (self.max_area_mm2 is not None) + (self.max_power_w is not None) + (self.min_fps > 0)

    def violations(self, *, area_mm2: float, watts: float, least_fps: float) -> tuple[float, ...]:
        """Return by which share each limit is passed, the scratchpad's last; none above 0 where a chip holds them."""
        found = []
        if self.max_area_mm2 is not None:
            found.append(area_mm2 / self.max_area_mm2 - 1)
        if self.max_power_w is not None:
            found.append(watts / self.max_power_w - 1)
        if self.min_fps:
            found.append(self.min_fps / least_fps - 1 if least_fps else 1e9)
        return (*found, 0.0)


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Return whether values `a` are nowhere worse than `b` and somewhere better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def front(values: Sequence[Sequence[float]]) -> list[int]:
    """Return the places of the values that no other dominates; of equals the first."""
    kept: list[int] = []
    for i, v in enumerate(values):
        if any(dominates(values[k], v) or tuple(values[k]) == tuple(v) for k in kept):
            continue
        kept = [k for k in kept if not dominates(v, values[k])]
        kept.append(i)
    return kept


def spread(values: Sequence[Sequence[float]], n: int) -> list[int]:
    """Return the places of `n` values far from one another: the least of each objective, then the most lonely.

    Distances are of logarithms, each objective stretched to the same width.
    """
    if len(values) <= n:
        return list(range(len(values)))
    logs = [[math.log(max(x, 1e-300)) for x in v] for v in values]
    low = [min(column) for column in zip(*logs, strict=True)]
    high = [max(column) for column in zip(*logs, strict=True)]
    at = [[(x - a) / ((b - a) or 1.0) for x, a, b in zip(v, low, high, strict=True)] for v in logs]
    chosen = list(dict.fromkeys(min(range(len(at)), key=lambda i, k=k: values[i][k]) for k in range(len(low))))[:n]
    while len(chosen) < n:
        rest = [i for i in range(len(at)) if i not in chosen]
        chosen.append(max(rest, key=lambda i: min(math.dist(at[i], at[c]) for c in chosen)))
    return chosen
