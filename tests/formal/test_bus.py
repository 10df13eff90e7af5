"""The bus, proved at small parameters: streams are stable, and no beat is lost, doubled or out of order.

One transfer has its turn for ever. The memory's side of AXI4 is free: it takes addresses and beats, and answers, in any
cycle that the protocol allows. Of the beats two are marked, any two: they leave once each, in order.
"""

import dataclasses
import importlib
import inspect
import types

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from amaranth import Module, Signal, Value
from amaranth.hdl import Assert, Assume
from amaranth.lib.wiring import Component, In

from chanzi.chip import load_chip
from chanzi.chip.chip import Scratchpad
from chanzi.flow.proof import prove

BUS = "chanzi.rtl.bus"
BEAT = 4
DEPTH = 12


def broken(old: str, new: str) -> types.ModuleType:
    """Return a copy of the bus with a piece of its source replaced."""
    source = inspect.getsource(importlib.import_module(BUS))
    assert source.count(old) == 1, old
    made = types.ModuleType(f"{BUS}_broken")
    exec(compile(source.replace(old, new), BUS, "exec"), vars(made))
    return made


class _Channels(Component):
    """The bus with one core, whose LOAD or STORE sends bursts and moves beats, both whenever it likes."""

    def __init__(self, module: types.ModuleType, *, stores: bool) -> None:
        chip = load_chip("chanzi-8")
        core = dataclasses.replace(chip.core, dim=4, port_bytes=4, scratchpad=Scratchpad(bytes=1024, banks=4))
        dram = dataclasses.replace(chip.dram, beat_bytes=BEAT, bytes_per_s=BEAT * chip.clock_hz, latency_ns=0)
        self.bus, self.stores = module.Bus(dataclasses.replace(chip, core=core, dram=dram)), stores
        free = {"burst": 1, "addr": 4, "len": 1, "aready": 1, "beat": 1, "mark": 2, "ready": 1, "last": 1}
        super().__init__({name: In(bits) for name, bits in free.items()})

    def elaborate(self, platform: object) -> Module:
        del platform
        m = Module()
        m.submodules.bus = bus = self.bus
        link = bus.store0 if self.stores else bus.load0
        asked = Signal()
        m.d.comb += [link.ask.eq(~asked), link.able.eq(1)]
        m.d.sync += asked.eq(asked | link.taken)
        self._addresses(m, link, "aw" if self.stores else "ar")
        put, take, valid, first = self._writes(m, link) if self.stores else self._reads(m, link)
        given, gone, waiting = Signal(2), Signal(2), Signal(4)
        m.d.sync += waiting.eq(waiting + put - take)
        # beats are 0, then once 1, then 0, then once 2, then 0
        entry = self.mark
        m.d.comb += Assume(~put | (entry == 0) | ((entry == 1) & (given == 0)) | ((entry == 2) & (given == 1)))
        with m.If(put & (entry != 0)):
            m.d.sync += given.eq(entry)
        with m.If(take):
            m.d.comb += Assert(waiting != 0)
            with m.If(first != 0):
                m.d.comb += [Assert(first == gone + 1), Assert(first <= given)]
                m.d.sync += gone.eq(first)
        with m.If(waiting == 0):
            m.d.comb += [Assert(gone == given), Assert(~valid)]
        return m

    def _stable(self, m: Module, name: str, valid: Value, ready: Value, payload: Value) -> None:
        """Assert that what is offered stays, unchanged, until it is taken."""
        held, before = Signal(name=f"held_{name}"), Signal(len(payload), name=f"before_{name}")
        m.d.sync += [held.eq(valid & ~ready), before.eq(payload)]
        with m.If(held):
            m.d.comb += Assert(valid & (payload == before))

    def _addresses(self, m: Module, link: Component, channel: str) -> None:
        """Send bursts of one or two beats; each comes out once, in order."""
        bus = self.bus
        valid, ready, addr, length = (
            getattr(bus, f"axi_{channel}{name}") for name in ("valid", "ready", "addr", "len")
        )
        m.d.comb += [link.avalid.eq(self.burst), link.aaddr.eq(self.addr << 2), link.alen.eq(self.len)]
        m.d.comb += ready.eq(self.aready)
        payload = Signal(8, name="burst_payload")
        m.d.comb += payload.eq((addr[2:6] << 1) | length[0])
        self._stable(m, channel, valid, ready, payload)
        there, wanted = Signal(), Signal(8)  # the register between link and port holds one
        moves, out = link.avalid & link.aready, valid & ready
        m.d.comb += Assert(valid == there)
        with m.If(out):
            m.d.comb += Assert(payload == wanted)
        m.d.sync += there.eq((there & ~out) | moves)
        with m.If(moves):
            m.d.comb += Assert(~there | out)
            m.d.sync += wanted.eq((self.addr << 1) | self.len)

    def _reads(self, m: Module, link: Component) -> tuple[Value, Value, Value, Value]:
        """Offer beats to the bus and take them at the link; return (put, take, one is there, its mark)."""
        bus = self.bus
        m.d.comb += [bus.axi_rvalid.eq(self.beat), bus.axi_rdata.eq(self.mark), bus.axi_rlast.eq(self.last)]
        m.d.comb += [link.rtake.eq(link.rvalid & self.ready), link.slot.eq(link.rtake)]
        return bus.axi_rvalid & bus.axi_rready, link.rtake, link.rvalid, link.rdata[:2]

    def _writes(self, m: Module, link: Component) -> tuple[Value, Value, Value, Value]:
        """Move beats from the link, no more than its bursts have; return (put, take, one is there, its mark)."""
        bus = self.bus
        m.d.comb += [link.slot.eq(link.pace & self.beat), link.wdata.eq(self.mark), link.wlast.eq(self.last)]
        m.d.comb += bus.axi_wready.eq(self.ready)
        self._stable(m, "w", bus.axi_wvalid, bus.axi_wready, (bus.axi_wdata[:2] << 1) | bus.axi_wlast)
        return link.slot, bus.axi_wvalid & bus.axi_wready, bus.axi_wvalid, bus.axi_wdata[:2]


@pytest.mark.parametrize("stores", [False, True], ids=["reads", "writes"])
def test_no_beat_is_lost_doubled_or_out_of_order(stores: bool):
    found = prove(_Channels(importlib.import_module(BUS), stores=stores), depth=DEPTH)
    assert found.proved, found.report


@pytest.mark.parametrize(
    ("stores", "old", "new"),
    [
        (False, "room.eq(~valid | ready)", "room.eq(1)"),
        (False, "with m.If(ready):", "with m.If(0):"),
        (False, "self.axi_rready.eq(count != 2)", "self.axi_rready.eq(1)"),
        (False, "with m.If(count == take):", "with m.If(count == 0):"),
        (True, "free.eq(~full | w_moves)", "free.eq(1)"),
        (True, "with m.If(w_moves):", "with m.If(self.axi_wready):"),
    ],
    ids=["address overwritten", "burst doubled", "no room for a beat", "beat lost", "beat overwritten", "never sent"],
)
def test_a_broken_bus_does_not(stores: bool, old: str, new: str):
    assert not prove(_Channels(broken(old, new), stores=stores), depth=DEPTH).proved
