"""IEEE float32 in pipelines: every block rounds once, to nearest even, subnormals in full, as NumPy does.

A finite number is held as sign, integer significand and the exponent of the significand's last bit. All blocks end in
`Pack`, which normalises and rounds; nothing else rounds. Blocks have no stall and no valid: what goes in comes out
LATENCY cycles later.
"""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

BIAS = 127
MANTISSA = 23
LEAST = -149
"""Exponent of the last bit of a subnormal."""
EXPONENT = signed(12)

NUMBER = data.StructLayout({"sign": 1, "inf": 1, "nan": 1, "sig": 24, "exp": EXPONENT})
"""An unpacked float32: value = (-1)^sign sig 2^exp."""

PACK_LATENCY = 2
FMA_LATENCY = 2 + PACK_LATENCY
MULTIPLY_LATENCY = 1 + PACK_LATENCY
FROM_INT_LATENCY = PACK_LATENCY
ADD_LATENCY = FMA_LATENCY
DIVIDE_STEPS = 27
DIVIDE_LATENCY = 1 + DIVIDE_STEPS + PACK_LATENCY
TO_BYTE_LATENCY = 2


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


class Pack(Component):
    """The float32 nearest to (-1)^sign sig 2^exp, PACK_LATENCY = 2 cycles later; `inf` and `nan` override."""

    def __init__(self, width: int) -> None:
        self.width = max(width, 26)
        super().__init__(
            {"sign": In(1), "inf": In(1), "nan": In(1), "sig": In(self.width), "exp": In(EXPONENT), "bits": Out(32)}
        )

    def elaborate(self, platform: object) -> Module:
        """Normalise, then round."""
        del platform
        m, width = Module(), self.width
        zeros = leading_zeros(m, self.sig, "zeros")
        normal = Signal(width)
        m.d.comb += normal.eq(self.sig << zeros)
        kept = Signal(26, reset_less=True)  # 24 bits, the one below, and whether anything lies below that
        top = Signal(EXPONENT, reset_less=True)
        under = Signal(EXPONENT, reset_less=True)  # how far the highest bit lies below the smallest normal number's
        flags = Signal(4, reset_less=True)
        m.d.sync += [
            kept.eq(Cat(normal[: width - 25].any(), normal[width - 25 :])),
            top.eq(self.exp + (width - 1) - zeros),
            under.eq(zeros - (self.exp + (width + 125))),
            flags.eq(Cat(self.sign, self.inf, self.nan, self.sig == 0)),
        ]
        down = Signal(5)
        m.d.comb += down.eq(Mux(under <= 0, 0, Mux(under > 26, 26, under[:5])))
        shifted = Signal(26)
        m.d.comb += shifted.eq(shift_right_sticky(m, kept, down, "subnormal"))
        field = Signal(9)
        m.d.comb += field.eq(Mux(under > 0, 0, Mux(top > BIAS, 255, top + BIAS)))
        up = shifted[1] & (shifted[0] | shifted[2])
        rounded = Signal(33)
        m.d.comb += rounded.eq(Cat(shifted[2:25], field) + up)
        sign, inf, nan, zero = flags
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
    """The float32 nearest to a signed integer, FROM_INT_LATENCY = 2 cycles later."""

    def __init__(self, bits: int = 32) -> None:
        self.width = bits
        super().__init__({"value": In(signed(bits)), "bits": Out(32)})

    def elaborate(self, platform: object) -> Module:
        """Return sign and magnitude, packed."""
        del platform
        m = Module()
        pack = m.submodules.pack = Pack(self.width)
        magnitude = Mux(self.value < 0, (-self.value)[: self.width], self.value.as_unsigned())
        m.d.comb += [pack.sig.eq(magnitude), pack.sign.eq(self.value < 0), self.bits.eq(pack.bits)]
        return m


class Multiply(Component):
    """x * y, MULTIPLY_LATENCY = 3 cycles later."""

    def __init__(self) -> None:
        super().__init__({"x": In(32), "y": In(32), "bits": Out(32)})

    def elaborate(self, platform: object) -> Module:
        """Return the product of the significands, packed."""
        del platform
        m = Module()
        x, y = unpack(self.x, m, "x_parts"), unpack(self.y, m, "y_parts")
        pack = m.submodules.pack = Pack(48)
        product, exp = Signal(48, reset_less=True), Signal(EXPONENT, reset_less=True)
        sign, inf, nan = (Signal(name=n, reset_less=True) for n in ("sign", "inf", "nan"))
        bad = x.nan | y.nan | (x.inf & (y.sig == 0) & ~y.inf) | (y.inf & (x.sig == 0) & ~x.inf)
        m.d.sync += [product.eq(x.sig * y.sig), exp.eq(x.exp + y.exp), sign.eq(x.sign ^ y.sign)]
        m.d.sync += [inf.eq(x.inf | y.inf), nan.eq(bad)]
        m.d.comb += [pack.sig.eq(product), pack.exp.eq(exp), pack.sign.eq(sign), pack.inf.eq(inf), pack.nan.eq(nan)]
        m.d.comb += self.bits.eq(pack.bits)
        return m


class MultiplyAdd(Component):
    """x * y + z, rounded once, FMA_LATENCY = 4 cycles later; x and z float32, y a signed integer.

    A narrow y keeps the multiplier small: quantized values are bytes. With y = 1 it adds, with z = 0 it multiplies.
    """

    def __init__(self, y_bits: int) -> None:
        self.y_bits = y_bits
        super().__init__({"x": In(32), "y": In(signed(y_bits)), "z": In(32), "bits": Out(32)})

    def elaborate(self, platform: object) -> Module:
        """Multiply; align and add; pack."""
        del platform
        m, n = Module(), self.y_bits
        x, z = unpack(self.x, m, "x_parts"), unpack(self.z, m, "z_parts")
        size = Signal(n)
        m.d.comb += size.eq(Mux(self.y < 0, (-self.y)[:n], self.y.as_unsigned()))
        wide = 24 + n
        product, sign = Signal(wide, reset_less=True), Signal(reset_less=True)
        exp, offset = Signal(EXPONENT, reset_less=True), Signal(EXPONENT, reset_less=True)
        addend = Signal(NUMBER, reset_less=True)
        inf, nan = Signal(reset_less=True), Signal(reset_less=True)
        p_sign = x.sign ^ (self.y < 0)
        p_inf = x.inf & (size != 0)
        m.d.sync += [product.eq(x.sig * size), sign.eq(p_sign), exp.eq(x.exp), addend.eq(z)]
        # z's last bit lies at `at`, the product's at `low`; beyond the ends only the order matters
        low, most = 27, 27 + wide + 3
        at, anchored = Signal(range(most + 1), reset_less=True), Signal(reset_less=True)
        away = Signal(EXPONENT)
        m.d.comb += away.eq(z.exp - x.exp)
        m.d.sync += [offset.eq(away), anchored.eq(0), at.eq(0)]
        with m.If(z.sig == 0):
            pass
        with m.Elif((x.sig == 0) | (size == 0) | (away > most - low)):
            m.d.sync += [at.eq(most), anchored.eq(1)]
        with m.Elif(away >= -low):
            m.d.sync += at.eq(away + low)
        m.d.sync += inf.eq(p_inf | z.inf)
        m.d.sync += nan.eq(x.nan | z.nan | (x.inf & (size == 0)) | (p_inf & z.inf & (p_sign ^ z.sign)))
        infinite_sign = Signal(reset_less=True)
        m.d.sync += infinite_sign.eq(Mux(p_inf, p_sign, z.sign))
        # three bits below the product's last round the sum; of what lies below them only whether it is there matters:
        # where x is normal, z reaches so far down only if its highest bit is below the product's, and else x is
        # subnormal, and nothing has a bit below its last
        below = low - 3
        total_bits = most + 24 + 1 - below + 1
        placed = Signal(most + 24)
        m.d.comb += placed.eq(addend.sig << at)
        a, b, total, turned = (Signal(total_bits, name=name) for name in ("a", "b", "total", "turned"))
        m.d.comb += [a.eq(product << (low - below + 1)), b.eq(Cat(placed[:below].any(), placed[below:]))]
        differ = sign ^ addend.sign
        m.d.comb += [total.eq(a + (b ^ differ.replicate(total_bits)) + differ), turned.eq(b - a)]
        less = differ & total[-1]  # the sum's size has a bit less
        pack = m.submodules.pack = Pack(total_bits)
        magnitude, e = Signal(total_bits, reset_less=True), Signal(EXPONENT, reset_less=True)
        s, i, u = (Signal(name=name, reset_less=True) for name in ("s", "i", "u"))
        m.d.sync += magnitude.eq(Mux(less, turned, total))
        m.d.sync += e.eq(Mux(anchored, exp + offset - (most - below + 1), exp - (low - below + 1)))
        m.d.sync += [
            s.eq(Mux(inf, infinite_sign, Mux(total == 0, sign & addend.sign, sign ^ less))),
            i.eq(inf),
            u.eq(nan),
        ]
        m.d.comb += [pack.sig.eq(magnitude), pack.exp.eq(e), pack.sign.eq(s), pack.inf.eq(i), pack.nan.eq(u)]
        m.d.comb += self.bits.eq(pack.bits)
        return m


class Divide(Component):
    """x / y, one a cycle, DIVIDE_LATENCY cycles later: a stage for each bit of the quotient."""

    def __init__(self) -> None:
        super().__init__({"x": In(32), "y": In(32), "bits": Out(32)})

    def elaborate(self, platform: object) -> Module:
        """Normalise both, subtract and shift, pack."""
        del platform
        m = Module()
        parts = []
        for side in ("x", "y"):
            number = unpack(getattr(self, side), m, f"{side}_parts")
            zeros = leading_zeros(m, number.sig, f"{side}_zeros")
            parts.append((number, number.sig << zeros, number.exp - zeros))
        (x, x_sig, x_exp), (y, y_sig, y_exp) = parts
        rest, divisor = Signal(25, name="rest", reset_less=True), Signal(24, name="divisor", reset_less=True)
        exp, flags = Signal(EXPONENT, name="exp", reset_less=True), Signal(3, name="flags", reset_less=True)
        x_zero, y_zero = (x.sig == 0) & ~x.inf & ~x.nan, (y.sig == 0) & ~y.inf & ~y.nan
        nan = x.nan | y.nan | (x.inf & y.inf) | (x_zero & y_zero)
        inf = (x.inf | y_zero) & ~nan
        zero = (x_zero | y.inf) & ~nan & ~inf
        m.d.sync += [rest.eq(Mux(zero, 0, x_sig)), divisor.eq(y_sig), exp.eq(x_exp - y_exp - (DIVIDE_STEPS - 1))]
        m.d.sync += flags.eq(Cat(x.sign ^ y.sign, inf, nan))
        quotient: Value = Const(0, 0)
        for step in range(DIVIDE_STEPS):
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
        pack = m.submodules.pack = Pack(DIVIDE_STEPS + 1)
        m.d.comb += [pack.sig.eq(Cat(rest != 0, quotient)), pack.exp.eq(exp - 1)]
        m.d.comb += [pack.sign.eq(flags[0]), pack.inf.eq(flags[1]), pack.nan.eq(flags[2]), self.bits.eq(pack.bits)]
        return m


class ToByte(Component):
    """clip(rint(value) + zero, low, high) as a byte, TO_BYTE_LATENCY = 2 cycles later; NaN gives `low`.

    `zero`, `low` and `high` are taken together with the value.
    """

    def __init__(self) -> None:
        limits = {name: In(signed(16)) for name in ("zero", "low", "high")}
        super().__init__({"bits": In(32), **limits, "byte": Out(unsigned(8))})

    def elaborate(self, platform: object) -> Module:
        """Shift to an integer of 18 bits and what rounds it; then round and clip."""
        del platform
        m = Module()
        number = unpack(self.bits, m, "parts")
        down = Signal(EXPONENT)
        m.d.comb += down.eq(-number.exp)
        amount = Signal(5)
        m.d.comb += amount.eq(Mux(down > 26, 26, down[:5]))  # less than 6 is huge, or zero
        whole = shift_right_sticky(m, Cat(Const(0, 2), number.sig), amount, "whole")
        huge = (number.inf | (down < 6)) & (number.sig != 0)
        size, up, sign, nan = (
            Signal(n, name=k, reset_less=True) for n, k in ((18, "size"), (1, "up"), (1, "s"), (1, "n"))
        )
        m.d.sync += [sign.eq(number.sign), nan.eq(number.nan)]
        m.d.sync += size.eq(whole[2:20] | huge.replicate(18))  # rounded up, 2^18
        m.d.sync += up.eq(huge | (whole[1] & (whole[0] | whole[2])))
        zero, low, high = (Signal(8, name=name, reset_less=True) for name in ("zero8", "low8", "high8"))
        least, most = (Signal(signed(17), name=name, reset_less=True) for name in ("least", "most"))
        m.d.sync += [zero.eq(self.zero), low.eq(self.low), high.eq(self.high)]
        m.d.sync += [least.eq(self.low - self.zero), most.eq(self.high - self.zero)]
        rounded = Signal(signed(20))
        # -(size + up) is ~size + 1 - up
        m.d.comb += rounded.eq((Cat(size, Const(0, 1)) ^ sign.replicate(19)).as_signed() + (up ^ sign))
        with m.If(nan | (rounded < least)):
            m.d.sync += self.byte.eq(low)
        with m.Elif(rounded > most):
            m.d.sync += self.byte.eq(high)
        with m.Else():
            m.d.sync += self.byte.eq(rounded[:8] + zero)
        return m
