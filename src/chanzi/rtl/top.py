"""The chip: cores, the bus arbiter that merges their transfers onto one AXI4 master, and the host's registers."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from amaranth import Cat, Module
from amaranth.lib.wiring import Component, In, Member, Out, connect

from chanzi.chip.chip import Chip
from chanzi.rtl import scratchpad
from chanzi.rtl.array import engine
from chanzi.rtl.axi import axi_master
from chanzi.rtl.bus import Bus
from chanzi.rtl.control import CORE_REGISTERS, Control
from chanzi.rtl.core import CoreTop
from chanzi.rtl.shared import Shared


def top_ports(chip: Chip) -> dict[str, Any]:
    """Return the ports of the chip, clock and reset aside."""
    control = {"ctl_addr": In(32), "ctl_write": In(1), "ctl_wdata": In(32), "ctl_rdata": Out(32), "halted": Out(1)}
    return axi_master(chip) | control


class ChipTop(Component):
    """Ports: ``axi_*`` (AXI4 master, in order, no IDs), ``ctl_*`` (the host's registers), `halted`.

    Parameters
    ----------
    chip : Chip
    model : bool
        Scratchpads as behavioural models instead of banks.
    compute : bool
        False leaves out arrays and vector units, see `chanzi.rtl.core`.
    more : mapping of str to amaranth.lib.wiring.Member, optional
        Ports of a chip that shows more of itself, for tests.
    """

    def __init__(
        self, chip: Chip, *, model: bool, compute: bool = True, more: Mapping[str, Member] = MappingProxyType({})
    ) -> None:
        scratchpad.refuse_unbuildable(chip.core)
        engine.refuse_unbuildable(chip.core)
        self.chip, self.compute = chip, compute
        self.cores = [CoreTop(chip, model=model, compute=compute) for _ in range(chip.cores)]
        super().__init__(top_ports(chip) | dict(more))

    def elaborate(self, platform: object) -> Module:
        """Return the blocks and their wires."""
        del platform
        m, chip, bus = Module(), self.chip, Bus(self.chip)
        control = m.submodules.control = Control(chip)
        m.submodules.bus = bus
        for name, member in axi_master(chip).items():
            mine, outer = getattr(bus, name), getattr(self, name)
            m.d.comb += outer.eq(mine) if member.flow is Out else mine.eq(outer)
        m.d.comb += [bus.clear.eq(control.start), control.fault.eq(bus.fault)]
        m.d.comb += [control.ctl_addr.eq(self.ctl_addr), control.ctl_write.eq(self.ctl_write)]
        m.d.comb += [control.ctl_wdata.eq(self.ctl_wdata), self.ctl_rdata.eq(control.ctl_rdata)]
        m.d.comb += self.halted.eq(control.halted)
        cores: list[Any] = self.cores
        if chip.cores > 1 and self.compute:  # a whole core many times over is most of a chip's Verilog
            cores = [Shared("chanzi_core", core) for core in cores]
        for n, core in enumerate(cores):
            m.submodules[f"core{n}"] = core
            m.d.comb += [core.start.eq(control.start), core.code_write.eq(control.code_write[n])]
            m.d.comb += [core.code_addr.eq(control.code_addr), core.code_data.eq(control.code_data)]
            m.d.comb += core.peer_stores.eq(Cat(c.stores for c in cores))
            m.d.comb += core.peer_ended.eq(Cat(c.ended for c in cores))
            for i in range(len(CORE_REGISTERS)):
                m.d.comb += getattr(control, f"core{n}_word{i}").eq(getattr(core, f"word{i}"))
            connect(m, core.load_axi, getattr(bus, f"load{n}"))
            connect(m, core.store_axi, getattr(bus, f"store{n}"))
        return m
