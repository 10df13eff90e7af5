"""The least cycles any program could take, from layer shapes alone.

The bound knows the machine (array side D, port W, lanes, bus) and the graph, never the compiler. It asks what each
engine must do whatever the program looks like, and takes the engine that is busy longest; engines run at the same time
and nothing is ever assumed to wait. What it holds against any program:

Array. A tile is up to D rows times D columns of outputs and lasts as long as the union of the taps its rows need
(an operand byte passes all cells of its row or column, so all outputs of a column meet the same weight at once).

1. *Columns.* A column of a tile holds one filter for up to D pixels, so each filter needs `Window.cover` taps times
   channels, and D filters pass at once: P = 49 pixels cannot fill 96 rows.
2. *Rows.* A row holds one window for up to D filters. Fewer filters than D leave columns empty, unless neighbouring
   outputs share a row, each reading its part of a wider window: s of them need `Window.union` (s) instead of s·taps.
   That, and filters of other layers that read the same map, may fill what is left over; both are granted.
3. Padding is multiplied only where skipping it would cost more.
4. Depthwise convolutions and average pools may run in either engine; they are shared out so that both end together.

Scratchpad ports. Each row of a tile takes at least one W-byte word for every W bytes of its windows, on one port for
activations and one for weights.

Vector unit. Depthwise convolution and pooling: each output needs its taps, `taps_per_lane` a cycle; each word of the
map is read once for every vertical tap; one word of outputs is written a cycle. Elementwise operators: one word a
cycle, but nothing where they can ride on the drain of a convolution. Lookups, concatenations, slices and permutations
cost nothing.

DRAM. Inputs and outputs of the graph once each; weights, biases and scales where they are not resident, or do not all
fit into the scratchpads in use.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from chanzi.chip.chip import Chip, Core
from chanzi.cost.windows import Axis, Window
from chanzi.graph.ops import (
    Binary,
    Concat,
    Const,
    Conv,
    Graph,
    Lookup,
    MatMul,
    Op,
    Pad,
    Permute,
    Pool,
    Resize,
    Slice,
    Softmax,
    Tensor,
    macs,
)
from chanzi.isa.cycles import float_add_cycles
from chanzi.isa.legality import MAX_WEIGHT_TAPS
from chanzi.program.program import Compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBound:
    """Least engine time of one operator for one frame: cycles of one core (`dram`: of the chip's bus).

    `array` and `scratchpad` are two limits of the same engine: its time is the larger. Where `either` is true, the
    operator can run in the array *or* in the vector unit, and needs only one of the two times.
    """

    name: str
    kind: str
    macs: int
    array: float
    scratchpad: float
    vector: float
    dram: float
    either: bool = False

    @property
    def array_time(self) -> float:
        """Cycles of the array, whichever of cells and ports is slower."""
        return max(self.array, self.scratchpad)

    @property
    def cycles(self) -> float:
        """The least time of the operator alone."""
        a, v = self.array_time, self.vector
        engine = max(a, v) if not self.either else a * v / (a + v) if a + v else 0.0
        return max(engine, self.dram)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Least cycles of a run of `frames` frames on `cores` cores; no program can take fewer.

    `array`, `vector` and `dram` are the engines' times; the array's includes what its ports need.
    """

    layers: tuple[LayerBound, ...]
    cores: int
    frames: int
    resident: bool
    array: float
    vector: float
    dram: float

    @property
    def cycles(self) -> float:
        """The busiest engine's."""
        return max(self.array, self.vector, self.dram)

    @property
    def engine(self) -> str:
        """Name of the busiest engine."""
        return max((("array", self.array), ("vector", self.vector), ("DRAM", self.dram)), key=lambda e: e[1])[0]


ATTACHMENT = "bounds.json"
"""Name under which a compiled network carries the bounds of its segments."""


def encode(bounds: Mapping[str, Bound]) -> bytes:
    """Return segment name -> bound as JSON, to be kept with a program."""
    return json.dumps({name: asdict(b) for name, b in bounds.items()}, separators=(",", ":")).encode()


def decode(data: bytes | memoryview) -> dict[str, Bound]:
    """Return what `encode` was given; nothing where the bytes are not its work."""
    try:
        found: dict[str, dict[str, Any]] = json.loads(bytes(data))
        return {
            name: Bound(**(fields | {"layers": tuple(LayerBound(**layer) for layer in fields["layers"])}))
            for name, fields in found.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sharing:
    """What an operator could share with others: filters on the same input, pixels under the same weights."""

    columns: int
    rows: int
    fused: bool
    """An elementwise operator that can ride on a drain."""


def _roots(graph: Graph) -> dict[str, str]:
    """Return tensor -> the name that stands for all tensors holding the same bytes in other places."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while (up := parent.get(name, name)) != name:
            name = up
        return name

    for op in graph.ops:
        if isinstance(op, Concat | Slice | Permute | Pad):
            for x in op.inputs:
                parent[find(x.name)] = find(op.y.name)
    names = {t.name for op in graph.ops for t in (*op.inputs, op.y)}
    return {name: find(name) for name in names}


def _sharing(graph: Graph) -> dict[str, _Sharing]:
    roots = _roots(graph)
    columns: dict[str, int] = {}
    rows: dict[bytes, int] = {}
    weights: dict[str, bytes] = {}
    in_array: set[str] = set()
    for op in graph.ops:
        if isinstance(op, Conv):
            columns[roots[op.x.name]] = columns.get(roots[op.x.name], 0) + _filters(op)
            key = repr(op.weight.shape).encode() + op.weight.ravel()[:1024].tobytes()  # alike at first sight is enough
            weights[op.name] = key
            rows[key] = rows.get(key, 0) + op.y.shape[0] * op.y.shape[1]
        if isinstance(op, MatMul) or (isinstance(op, Conv) and not _depthwise(op)):
            in_array.add(roots[op.y.name])
    found = {}
    for op in graph.ops:
        n, m = op.y.shape[2], op.y.shape[0] * op.y.shape[1]
        if isinstance(op, Conv):
            n, m = columns[roots[op.x.name]], rows[weights[op.name]]
        fused = isinstance(op, Binary) and any(roots[t.name] in in_array for t in op.inputs)
        found[op.name] = _Sharing(columns=n, rows=m, fused=fused)
    return found


def _filters(op: Conv) -> int:
    """Return the outputs that one input element of a pixel can reach through one tap."""
    phases = op.weight.shape[1] * op.weight.shape[2] if op.transposed else 1
    return op.weight.shape[0] // op.groups * phases


def _depthwise(op: Conv) -> bool:
    """Tell whether the vector unit could compute it: its lanes hold so many weights and no more."""
    taps = op.weight.shape[1] * op.weight.shape[2]
    return op.groups > 1 and op.weight.shape[3] == 1 and taps <= MAX_WEIGHT_TAPS


def _window(op: Conv | Pool) -> Window:
    kernel = op.weight.shape[1:3] if isinstance(op, Conv) else op.kernel
    axes = [
        Axis(
            size=op.x.shape[i],
            out=op.y.shape[i],
            kernel=kernel[i],
            stride=op.strides[i],
            dilation=op.dilations[i],
            pad=op.pads[i],
        )
        for i in range(2)
    ]
    return Window(y=axes[0], x=axes[1])


def _shared_rows(window: Window, filters: int, dim: int, rows: int) -> Iterator[tuple[int, int, int]]:
    """Yield (elements of the shared window, columns, rows) where s >= 2 outputs share a row of a tile."""
    for s in range(2, max(-(-dim // filters), 2) + 1):
        yield window.union(s), min(dim, filters * s), min(dim, -(-rows // s))


def _conv_array(op: Conv, core: Core, share: _Sharing) -> float:
    """Least cycles of an ungrouped convolution in the array's cells."""
    D, window = core.dim, _window(op)
    filters, channels = op.weight.shape[0], op.weight.shape[3]
    alone = share.columns <= filters
    many_rows = share.rows > window.outputs
    columns = window.products() / D if many_rows else window.cover(D)
    best = max(m * n * window.taps / e for e, n, m in _shared_rows(window, share.columns, D, share.rows))
    rows = 0.0
    for count, price, inside in window.prices(D):
        price = inside / D if many_rows else price
        packed = inside / best
        if alone:
            full, rest = divmod(filters, D)
            cost = min(full * price + min(price, rest * packed) if rest else full * price, filters * packed)
        else:
            cost = filters * min(price / min(D, share.columns), packed)
        rows += count * cost
    return channels * max(columns * filters / D, rows)


def _grouped_array(outputs: int, inside: float, window: Window, core: Core, filters: int) -> float:
    """Least cycles in the cells of `inside` products in groups of `filters` filters, `outputs` pixels each."""
    D = core.dim
    best = max(min(D, filters), *(n * window.taps / e for e, n, _ in _shared_rows(window, filters, D, outputs)))
    return inside / (D * min(D, outputs, best))


def _ports(op: Conv | Pool, core: Core, filters: int, channels: int, groups: int, rows: int) -> float:
    """Least cycles of the two ports, words at best full; `filters` and `channels` of one group."""
    D, W, window = core.dim, core.port_bytes, _window(op)
    all_filters = op.y.shape[2]
    share = window.products() / (window.outputs * window.taps)
    pixel_words = min(1.0, op.x.shape[2] / W)
    least = math.inf
    for g in range(1, min(groups, max(D // filters, 1)) + 1):
        cases = [(window.taps, min(D, filters * g), 0), *_shared_rows(window, filters * g, D, rows)]
        for elements, n, _ in cases:
            words = max(1.0, share * elements * max(g * channels / W, pixel_words if groups > 1 else 0.0))
            least = min(least, words / n)
    activations = window.outputs * all_filters * least
    weight_words = max(1.0, share * window.taps * channels / W)
    weights = all_filters * window.outputs / min(D, rows) * weight_words
    return max(activations, weights)


def _vector_window(op: Conv | Pool, core: Core, parameters: int) -> float:
    """Least cycles of depthwise convolution or pooling in the vector unit."""
    window = _window(op)
    along = max(window.x.products() / core.taps_per_lane, window.x.touched())
    outputs = window.outputs
    blocks = op.y.shape[2] / core.lanes
    return blocks * (max(window.y.products() * along, outputs) + parameters)


def _conv(op: Conv, core: Core, share: _Sharing) -> tuple[float, float, float, bool]:
    filters, channels = op.weight.shape[0] // op.groups, op.weight.shape[3]
    if op.transposed:
        axes = [
            Axis(size=op.y.shape[i], out=op.x.shape[i], kernel=op.weight.shape[i + 1], stride=op.strides[i],
                 dilation=op.dilations[i], pad=op.pads[i])
            for i in range(2)
        ]  # fmt: skip
        products = axes[0].products() * axes[1].products() * filters * channels * op.groups
        pixels = max(op.x.shape[0] * op.x.shape[1], share.rows)
        busy = products / (core.dim * min(core.dim, pixels, share.columns))
        return busy, math.prod(op.y.shape) / core.dim, 0.0, False  # at the least, each output leaves the array
    if op.groups == 1:
        ports = _ports(op, core, share.columns, channels, 1, share.rows)
        return _conv_array(op, core, share), ports, 0.0, False
    window = _window(op)
    inside = window.products() * channels * op.weight.shape[0]
    siblings = filters + share.columns - _filters(op)
    busy = _grouped_array(share.rows, inside, window, core, siblings)
    ports = _ports(op, core, siblings, channels, op.groups, share.rows)
    if not _depthwise(op):
        return busy, ports, 0.0, False
    parameters = window.taps + 2 * 4 * core.lanes / core.port_bytes
    return busy, ports, _vector_window(op, core, int(parameters)), True


def _pool(op: Pool, core: Core) -> tuple[float, float, float, bool]:
    window = _window(op)
    vector = _vector_window(op, core, 0)
    if op.kind == "max":
        return 0.0, 0.0, vector, False
    busy = _grouped_array(window.outputs, window.products() * op.y.shape[2], window, core, 1)
    return busy, _ports(op, core, 1, 1, op.y.shape[2], window.outputs), vector, True


def _matmul(op: MatMul, core: Core) -> tuple[float, float, float, bool]:
    D, W = core.dim, core.port_bytes
    batch, m, k = op.a.shape
    n = op.y.shape[2]
    if batch == 1:
        tiles = max(m * -(-n // D), n * -(-m // D)) / D
        busy = tiles * k
    else:
        busy = batch * m * n * k / (D * min(D, m, n))
    words = -(-k // W)
    ports = batch * max(m * n / min(n, D), n * m / min(m, D)) * words
    return busy, ports, 0.0, False


def _engines(op: Op, core: Core, share: _Sharing) -> tuple[float, float, float, bool]:
    """Return (array, scratchpad, vector cycles; whether either engine will do)."""
    words = math.prod(op.y.shape) / core.lanes
    match op:
        case Conv():
            return _conv(op, core, share)
        case MatMul():
            return _matmul(op, core)
        case Pool():
            return _pool(op, core)
        case Binary():
            return 0.0, 0.0, 0.0 if share.fused else words, False
        case Resize():
            return words * core.lanes / core.dim, 0.0, words, True
        case Softmax():
            return 0.0, 0.0, (float_add_cycles(core) + 1) * math.prod(op.y.shape), False
        case _:
            return 0.0, 0.0, 0.0, False


def _parameter_bytes(op: Op) -> int:
    match op:
        case Conv():
            bias = 0 if op.bias is None else 4 * len(op.bias)
            scales = 4 * op.weight.shape[0] if len(np.unique(op.weight_scale)) > 1 else 0
            return op.weight.size + bias + scales
        case Const():
            return op.value.size
        case _:
            return 0


def _kind(op: Op) -> str:
    match op:
        case Conv():
            return "depthwise" if _depthwise(op) else "convtranspose" if op.transposed else "conv"
        case Pool() | Binary() | Lookup() | Resize():
            return f"{type(op).__name__.lower()} {op.kind}"
        case _:
            return type(op).__name__.lower()


def _balance(layers: list[LayerBound]) -> tuple[float, float]:
    """Return the least (array, vector) times whose larger is smallest, with free operators shared out."""
    array = sum(b.array_time for b in layers if not b.either)
    vector = sum(b.vector for b in layers)
    free = [b for b in layers if b.either and b.vector > 0]
    for b in sorted(free, key=lambda b: b.array_time / b.vector):
        if vector <= array:
            break
        share = min(1.0, (vector - array) / (b.vector + b.array_time))
        array += share * b.array_time
        vector -= share * b.vector
    return array, vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Least:
    """What a graph asks of a core at the least, whatever the bus: `array` and `vector` cycles of one frame.

    `ends_bytes` go over the edge of the network, `parameter_bytes` by operator are weights, biases and scales.
    """

    layers: tuple[LayerBound, ...]
    array: float
    vector: float
    ends_bytes: int
    parameter_bytes: dict[str, int]

    def dram_bytes(self, chip: Chip, *, cores: int, frames: int, resident: bool) -> float:
        """Return the bytes that `frames` frames on `cores` cores of `chip` move at the least (see `bound`)."""
        stored = (cores if frames > 1 else 1) * sum(self.parameter_bytes.values())
        loaded = max(stored - cores * chip.core.scratchpad.bytes, 0) if resident else stored
        return float(self.ends_bytes * frames + loaded)


def least(core: Core, graph: Graph) -> Least:
    """Return the least that `graph` asks of a core."""
    sharing = _sharing(graph)
    ends = {t.name: _bytes(t) for t in (*graph.inputs, *graph.outputs)}
    layers = []
    for op in graph.ops:
        array, ports, vector, either = _engines(op, core, sharing[op.name])
        layers.append(
            LayerBound(
                name=op.name,
                kind=_kind(op),
                macs=macs(op),
                array=array,
                scratchpad=ports,
                vector=vector,
                dram=0.0,
                either=either,
            )
        )
    array_total, vector_total = _balance(layers)
    return Least(
        layers=tuple(layers),
        array=array_total,
        vector=vector_total,
        ends_bytes=sum(ends.values()),
        parameter_bytes={op.name: _parameter_bytes(op) for op in graph.ops},
    )


def bound(chip: Chip, graph: Graph, *, cores: int = 1, frames: int = 1, resident: bool = True) -> Bound:
    """Return the least cycles in which `cores` cores of `chip` can run `frames` frames of `graph`.

    Parameters
    ----------
    chip : Chip
    graph : Graph
    cores : int
        Cores that share the work.
    frames : int
        1: the cores share one frame. As many as `cores`: each has a frame of its own, as in throughput mode; no two
        frames meet in one array.
    resident : bool
        Weights are in the scratchpads before the run, as far as they fit; False: a cold run that loads them all.
    """
    per_cycle = chip.dram_bytes_per_cycle
    found = least(chip.core, graph)
    layers = found.layers
    if not resident:
        layers = tuple(replace(b, dram=found.parameter_bytes[b.name] / per_cycle) for b in layers)
    return Bound(
        layers=layers,
        cores=cores,
        frames=frames,
        resident=resident,
        array=found.array * frames / cores,
        vector=found.vector * frames / cores,
        dram=found.dram_bytes(chip, cores=cores, frames=frames, resident=resident) / per_cycle,
    )


def bound_of(compiled: Compiled, graph: Graph) -> Bound:
    """Return the bound of `graph` for the cores, frames and residency of the program it was compiled to."""
    segment = compiled.segment
    used = sum(1 for core in segment.cores if len(core.frame) > 1)
    return bound(compiled.chip, graph, cores=max(used, 1), frames=segment.frames, resident=compiled.options.resident)


def _bytes(tensor: Tensor) -> int:
    return math.prod(tensor.shape)
