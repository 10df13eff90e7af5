"""What a chip is worth: speed, joules, area and dollars on every network, or why it need not be looked at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.cost.area import area_of, check_reticle
from chanzi.cost.dollars import Terms, worlds_of
from chanzi.cost.energy import EventCosts, energy_of, event_costs
from chanzi.errors import CompileError, CostError
from chanzi.explore import full, model
from chanzi.explore.goals import Goals, dominates
from chanzi.explore.model import Run
from chanzi.explore.networks import Network
from chanzi.explore.space import MOST_CODE, with_code

Path = Literal["model", "compiled"]
"""How times were had: from the fast model, or compiled and simulated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A network on a chip: `fps` of all cores, joules a frame and watts with DRAM; `plan` says where weights are."""

    network: str
    plan: str
    cycles: int
    fps: float
    latency_s: float
    joules: float
    watts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a chip.

    `values` are those of the objectives, `violations` the shares by which limits are passed (0 or less: held): of area,
    power and frames a second as far as they are limited, then of the scratchpad by a network's maps. A chip that was
    pruned has a `reason`, and values that no program for it could better.
    """

    reason: str = ""
    values: tuple[float, ...] = ()
    violations: tuple[float, ...] = ()
    results: tuple[Result, ...] = ()
    area_mm2: float = 0.0
    core_mm2: float = 0.0
    usd: float = 0.0
    code_instructions: int = 0
    path: Path = "model"

    @property
    def done(self) -> bool:
        """Whether it was looked at in full."""
        return not self.reason

    @property
    def feasible(self) -> bool:
        """Whether it was looked at and holds every limit."""
        return self.done and all(v <= 0 for v in self.violations)


def geometric_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return the weighted geometric mean."""
    return math.exp(sum(w * math.log(v) for v, w in zip(values, weights, strict=True)) / sum(weights))


def unit_usd(chip: Chip, goals: Goals) -> float:
    """Return the best guess of what a chip costs at the volume, design spread over it.

    Raises
    ------
    CostError
        A die beyond the reticle or the wafer.
    """
    worlds = worlds_of(chip, Terms(volume=goals.volume, node_nm=goals.node_nm), lambda _: np.zeros(1))
    items = worlds.unit_items(goals.volume).values()
    return float(sum(np.sum(item) for item in items) + np.sum(worlds.nre) / goals.volume)


def evaluate(
    chip: Chip,
    networks: Sequence[Network],
    goals: Goals,
    *,
    front: Sequence[Sequence[float]] = (),
    spilled: bool = True,
) -> Outcome:
    """Return what a chip is worth, by the fast model.

    Parameters
    ----------
    chip : Chip
        Its instruction memory is set to what the networks need.
    networks : sequence of Network
    goals : Goals
    front : sequence of values, optional
        Of chips known to hold all limits: a chip that could not better one of them at best is pruned.
    spilled : bool
        Compile and simulate where maps do not fit the scratchpad, which the model does not cover; else prune.
    """
    core = chip.core
    products = core.macs_per_cycle + core.lanes * core.taps_per_lane
    times = [
        max(n.macs / products, chip.cores * n.ends_bytes / chip.dram_bytes_per_cycle) / chip.clock_hz for n in networks
    ]
    found = bounded(chip, networks, goals, front, times)
    if found.reason:
        return found
    overflow = max(model.overflow(network.sketches(core), chip) for network in networks)
    if overflow > 0 and not spilled:
        violations = (*found.violations[:-1], overflow)
        return replace(found, reason="a network's maps do not fit the scratchpad", violations=violations)
    runs: list[Run] = []
    path: Path = "model"
    try:
        for network in networks:
            run = model.run(network.sketches(core), chip) if overflow <= 0 else None
            if run is None:
                if not spilled:
                    reason = "a network's maps do not fit the scratchpad's banks"
                    return replace(found, reason=reason, violations=(*found.violations[:-1], 1e-6))
                if path == "model":
                    least = bounded(chip, networks, goals, front, [least_seconds(chip, n) for n in networks])
                    if least.reason:
                        return least
                run, path = full.run(network, chip), "compiled"
            runs.append(run)
    except CompileError as error:
        return replace(found, reason=str(error), violations=(*found.violations[:-1], 1.0))
    return valued(chip, networks, goals, runs, path)


def measured(chip: Chip, networks: Sequence[Network], goals: Goals) -> Outcome:
    """Return what a chip is worth, every network compiled for it and simulated.

    Raises
    ------
    ChanziError
        A network that cannot be compiled for it.
    """
    return valued(chip, networks, goals, [full.run(network, chip) for network in networks], "compiled")


def valued(chip: Chip, networks: Sequence[Network], goals: Goals, runs: Sequence[Run], path: Path) -> Outcome:
    """Return the outcome of a chip whose networks' runs are known."""
    longest = max(run.instructions for run in runs)
    if longest > MOST_CODE:
        return _impossible(goals, f"a frame of {longest} instructions, more than an instruction memory holds")
    chip = with_code(chip, longest)
    try:
        area = area_of(chip, node_nm=goals.node_nm)
        check_reticle(area)
        costs = event_costs(chip, node_nm=goals.node_nm, area=area)
        usd = unit_usd(chip, goals) if "cost" in goals.minimize else 0.0
    except CostError as error:
        return _impossible(goals, str(error))
    results = tuple(_result(network, chip, run, costs) for network, run in zip(networks, runs, strict=True))
    weights = [network.weight for network in networks]
    values = {
        "energy": geometric_mean([r.joules for r in results], weights),
        "time": geometric_mean([1 / r.fps for r in results], weights),
        "latency": geometric_mean([r.latency_s for r in results], weights),
        "cost": usd,
        "area": area.die.value,
        "power": max(r.watts for r in results),
    }
    return Outcome(
        values=tuple(values[name] for name in goals.minimize),
        violations=goals.violations(
            area_mm2=values["area"], watts=values["power"], least_fps=min(r.fps for r in results)
        ),
        results=results,
        area_mm2=values["area"],
        core_mm2=chip.cores * area.core.value,
        usd=usd,
        code_instructions=chip.core.code_instructions,
        path=path,
    )


def _result(network: Network, chip: Chip, run: Run, costs: EventCosts) -> Result:
    energy = energy_of(chip, run.counts, costs)
    return Result(
        network=network.name,
        plan=run.plan,
        cycles=run.cycles,
        fps=run.frames * chip.clock_hz / run.cycles,
        latency_s=run.seconds(chip),
        joules=energy.joules / run.frames,
        watts=energy.watts,
    )


def _impossible(goals: Goals, reason: str) -> Outcome:
    """Return the outcome of a chip that cannot be built: worse than any other."""
    return Outcome(reason=reason, values=(1e9,) * len(goals.minimize), violations=(1e9,) * goals.limits)


def bounded(
    chip: Chip,
    networks: Sequence[Network],
    goals: Goals,
    front: Sequence[Sequence[float]],
    times: Sequence[float],
) -> Outcome:
    """Return an outcome that no program for the chip can better, with a reason if it need not be looked at.

    1. Its area, with the least instruction memory, is more than is allowed, or than a scanner exposes.
    2. What it draws at the least, clock and leakage, is more than is allowed.
    3. `times`, the least seconds of a frame on each core, leave fewer frames a second than are wanted.
    4. A chip is known that is better than this one could be in those times, spending only on products, on the network's
       edges, and on clock and leakage.
    """
    try:
        area = area_of(chip, node_nm=goals.node_nm)
        check_reticle(area)
        costs = event_costs(chip, node_nm=goals.node_nm, area=area)
        usd = unit_usd(chip, goals) if "cost" in goals.minimize else 0.0
    except CostError as error:
        return _impossible(goals, str(error))
    weights = [network.weight for network in networks]
    standing = standing_w(chip, costs)
    joules = []
    for network, seconds in zip(networks, times, strict=True):
        pj = network.macs * min(costs.pj["macs"], costs.pj["vector_macs"])
        pj += network.ends_bytes * (costs.dma_pj_per_byte + costs.dram_pj_per_byte)
        joules.append(1e-12 * pj + seconds * standing / chip.cores)
    time = geometric_mean(times, weights)
    best = {
        "energy": geometric_mean(joules, weights),
        "time": time / chip.cores,
        "latency": time,
        "cost": usd,
        "area": area.die.value,
        "power": standing,
    }
    values = tuple(best[name] for name in goals.minimize)
    fps = chip.cores / max(times)
    violations = goals.violations(area_mm2=area.die.value, watts=standing, least_fps=fps)
    reason = ""
    if goals.max_area_mm2 is not None and area.die.value > goals.max_area_mm2:
        reason = "a die larger than allowed"
    elif goals.max_power_w is not None and standing > goals.max_power_w:
        reason = "more watts than allowed for clock and leakage alone"
    elif fps < goals.min_fps:
        reason = "fewer frames a second than wanted, whatever the program"
    elif any(dominates(known, values) for known in front):
        reason = BEATEN
    return Outcome(reason=reason, values=values, violations=violations, area_mm2=area.die.value, usd=usd)


BEATEN = "a better one is known, whatever the program"
"""Why a chip is pruned that passes no limit."""


def standing_w(chip: Chip, costs: EventCosts) -> float:
    """Return what a chip draws whatever it does: clock and leakage."""
    return costs.leakage_w + 1e-12 * chip.cores * chip.clock_hz * costs.clock_pj


def least_seconds(chip: Chip, network: Network) -> float:
    """Return the least time of a frame on each core (`chanzi.cost.bound`)."""
    cycles = 0.0
    for part in network.least(chip.core):
        bus = part.dram_bytes(chip, cores=chip.cores, frames=chip.cores, resident=True) / chip.dram_bytes_per_cycle
        cycles += max(part.array, part.vector, bus)
    return cycles / chip.clock_hz


def sized(chip: Chip, outcome: Outcome) -> Chip:
    """Return the chip with the instruction memory that its networks need."""
    if not outcome.code_instructions:
        return chip
    return replace(chip, core=replace(chip.core, code_instructions=outcome.code_instructions))
