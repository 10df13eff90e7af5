"""Every figure of make or buy in many worlds at once: best guesses, random ones, or one figure at its end at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.cost.dollars import Draws, Normals, Terms, Worlds, drawn, random_normals, worlds_of
from chanzi.cost.figure import Figure, Figures

DRAWS = 4000
SEED = 20260101
_Z90 = 1.2815515655446004
_CEILING = {"discount_rate": 0.95, "volume_discount": 0.95}
_SHARE_WORDS = ("probability", "share", "recovered", "allocation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """A chip that is bought: figures `price_usd`, `frames_per_s` on the network, `watts`, `brings_dram`."""

    key: str
    name: str
    figures: Figures
    known: str
    """How its frames a second are known: measured, estimated, given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be decided: our chip and what it delivers, the cars, the years.

    `frames_needed` a second and car = frames a second x cameras. `units` are cars a year, `years` of production.
    """

    chip: Chip
    terms: Terms
    frames_per_s: float
    watts: float
    frames_needed: float
    units: float
    years: float
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """Arrays of one figure a world. `respins` and `failed` are counts and 0 or 1, or their expectation."""

    f: Mapping[str, Draws]
    bought: Mapping[str, Draws]
    chip: Worlds
    respins: Draws
    failed: Draws

    def __getitem__(self, name: str) -> Draws:
        return self.f[name]

    def expecting(self) -> "World":
        """Return these worlds with the chance of failure in place of its outcome."""
        return replace(self, failed=self.f["failure_probability"])


def _value(name: str, figure: Figure, z: Draws) -> Draws:
    low, high = figure.bounds
    if low < 0:  # a change a year: what is drawn is the factor
        moved = replace_figure(figure, 1 + figure.value, 1 + low, 1 + high)
        return drawn(moved, z) - 1
    found = drawn(figure, z)
    if any(word in name for word in _SHARE_WORDS) and high <= 1:
        return np.minimum(found, 1.0)
    return np.minimum(found, _CEILING.get(name, np.inf))


def replace_figure(figure: Figure, value: float, low: float, high: float) -> Figure:
    """Return a figure with another value and range."""
    return Figure(
        value=value, low=low, high=high, unit=figure.unit, source=figure.source, how=figure.how, grade=figure.grade
    )


def world_of(plan: Plan, rival: Bought, normals: Normals, luck: "np.random.Generator | None" = None) -> World:
    """Return all figures in the worlds of `normals`.

    Without `luck`, respins and failure stand at their expectation; with it they happen or do not, but for row 0.
    """
    chip = worlds_of(plan.chip, plan.terms, normals)
    f = {name: _value(name, figure, normals(name)) for name, figure in plan.figures.items()}
    bought = {name: _value(name, figure, normals(f"{rival.key}.{name}")) for name, figure in rival.figures.items()}
    p, fails = f["respin_probability"], f["failure_probability"]
    respins, failed = p + p**2 + p**3, fails
    if luck is not None:
        u = luck.random((4, len(p)))
        again = np.cumprod(u[:3] < p, axis=0).sum(axis=0)
        respins = np.where(np.arange(len(p)) > 0, again, respins)
        failed = np.where(np.arange(len(p)) > 0, u[3] < fails, failed)
    return World(f=f, bought=bought, chip=chip, respins=np.asarray(respins, float), failed=np.asarray(failed, float))


def random_worlds(plan: Plan, rival: Bought, *, draws: int = DRAWS, width: float = 1.0) -> World:
    """Return the best guess (row 0) and `draws` random worlds; `width` 0 takes every range away."""
    return world_of(plan, rival, random_normals(SEED, draws, width=width), np.random.default_rng(SEED + 1))


def best_guess(plan: Plan, rival: Bought) -> World:
    """Return the one world of best guesses."""
    return world_of(plan, rival, lambda _: np.zeros(1))


def one_at_a_time(plan: Plan, rival: Bought) -> tuple[Sequence[str], World]:
    """Return the names of all figures with a range, and worlds with each at `low` and at `high`.

    Row 0 is the best guess, 1 + 2i and 2 + 2i are name i at its low and high end.
    """
    names: list[str] = []

    def listen(name: str) -> Draws:
        names.append(name)
        return np.zeros(1)

    world_of(plan, rival, listen)
    ranged = {**plan.figures, **{f"{rival.key}.{n}": g for n, g in rival.figures.items()}}
    silicon = worlds_of(plan.chip, plan.terms, lambda _: np.zeros(1)).assumptions
    known = {**silicon, **ranged}
    names = [n for n in names if n not in known or known[n].bounds[0] < known[n].bounds[1]]
    at = {name: i for i, name in enumerate(names)}

    def one(name: str) -> Draws:
        z = np.zeros(1 + 2 * len(names))
        if name in at:
            z[1 + 2 * at[name]], z[2 + 2 * at[name]] = -_Z90, _Z90
        return z

    return names, world_of(plan, rival, one)
