"""One Amaranth component as a running model: for tests and benches of single blocks."""

from typing import Any

from amaranth import Shape

from chanzi.flow.verilator import Model, build
from chanzi.flow.verilog import to_verilog
from chanzi.rtl.sram import CODE_MODEL, SRAM_MODEL


def ports_of(design: Any, *, clock: bool = True) -> dict[str, int]:
    """Return the Verilog ports of a component and their bits, clock and reset among them."""
    found = {"clk": 1, "rst": 1} if clock else {}
    for path, _, value in design.signature.flatten(design):
        found["__".join(map(str, path))] = Shape.cast(value.shape()).width
    return found


def model(design: Any, *, name: str = "dut", models: str = SRAM_MODEL + CODE_MODEL, clock: bool = True) -> Model:
    """Return the component, built and reset.

    Parameters
    ----------
    design : amaranth.lib.wiring.Component
    models : str
        Verilog of the memories it instantiates.
    clock : bool
        False for a purely combinational one, which has neither clock nor reset.
    """
    verilog = to_verilog(design, name=name, flatten=True) + models
    ports = ports_of(design, clock=clock)
    made = Model(build(verilog, top=name, ports=ports), ports)
    if clock:
        made.set("rst", 1)
        made.step(2)
        made.set("rst", 0)
    return made
