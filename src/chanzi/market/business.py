"""What making and buying cost: streams of money over years, discounted to the day of the decision.

The day of the decision is year 0. Cars are built from `start_years` on, for the plan's years. Whoever makes a chip pays
its design first, buys until it is ready, and buys on where the project fails. All sums are real USD before tax.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chanzi.cost.dollars import Draws
from chanzi.market.worlds import Plan, World

_TYPICAL = 1e5
"""Chips a year at which a price is quoted."""
_PORTED = {"design and verification": 0.5, "layout": 1.0, "masks": 1.0, "IP": 1.0, "test development": 0.5,
           "qualification": 1.0, "package design": 0.0, "software": 0.0}  # fmt: skip
"""Shares of a design that are spent again for another foundry."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """USD a year from `begin` to `end`, in money of year 0 that changes by `growth` a year."""

    name: str
    rate: Draws
    begin: Draws
    end: Draws
    growth: Draws


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clock:
    """When things happen, in years from the decision. `own` is the share of worlds' cars that our chip drives."""

    start: Draws
    ready: Draws
    own_from: Draws
    end: Draws
    own: Draws


def annuity(begin: Draws, end: Draws, growth: "Draws | float", discount: Draws) -> Draws:
    """Return the present value of 1 USD a year from `begin` to `end`, growing and discounted all the time."""
    k = np.log1p(growth) - np.log1p(discount)
    flat = np.abs(k) < 1e-12
    safe = np.where(flat, 1.0, k)
    length = np.maximum(end - begin, 0.0)
    return np.asarray(np.where(flat, length, np.exp(k * begin) * np.expm1(k * length) / safe))


def present(stream: Stream, world: World, until: "float | None" = None) -> Draws:
    """Return a stream's present value, or that of what has flowed until a year."""
    end = stream.end if until is None else np.minimum(stream.end, until)
    return np.asarray(stream.rate * annuity(stream.begin, end, stream.growth, world["discount_rate"]))


def total(streams: Sequence[Stream], world: World, until: "float | None" = None) -> Draws:
    """Return the present value of all streams."""
    return np.sum([present(s, world, until) for s in streams], axis=0)


def clock_of(plan: Plan, world: World) -> Clock:
    """Return when the cars are built and from when on with our chip."""
    start = world["start_years"]
    end = start + plan.years
    ready = np.minimum(world["development_years"] + world.respins * world["respin_months"] / 12, end)
    return Clock(start=start, ready=ready, own_from=np.maximum(start, ready), end=end, own=1 - world.failed)


def chips_needed(plan: Plan, frames_per_s: "Draws | float", world: World) -> Draws:
    """Return the chips of a car: ceil(frames needed / frames delivered), as many sets as check each other."""
    # a hair below, so that 288 / 288 in floating point is 1
    each = np.ceil(plan.frames_needed / frames_per_s - 1e-9)
    return np.asarray(np.maximum(each, 1.0) * world["redundancy"])


def made_usd(plan: Plan, world: World, units: "Draws | float") -> Draws:
    """Return what our chips for one car cost, beside their design, at so many cars a year."""
    count = chips_needed(plan, plan.frames_per_s, world)
    items = world.chip.unit_items(count * units)
    return count * np.sum(list(items.values()), axis=0)


def bought_usd(plan: Plan, world: World, units: "Draws | float") -> Draws:
    """Return what bought chips for one car cost today, DRAM with them, at so many cars a year."""
    count = chips_needed(plan, world.bought["frames_per_s"], world)
    steps = np.log10(count * units / _TYPICAL)
    factor = np.clip(1 - world["volume_discount"] * steps, 0.3, 2.0)
    dram = world["buy_dram_gb"] * world.chip.dram_usd_per_gb * (1 - world.bought["brings_dram"])
    return np.asarray(count * (world.bought["price_usd"] * factor + dram))


def design_usd(world: World) -> Draws:
    """Return what the design costs once: the chip's NRE without its software, respins, a second foundry."""
    items = {name: usd for name, usd in world.chip.nre_items.items() if name not in ("software", "masks")}
    set_usd = world.chip.nre_items["masks"] / np.maximum(world.chip.mask_sets, 1e-9)
    again = world["respin_mask_share"] * set_usd + world["respin_team_usd"]
    once = np.sum(list(items.values()), axis=0) + set_usd + world.respins * again
    return np.asarray(once + world["second_source_share"] * port_usd(world))


def port_usd(world: World) -> Draws:
    """Return what it costs to take the design to another foundry."""
    sets = np.maximum(world.chip.mask_sets, 1e-9)
    parts = [
        _PORTED.get(name, 0.0) * usd / (sets if name == "masks" else 1.0) for name, usd in world.chip.nre_items.items()
    ]
    return np.sum(parts, axis=0)


def _zero(world: World) -> Draws:
    return np.zeros_like(world["discount_rate"])


def _in_car(world: World, watts: Draws, count: Draws, returned: Draws) -> dict[str, Draws]:
    """Return what chips cost a car that has them: watts, and returns under warranty, each chip for itself."""
    return {"watts": watts * world["watt_usd"], "warranty": count * returned * world["return_usd"]}


def own_car(plan: Plan, world: World, units: "Draws | float") -> dict[str, Draws]:
    """Return USD of a car with our chips, by item."""
    count = chips_needed(plan, plan.frames_per_s, world)
    # chips share the work, so watts follow the frames that are needed
    watts = plan.watts * np.minimum(plan.frames_needed / plan.frames_per_s, count) * world["redundancy"]
    extra = _in_car(world, watts + world["host_watts"], count, world["make_return_share"])
    return {"our chips": made_usd(plan, world, units), "CPUs and cameras beside": world["host_usd"], **extra}


def bought_car(plan: Plan, world: World, units: "Draws | float") -> dict[str, Draws]:
    """Return USD of a car with bought chips, by item."""
    count = chips_needed(plan, world.bought["frames_per_s"], world)
    # the boards' power as published: their idle power is most of it, so it is not scaled with the load
    extra = _in_car(world, count * world.bought["watts"], count, world["buy_return_share"])
    return {"bought chips": bought_usd(plan, world, units), **extra}


def _car_streams(
    world: World, items: dict[str, Draws], cars: Draws, begin: Draws, end: Draws, growth: Draws
) -> list[Stream]:
    moving = ("our chips", "bought chips")
    return [
        Stream(
            name=name, rate=cars * usd, begin=begin, end=end, growth=growth if name in moving else _zero(world)
        )
        for name, usd in items.items()
    ]  # fmt: skip


def buying(plan: Plan, world: World, units: "Draws | float | None" = None) -> list[Stream]:
    """Return what buying costs."""
    cars = (plan.units if units is None else units) * world["demand"]
    at = clock_of(plan, world)
    none, before = _zero(world), np.maximum(at.start - 1.5, 0.0)
    return [
        Stream(name="integration", rate=world["integration_usd"] / np.maximum(at.start - before, 0.1), begin=before,
               end=np.maximum(at.start, before + 0.1), growth=none),
        Stream(name="support", rate=world["support_usd_per_year"], begin=before, end=at.end, growth=none),
        *_car_streams(world, bought_car(plan, world, cars), cars, at.start, at.end, world["buy_price_change"]),
    ]  # fmt: skip


def making(plan: Plan, world: World, units: "Draws | float | None" = None) -> list[Stream]:
    """Return what making costs: until our chip is ready, and where it fails for good, bought chips are in it."""
    cars = (plan.units if units is None else units) * world["demand"]
    at = clock_of(plan, world)
    none, own, failed = _zero(world), at.own, world.failed
    bridge = np.where(at.ready > at.start, 1.0, failed)
    before = np.maximum(at.start - 1.5, 0.0)
    spent = np.maximum(at.ready, 0.25)
    streams = [
        Stream(name="design", rate=design_usd(world) / spent, begin=none, end=spent, growth=none),
        Stream(name="software", rate=world["software_usd_per_year"], begin=none, end=at.ready, growth=none),
        Stream(name="software", rate=own * world["software_usd_per_year"], begin=at.ready, end=at.end, growth=none),
        Stream(name="operations", rate=own * world["operations_usd_per_year"], begin=at.ready, end=at.end, growth=none),
        *_car_streams(
            world, own_car(plan, world, cars), own * cars, at.own_from, at.end, world["make_price_change"]
        ),
        Stream(name="integration", rate=bridge * world["integration_usd"] / np.maximum(at.start - before, 0.1),
               begin=before, end=np.maximum(at.start, before + 0.1), growth=none),
        Stream(name="support", rate=bridge * world["support_usd_per_year"], begin=before, end=at.start, growth=none),
        Stream(name="support", rate=world["support_usd_per_year"], begin=at.start, end=at.own_from, growth=none),
        Stream(name="support", rate=failed * world["support_usd_per_year"], begin=at.own_from, end=at.end, growth=none),
    ]  # fmt: skip
    until = bought_car(plan, world, cars)
    growth = world["buy_price_change"]
    streams += _car_streams(world, until, cars, at.start, at.own_from, growth)
    streams += _car_streams(world, until, failed * cars, at.own_from, at.end, growth)
    return streams


def by_name(streams: Sequence[Stream], world: World) -> dict[str, Draws]:
    """Return present values by item."""
    found: dict[str, Draws] = {}
    for stream in streams:
        found[stream.name] = found.get(stream.name, 0.0) + present(stream, world)
    return found


def saving(plan: Plan, world: World, units: "Draws | float | None" = None) -> Draws:
    """Return the present value of what making saves over buying; below zero where it costs more."""
    return total(buying(plan, world, units), world) - total(making(plan, world, units), world)
