"""Softmax over the channels of each pixel: one scalar unit a core, three passes over the pixel's bytes.

The largest byte, a word a cycle; the sum of exponentials in order, a channel every `float_add_cycles`, because each
addition waits for the one before; then exponential times `scale` over sum, requantized, a channel a cycle. The passes
follow each other, and the pixels, without a gap: see `chanzi.isa.cycles.vec_cycles`. The 256 exponentials are loaded
first.
"""

from amaranth import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Core
from chanzi.isa.fields import VecFlag
from chanzi.isa.pipeline import pipeline, softmax_drain_cycles
from chanzi.rtl.descriptor import address_bits, coordinate_bits, vec_layout
from chanzi.rtl.float32 import Divide, Multiply, MultiplyAdd, ToByte
from chanzi.rtl.lane import delay
from chanzi.rtl.ports import READ_LATENCY

_WORD = 1 + READ_LATENCY
"""From a cycle of the walk to its word."""
_ENTRY = _WORD + 2
"""To its exponential."""


class Softmax(Component):
    """`start` begins with what `desc` holds; `over` comes `softmax_drain_cycles` after the walk's last cycle.

    Words asked for with `operand` and `params` (an address, and a bit above it that asks) arrive READ_LATENCY + 1
    cycles later.
    """

    def __init__(self, core: Core) -> None:
        self.core, self.depth = core, pipeline(core.float_stages)
        self.adding = self.depth.multiply_add
        ask, word, need = address_bits(core) + 1, 8 * core.port_bytes, range(core.port_bytes + 1)
        super().__init__(
            {
                "start": In(1), "over": Out(1), "busy": Out(1), "desc": In(vec_layout(core)),
                "ask_operand": Out(ask), "need_operand": Out(need), "operand": In(word),
                "ask_params": Out(ask), "need_params": Out(need), "params": In(word),
                "en": Out(1), "addr": Out(address_bits(core)), "data": Out(word), "mask": Out(core.port_bytes),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Return the walk, the three passes' arithmetic, and the writer."""
        del platform
        m = Module()
        loaded = self._load(m)
        largest, summing, dividing = (Signal(name=name) for name in ("largest", "summing", "dividing"))
        first, last, channel = Signal(), Signal(), Signal(address_bits(self.core) + 1)  # of a pass
        self._walk(m, loaded, (largest, summing, dividing), first, last, channel)
        value, most = self._value(m, largest, first, channel)
        entry = self._entry(m, value, most)
        total = self._total(m, entry, summing & first, summing & last & self.adds)
        self._write(m, entry, total, dividing)
        return m

    def _load(self, m: Module) -> Signal:
        """Ask for the table, a word a cycle; return a pulse in the last one."""
        d, W, AB = self.desc, self.core.port_bytes, address_bits(self.core)
        loading, at = Signal(), Signal(range(-(-1024 // W) + 1))
        m.d.comb += self.ask_params.eq((d.table_base + (at << (W.bit_length() - 1)))[:AB] | (loading << AB))
        m.d.comb += self.need_params.eq(min(W, 1024))
        with m.If(self.start):
            m.d.sync += [loading.eq(1), at.eq(0), self.busy.eq(1)]
        with m.If(loading):
            m.d.sync += at.eq(at + 1)
        ends = Signal()
        m.d.comb += ends.eq(loading & (at == -(-1024 // W) - 1))
        with m.If(ends):
            m.d.sync += loading.eq(0)
        return ends

    def _walk(  # noqa: PLR0915 - one loop nest
        self, m: Module, loaded: Signal, passes: tuple, first: Signal, last: Signal, channel: Signal
    ) -> None:
        """Go over the pixels, three passes each; ask for the operand's words."""
        d, core, AB = self.desc, self.core, address_bits(self.core)
        W, atom = core.port_bytes, core.atom_bytes
        largest, summing, dividing = passes
        coordinate = signed(coordinate_bits(core))
        line, line_at, start = Signal(coordinate), Signal(AB), Signal(AB)
        at = Signal(coordinate)
        column, row = Signal(d.columns.shape()), Signal(d.rows.shape())
        settling, phase = Signal(range(W.bit_length() + 1)), Signal(range(self.adding))
        clamps = (d.flags & VecFlag.CLAMP_EDGE) != 0
        above, below = line < 0, line >= d.height
        m.d.comb += start.eq(Mux(clamps & above, d.base, Mux(clamps & below, d.bottom - d.line_stride, line_at)))
        right = Signal(coordinate)
        m.d.comb += right.eq(d.width_bytes - d.channels)
        self.at = Signal(coordinate)
        m.d.comb += self.at.eq(Mux(clamps, Mux(at < 0, 0, Mux(at > right, right, at)), at))
        # pixels lie inside the map or outside it, as a whole
        self.inside = Signal()
        m.d.comb += self.inside.eq(clamps | ~(above | below | (at < 0) | (at > right)))
        asks, step = Signal(), Signal(range(W + 1))
        m.d.comb += [step.eq(Mux(largest, W, 1)), first.eq(channel == 0), last.eq(channel + step >= d.channels)]
        self.adds = phase == 0  # while summing
        m.d.comb += asks.eq(largest | dividing | (summing & self.adds))
        low = channel & ~(atom - 1)
        self.need, left = Signal(range(W + 1)), Signal(AB + 1)
        m.d.comb += [left.eq(d.channels - low), self.need.eq(Mux(left < W, left, W)), self.need_operand.eq(self.need)]
        with m.If(~largest & (left > atom)):
            m.d.comb += self.need_operand.eq(atom)
        m.d.comb += self.ask_operand.eq((start + self.at + low)[:AB] | ((asks & self.inside) << AB))
        moves, ends_pixel, ends = Signal(), Signal(), Signal()
        m.d.comb += moves.eq(largest | dividing | (summing & (phase == self.adding - 1)))
        m.d.comb += ends_pixel.eq(dividing & last)
        with m.If(summing):
            m.d.sync += phase.eq(Mux(phase == self.adding - 1, 0, phase + 1))
        with m.If(moves):
            m.d.sync += channel.eq(Mux(last, 0, channel + step))
            with m.If(last):
                levels = (W - 1).bit_length()
                with m.If(largest):
                    m.d.sync += [largest.eq(0), settling.eq(levels), summing.eq(levels == 0)]
                with m.If(summing):
                    m.d.sync += [summing.eq(0), dividing.eq(1)]
        with m.If(settling != 0):
            m.d.sync += settling.eq(settling - 1)
            with m.If(settling == 1):
                m.d.sync += summing.eq(1)
        with m.If(ends_pixel):
            m.d.sync += [dividing.eq(0), column.eq(column + 1), at.eq(at + d.x_step), largest.eq(1)]
            with m.If(column + 1 == d.columns):
                m.d.sync += [column.eq(0), row.eq(row + 1), at.eq(-d.pad_x)]
                m.d.sync += [line.eq(line + d.y_step), line_at.eq(line_at + d.line_step)]
                with m.If(row + 1 == d.rows):
                    m.d.comb += ends.eq(1)
                    m.d.sync += largest.eq(0)
        with m.If(self.start):
            m.d.sync += [line.eq(-d.pad_y), line_at.eq(d.start), at.eq(-d.pad_x), column.eq(0), row.eq(0)]
            m.d.sync += [channel.eq(0), phase.eq(0)]
        with m.If(loaded):
            m.d.sync += largest.eq(1)
        m.d.comb += self.over.eq(delay(m, ends, softmax_drain_cycles(core), "over"))
        with m.If(self.over):
            m.d.sync += self.busy.eq(0)

    def _value(self, m: Module, largest: Signal, first: Signal, channel: Signal) -> tuple[Value, Value]:
        """Return (a channel's value, _WORD + 1 cycles after its cycle; the largest of the pixel)."""
        d, W, atom = self.desc, self.core.port_bytes, self.core.atom_bytes
        inside, left = delay(m, self.inside, _WORD, "inside"), delay(m, self.need, _WORD, "left")
        pick = delay(m, (channel & (atom - 1))[: max(1, (atom - 1).bit_length())], _WORD, "pick")
        least = Mux(d.signed, -128, 0)
        stored, leaves = [], []
        for j in range(W):
            byte = self.operand.word_select(j, 8)
            value = Signal(signed(9), name=f"byte{j}")
            m.d.comb += value.eq(Mux(inside, Cat(byte, byte[7] & d.signed[0]).as_signed(), d.zero_in))
            stored.append(value)
            leaf = Signal(signed(9), name=f"leaf{j}", reset_less=True)
            m.d.sync += leaf.eq(Mux(left > j, value, least))
            leaves.append(leaf)
        level = 0
        while len(leaves) > 1:
            above = []
            for j in range(0, len(leaves), 2):
                larger = Signal(signed(9), name=f"larger{level}_{j}", reset_less=True)
                m.d.sync += larger.eq(Mux(leaves[j] > leaves[j + 1], leaves[j], leaves[j + 1]))
                above.append(larger)
            leaves, level = above, level + 1
        most, comes, begins = Signal(signed(9)), delay(m, largest, _WORD + 1 + level, "comes"), Signal()
        m.d.comb += begins.eq(delay(m, first, _WORD + 1 + level, "begins"))
        with m.If(comes & (begins | (leaves[0] > most))):
            m.d.sync += most.eq(leaves[0])
        chosen, value = Signal(signed(9)), Signal(signed(9), name="value", reset_less=True)
        with m.Switch(pick):
            for j in range(atom):
                with m.Case(j):
                    m.d.comb += chosen.eq(stored[j])
        m.d.sync += value.eq(chosen)
        return value, most

    def _entry(self, m: Module, value: Value, most: Value) -> Signal:
        """Return the exponential of a value, a cycle later."""
        d, W = self.desc, self.core.port_bytes
        words = -(-1024 // W)
        table = m.submodules.table = Memory(shape=unsigned(8 * W), depth=words, init=[])
        write, read = table.write_port(), table.read_port(domain="comb")
        place, comes = Signal(range(words)), delay(m, self.ask_params[-1], _WORD, "loads")
        m.d.comb += [write.en.eq(comes), write.addr.eq(place), write.data.eq(self.params)]
        with m.If(comes):
            m.d.sync += place.eq(Mux(place == words - 1, 0, place + 1))
        index = Signal(8)
        m.d.comb += index.eq(value + Mux(d.signed, 127, 255) - most)
        in_word = (W // 4 - 1).bit_length()
        m.d.comb += read.addr.eq(index >> in_word)
        entry = Signal(32, reset_less=True)
        m.d.sync += entry.eq(read.data.word_select(index[:in_word], 32) if in_word else read.data)
        return entry

    def _total(self, m: Module, entry: Signal, begins: Value, ends: Value) -> Signal:
        """Return the sum of a pixel's exponentials, from an addition and a cycle after its last one on."""
        add = m.submodules.add = MultiplyAdd(2, self.core.float_stages)
        fresh = delay(m, begins, _ENTRY, "fresh")
        m.d.comb += [add.x.eq(entry), add.y.eq(1), add.z.eq(Mux(fresh, 0, add.bits))]
        total = Signal(32)
        with m.If(delay(m, ends, _ENTRY + self.adding, "summed")):
            m.d.sync += total.eq(add.bits)
        return total

    def _write(self, m: Module, entry: Signal, total: Signal, dividing: Signal) -> None:
        """Multiply, divide, requantize; bytes come in order, so the writer counts pixels and channels by itself."""
        d, W, atom, AB = self.desc, self.core.port_bytes, self.core.atom_bytes, address_bits(self.core)
        stages, depth = self.core.float_stages, self.depth
        multiply, divide, byte = Multiply(stages), Divide(stages), ToByte(stages)
        m.submodules.multiply, m.submodules.divide, m.submodules.byte = multiply, divide, byte
        m.d.comb += [multiply.x.eq(entry), multiply.y.eq(d.scale), divide.x.eq(multiply.bits), divide.y.eq(total)]
        m.d.comb += [byte.bits.eq(divide.bits), byte.zero.eq(d.zero), byte.low.eq(d.low), byte.high.eq(d.high)]
        comes = delay(m, dividing, _ENTRY + depth.multiply + depth.divide + depth.to_byte, "comes_out")
        channel, column = Signal(AB + 1), Signal(d.columns.shape())
        pixel, line = Signal(AB), Signal(AB)
        with m.If(self.start):
            m.d.sync += [channel.eq(0), column.eq(0), pixel.eq(d.out_base), line.eq(d.out_base)]
        with m.If(comes):
            m.d.sync += channel.eq(channel + 1)
            with m.If(channel + 1 == d.channels):
                m.d.sync += [channel.eq(0), column.eq(column + 1), pixel.eq(pixel + d.out_x)]
                with m.If(column + 1 == d.columns):
                    m.d.sync += [column.eq(0), pixel.eq(line + d.out_y), line.eq(line + d.out_y)]
        m.d.sync += [self.en.eq(comes), self.addr.eq(pixel + (channel & ~(atom - 1)))]
        m.d.sync += [self.mask.eq(1 << (channel & (atom - 1))[: max(1, (atom - 1).bit_length())])]
        m.d.sync += self.data.eq(Cat(*[byte.byte] * W))
