"""What a run amounts to: one row for each layer, totals, and everything else the tables and pages print.

Cycles of a layer are core-cycles: every cycle of every core in use belongs to exactly one layer and one cause, so that
the rows sum to ``cycles * cores_used`` exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chanzi.chip.chip import Chip
from chanzi.cost.bound import Bound
from chanzi.program.program import Compiled
from chanzi.program.trace import Timing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChipRun:
    """A segment that ran on the chip: its program, its timing, and (where the graph is known) its bound.

    `setup` is None where nothing is set up; `bound` is for the same cores, frames and residency as the program.
    """

    compiled: Compiled
    frame: Timing
    setup: Timing | None = None
    bound: Bound | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStep:
    """A piece that ran on the host.

    `reason` says why it is not on the chip; `seconds` is measured, None where nothing was run.
    """

    name: str
    ops: tuple[str, ...]
    reason: str = ""
    seconds: float | None = None
    macs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One layer. `lost` has a key for each of `chanzi.cost.lost.CAUSES` and sums to `core_cycles`.

    `cycles` = core_cycles / cores used. `utilization` = MACs done / MACs the arrays in use could do in that time.
    `bound_by` is 'array', 'scratchpad', 'vector', 'DRAM' or 'control', whichever took the largest share. `bound_cycles` is the layer's
    own least time (None without a bound).
    """

    segment: str
    name: str
    kind: str
    shape: tuple[int, int, int]
    macs: int
    core_cycles: int
    cycles: float
    utilization: float
    bound_by: str
    dram_bytes: int
    lost: dict[str, int]
    bound_cycles: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentTotal:
    """One segment: `cycles` of a run of `frames` frames with weights resident, `setup_cycles` once before."""

    name: str
    frames: int
    cores_used: int
    cycles: int
    setup_cycles: int
    macs: int
    dram_bytes: int
    setup_dram_bytes: int
    image_bytes: int
    instructions: int
    lost: dict[str, int]
    bound_cycles: float | None = None
    bound_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Summary:
    """A network on a chip. Rates and totals are of the chip alone; host time is listed apart in `host`."""

    network: str
    chip: Chip
    mode: str
    frames: int
    layers: tuple[LayerRow, ...]
    segments: tuple[SegmentTotal, ...]
    host: tuple[HostStep, ...]
    order: tuple[str, ...]
    """Names of segments and host steps as they run."""
    cores_used: int
    cycles: int
    """Of all segments, weights resident, for `frames` frames."""
    setup_cycles: int
    cold_cycles: int
    """The first run: setup and frame."""
    latency_s: float
    cold_latency_s: float
    frames_per_s: float
    host_seconds: float | None
    macs: int
    """Of one frame on the chip."""
    host_macs: int
    tops: float
    """Delivered: 2 MACs / second, weights resident."""
    tops_peak: float
    """Of the whole chip."""
    utilization: float
    """Of the arrays in use."""
    dram_bytes: int
    setup_dram_bytes: int
    bound_cycles: float | None
    achieved: float | None
    """bound_cycles / cycles: 1 would be the least time any program could take."""
    lost: dict[str, int]


def summarize(network: str, steps: Sequence[ChipRun | HostStep]) -> Summary:
    """Return the summary of `steps`, in the order in which they run.

    Raises
    ------
    ValueError
        There is no chip segment among them, or they are for different chips.
    """
    raise NotImplementedError
