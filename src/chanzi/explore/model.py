"""The fast model: cycles and events of a network on a chip in milliseconds, from its sketch.

It repeats what the compiler decides (stripes, order, addresses) and the timing rules, and leaves out what costs the
compiler its time: instructions, weights, waits. So it differs from a compiled program, simulated, by tenths of a
percent; `docs/results/explore.md` says by how much. Maps that do not fit the scratchpad are beyond it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.cost.events import Counts
from chanzi.explore import fields as f
from chanzi.explore.sketch import Ints, Sketch
from chanzi.isa.cycles import (
    epilogue_cycles,
    float_add_cycles,
    pace_q16,
    softmax_drain_cycles,
    vector_latency_cycles,
)

Plan = Literal["resident", "tight", "streamed"]
PLANS: tuple[Plan, ...] = ("resident", "tight", "streamed")
"""Weights stay in the scratchpad; they do, but memory decides the order; they come from DRAM with each frame."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A frame on each core of a chip: cycles, and what happened on all cores. `plan` is the tightest of its pieces'."""

    plan: Plan
    cycles: int
    frames: int
    counts: Counts
    instructions: int
    """Of the longest code of a core."""

    def seconds(self, chip: Chip) -> float:
        """Return how long it takes."""
        return self.cycles / chip.clock_hz


def figures(chip: Chip) -> Ints:
    """Return what the compiled loops ask of a chip."""
    core = chip.core
    found = np.zeros(f.CORE_FIELDS, np.int64)
    found[f.C_DIM], found[f.C_PORT], found[f.C_LANES] = core.dim, core.port_bytes, core.lanes
    found[f.C_TAPS], found[f.C_ROW] = core.taps_per_lane, core.row_lanes
    found[f.C_BANK], found[f.C_BANKS] = core.scratchpad.bank_bytes, core.scratchpad.banks
    found[f.C_BEAT], found[f.C_PACE] = chip.dram.beat_bytes, pace_q16(chip)
    found[f.C_LATENCY], found[f.C_SHARERS] = chip.dram_latency_cycles, chip.cores
    found[f.C_QUEUE], found[f.C_ISSUE] = core.queue_depth, core.issue_cycles
    found[f.C_EPILOGUE], found[f.C_VECTOR] = epilogue_cycles(core), vector_latency_cycles(core)
    found[f.C_ADD], found[f.C_SOFTMAX] = float_add_cycles(core), softmax_drain_cycles(core)
    return found


def overflow(sketches: Iterable[Sketch], chip: Chip) -> float:
    """Return the share by which the maps of one node need more than the scratchpad; 0 or less where they may fit."""
    pad = chip.core.scratchpad
    most = 0
    for s in sketches:
        banks = -(-s.buffers // pad.bank_bytes)
        used = np.zeros((len(s.nodes), len(s.buffers)), bool)
        for row, node in zip(used, s.nodes, strict=True):
            if node[f.N_ENGINE] <= f.STORE:
                row[node[f.N_BUFFER]] = True
                continue
            for p in s.parts[node[f.N_PART] : node[f.N_PARTS]]:
                row[p[f.P_OUT]] = True
                row[s.operands[p[f.P_OPERAND] : p[f.P_OPERANDS], f.O_BUFFER]] = True
        most = max(most, int((used @ banks).max(initial=0)))
    return most / pad.banks - 1


def run(sketches: Iterable[Sketch], chip: Chip) -> Run | None:
    """Return a frame on each core of `chip`, or None where maps do not fit its scratchpads.

    Parameters
    ----------
    sketches : iterable of Sketch
        Of each piece of the network that is on the chip, for the shape of the chip's core.
    chip : Chip
    """
    from chanzi.explore.kernels import load_kernels

    load_kernels()
    from chanzi.explore.walk import walk

    core = figures(chip)
    cycles = longest = tightest = 0
    total = np.zeros(f.EVENT_COUNT)
    for s in sketches:
        events = np.zeros(f.EVENT_COUNT)
        plan, took = walk(core, s.nodes, s.parts, s.operands, s.sources, s.buffers, s.wanted, events)
        if plan >= len(PLANS):
            return None
        cycles += int(took)
        longest = max(longest, int(events[f.E_INSTRUCTIONS]) + 1)
        tightest = max(tightest, int(plan))
        total += events
    counts = Counts(layers=chip.cores * total[None, :], cycles=cycles, cores_used=chip.cores)
    return Run(plan=PLANS[tightest], cycles=cycles, frames=chip.cores, counts=counts, instructions=longest)
