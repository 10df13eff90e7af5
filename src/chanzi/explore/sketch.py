"""A network as the compiler lays it out for one shape of core, in arrays: what the fast model of timing walks over.

Fusion, layout and lowering are the compiler's own passes. They hang on few of a chip's figures (`Shape`), so a network
has few sketches, and everything else about a chip (clock, memory sizes, bus, cores) is tried on them in a millisecond.
Columns of the tables are named in `chanzi.explore.fields`; a node is what one instruction or several compute, a part
one instruction over the whole of its output.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Core, Scratchpad
from chanzi.compiler.band import band
from chanzi.compiler.channel_blocks import channel_blocks
from chanzi.compiler.emit import layer_of
from chanzi.compiler.fuse import fuse
from chanzi.compiler.ir import Layout, Node, Operand, Part, Storage
from chanzi.compiler.layout import plan_layout
from chanzi.compiler.lower import lower
from chanzi.explore import fields as f
from chanzi.graph.ops import Conv, Graph, Op, Tensor, macs
from chanzi.isa.fields import Engine, VecFlag

Ints = npt.NDArray[np.int64]

INPUT_STRIPES = 28
"""As `chanzi.compiler.boundary` cuts what goes over the edge of the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What of a core decides how a network is laid out for it."""

    dim: int
    port_bytes: int
    lanes: int

    @staticmethod
    def of(core: Core) -> "Shape":
        """Return the shape of a core."""
        return Shape(dim=core.dim, port_bytes=core.port_bytes, lanes=core.lanes)

    def core(self) -> Core:
        """Return a core of that shape, for the passes that ask no more of it."""
        pad = Scratchpad(bytes=4096 * self.port_bytes, banks=64)
        return Core(dim=self.dim, port_bytes=self.port_bytes, lanes=self.lanes, scratchpad=pad)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sketch:
    """Tables of one graph. `buffers` are bytes of each storage, `wanted` the multiply-accumulates of each layer."""

    nodes: Ints
    parts: Ints
    operands: Ints
    sources: Ints
    buffers: Ints
    wanted: Ints

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights and parameters that stay in a scratchpad between frames."""
        return int(self.parts[:, f.P_WEIGHT_BYTES].sum() + self.parts[:, f.P_PARAMETER_BYTES].sum())


class _Writer:
    """Fills the tables."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.nodes: list[list[int]] = []
        self.parts: list[list[int]] = []
        self.operands: list[list[int]] = []
        self.sources: list[list[int]] = []
        self.buffer_of: dict[str, int] = {}
        self.buffers: list[int] = []
        self.node_of: dict[str, int] = {}

    def buffer(self, storage: Storage) -> int:
        if storage.key not in self.buffer_of:
            self.buffer_of[storage.key] = len(self.buffers)
            self.buffers.append(storage.n_bytes)
        return self.buffer_of[storage.key]

    def edge(self, tensor: Tensor, storage: Storage, layer: int, stripes: int) -> None:
        """Append the loads of a constant or an input: whole lines of its storage."""
        row = [0] * f.NODE_FIELDS
        row[f.N_ENGINE], row[f.N_LINES], row[f.N_LAYER], row[f.N_SCALE] = int(Engine.LOAD), storage.height, layer, 1
        row[f.N_BUFFER], row[f.N_LINE], row[f.N_STRIPES] = self.buffer(storage), storage.line_bytes, stripes
        row[f.N_RUN], row[f.N_RUNS], row[f.N_WHOLE] = storage.line_bytes, 1, 1
        self.node_of[tensor.name] = len(self.nodes)
        self.nodes.append(row)

    def output(self, tensor: Tensor, layer: int, atom: int) -> None:
        """Append the stores of an output."""
        view = self.layout.views[tensor.name]
        storage = view.storage
        low, high = view.covering(atom)
        height, width, _ = tensor.shape
        whole_pixels = high - low == storage.pixel_bytes
        row = [0] * f.NODE_FIELDS
        row[f.N_ENGINE], row[f.N_LINES], row[f.N_LAYER], row[f.N_SCALE] = int(Engine.STORE), height, layer, 1
        row[f.N_BUFFER], row[f.N_LINE], row[f.N_STRIPES] = self.buffer(storage), storage.line_bytes, INPUT_STRIPES
        row[f.N_START] = view.y0 * storage.line_bytes + view.x0 * storage.pixel_bytes + low
        row[f.N_RUN], row[f.N_RUNS] = (width * (high - low), 1) if whole_pixels else (high - low, width)
        row[f.N_WHOLE] = int(whole_pixels and width == storage.width)
        row[f.N_OPERAND] = len(self.operands)
        operand = Operand(
            tensor=tensor.name,
            storage=storage,
            line0=view.y0,
            offset=0,
            height=height,
            y_step=1,
            reach=0,
            pad_y=0,
            address_field="",
        )
        self.operand(operand, f.WINDOW, stem=False)
        row[f.N_OPERANDS] = len(self.operands)
        self.nodes.append(row)

    def operand(self, o: Operand, role: int, *, stem: bool, columns: Sequence[int] = (0, 0, 0, 0)) -> None:
        """Append an operand; `columns` are (bytes of a line, x step, left pad, reach in x)."""
        first = len(self.sources)
        base = 0
        if o.tensor:
            base = 0 if stem else self.layout.views[o.tensor].y0
            for source in self.layout.sources[o.tensor]:
                self.sources.append([self.node_of[source.leaf], source.height, source.shift])
        row = [0] * f.OPERAND_FIELDS
        row[f.O_ROLE], row[f.O_BUFFER], row[f.O_LINE0], row[f.O_OFFSET] = (
            role,
            self.buffer(o.storage),
            o.line0,
            o.offset,
        )
        row[f.O_LINE_BYTES], row[f.O_HEIGHT], row[f.O_Y_STEP] = o.storage.line_bytes, o.height, o.y_step
        row[f.O_REACH], row[f.O_PAD_Y] = o.reach, o.pad_y
        row[f.O_WIDTH_BYTES], row[f.O_X_STEP], row[f.O_PAD_X], row[f.O_X_REACH] = columns
        row[f.O_NEEDED], row[f.O_BASE], row[f.O_STEM] = int(bool(o.tensor)), o.line0 - base, int(stem)
        row[f.O_PRODUCER] = self.node_of.get(o.tensor, -1)
        row[f.O_SOURCE], row[f.O_SOURCES] = first, len(self.sources)
        self.operands.append(row)

    def node(self, node: Node, parts: tuple[Part, ...], layer: int) -> None:
        """Append what an engine computes."""
        row = [0] * f.NODE_FIELDS
        row[f.N_ENGINE], row[f.N_LINES], row[f.N_LAYER] = int(parts[0].engine), node.y.shape[0], layer
        row[f.N_SCALE], row[f.N_PART] = parts[0].output.y_scale, len(self.parts)
        alike = {
            (p.height, p.width, p.output.y_scale, p.output.tensor, p.output.line0 // p.output.y_scale) for p in parts
        }
        row[f.N_UNIFORM] = int(len(alike) == 1)
        for part in parts:
            self.part(part)
        row[f.N_PARTS] = len(self.parts)
        self.node_of[node.y.name] = len(self.nodes)
        self.nodes.append(row)

    def part(self, part: Part) -> None:
        t, out = part.template, part.output
        row = [0] * f.PART_FIELDS
        array = part.engine == Engine.ARRAY
        row[f.P_ENGINE], row[f.P_HEIGHT], row[f.P_WIDTH] = int(part.engine), part.height, part.width
        row[f.P_COUNT] = t["b_count"] if array else t["channels"]
        row[f.P_FLAGS] = int(t["flags"])
        row[f.P_OUT], row[f.P_OUT_LINE], row[f.P_OUT_OFFSET] = self.buffer(out.storage), out.line0, out.offset
        row[f.P_OUT_LINE_BYTES], row[f.P_OUT_Y], row[f.P_OUT_X] = out.storage.line_bytes, t["out_y"], t["out_x"]
        row[f.P_SCALE] = out.y_scale
        for constant in part.constants:
            size = constant.data.size + -constant.data.size % 16
            weights = constant.bank == "weights"
            row[f.P_WEIGHT_BYTES if weights else f.P_PARAMETER_BYTES] += size
            row[f.P_COLUMN_BYTES if weights else f.P_COLUMN_PARAMETER_BYTES] += constant.per_column
        row[f.P_OPERAND] = len(self.operands)
        if array:
            row[f.P_TAPS_Y], row[f.P_TAPS_X], row[f.P_A_RUN] = t["a_taps_y"], t["a_taps_x"], t["a_run"]
            row[f.P_B_RUN], row[f.P_B_TAPS], row[f.P_RES_X] = (
                t["b_run"],
                t["b_taps_y"] * t["b_taps_x"],
                t.get("res_x", 0),
            )
        else:
            row[f.P_TAPS_Y], row[f.P_TAPS_X], row[f.P_KIND] = t["taps_y"], t["taps_x"], int(t["kind"])
            row[f.P_X_STEP], row[f.P_TAP_X], row[f.P_Y_STEP] = t["x_step"], t["tap_x_step"], t["y_step"]
            row[f.P_TAP_Y], row[f.P_PAD_X], row[f.P_WIDTH_BYTES] = t["tap_y_step"], t["pad_x"], t["width_bytes"]
            row[f.P_SECOND_Y], row[f.P_SECOND_X] = t.get("second_y", 0), t.get("second_x", 0)
            row[f.P_SCALAR] = int(bool(row[f.P_FLAGS] & VecFlag.SCALAR))
        for operand in part.operands:
            self._stream(operand, t, array=array)
        row[f.P_OPERANDS] = len(self.operands)
        self.parts.append(row)

    def _stream(self, operand: Operand, t: dict[str, int], *, array: bool) -> None:
        stem = operand.tensor in self.layout.stem
        field = operand.address_field
        if field in ("a_base", "b_base"):
            p = field[0]
            reach = (t[f"{p}_taps_x"] - 1) * t[f"{p}_tap_x_step"] + t[f"{p}_run"]
            columns = (t[f"{p}_width_bytes"], t[f"{p}_x_step"], t.get(f"{p}_pad_x", 0), reach)
            self.operand(operand, f.WINDOW if p == "a" else f.COLUMNS, stem=stem, columns=columns)
        elif field == "res_base":
            self.operand(operand, f.RESIDUAL, stem=stem)
        elif field == "second_base":
            self.operand(operand, f.SECOND, stem=stem)
        else:
            assert not array
            self.operand(operand, f.WINDOW, stem=stem, columns=(t["width_bytes"], 0, 0, 0))


def hollow(graph: Graph) -> Graph:
    """Return the graph with weights of zero that take no memory: sketches ask for their shapes only."""

    def without(op: Op) -> Op:
        if not isinstance(op, Conv):
            return op
        zero = np.asarray(op.weight_zero, op.weight.dtype)
        return replace(op, weight=np.broadcast_to(zero, op.weight.shape))

    return replace(graph, ops=tuple(without(op) for op in graph.ops))


def sketch(graph: Graph, shape: Shape) -> Sketch:
    """Return the tables of `graph`, best a hollow one, for a core of that shape, a frame on each core.

    Raises
    ------
    CompileError
        The graph holds something that no core runs.
    """
    core = shape.core()
    items = channel_blocks(graph, band(graph, fuse(graph), core), core)
    layout = plan_layout(graph, items, core.atom_bytes)
    layers = layer_of(layout)
    n_layers = max(layers, default=-1) + 1
    writer = _Writer(layout)
    for op in layout.constants:
        writer.edge(op.y, layout.views[op.y.name].storage, n_layers, 1)
    for tensor in graph.inputs:
        writer.edge(tensor, layout.views[tensor.name].storage, n_layers, INPUT_STRIPES)
    for node, layer in zip(layout.nodes, layers, strict=True):
        writer.node(node, lower(node, layout, core), layer)
    for tensor in graph.outputs:
        writer.output(tensor, n_layers + 1, core.atom_bytes)
    return Sketch(
        nodes=np.array(writer.nodes, np.int64).reshape(-1, f.NODE_FIELDS),
        parts=np.array(writer.parts, np.int64).reshape(-1, f.PART_FIELDS),
        operands=np.array(writer.operands, np.int64).reshape(-1, f.OPERAND_FIELDS),
        sources=np.array(writer.sources, np.int64).reshape(-1, f.SOURCE_FIELDS),
        buffers=np.array(writer.buffers, np.int64),
        wanted=_wanted(graph, layout, n_layers),
    )


def _wanted(graph: Graph, layout: Layout, n_layers: int) -> Ints:
    """Return the multiply-accumulates of each layer, as the program's table of layers has them."""
    made = {op.name: op for op in graph.ops}
    wanted = np.zeros(n_layers + 2, np.int64)
    for layer, node in zip(layer_of(layout), layout.nodes, strict=True):
        if not wanted[layer]:
            wanted[layer] = sum(macs(made[n]) for n in node.ops if n in made) if node.part_of else macs(node.op)
    return wanted
