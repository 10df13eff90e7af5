"""The scratchpad: many single-ported banks behind one read or write port for each stream, without arbitration."""

from amaranth import Cat, ClockSignal, Instance, Module, Signal, Value
from amaranth.lib.wiring import Component, In

from chanzi.chip.chip import Core
from chanzi.errors import ChipError
from chanzi.rtl.banks import Column
from chanzi.rtl.descriptor import address_bits
from chanzi.rtl.ports import read_port, write_port
from chanzi.rtl.shared import Shared

READS = ("a", "b", "parameters", "residual", "operand", "second", "constants", "store")
WRITES = ("drain", "vector", "load")


def refuse_unbuildable(core: Core) -> None:
    """Raise `ChipError` where addresses cannot be split into bank and row by their bits.

    A bank's bytes are a power of two; how many banks there are does not matter.
    """
    pad = core.scratchpad
    if pad.bank_bytes & (pad.bank_bytes - 1):
        raise ChipError(
            f"scratchpad of {pad.bytes} bytes in {pad.banks} banks has no hardware",
            hint=f"a bank of {pad.bank_bytes} bytes must be a power of two, so that a row is some bits of the address",
        )


class Scratchpad(Component):
    """All ports of a core's memory; every port takes one access a cycle.

    A word is on a read port's `data` READ_LATENCY = 3 cycles after its address: a register for the address, the
    bank, a register behind the bytes' alignment. A write is in the bank for reads presented a cycle later.

    Parameters
    ----------
    core : Core
    model : bool
        The behavioural model instead of banks: for simulation of cores whose banks are too many to simulate one by one.
        To legal programs they are the same.
    """

    def __init__(self, core: Core, *, model: bool) -> None:
        refuse_unbuildable(core)
        self.core, self.model = core, model
        super().__init__(
            {f"{name}_read": In(read_port(core)) for name in READS}
            | {f"{name}_write": In(write_port(core)) for name in WRITES}
        )

    def elaborate(self, platform: object) -> Module:
        """Return the banks, or the model."""
        del platform
        return self._model() if self.model else self._banks()

    def _model(self) -> Module:
        m, word = Module(), self.core.port_bytes
        ports: dict[str, object] = {"i_clk": ClockSignal()}
        for i, name in enumerate(READS):
            port = getattr(self, f"{name}_read")
            ports |= {f"i_r{i}_en": port.en, f"i_r{i}_addr": port.addr, f"o_r{i}_data": port.data}
        for i, name in enumerate(WRITES):
            port = getattr(self, f"{name}_write")
            ports |= {f"i_w{i}_en": port.en, f"i_w{i}_addr": port.addr}
            ports |= {f"i_w{i}_mask": port.mask, f"i_w{i}_data": port.data}
        parameters = {"BYTES": self.core.scratchpad.bytes, "W": word, "LOGW": word.bit_length() - 1}
        parameters |= {"ADDR": address_bits(self.core)}
        m.submodules.memory = Instance(
            "chanzi_scratchpad_model", **{f"p_{k}": v for k, v in parameters.items()}, **ports
        )
        return m

    def _banks(self) -> Module:
        """Return columns of banks, one atom of a word each.

        A window that starts in column c lies in row r of the columns from c on and in row r + 1 of those before, which
        may be the next bank's first.
        """
        m, core = Module(), self.core
        word, atom = core.port_bytes, core.atom_bytes
        banks, columns = core.scratchpad.banks, word // atom
        depth = core.scratchpad.bank_bytes // word
        row_bits, bank_bits = (depth - 1).bit_length(), (banks - 1).bit_length()
        low = atom.bit_length() - 1
        asked = [self._window(m, name, low, row_bits + bank_bits) for name in (*READS, *WRITES)]
        writes = [self._rotated(m, name, asked[len(READS) + i][1]) for i, name in enumerate(WRITES)]
        words: list[list[Value]] = [[] for _ in READS]
        for c in range(columns):
            go, rows = [], []
            for n, (row, first, used) in enumerate(asked):
                after = c < first
                at = Signal(row_bits + bank_bits, name=f"row_{n}_{c}")
                m.d.comb += at.eq(row + after)
                rows.append(at)
                go.append(
                    used.bit_select((c - first)[: max(1, (columns - 1).bit_length())], 1) if columns > 1 else used
                )
            masks = [mask[atom * c : atom * c + atom] for mask, _ in writes]
            column = Shared(
                f"chanzi_scratchpad_column_{banks}x{depth}x{atom}",
                Column(banks, depth, atom, len(READS), len(WRITES)),
            )
            m.submodules[f"column{c}"] = column
            m.d.comb += [
                column.go.eq(Cat(go)),
                column.rows.eq(Cat(at[:row_bits] for at in rows)),
                column.bank.eq(Cat(at[row_bits:] for at in rows)),
                column.mask.eq(Cat(masks)),
                column.data.eq(Cat(data[8 * atom * c : 8 * atom * (c + 1)] for _, data in writes)),
            ]
            for p, found in enumerate(words):
                found.append(column.words[8 * atom * p : 8 * atom * (p + 1)])
        for name, (_, first, _), found in zip(READS, asked, words, strict=False):
            then = Signal(len(first), name=f"{name}_first", reset_less=True)
            m.d.sync += then.eq(first)
            port = getattr(self, f"{name}_read")
            m.d.sync += port.data.eq(_turned(m, Cat(found), then, 8 * atom, f"{name}_word", right=True))
        return m

    def _window(self, m: Module, name: str, low: int, bits: int) -> tuple[Value, Value, Value]:
        """Return (row, column of the first atom, bit for each atom whether it is used) a cycle later."""
        core = self.core
        columns = core.port_bytes // core.atom_bytes
        port = getattr(self, f"{name}_{'read' if name in READS else 'write'}")
        addr = Signal(len(port.addr), name=f"{name}_addr", reset_less=True)
        used = Signal(columns, name=f"{name}_used")
        atoms: list[Value] = []
        for j in range(columns):
            at = core.atom_bytes * j
            if name in WRITES:
                some = port.mask[at : at + core.atom_bytes].any()
            else:
                some = ((port.need == 0) | (port.need > at)) & (port.skip <= at)
            atoms.append(port.en & some)
        m.d.sync += [addr.eq(port.addr), used.eq(Cat(atoms))]
        wide = (columns - 1).bit_length()
        first = Signal(max(1, wide), name=f"{name}_column")
        m.d.comb += first.eq(addr[low : low + wide])
        return addr[low + wide : low + wide + bits], first, used

    def _rotated(self, m: Module, name: str, first: Value) -> tuple[Value, Value]:
        """Return a write's mask and data as the columns take them, a cycle after the port's access."""
        word, atom = self.core.port_bytes, self.core.atom_bytes
        port = getattr(self, f"{name}_write")
        mask = Signal(word, name=f"{name}_mask", reset_less=True)
        data = Signal(8 * word, name=f"{name}_data", reset_less=True)
        m.d.sync += [mask.eq(port.mask), data.eq(port.data)]
        return (
            _turned(m, mask, first, atom, f"{name}_mask_turned", right=False),
            _turned(m, data, first, 8 * atom, f"{name}_data_turned", right=False),
        )


def _turned(m: Module, value: Value, steps: Value, width: int, name: str, *, right: bool) -> Signal:
    """Return `value` rotated by so many steps of `width` bits."""
    result = Signal(len(value), name=name)
    with m.Switch(steps):
        for n in range(len(value) // width):
            with m.Case(n):
                m.d.comb += result.eq(value.rotate_right(n * width) if right else value.rotate_left(n * width))
    return result
