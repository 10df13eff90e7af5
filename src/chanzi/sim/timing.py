"""How many cycles a program takes: the rules below, run over instructions rather than cycles.

Sequencer. Each core's first instruction leaves at START_CYCLES, each other one `issue_cycles` after the one before it.
An instruction waits in the sequencer while its engine's queue is full: it leaves no earlier than a cycle after the
start of the one `queue_depth` places before it in the same engine. HALT enters no queue.

Engines take their instructions in program order. An instruction is *ready* when it has left the sequencer and all that
it waits for is complete: ``wait_x = n`` names the n-th instruction of engine x since the run began, ``wait_peer = n``
the n-th STORE of core `peer_core`. Completions count in order: an instruction completes no earlier than the one before
it in its engine. With ``free`` for the end of the previous instruction in the same engine:

========  ==============================================================================================
ARRAY     begin    = max(ready, feed end of the previous DOT, complete of the one before that)
          first    = max(begin + first tile's feed, previous tile's feed end + its spacing)
          feed end = first + feed of all other tiles
          drain    = feed end + array latency + rows of the last tile;  complete = drain + epilogue
          HOLD:      nothing drains, and the drain before it does not hold it up; complete = feed end + array latency
VECTOR    begin    = max(ready, previous complete);  end = begin + vec_cycles
          complete = end + vector latency
LOAD      start    = max(ready, data begin of the previous LOAD): one ahead of the data; asks = start
          begin    = max(place + REQUEST_CYCLES + DRAM latency, bus free)
          complete = data end + ARRIVAL_CYCLES
STORE     start    = max(ready, data begin of the previous STORE): words are fetched; asks = start + FETCH_CYCLES
          begin    = max(place + TURN_CYCLES, bus free)
          complete = data end + RESPONSE_CYCLES + DRAM latency
========  ==============================================================================================

Bus. One for all cores and both directions; it carries one DMA instruction at a time, in the order in which they were
put in line. One takes its *place* in line in a cycle: of those that ask, or asked before, that of the lowest core, its
LOAD before its STORE. ``data begin = max(first beat there, bus free)``, ``data end = data begin + dma_span``, ``bus
free = data begin + dma_cycles``. First asked, first served: a memory that answers in order cannot know what will be
ready first, only what was asked first.

Why the next place may be given although other transfers are not known yet. All that can be known without another place
being given is known before each. A transfer that is not known yet hangs, through waits, queues or its engine's order,
on one that has no place at the cycle p in which the next is given. That one's data begin after p, by at least
TURN_CYCLES; whatever hangs on its begin or completion starts after p, and so asks after p.
"""

from typing import Any

import numpy as np

from chanzi.chip.chip import Chip, Core
from chanzi.errors import ProgramError
from chanzi.isa.cycles import (
    ARRIVAL_CYCLES,
    FETCH_CYCLES,
    REQUEST_CYCLES,
    RESPONSE_CYCLES,
    START_CYCLES,
    TURN_CYCLES,
    array_latency,
    dma_cycles,
    dma_span,
    dot_timing,
    epilogue_cycles,
    vec_cycles,
    vector_latency_cycles,
)
from chanzi.isa.fields import ENGINE_OF, WAITS, DotFlag, Engine, Opcode
from chanzi.isa.instruction import Instruction
from chanzi.program.program import Segment
from chanzi.program.trace import Cause, Timing, TracePart

__all__ = ["Timing", "simulate"]

_CAUSE_OF = (Cause.LOAD, Cause.STORE, Cause.ARRAY, Cause.VECTOR)
_LOAD, _STORE, _ARRAY, _VECTOR = (int(e) for e in Engine)


class _Costs:
    """Durations of instructions, remembered by the fields that decide them."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.core: Core = chip.core
        self.known: dict[tuple[int, ...], tuple[int, int, int, int]] = {}

    def of(self, ins: Instruction) -> tuple[int, int, int, int]:
        """Return (cycles, rest, drain, spacing) of a DOT, (cycles, bytes, span, 0) of a transfer, else cycles and 0."""
        op = ins.opcode
        if op == Opcode.DOT:
            a = (ins.a_count, ins.a_run, ins.a_taps_y, ins.a_taps_x)
            key = (3, *a, ins.b_count, ins.b_run, ins.b_taps_y, ins.b_taps_x, ins.flags)
            if key not in self.known:
                t = dot_timing(self.core, ins)
                self.known[key] = (t.first, t.rest, t.last_drain, t.last_spacing)
            return self.known[key]
        if op == Opcode.VEC:
            taps = (ins.taps_y, ins.taps_x, ins.x_step, ins.tap_x_step, ins.y_step, ins.tap_y_step)
            taps += (ins.pad_y, ins.pad_x, ins.height, ins.width_bytes)
            key = (4, ins.kind, ins.flags, ins.rows, ins.columns, ins.channels, *taps)
            if key not in self.known:
                self.known[key] = (vec_cycles(self.core, ins), 0, 0, 0)
            return self.known[key]
        beat = self.chip.dram.beat_bytes
        key = (int(op), ins.dram % beat, ins.run, ins.count1, ins.count2, ins.dram_step1 % beat, ins.dram_step2 % beat)
        if key not in self.known:
            moved = ins.run * ins.count1 * ins.count2
            self.known[key] = (dma_cycles(self.chip, ins), moved, dma_span(self.chip, ins), 0)
        return self.known[key]


class _CoreRun:
    """One core on its way through its code; rows are positions in the code, the same in every list."""

    def __init__(self, number: int, code: tuple[Instruction, ...], costs: _Costs) -> None:
        self.number = number
        self.config = costs.core
        self.epilogue, self.vector_latency = epilogue_cycles(self.config), vector_latency_cycles(self.config)
        self.dram_latency = costs.chip.dram_latency_cycles
        halt = next((i for i, ins in enumerate(code) if ins.opcode == Opcode.HALT), None)
        if halt is None:
            raise ProgramError(f"core {number}: the code has no HALT", hint="every core's code ends in HALT")
        self.code = code[:halt]
        n = halt
        self.engine = [int(ENGINE_OF[ins.opcode]) for ins in self.code]
        self.cost = [costs.of(ins) for ins in self.code]
        self.waits = [self._waits(ins) for ins in self.code]
        self.dispatched = [0] * n
        self.ready = [0] * n
        self.start = [0] * n
        self.begin = [0] * n
        self.end = [0] * n
        self.complete = [0] * n
        self.cause = [int(Cause.DISPATCH)] * n
        self.cause_row: list[tuple[int, int] | None] = [None] * n
        self.left = START_CYCLES - self.config.issue_cycles
        self.next = 0
        self.queue: tuple[list[int], ...] = ([], [], [], [])
        """Rows of each engine that have left the sequencer, also those long done."""
        self.started = [0, 0, 0, 0]
        self.done: tuple[list[int], ...] = ([], [], [], [])
        """Completion times of each engine, in order."""
        self.free = [0, 0, 0, 0]
        """ARRAY: feed end. VECTOR: last complete. LOAD, STORE: data end."""
        self.drain_gate = 0
        """The first tile of a DOT that drains ends no earlier."""
        self.begun = [0, 0]
        """Data begin of the last LOAD and STORE."""
        self.asks: list[int | None] = [None, None]
        """When the head of LOAD and STORE asks for its place in line; None where not known, or no head."""

    @staticmethod
    def _waits(ins: Instruction) -> tuple[tuple[int, int], ...]:
        """Return ((engine, or 4 for a peer; count), ...)."""
        found = [(e, n) for e, name in enumerate(WAITS) if (n := getattr(ins, name))]
        if ins.wait_peer:
            found.append((4, ins.wait_peer))
        return tuple(found)

    def progress(self, cores: "list[_CoreRun]") -> None:
        """Take every step whose time is known without another transfer being granted."""
        moved = True
        while moved:
            moved = self._dispatch()
            for e in (_LOAD, _STORE, _ARRAY, _VECTOR):
                while self._head(e, cores):
                    moved = True

    def _dispatch(self) -> bool:
        depth, issue = self.config.queue_depth, self.config.issue_cycles
        first = self.next
        while self.next < len(self.code):
            e = self.engine[self.next]
            queue = self.queue[e]
            leave = self.left + issue
            if len(queue) >= depth:
                asking = e <= _STORE and self.asks[e] is not None  # out of the queue, not yet on the bus
                if self.started[e] + asking <= len(queue) - depth:
                    break
                leave = max(leave, self.start[queue[len(queue) - depth]] + 1)
            self.dispatched[self.next] = self.left = leave
            queue.append(self.next)
            self.next += 1
        return self.next > first

    def _head(self, e: int, cores: "list[_CoreRun]") -> bool:
        """Move the head of engine `e` if all it waits for is known; return whether anything new is known."""
        if self.started[e] == len(self.queue[e]) or (e <= _STORE and self.asks[e] is not None):
            return False
        row = self.queue[e][self.started[e]]
        ready, cause, by = self.dispatched[row], int(Cause.DISPATCH), None
        for engine, n in self.waits[row]:
            other = cores[self.code[row].peer_core] if engine == 4 else self
            line = _STORE if engine == 4 else engine
            if len(other.done[line]) < n:
                return False
            then = other.done[line][n - 1]
            if then > ready:
                ready = then
                cause = int(Cause.PEER if engine == 4 else _CAUSE_OF[engine])
                by = (other.number, other.queue[line][n - 1])
        self.ready[row] = ready
        self.cause[row], self.cause_row[row] = cause, by
        before = self.queue[e][self.started[e] - 1] if self.started[e] else None
        if e <= _STORE:
            self._request(e, row, before)
        else:
            self._run(e, row, before)
        return True

    def _request(self, e: int, row: int, before: int | None) -> None:
        start = max(self.ready[row], self.begun[e])
        self.start[row] = start
        self.asks[e] = start + (FETCH_CYCLES if e == _STORE else 0)
        if before is not None and self.begun[e] > self.ready[row]:
            self.cause[row], self.cause_row[row] = int(Cause.ENGINE), (self.number, before)

    def _run(self, e: int, row: int, before: int | None) -> None:
        free = self.free[e]
        if e == _ARRAY and len(self.done[e]) > 1:
            free = max(free, self.done[e][-2])
        start = max(self.ready[row], free)
        if before is not None and free >= self.ready[row]:
            self.cause[row], self.cause_row[row] = int(Cause.ENGINE), (self.number, before)
        cycles, rest, last_drain, spacing = self.cost[row]
        if e == _VECTOR:
            end = start + cycles
            complete = self.free[e] = end + self.vector_latency
        else:
            latency = array_latency(self.config)
            held = bool(self.code[row].flags & DotFlag.HOLD)
            first = start + cycles
            if not held:
                first = max(first, self.drain_gate)
            end = self.free[e] = first + rest
            complete = end + latency
            if not held:
                self.drain_gate = end + spacing
                complete += last_drain + self.epilogue
        self.start[row] = self.begin[row] = start
        self.end[row] = end
        self._finish(e, row, complete)

    def _finish(self, e: int, row: int, complete: int) -> None:
        done = self.done[e]
        complete = max(complete, done[-1]) if done else complete
        self.complete[row] = complete
        done.append(complete)
        self.started[e] += 1

    def grant(self, e: int, place: int, bus_free: int, last: tuple[int, int] | None) -> int:
        """Give the head of LOAD or STORE its turn after a place in line at `place`; return when the bus is free."""
        row = self.queue[e][self.started[e]]
        there = place + (TURN_CYCLES if e == _STORE else REQUEST_CYCLES + self.dram_latency)
        begin = max(there, bus_free)
        if bus_free > there and last is not None:
            same = last == (self.number, self.queue[e][self.started[e] - 1]) if self.started[e] else False
            self.cause[row], self.cause_row[row] = int(Cause.ENGINE if same else Cause.BUS), last
        cycles, _, span, _ = self.cost[row]
        self.begin[row], self.end[row] = begin, begin + span
        self.begun[e], self.free[e] = begin, begin + span
        self.asks[e] = None
        self._finish(e, row, begin + span + (ARRIVAL_CYCLES if e == _LOAD else RESPONSE_CYCLES + self.dram_latency))
        return begin + cycles

    def finish(self) -> int:
        """Return the cycle at which HALT is complete.

        Raises
        ------
        ProgramError
            An instruction waits for something that never happens.
        """
        for e in (_LOAD, _STORE, _ARRAY, _VECTOR):
            if self.started[e] < len(self.queue[e]):
                row = self.queue[e][self.started[e]]
                names = ["LOAD", "STORE", "DOT", "VEC", "STORE of a peer"]
                waits = ", ".join(f"{names[engine]} {n}" for engine, n in self.waits[row])
                raise ProgramError(
                    f"core {self.number}: instruction {row} ({self.code[row].opcode.name}) waits for ever: {waits}",
                    hint="the program stands still; `chanzi verify` names the illegal wait",
                )
        halt = self.left + self.config.issue_cycles
        return max([halt, *(done[-1] for done in self.done if done)])


def _run(chip: Chip, codes: list[tuple[Instruction, ...]]) -> tuple[list[_CoreRun], tuple[int, ...]]:
    costs = _Costs(chip)
    cores = [_CoreRun(number, code, costs) for number, code in enumerate(codes)]
    for core in cores:
        for row, ins in enumerate(core.code):
            if ins.wait_peer and ins.peer_core >= len(cores):
                raise ProgramError(f"core {core.number}: instruction {row} waits for core {ins.peer_core}, which idles")
    stale = list(cores)
    bus_free, place, last = 0, -1, None
    while True:
        for core in stale:
            core.progress(cores)
        heads = [(asks, c.number, e) for c in cores for e, asks in enumerate(c.asks) if asks is not None]
        if not heads:
            break
        place = max(place + 1, min(heads)[0])
        number, e = min((number, e) for asks, number, e in heads if asks <= place)
        row = cores[number].queue[e][cores[number].started[e]]
        bus_free = cores[number].grant(e, place, bus_free, last)
        last = (number, row)
        stale = cores if e == _STORE else [cores[number]]
    return cores, tuple(core.finish() for core in cores)


def _table(part: TracePart, cores: list[_CoreRun], core_cycles: tuple[int, ...]) -> Timing:
    offset = np.cumsum([0] + [len(c.code) for c in cores]).tolist()

    def rows(name: str, kind: Any) -> Any:
        return np.array([v for c in cores for v in getattr(c, name)], dtype=kind)

    causes = [-1 if by is None else offset[by[0]] + by[1] for c in cores for by in c.cause_row]
    moved = [cost[1] if e <= _STORE else 0 for c in cores for e, cost in zip(c.engine, c.cost, strict=True)]
    return Timing(
        part=part,
        cycles=max(core_cycles, default=0),
        core_cycles=core_cycles,
        core=np.repeat(np.arange(len(cores), dtype=np.int32), [len(c.code) for c in cores]),
        engine=rows("engine", np.int32),
        index=np.array([i for c in cores for i in range(len(c.code))], dtype=np.int32),
        layer=np.array([ins.layer for c in cores for ins in c.code], dtype=np.int32),
        dispatched=rows("dispatched", np.int64),
        ready=rows("ready", np.int64),
        start=rows("start", np.int64),
        busy_begin=rows("begin", np.int64),
        busy_end=rows("end", np.int64),
        complete=rows("complete", np.int64),
        cause=rows("cause", np.int32),
        cause_row=np.array(causes, dtype=np.int32),
        dram_bytes=np.array(moved, dtype=np.int64),
    )


def _joined(setup: Timing, frame: Timing) -> Timing:
    """Return setup followed by frame, which starts when the last core has halted."""
    times = ("dispatched", "ready", "start", "busy_begin", "busy_end", "complete")
    plain = ("core", "engine", "index", "layer", "cause", "dram_bytes")
    columns = {name: np.concatenate([getattr(setup, name), getattr(frame, name) + setup.cycles]) for name in times}
    columns |= {name: np.concatenate([getattr(setup, name), getattr(frame, name)]) for name in plain}
    shifted = np.where(frame.cause_row < 0, -1, frame.cause_row + len(setup)).astype(np.int32)
    return Timing(
        part="cold",
        cycles=setup.cycles + frame.cycles,
        core_cycles=tuple(setup.cycles + c for c in frame.core_cycles),
        cause_row=np.concatenate([setup.cause_row, shifted]),
        setup_rows=len(setup),
        **columns,
    )


def simulate(chip: Chip, segment: Segment, *, part: TracePart = "frame") -> Timing:
    """Return when each instruction of `segment` starts and completes on `chip`.

    Parameters
    ----------
    chip : Chip
    segment : Segment
    part : {'frame', 'setup', 'cold'}
        'frame' is a frame with what setup loaded in place, 'setup' the loading itself, 'cold' the one after the other:
        frame starts when every core has halted.

    Raises
    ------
    ProgramError
        A core's code has no HALT, or an instruction waits for something that never happens.
    """
    if len(segment.cores) > chip.cores:
        raise ProgramError(f"segment '{segment.name}' has code for {len(segment.cores)} cores, the chip {chip.cores}")
    if part == "cold":
        return _joined(simulate(chip, segment, part="setup"), simulate(chip, segment, part="frame"))
    codes = [core.setup if part == "setup" else core.frame for core in segment.cores]
    return _table(part, *_run(chip, codes))
