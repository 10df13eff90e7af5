"""The bus: LOAD and STORE engines of all cores on one AXI4 master without IDs, one transfer at a time.

Transfers are put in line one a cycle (of those that ask together: the lower core first, its LOAD before its STORE) and
have their data in that order. A transfer goes once it is first in line, the one before has ended, and its first beat is
there (LOAD: from the memory; STORE: from the scratchpad). Addresses go out in the same order, as soon as they are in
line. A regulator keeps the pace of the DRAM's bandwidth: slot i of a transfer comes no earlier than
``i * pace_q16(chip) >> 16`` cycles after its first.
"""

from typing import Any

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from chanzi.chip.chip import Chip
from chanzi.isa.cycles import pace_q16
from chanzi.rtl.axi import axi_master, load_link, store_link

_INCR = 1


class Line(wiring.Component):
    """A queue of few short entries: what is put in is first, or waiting, in the next cycle.

    It must not be given more than `depth` entries.
    """

    def __init__(self, width: int, depth: int) -> None:
        self.width, self.depth = width, depth
        super().__init__({"put": In(1), "entry": In(width), "take": In(1), "valid": Out(1), "first": Out(width)})

    def elaborate(self, platform: object) -> Module:
        """Return the queue: entries move up."""
        del platform
        m = Module()
        entries = [Signal(self.width, name=f"entry{i}") for i in range(self.depth)]
        count = Signal(range(self.depth + 1))
        place = Signal(range(self.depth + 1))
        m.d.comb += [self.valid.eq(count != 0), self.first.eq(entries[0]), place.eq(count - self.take)]
        m.d.sync += count.eq(count - self.take + self.put)
        for i, entry in enumerate(entries):
            with m.If(self.put & (place == i)):
                m.d.sync += entry.eq(self.entry)
            with m.Elif(self.take & (i + 1 < self.depth)):
                m.d.sync += entry.eq(entries[min(i + 1, self.depth - 1)])
        return m


class Bus(wiring.Component):
    """`load{i}` and `store{i}` are the engines of core i; `clear` forgets the pace, at the start of a run.

    `fault` stays high once the memory has answered anything but OKAY.
    """

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        super().__init__(
            {f"load{i}": In(load_link(chip)) for i in range(chip.cores)}
            | {f"store{i}": In(store_link(chip)) for i in range(chip.cores)}
            | axi_master(chip)
            | {"clear": In(1), "fault": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        """Return the line, the address channels, the regulator and the data channels."""
        del platform
        m, cores = Module(), self.chip.cores
        loads: list[Any] = [getattr(self, f"load{i}") for i in range(cores)]
        stores: list[Any] = [getattr(self, f"store{i}") for i in range(cores)]
        links = [link for pair in zip(loads, stores, strict=True) for link in pair]  # in the order of precedence
        core_bits = max(1, (cores - 1).bit_length())
        m.submodules.order = order = Line(core_bits + 1, 2 * cores)
        m.submodules.reads = reads = Line(core_bits, 2 * cores)
        m.submodules.writes = writes = Line(core_bits, 2 * cores)
        self._line_up(m, links, order, reads, writes)
        self._addresses(m, "ar", loads, reads)
        self._addresses(m, "aw", stores, writes)
        beat_there, data, take = self._read_channel(m)
        w_free, answers = self._write_channel(m, stores)

        owned, owner = Signal(), Signal(core_bits + 1)
        slot, end, go = Signal(), Signal(), Signal()
        open_now, soon = self._regulator(m, slot, go)
        able, slots, ends, takes = ([] for _ in range(4))
        for k, link in enumerate(links):
            mine = Signal(name=f"owns{k}")
            is_load = k % 2 == 0
            m.d.comb += [mine.eq(owned & (owner == k)), link.go.eq(go & (order.first == k))]
            ready = open_now if is_load else open_now & w_free & answers.w_rdy
            m.d.comb += link.pace.eq(mine & ready)
            able.append((order.first == k) & link.able & (beat_there if is_load else 1))
            slots.append(mine & link.slot)
            ends.append(mine & link.slot & link.end)
            if is_load:
                m.d.comb += [link.rvalid.eq(mine & ready & beat_there), link.rdata.eq(data)]
                takes.append(mine & link.rtake)
        m.d.comb += [slot.eq(_any(slots)), end.eq(_any(ends)), take.eq(_any(takes))]
        m.d.comb += [go.eq(order.valid & ~owned & soon & _any(able)), order.take.eq(go)]
        with m.If(go):
            m.d.sync += [owned.eq(1), owner.eq(order.first)]
        with m.If(end):
            m.d.sync += owned.eq(0)
        return m

    def _line_up(self, m: Module, links: list[Any], order: Line, reads: Line, writes: Line) -> None:
        before: Value = Value.cast(0)
        for k, link in enumerate(links):
            m.d.comb += link.taken.eq(link.ask & ~before)
            before = before | link.ask
            with m.If(link.taken):
                m.d.comb += [order.put.eq(1), order.entry.eq(k)]
                side = writes if k % 2 else reads
                m.d.comb += [side.put.eq(1), side.entry.eq(k // 2)]

    def _addresses(self, m: Module, channel: str, links: list[Any], line: Line) -> None:
        """Give an address channel the bursts of the transfers in line, one a cycle."""
        names = ("valid", "ready", "addr", "len", "size", "burst")
        valid, ready, addr, length, size, burst = (getattr(self, f"axi_{channel}{name}") for name in names)
        m.d.comb += [size.eq((self.chip.dram.beat_bytes - 1).bit_length()), burst.eq(_INCR)]
        room = Signal(name=f"{channel}_room")
        m.d.comb += room.eq(~valid | ready)
        with m.If(ready):
            m.d.sync += valid.eq(0)
        for i, link in enumerate(links):
            with m.If(line.valid & (line.first == i) & room):
                m.d.comb += [link.aready.eq(1), line.take.eq(link.avalid & link.alast)]
                with m.If(link.avalid):
                    m.d.sync += [valid.eq(1), addr.eq(link.aaddr), length.eq(link.alen)]

    def _read_channel(self, m: Module) -> tuple[Value, Value, Signal]:
        """Return (a beat is there, the beat, take it): two registers, so that nothing combinational leaves the chip."""
        beats = [Signal(8 * self.chip.dram.beat_bytes, name=f"beat{i}", reset_less=True) for i in range(2)]
        count, take, put = Signal(2), Signal(), Signal()
        m.d.comb += [self.axi_rready.eq(count != 2), put.eq(self.axi_rvalid & (count != 2))]
        m.d.sync += count.eq(count + put - take)
        with m.If(take):
            m.d.sync += beats[0].eq(beats[1])
        with m.If(put):
            m.d.sync += beats[1].eq(self.axi_rdata)
            with m.If(count == take):
                m.d.sync += beats[0].eq(self.axi_rdata)
        with m.If((put & (self.axi_rresp != 0)) | (self.axi_bvalid & (self.axi_bresp != 0))):
            m.d.sync += self.fault.eq(1)
        return count != 0, beats[0], take

    def _write_channel(self, m: Module, stores: list[Any]) -> tuple[Value, Any]:
        """Return (a slot's beat has a place, the queue of transfers that wait for their responses)."""
        full, addressed, bursts, got = Signal(), Signal(32), Signal(32), Signal(32)
        depth = len(stores) * (self.chip.dram_latency_cycles // 8 + 3)
        core_bits = max(1, (len(stores) - 1).bit_length())
        m.submodules.answers = answers = fifo.SyncFIFOBuffered(width=32 + core_bits, depth=depth)
        w_moves, free = Signal(), Signal()
        m.d.comb += [self.axi_wvalid.eq(full & (addressed != 0)), w_moves.eq(self.axi_wvalid & self.axi_wready)]
        m.d.comb += [free.eq(~full | w_moves), self.axi_bready.eq(1)]
        m.d.sync += addressed.eq(addressed + (self.axi_awvalid & self.axi_awready) - (w_moves & self.axi_wlast))
        with m.If(w_moves):
            m.d.sync += full.eq(0)
        for i, link in enumerate(stores):
            with m.If(link.slot):
                m.d.sync += [full.eq(1), self.axi_wdata.eq(link.wdata), self.axi_wstrb.eq(link.wstrb)]
                m.d.sync += [self.axi_wlast.eq(link.wlast), bursts.eq(Mux(link.end, 0, bursts + link.wlast))]
                m.d.comb += [answers.w_en.eq(link.end), answers.w_data.eq(((bursts + 1)[:32] << core_bits) | i)]
        whole = Signal()
        wanted = answers.r_data[core_bits:]
        m.d.comb += [whole.eq(answers.r_rdy & (got >= wanted)), answers.r_en.eq(whole)]
        m.d.sync += got.eq(got + self.axi_bvalid - Mux(whole, wanted, 0))
        for i, link in enumerate(stores):
            m.d.comb += link.answered.eq(whole & (answers.r_data[:core_bits] == i))
        return free, answers

    def _regulator(self, m: Module, slot: Signal, go: Signal) -> tuple[Value, Value]:
        """Return (this cycle may be a slot, the next may)."""
        q = pace_q16(self.chip)
        whole, fraction = divmod(q, 1 << 16)
        wait, part = Signal(range(whole + 1)), Signal(16)
        total = Signal(17)
        m.d.comb += total.eq(part + fraction)
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(slot):
            m.d.sync += [wait.eq(whole - 1 + total[16]), part.eq(total[:16])]
        with m.If(go):
            m.d.sync += part.eq(0)
        with m.If(self.clear):
            m.d.sync += wait.eq(0)
        return wait == 0, wait <= 1


def _any(values: list[Any]) -> Value:
    found: Value = Value.cast(0)
    for value in values:
        found = found | value
    return found
