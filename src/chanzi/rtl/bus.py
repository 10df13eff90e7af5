"""The bus: LOAD and STORE engines of all cores on one AXI4 master without IDs.

Bursts of the cores take turns on each address channel. Data and responses follow in the order of the addresses, so a
queue of owners tells whose they are. Written data never lead their address. No transfer waits for one of the other
direction.

Right under any back-pressure, but not yet as `chanzi.sim.timing` says: that has one transfer at a time for both
directions together, in the order of request, at the pace of the DRAM's bandwidth; here a burst is what takes turns.
"""

from typing import Any

from amaranth import Module, Signal, Value
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from chanzi.chip.chip import Chip
from chanzi.rtl.axi import read_side, write_side

_OWNERS = 16
"""Bursts under way in each direction."""


class Bus(wiring.Component):
    """`load{i}` and `store{i}` of core i are merged into `read` and `write`; an address takes a cycle to pass.

    Data pass combinationally: the owner's beat is on the bus in the same cycle.
    """

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        super().__init__(
            {f"load{i}": In(read_side(chip)) for i in range(chip.cores)}
            | {f"store{i}": In(write_side(chip)) for i in range(chip.cores)}
            | {"read": Out(read_side(chip)), "write": Out(write_side(chip))}
        )

    def _queue(self, m: Module, name: str) -> fifo.SyncFIFOBuffered:
        queue = fifo.SyncFIFOBuffered(width=max(1, (self.chip.cores - 1).bit_length()), depth=_OWNERS)
        m.submodules[name] = queue
        return queue

    def _addresses(self, m: Module, side: str, channel: str, owners: list[fifo.SyncFIFOBuffered]) -> None:
        """Merge an address channel; the core after the one served last has precedence."""
        cores = [getattr(self, f"{side}{i}") for i in range(self.chip.cores)]
        out: Any = self.read if side == "load" else self.write
        valid, ready = getattr(out, f"{channel}valid"), getattr(out, f"{channel}ready")
        asks = [getattr(core, f"{channel}valid") for core in cores]
        n = len(cores)
        last, pick = Signal(range(n), name=f"{channel}_last"), Signal(range(n), name=f"{channel}_pick")
        with m.Switch(last):
            for i in range(n):
                with m.Case(i):
                    for j in reversed(range(i + 1, i + 1 + n)):
                        with m.If(asks[j % n]):
                            m.d.comb += pick.eq(j % n)
        room: Value = ~valid | ready
        for queue in owners:
            room = room & (queue.w_level < _OWNERS - 2)
        take = Signal(name=f"{channel}_take")
        with m.If(valid & ready):
            m.d.sync += valid.eq(0)
        with m.Switch(pick):
            for i, core in enumerate(cores):
                with m.Case(i):
                    m.d.comb += [take.eq(room & asks[i]), getattr(core, f"{channel}ready").eq(room)]
                    with m.If(take):
                        for name in ("addr", "len"):
                            m.d.sync += getattr(out, channel + name).eq(getattr(core, channel + name))
        with m.If(take):
            m.d.sync += [valid.eq(1), last.eq(pick)]
        for queue in owners:
            m.d.comb += [queue.w_en.eq(valid & ready), queue.w_data.eq(last)]

    def elaborate(self, _platform: object) -> Module:
        """Build it."""
        m = Module()
        reads, writes, answers = (self._queue(m, f"{name}_owners") for name in ("read", "write", "answer"))
        self._addresses(m, "load", "ar", [reads])
        self._addresses(m, "store", "aw", [writes, answers])
        read: Any = self.read
        write: Any = self.write
        m.d.comb += [
            reads.r_en.eq(read.rvalid & read.rready & read.rlast),
            answers.r_en.eq(write.bvalid & write.bready),
        ]
        m.d.comb += writes.r_en.eq(write.wvalid & write.wready & write.wlast)
        for i in range(self.chip.cores):
            load, store = getattr(self, f"load{i}"), getattr(self, f"store{i}")
            m.d.comb += [load.rdata.eq(read.rdata), load.rlast.eq(read.rlast)]
            with m.If(reads.r_rdy & (reads.r_data == i)):
                m.d.comb += [load.rvalid.eq(read.rvalid), read.rready.eq(load.rready)]
            with m.If(writes.r_rdy & (writes.r_data == i)):
                m.d.comb += [write.wvalid.eq(store.wvalid), store.wready.eq(write.wready), write.wlast.eq(store.wlast)]
                m.d.comb += [write.wdata.eq(store.wdata), write.wstrb.eq(store.wstrb)]
            with m.If(answers.r_rdy & (answers.r_data == i)):
                m.d.comb += [store.bvalid.eq(write.bvalid), write.bready.eq(store.bready)]
        return m
