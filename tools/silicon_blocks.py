"""Synthesize presets with cell libraries; write src/chanzi/cost/data/blocks.toml and docs/results/silicon.md.

``python tools/silicon_blocks.py --sky130 sky130_fd_sc_hd__tt.lib.gz --asap7 simple.lib.gz invbuf.lib.gz seq.lib.gz``.
The libraries are those of OpenSTA's examples (parallaxsw/OpenSTA): sky130 hd, typical, and ASAP7 RVT, typical. Results
are kept in the cache folder, so a second run takes what it has.
"""

import argparse
import json
import math
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from chanzi.chip import load_chip
from chanzi.flow.synth import Technology, technology
from chanzi.flow.synth_chip import Silicon
from chanzi.flow.synth_scale import synthesize_any

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "src" / "chanzi" / "cost" / "data" / "blocks.toml"
PAGE = ROOT / "docs" / "results" / "silicon.md"
NODE_NM = {"sky130": 130.0, "asap7": 7.0}
TITLE = {
    "sky130": "Synthesis of this project's hardware, yosys and ABC; SkyWater sky130 hd, typical, 25 C, 1.8 V",
    "asap7": "Synthesis of this project's hardware, yosys and ABC; ASAP7 RVT (predictive 7 nm), typical, 0.7 V",
}
MARGIN = 0.7
"""Of a cycle that logic before wires may take; the rest is wires, skew and jitter."""
_ABOUT = (
    "Delays are after synthesis, before wires: clock to output, logic and setup, of the longest path of any module in "
    "a block, with ports taken as registers; nets of high fan-out get an ideal tree of buffers. Small memories "
    "(tables, weights) are counted as latches with read multiplexers, SRAMs by the area model of "
    "`chanzi.flow.synth_chip`."
)
_STAGES = "Cycles that the longest path of a block would take at a preset's clock if"


def stages(delay_ns: float, clock_hz: int) -> int:
    """Return the pipeline stages that a path needs at a clock."""
    return max(1, math.ceil(delay_ns * 1e-9 * clock_hz / MARGIN - 1e-9))


def toml(found: dict[tuple[str, str], Silicon]) -> str:
    """Return the data file."""
    lines = [
        "# Blocks of the hardware after synthesis: area and longest path before wires, all copies of a chip together.",
        "# Made by tools/silicon_blocks.py; not written by hand. Parts are those of chanzi.flow.synth_chip.BLOCKS.",
        "",
    ]
    for tech in dict.fromkeys(tech for tech, _ in found):
        lines += [f"[source.{tech}]", f'title = "{TITLE[tech]}"', "year = 2026"]
        lines += ['url = "https://github.com/parallaxsw/OpenSTA"', 'grade = "B"', ""]
    for (tech, chip), silicon in found.items():
        for part in silicon.parts:
            key = part.name.replace("'s", "").replace(": ", "_").replace(" ", "_").lower()
            lines.append(f"[{tech}.{chip}.{key}]")
            for name, value, unit in (
                ("gates", round(part.gates), "NAND2 gates"),
                ("flops", part.flops, "flip-flops"),
                ("logic", round(part.logic_um2, 1), "um2"),
                ("memory_bits", part.memory_bits, "bits in small memories"),
                ("memory", round(part.memory_um2, 1), "um2"),
                ("sram", round(part.sram_um2, 1), "um2"),
                ("delay", round(part.delay, 4), "ns"),
            ):
                if value:
                    how = "derived" if name in ("memory", "sram") else "measured"
                    lines.append(f'{name} = {{ value = {value}, unit = "{unit}", source = "{tech}", how = "{how}" }}')
            lines.append("")
    return "\n".join(lines)


def page(found: dict[tuple[str, str], Silicon]) -> str:
    """Return the page of results."""
    lines = [
        "# The hardware in cells",
        "",
        f"Made by `python tools/silicon_blocks.py`, {datetime.now(UTC):%Y-%m-%d}. {_ABOUT}",
    ]
    for (tech, chip), silicon in found.items():
        whole = sum(part.um2 for part in silicon.parts)
        lines += ["", f"## {chip}, {TITLE[tech].split('; ')[1]}", ""]
        lines += ["| block | gates | logic µm² | small memories µm² | SRAM µm² | µm² a MAC | longest path, ns |"]
        lines += ["|---|---:|---:|---:|---:|---:|---:|"]
        for part in silicon.parts:
            cells = (
                part.name,
                f"{part.gates:,.0f}",
                f"{part.logic_um2:,.0f}",
                f"{part.memory_um2:,.0f}",
                f"{part.sram_um2:,.0f}",
                f"{part.um2 / silicon.macs:,.1f}",
                f"{part.delay:.2f}" if part.delay else "",
            )
            lines.append("| " + " | ".join(cells) + " |")
        lines += [f"| all |  |  |  |  | {whole / silicon.macs:,.1f} | {silicon.longest.delay:.2f} |", ""]
        if silicon.note:
            lines += [f"By count: {silicon.note}.", ""]
        lines += ["Longest paths:", ""]
        for part in sorted(silicon.parts, key=lambda part: -part.delay):
            if part.delay:
                lines.append(f"- {part.name}, {part.delay:.2f} ns: `{part.path}`")
    lines += ["", "## Pipeline stages", ""]
    lines += [
        f"{_STAGES} {MARGIN:.0%} of a cycle is logic: 1 is what there is, 2 wants one more register.",
        "",
    ]
    clocks = {name: load_chip(name).clock_hz for name in ("chanzi-8", "chanzi-16", "chanzi-64x4", "tesla-fsd-hw3")}
    lines += ["| library | block | ns | " + " | ".join(f"{n}, {c / 1e6:,.0f} MHz" for n, c in clocks.items()) + " |"]
    lines += ["|---|---|---:|" + "---:|" * len(clocks)]
    for tech in dict.fromkeys(tech for tech, _ in found):
        silicon = next(s for (t, _), s in found.items() if t == tech)
        for part in silicon.parts:
            if part.delay:
                needed = " | ".join(str(stages(part.delay, clock)) for clock in clocks.values())
                lines.append(f"| {tech} | {part.name} | {part.delay:.2f} | {needed} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Synthesize and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sky130", nargs="*", type=Path, default=[])
    parser.add_argument("--asap7", nargs="*", type=Path, default=[])
    parser.add_argument("--chips", nargs="*", default=["chanzi-8"])
    parser.add_argument("--paths", type=Path, help="also write every module's paths there, as JSON")
    given = parser.parse_args()
    found: dict[tuple[str, str], Silicon] = {}
    for tech_name, files in (("sky130", given.sky130), ("asap7", given.asap7)):
        if not files:
            continue
        tech: Technology = technology(tuple(files))
        for chip in given.chips:
            count = 0

            def done(n: int, chip: str = chip, tech_name: str = tech_name) -> None:
                nonlocal count
                count += n
                print(f"\r{tech_name} {chip}: {count} modules", end="", file=sys.stderr)

            found[(tech_name, chip)] = synthesize_any(load_chip(chip), tech, node_nm=NODE_NM[tech_name], done=done)
            print(file=sys.stderr)
    if not found:
        parser.error("name at least one library")
    DATA.write_text(toml(found), encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")
    if given.paths:
        given.paths.write_text(json.dumps({f"{t} {c}": asdict(s) for (t, c), s in found.items()}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
