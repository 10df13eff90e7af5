"""Dollars: from a die's area to what a chip costs at a volume, with the band that the ranges of the figures make."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Chip
from chanzi.cost.area import Area, area_of, check_reticle
from chanzi.cost.figure import Figure, Figures, figures, sources, table
from chanzi.cost.tech import at_node, known_node
from chanzi.errors import CostError, did_you_mean

YieldModel = Literal["poisson", "murphy", "seeds", "negative-binomial"]
Draws = npt.NDArray[np.float64]

NODE_FIGURES = ("wafer_usd", "defects_per_cm2", "mask_usd", "design_usd", "ip_usd", "layout_usd_per_gate")
"""Figures of the node that may be overridden, beside every item of economics.toml."""
_SHARES = ("package_yield", "final_yield", "design_share", "software_share", "core_harvest")
_POSITIVE = ("wafer_usd", "wafer_mm", "cluster", "lot_wafers")
_DRAWS = 4000
_SEED = 20260101
_Z90 = 1.2815515655446004
"""Standard deviations above which a tenth of a normal distribution lies."""
_TOGETHER = 0.6
"""An area's range takes each of some three factors at its end at once; a tenth of the draws lies this far out (in
logarithms), as with three independent factors of equal range."""


@cache
def economics() -> Figures:
    """Return the items of economics.toml."""
    return figures(table("economics")["item"], sources("economics"), "economics.toml, item")


def gross_dies(area_mm2: float, *, wafer_mm: float = 300.0, scribe_mm: float = 0.0, edge_mm: float = 0.0) -> float:
    """Return the dies of a wafer, edge losses taken off: pi d^2 / 4A - pi d / sqrt(2A), d without the edge ring.

    Raises
    ------
    CostError
        An area or diameter that is not positive, or a die larger than the wafer.
    """
    if not area_mm2 > 0 or not wafer_mm > 2 * edge_mm:
        raise CostError(f"a die of {area_mm2:g} mm2 on a wafer of {wafer_mm:g} mm", hint="both must be positive")
    dies = float(_gross(np.float64(area_mm2), wafer_mm, scribe_mm, edge_mm))
    if dies < 1:
        raise CostError(f"no die of {area_mm2:,.0f} mm2 fits on a wafer of {wafer_mm:g} mm", hint="a smaller die")
    return dies


def _gross(area: "Draws | np.float64", wafer_mm: float, scribe: "Draws | float", edge: "Draws | float") -> "Draws":
    with_scribe = (np.sqrt(area) + scribe) ** 2
    d = wafer_mm - 2 * edge
    return np.asarray(np.pi * d**2 / (4 * with_scribe) - np.pi * d / np.sqrt(2 * with_scribe))


def yield_of(
    area_mm2: "float | Draws", defects_per_cm2: "float | Draws", model: YieldModel, *, cluster: "float | Draws" = 5.0
) -> Draws:
    """Return the share of dies without a killing defect.

    Raises
    ------
    CostError
        No such model.
    """
    faults = np.asarray(area_mm2, float) / 100 * defects_per_cm2
    tiny = np.maximum(faults, 1e-12)
    forms: dict[str, Callable[[], Draws]] = {
        "poisson": lambda: np.exp(-faults),
        "murphy": lambda: np.where(faults < 1e-9, 1.0, ((1 - np.exp(-tiny)) / tiny) ** 2),
        "seeds": lambda: 1 / (1 + faults),
        "negative-binomial": lambda: (1 + faults / cluster) ** (-np.asarray(cluster, float)),
    }
    if model not in forms:
        raise CostError(f"no yield model '{model}'", hint=did_you_mean(model, forms))
    return np.asarray(forms[model]())


def harvested_yield(
    area_mm2: float, defects_per_cm2: float, *, repeated: float, units: int, spare: int, cluster: float = 5.0
) -> float:
    """Return the share of dies that can be sold with up to `spare` of `units` equal cores defective.

    `repeated` is the share of the die that those cores cover. Faults in the rest kill the die.
    """
    rest = float(yield_of(area_mm2 * (1 - repeated), defects_per_cm2, "negative-binomial", cluster=cluster))
    one = float(yield_of(area_mm2 * repeated / units, defects_per_cm2, "negative-binomial", cluster=cluster))
    good = sum(math.comb(units, bad) * (1 - one) ** bad * one ** (units - bad) for bad in range(spare + 1))
    return rest * good


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is bought and on which assumptions.

    Parameters
    ----------
    volume : float
        Chips over the product's life; design is spread over them.
    node_nm : float, optional
        Instead of the chip's own.
    dram_gb : float, optional
        DRAM beside each chip; the chip's capacity by default. 0: none.
    yield_model : str
    automotive : bool
        AEC-Q100 screening and qualification.
    given : mapping
        Further blocks on the die by name, in mm2.
    overrides : mapping
        Figure -> value, or (low, value, high).
    """

    volume: float
    node_nm: float = 0.0
    dram_gb: float | None = None
    yield_model: YieldModel = "negative-binomial"
    automotive: bool = True
    given: Mapping[str, float] = field(default_factory=dict)
    overrides: Mapping[str, "float | tuple[float, float, float]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.volume) and self.volume >= 1):
            raise CostError(f"a volume of {self.volume:g} chips", hint="design is spread over at least one chip")
        if self.volume > 1e11:
            raise CostError(f"a volume of {self.volume:g} chips", hint="more than ten for every person alive")
        if self.dram_gb is not None and not (math.isfinite(self.dram_gb) and 0 <= self.dram_gb <= 4096):
            raise CostError(f"{self.dram_gb:g} GB of DRAM", hint="use 0 to 4096 GB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A figure at the best guess of everything, and where 10, 50 and 90 % of the draws lie."""

    value: float
    p10: float
    p50: float
    p90: float

    @staticmethod
    def of(value: float, draws: Draws) -> "Band":
        """Return the band of draws around the best guess."""
        low, middle, high = (float(q) for q in np.percentile(draws, (10, 50, 90)))
        return Band(value=float(value), p10=low, p50=middle, p90=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a chip costs. `unit_items` and `unit_usd` are for one chip at `terms.volume`; `nre` once for the design.

    `curve` holds (volume, unit cost) from a thousand chips to a hundred million.
    """

    chip: str
    node_nm: float
    terms: Terms
    area: Area
    die_mm2: Band
    gross_dies: Band
    yield_: Band
    good_die_usd: Band
    unit_items: dict[str, Band]
    nre_items: dict[str, Band]
    nre_usd: Band
    unit_usd: Band
    curve: tuple[tuple[float, Band], ...]
    assumptions: dict[str, Figure]


def _checked(name: str, given: "float | tuple[float, float, float]") -> tuple[float, float, float]:
    low, value, high = (given, given, given) if isinstance(given, int | float) else given
    if not all(map(math.isfinite, (low, value, high))):
        raise CostError(f"{name} = {given} is no number")
    if not low <= value <= high:
        raise CostError(f"{name} = {low:g}, {value:g}, {high:g} is not in order", hint="low, value, high")
    if low < 0 or (name in _POSITIVE and low <= 0):
        raise CostError(f"{name} is {low:g}", hint="prices and amounts are not negative")
    if name in _SHARES and high > 1:
        raise CostError(f"{name} is {high:g}", hint="a share is at most 1")
    if name in ("package_yield", "final_yield") and low <= 0:
        raise CostError(f"{name} is {low:g}", hint="something must come out")
    return float(low), float(value), float(high)


def assumptions_of(node_nm: float, overrides: Mapping[str, "float | tuple[float, float, float]"]) -> dict[str, Figure]:
    """Return every figure that a bill stands on, overridden ones replaced.

    Raises
    ------
    CostError
        An override that is unknown, negative, out of order or no number.
    """
    found = {name: at_node(node_nm, name) for name in NODE_FIGURES} | economics()
    for name, given in overrides.items():
        if name not in found:
            raise CostError(f"no assumption '{name}'", hint=did_you_mean(name, found))
        low, value, high = _checked(name, given)
        found[name] = Figure(
            value=value, low=low, high=high, unit=found[name].unit, source="user", how="estimated", note="given"
        )
    return found


Normals = Callable[[str], Draws]
"""What a figure is drawn with: its name -> standard normals, one for each world. 0 is the best guess."""


def random_normals(seed: int = _SEED, draws: int = _DRAWS, *, width: float = 1.0) -> Normals:
    """Return normals of a world at its best guesses (row 0) and of `draws` random ones; `width` 0 takes ranges away."""
    rng = np.random.default_rng(seed)

    def normals(name: str) -> Draws:
        del name  # every figure is drawn on its own, in the order of asking
        return np.concatenate(([0.0], width * rng.standard_normal(draws)))

    return normals


def drawn(figure: Figure, z: Draws) -> Draws:
    """Return a figure in worlds of the given normals: half of them above, one in ten below `low` and above `high`."""
    return _drawn(figure.value, *figure.bounds, z)


def _drawn(value: float, low: float, high: float, z: Draws) -> Draws:
    if low > 0:
        found = value * np.exp(z * np.where(z < 0, math.log(value / low), math.log(high / value)) / _Z90)
        return np.asarray(found)
    return np.asarray(np.maximum(value + z * np.where(z < 0, value - low, high - value) / _Z90, 0.0))


class _World:
    """The figures of every world: best guesses first (row 0)."""

    def __init__(self, assumptions: Mapping[str, Figure], area: Area, normals: Normals) -> None:
        self.of = {
            name: np.minimum(drawn(figure, normals(name)), 1.0 if name in _SHARES else np.inf)
            for name, figure in assumptions.items()
        }
        self.die: Draws = np.zeros(1)
        for kind, (low, value, high) in _area_parts(area).items():
            self.die = self.die + _drawn(value, low, high, normals(kind))

    def __getitem__(self, name: str) -> Draws:
        return self.of[name]


AREAS = ("area of logic", "area of memories", "area of interfaces", "white space")
"""Parts of a die that are drawn each on its own, beside the figures."""


def _area_parts(area: Area) -> dict[str, tuple[float, float, float]]:
    parts = (
        [b.logic_mm2 for b in area.blocks],
        [b.memory_mm2 for b in area.blocks],
        [b.fixed_mm2 for b in area.blocks],
        [area.white, area.ring],
    )
    found = {}
    for kind, ranges in zip(AREAS, parts, strict=True):
        # All of a kind is large or small together, for the figures of the node are shared.
        low, value, high = (sum(getattr(r, end) for r in ranges) for end in ("low", "value", "high"))
        if value:
            found[kind] = (value * (low / value) ** _TOGETHER, value, value * (high / value) ** _TOGETHER)
    return found


def _band(draws: "Draws | float") -> Band:
    every = np.broadcast_to(np.asarray(draws, float), (_DRAWS + 1,))
    return Band.of(float(every[0]), every[1:])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Worlds:
    """What a chip costs in many worlds, row 0 the best guess: arrays of one figure a world."""

    area: Area
    die_mm2: Draws
    gross_dies: Draws
    good_share: Draws
    wafer_usd: Draws
    lot_wafers: Draws
    packaged: Draws
    dram_usd_per_gb: Draws
    mask_sets: Draws
    chip_items: dict[str, Draws]
    """USD of one chip beside its silicon."""
    nre_items: dict[str, Draws]
    assumptions: dict[str, Figure]

    @property
    def nre(self) -> Draws:
        """USD, once."""
        return np.sum(list(self.nre_items.values()), axis=0)

    def silicon(self, volume: "float | Draws") -> Draws:
        """Return the silicon of one chip where `volume` of them are ordered together: whole wafers, a lot at least."""
        good = self.gross_dies * self.good_share * self.packaged
        wafers = np.maximum(np.ceil(volume / good), self.lot_wafers)
        return np.asarray(wafers * self.wafer_usd / volume)

    def unit_items(self, volume: "float | Draws") -> dict[str, Draws]:
        """Return the items of one chip, design apart."""
        return {"silicon": self.silicon(volume), **self.chip_items}


def worlds_of(chip: Chip, terms: Terms, normals: Normals) -> Worlds:
    """Return what `chip` costs in the worlds of `normals`.

    Raises
    ------
    CostError
        An unknown node, a die beyond the reticle, an impossible assumption.
    """
    nm = known_node(terms.node_nm or chip.node_nm)
    area = area_of(chip, node_nm=nm, given=terms.given)
    check_reticle(area)
    known = assumptions_of(nm, terms.overrides)
    world = _World(known, area, normals)
    gross_dies(  # refuses a wafer on which nothing fits
        float(world.die[0]),
        wafer_mm=known["wafer_mm"].value,
        scribe_mm=known["scribe_mm"].value,
        edge_mm=known["edge_mm"].value,
    )
    gross = np.maximum(_gross(world.die, known["wafer_mm"].value, world["scribe_mm"], world["edge_mm"]), 0.25)
    packaged = world["package_yield"] * world["final_yield"]
    items = {
        "package": (world["package_base_usd"] + world["package_usd_per_mm2"] * world.die) / packaged,
        "test": (world["test_base_usd"] + world["test_usd_per_mm2"] * world.die) / packaged,
    }
    if terms.automotive:
        items["screening"] = world["screening_usd"]
    dram_gb = chip.dram.capacity_bytes / 1e9 if terms.dram_gb is None else terms.dram_gb
    if dram_gb:
        items["DRAM"] = world["dram_usd_per_gb"] * dram_gb
    return Worlds(
        area=area,
        die_mm2=world.die,
        gross_dies=gross,
        good_share=yield_of(world.die, world["defects_per_cm2"], terms.yield_model, cluster=world["cluster"]),
        wafer_usd=world["wafer_usd"],
        lot_wafers=world["lot_wafers"],
        packaged=packaged,
        dram_usd_per_gb=world["dram_usd_per_gb"],
        mask_sets=world["mask_sets"],
        chip_items=items,
        nre_items=_nre(world, area, automotive=terms.automotive),
        assumptions=known,
    )


def cost_of(chip: Chip, terms: Terms) -> Bill:
    """Return what `chip` costs.

    Raises
    ------
    CostError
        An unknown node, a die beyond the reticle, an impossible assumption.
    """
    worlds = worlds_of(chip, terms, random_normals())
    nre_total = worlds.nre

    def unit(volume: float) -> Draws:
        return np.sum(list(worlds.unit_items(volume).values()), axis=0) + nre_total / volume

    volumes = [10.0**e * m for e in range(3, 8) for m in (1, 2, 5)] + [1e8]
    per_unit = {name: _band(draws) for name, draws in worlds.unit_items(terms.volume).items()}
    per_unit["design (NRE)"] = _band(nre_total / terms.volume)
    return Bill(
        chip=chip.name,
        node_nm=worlds.area.node_nm,
        terms=terms,
        area=worlds.area,
        die_mm2=_band(worlds.die_mm2),
        gross_dies=_band(worlds.gross_dies),
        yield_=_band(worlds.good_share),
        good_die_usd=_band(worlds.wafer_usd / (worlds.gross_dies * worlds.good_share)),
        unit_items=per_unit,
        nre_items={name: _band(draws) for name, draws in worlds.nre_items.items()},
        nre_usd=_band(nre_total),
        unit_usd=_band(unit(terms.volume)),
        curve=tuple((volume, _band(unit(volume))) for volume in volumes),
        assumptions=worlds.assumptions,
    )


def _nre(world: _World, area: Area, *, automotive: bool) -> dict[str, Draws]:
    design = world["design_usd"] * world["design_share"]
    items = {
        "design and verification": design * (1 - world["software_share"]),
        "software": design * world["software_share"],
        "layout": world["layout_usd_per_gate"] * area.unique_gates,
        "masks": world["mask_usd"] * world["mask_sets"],
        "IP": world["ip_usd"],
        "package design": world["package_design_usd"],
        "test development": world["test_development_usd"],
    }
    if automotive:
        items["qualification"] = world["qualification_usd"]
    return items
