"""The scratchpad: many single-ported banks behind one read or write port for each stream, without arbitration."""

from amaranth import ClockSignal, Instance, Module, Mux, Signal
from amaranth.lib.wiring import Component, In

from chanzi.chip.chip import Core
from chanzi.errors import ChipError
from chanzi.rtl.descriptor import address_bits
from chanzi.rtl.ports import read_port, write_port

READS = ("a", "b", "parameters", "residual", "operand", "second", "constants", "store")
WRITES = ("drain", "vector", "load")


def refuse_unbuildable(core: Core) -> None:
    """Raise `ChipError` where addresses cannot be split into bank and row by their bits."""
    pad = core.scratchpad
    if pad.bytes & (pad.bytes - 1) or pad.banks & (pad.banks - 1):
        raise ChipError(
            f"scratchpad of {pad.bytes} bytes in {pad.banks} banks has no hardware",
            hint="both must be powers of two, so that a bank is some bits of the address",
        )


class Scratchpad(Component):
    """All ports of a core's memory; every port takes one access a cycle.

    A word is on a read port's `data` READ_LATENCY = 3 cycles after its address: a register for the address, the
    bank, a register behind the bytes' alignment. A write is in the bank for reads presented a cycle later.

    Parameters
    ----------
    core : Core
    model : bool
        The behavioural model instead of banks: for simulation of cores whose windows are unaligned or whose banks are
        too many to simulate one by one.
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
        m, core = Module(), self.core
        word = core.port_bytes
        if word != core.atom_bytes:
            raise ChipError(
                f"banks for windows of {word} bytes at {core.atom_bytes}-byte steps are not drawn",
                hint="use the behavioural scratchpad for this chip",
            )
        low = word.bit_length() - 1
        bank_bits = core.scratchpad.banks.bit_length() - 1
        row_bits = address_bits(core) - bank_bits - low
        reads, writes = [], []
        for name in READS:
            port = getattr(self, f"{name}_read")
            en, addr = Signal(name=f"{name}_en"), Signal(address_bits(core), name=f"{name}_addr", reset_less=True)
            m.d.sync += [en.eq(port.en), addr.eq(port.addr)]
            then = Signal(bank_bits, name=f"{name}_bank", reset_less=True)
            m.d.sync += then.eq(addr[low + row_bits :])
            reads.append((port, en, addr[low : low + row_bits], addr[low + row_bits :], then))
        for name in WRITES:
            port = getattr(self, f"{name}_write")
            en, addr = Signal(name=f"{name}_wen"), Signal(address_bits(core), name=f"{name}_waddr", reset_less=True)
            mask = Signal(word, name=f"{name}_mask", reset_less=True)
            data = Signal(8 * word, name=f"{name}_data", reset_less=True)
            m.d.sync += [en.eq(port.en), addr.eq(port.addr), mask.eq(port.mask), data.eq(port.data)]
            writes.append((en, addr[low : low + row_bits], addr[low + row_bits :], mask, data))
        words = []
        for bank in range(core.scratchpad.banks):
            words.append(self._bank(m, bank, reads, writes, row_bits))
        for name, (port, _, _, _, then) in zip(READS, reads, strict=True):
            chosen = Signal(8 * word, name=f"{name}_word", reset_less=True)
            with m.Switch(then):
                for bank, data in enumerate(words):
                    with m.Case(bank):
                        m.d.comb += chosen.eq(data)
            m.d.sync += port.data.eq(chosen)
        return m

    def _bank(self, m: Module, bank: int, reads: list, writes: list, row_bits: int) -> Signal:
        """Return the word that bank `bank` read in the cycle before."""
        word = self.core.port_bytes
        rdata = Signal(8 * word, name=f"bank{bank}_data")
        row, mask, data = (
            Signal(n, name=f"bank{bank}_{s}") for n, s in ((row_bits, "row"), (word, "m"), (8 * word, "d"))
        )
        en, we = Signal(name=f"bank{bank}_en"), Signal(name=f"bank{bank}_we")
        rows, masks, datas, ens, wes = 0, 0, 0, 0, 0
        for _, go, at, which, _ in reads:
            hit = go & (which == bank)
            rows, ens = rows | Mux(hit, at, 0), ens | hit
        for go, at, which, m_bits, d_bits in writes:
            hit = go & (which == bank)
            rows, ens, wes = rows | Mux(hit, at, 0), ens | hit, wes | hit
            masks, datas = masks | Mux(hit, m_bits, 0), datas | Mux(hit, d_bits, 0)
        m.d.comb += [row.eq(rows), mask.eq(masks), data.eq(datas), en.eq(ens), we.eq(wes)]
        m.submodules[f"bank{bank}"] = Instance(
            "chanzi_sram",
            p_DEPTH=1 << row_bits,
            p_WORD=word,
            p_ADDR=row_bits,
            i_clk=ClockSignal(),
            i_en=en,
            i_we=we,
            i_addr=row,
            i_mask=mask,
            i_wdata=data,
            o_rdata=rdata,
        )
        return rdata
