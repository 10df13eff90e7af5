"""A chip on a board: what it uses, how fast it may run over several seeds, its critical paths.

    python bench/fpga.py                  prints the page
    python bench/fpga.py --write          docs/results/fpga.md
    python bench/fpga.py --seeds 1 2 3 4 5

Minutes for each seed; what was made before is taken from the cache.
"""

import argparse
import datetime
import json
import sys
import time
from pathlib import Path

from chanzi.chip import load_chip
from chanzi.flow.boards import load_board
from chanzi.flow.fpga import TOP, Netlist, Placed, place, synthesize
from chanzi.report.fpga import path_ends, place_of, resources

PAGE = Path(__file__).parent.parent / "docs" / "results" / "fpga.md"
LUT_COST = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4}
"""Places for a look-up table that a cell takes."""


def main() -> int:
    """Place with each seed; print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", default="chanzi-8")
    parser.add_argument("--board", default="ulx3s-85f")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    chip, board = load_chip(arguments.chip), load_board(arguments.board)
    start = time.perf_counter()

    def tell(stage: str) -> None:
        print(f"{time.perf_counter() - start:7.0f} s  {stage}", file=sys.stderr, flush=True)

    netlist = synthesize(chip, board, tell=tell)
    runs = [place(netlist, chip, board, seed=seed, tell=tell) for seed in arguments.seeds]
    page = "\n".join(_page(netlist, runs)) + "\n"
    if arguments.write:
        PAGE.write_text(page)
    else:
        print(page)
    return 0


def _page(netlist: Netlist, runs: list[Placed]) -> list[str]:
    first = runs[0]
    day = datetime.date.today().isoformat()
    made = f"Made by `python bench/fpga.py --write`, {day}. Delays and Fmax are nextpnr's, after routing."
    rows = [
        f"| {name} | {used:,} | {there:,} | {100 * used / there:.1f} % |"
        for name, (used, there) in resources(first).items()
    ]
    lines = [
        f"# {first.chip} on {first.board}",
        "",
        made,
        "",
        "## What it uses",
        "",
        "| resource | used | on the part | share |",
        "|---|---:|---:|---:|",
        *rows,
        "",
        "## How fast it may run",
        "",
        f"The PLL makes {first.clock_hz / 1e6:g} MHz.",
        "",
        "| seed | Fmax, MHz | critical path | ns | of them wires | cells |",
        "|---:|---:|---|---:|---:|---:|",
    ]  # fmt: skip
    for run in runs:
        begin, end = path_ends(run.path)
        whole, wires = (sum(h.ns for h in run.path if kind in (None, h.kind)) for kind in (None, "routing"))
        cells = sum(h.kind == "logic" for h in run.path)
        lines.append(
            f"| {run.seed} | {run.fmax_hz / 1e6:.1f} | `{begin}` to `{end}` | {whole:.2f} | {wires:.2f} | {cells} |"
        )
    lines += [
        "",
        "## By block",
        "",
        "Cells of the netlist before packing, shared modules counted once for each use.",
        "",
    ]
    lines += ["| block | LUT4 places | flip-flops | block RAM | multipliers |", "|---|---:|---:|---:|---:|"]
    for block, row in _blocks(netlist).items():
        lines.append(f"| {block} | {row[0]:,} | {row[1]:,} | {row[2]:,} | {row[3]:,} |")
    return lines


def _blocks(netlist: Netlist) -> dict[str, list[int]]:
    """Return, for each block of the core, [LUT places, flip-flops, block RAMs, multipliers]."""
    module = json.loads((netlist.folder / "netlist.json").read_text())["modules"][TOP]
    found: dict[str, list[int]] = {}
    for name, cell in module["cells"].items():
        path = place_of(name).split(".")
        depth = 3 if path[:2] in (["core0", "array"], ["core0", "vector"]) else 2 if path[0] == "core0" else 1
        row = found.setdefault(".".join(path[:depth]) if len(path) > depth else ".".join(path[:-1]) or "board", [0] * 4)
        kind = cell["type"]
        row[0] += LUT_COST.get(kind, 0)
        row[1] += kind == "TRELLIS_FF"
        row[2] += kind == "DP16KD"
        row[3] += kind == "MULT18X18D"
    return dict(sorted(found.items(), key=lambda item: -item[1][0]))


if __name__ == "__main__":
    sys.exit(main())
