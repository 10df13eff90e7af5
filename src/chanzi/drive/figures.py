"""What a chip does with the driving network: how long a frame takes, what it spends, what loading anew costs."""

from dataclasses import dataclass

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.cost.area import area_of
from chanzi.cost.energy import energy_of, event_costs
from chanzi.cost.events import count_events
from chanzi.cost.lost import lost_cycles
from chanzi.errors import CostError
from chanzi.program.model import CompiledModel
from chanzi.runtime.timing import ModelTiming


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipFigures:
    """One chip with its program.

    Parameters
    ----------
    chip : Chip
    cycles : int
        Of a frame, weights in place.
    chip_s : float
        From a frame in its memory to the answer.
    busy_s : float
        Until it takes the next one.
    reload_s : float
        To load program and weights anew: into DRAM at the DRAM's pace, then setup.
    joules : float or None
        Of a frame, DRAM included; None where the chip's node is not among the known ones, or its time is not its own.
    idle_w : float or None
        Leakage, which is spent between frames, too.
    chips : int
        How many of them run every frame; times and energies are those of one.
    """

    chip: Chip
    cycles: int
    chip_s: float
    busy_s: float
    reload_s: float
    joules: float | None
    idle_w: float | None
    chips: int = 1

    @property
    def frames_per_s(self) -> float:
        """The most that it takes."""
        return 1 / self.busy_s

    def watts(self, frames_per_s: float) -> float | None:
        """Return the mean power of all chips at a rate of frames, their clocks resting in between."""
        if self.joules is None or self.idle_w is None:
            return None
        rate = min(frames_per_s, self.frames_per_s)
        return self.chips * (rate * self.joules + self.idle_w * max(1 - rate * self.busy_s, 0.0))


def chip_figures(model: CompiledModel, timing: ModelTiming) -> ChipFigures:
    """Return what a chip does with a compiled network; energies are those that `chanzi run` says."""
    chip = model.chip
    n_bytes = sum(len(step.segment.image) for step in model.chip_steps)
    joules = idle_w = None
    try:
        costs = event_costs(chip, area=area_of(chip))
    except CostError:
        pass
    else:
        joules, idle_w = 0.0, costs.leakage_w
        for step, found in zip(model.chip_steps, timing.segments, strict=True):
            lost = lost_cycles(chip, step.segment, found.frame).cycles.sum(axis=(0, 2)).astype(np.float64)
            counts = count_events(chip, step.segment, found.frame)
            joules += energy_of(chip, counts, costs, layer_cycles=lost).joules / found.frames
    return ChipFigures(
        chip=chip,
        cycles=timing.cycles,
        chip_s=timing.latency_s,
        busy_s=timing.latency_s / timing.frames,
        reload_s=n_bytes / chip.dram.bytes_per_s + timing.setup_cycles / chip.clock_hz,
        joules=joules,
        idle_w=idle_w,
    )
