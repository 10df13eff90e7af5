"""What a run amounts to: one row for each layer, totals, and everything else the tables and pages print.

Cycles of a layer are core-cycles: every cycle of every core in use belongs to exactly one layer and one cause, so that
the rows sum to ``cycles * cores_used`` exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

from chanzi.chip.chip import Chip
from chanzi.cost.bound import ATTACHMENT, Bound, LayerBound, decode
from chanzi.cost.lost import CAUSES, Lost, lost_cycles
from chanzi.isa.fields import Engine, Opcode, VecKind
from chanzi.program.model import ChipStep, CompiledModel
from chanzi.program.program import Compiled, Segment
from chanzi.program.trace import Timing

if TYPE_CHECKING:
    from chanzi.runtime.timing import ModelTiming

BOUND_GROUPS = {
    "array": ("useful", "padding", "edge"),
    "scratchpad": ("feed", "banks"),
    "vector": ("drain", "vector"),
    "DRAM": ("dram",),
    "latency": ("fill", "dispatch", "cores"),
}
"""What `LayerRow.bound_by` can say, with the causes it sums."""

_NESTED = ("layers", "segments", "host")


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

    `cycles` = core_cycles / cores used. `taken` is the time of the layer's busiest engine (a mean over cores), whether
    or not anyone waited for it, or `cycles` where that is longer: a layer that runs under another's work costs few
    cycles but takes its time. `utilization` = MACs done / MACs the arrays in use could do in `taken`.
    `bound_by` is 'array', 'scratchpad', 'vector', 'DRAM' or 'latency', whichever took the largest share. `bound_cycles`
    is the layer's own least time (None without a bound). `parameter_bytes` are its weights, each counted once. `busy`
    has the cycles its instructions kept each engine busy, over all cores; `near_bound` = bound_cycles / taken.
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
    parameter_bytes: int
    lost: dict[str, int]
    bound_cycles: float | None = None
    busy: dict[str, int] = field(default_factory=dict)
    near_bound: float | None = None
    taken: float = 0.0


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


def _bound_by(lost: dict[str, int], busy: dict[str, int]) -> str:
    """Return the group of causes that took the most; of a layer that cost nothing, its busiest engine."""
    shares = {group: sum(lost[cause] for cause in causes) for group, causes in BOUND_GROUPS.items()}
    if not any(shares.values()):
        shares = busy
    return max(shares, key=lambda group: shares[group])


def _layer_bound(bounds: Mapping[str, LayerBound], ops: Sequence[str], cores: int, frames: int) -> float | None:
    """Return the least cycles of the operators of one layer, None where none of them is known."""
    known = [bounds[op] for op in ops if op in bounds]
    if not known:
        return None
    array = sum(b.array_time for b in known if not b.either)
    vector = sum(b.vector for b in known if not b.either)
    free = sum(b.cycles for b in known if b.either)
    return max(max(array, vector, free) / cores, sum(b.dram for b in known)) * frames


def _parameter_bytes(segment: Segment) -> list[int]:
    """Return the bytes of weights that the instructions of each layer read, each counted once."""
    spans = [(b.base, b.base + b.n_bytes) for b in segment.buffers if b.kind == "weights" and b.core == 0]
    seen: set[tuple[int, ...]] = set()
    total = [0] * len(segment.layers)

    def count(layer: int, base: int, first: int, n_bytes: int) -> None:
        key = (layer, base, first, n_bytes)
        if key not in seen and layer < len(total) and any(low <= base < high for low, high in spans):
            seen.add(key)
            total[layer] += n_bytes

    for core in segment.cores:
        for ins in core.frame:
            if ins.opcode == Opcode.DOT:
                k = ins.a_run * ins.a_taps_y * ins.a_taps_x
                count(ins.layer, ins.a_base, ins.a_first, ins.a_count * k)
                count(ins.layer, ins.b_base, ins.b_first, ins.b_count * k)
            elif ins.opcode == Opcode.VEC and ins.kind == VecKind.MAC:
                count(ins.layer, ins.weight_base, 0, ins.taps_y * ins.taps_x * ins.channels)
    return total


def _rows(run: ChipRun, lost: Lost) -> tuple[LayerRow, ...]:
    segment, core = run.compiled.segment, run.compiled.chip.core
    used = max(len(lost.used), 1)
    bounds = {b.name: b for b in run.bound.layers} if run.bound is not None else {}
    timing, parameters = run.frame, _parameter_bytes(segment)
    rows = []
    for i, layer in enumerate(segment.layers):
        by_cause = lost.of_layer(i)
        core_cycles = sum(by_cause.values())
        mine = timing.layer == i
        length = (timing.busy_end - timing.busy_begin)[mine]
        engine = timing.engine[mine]
        busy = {
            "array": int(length[engine == Engine.ARRAY].sum()),
            "vector": int(length[engine == Engine.VECTOR].sum()),
            "DRAM": int(length[engine <= Engine.STORE].sum()),
        }
        least = _layer_bound(bounds, layer.ops, used, segment.frames)
        taken = max(core_cycles, *busy.values()) / used
        rows.append(
            LayerRow(
                segment=segment.name,
                name=layer.name,
                kind=layer.kind,
                shape=layer.shape,
                macs=layer.macs,
                core_cycles=core_cycles,
                cycles=core_cycles / used,
                utilization=layer.macs * segment.frames / (taken * used * core.macs_per_cycle) if taken else 0.0,
                bound_by=_bound_by(by_cause, busy),
                dram_bytes=int(timing.dram_bytes[mine].sum()),
                parameter_bytes=parameters[i],
                lost=by_cause,
                bound_cycles=least,
                near_bound=least / taken if least is not None and taken else None,
                taken=taken,
                busy=busy,
            )
        )
    return tuple(rows)


def _segment_total(run: ChipRun, lost: Lost) -> SegmentTotal:
    segment, bound = run.compiled.segment, run.bound
    codes = [code for core in segment.cores for code in (core.setup, core.frame)]
    return SegmentTotal(
        name=segment.name,
        frames=segment.frames,
        cores_used=max(len(lost.used), 1),
        cycles=run.frame.cycles,
        setup_cycles=run.setup.cycles if run.setup is not None else 0,
        macs=sum(layer.macs for layer in segment.layers),
        dram_bytes=int(run.frame.dram_bytes.sum()),
        setup_dram_bytes=int(run.setup.dram_bytes.sum()) if run.setup is not None else 0,
        image_bytes=len(segment.image),
        instructions=sum(len(code) for code in codes),
        lost=lost.totals(),
        bound_cycles=None if bound is None else bound.cycles,
        bound_by=None if bound is None else bound.engine,
    )


def steps_of(
    model: CompiledModel, timing: "ModelTiming", host_seconds: Mapping[str, float] | None = None
) -> list[ChipRun | HostStep]:
    """Return the steps of a compiled network, with the bounds it carries, as `summarize` takes them.

    Parameters
    ----------
    model : CompiledModel
    timing : ModelTiming
        As `chanzi.runtime.timing.time_model` or ``Session.timing()`` returns it.
    host_seconds : mapping of str to float, optional
        Measured time of host steps by name (``Session.host_seconds``).
    """
    bounds = decode(model.attachments.get(ATTACHMENT, b"{}"))
    timed = {segment.name: segment for segment in timing.segments}
    steps: list[ChipRun | HostStep] = []
    for step in model.steps:
        if isinstance(step, ChipStep):
            at = timed[step.name]
            run = ChipRun(compiled=model.compiled(step), frame=at.frame, setup=at.setup, bound=bounds.get(step.name))
            steps.append(run)
        else:
            spent = (host_seconds or {}).get(step.name)
            steps.append(HostStep(name=step.name, ops=step.ops, reason=step.reason, seconds=spent, macs=step.macs))
    return steps


def summarize(network: str, steps: Sequence[ChipRun | HostStep]) -> Summary:
    """Return the summary of `steps`, in the order in which they run.

    Raises
    ------
    ValueError
        There is no chip segment among them, or they are for different chips.
    """
    runs = [step for step in steps if isinstance(step, ChipRun)]
    host = tuple(step for step in steps if isinstance(step, HostStep))
    if not runs or any(run.compiled.chip != runs[0].compiled.chip for run in runs):
        raise ValueError("a summary needs one or more chip segments, all for the same chip")
    chip = runs[0].compiled.chip
    lost = [lost_cycles(chip, run.compiled.segment, run.frame) for run in runs]
    segments = tuple(_segment_total(run, x) for run, x in zip(runs, lost, strict=True))
    frames = segments[0].frames
    cycles, setup = sum(s.cycles for s in segments), sum(s.setup_cycles for s in segments)
    macs = sum(s.macs for s in segments)
    seconds = cycles / chip.clock_hz
    timed = [step.seconds for step in host if step.seconds is not None]
    bounds = [s.bound_cycles for s in segments if s.bound_cycles is not None]
    least = sum(bounds) if len(bounds) == len(segments) else None
    core_cycles = sum(s.cycles * s.cores_used for s in segments)
    return Summary(
        network=network,
        chip=chip,
        mode=runs[0].compiled.options.mode,
        frames=frames,
        layers=tuple(row for run, x in zip(runs, lost, strict=True) for row in _rows(run, x)),
        segments=segments,
        host=host,
        order=tuple(step.name if isinstance(step, HostStep) else step.compiled.segment.name for step in steps),
        cores_used=max(s.cores_used for s in segments),
        cycles=cycles,
        setup_cycles=setup,
        cold_cycles=cycles + setup,
        latency_s=seconds,
        cold_latency_s=(cycles + setup) / chip.clock_hz,
        frames_per_s=frames / seconds if seconds else 0.0,
        host_seconds=sum(timed) if timed else None,
        macs=macs,
        host_macs=sum(step.macs for step in host),
        tops=2e-12 * macs * frames / seconds if seconds else 0.0,
        tops_peak=chip.peak_tops,
        utilization=macs * frames / (core_cycles * chip.core.macs_per_cycle) if core_cycles else 0.0,
        dram_bytes=sum(s.dram_bytes for s in segments),
        setup_dram_bytes=sum(s.setup_dram_bytes for s in segments),
        bound_cycles=least,
        achieved=least / cycles if least is not None and cycles else None,
        lost={cause: sum(s.lost[cause] for s in segments) for cause in CAUSES},
    )


def to_dict(summary: Summary) -> dict[str, object]:
    """Return everything in the summary as plain values that JSON can hold."""
    plain = {f.name: getattr(summary, f.name) for f in fields(summary) if f.name not in ("chip", *_NESTED)}
    chip = summary.chip
    about = {
        "name": chip.name,
        "clock_hz": chip.clock_hz,
        "cores": chip.cores,
        "dim": chip.core.dim,
        "scratchpad_bytes": chip.core.scratchpad.bytes,
        "dram_bytes_per_s": chip.dram.bytes_per_s,
    }
    nested = {name: [asdict(item) for item in getattr(summary, name)] for name in _NESTED}
    return {"network": summary.network, "chip": about, **plain, "order": list(summary.order), **nested}
