"""The DMA engines: LOAD brings runs of bytes from DRAM into the scratchpad, STORE takes them back.

A transfer is ``count2`` groups of ``count1`` runs. A run is read or written in whole beats, in bursts that never cross
a multiple of min(4096, 256 beats) bytes, so both AXI4 limits hold and a burst's last beat shows in its address alone.
Scratchpad addresses of runs are multiples of the atom; DRAM addresses are any byte, so beats are rotated.

An engine holds two transfers: one whose data flow and the next, whose addresses go out and, for STORE, whose words are
fetched, meanwhile. When each has its turn is the bus's business (`chanzi.rtl.bus`); a slot is a cycle in which the bus
moves a beat of the transfer. LOAD needs one slot more than beats where the end of a run, rotated, spills over its last
beat.
"""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from chanzi.chip.chip import Chip
from chanzi.rtl.axi import ADDRESS_BITS, load_link, store_link
from chanzi.rtl.descriptor import address_bits, dma_layout
from chanzi.rtl.ports import READ_LATENCY, engine_port, read_port, write_port

_PREFETCHED = 8
"""Words that STORE holds: enough to cover the scratchpad's latency at a beat a cycle."""
_LOAD_ASKS = 1
"""Cycles for which a transfer is held before it asks for its place in line: its first burst is ready then."""
_STORE_ASKS = 5
"""The same: its first word is there when its turn comes, at the earliest."""


class _Runs:
    """The runs of a transfer, one after the other: `dram` and `base` of this one, `last` where none follows."""

    def __init__(self, chip: Chip, desc: Any, name: str) -> None:
        self.desc = desc
        bits = address_bits(chip.core)
        self.dram = Signal(ADDRESS_BITS, name=f"{name}_dram")
        self.base = Signal(bits, name=f"{name}_base")
        self._group = (Signal(ADDRESS_BITS, name=f"{name}_group_dram"), Signal(bits, name=f"{name}_group_base"))
        self._left = (Signal(32, name=f"{name}_left1"), Signal(32, name=f"{name}_left2"))
        self.last = Signal(name=f"{name}_last")

    def start(self, m: Module, desc: Any) -> None:
        """Go to the first run of `desc`, in the next cycle."""
        m.d.sync += [self.dram.eq(desc.dram), self.base.eq(desc.base)]
        m.d.sync += [self._group[0].eq(desc.dram), self._group[1].eq(desc.base)]
        m.d.sync += [self._left[0].eq(desc.count1), self._left[1].eq(desc.count2)]

    def advance(self, m: Module) -> None:
        """Go to the next run, in the next cycle."""
        with m.If(self._left[0] != 1):
            m.d.sync += self._left[0].eq(self._left[0] - 1)
            m.d.sync += self.dram.eq(self.dram + self.desc.dram_step1)
            m.d.sync += self.base.eq(self.base + self.desc.base_step1)
        with m.Else():
            dram, base = self._group[0] + self.desc.dram_step2, self._group[1] + self.desc.base_step2
            m.d.sync += [self._left[0].eq(self.desc.count1), self._left[1].eq(self._left[1] - 1)]
            m.d.sync += [self.dram.eq(dram), self.base.eq(base), self._group[0].eq(dram), self._group[1].eq(base)]

    def watch(self, m: Module) -> None:
        """Drive `last`."""
        m.d.comb += self.last.eq((self._left[0] == 1) & (self._left[1] == 1))


class _Bursts(wiring.Component):
    """Addresses of a transfer's bursts, one a cycle. `start`, only where `free`, takes the descriptor."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        super().__init__({
            "start": In(1), "free": Out(1), "next": In(dma_layout(chip)),
            "valid": Out(1), "ready": In(1), "addr": Out(ADDRESS_BITS), "len": Out(8), "last": Out(1),
        })  # fmt: skip

    def elaborate(self, _platform: object) -> Module:
        """Build it."""
        m = Module()
        beat = self.chip.dram.beat_bytes
        log = beat.bit_length() - 1
        span = min(4096, 256 * beat).bit_length() - 1
        desc = Signal(dma_layout(self.chip))
        runs = _Runs(self.chip, desc, "burst")
        runs.watch(m)
        first, fresh = Signal(ADDRESS_BITS), Signal()
        end = Signal(ADDRESS_BITS)
        m.d.comb += end.eq(runs.dram + desc.run - 1)  # the run's last byte
        here = Mux(fresh, runs.dram, first)
        last = Signal()
        m.d.comb += last.eq(here[span:] == end[span:])
        stop = Mux(last, end[log:span], (1 << (span - log)) - 1)
        left, made = Signal(), Signal()  # bursts to be made yet; one is, in this cycle
        m.d.comb += [made.eq(left & (~self.valid | self.ready)), self.free.eq(~left | (made & last & runs.last))]
        with m.If(self.ready):
            m.d.sync += self.valid.eq(0)
        with m.If(made):
            m.d.sync += [self.valid.eq(1), self.last.eq(last & runs.last)]
            m.d.sync += [self.addr.eq(Cat(here[:log] & 0, here[log:])), self.len.eq(stop - here[log:span])]
            m.d.sync += [first.eq((here[span:] + 1) << span), fresh.eq(last)]
            with m.If(last):
                runs.advance(m)
                m.d.sync += left.eq(~runs.last)
        with m.If(self.start):
            runs.start(m, self.next)
            m.d.sync += [desc.eq(self.next), left.eq(1), fresh.eq(1)]
        return m


class _Engine(wiring.Component):
    """What both engines share: the next transfer, its place in line, its bursts; the one whose data flow."""

    def __init__(self, chip: Chip, ports: dict[str, object]) -> None:
        self.chip = chip
        super().__init__({"port": In(engine_port(dma_layout(chip))), **ports})

    def frame(self, m: Module, asks: int) -> tuple[Any, Any, Signal]:
        """Return (the next transfer, the one whose data flow, the next is there and has its addresses under way)."""
        axi: Any = self.axi
        following, desc = Signal(dma_layout(self.chip)), Signal(dma_layout(self.chip))
        full, asked, addressed = Signal(), Signal(), Signal()
        age = Signal(range(asks + 1))
        bursts = m.submodules.bursts = _Bursts(self.chip)
        m.d.comb += [self.port.ready.eq(~full), axi.ask.eq(full & ~asked & (age == asks))]
        m.d.comb += [bursts.next.eq(following), bursts.start.eq(full & ~addressed & bursts.free)]
        m.d.comb += [axi.avalid.eq(bursts.valid), axi.aaddr.eq(bursts.addr), axi.alen.eq(bursts.len)]
        m.d.comb += [axi.alast.eq(bursts.last), bursts.ready.eq(axi.aready)]
        with m.If(age != asks):
            m.d.sync += age.eq(age + 1)
        with m.If(axi.taken):
            m.d.sync += asked.eq(1)
        with m.If(bursts.start):
            m.d.sync += addressed.eq(1)
        with m.If(axi.go):
            m.d.sync += [full.eq(0), desc.eq(following)]
        with m.If(self.port.valid & ~full):
            m.d.sync += [following.eq(self.port.desc), full.eq(1), asked.eq(0), addressed.eq(0), age.eq(0)]
        there = Signal()
        m.d.comb += there.eq(full & asked & addressed)
        return following, desc, there


class LoadEngine(_Engine):
    """LOAD: `port.done` pulses in the cycle in which the last bytes are presented.

    `write` masks all bytes beside the run's.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip, {"axi": Out(load_link(chip)), "write": Out(write_port(chip.core))})

    def elaborate(self, _platform: object) -> Module:
        """Build it."""
        m = Module()
        beat, W, atom = self.chip.dram.beat_bytes, self.chip.core.port_bytes, self.chip.core.atom_bytes
        log = beat.bit_length() - 1
        axi, write = self.axi, self.write
        following, desc, there = self.frame(m, _LOAD_ASKS)
        m.d.comb += axi.able.eq(there)
        runs = _Runs(self.chip, desc, "data")
        runs.watch(m)
        active, inside = Signal(), Signal()  # data are awaited; the run has brought a beat
        at, left = Signal(address_bits(self.chip.core)), Signal(32)
        kept = Signal(8 * beat)  # the beat before
        skew = runs.dram[:log]
        spilled, flush = Signal(), Signal()  # what is left of the run lies in `kept` alone
        m.d.comb += [spilled.eq(active & inside & (skew != 0) & (left + skew <= beat)), flush.eq(spilled & axi.pace)]
        moved, gives = Signal(), Signal()
        m.d.comb += [moved.eq(axi.rvalid & active & ~spilled), axi.rtake.eq(moved), axi.slot.eq(moved | flush)]
        m.d.comb += gives.eq(flush | (moved & (inside | (skew == 0) | (left + skew <= beat))))
        joined = Mux(inside & (skew != 0), Cat(kept, axi.rdata), Cat(axi.rdata, axi.rdata))
        word, mask = Signal(8 * beat), Signal(beat)
        m.d.comb += word.eq(joined >> (skew << 3))
        m.d.comb += mask.eq(Mux(left >= beat, (1 << beat) - 1, (1 << left[:log]) - 1))
        here = Mux(inside, at, runs.base)
        low = (atom - 1) if beat < atom else 0
        ended = Signal()
        m.d.comb += ended.eq(gives & (left <= beat))
        m.d.sync += [write.en.eq(gives), write.addr.eq(here & ~(atom - 1))]
        m.d.sync += write.data.eq(word << ((here & low) << 3)[: (8 * W).bit_length() - 1])
        m.d.sync += write.mask.eq(mask << (here & low)[: W.bit_length() - 1])
        finished = Signal()
        m.d.comb += [axi.end.eq(ended & runs.last), self.port.done.eq(finished)]
        m.d.sync += finished.eq(axi.end)
        with m.If(moved):
            m.d.sync += [kept.eq(axi.rdata), inside.eq(1), at.eq(here)]
        with m.If(gives):
            m.d.sync += [at.eq(here + beat), left.eq(left - beat)]
        with m.If(ended):
            m.d.sync += [inside.eq(0), left.eq(desc.run), active.eq(~runs.last)]
            runs.advance(m)
        with m.If(axi.go):
            runs.start(m, following)
            m.d.sync += [active.eq(1), inside.eq(0), left.eq(following.run)]
        return m


class StoreEngine(_Engine):
    """STORE: `port.done` pulses when the last write response of a transfer has come.

    Words are fetched ahead of data, as many as `_PREFETCHED`, also those of the next transfer.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip, {"axi": Out(store_link(chip)), "read": Out(read_port(chip.core))})

    def _fetch(self, m: Module, following: Any) -> tuple[fifo.SyncFIFOBuffered, Signal]:
        """Build the reader of words of a beat's size, in the order of the runs.

        Return (where they arrive, the next transfer's are being read or have been).
        """
        beat, atom = self.chip.dram.beat_bytes, self.chip.core.atom_bytes
        words = m.submodules.words = fifo.SyncFIFOBuffered(width=8 * beat, depth=_PREFETCHED)
        desc = Signal(dma_layout(self.chip))
        runs = _Runs(self.chip, desc, "fetch")
        runs.watch(m)
        active, fresh, begun, begin = Signal(), Signal(), Signal(init=1), Signal()
        at, left, room = (
            Signal(address_bits(self.chip.core)),
            Signal(32),
            Signal(range(_PREFETCHED + 1), init=_PREFETCHED),
        )
        here = Mux(fresh, runs.base, at)
        low = (atom - 1) if beat < atom else 0
        go = Signal()
        m.d.comb += [go.eq(active & (room != 0)), self.read.en.eq(go), self.read.addr.eq(here & ~(atom - 1))]
        m.d.comb += self.read.need.eq((here & low) + Mux(left < beat, left, beat))
        m.d.sync += room.eq(room - go + (words.r_en & words.r_rdy))
        arrived, shift = go, here & low
        for stage in range(READ_LATENCY):
            valid, place = (
                Signal(name=f"fetch_valid{stage}"),
                Signal(max(1, low.bit_length()), name=f"fetch_low{stage}"),
            )
            m.d.sync += [valid.eq(arrived), place.eq(shift)]
            arrived, shift = valid, place
        m.d.comb += [words.w_en.eq(arrived), words.w_data.eq(self.read.data >> (shift << 3))]
        final = Signal()
        m.d.comb += [final.eq(go & (left <= beat) & runs.last), begin.eq(~begun & (~active | final))]
        with m.If(go):
            m.d.sync += [at.eq(here + beat), left.eq(left - beat), fresh.eq(0)]
            with m.If(left <= beat):
                runs.advance(m)
                m.d.sync += [fresh.eq(1), left.eq(desc.run), active.eq(~runs.last)]
        with m.If(begin):
            runs.start(m, following)
            m.d.sync += [desc.eq(following), active.eq(1), fresh.eq(1), left.eq(following.run), begun.eq(1)]
        with m.If(self.port.valid & self.port.ready):
            m.d.sync += begun.eq(0)
        return words, begun

    def elaborate(self, _platform: object) -> Module:
        """Build it."""
        m = Module()
        beat = self.chip.dram.beat_bytes
        log = beat.bit_length() - 1
        span = min(4096, 256 * beat).bit_length() - 1
        axi = self.axi
        following, desc, there = self.frame(m, _STORE_ASKS)
        words, fetching = self._fetch(m, following)
        m.d.comb += axi.able.eq(there & fetching & words.r_rdy)
        runs = _Runs(self.chip, desc, "data")
        runs.watch(m)
        active, inside = Signal(), Signal()
        place, end = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)  # the beat's number; the run's last byte
        kept = Signal(8 * beat)
        skew = runs.dram[:log]
        here = Mux(inside, place, runs.dram[log:])
        m.d.comb += end.eq(runs.dram + desc.run - 1)
        final = Signal()  # the run's last beat
        m.d.comb += final.eq(here == end[log:])
        tail, taken = Signal(32), Signal(32)  # bytes of the run that no word taken yet holds
        offered = Signal()
        m.d.comb += tail.eq(Mux(inside, taken, desc.run))
        needs = tail != 0
        m.d.comb += offered.eq(active & axi.pace & (words.r_rdy | ~needs))
        m.d.comb += [words.r_en.eq(offered & needs), self.port.done.eq(axi.answered)]
        ends = final | (here[: span - log] == (1 << (span - log)) - 1)
        first_byte = Mux(inside, 0, skew)
        last_byte = Mux(final, end[:log], beat - 1)
        m.d.comb += [axi.slot.eq(offered), axi.wlast.eq(ends), axi.end.eq(final & runs.last)]
        m.d.comb += axi.wdata.eq(Cat(kept, words.r_data) >> ((beat - skew)[: log + 1] << 3))
        m.d.comb += [axi.wstrb[j].eq((first_byte <= j) & (last_byte >= j)) for j in range(beat)]
        with m.If(offered):
            m.d.sync += [kept.eq(words.r_data), place.eq(here + 1), inside.eq(~final)]
            m.d.sync += taken.eq(Mux(tail <= beat, 0, tail - beat))
            with m.If(final):
                runs.advance(m)
                m.d.sync += active.eq(~runs.last)
        with m.If(axi.go):
            runs.start(m, following)
            m.d.sync += [active.eq(1), inside.eq(0)]
        return m
