"""What a chip on an FPGA board uses and bears: tables, lines, files."""

import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
from rich import box
from rich.table import Table

from chanzi.flow.boards import FpgaBoard, constraints
from chanzi.flow.fpga import Hop, Placed

NAMES = {
    "TRELLIS_COMB": "LUT4",
    "TRELLIS_FF": "flip-flops",
    "TRELLIS_RAMW": "LUT RAM writers",
    "DP16KD": "block RAM, 18 kbit",
    "MULT18X18D": "multipliers 18 x 18",
    "EHXPLLL": "PLLs",
    "TRELLIS_IO": "pins",
    "DCCA": "global clocks",
    "DCSC": "clock switches",
}
"""nextpnr's word for a resource -> ours."""
_CELL = re.compile(r"(_(TRELLIS_|CCU2C|LUT4|PFUMX|L6MUX21|MULT18X18D|DP16KD|PDPW16KD|DPR16X4C)\w*|\$\w+)+$")


def used_table(placed: Placed) -> Table:
    """Return what is used of the part."""
    title = f"{placed.chip} on {placed.board}, seed {placed.seed}"
    table = Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
    table.add_column("resource")
    for head in ("used", "on the part", "share"):
        table.add_column(head, justify="right")
    for name, (used, there) in resources(placed).items():
        table.add_row(name, f"{used:,}", f"{there:,}", f"{100 * used / there:.1f} %")
    return table


def resources(placed: Placed) -> dict[str, tuple[int, int]]:
    """Return (used, on the part) of each resource that has a name of ours."""
    return {NAMES[name]: counts for name, counts in placed.used.items() if name in NAMES}


def place_of(name: str) -> str:
    """Return the block and register that a cell or net of the netlist belongs to."""
    return _CELL.sub("", name).removeprefix("board.").removeprefix("chip.") or name


def path_ends(path: tuple[Hop, ...]) -> tuple[str, str]:
    """Return where a path begins and ends, by block and register."""
    nets = [hop.net for hop in path if hop.net]
    return (place_of(nets[0]) if nets else "?", place_of(path[-1].cell) if path else "?")


def lines(placed: Placed) -> list[str]:
    """Return clock, critical path and serial line in words."""
    first, last = path_ends(placed.path)
    whole = sum(hop.ns for hop in placed.path)
    wires = sum(hop.ns for hop in placed.path if hop.kind == "routing")
    levels = sum(hop.kind == "logic" for hop in placed.path)
    verdict = "bears" if placed.holds else "does not bear"
    found = [
        f"routed at {placed.fmax_hz / 1e6:.1f} MHz: it {verdict} the clock of {placed.clock_hz / 1e6:g} MHz",
        f"critical path: {first} to {last}, {whole:.2f} ns, {wires:.2f} of them wires, {levels} cells",
        f"serial line: {placed.baud:,} baud",
    ]
    return found if placed.holds else [*found, "another --seed may do better; or a lower clock_hz"]


def to_dict(placed: Placed) -> dict[str, Any]:
    """Return everything, for JSON."""
    first, last = path_ends(placed.path)
    return {
        "chip": placed.chip,
        "board": placed.board,
        "seed": placed.seed,
        "clock_hz": placed.clock_hz,
        "fmax_hz": placed.fmax_hz,
        "holds": placed.holds,
        "baud": placed.baud,
        "used": {name: {"used": used, "on_part": there} for name, (used, there) in resources(placed).items()},
        "critical_path": {
            "from": first,
            "to": last,
            "ns": round(sum(hop.ns for hop in placed.path), 3),
            "hops": [
                {"kind": hop.kind, "ns": round(hop.ns, 3), "at": place_of(hop.net or hop.cell)} for hop in placed.path
            ],
        },
    }  # fmt: skip


def write(placed: Placed, board: FpgaBoard, folder: Path) -> list[Path]:
    """Write bitstream, report and pins into a folder, each whole or not at all; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{placed.chip}.{placed.board}"
    report = msgspec.json.format(msgspec.json.encode(to_dict(placed)), indent=1) + b"\n"
    files = {f"{stem}.json": report, f"{stem}.lpf": constraints(board).encode()}
    made = [folder / f"{stem}.bit", *(folder / name for name in files)]
    part = folder / f".{stem}.part"
    shutil.copy(placed.bitstream, part)
    part.replace(made[0])
    for path, content in zip(made[1:], files.values(), strict=True):
        part.write_bytes(content)
        part.replace(path)
    return made
