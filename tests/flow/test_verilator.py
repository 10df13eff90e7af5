"""A small design through the whole flow: ports of every width, one step, many steps."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from amaranth import Module, Signal
from amaranth.lib.wiring import Component, In, Out

from chanzi.errors import FlowError
from chanzi.flow import verilator
from chanzi.flow.module import model
from chanzi.flow.verilator import build


class _Sum(Component):
    """sum = a + b of the cycle before; wide = a repeated."""

    def __init__(self) -> None:
        super().__init__({"a": In(12), "b": In(33), "sum": Out(34), "wide": Out(96)})

    def elaborate(self, platform: object) -> Module:
        del platform
        m = Module()
        m.d.sync += [self.sum.eq(self.a + self.b), self.wide.eq(self.a.replicate(8))]
        keep = Signal()
        m.d.sync += keep.eq(~keep)
        return m


def test_a_component_runs() -> None:
    dut = model(_Sum())
    dut.set("a", 5)
    dut.set("b", 1 << 32)
    dut.step()
    assert dut.get("sum") == (1 << 32) + 5
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 1 << 12, 1000), rng.integers(0, 1 << 33, 1000)
    found = dut.stream({"a": a, "b": b}, ["sum", "wide"])
    assert (found["sum"][1:] == (a + b)[:-1]).all()
    assert (found["wide"][1:, 0] & 0xFFF == a[:-1]).all()


def test_a_design_that_is_none_is_refused_in_a_line() -> None:
    with pytest.raises(FlowError, match="Verilator refuses"):
        build("module dut(input clk); nonsense endmodule", top="dut", ports={"clk": 1})


def test_a_build_is_kept_until_anything_it_depends_on_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANZI_CACHE_DIR", str(tmp_path))
    verilog, ports = "module dut(input a, output b); assign b = ~a; endmodule", {"a": 1, "b": 1}
    first = build(verilog, top="dut", ports=ports)
    calls: list[str] = []

    def call(command: object, folder: object, environment: object, what: str) -> None:
        calls.append(what)
        raise FlowError("not now")

    monkeypatch.setattr(verilator, "_call", call)
    assert build(verilog, top="dut", ports=ports) == first
    assert not calls
    for name in ("_compiler_stamp", "_processor"):
        with monkeypatch.context() as patch:
            patch.setattr(verilator, name, lambda: "another")
            with pytest.raises(FlowError, match="not now"):
                build(verilog, top="dut", ports=ports)
    assert calls == ["Verilator", "Verilator"]
