"""The compiler, to be read as prose: a graph goes in, a program for one chip comes out.

Memory decides how a network is tiled, so the plans are tried from the best downwards: everything on the chip; weights
streamed from DRAM; then map after map moved to DRAM until the rest fits.
"""

import dataclasses
from pathlib import Path

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.compiler import boundary, dump
from chanzi.compiler.band import band
from chanzi.compiler.fuse import fuse
from chanzi.compiler.ir import Job, Layout, Part, Unit
from chanzi.compiler.layout import plan_layout
from chanzi.compiler.lower import kind_of, lower
from chanzi.compiler.overlap import overlap, place_by_node
from chanzi.compiler.place import Placed, lifetimes, peak, place
from chanzi.compiler.schedule import in_order, issue, pipelined
from chanzi.compiler.sync import synchronise
from chanzi.compiler.tile import BANKS, IMAGE, Residency, Tiled, Tiler, dram_key
from chanzi.errors import CompileError
from chanzi.graph.ops import Graph, macs
from chanzi.isa.instruction import Halt, Instruction, Load
from chanzi.program.program import Buffer, Compiled, CoreCode, Layer, Options, Port, Segment

PAGE = 4096
STRIPE_CYCLES = (450, 900, 1800)
"""Lengths of stripe to try: short ones overlap more, long ones cost less."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """One way to run the network that fits."""

    tiled: Tiled
    jobs: list[Job]
    placed: Placed
    inputs: tuple[boundary.Boundary, ...]
    outputs: tuple[boundary.Boundary, ...]
    blocks: dict[str, int]
    resident: bool
    cycles: int = 0


def compile_graph(
    graph: Graph, chip: Chip, options: Options | None = None, *, dump_dir: Path | None = None
) -> Compiled:
    """Compile `graph` for `chip`.

    Raises
    ------
    CompileError
        The network cannot be made to fit; names what is too large.
    """
    options = options or Options()
    write = dump.writer(dump_dir)
    write("0-graph", lambda: dump.graph_text(graph))
    items = band(graph, fuse(graph), chip.core)
    write("1-fused", lambda: dump.items_text(items))
    layout = plan_layout(graph, items, chip.core.atom_bytes)
    write("2-layout", lambda: dump.layout_text(layout))
    parts = [lower(node, layout, chip.core) for node in layout.nodes]
    write("3-parts", lambda: dump.parts_text(layout, parts))
    plan = _plan(graph, layout, parts, chip, options)
    write("4-jobs", lambda: dump.jobs_text(plan.jobs, plan.placed))
    compiled = _emit(graph, layout, plan, chip, options)
    write("5-program", lambda: dump.program_text(compiled))
    return compiled


def _plan(graph: Graph, layout: Layout, parts: list[tuple[Part, ...]], chip: Chip, options: Options) -> _Plan:
    """Return the first plan that fits, from the fastest to the most frugal."""
    if options.resident:
        plans = []
        for stripe_cycles in STRIPE_CYCLES:
            plan = _attempt(graph, layout, parts, chip, Residency(stripe_cycles=stripe_cycles), options.pipeline)
            if isinstance(plan, _Plan):
                plans.append(plan)
                if not plan.cycles:  # too tight to schedule with addresses known: stripes make no difference
                    break
        if plans:
            return min(plans, key=lambda plan: plan.cycles)
    dram: set[str] = set()
    for _ in range(2 * len(layout.nodes) + 8):
        for share in (4, 8, 16):
            budget = chip.core.scratchpad.bytes // share
            residency = Residency(dram=frozenset(dram), resident=False, staging_bytes=budget, stripe_cycles=16000)
            plan = _attempt(graph, layout, parts, chip, residency, options.pipeline and not dram)
            if isinstance(plan, _Plan):
                return plan
        largest = _largest(plan, layout, dram)
        if largest is None:
            break
        dram.add(largest)
    raise CompileError(
        f"'{graph.name}' does not fit {chip.name}: its scratchpad of {chip.core.scratchpad.bytes} bytes in "
        f"{chip.core.scratchpad.banks} banks cannot hold the buffers of one layer",
        hint="use a chip with a larger scratchpad or more banks",
    )


def _largest(alive: list[tuple[str, int]], layout: Layout, dram: set[str]) -> str | None:
    """Return the largest map of those alive at the peak that is not in DRAM yet."""
    storages = {view.storage.key for view in layout.views.values()}
    mine = [(size, name) for name, size in alive if name in storages and name not in dram]
    return max(mine)[1] if mine else None


def _attempt(
    graph: Graph,
    layout: Layout,
    parts: list[tuple[Part, ...]],
    chip: Chip,
    residency: Residency,
    pipeline: bool,
) -> "_Plan | list[tuple[str, int]]":
    """Return a plan, or the buffers alive at the peak with their sizes where it does not fit."""
    tiler = Tiler(chip, layout, residency)
    layer_of = _layer_of(layout)
    for index, (node, node_parts) in enumerate(zip(layout.nodes, parts, strict=True)):
        tiler.node(index, layer_of[index], node.y.name, node.y.shape[0], node_parts)
    tiled = tiler.out
    n = max(layer_of, default=-1) + 1
    before: list[list[Unit]] = []
    inputs = tuple(boundary.input_boundary(t, layout) for t in graph.inputs)
    blocks = {b.key: b.n_bytes for b in inputs}
    constants: dict[str, int] = {}
    for op in layout.constants:
        offset = boundary.constant_source(op, layout, tiled.image)
        storage = layout.views[op.y.name].storage
        constants[dram_key(storage.key)] = offset
        if storage.key not in residency.dram:
            tiled.sizes[storage.key], tiled.kinds[storage.key] = storage.n_bytes, "weights"
            before.append(boundary.load_units(n, op.y, storage, IMAGE, offset, chip, stripes=1))
    for t in graph.inputs:
        storage = layout.views[t.name].storage
        if storage.key not in residency.dram:
            tiled.sizes[storage.key], tiled.kinds[storage.key] = storage.n_bytes, "activations"
            before.append(boundary.load_units(n, t, storage, dram_key(storage.key), 0, chip))
    after: list[list[Unit]] = []
    outputs = []
    for t in graph.outputs:
        storage = layout.views[t.name].storage
        if storage.key in residency.dram:
            outputs.append(boundary.spilled_boundary(t, layout))
        else:
            units, bound = boundary.store_units(n + 1, t, layout, chip)
            after.append(units)
            outputs.append(bound)
            blocks[bound.key] = bound.n_bytes
    for key in residency.dram - {key.removeprefix("dram:") for key in (*blocks, *constants)}:
        storage = next(v.storage for v in layout.views.values() if v.storage.key == key)
        blocks[dram_key(key)] = storage.n_bytes + storage.line_bytes  # a port may view it from any pixel on
    progress_free = _without_dram_needs(tiled.units, graph, layout, residency)
    chosen = [*before, *progress_free, *after]
    for bank in BANKS:
        if tiled.resident_bytes[bank]:
            tiled.sizes[bank], tiled.kinds[bank] = tiled.resident_bytes[bank], "weights"
    pinned = BANKS if residency.resident else ()
    if pipeline and residency.resident:
        ahead_of_time = place_by_node(chosen, tiled.sizes, chip.core, pinned)
        if ahead_of_time is not None:
            order, end = overlap(chosen, chip, ahead_of_time)
            jobs = issue(order, 0)
            return _Plan(
                tiled=tiled,
                jobs=jobs,
                placed=Placed(ahead_of_time.address, lifetimes(jobs, pinned)),
                inputs=inputs,
                outputs=tuple(outputs),
                blocks={**blocks, **{k: -1 - v for k, v in constants.items()}},
                resident=True,
                cycles=end,
            )
    order = pipelined(chosen, chip) if pipeline else in_order(chosen)
    jobs = []
    for ahead, slack in ((8, 64), (4, 8), (2, 0), (1, 0), (0, 0)):
        jobs = issue(order, ahead)
        placed = place(jobs, tiled.sizes, chip.core, pinned, slack)
        if placed is not None:
            return _Plan(
                tiled=tiled,
                jobs=jobs,
                placed=placed,
                inputs=inputs,
                outputs=tuple(outputs),
                blocks={**blocks, **{k: -1 - v for k, v in constants.items()}},
                resident=residency.resident,
            )
    _, alive = peak(jobs, tiled.sizes, chip.core, pinned)
    return [(name, tiled.sizes[name]) for name in alive]


def _without_dram_needs(
    units: list[list[Unit]], graph: Graph, layout: Layout, residency: Residency
) -> list[list[Unit]]:
    """Drop needs on inputs and constants that are read from DRAM: they are there from the start."""
    sources = {t.name for t in graph.inputs} | {op.y.name for op in layout.constants}
    there = {name for name in sources if layout.views[name].storage.key in residency.dram}
    if there:
        for node in units:
            for unit in node:
                unit.needs = tuple(need for need in unit.needs if need[0] not in there)
    return units


def _dram_map(plan: _Plan, frames: int) -> tuple[list[dict[str, int]], np.ndarray, dict[str, int], int]:
    """Return (addresses of each frame's blocks, the image, offsets of resident banks, bytes in all)."""
    image = plan.tiled.image
    banks = {
        bank: image.add(np.concatenate(plan.tiled.resident[bank])) for bank in BANKS if plan.tiled.resident_bytes[bank]
    }
    at = -(-max(image.n_bytes, 1) // PAGE) * PAGE
    addresses: list[dict[str, int]] = []
    for _ in range(frames):
        mine = {IMAGE: 0}
        for key, n_bytes in plan.blocks.items():
            if n_bytes < 0:  # a constant: lies in the image
                mine[key] = -1 - n_bytes
                continue
            mine[key] = at
            at += -(-n_bytes // PAGE) * PAGE
        addresses.append(mine)
    return addresses, image.array(), banks, at


def _instructions(jobs: list[Job], placed: Placed, dram: dict[str, int]) -> list[Instruction]:
    out = []
    for job in jobs:
        address = {
            ref.field: ref.offset + (dram[ref.buffer] if ref.buffer in dram else placed.address[ref.buffer])
            for ref in job.refs
        }
        out.append(dataclasses.replace(job.ins, **address))
    return out


def _setup(plan: _Plan, banks: dict[str, int], chip: Chip) -> list[Instruction]:
    if not plan.resident:
        return []
    return [
        Load(
            base=plan.placed.address[bank],
            dram=offset,
            run=plan.tiled.resident_bytes[bank],
            count1=1,
            count2=1,
        )
        for bank, offset in banks.items()
        if bank in plan.placed.address
    ]


def _emit(graph: Graph, layout: Layout, plan: _Plan, chip: Chip, options: Options) -> Compiled:
    frames = chip.cores if options.mode == "throughput" else 1
    addresses, image, banks, dram_bytes = _dram_map(plan, frames)
    if dram_bytes > chip.dram.capacity_bytes:
        raise CompileError(
            f"'{graph.name}' needs {dram_bytes} bytes of DRAM, {chip.name} has {chip.dram.capacity_bytes}",
            hint="raise dram.capacity_bytes",
        )
    cores = []
    for mine in addresses:
        frame = synchronise(_instructions(plan.jobs, plan.placed, mine), chip.core)
        setup = synchronise(_setup(plan, banks, chip), chip.core)
        cores.append(CoreCode(setup=(*setup, Halt()), frame=(*frame, Halt())))
    while len(cores) < chip.cores:
        cores.append(CoreCode(setup=(Halt(),), frame=(Halt(),)))

    def port(b: boundary.Boundary) -> Port:
        return b.port(tuple(mine[b.key] for mine in addresses))

    segment = Segment(
        name=graph.name,
        cores=tuple(cores),
        image=image,
        dram_bytes=dram_bytes,
        inputs=tuple(port(b) for b in plan.inputs),
        outputs=tuple(port(b) for b in plan.outputs),
        layers=_layers(layout, graph),
        buffers=_buffers(plan, frames),
        frames=frames,
    )
    return Compiled(chip=chip, segment=segment, options=options)


def _layer_of(layout: Layout) -> list[int]:
    """Return the layer of each node: the bands of one operator are one layer."""
    index: dict[str, int] = {}
    return [index.setdefault(node.part_of or node.name, len(index)) for node in layout.nodes]


def _layers(layout: Layout, graph: Graph) -> tuple[Layer, ...]:
    made = {op.name: op for op in graph.ops}
    seen: dict[str, Layer] = {}
    for node in layout.nodes:
        name = node.part_of or node.name
        whole = next((made[n] for n in reversed(node.ops) if n in made), node.op)
        work = sum(macs(made[n]) for n in node.ops if n in made) if node.part_of else macs(node.op)
        layer = Layer(name=name, kind=kind_of(node), shape=whole.y.shape, macs=work, ops=node.ops)
        seen.setdefault(name, layer)
    layers = [*seen.values(), Layer(name="(input)", kind="load", shape=(0, 0, 0), macs=0)]
    return (*layers, Layer(name="(output)", kind="store", shape=(0, 0, 0), macs=0))


def _buffers(plan: _Plan, frames: int) -> tuple[Buffer, ...]:
    return tuple(
        Buffer(
            name=name,
            core=core,
            kind=plan.tiled.kinds[name],  # type: ignore[arg-type]
            base=plan.placed.address[name],
            n_bytes=plan.tiled.sizes[name],
            first=first,
            last=last,
        )
        for core in range(frames)
        for name, (first, last) in plan.placed.lifetime.items()
    )
