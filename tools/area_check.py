"""Hold the area model against the hardware after synthesis; write docs/results/area.md.

    python tools/area_check.py --measured FOLDER --test NAME [NAME ...]   # also rewrite synthesized.toml
    python tools/area_check.py                                            # the page from synthesized.toml

FOLDER has NAME.toml of each chip, and NAME.sky130.json and NAME.asap7.json as `chanzi synth --json` wrote them. Chips
named after --test are those that no constant was fitted to.
"""

import argparse
import json
import statistics
from pathlib import Path

from chanzi.chip import load_chip
from chanzi.cost.blocks import BLOCKS, Row, rows

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "src" / "chanzi" / "cost" / "data" / "synthesized.toml"
PAGE = ROOT / "docs" / "results" / "area.md"
TITLE = {"sky130": "SkyWater sky130 hd, 130 nm", "asap7": "ASAP7, a predictive 7 nm"}

WORDS = """\
The area model (`chanzi.cost.area`) against this project's own hardware, block by block, in cells: what synthesis makes
of the RTL (yosys and ABC), before placement, without SRAMs. Small memories count as in
[the hardware in cells](silicon.md), a latch a bit. The model counts gates from the chip's description and multiplies
them by a gate's area at the node; nothing else is known to it. Made by `python tools/area_check.py`.

Constants of the model are fitted to the chips marked calibrate (least squares of relative errors, one set for both
nodes); the one marked test was synthesized afterwards and changed nothing. `rows-8-wide` and then `rows-4-many` were
tests at first, and their scratchpad's glue came out 22 to 25 % too small: the model did not know that a port wider than
an atom makes columns, each with its own addresses, and words that are turned. Those parts were added, all constants
fitted again, and both chips marked calibrate.
"""

LIMITS = """\
## What this does not say

- The largest array that is synthesized whole has 8 rows. Cells and feeders repeat, so they scale as they are; the
  array's control (a constant and a part for each row) and the scratchpad's ports (bits × banks) are extrapolated by
  factors of 12 and 128 to a chip such as `tesla-fsd-hw3`, and nothing here tests that.
- These are cells after synthesis at the speed that falls out. A chip at 2 GHz needs more registers and larger cells;
  the factor for the array's wiring (1.25) and the share of placed area that is cells (0.7) are estimates.
- SRAM macros are not compared: no memory compiler is at hand, and both sides take them from the same model.
- ASAP7 is predictive. Between 130 and 7 nm a gate's area is a library's (45 nm) or scaled by published density.
"""


def data(folder: Path, tests: set[str]) -> str:
    """Return the data file."""
    lines = [
        "# Area of cells and small memories of synthesized chips by block, all copies together. Made by",
        "# tools/area_check.py; not written by hand. Blocks are those of chanzi.flow.synth_chip.BLOCKS.",
        "",
    ]
    for tech, title in TITLE.items():
        lines += [f"[source.{tech}]", f'title = "Synthesis of this project\'s hardware: {title}"', "year = 2026"]
        lines += ['url = ""', 'grade = "B"', ""]
    for path in sorted(folder.glob("*.toml")):
        chip = load_chip(path)
        core = chip.core
        lines += [
            f"[chip.{chip.name}]",
            f'split = "{"test" if chip.name in tests else "calibrate"}"',
            f"clock_hz = {chip.clock_hz}",
            f"dim = {core.dim}",
            f"port_bytes = {core.port_bytes}",
            f"lanes = {core.lanes}",
            f"taps_per_lane = {core.taps_per_lane}",
            f"queue_depth = {core.queue_depth}",
            f"code_instructions = {core.code_instructions}",
            f"bytes = {core.scratchpad.bytes}",
            f"banks = {core.scratchpad.banks}",
            f"beat_bytes = {chip.dram.beat_bytes}",
            f"dram_bytes_per_s = {chip.dram.bytes_per_s}",
            "",
        ]
        for tech in TITLE:
            found = folder / f"{chip.name}.{tech}.json"
            if not found.exists():
                continue
            lines.append(f"[{tech}.{chip.name}]")
            parts = {p["name"]: p["logic_um2"] + p["memory_um2"] for p in json.loads(found.read_text())["parts"]}
            for key, block in BLOCKS.items():
                um2 = sum(parts[name] for name in block.synthesized)
                lines.append(f'{key} = {{ value = {um2:.1f}, unit = "um2", source = "{tech}", how = "measured" }}')
            lines.append("")
    return "\n".join(lines)


def _percent(error: float) -> str:
    return f"{100 * error:+.1f} %"


def page(found: list[Row]) -> str:
    """Return the page."""
    lines = ["# Area against synthesis", "", WORDS]
    lines += [
        "| chip | split | node | cells, µm² | model, µm² | error | worst block |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for chip, tech in dict.fromkeys((r.chip, r.technology) for r in found):
        mine = [r for r in found if (r.chip, r.technology) == (chip, tech)]
        whole, model = sum(r.measured_um2 for r in mine), sum(r.model_um2 for r in mine)
        worst = max(mine, key=lambda r: abs(r.error))
        lines.append(
            f"| {chip} | {mine[0].split} | {tech} | {whole:,.0f} | {model:,.0f} | {_percent(model / whole - 1)} | "
            f"{BLOCKS[worst.block].title}, {_percent(worst.error)} |"
        )
    lines.append("")
    for split in ("calibrate", "test"):
        errors = [abs(r.error) for r in found if r.split == split]
        if errors:
            inside = sum(e <= 0.15 for e in errors)
            middle, most = 100 * statistics.median(errors), 100 * max(errors)
            lines.append(
                f"- {split}: {inside} of {len(errors)} blocks within 15 %, median {middle:.1f} %, largest {most:.1f} %"
            )
    for chip in dict.fromkeys(r.chip for r in found):
        mine = [r for r in found if r.chip == chip]
        lines += ["", f"## {chip} ({mine[0].split})", "", "| block | node | cells, µm² | model, µm² | error |"]
        lines.append("|---|---|---:|---:|---:|")
        for r in sorted(mine, key=lambda r: (list(BLOCKS).index(r.block), r.technology)):
            lines.append(
                f"| {BLOCKS[r.block].title} | {r.technology} | {r.measured_um2:,.0f} | {r.model_um2:,.0f} | "
                f"{_percent(r.error)} |"
            )
    return "\n".join([*lines, "", LIMITS])


def main() -> None:
    """Read, compare, write."""
    parser = argparse.ArgumentParser(description="The area model against synthesis")
    parser.add_argument("--measured", type=Path)
    parser.add_argument("--test", nargs="*", default=[])
    given = parser.parse_args()
    if given.measured:
        DATA.write_text(data(given.measured, set(given.test)), encoding="utf-8")
    text = page(list(rows()))
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
