"""The vector engine: takes a VEC, walks over its words, hands each word to the lanes with what to do with it."""

from amaranth import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Core
from chanzi.isa.fields import VecFlag, VecKind
from chanzi.isa.pipeline import pipeline, vector_latency_cycles, vector_lead_cycles
from chanzi.isa.vector_cycles import MAX_SHARE
from chanzi.rtl.descriptor import address_bits, coordinate_bits, vec_layout
from chanzi.rtl.lane import delay
from chanzi.rtl.ports import READ_LATENCY, engine_port, least, read_port, write_port
from chanzi.rtl.vector.lanes import SUM_LATENCY, TAP_BITS, Lanes, out_latency, part_bits, part_of, step_layout
from chanzi.rtl.vector.softmax import Softmax

STEP_LATENCY = 1 + READ_LATENCY
"""From a cycle of the walk to its word."""


class VectorEngine(Component):
    """VEC: complete `chanzi.isa.cycles.vec_cycles` + `vector_latency_cycles` cycles after the handshake.

    One VEC at a time. Windows slide where outputs share words: see `chanzi.isa.vector_cycles`.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.lead_cycles, self.latency = vector_lead_cycles(core), vector_latency_cycles(core)
        first_sum = self.lead_cycles + 2 + STEP_LATENCY + SUM_LATENCY
        assert first_sum > pipeline(core.float_stages).constants, "the first sum of ADD needs its constants"
        assert first_sum - SUM_LATENCY + out_latency(core) == self.latency, "the latency promised"
        reads = {name: Out(read_port(core)) for name in ("operand", "second", "params")}
        super().__init__({"engine": In(engine_port(vec_layout(core))), **reads, "result": Out(write_port(core))})

    def elaborate(self, platform: object) -> Module:
        """Return the walk and the lanes."""
        del platform
        m = Module()
        core = self.core
        AB = address_bits(core)
        self.d = Signal(vec_layout(core), reset_less=True)
        lanes = self.lanes = m.submodules.lanes = Lanes(core)
        softmax = self.softmax = m.submodules.softmax = Softmax(core)
        m.d.comb += [
            softmax.desc.eq(self.d),
            softmax.operand.eq(self.operand.data),
            softmax.params.eq(self.params.data),
        ]
        step = self.step = Signal(step_layout(core))
        self.read = {name: Signal(1 + AB, name=f"read_{name}") for name in ("operand", "second", "params")}
        self.need = {name: Signal(range(core.port_bytes + 1), name=f"need_{name}") for name in self.read}
        self._ask(m, softmax, lanes)
        for i in range(STEP_LATENCY):
            later = Signal(step.shape(), name=f"step_before_{i}")
            m.d.sync += later.eq(step)
            step = later
        m.d.comb += [lanes.desc.eq(self.d), lanes.step.eq(step)]
        out = self.result
        for name in ("addr", "en", "data", "mask"):
            m.d.comb += getattr(out, name).eq(Mux(softmax.en, getattr(softmax, name), getattr(lanes, name)))
        self._state(m)
        self._scan(m)
        self._parameters(m)
        self._divide(m)
        self._line(m)
        # the next block's division begins while this block's last sums are under way
        m.d.comb += lanes.oldest.eq(delay(m, self.share - 1, STEP_LATENCY + SUM_LATENCY, "oldest"))
        return m

    def _ask(self, m: Module, softmax: Softmax, lanes: Lanes) -> None:
        """Bring what walk and softmax ask for to the ports, a cycle later, and the words to the lanes."""
        AB, atom = address_bits(self.core), self.core.atom_bytes
        for name, read in self.read.items():
            port = getattr(self, name)
            later, need = Signal(1 + AB, name=f"read_{name}_later"), Signal(port.need.shape(), name=f"{name}_needed")
            asked, needed = read, self.need[name]
            if name != "second":
                asked = Mux(softmax.busy, getattr(softmax, f"ask_{name}"), asked)
                needed = Mux(softmax.busy, getattr(softmax, f"need_{name}"), needed)
            m.d.sync += [later.eq(asked), need.eq(needed)]
            m.d.comb += [port.en.eq(later[AB]), port.need.eq(need), getattr(lanes, name).eq(port.data)]
            m.d.comb += port.addr.eq(later[:AB])
            if name == "second":  # one byte for all channels, which may lie inside an atom
                skip = delay(m, later[: (atom - 1).bit_length()], READ_LATENCY, "skip")
                m.d.comb += port.addr.eq(later[:AB] & ~(atom - 1))
                if part_bits(self.core):
                    own = port.data[: 8 * atom].word_select(part_of(self.core, skip), 8 * self.core.lanes)
                    m.d.comb += lanes.second[: 8 * self.core.lanes].eq(own)
                m.d.comb += lanes.second[:8].eq(port.data[: 8 * atom].word_select(skip, 8))

    def _state(self, m: Module) -> None:
        """Phases: lead-in, table, then parameters and lines for each block; and the pulse at the end."""
        core, d, e = self.core, self.d, self.engine
        self.busy, self.block = Signal(), Signal(unsigned(address_bits(core) + 1))
        self.windowed = Signal()
        m.d.comb += self.windowed.eq((d.kind == VecKind.MAX) | (d.kind == VecKind.SUM) | (d.kind == VecKind.MAC))
        self.clamps = (d.flags & VecFlag.CLAMP_EDGE) != 0
        self.taps_x, self.taps_y = (Signal(16, name=f"taps_{a}") for a in "xy")
        m.d.comb += [
            self.taps_x.eq(Mux(self.windowed, d.taps_x, 1)),
            self.taps_y.eq(Mux(self.windowed, d.taps_y, 1)),
        ]
        self.count = Signal(range(max(self.lead_cycles, 256) + 1))
        self.table, self.parameter, self.line = Signal(), Signal(), Signal()
        self.setup = Signal()  # the last cycle before a block
        self.parameters_done, self.line_done = Signal(), Signal()
        self.rows_left, self.lead = Signal(d.rows.shape()), Signal()
        words = -(-256 // core.port_bytes)
        over = Signal()
        tail = Signal(self.latency - self.lead_cycles - 1)
        m.d.sync += tail.eq((tail << 1) | over | self.softmax.over)
        m.d.comb += [e.ready.eq(~self.busy), e.done.eq(tail[-1])]
        with m.If(tail[-1]):
            m.d.sync += self.busy.eq(0)
        m.d.comb += self.lanes.begin.eq(e.valid & e.ready)
        with m.If(e.valid & e.ready):
            m.d.sync += [self.d.eq(e.desc), self.busy.eq(1), self.lead.eq(1), self.count.eq(self.lead_cycles - 1)]
        with m.If(self.lead):
            m.d.sync += self.count.eq(self.count - 1)
            with m.If(self.count == 0):
                looks_up, is_softmax = (d.flags & VecFlag.TABLE) != 0, d.kind == VecKind.SOFTMAX
                m.d.sync += [self.lead.eq(0), self.block.eq(0), self.table.eq(looks_up & ~is_softmax)]
                m.d.comb += [self.setup.eq(~looks_up & ~is_softmax), self.softmax.start.eq(is_softmax)]
        with m.If(self.table):
            m.d.sync += self.count.eq(self.count + 1)
            with m.If(self.count == words - 1):
                m.d.sync += self.table.eq(0)
                m.d.comb += self.setup.eq(1)
        with m.If((self.lead | self.table) & (self.count == 0) & ~self.table):
            m.d.sync += self.count.eq(0)
        with m.If(self.setup):
            m.d.sync += self.parameter.eq(1)
        with m.If(self.parameters_done):
            m.d.sync += [self.parameter.eq(0), self.line.eq(1), self.rows_left.eq(d.rows)]
        next_block = Signal(self.block.shape())
        m.d.comb += next_block.eq(self.block + core.lanes)
        with m.If(self.line_done):
            m.d.sync += self.rows_left.eq(self.rows_left - 1)
            with m.If(self.rows_left == 1):
                m.d.sync += [self.line.eq(0), self.block.eq(next_block)]
                m.d.comb += [self.setup.eq(next_block < d.channels), over.eq(next_block >= d.channels)]

    def _scan(self, m: Module) -> None:
        """Find the vertical taps inside the map of the next line, one a cycle, while this one is walked.

        They follow each other, for lines only go down: the first one and their number are all there is to know.
        """
        d, AB = self.d, address_bits(self.core)
        coordinate = signed(coordinate_bits(self.core))
        place = data.StructLayout({"line": coordinate, "address": AB, "weight": TAP_BITS})
        now, kept = Signal(place), Signal(place)
        left, found, first, start = Signal(16), Signal(16), Signal(coordinate), Signal(AB)
        taken = Signal()
        inside = self.clamps | ((now.line >= 0) & (now.line < d.height))
        m.d.comb += taken.eq((left != 0) & inside)
        self.first_inside = Signal(place)  # of the next line
        m.d.comb += self.first_inside.eq(Mux(found == 0, now, kept))
        m.d.sync += kept.eq(self.first_inside)
        self.found = Signal(16)
        m.d.comb += self.found.eq(found + taken)
        self.scanned = Signal()
        m.d.comb += self.scanned.eq(left <= 1)
        with m.If(left != 0):
            m.d.sync += [left.eq(left - 1), found.eq(self.found), now.eq(self._below(now))]
        with m.If(self.setup | self.parameters_done | self.line_done):
            line = Mux(self.setup, -d.pad_y, first + d.y_step)
            begin = Mux(self.setup, d.start, start + d.line_step)
            m.d.sync += [left.eq(self.taps_y), found.eq(0), now.weight.eq(0)]
            m.d.sync += [first.eq(line), now.line.eq(line), start.eq(begin), now.address.eq(begin)]
        self.taps_inside, self.top = Signal(16), Signal(place)  # of this line
        with m.If(self.parameters_done | self.line_done):
            m.d.sync += [self.top.eq(self.first_inside), self.taps_inside.eq(self.found)]

    def _below(self, place: data.View) -> Value:
        """Return the place of the next vertical tap."""
        d = self.d
        line = (place.line + d.tap_y_step)[: len(place.line)]
        address = (place.address + d.tap_line)[: len(place.address)]
        return Cat(line, address, (place.weight + self.taps_x)[:TAP_BITS])

    def _parameters(self, m: Module) -> None:  # noqa: PLR0915 - as `_line`
        """Ask for table, biases, multipliers and weights, a word a cycle."""
        core, d, AB, W = self.core, self.d, address_bits(self.core), self.core.port_bytes
        words = -(-4 * core.lanes // W)
        stage, word = Signal(2), Signal(8)  # biases, multipliers, weights, all in
        weight_at, tap_x, tap_y = Signal(AB), Signal(16), Signal(16)
        sums = (d.kind == VecKind.SUM) | (d.kind == VecKind.MAC)
        wanted = [
            sums & ((d.flags & VecFlag.BIAS) != 0),
            sums & ((d.flags & VecFlag.CHANNEL_SCALE) != 0),
            d.kind == VecKind.MAC,
        ]
        first = Mux(wanted[0], 0, Mux(wanted[1], 1, Mux(wanted[2], 2, 3)))
        following = [Mux(wanted[1], 1, Mux(wanted[2], 2, 3)), Mux(wanted[2], 2, 3), 3]
        with m.If(self.setup):
            m.d.sync += [stage.eq(first), word.eq(0), tap_x.eq(0), tap_y.eq(0)]
            with m.If(self.line_done):
                m.d.sync += weight_at.eq(d.weight_base + self.block + core.lanes)
            with m.Else():
                m.d.sync += weight_at.eq(d.weight_base)
        address, loads = Signal(AB), Signal()
        channels, left = Signal(signed(AB + 2)), Signal(signed(AB + 5))
        needed, any_left = least(W, left)
        m.d.comb += [channels.eq(d.channels - self.block), self.need["params"].eq(needed)]
        m.d.comb += self.read["params"].eq(address | ((loads & any_left) << AB))
        m.d.comb += self.step.word.eq(Mux(self.table, self.count, word))
        done = Signal()
        with m.If(self.table):
            bits = (W - 1).bit_length()
            m.d.comb += [loads.eq(1), self.step.load_table.eq(1), address.eq(d.table_base + (self.count << bits))]
            m.d.comb += left.eq(256)
        with m.Elif(self.parameter & (stage != 3)):
            bits = (W - 1).bit_length()
            offset = (self.block << 2) + (word << bits)
            with m.If(stage == 2):
                within = self._within()
                few = Mux(channels > core.lanes, core.lanes, channels)
                m.d.comb += left.eq(few if within is None else few + within)
            with m.Else():
                m.d.comb += left.eq((channels << 2) - (word << bits))
            m.d.comb += loads.eq(1)
            m.d.sync += word.eq(word + 1)
            ends = Signal()
            with m.Switch(stage):
                with m.Case(0):
                    m.d.comb += [address.eq(d.bias_base + offset), self.step.load_bias.eq(1)]
                    m.d.comb += ends.eq(word == words - 1)
                with m.Case(1):
                    m.d.comb += [address.eq(d.scale_base + offset), self.step.load_scale.eq(1)]
                    m.d.comb += ends.eq(word == words - 1)
                with m.Case(2):
                    m.d.comb += [address.eq(weight_at & ~(core.atom_bytes - 1)), self.step.load_weight.eq(1)]
                    m.d.sync += [weight_at.eq(weight_at + d.channels), tap_x.eq(tap_x + 1)]
                    with m.If(tap_x == self.taps_x - 1):
                        m.d.sync += [tap_x.eq(0), tap_y.eq(tap_y + 1)]
                        m.d.comb += ends.eq(tap_y == self.taps_y - 1)
            with m.If(ends):
                m.d.sync += word.eq(0)
                with m.Switch(stage):
                    for i, after in enumerate(following):
                        with m.Case(i):
                            m.d.sync += stage.eq(after)
                            m.d.comb += done.eq(after == 3)
        with m.Else():
            m.d.comb += done.eq(1)
        self.divided = Signal()
        m.d.comb += self.parameters_done.eq(self.parameter & done & self.scanned & self.divided)

    def _within(self) -> Value | None:
        """Return the bytes from an atom's first channel to the block's; None where blocks are whole atoms."""
        bits = (self.core.atom_bytes - 1).bit_length()
        return self.block[:bits] if part_bits(self.core) else None

    def _divide(self, m: Module) -> None:
        """Find x_step / tap_x_step and the outputs that share a word by subtracting, for taps_x + 2 cycles."""
        d = self.d
        width = 32
        left, rest, quotient = Signal(17), Signal(signed(width + 2)), Signal(16)
        taps_left, parts = Signal(signed(18)), Signal(16)
        self.slides, self.stride, self.share = Signal(), Signal(16), Signal(4)
        exact = Signal()
        m.d.comb += self.divided.eq(left <= 1)
        with m.If(self.setup):
            m.d.sync += [left.eq(Mux(self.taps_x > 1, self.taps_x + 2, 1)), rest.eq(d.x_step), quotient.eq(0)]
            m.d.sync += [taps_left.eq(self.taps_x), parts.eq(0), exact.eq(0)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
            with m.If(exact & (taps_left > 0)):
                m.d.sync += [taps_left.eq(taps_left - quotient), parts.eq(parts + 1)]
            with m.Elif(~exact & (rest > 0)):
                m.d.sync += [rest.eq(rest - d.tap_x_step), quotient.eq(quotient + 1)]
                with m.If(rest == d.tap_x_step):
                    m.d.sync += exact.eq(1)
        slides = exact & (quotient < self.taps_x) & (taps_left <= 0) & (parts <= MAX_SHARE) & (d.columns > 1)
        m.d.comb += self.slides.eq(slides & (self.taps_x > 1) & (d.x_step != 0))
        m.d.comb += self.stride.eq(Mux(self.slides, quotient, self.taps_x))
        m.d.comb += self.share.eq(Mux(self.slides, parts, 1))

    def _line(self, m: Module) -> None:  # noqa: PLR0915 - one loop nest
        """Walk over the positions of a line: vertical taps, and turns of accumulators."""
        core, d, AB = self.core, self.d, address_bits(self.core)
        coordinate, step = signed(coordinate_bits(core) + 1), self.step
        window, at = Signal(coordinate), Signal(coordinate)  # byte of this output's window, of this position
        tap, phase, low_age, low_tap = Signal(16), Signal(16), Signal(5), Signal(16)
        until, column, fresh = Signal(16), Signal(d.columns.shape()), Signal()
        names = ("out_line", "out", "second_line", "second_at")
        out_line, out, second_line, second = (Signal(AB, name=n) for n in names)
        inside = Signal()
        m.d.comb += inside.eq(self.clamps | ((at + d.channels > 0) & (at < d.width_bytes)))
        reads = inside & (self.taps_inside != 0)
        nearest = Signal(coordinate)
        right = Signal(coordinate)
        m.d.comb += right.eq(d.width_bytes - d.channels)
        m.d.comb += nearest.eq(Mux(self.clamps, Mux(at < 0, 0, Mux(at > right, right, at)), at))
        ends_turns = low_age + core.taps_per_lane >= self.share
        ends = Signal()
        m.d.comb += ends.eq(~reads | (ends_turns & (tap + 1 >= self.taps_inside)))
        emits = ends & (until == 0)
        finishes = emits & (column + 1 == d.columns)
        waiting = Signal()  # walked, but the next line's taps are not found yet
        walks = self.line & ~waiting
        at_tap = Signal(self.top.shape())
        row = at_tap.weight
        # with CLAMP_EDGE the address stays with the nearest line
        line_address = Mux(self.clamps & (at_tap.line >= d.height), d.bottom - d.line_stride, at_tap.address)
        line_address = Mux(self.clamps & (at_tap.line < 0), d.base, line_address)
        operand, from_second = Signal(AB), Signal(AB)
        m.d.comb += operand.eq(line_address + nearest + (self.block & ~(core.atom_bytes - 1)))
        scalar = (d.flags & VecFlag.SCALAR) != 0
        m.d.comb += from_second.eq(second + Mux(scalar, 0, self.block))
        two = (d.kind == VecKind.ADD) | (d.kind == VecKind.MUL)
        channels = Signal(signed(AB + 2))
        m.d.comb += channels.eq(d.channels - self.block)
        few, _ = least(core.lanes, channels)
        of_pixel = few + within if (within := self._within()) is not None else few  # from the atom's first byte on
        m.d.comb += [
            self.read["operand"].eq(operand | ((walks & reads) << AB)),
            self.need["operand"].eq(of_pixel),
            self.need["second"].eq(Mux(scalar, (from_second & (core.atom_bytes - 1)) + 1, of_pixel)),
            self.read["second"].eq(from_second | ((walks & two) << AB)),
            step.read.eq(walks & reads),
            step.first.eq(
                walks & fresh & (phase == 0) & (column == 0) & (window == -d.pad_x) & (until == self.taps_x - 1)
            ),
            step.shift.eq(walks & fresh & (phase == 0)),
            step.low_age.eq(low_age),
            step.emit.eq(walks & emits),
            step.out.eq(out + (self.block & ~(core.atom_bytes - 1))),
        ]
        for k in range(core.taps_per_lane):
            tx = Signal(20, name=f"tap_{k}")
            m.d.comb += tx.eq(phase + low_tap + k * self.stride)
            m.d.comb += step.taps[k].eq((tx < self.taps_x) & (low_age + k < self.share))
            m.d.comb += step.weights[k].eq(row + tx)
        low = ~(core.atom_bytes - 1)
        m.d.comb += step.part.eq(part_of(core, self.block))
        for byte in range(max(core.lanes, core.atom_bytes)):
            mine = byte // core.lanes == step.part if part_bits(core) else 1
            m.d.comb += step.mask[byte].eq(mine & ((self.block & low) + byte < d.channels))
        with m.If(walks):
            m.d.sync += fresh.eq(ends)
            with m.If(~ends):
                m.d.sync += [low_age.eq(low_age + core.taps_per_lane)]
                m.d.sync += low_tap.eq(low_tap + core.taps_per_lane * self.stride)
                with m.If(ends_turns):
                    m.d.sync += [low_age.eq(0), low_tap.eq(0), tap.eq(tap + 1), at_tap.eq(self._below(at_tap))]
            with m.Else():
                m.d.sync += [low_age.eq(0), low_tap.eq(0), tap.eq(0), at_tap.eq(self.top)]
                m.d.sync += [until.eq(until - 1), phase.eq(phase + 1), at.eq(at + d.tap_x_step)]
                with m.If(phase == self.stride - 1):
                    m.d.sync += [phase.eq(0), window.eq(window + d.x_step), at.eq(window + d.x_step)]
            with m.If(emits):
                m.d.sync += [until.eq(self.stride - 1), column.eq(column + 1)]
                m.d.sync += [out.eq(out + d.out_x), second.eq(second + d.second_x)]
        m.d.comb += self.line_done.eq(self.line & (waiting | finishes) & self.scanned)
        with m.If(walks & finishes):
            m.d.sync += waiting.eq(1)
        with m.If(self.line_done | self.parameters_done):
            m.d.sync += [waiting.eq(0), fresh.eq(1), phase.eq(0), tap.eq(0), at_tap.eq(self.first_inside)]
            m.d.sync += [window.eq(-d.pad_x), at.eq(-d.pad_x)]
            m.d.sync += [low_age.eq(0), low_tap.eq(0), until.eq(self.taps_x - 1), column.eq(0)]
            next_out, next_second = Signal(AB), Signal(AB)
            m.d.comb += next_out.eq(Mux(self.line_done, out_line + d.out_y, d.out_base))
            m.d.comb += next_second.eq(Mux(self.line_done, second_line + d.second_y, d.second_base))
            m.d.sync += [out_line.eq(next_out), out.eq(next_out)]
            m.d.sync += [second_line.eq(next_second), second.eq(next_second)]
