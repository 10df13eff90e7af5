"""The timing simulator against a machine that is stepped cycle by cycle."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.chip.chip import Chip, Core, Dram, Scratchpad
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
from chanzi.isa.fields import DotFlag, Engine, Opcode, VecKind
from chanzi.isa.instruction import Dot, Halt, Load, Store, Vec
from chanzi.program.program import CoreCode, Segment
from chanzi.program.trace import Cause
from chanzi.sim.timing import simulate

ENGINES = {Opcode.LOAD: 0, Opcode.STORE: 1, Opcode.DOT: 2, Opcode.VEC: 3}


def make_chip(*, cores=1, latency_ns=10.0, queue_depth=16, issue_cycles=8, bytes_per_s=8_000_000_000, dim=8):
    return Chip(
        name="t",
        clock_hz=1_000_000_000,
        cores=cores,
        core=Core(
            dim=dim,
            scratchpad=Scratchpad(bytes=1 << 20, banks=64),
            queue_depth=queue_depth,
            issue_cycles=issue_cycles,
        ),
        dram=Dram(bytes_per_s=bytes_per_s, latency_ns=latency_ns, beat_bytes=8),
    )


def segment(*codes, setup=None):
    empty = np.zeros(0, np.uint8)
    cores = tuple(
        CoreCode(setup=(*(setup[i] if setup else ()), Halt()), frame=(*code, Halt())) for i, code in enumerate(codes)
    )
    return Segment(name="s", cores=cores, image=empty, dram_bytes=0, inputs=(), outputs=(), layers=())


def load(n_bytes, **fields):
    return Load(run=n_bytes, count1=1, count2=1, **fields)


def store(n_bytes, **fields):
    return Store(run=n_bytes, count1=1, count2=1, **fields)


def dot(m, n, k, **fields):
    one = {f"{p}_{name}": 1 for p in "ab" for name in ("taps_y", "taps_x")}
    return Dot(a_count=m, b_count=n, a_run=k, b_run=k, **one, **fields)


def vec(columns, **fields):
    return Vec(kind=int(VecKind.COPY), rows=1, columns=columns, channels=8, taps_y=1, taps_x=1, **fields)


@dataclass
class Stepped:
    """One core of the stepped machine: each attribute is a register that some block of hardware would hold."""

    code: list
    at: int = 0
    leave_at: int = START_CYCLES
    queues: list = field(default_factory=lambda: [[], [], [], []])
    counters: list = field(default_factory=lambda: [[], [], [], []])  # completion times so far, in order
    feed_free: int = 0
    drain_gate: int = 0
    popped: list = field(default_factory=lambda: [[], [], [], []])  # cycles of all starts
    vector_free: int = 0
    asking: list = field(default_factory=lambda: [None, None])  # [row, cycle it wants the bus], at most one a direction
    times: dict = field(default_factory=dict)

    @property
    def idle(self):
        return self.at == len(self.code) and not any(self.queues) and self.asking == [None, None]

    def done(self, engine, t):
        return sum(1 for c in self.counters[engine] if c <= t)

    def complete(self, engine, when):
        before = self.counters[engine][-1] if self.counters[engine] else 0
        self.counters[engine].append(max(before, when))
        return self.counters[engine][-1]


class Machine:
    """Cores and their bus, one cycle at a time."""

    def __init__(self, chip, codes):
        self.chip, self.config, self.latency = chip, chip.core, chip.dram_latency_cycles
        self.cores = [Stepped(list(code)) for code in codes]
        self.bus_free, self.line = 0, []

    def may_start(self, core, ins, t):
        names = ("wait_load", "wait_store", "wait_array", "wait_vector")
        own = all(core.done(e, t) >= getattr(ins, name) for e, name in enumerate(names))
        return own and (not ins.wait_peer or self.cores[ins.peer_core].done(1, t) >= ins.wait_peer)

    def dispatch(self, core, t):
        if core.at == len(core.code) or t < core.leave_at:
            return False
        e = ENGINES[core.code[core.at].opcode]
        if len(core.queues[e]) + core.popped[e].count(t) >= self.config.queue_depth:
            return False  # a place is free the cycle after its instruction started
        core.queues[e].append(core.at)
        core.times[core.at] = [t, None, None, None, None]
        core.leave_at = t + self.config.issue_cycles
        core.at += 1
        return True

    def start(self, core, e, t):
        if not core.queues[e] or not self.may_start(core, core.code[core.queues[e][0]], t):
            return False
        row = core.queues[e][0]
        ins, log = core.code[row], core.times[row]
        two_before = core.counters[2][-2] if len(core.counters[2]) > 1 else 0
        if e == 2 and t >= core.feed_free and t >= two_before:
            timing = dot_timing(self.config, ins)
            lat = array_latency(self.config)
            if ins.flags & DotFlag.HOLD:
                core.feed_free = t + timing.first + timing.rest
                end = core.feed_free + lat
            else:
                core.feed_free = max(t + timing.first, core.drain_gate) + timing.rest
                core.drain_gate = core.feed_free + timing.last_spacing
                end = core.feed_free + lat + timing.last_drain + epilogue_cycles(self.config)
            log[1:] = [t, t, core.feed_free, core.complete(2, end)]
        elif e == 3 and t >= core.vector_free:
            end = t + vec_cycles(self.config, ins)
            core.vector_free = core.complete(3, end + vector_latency_cycles(self.config))
            log[1:] = [t, t, end, core.vector_free]
        elif e < 2 and core.asking[e] is None:
            log[1] = t
            core.asking[e] = [row, t + (FETCH_CYCLES if e else 0)]
        else:
            return False
        core.queues[e].pop(0)
        core.popped[e].append(t)
        return True

    def line_up(self, t):
        """Give one place in line: all engines look at once, the lowest comes first."""
        waiting = {(number, e) for number, e, _ in self.line}
        for number, core in enumerate(self.cores):
            for e in range(2):
                if core.asking[e] and core.asking[e][1] <= t and (number, e) not in waiting:
                    self.line.append((number, e, t))
                    return

    def bus(self, t):
        if not self.line or t < self.bus_free:
            return
        number, e, place = self.line[0]
        if t < place + (TURN_CYCLES if e else REQUEST_CYCLES + self.latency):
            return
        self.line.pop(0)
        core = self.cores[number]
        row = core.asking[e][0]
        ins = core.code[row]
        self.bus_free, data_end = t + dma_cycles(self.chip, ins), t + dma_span(self.chip, ins)
        end = data_end + (RESPONSE_CYCLES + self.latency if e else ARRIVAL_CYCLES)
        core.times[row][2:] = [t, data_end, core.complete(e, end)]
        core.asking[e] = None

    def settle(self, t):
        moved = True
        while moved:
            moved = False
            for core in self.cores:
                moved |= self.dispatch(core, t)
                for e in range(4):
                    moved |= self.start(core, e, t)


def stepped(chip, codes):
    """Step every cycle; return {(core, row): (dispatched, start, begin, end, complete)} and the total."""
    machine = Machine(chip, codes)
    t = 0
    while not all(core.idle for core in machine.cores):
        machine.settle(t)
        machine.bus(t)
        machine.settle(t)  # a turn lets engines move in the same cycle
        machine.line_up(t)
        t += 1
        assert t < 100_000
    ends = [max([c.leave_at, *(x for line in c.counters for x in line)]) for c in machine.cores]
    logs = {(n, row): tuple(log) for n, c in enumerate(machine.cores) for row, log in c.times.items()}
    return logs, max(ends)


@st.composite
def programs(draw):
    n_cores = draw(st.integers(1, 3))
    chip = make_chip(
        cores=n_cores,
        latency_ns=draw(st.sampled_from([0.0, 0.0, 1.0, 7.0, 30.0])),
        queue_depth=draw(st.integers(1, 4)),
        issue_cycles=draw(st.sampled_from([1, 1, 2, 8])),
    )
    codes = [[] for _ in range(n_cores)]
    counts = [[0, 0, 0, 0] for _ in range(n_cores)]
    for _ in range(draw(st.integers(0, 24))):
        c = draw(st.integers(0, n_cores - 1))
        fields = {}
        for e, name in enumerate(("wait_load", "wait_store", "wait_array", "wait_vector")):
            if draw(st.integers(0, 2)) == 0:
                fields[name] = draw(st.integers(0, counts[c][e]))
        if n_cores > 1 and draw(st.integers(0, 3)) == 0:
            peer = draw(st.sampled_from([p for p in range(n_cores) if p != c]))
            fields |= {"peer_core": peer, "wait_peer": draw(st.integers(0, counts[peer][1]))}
        e = draw(st.sampled_from([0, 0, 1, 1, 2, 3]))
        size = draw(st.integers(1, 40))
        if e == 2:
            flags = draw(st.sampled_from([0, 0, DotFlag.RAW, DotFlag.HOLD]))
            m = min(size, 8) if flags == DotFlag.HOLD else size
            ins = dot(m, draw(st.integers(1, 8)), draw(st.integers(1, 30)), flags=int(flags), **fields)
        else:
            ins = (load, store, None, vec)[e](size, **fields)
        codes[c].append(ins)
        counts[c][e] += 1
    return chip, codes


@settings(max_examples=150)
@given(programs())
def test_same_as_the_stepped_machine(case):
    chip, codes = case
    t = simulate(chip, segment(*codes))
    expected, total = stepped(chip, codes)
    columns = (t.dispatched, t.start, t.busy_begin, t.busy_end, t.complete)
    got = {
        (int(c), int(i)): tuple(int(column[row]) for column in columns)
        for row, (c, i) in enumerate(zip(t.core, t.index, strict=True))
    }
    assert got == expected
    assert t.cycles == total


@given(programs())
def test_causes_hold(case):
    chip, codes = case
    t = simulate(chip, segment(*codes))
    for row in range(len(t)):
        by, cause = int(t.cause_row[row]), t.cause[row]
        assert (by == -1) == (cause == Cause.DISPATCH)
        if cause in (Cause.LOAD, Cause.STORE, Cause.ARRAY, Cause.VECTOR, Cause.PEER):
            assert t.complete[by] == t.ready[row] > t.dispatched[row]
        if cause == Cause.BUS:
            assert t.busy_end[by] < t.busy_begin[row]


def test_total_of_one_dot():
    chip = make_chip()
    t = simulate(chip, segment([dot(8, 8, 32)]))
    assert t.cycles == START_CYCLES + 32 + array_latency(chip.core) + 8 + epilogue_cycles(chip.core)


def test_load_is_requested_while_its_predecessor_streams():
    chip = make_chip(latency_ns=20.0)
    t = simulate(chip, segment([load(800), load(800), load(800)]))
    first = START_CYCLES + REQUEST_CYCLES + 20
    assert t.busy_begin.tolist() == [first, first + 101, first + 202]  # 100 beats, and a cycle to change over
    assert t.start.tolist() == [START_CYCLES, first, first + 101]


def test_cores_take_turns_on_the_bus():
    chip = make_chip(cores=2)
    t = simulate(chip, segment([load(80)] * 4, [load(80)] * 4))
    order = t.core[np.argsort(t.busy_begin)]
    assert order.tolist() == [0, 1] * 4


def test_held_tile_is_not_held_up_by_the_drain_before_it():
    chip = make_chip()
    raw = dot(8, 8, 1, flags=int(DotFlag.RAW))  # drains 4 words a row
    t = simulate(chip, segment([raw, dot(8, 8, 8, flags=int(DotFlag.HOLD))]))
    assert t.busy_end[1] == t.busy_end[0] + 8


def test_cold_is_setup_then_frame():
    chip = make_chip(cores=2)
    s = segment([dot(8, 8, 30)], [vec(9)], setup=[[load(64)], [load(640)]])
    parts = {part: simulate(chip, s, part=part) for part in ("setup", "frame", "cold")}
    assert parts["cold"].cycles == parts["setup"].cycles + parts["frame"].cycles
    assert parts["cold"].setup_rows == 2
    assert parts["cold"].start[2] == parts["setup"].cycles + parts["frame"].start[0]
    assert parts["cold"].engine.tolist() == [Engine.LOAD, Engine.LOAD, Engine.ARRAY, Engine.VECTOR]
    assert parts["cold"].dram_bytes.tolist() == [64, 640, 0, 0]


def test_a_program_that_stands_still_is_named():
    with pytest.raises(ProgramError, match=r"core 0: instruction 1 \(VEC\) waits for ever: DOT 2"):
        simulate(make_chip(), segment([dot(8, 8, 8), vec(4, wait_array=2)]))


def test_code_without_halt_is_refused():
    s = segment([dot(8, 8, 8)])
    cut = CoreCode(setup=s.cores[0].setup, frame=s.cores[0].frame[:-1])
    bad = Segment(name="s", cores=(cut,), image=s.image, dram_bytes=0, inputs=(), outputs=(), layers=())
    with pytest.raises(ProgramError, match="no HALT"):
        simulate(make_chip(), bad)


def test_more_cores_than_the_chip_has_are_refused():
    with pytest.raises(ProgramError, match="2 cores"):
        simulate(make_chip(), segment([vec(1)], [vec(1)]))
