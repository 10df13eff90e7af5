"""IEEE float32 in pipelines: every block rounds once, to nearest even, subnormals in full, as NumPy does.

A finite number is held as sign, integer significand and the exponent of the significand's last bit. All blocks end in
`Pack`, which normalises and rounds; nothing else rounds. Blocks have no stall and no valid: what goes in comes out
some cycles later, which `chanzi.isa.pipeline` promises. With `stages` = 2 a register cuts every step in two.
"""

from collections.abc import Callable

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from chanzi.isa.pipeline import QUOTIENT_BITS

BIAS = 127
MANTISSA = 23
LEAST = -149
"""Exponent of the last bit of a subnormal."""
EXPONENT = signed(12)

NUMBER = data.StructLayout({"sign": 1, "inf": 1, "nan": 1, "sig": 24, "exp": EXPONENT})
"""An unpacked float32: value = (-1)^sign sig 2^exp."""


def cut(m: Module, stages: int) -> Callable[[Value, str], Value]:
    """Return what stands between the halves of a step: a register where steps take two cycles, else a wire."""

    def between(value: Value, name: str) -> Value:
        if stages == 1:
            return value
        later = Signal(value.shape(), name=f"{name}_cut", reset_less=True)
        m.d.sync += later.eq(value)
        return later

    return between


def unpack(bits: Value, m: Module, name: str) -> data.View:
    """Return the parts of a float32's bits."""
    number = Signal(NUMBER, name=name)
    field, fraction = bits[MANTISSA:31], bits[:MANTISSA]
    m.d.comb += [
        number.sign.eq(bits[31]),
        number.inf.eq((field == 255) & (fraction == 0)),
        number.nan.eq((field == 255) & (fraction != 0)),
        number.sig.eq(Cat(fraction, field != 0)),
        number.exp.eq(Mux(field == 0, 1, field) + (LEAST - 1)),
    ]
    return number


def shift_right_sticky(m: Module, value: Value, amount: Value, name: str) -> Value:
    """Return value >> amount, its last bit also set where a one was shifted out."""
    below = Signal(len(value), name=f"{name}_below")  # ones where bits are shifted out
    m.d.comb += below.eq(Cat(amount > i for i in range(len(value))))
    moved = Signal(len(value), name=f"{name}_moved")
    m.d.comb += moved.eq(value >> amount)
    return Cat(moved[0] | (value & below).any(), moved[1:])


def leading_zeros(m: Module, value: Value, name: str) -> Signal:
    """Return the zeros above the highest one (width - 1 for 0)."""
    steps = (len(value) - 1).bit_length()
    padded = Cat(Const(0, (1 << steps) - len(value)), Const(1, 1), value[1:])  # a one at the end changes only 0
    found: list[tuple[Value, Value]] = [(bit, Const(0, 0)) for bit in padded]
    for step in range(steps):  # (is there a one, zeros above it) of ever longer pieces, from the lowest on
        longer = []
        for i, ((low, below), (high, above)) in enumerate(zip(found[::2], found[1::2], strict=True)):
            one, zeros = Signal(name=f"{name}_any{step}_{i}"), Signal(step + 1, name=f"{name}{step}_{i}")
            m.d.comb += [one.eq(low | high), zeros.eq(Cat(Mux(high, above, below), ~high))]
            longer.append((one, zeros))
        found = longer
    count = Signal(range(len(value)), name=name)
    m.d.comb += count.eq(found[0][1])
    return count


def _at_most_26(under: Value) -> Value:
    return Mux(under <= 0, 0, Mux(under > 26, 26, under[:5]))


class Pack(Component):
    """The float32 nearest to (-1)^sign sig 2^exp, 2 `stages` cycles later; `inf` and `nan` override.

    Where sig is 0, the sign is `zero_sign`.
    """

    def __init__(self, width: int, stages: int = 1) -> None:
        self.width, self.stages = max(width, 26), stages
        flags = {name: In(1) for name in ("sign", "zero_sign", "inf", "nan")}
        super().__init__({**flags, "sig": In(self.width), "exp": In(EXPONENT), "bits": Out(32)})

    def elaborate(self, platform: object) -> Module:
        """Normalise, then round."""
        del platform
        m, width = Module(), self.width
        then = cut(m, self.stages)
        zeros = then(leading_zeros(m, self.sig, "zeros"), "zeros")
        sig, exp = then(self.sig, "sig"), then(self.exp, "exp")
        marks = then(Cat(self.sign, self.zero_sign, self.inf, self.nan), "marks")
        normal = Signal(width)
        m.d.comb += normal.eq(sig << zeros)
        kept = Signal(26, reset_less=True)  # 24 bits, the one below, and whether anything lies below that
        top = Signal(EXPONENT, reset_less=True)
        under = Signal(EXPONENT, reset_less=True)  # how far the highest bit lies below the smallest normal number's
        flags = Signal(4, reset_less=True)
        zero, under_now = ~normal[-1], Signal(EXPONENT)
        m.d.comb += under_now.eq(zeros - (exp + (width + 125)))
        m.d.sync += [
            kept.eq(Cat(normal[: width - 25].any(), normal[width - 25 :])),
            top.eq(exp + (width - 1) - zeros),
            under.eq(under_now),
            flags.eq(Cat(Mux(zero & ~marks[2], marks[1], marks[0]), marks[2], marks[3], zero)),
        ]
        down = Signal(5, reset_less=True)
        if self.stages == 1:
            m.d.comb += down.eq(_at_most_26(under))
        else:  # beside the shift, which takes longer
            m.d.sync += down.eq(_at_most_26(under_now))
        shifted = Signal(26)
        m.d.comb += shifted.eq(shift_right_sticky(m, kept, down, "subnormal"))
        field = Signal(9)
        m.d.comb += field.eq(Mux(under > 0, 0, Mux(top > BIAS, 255, top + BIAS)))
        last, whole = then(shifted[:3], "last"), then(Cat(shifted[2:25], field), "whole")
        up = last[1] & (last[0] | last[2])
        rounded = Signal(33)
        m.d.comb += rounded.eq(whole + up)
        sign, inf, nan, zero = then(flags, "flags")
        with m.If(nan):
            m.d.sync += self.bits.eq(0x7FC00000)
        with m.Elif(inf | (~zero & (rounded >= 255 << 23))):
            m.d.sync += self.bits.eq(Cat(Const(255 << 23, 31), sign))
        with m.Elif(zero):
            m.d.sync += self.bits.eq(Cat(Const(0, 31), sign))
        with m.Else():
            m.d.sync += self.bits.eq(Cat(rounded[:31], sign))
        return m


class FromInt(Component):
    """The float32 nearest to a signed integer."""

    def __init__(self, bits: int = 32, stages: int = 1) -> None:
        self.width, self.stages = bits, stages
        super().__init__({"value": In(signed(bits)), "bits": Out(32)})

    def elaborate(self, platform: object) -> Module:
        """Return sign and magnitude, packed."""
        del platform
        m = Module()
        pack = m.submodules.pack = Pack(self.width, self.stages)
        size = Signal(self.width)
        m.d.comb += size.eq(Mux(self.value < 0, (-self.value)[: self.width], self.value.as_unsigned()))
        both = cut(m, self.stages)(Cat(size, self.value < 0), "number")
        m.d.comb += [pack.sig.eq(both[:-1]), pack.sign.eq(both[-1]), self.bits.eq(pack.bits)]
        return m


class Multiply(Component):
    """x * y."""

    def __init__(self, stages: int = 1) -> None:
        self.stages = stages
        super().__init__({"x": In(32), "y": In(32), "bits": Out(32)})

    def elaborate(self, platform: object) -> Module:
        """Return the product of the significands, packed."""
        del platform
        m = Module()
        then = cut(m, self.stages)
        x, y = unpack(self.x, m, "x_parts"), unpack(self.y, m, "y_parts")
        pack = m.submodules.pack = Pack(48, self.stages)
        product, exp = Signal(48, reset_less=True), Signal(EXPONENT, reset_less=True)
        marks = Signal(3, reset_less=True)
        bad = x.nan | y.nan | (x.inf & (y.sig == 0) & ~y.inf) | (y.inf & (x.sig == 0) & ~x.inf)
        sum_exp = Signal(EXPONENT)
        m.d.comb += sum_exp.eq(x.exp + y.exp)
        m.d.sync += product.eq(_product(m, x.sig, y.sig, self.stages))
        m.d.sync += exp.eq(then(sum_exp, "exp"))
        m.d.sync += marks.eq(then(Cat(x.sign ^ y.sign, x.inf | y.inf, bad), "marks"))
        m.d.comb += [pack.sig.eq(product), pack.exp.eq(exp), pack.sign.eq(marks[0]), pack.zero_sign.eq(marks[0])]
        m.d.comb += [pack.inf.eq(marks[1]), pack.nan.eq(marks[2]), self.bits.eq(pack.bits)]
        return m


def _product(m: Module, x: Value, y: Value, stages: int) -> Value:
    """Return x * y; with two stages the products with y's halves are kept a cycle before they are added."""
    if stages == 1:
        return x * y
    then, half = cut(m, stages), len(y) // 2
    low, high = then(x * y[:half], "low_product"), then(x * y[half:], "high_product")
    return low + (high << half)


class MultiplyAdd(Component):
    """x * y + z, rounded once; x and z float32, y a signed integer.

    A narrow y keeps the multiplier small: quantized values are bytes. With y = 1 it adds, with z = 0 it multiplies.
    """

    def __init__(self, y_bits: int, stages: int = 1) -> None:
        self.y_bits, self.stages = y_bits, stages
        super().__init__({"x": In(32), "y": In(signed(y_bits)), "z": In(32), "bits": Out(32)})

    def elaborate(self, platform: object) -> Module:  # noqa: PLR0915 - two steps of a pipeline, signal by signal
        """Multiply; align and add; pack."""
        del platform
        m, n = Module(), self.y_bits
        then = cut(m, self.stages)
        x, z = unpack(self.x, m, "x_parts"), unpack(self.z, m, "z_parts")
        size = Signal(n)
        m.d.comb += size.eq(Mux(self.y < 0, (-self.y)[:n], self.y.as_unsigned()))
        wide = 24 + n
        p_sign, p_inf = x.sign ^ (self.y < 0), x.inf & (size != 0)
        away = Signal(EXPONENT)
        m.d.comb += away.eq(z.exp - x.exp)
        x_sig, size_then, x_exp = then(x.sig, "x_sig"), then(size, "size"), then(x.exp, "x_exp")
        z_sign, z_sig, away = then(z.sign, "z_sign"), then(z.sig, "z_sig"), then(away, "away")
        p_sign_then, infinite = then(p_sign, "p_sign"), then(p_inf | z.inf, "infinite")
        bad = then(x.nan | z.nan | (x.inf & (size == 0)) | (p_inf & z.inf & (p_sign ^ z.sign)), "bad")
        sign_of_inf = then(Mux(p_inf, p_sign, z.sign), "sign_of_inf")
        product, sign = Signal(wide, reset_less=True), Signal(reset_less=True)
        exp, offset = Signal(EXPONENT, reset_less=True), Signal(EXPONENT, reset_less=True)
        addend, addend_sign = Signal(24, reset_less=True), Signal(reset_less=True)
        inf, nan, infinite_sign = (Signal(name=k, reset_less=True) for k in ("inf", "nan", "infinite_sign"))
        m.d.sync += [product.eq(x_sig * size_then), sign.eq(p_sign_then), exp.eq(x_exp)]
        m.d.sync += [addend.eq(z_sig), addend_sign.eq(z_sign)]
        # z's last bit lies at `at`, the product's at `low`; beyond the ends only the order matters
        low, most = 27, 27 + wide + 3
        at, anchored = Signal(range(most + 1), reset_less=True), Signal(reset_less=True)
        m.d.sync += [offset.eq(away), anchored.eq(0), at.eq(0)]
        with m.If(z_sig == 0):
            pass
        with m.Elif((x_sig == 0) | (size_then == 0) | (away > most - low)):
            m.d.sync += [at.eq(most), anchored.eq(1)]
        with m.Elif(away >= -low):
            m.d.sync += at.eq(away + low)
        m.d.sync += [inf.eq(infinite), nan.eq(bad), infinite_sign.eq(sign_of_inf)]
        # three bits below the product's last round the sum; of what lies below them only whether it is there matters:
        # where x is normal, z reaches so far down only if its highest bit is below the product's, and else x is
        # subnormal, and nothing has a bit below its last
        below = low - 3
        total_bits = most + 24 + 1 - below + 1
        placed = Signal(most + 24)
        m.d.comb += placed.eq(addend << at)
        a, b, total, turned = (Signal(total_bits, name=name) for name in ("a", "b", "total", "turned"))
        aligned = Cat(placed[:below].any(), placed[below:])
        m.d.comb += [a.eq(then(product, "product") << (low - below + 1)), b.eq(then(aligned, "aligned"))]
        differ = then(sign ^ addend_sign, "differ")
        m.d.comb += [total.eq(a + (b ^ differ.replicate(total_bits)) + differ), turned.eq(b - a)]
        less = differ & total[-1]  # the sum's size has a bit less
        pack = m.submodules.pack = Pack(total_bits, self.stages)
        magnitude, e = Signal(total_bits, reset_less=True), Signal(EXPONENT, reset_less=True)
        e_now = Signal(EXPONENT)
        m.d.comb += e_now.eq(Mux(anchored, exp + offset - (most - below + 1), exp - (low - below + 1)))
        marks = then(Cat(sign, sign & addend_sign, infinite_sign, inf, nan), "sum_marks")
        s, zero_s, i, u = (Signal(name=name, reset_less=True) for name in ("s", "zero_s", "i", "u"))
        m.d.sync += [magnitude.eq(Mux(less, turned, total)), e.eq(then(e_now, "e"))]
        m.d.sync += [s.eq(Mux(marks[3], marks[2], marks[0] ^ less)), zero_s.eq(marks[1])]
        m.d.sync += [i.eq(marks[3]), u.eq(marks[4])]
        m.d.comb += [pack.sig.eq(magnitude), pack.exp.eq(e), pack.sign.eq(s), pack.zero_sign.eq(zero_s)]
        m.d.comb += [pack.inf.eq(i), pack.nan.eq(u), self.bits.eq(pack.bits)]
        return m


class Divide(Component):
    """x / y, one a cycle: a register for each bit of the quotient."""

    def __init__(self, stages: int = 1) -> None:
        self.stages = stages
        super().__init__({"x": In(32), "y": In(32), "bits": Out(32)})

    def elaborate(self, platform: object) -> Module:
        """Normalise both, subtract and shift, pack."""
        del platform
        m = Module()
        then = cut(m, self.stages)
        parts = []
        for side in ("x", "y"):
            number = unpack(getattr(self, side), m, f"{side}_parts")
            zeros = then(leading_zeros(m, number.sig, f"{side}_zeros"), f"{side}_zeros")
            number = number if self.stages == 1 else data.View(NUMBER, then(number.as_value(), f"{side}_number"))
            parts.append((number, number.sig << zeros, number.exp - zeros))
        (x, x_sig, x_exp), (y, y_sig, y_exp) = parts
        rest, divisor = Signal(25, name="rest", reset_less=True), Signal(24, name="divisor", reset_less=True)
        exp, flags = Signal(EXPONENT, name="exp", reset_less=True), Signal(3, name="flags", reset_less=True)
        x_zero, y_zero = (x.sig == 0) & ~x.inf & ~x.nan, (y.sig == 0) & ~y.inf & ~y.nan
        nan = x.nan | y.nan | (x.inf & y.inf) | (x_zero & y_zero)
        inf = (x.inf | y_zero) & ~nan
        zero = (x_zero | y.inf) & ~nan & ~inf
        m.d.sync += [rest.eq(Mux(zero, 0, x_sig)), divisor.eq(y_sig), exp.eq(x_exp - y_exp - (QUOTIENT_BITS - 1))]
        m.d.sync += flags.eq(Cat(x.sign ^ y.sign, inf, nan))
        quotient: Value = Const(0, 0)
        for step in range(QUOTIENT_BITS):
            fits = rest >= divisor
            left = Mux(fits, rest - divisor, rest)[:24]
            names = [f"{n}{step}" for n in ("rest", "divisor", "exp", "flags", "quotient")]
            after = [
                Signal(shape, name=name, reset_less=True)
                for shape, name in zip((25, 24, EXPONENT, 3, step + 1), names, strict=True)
            ]
            m.d.sync += [
                after[0].eq(Cat(Const(0, 1), left)),
                after[1].eq(divisor),
                after[2].eq(exp),
                after[3].eq(flags),
            ]
            m.d.sync += after[4].eq(Cat(fits, quotient))
            rest, divisor, exp, flags, quotient = after
        pack = m.submodules.pack = Pack(QUOTIENT_BITS + 1, self.stages)
        m.d.comb += [pack.sig.eq(Cat(rest != 0, quotient)), pack.exp.eq(exp - 1)]
        m.d.comb += [pack.sign.eq(flags[0]), pack.zero_sign.eq(flags[0]), self.bits.eq(pack.bits)]
        m.d.comb += [pack.inf.eq(flags[1]), pack.nan.eq(flags[2])]
        return m


class ToByte(Component):
    """clip(rint(value) + zero, low, high) as a byte, 2 `stages` cycles later; NaN gives `low`.

    `zero`, `low` and `high` are taken together with the value.
    """

    def __init__(self, stages: int = 1) -> None:
        self.stages = stages
        limits = {name: In(signed(16)) for name in ("zero", "low", "high")}
        super().__init__({"bits": In(32), **limits, "byte": Out(unsigned(8))})

    def elaborate(self, platform: object) -> Module:
        """Shift to an integer of 18 bits and what rounds it; then round and clip."""
        del platform
        m = Module()
        then = cut(m, self.stages)
        number = unpack(self.bits, m, "parts")
        down = Signal(EXPONENT)
        m.d.comb += down.eq(-number.exp)
        amount = Signal(5)
        m.d.comb += amount.eq(Mux(down > 26, 26, down[:5]))  # less than 6 is huge, or zero
        sig, amount_then = then(number.sig, "sig"), then(amount, "amount")
        huge = then((number.inf | (down < 6)) & (number.sig != 0), "huge")
        whole = shift_right_sticky(m, Cat(Const(0, 2), sig), amount_then, "whole")
        size, up, sign, nan = (
            Signal(n, name=k, reset_less=True) for n, k in ((18, "size"), (1, "up"), (1, "s"), (1, "n"))
        )
        m.d.sync += [sign.eq(then(number.sign, "sign")), nan.eq(then(number.nan, "nan"))]
        m.d.sync += size.eq(whole[2:20] | huge.replicate(18))  # rounded up, 2^18
        m.d.sync += up.eq(huge | (whole[1] & (whole[0] | whole[2])))
        zero, low, high = (Signal(8, name=name, reset_less=True) for name in ("zero8", "low8", "high8"))
        least, most = (Signal(signed(17), name=name, reset_less=True) for name in ("least", "most"))
        limits = [then(getattr(self, name), name) for name in ("zero", "low", "high")]
        m.d.sync += [zero.eq(limits[0]), low.eq(limits[1]), high.eq(limits[2])]
        m.d.sync += [least.eq(limits[1] - limits[0]), most.eq(limits[2] - limits[0])]
        sum_ = Signal(signed(20))
        # -(size + up) is ~size + 1 - up
        m.d.comb += sum_.eq((Cat(size, Const(0, 1)) ^ sign.replicate(19)).as_signed() + (up ^ sign))
        rounded, nan, least, most = then(sum_, "rounded"), then(nan, "n"), then(least, "least"), then(most, "most")
        zero, low, high = then(zero, "zero8"), then(low, "low8"), then(high, "high8")
        with m.If(nan | (rounded < least)):
            m.d.sync += self.byte.eq(low)
        with m.Elif(rounded > most):
            m.d.sync += self.byte.eq(high)
        with m.Else():
            m.d.sync += self.byte.eq(rounded[:8] + zero)
        return m
