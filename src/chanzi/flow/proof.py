"""Proofs about one Amaranth component that asserts and assumes: yosys, and the SAT solver in it."""

import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chanzi.errors import FlowError
from chanzi.flow.verilog import _Quiet

_PASSES = (
    "hierarchy -top top; proc; flatten; opt -full; memory_map; opt -full; splitcells; opt -full; opt_clean -purge; "
    "async2sync; chformal -lower; dffunmap; opt_clean"
)


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What came of a proof.

    Attributes
    ----------
    proved : bool
        No run of up to `depth` cycles from reset breaks an assertion; of any length, where `induction`.
    depth : int
    induction : bool
    seconds : float
        Of the processor.
    failed_at : int or None
        Cycle of the first assertion that fails.
    trace : str
        The run that breaks it, as VCD; empty where there is none.
    report : str
        What the checker said.
    """

    proved: bool
    depth: int
    induction: bool
    seconds: float
    failed_at: int | None
    trace: str
    report: str


def prove(design: Any, *, depth: int, induction: bool = False, timeout: float = 600) -> Proof:
    """Prove the assertions of a component from its state after reset, all its inputs free.

    Parameters
    ----------
    design : amaranth.lib.wiring.Component
        Its logic holds `Assert` and `Assume`; its only clock domain is sync, which is not reset again.
    depth : int
        Cycles.
    induction : bool
        Prove the step as well: assertions that held for `depth` cycles hold in the next.
    timeout : float
        Seconds for a step.

    Raises
    ------
    FlowError
        A tool is missing, refuses the design, or takes too long.
    """
    try:
        from amaranth import ClockDomain, Module
        from amaranth.back import rtlil
        from pyosys import libyosys
    except ImportError as error:
        raise FlowError(f"{error.name} is not installed", hint="pip install 'chanzi[rtl]'") from None
    started = time.process_time()
    m = Module()
    m.domains.sync = domain = ClockDomain("sync", reset_less=True)
    m.submodules.dut = design
    inputs = [value for _, member, value in design.signature.flatten(design) if member.flow.name == "In"]
    with tempfile.TemporaryDirectory() as name:
        source, log, trace = Path(name, "design.il"), Path(name, "log"), Path(name, "trace.vcd")
        source.write_text(rtlil.convert(m, name="top", ports=[domain.clk, *inputs]))
        made = libyosys.Design()
        how = "-tempinduct" if induction else "-tempinduct-baseonly"
        limits = f"-maxsteps {depth} -timeout {max(1, round(timeout))}"
        with _Quiet():
            libyosys.run_pass(f"read_rtlil {source}", made)
            for step in _PASSES.split(";"):
                libyosys.run_pass(step.strip(), made)
            command = f"sat {how} {limits} -seq 1 -prove-asserts -set-assumes -dump_vcd {trace}"
            libyosys.run_pass(f"tee -q -o {log} {command}", made)
        text, vcd = log.read_text(), trace.read_text() if trace.exists() else ""
    proved, refuted = "SUCCESS!" in text, "model found for base case: FAIL!" in text
    if not (proved or refuted or (induction and "proof failed" in text)):
        raise FlowError(f"no proof with {timeout:g} s a step", hint="a smaller depth, or smaller parameters")
    steps = re.findall(r"\[base case (\d+)\] Solving", text)
    return Proof(
        proved=proved,
        depth=depth,
        induction=induction,
        seconds=time.process_time() - started,
        failed_at=int(steps[-1]) - 1 if refuted else None,
        trace="" if proved else vcd,
        report=text,
    )
