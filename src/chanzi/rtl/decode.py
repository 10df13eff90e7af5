"""From 256 bytes to descriptors: fields cut to their widths, and the products that engines should not have to form."""

from amaranth import Module, Signal, Value
from amaranth.lib import data

from chanzi.chip.chip import Chip
from chanzi.isa.fields import LAYOUT, DotFlag, Opcode, VecFlag, VecKind
from chanzi.rtl.descriptor import DOT_PRODUCTS, VEC_PRODUCTS, dma_layout, dot_layout, vec_layout


def raw_field(raw: Value, opcode: Opcode, name: str) -> Value:
    """Return the bits of a field of the instruction, unsigned."""
    kind, offset = LAYOUT[opcode].fields[name][:2]  # type: ignore[index]
    return raw[8 * offset : 8 * (offset + kind.itemsize)]


def layouts(chip: Chip) -> dict[Opcode, data.StructLayout]:
    """Return the descriptor of each engine's instruction."""
    dma = dma_layout(chip)
    return {Opcode.LOAD: dma, Opcode.STORE: dma, Opcode.DOT: dot_layout(chip.core), Opcode.VEC: vec_layout(chip.core)}


def product_steps(issue_cycles: int) -> int:
    """Return over how many cycles the products of an instruction are formed."""
    return min(issue_cycles, len(DOT_PRODUCTS))


class ProductUnit:
    """Forms the products of the instruction in `raw`, some in each of `product_steps` cycles.

    ``value(opcode, name)`` is right in the last step and after it, as long as `raw` stays.
    """

    def __init__(self, chip: Chip, m: Module, raw: Value, step: Value) -> None:
        self.layouts = layouts(chip)
        self.values: dict[tuple[Opcode, str], Value] = {}
        steps = product_steps(chip.core.issue_cycles)
        lanes = -(-len(DOT_PRODUCTS) // steps)
        for lane in range(lanes):
            mine = range(lane * steps, min((lane + 1) * steps, len(DOT_PRODUCTS)))
            self._lane(m, raw, step, lane, mine)

    def _lane(self, m: Module, raw: Value, step: Value, lane: int, numbers: range) -> None:
        """One multiplier, which forms one product in each step."""
        wide = self.layouts[Opcode.DOT]["a_first_byte"].width
        x, y, z = (Signal(32, name=f"product{lane}_{letter}") for letter in "xyz")
        minus, offset = Signal(name=f"product{lane}_minus"), Signal(name=f"product{lane}_offset")
        result, both = Signal(wide, name=f"product{lane}"), Signal(wide, name=f"product{lane}_both")
        m.d.comb += both.eq(x[:wide] * y[:wide])
        tables = ((Opcode.DOT, list(DOT_PRODUCTS.items())), (Opcode.VEC, list(VEC_PRODUCTS.items())))
        for opcode, table in tables:
            for i, number in enumerate(numbers):
                if number < len(table):
                    name, product = table[number]
                    with m.If((step == i) & (raw[:8] == int(opcode))):
                        self._operands(m, raw, opcode, product, (x, y, z, minus))
                        m.d.comb += offset.eq(name.endswith("_first_byte"))
                    self.values[opcode, name] = self._kept(m, result, step, i, f"{opcode.name.lower()}_{name}")
        with m.If(offset):
            m.d.comb += result.eq(both - z)
        with m.Elif(minus):
            m.d.comb += result.eq(z - both)
        with m.Else():
            m.d.comb += result.eq(z + both)

    @staticmethod
    def _kept(m: Module, result: Value, step: Value, i: int, name: str) -> Value:
        kept, now = Signal(len(result), name=f"{name}_kept", reset_less=True), Signal(len(result), name=name)
        with m.If(step == i):
            m.d.sync += kept.eq(result)
            m.d.comb += now.eq(result)
        with m.Else():
            m.d.comb += now.eq(kept)
        return now

    @staticmethod
    def _operands(m: Module, raw: Value, opcode: Opcode, product: tuple[str, str, str, int], to: tuple) -> None:
        x, y, z, minus = to
        name_x, name_y, name_z, sign = product
        for signal, name in ((x, name_x), (y, name_y), (z, name_z)):
            if name:
                kind = LAYOUT[opcode].fields[name][0].str  # type: ignore[index]
                bits = raw_field(raw, opcode, name)
                m.d.comb += signal.eq(bits.as_signed() if "i" in kind else bits)
        m.d.comb += minus.eq(sign < 0)

    def connect(self, m: Module, raw: Value, opcode: Opcode, desc: data.View) -> None:
        """Drive a descriptor of `opcode` from `raw`."""
        for name, field in self.layouts[opcode]:
            source = self.values.get((opcode, name))
            m.d.comb += Value.cast(desc[name]).eq(raw_field(raw, opcode, name) if source is None else source)
            del field


def complaint(chip: Chip, raw: Value) -> Value:
    """Return 1 where an instruction would hang an engine: an unknown opcode or kind, or a loop without a turn."""

    def zero(opcode: Opcode, *names: str) -> Value:
        found: Value = Value.cast(0)
        for name in names:
            found = found | (raw_field(raw, opcode, name) == 0)
        return found

    opcode, flags = raw[:8], raw[8:16]
    dma = zero(Opcode.LOAD, "run", "count1", "count2")
    dot = zero(Opcode.DOT, *(f"{p}_{n}" for p in "ab" for n in ("count", "row_width", "run", "taps_y", "taps_x")))
    vec = zero(Opcode.VEC, "rows", "columns", "channels", "taps_y", "taps_x")
    vec = vec | (raw_field(raw, Opcode.VEC, "kind") > max(VecKind)) | ((flags & ~sum(VecFlag) & 0xFF) != 0)
    dot = dot | ((flags & ~sum(DotFlag) & 0xFF) != 0)
    peer = raw_field(raw, Opcode.HALT, "peer_core") >= chip.cores
    is_dma = (opcode == int(Opcode.LOAD)) | (opcode == int(Opcode.STORE))
    return (
        (opcode > max(Opcode))
        | peer
        | (is_dma & (dma | (flags != 0)))
        | ((opcode == int(Opcode.DOT)) & dot)
        | ((opcode == int(Opcode.VEC)) & vec)
    )
