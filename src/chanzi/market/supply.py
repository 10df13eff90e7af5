"""When supply fails: a price that rises, chips that do not come, a stop; what it costs who buys and who makes.

An event at the supplier of bought chips hits the buyer, and a maker as far as bought chips are still in the cars (until
ours is ready, or for good where the project failed). A foundry may do the same to a maker; `second_source_share` above
0 buys a second one, and then no car waits for it.
"""

from dataclasses import dataclass

import numpy as np

from chanzi.cost.dollars import Draws
from chanzi.market.business import (
    Clock,
    annuity,
    bought_car,
    bought_usd,
    chips_needed,
    clock_of,
    design_usd,
    own_car,
    port_usd,
)
from chanzi.market.worlds import Plan, World

EVENTS = ("price", "allocation", "stop")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Event:
    """One event's present cost if it happens: to the buyer, to the maker, and the same at the maker's foundry."""

    name: str
    text: str
    probability: Draws
    buyer: Draws
    maker: Draws
    foundry: Draws
    foundry_probability: Draws


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Owning:
    """What the design is worth to its owner, present values.

    `sunk` is spent until the chip is ready. `saves` is what making saves beside that, with no trouble in supply;
    `insurance` what events would be expected to cost the buyer more than the owner; `right_to_buy` what is saved where
    the owner may still buy, and does when that has become cheaper. Their sum is `worth`, and `net` is worth - sunk.
    """

    sunk: Draws
    saves: Draws
    insurance: Draws
    right_to_buy: Draws

    @property
    def worth(self) -> Draws:
        """Before what it costs."""
        return self.saves + self.insurance + self.right_to_buy

    @property
    def net(self) -> Draws:
        """After what it costs."""
        return self.worth - self.sunk


def _overlap(world: World, begin: Draws, end: Draws, first: Draws, last: Draws, growth: "Draws | float" = 0.0) -> Draws:
    """Return the present value of 1 USD a year in the part of begin..end that lies in first..last."""
    low, high = np.maximum(begin, first), np.minimum(end, last)
    return annuity(low, np.maximum(high, low), growth, world["discount_rate"])


def _bought_part(world: World, at: Clock, begin: Draws, end: Draws, growth: "Draws | float" = 0.0) -> Draws:
    """Return the maker's share of an interval with bought chips in the cars."""
    bridge = _overlap(world, begin, end, at.start, at.own_from, growth)
    return bridge + world.failed * _overlap(world, begin, end, at.own_from, at.end, growth)


def events(plan: Plan, world: World, units: "Draws | float | None" = None) -> tuple[Event, ...]:
    """Return what each event costs if it happens."""
    cars = (plan.units if units is None else units) * world["demand"]
    at = clock_of(plan, world)
    begin = np.minimum(at.start + world["shock_years"], at.end)
    end = np.minimum(begin + world["shock_length_years"], at.end)
    lost = cars * world["margin_usd"] * (1 - world["recovered"])
    single = np.where(world["second_source_share"] > 0, 0.0, 1.0)
    count = chips_needed(plan, plan.frames_per_s, world)
    share = world["foundry_share"]

    price = bought_usd(plan, world, cars) * cars * np.maximum(world["price_times"] - 1, 0)
    ours = count * (world.chip.silicon(count * cars) + world.chip.chip_items["package"])
    price_own = ours * cars * np.maximum(world["price_times"] - 1, 0)
    growth = world["buy_price_change"]
    own_interval = at.own * _overlap(world, begin, end, at.own_from, at.end)

    missing = lost * (1 - world["allocation"])

    dry = np.minimum(begin + world["stop_stock_months"] / 12, at.end)
    ported = np.minimum(np.maximum(begin + world["stop_port_months"] / 12, dry), at.end)
    moved = np.minimum(np.maximum(begin + world["stop_foundry_months"] / 12, dry), at.end)
    still = np.where(dry < at.end, 1.0, 0.0)
    then = np.exp(-np.log1p(world["discount_rate"]) * begin)
    again = world["integration_usd"] * then * still
    on_bought = np.where(begin < at.own_from, 1.0, world.failed)
    length = f"for {plan.figures['shock_length_years'].value:g} years"
    k = f"price × {plan.figures['price_times'].value:g} {length}"
    cut = f"only {100 * plan.figures['allocation'].value:g} % arrive {length}"
    when = f"{plan.figures['shock_years'].value:g} years after the first car"
    return (
        Event(
            name="price",
            text=f"{k}, {when}",
            probability=world["price_probability"],
            buyer=price * _overlap(world, begin, end, at.start, at.end, growth),
            maker=price * _bought_part(world, at, begin, end, growth),
            foundry=price_own * own_interval * single,
            foundry_probability=world["price_probability"] * share,
        ),
        Event(
            name="allocation",
            text=f"{cut}, {when}",
            probability=world["allocation_probability"],
            buyer=missing * _overlap(world, begin, end, at.start, at.end),
            maker=missing * _bought_part(world, at, begin, end),
            foundry=missing * own_interval * single,
            foundry_probability=world["allocation_probability"] * share,
        ),
        Event(
            name="stop",
            text=f"no chip any more, {when}",
            probability=world["stop_probability"],
            buyer=lost * _overlap(world, dry, ported, at.start, at.end) + again,
            maker=lost * _bought_part(world, at, dry, ported) + again * on_bought,
            foundry=single
            * at.own
            * (lost * _overlap(world, dry, moved, at.own_from, at.end) + port_usd(world) * then * still),
            foundry_probability=world["stop_probability"] * share,
        ),
    )


def expected(found: tuple[Event, ...]) -> tuple[Draws, Draws]:
    """Return what events are expected to cost the buyer and the maker."""
    buyer = np.sum([e.probability * e.buyer for e in found], axis=0)
    maker = np.sum([e.probability * e.maker + e.foundry_probability * e.foundry for e in found], axis=0)
    return buyer, maker


def owning(plan: Plan, world: World, saved: Draws) -> Owning:
    """Return what owning is worth, `saved` being what making saves over buying, design paid."""
    at = clock_of(plan, world)
    discount = world["discount_rate"]
    spent = np.maximum(at.ready, 0.25)
    nothing = np.zeros_like(at.ready)
    sunk = design_usd(world) / spent * annuity(nothing, spent, 0.0, discount)
    sunk = sunk + world["software_usd_per_year"] * annuity(nothing, at.ready, 0.0, discount)
    buyer, maker = expected(events(plan, world))
    return Owning(
        sunk=sunk,
        saves=saved + sunk,
        insurance=buyer - maker,
        right_to_buy=at.own * np.maximum(-_ahead(plan, world, at), 0.0),
    )


def _ahead(plan: Plan, world: World, at: Clock) -> Draws:
    """Return what our chip saves from the day it is ready, what is spent until then left aside."""
    cars = plan.units * world["demand"]
    discount = world["discount_rate"]
    plain = annuity(at.own_from, at.end, 0.0, discount)

    def flows(items: dict[str, Draws], growth: Draws) -> Draws:
        moving = annuity(at.own_from, at.end, growth, discount)
        parts = [usd * (moving if name.endswith("chips") else plain) for name, usd in items.items()]
        return cars * np.sum(parts, axis=0)

    make = flows(own_car(plan, world, cars), world["make_price_change"])
    make = make + (world["software_usd_per_year"] + world["operations_usd_per_year"]) * annuity(
        at.ready, at.end, 0.0, discount
    )
    buy = flows(bought_car(plan, world, cars), world["buy_price_change"]) + world["support_usd_per_year"] * plain
    before = np.maximum(at.start - 1.5, 0.0)
    early = world["support_usd_per_year"] + world["integration_usd"] / np.maximum(at.start - before, 0.1)
    port = np.where(at.ready > at.start, 0.0, early * annuity(before, at.start, 0.0, discount))
    return buy + port - make
