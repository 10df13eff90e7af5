"""Amaranth into Verilog, by way of yosys: hierarchy and names stay, next-state wires that slow simulators go."""

import os
import tempfile
from pathlib import Path
from typing import Any

from chanzi.errors import FlowError

_PASSES = "proc; wreduce; opt_expr; opt_clean; {flatten} opt -full; opt_clean -purge; write_verilog -noattr {file}"


def to_verilog(design: Any, *, name: str, flatten: bool = False) -> str:
    """Return the design as Verilog.

    Parameters
    ----------
    design : amaranth.lib.wiring.Component
    name : str
        Of the top module.
    flatten : bool
        One module: faster to simulate, slower to read.

    Raises
    ------
    FlowError
        Amaranth or yosys is not installed, or yosys refuses the design.
    """
    try:
        from amaranth.back import rtlil
        from pyosys import libyosys
    except ImportError as error:
        raise FlowError(f"{error.name} is not installed", hint="pip install 'chanzi[rtl]'") from None
    text = rtlil.convert(design, name=name)
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "design.il"), Path(folder, "design.v")
        source.write_text(text)
        made = libyosys.Design()
        with _Quiet():
            libyosys.run_pass(f"read_rtlil {source}", made)
            for step in _PASSES.format(flatten="flatten;" if flatten else "", file=result).split(";"):
                if step.strip():
                    libyosys.run_pass(step.strip(), made)
        return result.read_text()


class _Quiet:
    """Sends what yosys prints to nowhere: it writes to the file descriptor."""

    def __enter__(self) -> None:
        self._kept = os.dup(1)
        self._null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(self._null, 1)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._kept, 1)
        os.close(self._kept)
        os.close(self._null)
