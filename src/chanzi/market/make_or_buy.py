"""Make a chip or buy one: totals, break-even, payback, what the answer hangs on, and what supply may do to it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.cost.dollars import Band, Draws, Terms, assumptions_of
from chanzi.cost.figure import Figure, Figures
from chanzi.cost.foreign import ForeignChip, foreign_chip
from chanzi.cost.tech import known_node
from chanzi.errors import CostError
from chanzi.market import business, supply
from chanzi.market.assumptions import BUY_FIGURES, Given, given_figure, replaced, split
from chanzi.market.network import Delivery, Work
from chanzi.market.rank import bound_fps, measured_shares, results
from chanzi.market.worlds import DRAWS, Bought, Plan, World, best_guess, one_at_a_time, random_worlds

VOLUMES: tuple[float, ...] = tuple(float(v) for v in np.geomspace(1e3, 1e7, 81))
"""Cars a year over which the break-even is looked for."""
STEPS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """Cars a year from which making is cheaper; None where it never is below `VOLUMES`' end.

    `never` is the share of worlds without one.
    """

    value: float | None
    p10: float | None
    p50: float | None
    p90: float | None
    never: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Swing:
    """What one figure does to the saving: at its low and at its high end, all others at their best guess."""

    name: str
    unit: str
    low: float
    high: float
    low_usd: float
    high_usd: float

    @property
    def swing(self) -> float:
        """How far apart."""
        return abs(self.high_usd - self.low_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCost:
    """What an event costs if it happens, and how likely it is held to be (best guess)."""

    name: str
    text: str
    probability: float
    buyer: Band
    maker: Band
    foundry: Band
    foundry_probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Our chip against one that is bought. Money is present value in USD unless it says otherwise."""

    rival: Bought
    plan: Plan
    own_chips: float
    rival_chips: Band
    own_car_usd: dict[str, Band]
    bought_car_usd: dict[str, Band]
    make: Band
    buy: Band
    make_items: dict[str, Band]
    buy_items: dict[str, Band]
    saving: Band
    wins: float
    """Share of worlds in which making is cheaper, failures among them."""
    break_even: BreakEven
    payback_years: BreakEven
    years: tuple[float, ...]
    make_over_time: tuple[Band, ...]
    buy_over_time: tuple[Band, ...]
    saving_by_volume: tuple[tuple[float, Band], ...]
    tornado: tuple[Swing, ...]
    events: tuple[EventCost, ...]
    owning: dict[str, Band]
    assumptions: Figures

    @property
    def better(self) -> str:
        """What the best guess and more than half of the worlds say; 'open' where they do not agree."""
        if (self.saving.value > 0) != (self.wins > 0.5):
            return "open"
        return "make" if self.saving.value > 0 else "buy"


def _band(draws: Draws) -> Band:
    every = np.broadcast_to(draws, draws.shape) if draws.shape else np.array([float(draws)] * 2)
    return Band.of(float(every[0]), every[1:] if len(every) > 1 else every)


def rival_of(name: str, work: Work, given: Mapping[str, Given], needed: float) -> Bought:
    """Return a chip that may be bought, with what it delivers of a network: measured, else what is likely.

    Raises
    ------
    CostError
        No such chip, or nobody sells it and no price was given.
    """
    known = _record(name, whole={"price_usd", "frames_per_s", "watts"} <= set(given))
    figures = {what: given_figure(f"{name}.{what}", BUY_FIGURES[what], value) for what, value in given.items()}
    how = "given"
    if known is not None:
        rate, how = _rate(known, work) if "frames_per_s" not in figures else (figures["frames_per_s"], "given")
        figures.setdefault("frames_per_s", rate)
        figures.setdefault("watts", _watts(known))
        price = known.figures.get("soc_price_usd") or known.figures.get("price_usd")
        if "price_usd" not in figures and price is None:
            raise CostError(
                f"{known.name} is not sold, or nobody says for how much",
                hint=f"--set {known.key}.price_usd=300:400:500",
            )
        if price is not None:
            figures.setdefault("price_usd", price)
    alone = known is None or "soc_price_usd" in known.figures
    figures.setdefault("brings_dram", _own(0.0 if alone else 1.0, BUY_FIGURES["brings_dram"]))
    if needed / figures["frames_per_s"].value > 64:
        raise CostError(
            f"{name} would need {needed / figures['frames_per_s'].value:,.0f} chips a car", hint="fewer frames a second"
        )
    return Bought(key=known.key if known else name, name=known.name if known else name, figures=figures, known=how)


def _record(name: str, *, whole: bool) -> ForeignChip | None:
    """Return the record of a chip; None for one that is not known but of which everything was given."""
    try:
        return foreign_chip(name)
    except CostError:
        if whole:
            return None
        raise


def _own(value: float, unit: str, low: "float | None" = None, high: "float | None" = None) -> Figure:
    return Figure(value=value, low=low, high=high, unit=unit, source="chanzi", how="derived", grade="D")


def _rate(chip: ForeignChip, work: Work) -> tuple[Figure, str]:
    measured = [m.samples_per_s for m in results(chip, work, "throughput") if m.samples_per_s and m.wall_w is None]
    if measured:
        return measured[-1], "measured"
    low, value, high = bound_fps(chip, work, "throughput")
    least, most = measured_shares("throughput")
    return _own(value * (least * most) ** 0.5, BUY_FIGURES["frames_per_s"], low * least, high * most), "estimated"


def _watts(chip: ForeignChip) -> Figure:
    return chip.figures["power_w"]


def plan_of(
    chip: Chip,
    delivery: Delivery,
    *,
    fps: float,
    cameras: int,
    units: float,
    years: float,
    terms: Terms,
    given: Mapping[str, Given],
) -> Plan:
    """Return what is to be decided.

    Raises
    ------
    CostError
        A number that makes no sense, an unknown node, a die beyond the reticle.
    """
    for what, value, most in (
        ("frames a second", fps, 1e5),
        ("cameras", cameras, 1e3),
        ("years", years, 30),
        ("cars a year", units, 1e9),
    ):
        if not (np.isfinite(value) and 0 < value <= most):
            raise CostError(f"{value:g} {what}", hint=f"more than none, at most {most:,.0f}")
    business_given, _, _ = split(given)
    if delivery.watts is None:
        known_node(terms.node_nm or chip.node_nm)  # says what is wrong with the node
        raise CostError(f"no energy is known of {chip.name}", hint="give its node_nm")
    return Plan(
        chip=chip, terms=terms, frames_per_s=delivery.frames_per_s, watts=delivery.watts, frames_needed=fps * cameras,
        units=units, years=years, figures=replaced(business_given),
    )  # fmt: skip


def decide(plan: Plan, rival: Bought, *, draws: int = DRAWS, width: float = 1.0) -> Answer:
    """Return the answer against one rival; `width` 0 takes all ranges away."""
    if not 10 <= draws <= 1_000_000:
        raise CostError(f"{draws} draws", hint="10 to 1,000,000")
    world = random_worlds(plan, rival, draws=draws, width=width)
    making, buying = business.making(plan, world), business.buying(plan, world)
    make, buy = business.total(making, world), business.total(buying, world)
    saved = buy - make
    at = business.clock_of(plan, world)
    years = [float(t) for t in np.linspace(0, float(at.end[0]), STEPS + 1)]
    over_time = [(business.total(making, world, t), business.total(buying, world, t)) for t in years]
    curve = [(v, business.saving(plan, world.expecting(), v)) for v in VOLUMES]
    owned = supply.owning(plan, world, saved)
    cars = plan.units * world["demand"]
    return Answer(
        rival=rival,
        plan=plan,
        own_chips=float(business.chips_needed(plan, plan.frames_per_s, world)[0]),
        rival_chips=_band(business.chips_needed(plan, world.bought["frames_per_s"], world)),
        own_car_usd={n: _band(v + 0 * saved) for n, v in business.own_car(plan, world, cars).items()},
        bought_car_usd={n: _band(v + 0 * saved) for n, v in business.bought_car(plan, world, cars).items()},
        make=_band(make),
        buy=_band(buy),
        make_items={n: _band(v) for n, v in business.by_name(making, world).items()},
        buy_items={n: _band(v) for n, v in business.by_name(buying, world).items()},
        saving=_band(saved),
        wins=float(np.mean(saved[1:] > 0)),
        break_even=_summed(break_even([v for v, _ in curve], np.array([s for _, s in curve]))),
        payback_years=_summed(_payback(years, np.array([b - m for m, b in over_time]))),
        years=tuple(years),
        make_over_time=tuple(_band(m) for m, _ in over_time),
        buy_over_time=tuple(_band(b) for _, b in over_time),
        saving_by_volume=tuple((v, _band(s)) for v, s in curve),
        tornado=_tornado(plan, rival),
        events=tuple(_event(e) for e in supply.events(plan, world)),
        owning={
            "sunk": _band(owned.sunk),
            "saves": _band(owned.saves),
            "insurance": _band(owned.insurance),
            "right to buy": _band(owned.right_to_buy),
            "worth": _band(owned.worth),
            "net": _band(owned.net),
        },
        assumptions=known_figures(plan, rival),
    )


def known_figures(plan: Plan, rival: Bought) -> Figures:
    """Return every figure the answer stands on."""
    return {**plan.figures, **silicon_figures(plan), **{f"{rival.key}.{n}": f for n, f in rival.figures.items()}}


def silicon_figures(plan: Plan) -> Figures:
    """Return the figures behind the chip's own cost."""
    return assumptions_of(known_node(plan.terms.node_nm or plan.chip.node_nm), plan.terms.overrides)


def _event(e: supply.Event) -> EventCost:
    return EventCost(
        name=e.name, text=e.text, probability=float(e.probability[0]), buyer=_band(e.buyer), maker=_band(e.maker),
        foundry=_band(e.foundry), foundry_probability=float(e.foundry_probability[0]),
    )  # fmt: skip


def break_even(volumes: "list[float]", savings: Draws) -> Draws:
    """Return for each world the cars a year from which making saves: NaN where it never does.

    `savings` has a row for each volume. Between two volumes the crossing is looked for on a straight line.
    """
    xs = np.asarray(volumes)
    positive = savings > 0
    # the first volume from which on making always saves
    stays = np.flip(np.logical_and.accumulate(np.flip(positive, axis=0), axis=0), axis=0)
    first = np.argmax(stays, axis=0)
    below = np.maximum(first - 1, 0)
    column = np.arange(savings.shape[1])
    y0, y1 = savings[below, column], savings[first, column]
    share = np.where(first > 0, -y0 / np.where(y1 == y0, 1.0, y1 - y0), 0.0)
    found = xs[below] + share * (xs[first] - xs[below])
    return np.where(stays.any(axis=0), found, np.nan)


def _payback(years: "list[float]", cumulated: Draws) -> Draws:
    """Return the years after which making has paid for itself for good; NaN where it has not."""
    return break_even(years, cumulated)


def _summed(found: Draws) -> BreakEven:
    rest = np.where(np.isnan(found[1:]), np.inf, found[1:])
    # percentiles of ordered worlds, with those that never get there at the far end
    p10, p50, p90 = (float(q) for q in np.percentile(rest, (10, 50, 90), method="higher"))

    def some(value: float) -> float | None:
        return value if np.isfinite(value) else None

    return BreakEven(
        value=some(float(found[0])), p10=some(p10), p50=some(p50), p90=some(p90), never=float(np.mean(np.isinf(rest)))
    )


def _tornado(plan: Plan, rival: Bought, most: int = 16) -> tuple[Swing, ...]:
    """Return the figures that move the saving most, the largest first."""
    names, world = one_at_a_time(plan, rival)
    saved = business.saving(plan, world)
    known = known_figures(plan, rival)
    found = []
    for i, name in enumerate(names):
        low, high = known[name].bounds if name in known else (float("nan"), float("nan"))
        unit = known[name].unit if name in known else "10 to 90 %"
        ends = (float(saved[1 + 2 * i]), float(saved[2 + 2 * i]))
        found.append(Swing(name=name, unit=unit, low=low, high=high, low_usd=ends[0], high_usd=ends[1]))
    return tuple(sorted(found, key=lambda s: -s.swing)[:most])


def guess(plan: Plan, rival: Bought, units: float | None = None) -> float:
    """Return the saving of best guesses, at other units where they are given."""
    return float(business.saving(plan, best_guess(plan, rival), units)[0])


__all__ = ["Answer", "World", "decide", "guess", "plan_of", "rival_of"]
