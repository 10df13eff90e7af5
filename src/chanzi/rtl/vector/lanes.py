"""The vector unit's lanes: from words read to bytes written."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Core
from chanzi.isa.fields import VecFlag, VecKind
from chanzi.isa.legality import MAX_WEIGHT_TAPS
from chanzi.isa.pipeline import lane_cycles, pipeline
from chanzi.isa.vector_cycles import MAX_SHARE
from chanzi.rtl.descriptor import address_bits, vec_layout
from chanzi.rtl.lane import Combine, CombineConstants, Requantize, combine_constants, delay
from chanzi.rtl.shared import Shared

SUM_LATENCY = 3
"""From a word to the accumulator that has taken it."""
TAP_BITS = (MAX_WEIGHT_TAPS - 1).bit_length()


def out_latency(core: Core) -> int:
    """Return the cycles from the last word of an output to its bytes on the write port."""
    return SUM_LATENCY + lane_cycles(core) + 2


def part_bits(core: Core) -> int:
    """Return the bits of an address that name a block of channels within an atom; 0 where blocks are whole atoms."""
    return max(0, (core.atom_bytes // core.lanes).bit_length() - 1) if core.lanes < core.atom_bytes else 0


def part_of(core: Core, address: Value) -> Value:
    """Return which block of channels within its atom an address names."""
    low = (core.lanes - 1).bit_length()
    return address[low : low + part_bits(core)]


def step_layout(core: Core) -> data.StructLayout:
    """Return what the walk says of each cycle, READ_LATENCY cycles before the word it asked for."""
    return data.StructLayout(
        {
            "read": unsigned(1),
            "first": unsigned(1),  # first cycle of a line: clear all accumulators
            "shift": unsigned(1),  # first cycle of a newer output
            "low_age": unsigned(4),  # the first accumulator of this turn
            "taps": unsigned(core.taps_per_lane),  # which of the turn's accumulators the word belongs to
            "weights": data.ArrayLayout(TAP_BITS, core.taps_per_lane),
            "emit": unsigned(1),
            "out": unsigned(address_bits(core)),
            "part": unsigned(part_bits(core)),  # of the atom, where lanes are fewer than its bytes
            "mask": unsigned(max(core.lanes, core.atom_bytes)),
            "load_bias": unsigned(1),
            "load_scale": unsigned(1),
            "load_weight": unsigned(1),
            "load_table": unsigned(1),
            "word": unsigned(8),  # which word of biases, multipliers or table, or which weight
        }
    )


class Lanes(Component):
    """Takes a step and the words it asked for in one cycle; bytes leave `out_latency` cycles after an `emit`.

    `desc` is new in the cycle after `begin` and stands still while an instruction is under way. Each lane keeps
    MAX_SHARE accumulators by age: 0 is that of the newest output, `oldest` that of the output which leaves.
    """

    def __init__(self, core: Core) -> None:
        self.core, self.stages = core, core.float_stages
        word = 8 * core.port_bytes
        super().__init__(
            {
                "begin": In(1),
                "desc": In(vec_layout(core)),
                "step": In(step_layout(core)),
                "oldest": In(4),
                "operand": In(word),
                "second": In(word),
                "params": In(word),
                "addr": Out(address_bits(core)),
                "en": Out(1),
                "data": Out(word),
                "mask": Out(core.port_bytes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Return all lanes side by side."""
        del platform
        m = Module()
        core, s = self.core, self.step
        steps = [s]
        for i in range(SUM_LATENCY):
            later = Signal(s.shape(), name=f"step_{i + 1}")
            m.d.sync += later.eq(steps[-1])
            steps.append(later)
        self._parameters(m, steps)
        combines = [Shared("chanzi_combine", Combine(self.stages)) for _ in range(core.lanes)]
        requantizes = [Shared("chanzi_requantize", Requantize(self.stages)) for _ in range(core.lanes)]
        m.submodules += [*combines, *requantizes]
        self._constants(m, combines)
        result = []
        for lane in range(core.lanes):
            total, value = self._sum(m, lane, steps)
            result.append(self._finish(m, lane, total, value, combines[lane], requantizes[lane]))
        m.d.sync += self.data.eq(Cat(*result * max(1, core.atom_bytes // core.lanes)))
        last = steps[-1]
        m.d.comb += [
            self.addr.eq(delay(m, last.out, lane_cycles(core) + 2, "out_addr")),
            self.mask.eq(delay(m, last.mask, lane_cycles(core) + 2, "out_mask")),
        ]
        enable: Value = last.emit
        for i in range(lane_cycles(core) + 2):
            later = Signal(name=f"out_en_{i}")
            m.d.sync += later.eq(enable)
            enable = later
        m.d.comb += self.en.eq(enable)
        return m

    def _constants(self, m: Module, combines: list[Any]) -> None:
        d = self.desc
        constants = m.submodules.constants = Shared("chanzi_combine_constants", CombineConstants(self.stages))
        m.d.comb += [
            constants.begin.eq(self.begin),
            constants.first_is_r.eq(0),
            constants.scale_x.eq(d.scale_a),
            constants.scale_r.eq(d.scale_b),
            constants.x_zero.eq(d.zero_in),
            constants.r_zero.eq(d.second_zero),
            constants.out_zero.eq(d.zero),
        ]
        given = {
            "mul": d.kind == VecKind.MUL,
            "first_is_r": Const(0, 1),
            "x_zero": d.zero_in,
            "r_zero": d.second_zero,
            "scale_x": d.scale_a,
            "scale_r": d.scale_b,
            "offset": constants.offset,
            "mul_scale": d.scale,
            "zero": constants.zero,
            "low": d.low,
            "high": d.high,
        }
        combine_constants(m, combines, given, self.stages)

    def _parameters(self, m: Module, steps: list) -> None:
        """Biases and multipliers are taken as late as the sums they belong to; weights and table as they come."""
        core, s, late = self.core, self.step, steps[-1]
        W, lanes = core.port_bytes, core.lanes
        word = delay(m, self.params, SUM_LATENCY, "params")
        self._bias = [Signal(32, name=f"bias_{i}", reset_less=True) for i in range(lanes)]
        self._scale = [Signal(32, name=f"scale_{i}", reset_less=True) for i in range(lanes)]
        per_word = W // 4 or 1
        for i in range(lanes):
            at, which = 32 * (i % per_word), i // per_word
            for load, target in ((late.load_bias, self._bias[i]), (late.load_scale, self._scale[i])):
                if W >= 4:
                    with m.If(load & (late.word == which)):
                        m.d.sync += target.eq(word[at : at + 32])
                    continue
                for part in range(4 // W):
                    with m.If(load & (late.word == i * (4 // W) + part)):
                        m.d.sync += target[8 * W * part : 8 * W * (part + 1)].eq(word)
        weights = m.submodules.weights = Memory(shape=unsigned(8 * lanes), depth=MAX_WEIGHT_TAPS, init=[])
        write = weights.write_port()
        own = self.params.word_select(s.part, 8 * lanes) if part_bits(core) else self.params[: 8 * lanes]
        m.d.comb += [write.addr.eq(s.word), write.data.eq(own), write.en.eq(s.load_weight)]
        self._weights = []
        for k in range(core.taps_per_lane):
            port = weights.read_port(domain="comb")
            m.d.comb += port.addr.eq(s.weights[k])
            read = Signal(8 * lanes, name=f"weights_{k}", reset_less=True)
            m.d.sync += read.eq(port.data)
            self._weights.append(read)

    def _sum(self, m: Module, lane: int, steps: list) -> tuple[Value, Value]:
        """Return the oldest accumulator and the operand's value, SUM_LATENCY cycles after the word."""
        core, d = self.core, self.desc
        name = f"lane_{lane}_"
        atom = self.operand.word_select(self.step.part, 8 * core.lanes) if part_bits(core) else self.operand
        byte = atom.word_select(lane, 8)
        exists = self.step.read  # windows hold whole pixels
        value, there = Signal(signed(9), name=name + "value", reset_less=True), Signal(name=name + "there")
        stored = Cat(byte, byte[7] & d.signed[0]).as_signed()
        m.d.sync += [value.eq(Mux(exists, stored, d.zero_in)), there.eq(exists)]
        products = []
        for k in range(core.taps_per_lane):
            weight = self._weights[k].word_select(lane, 8)
            factor = Signal(signed(10), name=f"{name}factor_{k}")
            centred = Cat(weight, weight[7] & d.weight_signed[0]).as_signed() - d.weight_zero
            m.d.comb += factor.eq(Mux(d.kind == VecKind.MAC, centred, 1))
            product = Signal(signed(20), name=f"{name}product_{k}", reset_less=True)
            m.d.sync += product.eq((value - d.zero_in) * factor)
            products.append(product)
        held = Signal(signed(9), name=name + "held", reset_less=True)
        present = Signal(name=name + "present", reset_less=True)
        m.d.sync += [held.eq(value), present.eq(there)]
        s = steps[2]
        largest = d.kind == VecKind.MAX
        clear = Mux(largest, Mux(d.signed, -128, 0), 0)
        sums = [Signal(signed(32), name=f"{name}sum_{a}", reset_less=True) for a in range(MAX_SHARE)]
        for a in range(MAX_SHARE):
            k = a % core.taps_per_lane
            before = Mux(s.first, clear, Mux(s.shift, sums[a - 1] if a else clear, sums[a]))
            mine = s.taps[k] & (s.low_age == a - k) & present
            taken = Mux(largest, Mux(held > before, held, before), before + products[k])
            m.d.sync += sums[a].eq(Mux(mine, taken, before))
        total = Signal(signed(32), name=name + "total")
        with m.Switch(self.oldest):
            for a in range(MAX_SHARE):
                with m.Case(a):
                    m.d.comb += total.eq(sums[a])
        return total, delay(m, held, 1, name + "held")

    def _finish(self, m: Module, lane: int, total: Value, value: Value, combine: Any, req: Any) -> Value:
        """Return the lane's byte, `lane_cycles` + 1 cycles later, table included."""
        d, name = self.desc, f"lane_{lane}_"
        scalar = (d.flags & VecFlag.SCALAR) != 0
        second = Mux(scalar, self.second[:8], self.second.word_select(lane, 8))
        stored = Cat(second, second[7] & d.second_signed[0]).as_signed()
        m.d.comb += [
            combine.x.eq(value),
            combine.r.eq(delay(m, stored, SUM_LATENCY, name + "second")),
            req.acc.eq(total),
            req.bias.eq(Mux((d.flags & VecFlag.BIAS) != 0, self._bias[lane].as_signed(), 0)),
            req.scale.eq(Mux((d.flags & VecFlag.CHANNEL_SCALE) != 0, self._scale[lane], d.scale)),
            req.zero.eq(d.zero),
            req.low.eq(d.low),
            req.high.eq(d.high),
        ]
        plain = Mux(d.kind == VecKind.COPY, value[:8], total[:8])
        depth, whole = pipeline(self.stages), lane_cycles(self.core)
        plain = delay(m, plain, whole, name + "plain")
        summed = delay(m, req.out, whole - depth.requantize, name + "summed")
        both = delay(m, combine.out, whole - depth.combine, name + "both")
        byte = Signal(8, name=name + "byte")
        with m.Switch(d.kind):
            with m.Case(VecKind.SUM, VecKind.MAC):
                m.d.comb += byte.eq(summed)
            with m.Case(VecKind.ADD, VecKind.MUL):
                m.d.comb += byte.eq(both)
            with m.Default():
                m.d.comb += byte.eq(plain)
        W = self.core.port_bytes
        table = m.submodules[f"table_{lane}"] = Memory(shape=unsigned(8 * W), depth=-(-256 // W), init=[])
        write, read = table.write_port(), table.read_port(domain="comb")
        bits = (W - 1).bit_length()
        m.d.comb += [write.en.eq(self.step.load_table), write.addr.eq(self.step.word), write.data.eq(self.params)]
        m.d.comb += read.addr.eq(byte >> bits)
        found = read.data.word_select(byte[:bits], 8)
        out = Signal(8, name=name + "out", reset_less=True)
        m.d.sync += out.eq(Mux((d.flags & VecFlag.TABLE) != 0, found, byte))
        return out
