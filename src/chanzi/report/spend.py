"""What a run spends: joules of each layer and block, watts, and the mm2 and dollars of the chip it ran on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from rich import box
from rich.table import Table

from chanzi.cost.area import Area, area_of
from chanzi.cost.dollars import Bill, Terms, cost_of
from chanzi.cost.energy import energy_of, event_costs
from chanzi.cost.events import count_events
from chanzi.cost.lost import lost_cycles
from chanzi.errors import CostError
from chanzi.report.figures import Figure
from chanzi.report.summary import ChipRun

VOLUME = 1_000_000
"""Chips over which a report spreads the design."""
BLOCK_COLOURS = {
    "array": "#2a9d5c",
    "feeders": "#a3b86c",
    "epilogue": "#e9c46a",
    "vector unit": "#9d6bd6",
    "scratchpad": "#f4a261",
    "DMA": "#76b7b2",
    "DRAM": "#3f8efc",
    "sequencer": "#66707f",
    "clock": "#d1495b",
    "leakage": "#8f9bb3",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpend:
    """Joules of one layer for one frame, by block; clock and leakage by the cycles laid to it."""

    segment: str
    name: str
    joules: float
    blocks: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """Energy of one frame with weights resident, DRAM devices included in `joules` and `watts` but not `chip_watts`.

    `good_die_usd` and `unit_usd` are best guesses, the latter with its 10 and 90 %; they are None where the die is too
    large for a mask.
    """

    node_nm: float
    volt: float
    joules: float
    watts: float
    chip_watts: float
    blocks: dict[str, float]
    layers: tuple[LayerSpend, ...]
    die_mm2: float
    area_mm2: dict[str, float]
    good_die_usd: float | None
    unit_usd: tuple[float, float, float] | None
    tops_per_watt: float


def spend_of(runs: Sequence[ChipRun]) -> Spend | None:
    """Return what the runs of a network spend together; None where the chip's node is not among the known ones."""
    chip, frames = runs[0].compiled.chip, runs[0].compiled.segment.frames
    try:
        area = area_of(chip)
        costs = event_costs(chip, area=area)
    except CostError:
        return None
    layers: list[LayerSpend] = []
    seconds = macs = 0.0
    for run in runs:
        segment = run.compiled.segment
        lost = lost_cycles(chip, segment, run.frame).cycles.sum(axis=(0, 2)).astype(np.float64)
        energy = energy_of(chip, count_events(chip, segment, run.frame), costs, layer_cycles=lost)
        seconds += energy.seconds
        macs += frames * sum(layer.macs for layer in segment.layers)
        for i, row in enumerate(energy.layers.tolist()):
            name = segment.layers[i].name if i < len(segment.layers) else "other"
            blocks = dict(zip(energy.blocks, [j / frames for j in row], strict=True))
            layers.append(LayerSpend(segment=segment.name, name=name, joules=sum(blocks.values()), blocks=blocks))
    blocks = {name: sum(layer.blocks[name] for layer in layers) for name in BLOCK_COLOURS}
    joules = sum(blocks.values())
    bill = _bill(runs)
    unit = None if bill is None else (bill.unit_usd.value, bill.unit_usd.p10, bill.unit_usd.p90)
    watts = joules * frames / seconds if seconds else 0.0
    return Spend(
        node_nm=area.node_nm,
        volt=costs.volt,
        joules=joules,
        watts=watts,
        chip_watts=watts * (1 - blocks["DRAM"] / joules) if joules else 0.0,
        blocks=blocks,
        layers=tuple(layers),
        die_mm2=area.die.value,
        area_mm2=_areas(area),
        good_die_usd=None if bill is None else bill.good_die_usd.value,
        unit_usd=unit,
        tops_per_watt=2e-12 * macs / (joules * frames) if joules else 0.0,
    )


def _areas(area: Area) -> dict[str, float]:
    named = {b.name: b.mm2.value for b in area.blocks}
    return named | {"white space, pads": area.white.value + area.ring.value}


def _bill(runs: Sequence[ChipRun]) -> Bill | None:
    try:
        return cost_of(runs[0].compiled.chip, Terms(volume=VOLUME))
    except CostError:
        return None


def joules_text(value: float) -> str:
    """Return an energy with a fitting unit."""
    for limit, unit in ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ")):
        if value >= limit:
            return f"{value / limit:.4g} {unit}"
    return f"{value * 1e9:.4g} nJ"


def facts(spend: Spend) -> list[tuple[str, str]]:
    """Return watts, joules, mm2 and dollars as (name, text) pairs."""
    rows = [
        ("energy", f"{joules_text(spend.joules)} a frame at {spend.node_nm:g} nm and {spend.volt:.2f} V"),
        ("power", f"{spend.watts:.3g} W while it runs, {spend.chip_watts:.3g} W of it on the chip"),
        ("efficiency", f"{spend.tops_per_watt:.3g} TOPS a watt delivered"),
        ("die", f"{spend.die_mm2:.4g} mm²"),
    ]
    if spend.unit_usd is None or spend.good_die_usd is None:
        rows.append(("cost", "no such die can be made: it is larger than a mask"))
    else:
        value, low, high = spend.unit_usd
        text = f"{value:,.0f} USD a chip at {VOLUME:,} ({low:,.0f} to {high:,.0f}), {spend.good_die_usd:,.1f} its die"
        rows.append(("cost", text))
    return rows


def spend_table(spend: Spend) -> Table:
    """Return totals, and energy and area by block."""
    table = Table(title="Watts, mm² and dollars (modelled)", box=box.SIMPLE, title_justify="left", title_style="bold")
    table.show_header = False
    table.add_column("what", style="bold")
    table.add_column("value")
    for name, text in facts(spend):
        table.add_row(name, text)
    shares = sorted(((n, j) for n, j in spend.blocks.items() if j), key=lambda item: -item[1])
    table.add_row("energy by block", ", ".join(f"{name} {100 * j / spend.joules:.0f} %" for name, j in shares))
    largest = sorted(spend.area_mm2.items(), key=lambda item: -item[1])[:6]
    table.add_row("largest blocks", ", ".join(f"{name} {100 * a / spend.die_mm2:.0f} %" for name, a in largest))
    return table


def energy_figure(spend: Spend) -> Figure:
    """Return one stacked bar for each layer: its joules by block."""
    names = [f"{i} {layer.name}" for i, layer in enumerate(spend.layers)]
    traces = [
        {
            "type": "bar",
            "name": block,
            "x": names,
            "y": [1e6 * layer.blocks[block] for layer in spend.layers],
            "marker": {"color": colour},
            "hovertemplate": f"%{{x}}<br><b>{block}</b>: %{{y:.4g}} µJ<extra></extra>",
        }
        for block, colour in BLOCK_COLOURS.items()
        if spend.blocks[block]
    ]
    layout = {
        "height": 420,
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "barmode": "stack",
        "xaxis": {"tickangle": -60, "tickfont": {"size": 9}, "type": "category", "showticklabels": len(names) <= 120},
        "yaxis": {"title": {"text": "µJ a frame"}, "zeroline": False, "automargin": True},
        "legend": {"orientation": "h", "y": 1.12, "traceorder": "normal"},
    }
    return {"data": traces, "layout": layout}


def to_dict(spend: Spend) -> dict[str, object]:
    """Return everything as plain values."""
    plain: dict[str, object] = {**asdict(spend)}
    return plain
