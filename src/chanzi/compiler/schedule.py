"""Scheduling: the order in which units are issued.

Engines run in order, so the order decides what overlaps. A list scheduler keeps a clock for each engine and takes, of
all units whose inputs have been scheduled, the one that can start first; of equals the deepest layer, which frees
memory soonest. So one layer's stripes run on the array while the vector unit works on stripes of the layer before.

Loads are then moved ahead of the units that come before theirs, so that they arrive in time (double buffering).
"""

from bisect import bisect_left
from collections.abc import Sequence

from chanzi.chip.chip import Chip
from chanzi.compiler.ir import Job, Unit
from chanzi.compiler.tile import IMAGE
from chanzi.isa.cycles import array_latency, epilogue_cycles, vector_latency_cycles
from chanzi.isa.fields import Engine

_WINDOW = 12


def in_order(units: Sequence[Sequence[Unit]]) -> list[Unit]:
    """Return the units node after node."""
    return [unit for node in units for unit in node]


def pipelined(units: Sequence[Sequence[Unit]], chip: Chip) -> list[Unit]:
    """Return the units so that the engines overlap."""
    latency = {
        Engine.ARRAY: array_latency(chip.core) + chip.core.dim + epilogue_cycles(chip.core),
        Engine.VECTOR: vector_latency_cycles(chip.core),
        Engine.LOAD: chip.dram_latency_cycles,
        Engine.STORE: 0,
    }
    free = dict.fromkeys(Engine, 0)
    progress: dict[str, tuple[list[int], list[int]]] = {}  # leaf -> (lines done so far, never fewer; when)
    heads = [0] * len(units)
    first_open = 0
    order: list[Unit] = []

    def ready_at(unit: Unit) -> int | None:
        at = 0
        for leaf, lines in unit.needs:
            if lines <= 0:
                continue
            done, when = progress.get(leaf, ((), ()))
            first = bisect_left(done, lines)
            if first == len(done):
                return None
            at = max(at, when[first])
        return at

    while first_open < len(units):
        if heads[first_open] == len(units[first_open]):
            first_open += 1
            continue
        best: tuple[int, int, int] | None = None
        open_nodes = 0
        node = first_open
        while node < len(units) and open_nodes < _WINDOW:
            if heads[node] < len(units[node]):
                open_nodes += 1
                unit = units[node][heads[node]]
                ready = ready_at(unit)
                if ready is not None:
                    engine = (unit.jobs or unit.loads or unit.stores)[0].engine
                    start = max(ready, free[engine])
                    if best is None or (start, -node) < best[:2]:
                        best = (start, -node, node)
            node += 1
        if best is None:
            raise AssertionError("no unit can run: the graph is not in order")
        start, _, node = best
        unit = units[node][heads[node]]
        heads[node] += 1
        order.append(unit)
        for job in (*unit.loads, *unit.jobs, *unit.stores):
            begin = max(start, free[job.engine])
            free[job.engine] = begin + job.cycles
            start = begin if job in unit.loads else start
        engine = (unit.jobs or unit.loads or unit.stores)[0].engine
        if unit.done_lines:
            done, when = progress.setdefault(unit.leaf, ([], []))
            done.append(max(unit.done_lines, done[-1] if done else 0))
            when.append(free[engine] + latency[engine])
    return order


def issue(order: Sequence[Unit], ahead: int) -> list[Job]:
    """Return all jobs in program order, loads `ahead` units early but never before what they read was stored."""
    jobs: list[Job] = []
    loaded = 0
    stored: dict[str, int] = {}
    for i, unit in enumerate(order):
        while loaded < len(order) and loaded <= i + ahead:
            due = order[loaded]
            if loaded > i and _reads_maps(due) and any(stored.get(leaf, 0) < lines for leaf, lines in due.needs):
                break
            jobs += due.loads
            loaded += 1
        jobs += unit.jobs
        jobs += unit.stores
        if unit.done_lines:
            stored[unit.leaf] = unit.done_lines
    return jobs


def _reads_maps(unit: Unit) -> bool:
    """Tell whether some load brings in lines of a map, not constants."""
    return any(ref.field == "dram" and ref.buffer != IMAGE for job in unit.loads for ref in job.refs)
