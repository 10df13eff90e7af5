"""The host's window: registers that start a run and tell how it went, and the way into the instruction memories.

A plain 32-bit port: a write takes the cycle in which `ctl_write` is high; what `ctl_addr` names is on `ctl_rdata` a
cycle later. The register map is `REGISTERS`, from which the integration page is made.
"""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Chip
from chanzi.isa.fields import Engine

CONTROL, STATUS, CYCLES, SHAPE = 0x000, 0x004, 0x008, 0x014
REGISTERS = (
    (CONTROL, "CONTROL", "write 1: all cores start their code at instruction 0"),
    (
        STATUS,
        "STATUS",
        "bits: 0 a core runs, 1 all have ended, 2 some core stopped with an error, 3 the memory refused something",
    ),
    (CYCLES, "CYCLES_LOW", "cycles of the run, of the core that took longest"),
    (CYCLES + 4, "CYCLES_HIGH", "its upper half"),
    (0x010, "IDENTITY", "0x43484E5A"),
    (SHAPE, "SHAPE", "bits 0-15 array side, 16-23 cores"),
)
CORE_REGISTERS = (
    (0x00, "STATUS", "bit 0 runs, bit 1 ended, bits 8-15 error code"),
    (0x04, "ERROR_INDEX", "the instruction that stopped the core"),
    (0x08, "CYCLES", "cycles of this core's run"),
    *(
        (0x10 + 4 * e, f"WAITED_{e.name}", f"cycles in which {e.name}'s first instruction could not start")
        for e in Engine
    ),
    *((0x20 + 4 * e, f"COMPLETED_{e.name}", f"instructions that {e.name} has completed") for e in Engine),
)
CORE_BASE, CORE_STEP = 0x100, 0x40
"""Registers of core n lie at CORE_BASE + n * CORE_STEP."""
CODE_BASE, CODE_STEP = 0x8000_0000, 0x0100_0000
"""Instruction memory of core n, in 32-bit words: written only."""
IDENTITY = 0x43484E5A


class Control(Component):
    """Ports: the host's port, `start`, and the status of each core's sequencer, driven by the chip's top."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        super().__init__(
            {
                "ctl_addr": In(32),
                "ctl_write": In(1),
                "ctl_wdata": In(32),
                "ctl_rdata": Out(32),
                "start": Out(1),
                "fault": In(1),
                "halted": Out(1),
                "code_write": Out(chip.cores),
                "code_addr": Out(22),
                "code_data": Out(32),
            }
            | {f"core{n}_word{i}": In(32) for n in range(chip.cores) for i in range(len(CORE_REGISTERS))}
        )

    def elaborate(self, platform: object) -> Module:
        """Return the registers."""
        del platform
        m, chip = Module(), self.chip
        words = [[getattr(self, f"core{n}_word{i}") for i in range(len(CORE_REGISTERS))] for n in range(chip.cores)]
        running, error = Value.cast(0), Value.cast(0)
        ended: Value = Value.cast(1)
        longest: Value = Value.cast(0)
        for core in words:
            running, ended = running | core[0][0], ended & core[0][1]
            error = error | (core[0][8:16] != 0)
            longest = Mux(core[2] > longest, core[2], longest)
        started = Signal()
        m.d.comb += self.start.eq(self.ctl_write & (self.ctl_addr == 0) & self.ctl_wdata[0])
        m.d.sync += started.eq(self.start)
        m.d.comb += self.halted.eq(ended & ~running & ~started & ~self.start)
        m.d.sync += self.ctl_rdata.eq(0)
        status = running | (ended << 1) | (error << 2) | (self.fault << 3)
        values = (0, status, longest, 0, IDENTITY, chip.core.dim | (chip.cores << 16))
        with m.Switch(self.ctl_addr):
            for (address, _, _), value in zip(REGISTERS, values, strict=True):
                with m.Case(address):
                    m.d.sync += self.ctl_rdata.eq(value)
            for n, core in enumerate(words):
                for (offset, _, _), value in zip(CORE_REGISTERS, core, strict=True):
                    with m.Case(CORE_BASE + n * CORE_STEP + offset):
                        m.d.sync += self.ctl_rdata.eq(value)
        code = self.ctl_write & self.ctl_addr[31]
        for n in range(chip.cores):
            m.d.comb += self.code_write[n].eq(code & (self.ctl_addr[24:31] == n))
        m.d.comb += [self.code_addr.eq(self.ctl_addr[2:24]), self.code_data.eq(self.ctl_wdata)]
        return m
