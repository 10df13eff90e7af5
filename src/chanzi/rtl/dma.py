"""The DMA engines: LOAD brings runs of bytes from DRAM into the scratchpad, STORE takes them back.

A transfer is ``count2`` groups of ``count1`` runs. A run is read or written in whole beats, in bursts that never cross
a multiple of min(4096, 256 beats) bytes, so both AXI4 limits hold and a burst's last beat shows in its address alone.
Scratchpad addresses of runs are multiples of the atom; DRAM addresses are any byte, so beats are rotated.

The bytes are those of the reference, under any back-pressure. The cycles are not yet those of `chanzi.isa.cycles`: an
engine takes its next descriptor only when a transfer is complete, and changes runs with a cycle in between.
"""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from chanzi.chip.chip import Chip
from chanzi.errors import ChipError
from chanzi.rtl.axi import ADDRESS_BITS, read_side, write_side
from chanzi.rtl.descriptor import address_bits, dma_layout
from chanzi.rtl.ports import READ_LATENCY, engine_port, read_port, write_port

_PREFETCHED = 8
"""Words that STORE holds: enough to cover the scratchpad's latency at a beat a cycle."""


def refuse_unbuildable(chip: Chip) -> None:
    """Raise ChipError where the engines cannot serve the chip's bus."""
    if chip.dram.beat_bytes > chip.core.port_bytes:
        raise ChipError(
            f"dram.beat_bytes {chip.dram.beat_bytes} is more than core.port_bytes {chip.core.port_bytes}",
            hint="the DMA engines move at most a scratchpad word a cycle: choose a narrower bus or a wider port",
        )


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
    """Addresses of a transfer's bursts; `start` takes the descriptor (stable until done), `busy` ends with the last."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        super().__init__({
            "start": In(1), "desc": In(dma_layout(chip)), "busy": Out(1),
            "valid": Out(1), "ready": In(1), "addr": Out(ADDRESS_BITS), "len": Out(8),
        })  # fmt: skip

    def elaborate(self, _platform: object) -> Module:
        """Build it."""
        m = Module()
        beat = self.chip.dram.beat_bytes
        log = beat.bit_length() - 1
        span = min(4096, 256 * beat).bit_length() - 1
        runs = _Runs(self.chip, self.desc, "burst")
        runs.watch(m)
        first, fresh = Signal(ADDRESS_BITS), Signal()
        end = Signal(ADDRESS_BITS)
        m.d.comb += end.eq(runs.dram + self.desc.run - 1)  # the run's last byte
        here = Mux(fresh, runs.dram, first)
        last = Signal()
        m.d.comb += last.eq(here[span:] == end[span:])
        stop = Mux(last, end[log:span], (1 << (span - log)) - 1)
        take = Signal()
        m.d.comb += take.eq(self.busy & (~self.valid | self.ready))
        left = Signal()  # bursts to be presented yet
        m.d.comb += self.busy.eq(left | self.valid)
        with m.If(self.valid & self.ready):
            m.d.sync += self.valid.eq(0)
        with m.If(take & left):
            m.d.sync += [
                self.valid.eq(1),
                self.addr.eq(Cat(here[:log] & 0, here[log:])),
                self.len.eq(stop - here[log:span]),
            ]
            m.d.sync += [first.eq((here[span:] + 1) << span), fresh.eq(last)]
            with m.If(last):
                runs.advance(m)
                m.d.sync += left.eq(~runs.last)
        with m.If(self.start):
            runs.start(m, self.desc)
            m.d.sync += [left.eq(1), fresh.eq(1)]
        return m


class _Engine(wiring.Component):
    """What both engines share: the descriptor, taken when idle, and the bursts of it."""

    def __init__(self, chip: Chip, ports: dict[str, object]) -> None:
        refuse_unbuildable(chip)
        self.chip = chip
        super().__init__({"port": In(engine_port(dma_layout(chip))), **ports})

    def frame(self, m: Module) -> tuple[Any, Signal, _Bursts, Signal]:
        """Return (descriptor, busy, bursts, begin): `begin` is high in a transfer's first cycle."""
        desc = Signal(dma_layout(self.chip))
        busy, begin = Signal(), Signal()
        bursts = m.submodules.bursts = _Bursts(self.chip)
        m.d.comb += [self.port.ready.eq(~busy), bursts.start.eq(begin), bursts.desc.eq(desc)]
        m.d.sync += begin.eq(0)
        with m.If(self.port.valid & self.port.ready):
            m.d.sync += [desc.eq(self.port.desc), busy.eq(1), begin.eq(1)]
        return desc, busy, bursts, begin


class LoadEngine(_Engine):
    """LOAD: one transfer at a time; `port.done` pulses in the cycle in which the last bytes are presented.

    Read addresses go out ahead of data without limit. A beat a cycle is taken within a run; a run whose DRAM address is
    not a multiple of the beat may need a cycle without a beat at its end. `write` masks all bytes beside the run's.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip, {"axi": Out(read_side(chip)), "write": Out(write_port(chip.core))})

    def elaborate(self, _platform: object) -> Module:
        """Build it."""
        m = Module()
        beat, W, atom = self.chip.dram.beat_bytes, self.chip.core.port_bytes, self.chip.core.atom_bytes
        log = beat.bit_length() - 1
        desc, busy, bursts, begin = self.frame(m)
        axi, write = self.axi, self.write
        m.d.comb += [axi.arvalid.eq(bursts.valid), axi.araddr.eq(bursts.addr), axi.arlen.eq(bursts.len)]
        m.d.comb += bursts.ready.eq(axi.arready)
        runs = _Runs(self.chip, desc, "data")
        runs.watch(m)
        active, inside = Signal(), Signal()  # data are awaited; the run has brought a beat
        at, left = Signal(address_bits(self.chip.core)), Signal(32)
        kept = Signal(8 * beat)  # the beat before
        skew = runs.dram[:log]
        flush = Signal()  # what is left of the run lies in `kept` alone
        m.d.comb += flush.eq(active & inside & (skew != 0) & (left + skew <= beat))
        m.d.comb += axi.rready.eq(active & ~flush)
        moved, gives = Signal(), Signal()
        m.d.comb += moved.eq(axi.rvalid & axi.rready)
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
        m.d.sync += finished.eq(ended & runs.last)
        m.d.comb += self.port.done.eq(finished)
        with m.If(moved):
            m.d.sync += [kept.eq(axi.rdata), inside.eq(1), at.eq(here)]
        with m.If(gives):
            m.d.sync += [at.eq(here + beat), left.eq(left - beat)]
        with m.If(ended):
            m.d.sync += [inside.eq(0), left.eq(desc.run), active.eq(~runs.last)]
            runs.advance(m)
        with m.If(begin):
            runs.start(m, desc)
            m.d.sync += [active.eq(1), inside.eq(0), left.eq(desc.run)]
        with m.If(finished):
            m.d.sync += busy.eq(0)
        return m


class StoreEngine(_Engine):
    """STORE: one transfer at a time; `port.done` pulses when the last write response has come.

    Words are fetched ahead of data, as many as `_PREFETCHED`. A burst's data follow its address, never lead it.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip, {"axi": Out(write_side(chip)), "read": Out(read_port(chip.core))})

    def _fetch(self, m: Module, desc: Any, begin: Signal) -> fifo.SyncFIFOBuffered:
        """Build the reader of words of a beat's size, in the order of the runs; return where they arrive."""
        beat, atom = self.chip.dram.beat_bytes, self.chip.core.atom_bytes
        words = m.submodules.words = fifo.SyncFIFOBuffered(width=8 * beat, depth=_PREFETCHED)
        runs = _Runs(self.chip, desc, "fetch")
        runs.watch(m)
        active, fresh = Signal(), Signal()
        at, left, room = (
            Signal(address_bits(self.chip.core)),
            Signal(32),
            Signal(range(_PREFETCHED + 1), init=_PREFETCHED),
        )
        here = Mux(fresh, runs.base, at)
        low = (atom - 1) if beat < atom else 0
        go = Signal()
        m.d.comb += [go.eq(active & (room != 0)), self.read.en.eq(go), self.read.addr.eq(here & ~(atom - 1))]
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
        with m.If(go):
            m.d.sync += [at.eq(here + beat), left.eq(left - beat), fresh.eq(0)]
            with m.If(left <= beat):
                runs.advance(m)
                m.d.sync += [fresh.eq(1), left.eq(desc.run), active.eq(~runs.last)]
        with m.If(begin):
            runs.start(m, desc)
            m.d.sync += [active.eq(1), fresh.eq(1), left.eq(desc.run)]
        return words

    def elaborate(self, _platform: object) -> Module:
        """Build it."""
        m = Module()
        beat = self.chip.dram.beat_bytes
        log = beat.bit_length() - 1
        span = min(4096, 256 * beat).bit_length() - 1
        desc, busy, bursts, begin = self.frame(m)
        axi = self.axi
        words = self._fetch(m, desc, begin)
        m.d.comb += [axi.awaddr.eq(bursts.addr), axi.awlen.eq(bursts.len), axi.awvalid.eq(bursts.valid)]
        m.d.comb += bursts.ready.eq(axi.awready)
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
        offered, free, finished = Signal(), Signal(), Signal()
        allowed, unanswered = Signal(32), Signal(32)  # bursts whose data may go; bursts without response
        m.d.comb += tail.eq(Mux(inside, taken, desc.run))
        needs = tail != 0
        m.d.comb += free.eq(~axi.wvalid | axi.wready)
        m.d.comb += offered.eq(active & free & (allowed != 0) & (words.r_rdy | ~needs))
        m.d.comb += [words.r_en.eq(offered & needs), axi.bready.eq(1), self.port.done.eq(finished)]
        ends = final | (here[: span - log] == (1 << (span - log)) - 1)
        first_byte = Mux(inside, 0, skew)
        last_byte = Mux(final, end[:log], beat - 1)
        with m.If(free):
            m.d.sync += axi.wvalid.eq(offered)
        with m.If(offered):
            m.d.sync += [axi.wdata.eq(Cat(kept, words.r_data) >> ((beat - skew)[: log + 1] << 3)), axi.wlast.eq(ends)]
            for j in range(beat):
                m.d.sync += axi.wstrb[j].eq((first_byte <= j) & (last_byte >= j))
            m.d.sync += [kept.eq(words.r_data), place.eq(here + 1), inside.eq(~final)]
            m.d.sync += taken.eq(Mux(tail <= beat, 0, tail - beat))
            with m.If(final):
                runs.advance(m)
                m.d.sync += active.eq(~runs.last)
        accepted, answered = axi.awvalid & axi.awready, axi.bvalid & axi.bready
        m.d.sync += allowed.eq(allowed + accepted - (offered & ends))
        m.d.sync += unanswered.eq(unanswered + accepted - answered)
        with m.If(begin):
            runs.start(m, desc)
            m.d.sync += [active.eq(1), inside.eq(0)]
        m.d.comb += finished.eq(busy & ~begin & ~active & ~bursts.busy & (unanswered == 0))
        with m.If(finished):
            m.d.sync += busy.eq(0)
        return m
