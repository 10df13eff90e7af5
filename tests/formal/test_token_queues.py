"""The sequencer, proved for every program of four instructions: order, waits, and that a legal program ends.

Engines are abstract: they answer after any cycles up to a bound, one instruction at a time.
"""

import dataclasses
import importlib
import inspect
import types

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from amaranth import Array, Module, Mux, Signal
from amaranth.hdl import Assert, Assume
from amaranth.lib.wiring import Component, In

from chanzi.chip import load_chip
from chanzi.flow.proof import prove
from chanzi.isa.fields import ENGINE_OF, LAYOUT, WAITS, Engine, Opcode

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SENT = 3
"""Instructions before HALT."""
NAMES = {engine: opcode for opcode, engine in ENGINE_OF.items()}
WAIT_OF = dict(zip(Engine, WAITS, strict=True))
USED = (Engine.LOAD, Engine.STORE)


def _field(word: Signal, opcode: Opcode, name: str) -> Signal:
    kind, offset = LAYOUT[opcode].fields[name][:2]
    return word[8 * offset : 8 * (offset + kind.itemsize)]


class _Programs(Component):
    """Every program of `SENT` LOADs and STOREs with any waits for those before, and HALT."""

    def __init__(self, module: types.ModuleType, *, bound: int, answer: int) -> None:
        chip = load_chip("chanzi-8")
        core = dataclasses.replace(chip.core, issue_cycles=1, queue_depth=1, code_instructions=8)
        self.dut = module.Sequencer(dataclasses.replace(chip, core=core))
        self.bound, self.answer = bound, answer
        free = {f"{what}{i}": In(n) for i in range(SENT) for what, n in (("store", 1), ("load_", 2), ("store_", 2))}
        super().__init__({**free, **{f"{what}_{e.name}": In(1) for e in USED for what in ("ready", "done")}})

    def elaborate(self, platform: object) -> Module:
        del platform
        m = Module()
        m.submodules.dut = dut = self.dut
        begun, cycle = Signal(), Signal(8)
        m.d.sync += [begun.eq(1), cycle.eq(cycle + 1)]
        m.d.comb += dut.start.eq(~begun)
        is_store, waits = [], []
        for i in range(SENT):  # the program is chosen once
            free = [getattr(self, f"{what}{i}") for what in ("store", "load_", "store_")]
            kept = [Signal(len(value), name=f"kept{i}_{k}") for k, value in enumerate(free)]
            m.d.sync += [a.eq(Mux(begun, a, b)) for a, b in zip(kept, free, strict=True)]
            stores = sum(is_store, start=Signal(2))
            with m.If(begun):
                m.d.comb += Assume(kept[1] <= i - stores)
                m.d.comb += Assume(kept[2] <= stores)
            is_store.append(kept[0])
            waits.append({Engine.LOAD: kept[1], Engine.STORE: kept[2]})
        index = Signal(4)
        m.d.sync += index.eq(dut.code_index)
        with m.Switch(index):
            for i in range(SENT):
                with m.Case(i):
                    m.d.comb += dut.code[:8].eq(Mux(is_store[i], int(Opcode.STORE), int(Opcode.LOAD)))
                    for name in ("run", "count1", "count2"):
                        m.d.comb += _field(dut.code, Opcode.LOAD, name)[:1].eq(1)
                    m.d.comb += _field(dut.code, Opcode.LOAD, "dram")[:2].eq(i)
                    for e in USED:
                        m.d.comb += _field(dut.code, Opcode.HALT, WAIT_OF[e])[:2].eq(waits[i][e])
            with m.Default():
                m.d.comb += dut.code[:8].eq(int(Opcode.HALT))
        done = {e: Signal(3, name=f"done_{e.name}") for e in USED}
        given = {e: Signal(3, name=f"given_{e.name}") for e in USED}
        for e in USED:
            self._engine(m, e, is_store, waits, given, done)
        m.d.comb += Assert(dut.error == 0)
        with m.If(dut.ended & begun):
            m.d.comb += Assert(given[Engine.STORE] + given[Engine.LOAD] == SENT)
            m.d.comb += [Assert(given[e] == done[e]) for e in USED]
        with m.If(cycle == self.bound):
            m.d.comb += Assert(dut.ended)
        return m

    def _engine(self, m: Module, e: Engine, is_store: list, waits: list, given: dict, done: dict) -> None:
        port = getattr(self.dut, f"engine_{e.name.lower()}")
        busy, waited, age = Signal(name=f"busy_{e.name}"), Signal(3), Signal(3)
        taken = Signal(name=f"taken_{e.name}")
        finish = Signal(name=f"finish_{e.name}")
        free_ready, free_done = getattr(self, f"ready_{e.name}"), getattr(self, f"done_{e.name}")
        m.d.comb += port.ready.eq(~busy & (free_ready | (waited >= self.answer)))
        m.d.comb += [taken.eq(port.valid & port.ready), finish.eq(busy & (free_done | (age >= self.answer)))]
        m.d.comb += port.done.eq(finish)
        m.d.sync += [waited.eq(Mux(port.valid & ~busy & ~taken, waited + 1, 0)), age.eq(Mux(busy, age + 1, 0))]
        m.d.sync += [given[e].eq(given[e] + taken), done[e].eq(done[e] + finish)]
        with m.If(taken):
            m.d.sync += busy.eq(1)
            which = port.desc.dram[:2]
            here = Array([*(s if e == Engine.STORE else ~s for s in is_store), 0])[which]
            earlier = Signal(3, name=f"earlier_{e.name}")
            mine = [s if e == Engine.STORE else ~s for s in is_store]
            m.d.comb += earlier.eq(Array([sum(mine[:i], start=Signal(2)) for i in range(SENT + 1)])[which])
            m.d.comb += [Assert(which < SENT), Assert(here), Assert(earlier == given[e])]
            for other in USED:
                wanted = Array([*(wait[other] for wait in waits), 0])[which]
                m.d.comb += Assert(done[other] >= wanted)
        with m.Elif(finish):
            m.d.sync += busy.eq(0)
        held, before = Signal(name=f"held_{e.name}"), Signal(2, name=f"before_{e.name}")
        m.d.sync += [held.eq(port.valid & ~port.ready), before.eq(port.desc.dram[:2])]
        with m.If(held):
            m.d.comb += Assert(port.valid & (port.desc.dram[:2] == before))


def _broken(old: str, new: str) -> types.ModuleType:
    source = inspect.getsource(importlib.import_module("chanzi.rtl.sequencer"))
    assert old in source
    made = types.ModuleType("sequencer_broken")
    exec(compile(source.replace(old, new, 1), "sequencer_broken", "exec"), vars(made))
    return made


BOUND, ANSWER = 32, 1
DEPTH = BOUND + 2


def test_every_program_keeps_its_order_and_ends():
    found = prove(_Programs(importlib.import_module("chanzi.rtl.sequencer"), bound=BOUND, answer=ANSWER), depth=DEPTH)
    assert found.proved, found.report


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (">= read.data.waits[name])", "+ 1 >= read.data.waits[name])"),
        (">= read.data.waits[name])", "> read.data.waits[name])"),
        ("(level == depth) & ~pop", "(level == depth) & 0"),
        ("(~have | push) & ~stopping", "(~have | decoded) & ~stopping"),
    ],
    ids=["wait over early", "wait never over", "pushed where there is no room", "an instruction that waits is lost"],
)
def test_a_broken_sequencer_does_not(old: str, new: str):
    assert not prove(_Programs(_broken(old, new), bound=BOUND, answer=ANSWER), depth=DEPTH).proved
