"""What a lane does to a sum or to two bytes: the array's epilogue and the vector unit use the same two pipelines."""

from collections.abc import Mapping, Sequence

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import Component, In, Out

from chanzi.isa.pipeline import Pipeline, pipeline
from chanzi.rtl.float32 import FromInt, Multiply, MultiplyAdd, ToByte

PRODUCT_BITS = 19
"""Of the product of two bytes, zero points subtracted."""


def delay(m: Module, value: Value, cycles: int, name: str) -> Value:
    """Return `value` as it was so many cycles before."""
    for i in range(cycles):
        later = Signal(value.shape(), name=f"{name}_{i}", reset_less=True)
        m.d.sync += later.eq(value)
        value = later
    return value


class Requantize(Component):
    """clip(rint(float32(acc + bias) * scale) + zero, low, high), `Pipeline.requantize` cycles after `acc` and `bias`.

    acc + bias wraps around in 32 bits. `scale` is taken together with acc; `zero`, `low` and `high` `Pipeline.to_byte`
    cycles before the byte comes out.
    """

    def __init__(self, stages: int = 1) -> None:
        self.stages = stages
        limits = {name: In(signed(16)) for name in ("zero", "low", "high")}
        super().__init__({"acc": In(signed(32)), "bias": In(signed(32)), "scale": In(32), **limits, "out": Out(8)})

    def elaborate(self, platform: object) -> Module:
        """Return the pipeline."""
        del platform
        m = Module()
        stages = self.stages
        number, multiply, byte = FromInt(32, stages), Multiply(stages), ToByte(stages)
        m.submodules.number, m.submodules.multiply, m.submodules.byte = number, multiply, byte
        total = Signal(signed(32), reset_less=True)
        m.d.sync += total.eq(self.acc + self.bias)
        m.d.comb += [number.value.eq(total), multiply.x.eq(number.bits), byte.bits.eq(multiply.bits)]
        m.d.comb += multiply.y.eq(delay(m, self.scale, 1 + pipeline(stages).from_int, "scale_later"))
        m.d.comb += [byte.zero.eq(self.zero), byte.low.eq(self.low), byte.high.eq(self.high), self.out.eq(byte.byte)]
        return m


class Combine(Component):
    """The sum or product of two quantized bytes, requantized, `Pipeline.combine` cycles after `x` and `r`.

    Sum: S1 v1 + (S2 v2 + offset), fused, where 1 is r's side if `first_is_r`, else x's. Product: (x - x_zero)
    (r - r_zero) mul_scale + zero, each step rounded. x and r are stored values. Constants are the same for all lanes
    and change with the instruction, so they come when they are needed: `combine_constants` brings them in time.
    """

    def __init__(self, stages: int = 1) -> None:
        self.stages = stages
        super().__init__(
            {
                "x": In(signed(9)),
                "r": In(signed(9)),
                "mul": In(1),
                "first_is_r": In(1),
                "x_zero": In(signed(10)),
                "r_zero": In(signed(10)),
                "inner_x": In(32),
                "inner_z": In(32),
                "outer_x": In(32),
                "low": In(signed(16)),
                "high": In(signed(16)),
                "out": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Return two fused multiply-adds and the way to a byte."""
        del platform
        m = Module()
        stages = self.stages
        inner, outer, byte = MultiplyAdd(PRODUCT_BITS, stages), MultiplyAdd(9, stages), ToByte(stages)
        m.submodules.inner, m.submodules.outer, m.submodules.byte = inner, outer, byte
        second, first = Signal(signed(PRODUCT_BITS), reset_less=True), Signal(signed(9), reset_less=True)
        product = (self.x - self.x_zero) * (self.r - self.r_zero)
        m.d.sync += second.eq(Mux(self.mul, product, Mux(self.first_is_r, self.x, self.r)))
        m.d.sync += first.eq(Mux(self.mul, 1, Mux(self.first_is_r, self.r, self.x)))
        m.d.comb += [
            inner.x.eq(self.inner_x),
            inner.y.eq(second),
            inner.z.eq(self.inner_z),
            outer.x.eq(self.outer_x),
            outer.y.eq(delay(m, first, pipeline(stages).multiply_add, "first_later")),
            outer.z.eq(inner.bits),
            byte.bits.eq(outer.bits),
            byte.low.eq(self.low),
            byte.high.eq(self.high),
            self.out.eq(byte.byte),
        ]
        return m


def combine_times(depth: Pipeline) -> dict[str, int]:
    """Return how many cycles after x and r `Combine` takes each of its constants."""
    return {
        **dict.fromkeys(("mul", "first_is_r", "x_zero", "r_zero"), 0),
        "inner_x": 1,
        "inner_z": 1,
        "outer_x": 1 + depth.multiply_add,
        **dict.fromkeys(("low", "high"), depth.combine - depth.to_byte),
    }


def combine_inputs(given: Mapping[str, Value]) -> dict[str, Value]:
    """Return `Combine`'s constants, by port, of an instruction's.

    `given`: mul, first_is_r, x_zero, r_zero, scale_x, scale_r, offset, mul_scale, zero (a float32), low, high.
    """
    mul, swap = given["mul"], given["first_is_r"]
    return {
        "inner_x": Mux(mul, given["mul_scale"], Mux(swap, given["scale_x"], given["scale_r"])),
        "inner_z": Mux(mul, 0, given["offset"]),
        "outer_x": Mux(mul, given["zero"], Mux(swap, given["scale_r"], given["scale_x"])),
        **{name: given[name] for name in ("mul", "first_is_r", "x_zero", "r_zero", "low", "high")},
    }


def combine_constants(m: Module, lanes: Sequence[Combine], given: Mapping[str, Value], stages: int) -> None:
    """Bring an instruction's constants, `given` in the cycle of x and r, to all lanes, each in its own cycle."""
    times = combine_times(pipeline(stages))
    late = {n: delay(m, value, times[n], f"combine_{n}") for n, value in combine_inputs(given).items()}
    for lane in lanes:
        for name, value in late.items():
            m.d.comb += getattr(lane, name).eq(value)


class CombineConstants(Component):
    """offset = zero - (S1 z1 + S2 z2), the inner sum fused, and zero as a float, `Pipeline.constants` cycles later.

    Side 1 is r's if `first_is_r`, else x's. `begin` is high in the cycle before inputs are there; they must stand still
    from then on. One fused multiply-add does one step after the other.
    """

    def __init__(self, stages: int = 1) -> None:
        self.stages = stages
        super().__init__(
            {
                "begin": In(1),
                "first_is_r": In(1),
                "scale_x": In(32),
                "scale_r": In(32),
                "x_zero": In(signed(10)),
                "r_zero": In(signed(10)),
                "out_zero": In(signed(16)),
                "offset": Out(32),
                "zero": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Return the multiply-add, what it takes in each step, and the result of the step before."""
        del platform
        m = Module()
        depth = pipeline(self.stages)
        unit, number = MultiplyAdd(10, self.stages), FromInt(16, self.stages)
        m.submodules.unit, m.submodules.number = unit, number
        each = depth.multiply_add
        steps = depth.constants // each
        count = Signal(range(depth.constants), init=(steps - 1) * each)
        with m.If(self.begin):
            m.d.sync += count.eq(0)
        with m.Elif(count != (steps - 1) * each):  # the last step stays, and so does the result
            m.d.sync += count.eq(count + 1)
        step, comes = count // each, count % each == 0
        fresh, kept, before = Signal(init=0), Signal(32, reset_less=True), Signal(32)
        m.d.sync += fresh.eq(self.begin | (count != (steps - 1) * each))
        m.d.comb += before.eq(Mux(comes & fresh, unit.bits, kept))
        m.d.sync += kept.eq(before)
        swap = self.first_is_r
        m.d.comb += [number.value.eq(self.out_zero), self.zero.eq(number.bits), self.offset.eq(unit.bits)]
        with m.Switch(step):
            with m.Case(0):
                m.d.comb += [unit.x.eq(Mux(swap, self.scale_x, self.scale_r)), unit.z.eq(0)]
                m.d.comb += unit.y.eq(Mux(swap, self.x_zero, self.r_zero))
            with m.Case(1):
                m.d.comb += [unit.x.eq(Mux(swap, self.scale_r, self.scale_x)), unit.z.eq(before)]
                m.d.comb += unit.y.eq(Mux(swap, self.r_zero, self.x_zero))
            with m.Default():
                m.d.comb += [unit.x.eq(before), unit.y.eq(-1), unit.z.eq(number.bits)]
        return m
