"""Latency mode: every layer split over the cores, which meet only in DRAM.

A layer is split by lines of its output, or, where maps are too small to give every core full tiles, by columns of the
product (output channels). Each core keeps every map at the same address and fills in the part it computes; what it
needs of another core's part goes through DRAM: that core's STORE, this core's LOAD, which waits for the peer's count.

Even cores work from the top of their lines down, odd ones from the bottom up. So the lines next to a neighbour are done
first by one of the two and needed last by the other, and the transfer hides behind the lines in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from chanzi.chip.chip import Chip
from chanzi.compiler.fuse import is_depthwise
from chanzi.compiler.ir import Job, Layout, Node, Operand, Part, Ref, Unit
from chanzi.compiler.tile import Tiler, dram_key
from chanzi.graph.ops import Conv, Graph
from chanzi.isa.cycles import busy_cycles
from chanzi.isa.fields import Engine
from chanzi.isa.instruction import Load, Store

STRIPES = 3
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines of a leaf that one core computed; `channels` are bytes of a pixel, None for all."""

    core: int
    lines: Range
    channels: Range | None = None


@dataclass(slots=True)
class SplitJob:
    """A job of one core; a load of another core's data names the store it waits for."""

    core: int
    job: Job
    after: "SplitJob | None" = None


@dataclass(slots=True)
class Split:
    """The jobs of all cores in one order, the DRAM blocks of transfers, and who made what."""

    jobs: list[SplitJob] = field(default_factory=list)
    blocks: dict[str, int] = field(default_factory=dict)
    pieces: dict[str, list[Piece]] = field(default_factory=dict)
    present: dict[tuple[int, str], list[Range]] = field(default_factory=dict)


def _shares(total: int, cores: int) -> list[Range]:
    return [(total * c // cores, total * (c + 1) // cores) for c in range(cores)]


def _missing(wanted: Range, present: Sequence[Range]) -> list[Range]:
    """Return the parts of `wanted` that no range of `present` covers."""
    left = [wanted]
    for low, high in present:
        left = [piece for a, b in left for piece in ((a, min(b, low)), (max(a, high), b)) if piece[0] < piece[1]]
    return left


def by_columns(part: Part, chip: Chip, x_bytes: int, y_bytes: int) -> bool:
    """Tell whether splitting a product's columns ends sooner than splitting its lines.

    Columns need the whole operand on every core and leave every core a part of every pixel: both maps go over the bus
    once for each core.
    """
    D, cores = chip.core.dim, chip.cores
    t = part.template
    n = t["b_count"]
    k = t["a_run"] * t["a_taps_y"] * t["a_taps_x"]
    atoms = -(-n // chip.core.atom_bytes)
    widest = -(-atoms // cores) * chip.core.atom_bytes
    tall = -(-part.height // cores)
    tile = max(k, D)
    columnwise = -(-part.height * part.width // D) * -(-widest // D) * tile
    linewise = -(-tall * part.width // D) * -(-n // D) * tile
    bus = (x_bytes + y_bytes) * cores / chip.dram_bytes_per_cycle
    return columnwise + bus < linewise


class Splitter:
    """Splits node after node."""

    def __init__(self, chip: Chip, graph: Graph, layout: Layout, tiler: Tiler) -> None:
        self.chip = chip
        self.layout = layout
        self.tiler = tiler
        self.out = Split()
        self.shapes = {node.y.name: node.y.shape for node in layout.nodes}
        self.given = {t.name for t in graph.inputs} | {op.y.name for op in layout.constants}

    # ---- transfers ----

    def _add(self, core: int, job: Job, after: SplitJob | None = None) -> SplitJob:
        item = SplitJob(core, job, after)
        self.out.jobs.append(item)
        return item

    def _job(self, engine: Engine, layer: int, ins: object, refs: tuple[Ref, ...]) -> Job:
        return Job(engine=engine, layer=layer, ins=ins, refs=refs, cycles=busy_cycles(self.chip, ins))

    def need(self, core: int, leaf: str, lines: Range, layer: int) -> None:
        """Bring lines of a leaf into `core`'s scratchpad where they are not there yet."""
        key = (core, leaf)
        present = self.out.present.setdefault(key, [])
        for low, high in _missing(lines, present):
            if leaf in self.given:
                self._bring(core, leaf, (low, high), layer)
            else:
                for piece in self.out.pieces[leaf]:
                    a, b = max(low, piece.lines[0]), min(high, piece.lines[1])
                    if piece.core != core and a < b:
                        self._transfer(core, leaf, Piece(piece.core, (a, b), piece.channels), layer)
            present.append((low, high))

    def _bring(self, core: int, leaf: str, lines: Range, layer: int) -> None:
        """Load lines of a graph input or constant, which lies in DRAM as its storage does."""
        storage = self.layout.views[leaf].storage
        at = lines[0] * storage.line_bytes
        n_bytes = (lines[1] - lines[0]) * storage.line_bytes
        ins = Load(layer=layer, run=n_bytes, count1=1, count2=1)
        refs = (Ref("base", storage.key, at), Ref("dram", dram_key(storage.key), at))
        self._add(core, self._job(Engine.LOAD, layer, ins, refs))

    def _transfer(self, core: int, leaf: str, piece: Piece, layer: int) -> None:
        view = self.layout.views[leaf]
        storage = view.storage
        width = self.shapes[leaf][1]
        low, high = view.covering(self.chip.core.atom_bytes)
        if piece.channels is not None:
            low, high = int(view.channels[0]) + piece.channels[0], int(view.channels[0]) + piece.channels[1]
        first, last = piece.lines
        n, run = last - first, high - low
        start = (view.y0 + first) * storage.line_bytes + view.x0 * storage.pixel_bytes + low
        if run == storage.pixel_bytes and width == storage.width:
            shape = {"run": n * storage.line_bytes, "count1": 1, "count2": 1}
        else:
            shape = {
                "run": run,
                "count1": width,
                "count2": n,
                "dram_step1": run,
                "dram_step2": run * width,
                "base_step1": storage.pixel_bytes,
                "base_step2": storage.line_bytes,
            }
        block = f"dram:\0{leaf}:{piece.core}:{first}:{last}:{low}"
        stored = next((j for j in self.out.jobs if j.core == piece.core and _stores(j.job, block)), None)
        refs = (Ref("base", storage.key, start), Ref("dram", block, 0))
        if stored is None:
            self.out.blocks[block] = n * width * run
            stored = self._add(piece.core, self._job(Engine.STORE, layer, Store(layer=layer, **shape), refs))
        self._add(core, self._job(Engine.LOAD, layer, Load(layer=layer, **shape), refs), stored)

    # ---- nodes ----

    def _needs(self, core: int, part: Part, y0: int, y1: int, layer: int) -> None:
        for operand in part.operands:
            if operand.tensor:
                low, end = self.tiler._lines(operand, y0, y1)
                self._operand(core, operand, (low, end), layer)

    def _operand(self, core: int, operand: Operand, lines: Range, layer: int) -> None:
        if operand.tensor in self.layout.stem:
            self.need(core, operand.tensor, lines, layer)
            return
        base = self.layout.views[operand.tensor].y0
        for source in self.layout.sources[operand.tensor]:
            shift = operand.line0 - base + source.shift
            a, b = max(lines[0] + shift, 0), min(lines[1] + shift, source.height)
            if a < b:
                self.need(core, source.leaf, (a, b), layer)

    def node(self, index: int, layer: int, node: Node, parts: tuple[Part, ...]) -> None:
        """Append the jobs of one node on all cores."""
        leaf = node.y.name
        constants = [self.tiler._constants(part, f"{index}.{i}", layer, None)[1] for i, part in enumerate(parts)]
        shapes = {
            (p.height, p.width, p.output.y_scale, p.output.tensor, p.output.line0 // p.output.y_scale) for p in parts
        }
        dense = isinstance(node.op, Conv) and not is_depthwise(node.op) and len(parts) == 1
        if len(shapes) > 1 or parts[0].output.tensor != leaf or (parts[0].height < 2 and not dense):
            self._on_one(leaf, layer, parts, constants, index)
        elif dense and self._columns_are_better(node, parts[0]):
            self._columns(leaf, layer, parts[0], constants[0], index)
        else:
            self._lines(leaf, layer, parts, constants, index)

    def _columns_are_better(self, node: Node, part: Part) -> bool:
        if part.template["b_count"] != node.y.shape[2]:  # several pixels share a row
            return part.height < 2
        x = node.op.inputs[0].shape
        y = node.y.shape
        return part.height < 2 or by_columns(part, self.chip, x[0] * x[1] * x[2], y[0] * y[1] * y[2])

    def _unit(self, index: int, leaf: str) -> Unit:
        return Unit(node=index, leaf=leaf, done_lines=0, needs=())

    def _emit(self, core: int, unit: Unit) -> None:
        for job in unit.jobs:
            self._add(core, job)

    def _on_one(self, leaf: str, layer: int, parts: tuple[Part, ...], constants: list[list[Ref]], index: int) -> None:
        unit = self._unit(index, leaf)
        for i, part in enumerate(parts):
            self._needs(0, part, 0, part.height - 1, layer)
            self.tiler._emit(unit, part, (0, part.height * part.width), f"{index}.{i}@0", layer, None, constants[i])
        self._emit(0, unit)
        height = self.shapes[leaf][0]
        self.out.pieces[leaf] = [Piece(0, (0, height))]
        self.out.present[0, leaf] = [(0, height)]

    def _columns(self, leaf: str, layer: int, part: Part, constants: list[Ref], index: int) -> None:
        n, atom = part.template["b_count"], self.chip.core.atom_bytes
        pieces = []
        per_column = {c.address_field: c.per_column for c in part.constants}
        shares = [(a * atom, min(b * atom, n)) for a, b in _shares(-(-n // atom), self.chip.cores)]
        for core, (first, end) in enumerate(
            shares
        ):  # all transfers first: a store must not wait for its core's product
            if first < end:
                self._needs(core, part, 0, part.height - 1, layer)
        for core, (first, end) in enumerate(shares):
            if first >= end:
                continue
            mine = [Ref(r.field, r.buffer, r.offset + first * per_column[r.field]) for r in constants]
            unit = self._unit(index, leaf)
            pixels = (0, part.height * part.width)
            self.tiler._emit(unit, part, pixels, f"{index}@{core}", layer, (first, end), mine)
            self._emit(core, unit)
            pieces.append(Piece(core, (0, part.height), (first, end)))
        self.out.pieces[leaf] = pieces

    def _lines(self, leaf: str, layer: int, parts: tuple[Part, ...], constants: list[list[Ref]], index: int) -> None:
        part = parts[0]
        scale = part.output.y_scale
        height = self.shapes[leaf][0]
        stripes: list[list[Range]] = []
        self.out.pieces[leaf] = []
        for core, (a, b) in enumerate(_shares(part.height, self.chip.cores)):
            mine = self._stripes(part, a, b)
            stripes.append(mine[::-1] if core % 2 else mine)
            if a < b:
                lines = (a * scale, min(b * scale, height))
                self.out.pieces[leaf].append(Piece(core, lines))
                self.out.present[core, leaf] = [lines]
        for s in range(max(len(mine) for mine in stripes)):
            now = [(core, mine[s]) for core, mine in enumerate(stripes) if s < len(mine)]
            for core, (p0, p1) in now:
                for p in parts:
                    self._needs(core, p, p0 // p.width, (p1 - 1) // p.width, layer)
            for core, pixels in now:
                unit = self._unit(index, leaf)
                for i, p in enumerate(parts):
                    self.tiler._emit(unit, p, pixels, f"{index}.{i}@{core}.{s}", layer, None, constants[i])
                self._emit(core, unit)

    def _stripes(self, part: Part, a: int, b: int) -> list[Range]:
        """Return a core's pixels in stripes: whole lines for the vector unit, whole tiles for the array."""
        if a >= b:
            return []
        w = part.width
        if part.engine != Engine.ARRAY:
            step = -(-(b - a) // STRIPES)
            return [(y * w, min(y + step, b) * w) for y in range(a, b, step)]
        D = self.chip.core.dim
        tiles = -(-(b - a) * w // D)
        step = -(-tiles // min(STRIPES, tiles)) * D
        return [(p, min(p + step, b * w)) for p in range(a * w, b * w, step)]


def _stores(job: Job, block: str) -> bool:
    return job.engine == Engine.STORE and any(ref.buffer == block for ref in job.refs)
