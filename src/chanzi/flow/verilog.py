"""Amaranth into Verilog, by way of yosys: hierarchy and names stay, next-state wires that slow simulators go."""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from chanzi.errors import FlowError

_PASSES = "proc; wreduce; opt_expr; opt_clean; {flatten} opt -full; opt_clean -purge; write_verilog -noattr {file}"

_NO_INLINE = "/*verilator no_inline_module*/"


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
    texts = _convert(rtlil, design, name)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "design.v")
        made = libyosys.Design()
        with _Quiet():
            for block, text in texts.items():
                source = Path(folder, f"{block}.il")
                source.write_text(text)
                libyosys.run_pass(f"read_rtlil {source}", made)
                if block != name:
                    libyosys.run_pass(f"setattr -mod -set keep_hierarchy 1 {block}", made)
            libyosys.run_pass(f"hierarchy -top {name}", made)
            for step in _PASSES.format(flatten="flatten;" if flatten else "", file=result).split(";"):
                if step.strip():
                    libyosys.run_pass(step.strip(), made)
        verilog = result.read_text()
    for block in texts:
        if block != name:  # compiled once, not once for each instance
            verilog = re.sub(
                rf"^(module {block}\(.*?\);)$", rf"\1 {_NO_INLINE}", verilog, flags=re.MULTILINE | re.DOTALL
            )
    return verilog


def _convert(rtlil: Any, design: Any, name: str) -> dict[str, str]:
    """Return the RTLIL of the design and of every block it shares, by module."""
    from chanzi.rtl.shared import collecting

    with collecting() as blocks:
        texts = {name: rtlil.convert(design, name=name)}
        while missing := [block for block in blocks if block not in texts]:
            texts |= {block: rtlil.convert(blocks[block], name=block) for block in missing}
    return texts


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
