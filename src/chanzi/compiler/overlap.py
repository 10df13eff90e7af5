"""List scheduling with addresses known: the start of every candidate is exact, bank conflicts included.

Where memory is plentiful buffers are placed first, by the nodes that use them. The scheduler then keeps the time at
which each bank is free of each engine and takes, of all units whose inputs have been issued, the one that can start
first; of equals the deepest. Two buffers that share banks at different times add one rule: the later one is not
touched before every unit that uses the earlier one has been issued.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from chanzi.chip.chip import Chip, Core
from chanzi.compiler.ir import Job, Unit
from chanzi.isa.cycles import array_latency, dot_timing, epilogue_cycles, vector_latency_cycles
from chanzi.isa.fields import Engine
from chanzi.isa.hazards import streams

WINDOW = 16
SLACK_NODES = 6


@dataclass(frozen=True, slots=True)
class Ahead:
    """Addresses by buffer, and for each node the nodes that must have been issued before it."""

    address: dict[str, int]
    after: list[list[int]]


def _jobs(unit: Unit) -> list[Job]:
    return [*unit.loads, *unit.jobs, *unit.stores]


def place_by_node(
    units: Sequence[Sequence[Unit]], sizes: dict[str, int], core: Core, pinned: Sequence[str]
) -> Ahead | None:
    """Return addresses for buffers that live from the first node that names them to the last, or None if too large."""
    bank, capacity = core.scratchpad.bank_bytes, core.scratchpad.banks
    alive: dict[str, tuple[int, int]] = {}
    users: dict[str, list[int]] = {}
    for n, node in enumerate(units):
        for unit in node:
            for job in _jobs(unit):
                for ref in job.refs:
                    if not ref.buffer.startswith("dram:"):
                        alive[ref.buffer] = (alive.get(ref.buffer, (n, n))[0], n)
                        if n not in users.setdefault(ref.buffer, [])[-1:]:
                            users[ref.buffer].append(n)
    for name in pinned:
        if name in alive:
            alive[name] = (0, len(units))
    taken: list[tuple[int, int, int, int, str]] = []
    address: dict[str, int] = {}
    after: list[set[int]] = [set() for _ in units]
    for name in sorted(alive, key=lambda name: (name not in pinned, -sizes[name], alive[name])):
        first, last = alive[name]
        banks = -(-sizes[name] // bank)
        soon, since = last + SLACK_NODES, first - SLACK_NODES
        hit = sorted((a, b) for a, b, start, stop, _ in taken if start <= soon and since <= stop)
        at = 0
        for a, b in hit:
            if a - at >= banks:
                break
            at = max(at, b)
        if at + banks > capacity:
            return None
        address[name] = at * bank
        for a, b, _, stop, other in taken:
            if a < at + banks and at < b:  # never alive together: users of the later wait for those of the earlier
                early, late = (other, name) if stop < first else (name, other)
                for node in users[late]:
                    after[node].update(users[early])
        taken.append((at, at + banks, first, last, name))
    return Ahead(address, [sorted(nodes) for nodes in after])


class _Clock:
    """When engines and banks are free."""

    def __init__(self, chip: Chip, address: dict[str, int]) -> None:
        self.chip = chip
        self.address = address
        self.bank = chip.core.scratchpad.bank_bytes
        self.free = [0, 0, 0, 0]
        # by engine: when its rivals' last use of each bank completes, and its own late streams' for the array
        self.rivals = np.zeros((4, chip.core.scratchpad.banks), np.int64)
        self.late = np.zeros(chip.core.scratchpad.banks, np.int64)
        self.dots = (0, 0)
        """When the last DOT but one and the last one are complete: two at most are under way."""
        self.drain_gate = 0
        """The first tile of a DOT that drains ends no earlier."""
        self.ranges: dict[int, list[tuple[int, int, bool]]] = {}
        self.dispatch = 0

    def _ranges(self, job: Job) -> list[tuple[int, int, bool]]:
        found = self.ranges.get(id(job))
        if found is None:
            fields = {r.field: self.address[r.buffer] + r.offset for r in job.refs if not r.buffer.startswith("dram:")}
            found = [
                (low // self.bank, (high - 1) // self.bank + 1, stream.late)
                for stream in streams(replace(job.ins, **fields))
                for low, high in stream.spans
                if high > low
            ]
            self.ranges[id(job)] = found
        return found

    def start(self, job: Job) -> int:
        at = self.free[job.engine]
        if job.engine == Engine.ARRAY:
            at = max(at, self.dots[0])
        rivals = self.rivals[job.engine]
        for first, end, late in self._ranges(job):
            at = max(at, int(rivals[first:end].max()))
            if job.engine == Engine.ARRAY and not late:
                at = max(at, int(self.late[first:end].max()))
        return at

    def issue(self, job: Job) -> int:
        """Advance the clocks; return when the job is complete."""
        start = self.start(job)
        engine = job.engine
        core = self.chip.core
        if engine == Engine.ARRAY:
            timing = dot_timing(core, job.ins)
            end = max(start + timing.first, self.drain_gate) + timing.rest
            done = max(end + array_latency(core) + timing.last_drain + epilogue_cycles(core), self.dots[1])
            self.drain_gate = end + timing.last_spacing
            self.dots = (self.dots[1], done)
            self.free[engine] = end
        elif engine == Engine.VECTOR:
            done = start + job.cycles + vector_latency_cycles(core)
            self.free[engine] = done
        else:
            if start > self.free[engine] or engine == Engine.STORE:
                start += self.chip.dram_latency_cycles
            done = start + job.cycles
            self.free[engine] = done
        for first, end_bank, late in self._ranges(job):
            for other in Engine:
                if other != engine:
                    self.rivals[other, first:end_bank] = np.maximum(self.rivals[other, first:end_bank], done)
            if late:
                self.late[first:end_bank] = done
        return done


def overlap(units: Sequence[Sequence[Unit]], chip: Chip, ahead: Ahead) -> tuple[list[Unit], int]:
    """Return the units in the order of issue, and the cycle at which the last one is complete."""
    clock = _Clock(chip, ahead.address)
    heads = [0] * len(units)
    lines: dict[str, int] = {}
    order: list[Unit] = []
    first_open = 0
    end = 0
    while first_open < len(units):
        if heads[first_open] == len(units[first_open]):
            first_open += 1
            continue
        best: tuple[int, int, float, int] | None = None
        choice = -1
        seen = 0
        for node in range(first_open, len(units)):
            if seen == WINDOW:
                break
            if heads[node] == len(units[node]):
                continue
            seen += 1
            unit = units[node][heads[node]]
            if any(lines.get(leaf, 0) < n for leaf, n in unit.needs):
                continue
            if any(heads[n] < len(units[n]) for n in ahead.after[node] if n >= first_open):
                continue
            job = _jobs(unit)[0]
            # of nodes of one layer, the one that lags
            key = (clock.start(job), -job.layer, heads[node] / len(units[node]), node)
            if best is None or key < best:
                best, choice = key, node
        if best is None:
            raise AssertionError("no unit can be issued: the graph is not in order")
        node = choice
        unit = units[node][heads[node]]
        heads[node] += 1
        order.append(unit)
        for job in _jobs(unit):
            end = max(end, clock.issue(job))
        if unit.done_lines:
            lines[unit.leaf] = unit.done_lines
    return order, end
