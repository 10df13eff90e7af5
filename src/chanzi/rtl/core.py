"""One core: sequencer, array, vector unit, DMA engines, and the scratchpad that they share."""

from typing import Any

from amaranth import ClockSignal, Instance, Module
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from chanzi.chip.chip import Chip
from chanzi.rtl.array.engine import ArrayEngine
from chanzi.rtl.control import CORE_REGISTERS
from chanzi.rtl.dma import LoadEngine, StoreEngine
from chanzi.rtl.scratchpad import Scratchpad
from chanzi.rtl.sequencer import COUNT_BITS, Sequencer
from chanzi.rtl.vector.engine import VectorEngine

_READS = {
    "a": ("array", "a"),
    "b": ("array", "b"),
    "parameters": ("array", "params"),
    "residual": ("array", "residual"),
    "operand": ("vector", "operand"),
    "second": ("vector", "second"),
    "constants": ("vector", "params"),
    "store": ("store", "read"),
}
_WRITES = {"drain": ("array", "result"), "vector": ("vector", "result"), "load": ("load", "write")}
"""Scratchpad port -> (engine, its port)."""


class CoreTop(Component):
    """Ports: `start`, the code memory's write side, the DMA engines' sides towards the bus, status words.

    Without `compute` there is neither array nor vector unit: for tests and proofs of everything else.
    """

    def __init__(self, chip: Chip, *, model: bool, compute: bool = True) -> None:
        self.chip, self.model, self.compute = chip, model, compute
        self.load, self.store = LoadEngine(chip), StoreEngine(chip)
        self.sequencer = Sequencer(chip)
        super().__init__(
            {
                "start": In(1),
                "code_write": In(1),
                "code_addr": In(22),
                "code_data": In(32),
                "peer_stores": In(COUNT_BITS * chip.cores),
                "peer_ended": In(chip.cores),
                "stores": Out(COUNT_BITS),
                "ended": Out(1),
                **{f"word{i}": Out(32) for i in range(len(CORE_REGISTERS))},
                "load_axi": Out(self.load.axi.signature),
                "store_axi": Out(self.store.axi.signature),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Return the blocks and their wires."""
        del platform
        m, chip = Module(), self.chip
        seq, pad = self.sequencer, Scratchpad(chip.core, model=self.model)
        engines: dict[str, Any] = {"load": self.load, "store": self.store}
        if self.compute:
            engines |= {"array": ArrayEngine(chip.core), "vector": VectorEngine(chip.core)}
        m.submodules.sequencer, m.submodules.scratchpad = seq, pad
        for name, engine in engines.items():
            m.submodules[name] = engine
            connect(m, getattr(seq, f"engine_{name}"), engine.port if name in ("load", "store") else engine.engine)
        for kind, ports in (("read", _READS), ("write", _WRITES)):
            for name, (engine, port) in ports.items():
                if engine in engines:
                    connect(m, getattr(engines[engine], port), getattr(pad, f"{name}_{kind}"))
        connect(m, self.load.axi, flipped(self.load_axi))
        connect(m, self.store.axi, flipped(self.store_axi))
        index_bits = seq.index_bits
        m.submodules.code = Instance(
            "chanzi_code",
            p_DEPTH=chip.core.code_instructions,
            p_ADDR=index_bits,
            i_clk=ClockSignal(),
            i_we=self.code_write,
            i_waddr=self.code_addr[: index_bits + 6],
            i_wdata=self.code_data,
            i_raddr=seq.code_index,
            o_rdata=seq.code,
        )
        m.d.comb += [seq.start.eq(self.start), seq.peer_stores.eq(self.peer_stores), seq.peer_ended.eq(self.peer_ended)]
        m.d.comb += [self.stores.eq(seq.stores), self.ended.eq(seq.ended)]
        status = seq.running | (seq.ended << 1) | (seq.error << 8)
        counters = [getattr(seq, f"{what}_{e}") for what in ("waited", "completed") for e in engines_in_order()]
        for i, value in enumerate([status, seq.error_index, seq.cycles[:32], *counters]):
            m.d.comb += getattr(self, f"word{i}").eq(value)
        return m


def engines_in_order() -> tuple[str, ...]:
    """Return the engines' names, in the order of their numbers."""
    return ("load", "store", "array", "vector")
