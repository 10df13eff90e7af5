"""Queues and burst addresses, proved: nothing is lost, doubled or out of order; bursts keep the rules of AXI4."""

import dataclasses
import importlib
import inspect
import types

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume
from amaranth.lib import fifo
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip import load_chip
from chanzi.flow.proof import prove

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def broken(name: str, old: str, new: str) -> types.ModuleType:
    """Return a copy of a module with a piece of its source replaced."""
    source = inspect.getsource(importlib.import_module(name))
    assert source.count(old) >= 1, old
    made = types.ModuleType(f"{name}_broken")
    exec(compile(source.replace(old, new, 1), name, "exec"), vars(made))
    return made


class _Order(Component):
    """A queue given two marked entries, at any times, among others: they leave once each, in order."""

    def __init__(self, queue: Component, depth: int, *, line: bool) -> None:
        self.queue, self.depth, self.line = queue, depth, line
        super().__init__({"put": In(1), "entry": In(2), "take": In(1)})

    def elaborate(self, platform: object) -> Module:
        del platform
        m = Module()
        m.submodules.queue = q = self.queue
        count, put, take = Signal(range(self.depth + 3)), Signal(), Signal()
        if self.line:  # its user promises never to overfill it
            valid, first, room = q.valid, q.first, count < self.depth
            m.d.comb += [q.put.eq(put), q.entry.eq(self.entry), q.take.eq(take)]
        else:
            valid, first, room = q.r_rdy, q.r_data, q.w_rdy
            m.d.comb += [q.w_en.eq(put), q.w_data.eq(self.entry), q.r_en.eq(take)]
        m.d.comb += [put.eq(self.put & room), take.eq(self.take & valid)]
        m.d.sync += count.eq(count + put - take)
        given, gone = Signal(2), Signal(2)
        # entries are 0, then once 1, then 0, then once 2, then 0
        m.d.comb += Assume(
            ~put | (self.entry == 0) | ((self.entry == 1) & (given == 0)) | ((self.entry == 2) & (given == 1))
        )
        with m.If(put & (self.entry != 0)):
            m.d.sync += given.eq(self.entry)
        with m.If(take & (first != 0)):
            m.d.comb += Assert(first == gone + 1)
            m.d.comb += Assert(first <= given)
            m.d.sync += gone.eq(first)
        held, before = Signal(), Signal(2)
        m.d.sync += [held.eq(valid & ~take), before.eq(first)]
        with m.If(held):
            m.d.comb += Assert(valid & (first == before))
        m.d.comb += Assert(~valid | (count != 0))
        with m.If(count == 0):
            m.d.comb += Assert(gone == given)
        hungry = Signal(2)  # an entry that waits shows within two cycles
        m.d.sync += hungry.eq(hungry + 1)
        with m.If(valid | (count == 0)):
            m.d.sync += hungry.eq(0)
        m.d.comb += Assert(hungry <= 2)
        return m


def _line(module: types.ModuleType) -> Component:
    return _Order(module.Line(2, 3), 3, line=True)


def _buffered(module: types.ModuleType) -> Component:
    return _Order(module.SyncFIFOBuffered(width=2, depth=3), 3, line=False)


def test_a_line_keeps_its_order():
    assert prove(_line(importlib.import_module("chanzi.rtl.bus")), depth=8).proved


@pytest.mark.parametrize(
    ("old", "new"),
    [("place.eq(count - self.take)", "place.eq(count)"), ("i + 1 < self.depth", "i + 2 < self.depth")],
)
def test_a_broken_line_does_not(old: str, new: str):
    found = prove(_line(broken("chanzi.rtl.bus", old, new)), depth=8)
    assert not found.proved
    assert "$var" in found.trace


def test_the_words_of_store_keep_their_order():
    assert prove(_buffered(fifo), depth=8).proved


def test_a_queue_that_drops_a_word_when_full_does_not():
    class Dropping(Component):
        """Says that it has room always."""

        def elaborate(self, platform: object) -> Module:
            del platform
            m = Module()
            m.submodules.inner = inner = fifo.SyncFIFOBuffered(width=2, depth=3)
            m.d.comb += [inner.w_en.eq(self.w_en), inner.w_data.eq(self.w_data), self.w_rdy.eq(1)]
            m.d.comb += [inner.r_en.eq(self.r_en), self.r_data.eq(inner.r_data), self.r_rdy.eq(inner.r_rdy)]
            return m

    members = {"w_en": In(1), "w_data": In(2), "w_rdy": Out(1), "r_en": In(1), "r_data": Out(2), "r_rdy": Out(1)}
    found = prove(_Order(Dropping(members), 6, line=False), depth=8)
    assert not found.proved
    assert found.failed_at is not None


_BEAT, _LOG = 128, 7
"""Bytes of a beat: large ones make few beats of 4 KiB, and so a small proof."""
_FIRST = 4096 - 256
"""Where transfers begin, so that runs cross a multiple of 4 KiB."""


class _BurstRules(Component):
    """Bursts of any transfer: held until taken, inside 4 KiB, and together as many beats as its runs touch."""

    def __init__(self, module: types.ModuleType) -> None:
        chip = load_chip("chanzi-8")
        core = dataclasses.replace(chip.core, port_bytes=_BEAT)
        self.chip = dataclasses.replace(chip, core=core, dram=dataclasses.replace(chip.dram, beat_bytes=_BEAT))
        self.dut = module._Bursts(self.chip)
        members = {name: In(bits) for name, bits in (("dram", 9), ("step", 9), ("run", 9), ("count", 2))}
        super().__init__({"ready": In(1), **members})

    def elaborate(self, platform: object) -> Module:
        del platform
        m = Module()
        m.submodules.dut = dut = self.dut
        begun = Signal()
        m.d.sync += begun.eq(1)
        m.d.comb += [Assume(self.run != 0), Assume((self.count == 1) | (self.count == 2))]
        desc = dut.next
        m.d.comb += [
            dut.start.eq(~begun),
            dut.ready.eq(self.ready),
            desc.dram.eq(_FIRST + self.dram),
            desc.run.eq(self.run),
        ]
        m.d.comb += [desc.count1.eq(self.count), desc.count2.eq(1), desc.dram_step1.eq(self.step)]
        held, addr, length, last = Signal(), Signal(40), Signal(8), Signal()
        m.d.sync += [held.eq(dut.valid & ~dut.ready), addr.eq(dut.addr), length.eq(dut.len), last.eq(dut.last)]
        with m.If(held):
            m.d.comb += Assert(dut.valid & (dut.addr == addr) & (dut.len == length) & (dut.last == last))
        beats, wanted, runs = Signal(16), Signal(16), Signal(2)
        start, bytes_, step = Signal(16), Signal(16), Signal(16)
        with m.If(~begun):
            m.d.sync += [start.eq(_FIRST + self.dram), bytes_.eq(self.run), step.eq(self.step), runs.eq(self.count)]
        # the beats that the runs touch, added up one run a cycle; bursts of a run take a cycle each at least
        with m.Elif(runs != 0):
            m.d.sync += wanted.eq(wanted + ((start + bytes_ - 1)[_LOG:16] - start[_LOG:16])[: 16 - _LOG] + 1)
            m.d.sync += [start.eq(start + step), runs.eq(runs - 1)]
        over = Signal()
        with m.If(dut.valid):
            m.d.comb += Assert((dut.addr[:12] + ((dut.len + 1) << _LOG)) <= 4096)
            m.d.comb += [Assert(dut.addr[:_LOG] == 0), Assert(~over)]
        with m.If(dut.valid & dut.ready):
            m.d.sync += [beats.eq(beats + dut.len + 1), over.eq(dut.last)]
            with m.If(dut.last):
                m.d.comb += Assert(beats + dut.len + 1 == wanted)
        return m


def test_bursts_keep_the_rules():
    module = importlib.import_module("chanzi.rtl.dma")
    found = prove(_BurstRules(module), depth=8)
    assert found.proved, found.report


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("made.eq(left & (~self.valid | self.ready))", "made.eq(left)"),
        ("min(4096, 256 * beat)", "min(8192, 512 * beat)"),
        ("runs.dram + desc.run - 1)", "runs.dram + desc.run)"),
    ],
)
def test_broken_bursts_do_not(old: str, new: str):
    assert not prove(_BurstRules(broken("chanzi.rtl.dma", old, new)), depth=8).proved
