"""Hold the energy model against gate level: blocks of the hardware, mapped and simulated; write docs/results/energy.md.

    python tools/energy_check.py --sky130 sky130_fd_sc_hd__tt.lib.gz --asap7 simple.lib.gz invbuf.lib.gz seq.lib.gz

The libraries are those of OpenSTA's examples (parallaxsw/OpenSTA): sky130 hd, typical, and ASAP7 RVT, typical. The
blocks of tools/energy_blocks.py are synthesized, and take random operands, then those of a layer of the digits network
that ships. Ten minutes in all; nothing of the package needs the libraries.
"""

import argparse
import math
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from energy_blocks import KINDS, STREAMS, SUBJECTS, WARM, Subject

from chanzi.cost.mapped import prices
from chanzi.cost.tech import constant
from chanzi.flow.synth import Synthesis, rtlil_of, technology
from chanzi.flow.synth_power import GateLevel, Spent, power_library

PAGE = Path(__file__).resolve().parent.parent / "docs" / "results" / "energy.md"
NODE_NM = {"sky130": 130, "asap7": 7}
TITLE = {"sky130": "sky130 hd, 1.8 V", "asap7": "ASAP7 RVT (predictive 7 nm), 0.7 V"}
CALIBRATE = {(SUBJECTS[0].name, "random"), (SUBJECTS[0].name, "a network's"), (SUBJECTS[1].name, "random")}
"""What the constants of `chanzi.cost.mapped` come from; all else is a test of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A library, a block and a kind of operands: pJ of a cycle with and without glitches, and what both models say.

    All but `gates` are of a unit: a product, a byte, a sum.
    """

    tech: str
    subject: Subject
    operands: str
    gates: float
    glitches: Spent
    settled: Spent
    model_pj: float
    mapped_pj: float

    @property
    def between(self) -> float:
        """The geometric mean of both ends."""
        return math.sqrt(self.settled.pj * self.glitches.pj) / self.subject.units

    @property
    def split(self) -> str:
        """Whether the mapped model was fitted to it."""
        return "calibrate" if (self.subject.name, self.operands) in CALIBRATE else "test"


def measure(tech_name: str, files: Sequence[Path]) -> Iterator[Found]:
    """Yield what synthesis and simulation say with one library."""
    tech, powers = technology(tuple(files)), power_library(files)
    cells, nand = tech.library.cells, tech.library.nand2_um2
    nm = NODE_NM[tech_name]
    for subject in SUBJECTS:
        modules = rtlil_of(subject.make(), "block")
        synthesis = Synthesis(modules, tech, recipe="speed", period_ns=8 * tech.known.buffer)
        synthesis.run()
        netlist = synthesis.flat("block")
        kinds = [cell["type"] for cell in netlist["cells"].values()]
        gates = sum(cells[kind].area_um2 for kind in kinds if kind in cells) / nand
        level = GateLevel(netlist, tech.library, powers)
        for operands, make in KINDS.items():
            random.seed(0)
            glitches, settled = level.run(subject.feeds(make(np.random.default_rng(0))), STREAMS, warm=WARM)
            plain = operands == "random"
            activity = 1.0 if plain else constant("mapped_activity").value
            mapped = prices(nm).of(gates if subject.logic else 0.0, settled.flops, activity=activity)
            found = Found(
                tech=tech_name,
                subject=subject,
                operands=operands,
                gates=gates,
                glitches=glitches,
                settled=settled,
                model_pj=subject.model_pj(nm, 1.0 if plain else constant("data_activity").value),
                mapped_pj=mapped / subject.units,
            )
            print(row(found), flush=True)
            yield found


HEADS = (
    "block", "operands", "gates", "flip-flops", "settled, pJ", "with glitches", "between", "clock", "model", "error",
    "mapped model", "error", "its split",
)  # fmt: skip


def row(f: Found) -> str:
    """Return a line of the table."""
    n = f.subject.units
    low, high = f.settled.pj / n, f.glitches.pj / n
    return (
        f"| {f.subject.name} | {f.operands} | {f.gates:,.0f} | {f.settled.flops} | {low:.3f} | {high:.3f} | "
        f"{f.between:.3f} | {f.settled.clock_pj / f.settled.pj:.0%} | {f.model_pj:.3f} | {_error(f, f.model_pj)} | "
        f"{f.mapped_pj:.3f} | {_error(f, f.mapped_pj)} | {f.split} |"
    )


def _error(f: Found, pj: float) -> str:
    return f"{100 * (pj / f.between - 1):+.0f} %"


def calibration(found: Sequence[Found]) -> Iterator[str]:
    """Yield what [mapped] of energy.toml should say: run again after pasting, for the page is of what stands there."""
    for tech in dict.fromkeys(f.tech for f in found):
        row_random, row_network, feeder = (
            next(f for f in found if (f.tech, f.subject, f.operands) == (tech, s, kind))
            for s, kind in ((SUBJECTS[0], "random"), (SUBJECTS[0], "a network's"), (SUBJECTS[1], "random"))
        )
        clock = row_random.settled.clock_pj / row_random.settled.flops
        held = (feeder.between - feeder.settled.clock_pj) / feeder.settled.flops
        data, less = (f.between - f.settled.clock_pj / f.subject.units for f in (row_random, row_network))
        flops = row_random.settled.flops / SUBJECTS[0].units
        gates = row_random.gates / SUBJECTS[0].units - 5.33 * flops
        yield (
            f"{tech}: flop_clock {clock:.4g}, flop_data {held:.4g}, gate {(data - flops * held) / gates:.4g}; "
            f"mapped_activity {less / data:.3f}"
        )


def page(found: Sequence[Found]) -> str:
    """Return the page."""
    lines = ["# Energy against gate level", "", *WORDS.strip().splitlines()]
    for tech in dict.fromkeys(f.tech for f in found):
        lines += ["", f"## {TITLE[tech]}", "", "| " + " | ".join(HEADS) + " |", "|---|---|" + "---:|" * 10 + "---|"]
        lines += [row(f) for f in found if f.tech == tech]
    lines += ["", "Errors, relative and without sign, over all blocks and operands:", ""]
    lines += [
        "| library | model, median | largest | mapped model, test rows, median | largest |",
        "|---|" + "---:|" * 4,
    ]
    for tech in dict.fromkeys(f.tech for f in found):
        mine = [f for f in found if f.tech == tech]
        plain = [abs(f.model_pj / f.between - 1) for f in mine]
        tests = [abs(f.mapped_pj / f.between - 1) for f in mine if f.split == "test"]
        cells = [f"{100 * pick(e):.0f} %" for e in (plain, tests) for pick in (statistics.median, max)]
        lines.append(f"| {TITLE[tech]} | " + " | ".join(cells) + " |")
    activity = constant("data_activity").value
    lines += ["", f"A network's operands relative to random ones (`data_activity` of the model is {activity:g}):", ""]
    lines += ["| library | block | settled | with glitches | model |", "|---|---|---:|---:|---:|"]
    for plain, real in zip(found[::2], found[1::2], strict=True):
        ratios = (
            real.settled.pj / plain.settled.pj,
            real.glitches.pj / plain.glitches.pj,
            real.model_pj / plain.model_pj,
        )
        lines.append(f"| {plain.tech} | {plain.subject.name} | " + " | ".join(f"{r:.2f}" for r in ratios) + " |")
    return "\n".join([*lines, "", *LIMITS.strip().splitlines()]) + "\n"


WORDS = """
The energy model (`chanzi.cost.energy`) against blocks of this project's own hardware at gate level, mapped by yosys and
ABC to two libraries and simulated gate by gate, each change of a net paid by the Liberty's tables: energy inside cells
by transition and load, half a C V² on the net (pins, and 0.2 fF a micrometre of wire estimated from the cells' size).
Every clock pin is paid in every cycle. Figures are pJ of a product, of a byte that leaves a feeder, of a sum that
leaves a lane, one a cycle, leakage aside. 64 streams of 32 counted cycles. Made by
`python tools/energy_check.py --sky130 FILE --asap7 FILES`, libraries of OpenSTA's examples.

- `array`: four cells (`chanzi.rtl.array.grid.Row`): multiplier, 32-bit sum, shadow register, operands handed on.
- `edge feeder`: a row's word in use and the one that waits (`chanzi.rtl.array.feeder.FeederRow`).
- `requantize`: sum and bias to float32, times a scale, to a byte (`chanzi.rtl.lane.Requantize`), two float operations
  to the model. The array's epilogue and the vector unit have one in each lane.
- `residual sum`: two multiply-adds in float32 and the way to a byte (`chanzi.rtl.lane.Combine`), four float operations.

Gates here take equal time, so glitches run their full length, which real gates partly swallow: what is spent lies
between "settled" (each net changes at most once in a cycle) and "with glitches". Errors are those of the models against
the geometric mean of both.

The mapped model (`chanzi.cost.mapped`) prices the RTL as it stands: a clock pin for every flip-flop in every cycle,
data by flip-flops and gates, which the area model counts. Its three prices at each library are those of the rows
marked calibrate; the others are tests of them and changed nothing.
"""

LIMITS = """
What it says:

- **Lanes in float32 are near the model at 7 nm**, -18 to +44 %; at 130 nm it is low by 25 to 61 %. Its operations are
  those of designers' best datapaths (Horowitz at 45 nm, Google's table at 7 nm).
- **A cell of the array is two to five times the model**, 55 to 63 % low at 7 nm and 76 to 80 % at 130 nm. Ours are of
  yosys and ABC, mapped for speed, without a datapath compiler; operands and tokens are handed from cell to cell through
  flip-flops (24 a cell), a product waits in 18, and the model has wires there and 32 bits of sum.
- **A feeder is three to six times the model at 7 nm, and more the wider its word.** The model writes a byte twice; our
  feeder moves a whole word by a byte in every cycle, 18 flip-flops for each byte of the port's width. At a port of 128
  bytes that is 2,305 flip-flops a row for a byte a cycle. This is the hardware's to mend: a pointer into a word that
  stands still would clock a tenth.
- Clock pins are 23 to 41 % of the settled energy of a cell or a lane and 66 to 89 % of a feeder's: every flip-flop is
  clocked in every cycle. The model takes a gated clock, fitted to chips that have one; the RTL has none yet.
- **The mapped model** is within 16 % for feeders, 19 to 33 % high for requantizing and 34 to 66 % high for the residual
  sum, of which scales and offset stand still while those gates are priced as busy as a multiplier's.
- A network's operands save 8 to 34 % of the energy, where `data_activity` takes 40 % off the product of the array and
  nothing off lanes and feeders.

What came of it:

- The model had carried its line between 45 and 7 nm on to 130 nm, which gave 0.98 pJ for random operands there, a
  fourteenth of the settled figure. Above 45 nm supplies fell together with sizes, so energy there now goes with size
  and the square of the voltage. No constant of the model itself was fitted to this page.
- The mapped model is offered, not the default. `chanzi.cost.mapped.mapped_costs(chip, gated=0.7)` prices a run's events
  as this RTL would spend them, `gated` being the share of clock energy that gating saves. With none, the clock alone of
  one core the size of Tesla's of 2019 would draw 7.2 W at 2 GHz, and Tesla published 7.5 W for everything: chips that
  are sold are not built like this, and the model that `chanzi validate` holds against them stays as it is.
- What it does to ratios of two chips is in the last table of [chanzi-one](chanzi-one.md).

Not in it: the clock's tree, wires longer than the estimate, leakage, and real delays, which decide what glitches do;
the array's control, the sequencer, the DMA and the scratchpad's ports, of which no row is here. Prices between 130 and
7 nm are on a line through two libraries, of which one is predictive. Where a Liberty lists internal power for both
rails (ASAP7), that of VDD is counted.
"""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sky130", nargs="*", type=Path, default=[])
    parser.add_argument("--asap7", nargs="*", type=Path, default=[])
    given = parser.parse_args()
    found = [f for name in NODE_NM if (files := getattr(given, name)) for f in measure(name, files)]
    if not found:
        parser.error("name at least one library")
    PAGE.write_text(page(found), encoding="utf-8")
    for line in calibration(found):
        print(line)


if __name__ == "__main__":
    main()
