"""The plan of latency mode: everything stays on the chip, every layer is split over the cores (see `split`)."""

from chanzi.chip.chip import Chip
from chanzi.compiler import boundary
from chanzi.compiler.emit import Plan, layer_of
from chanzi.compiler.ir import Layout, Part
from chanzi.compiler.place import place
from chanzi.compiler.split import SplitJob, Splitter
from chanzi.compiler.tile import BANKS, Residency, Tiler, dram_key
from chanzi.graph.ops import Graph


def split_plan(graph: Graph, layout: Layout, parts: list[tuple[Part, ...]], chip: Chip) -> Plan | None:
    """Return a plan in which all cores share each frame, or None where a core's scratchpad is too small for it."""
    tiler = Tiler(chip, layout, Residency())
    splitter = Splitter(chip, graph, layout, tiler)
    tiled = tiler.out
    layers = layer_of(layout)
    inputs = tuple(boundary.input_boundary(t, layout) for t in graph.inputs)
    blocks = {b.key: b.n_bytes for b in inputs}
    for op in layout.constants:
        offset = boundary.constant_source(op, layout, tiled.image)
        storage = layout.views[op.y.name].storage
        blocks[dram_key(storage.key)] = -1 - offset
        tiled.sizes[storage.key], tiled.kinds[storage.key] = storage.n_bytes, "weights"
    for t in graph.inputs:
        storage = layout.views[t.name].storage
        tiled.sizes[storage.key], tiled.kinds[storage.key] = storage.n_bytes, "activations"
    for index, (node, mine) in enumerate(zip(layout.nodes, parts, strict=True)):
        splitter.node(index, layers[index], node, mine)
    outputs = []
    last = max(layers, default=-1) + 2
    for t in graph.outputs:
        for source in layout.sources[t.name]:
            first, end = max(source.shift, 0), source.lines(t.shape[0])
            if first < end:
                splitter.need(0, source.leaf, (first, end), last)
        units, bound = boundary.store_units(last, t, layout, chip)
        splitter.out.jobs += [SplitJob(0, job) for unit in units for job in unit.jobs]
        outputs.append(bound)
        blocks[bound.key] = bound.n_bytes
    for bank in BANKS:
        if tiled.resident_bytes[bank]:
            tiled.sizes[bank], tiled.kinds[bank] = tiled.resident_bytes[bank], "weights"
    jobs = [item.job for item in splitter.out.jobs]
    for slack in (64, 8, 0):
        placed = place(jobs, tiled.sizes, chip.core, BANKS, slack)
        if placed is not None:
            return Plan(
                tiled=tiled,
                jobs=jobs,
                placed=placed,
                inputs=inputs,
                outputs=tuple(outputs),
                blocks=blocks | splitter.out.blocks,
                resident=True,
                split=tuple(splitter.out.jobs),
            )
    return None
