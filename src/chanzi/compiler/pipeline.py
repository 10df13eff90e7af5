"""The compiler, to be read as prose: a graph goes in, a program for one chip comes out.

Memory decides how a network is tiled, so the plans are tried from the best downwards: everything on the chip; weights
streamed from DRAM; then map after map moved to DRAM until the rest fits.
"""

from pathlib import Path

from chanzi.chip.chip import Chip
from chanzi.compiler import boundary, dump
from chanzi.compiler.band import band
from chanzi.compiler.channel_blocks import channel_blocks
from chanzi.compiler.emit import Plan, emit, layer_of
from chanzi.compiler.fuse import fuse
from chanzi.compiler.ir import Layout, Part, Unit
from chanzi.compiler.latency import split_plan
from chanzi.compiler.layout import plan_layout
from chanzi.compiler.lower import lower
from chanzi.compiler.overlap import overlap, place_by_node
from chanzi.compiler.place import Placed, lifetimes, peak, place
from chanzi.compiler.schedule import in_order, issue, pipelined
from chanzi.compiler.tile import BANKS, IMAGE, Residency, Tiler, dram_key
from chanzi.errors import CompileError
from chanzi.graph.ops import Graph
from chanzi.program.program import Compiled, Options

STRIPE_CYCLES = (450, 550, 750, 1100)
"""Lengths of stripe to try: short ones overlap more, long ones cost less."""


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
    if options.pipeline and options.mode != "latency":
        items = channel_blocks(graph, items, chip.core)
    write("1-fused", lambda: dump.items_text(items))
    layout = plan_layout(graph, items, chip.core.atom_bytes)
    write("2-layout", lambda: dump.layout_text(layout))
    parts = [lower(node, layout, chip.core) for node in layout.nodes]
    write("3-parts", lambda: dump.parts_text(layout, parts))
    plan = None
    if options.mode == "latency" and chip.cores > 1:
        plan = split_plan(graph, layout, parts, chip)
    if plan is None:
        plan = _plan(graph, layout, parts, chip, options)
    write("4-jobs", lambda: dump.jobs_text(plan.jobs, plan.placed))
    compiled = emit(graph, layout, plan, chip, options)
    write("5-program", lambda: dump.program_text(compiled))
    return compiled


def _plan(graph: Graph, layout: Layout, parts: list[tuple[Part, ...]], chip: Chip, options: Options) -> Plan:
    """Return the first plan that fits, from the fastest to the most frugal."""
    if options.resident:
        plans = []
        for stripe_cycles in STRIPE_CYCLES:
            plan = _attempt(graph, layout, parts, chip, Residency(stripe_cycles=stripe_cycles), options.pipeline)
            if isinstance(plan, Plan):
                plans.append(plan)
                if not plan.cycles:  # too tight to schedule with addresses known: stripes make no difference
                    break
        if plans:
            return min(plans, key=lambda plan: plan.cycles)
    dram: set[str] = set()
    for _ in range(2 * len(layout.nodes) + 8):
        alive: list[tuple[str, int]] = []
        for share in (4, 8, 16):
            budget = chip.core.scratchpad.bytes // share
            residency = Residency(dram=frozenset(dram), resident=False, staging_bytes=budget, stripe_cycles=16000)
            plan = _attempt(graph, layout, parts, chip, residency, options.pipeline and not dram)
            if isinstance(plan, Plan):
                return plan
            alive = plan
        largest = _largest(alive, layout, dram)
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
) -> "Plan | list[tuple[str, int]]":
    """Return a plan, or the buffers alive at the peak with their sizes where it does not fit."""
    tiler = Tiler(chip, layout, residency)
    layers = layer_of(layout)
    for index, (node, node_parts) in enumerate(zip(layout.nodes, parts, strict=True)):
        tiler.node(index, layers[index], node.y.name, node.y.shape[0], node_parts)
    tiled = tiler.out
    n = max(layers, default=-1) + 1
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
            return Plan(
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
            return Plan(
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
