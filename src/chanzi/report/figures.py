"""Figures of a run, as dictionaries that plotly.js draws (``plotly.graph_objects.Figure(figure)`` takes them too).

Plain dictionaries, because building plotly's own objects takes longer than the timing simulation they show. Nothing
here sets a background or a text colour: `report.html` gives the page's own, light or dark.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.cost.lost import CAUSES
from chanzi.isa.fields import Engine
from chanzi.program.trace import Cause, Timing
from chanzi.report.summary import ChipRun, Summary

Figure = dict[str, Any]

CAUSE_COLOURS = {
    "useful": "#2a9d5c",
    "padding": "#a3b86c",
    "edge": "#e9c46a",
    "feed": "#f4a261",
    "drain": "#d1495b",
    "fill": "#8f9bb3",
    "vector": "#9d6bd6",
    "banks": "#e377a5",
    "dram": "#3f8efc",
    "dispatch": "#66707f",
    "cores": "#20a4a4",
}
BOUND_COLOURS = {
    "array": "#2a9d5c",
    "scratchpad": "#f4a261",
    "vector": "#9d6bd6",
    "DRAM": "#3f8efc",
    "latency": "#8f9bb3",
}
_LAYERS = ("#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#edc948", "#76b7b2", "#e15759", "#9c755f", "#ff9da7", "#86bcb6")
_KINDS = {"weights": "#4e79a7", "activations": "#59a14f", "staging": "#f28e2b"}
_CAUSE_TEXT = {
    Cause.DISPATCH: "the sequencer",
    Cause.LOAD: "a LOAD",
    Cause.STORE: "a STORE",
    Cause.ARRAY: "a DOT",
    Cause.VECTOR: "a VEC",
    Cause.PEER: "another core's STORE",
    Cause.ENGINE: "its own engine",
    Cause.BUS: "the DRAM bus",
}
ENGINE_NAMES = {Engine.LOAD: "load", Engine.STORE: "store", Engine.ARRAY: "array", Engine.VECTOR: "vector"}


def _axis(title: str, **more: Any) -> Figure:
    return {"title": {"text": title}, "zeroline": False, "automargin": True, **more}


def _layout(height: int, **more: Any) -> Figure:
    return {"height": height, "margin": {"l": 60, "r": 20, "t": 20, "b": 50}, "hovermode": "closest", **more}


def layer_bars(summary: Summary) -> Figure:
    """Return one stacked bar for each layer: its cycles by cause, and a mark at the layer's own bound."""
    used = summary.cores_used
    rows = summary.layers
    names = [f"{i} {row.name}" for i, row in enumerate(rows)]
    traces: list[Figure] = []
    for cause, meaning in CAUSES.items():
        cycles = [row.lost[cause] / used for row in rows]
        if any(cycles):
            traces.append(
                {
                    "type": "bar",
                    "name": cause,
                    "x": names,
                    "y": cycles,
                    "marker": {"color": CAUSE_COLOURS[cause]},
                    "hovertemplate": f"%{{x}}<br><b>{cause}</b>: %{{y:,.0f}} cycles<br>{meaning}<extra></extra>",
                }
            )
    if any(row.bound_cycles for row in rows):
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "bound of the layer",
                "x": names,
                "y": [row.bound_cycles for row in rows],
                "marker": {"symbol": "line-ew-open", "size": 9, "line": {"width": 2}},
                "hovertemplate": "%{x}<br>the layer alone could take %{y:,.0f} cycles<extra></extra>",
            }
        )
    x = _axis("", tickangle=-60, tickfont={"size": 9}, type="category", showticklabels=len(rows) <= 120)
    legend = {"orientation": "h", "y": 1.12, "traceorder": "normal"}
    return {"data": traces, "layout": _layout(460, barmode="stack", xaxis=x, yaxis=_axis("cycles"), legend=legend)}


def lost_bar(summary: Summary) -> Figure:
    """Return all cycles as one bar a cause."""
    total = max(sum(summary.lost.values()), 1)
    shown = [cause for cause in CAUSES if summary.lost[cause]][::-1]
    share = [100 * summary.lost[cause] / total for cause in shown]
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": shown,
        "x": share,
        "text": [f"{s:.1f} %" for s in share],
        "textposition": "auto",
        "cliponaxis": False,
        "customdata": [[summary.lost[cause], CAUSES[cause]] for cause in shown],
        "marker": {"color": [CAUSE_COLOURS[cause] for cause in shown]},
        "hovertemplate": "<b>%{y}</b>: %{customdata[0]:,} core-cycles<br>%{customdata[1]}<extra></extra>",
    }
    x = _axis("share of all cycles, %", rangemode="tozero")
    return {"data": [trace], "layout": _layout(90 + 30 * len(shown), xaxis=x, yaxis=_axis(""), showlegend=False)}


def roofline(summary: Summary) -> Figure:
    """Return TOPS of each layer over its operations per byte from DRAM, weights too, under the chip's two roofs."""
    chip = summary.chip
    rows = [row for row in summary.layers if row.macs and row.taken]
    xs, ys = [], []
    for row in rows:
        n_bytes = max(row.dram_bytes + row.parameter_bytes, 1)
        xs.append(2 * row.macs * summary.frames / n_bytes)
        ys.append(2e-12 * row.macs * summary.frames * chip.clock_hz / row.taken)
    peak = 2e-12 * summary.cores_used * chip.core.macs_per_cycle * chip.clock_hz
    ridge = peak * 1e12 / chip.dram.bytes_per_s
    low, high = min([*xs, ridge]) / 2, max([*xs, ridge]) * 2
    traces: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"roof: DRAM, then {summary.cores_used} core{'s' if summary.cores_used > 1 else ''}",
            "x": [low, ridge, high],
            "y": [low * chip.dram.bytes_per_s * 1e-12, peak, peak],
            "line": {"width": 2, "color": "#8f9bb3"},
            "hoverinfo": "skip",
        }
    ]
    for group, colour in BOUND_COLOURS.items():
        mine = [i for i, row in enumerate(rows) if row.bound_by == group]
        if mine:
            size = np.sqrt([rows[i].taken for i in mine])
            largest = max(row.taken for row in rows) ** 0.5
            text = [
                f"<b>{rows[i].name}</b><br>{rows[i].macs / 1e6:,.1f} MMAC in {rows[i].taken:,.0f} cycles,"
                f" {100 * rows[i].utilization:.1f} % of the arrays"
                for i in mine
            ]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": f"bound by {group}",
                    "x": [xs[i] for i in mine],
                    "y": [ys[i] for i in mine],
                    "text": text,
                    "hovertemplate": "%{text}<br>%{y:.3g} TOPS<extra></extra>",
                    "marker": {"color": colour, "opacity": 0.8, "size": (6 + 22 * size / largest).tolist()},
                }
            )
    x = _axis("operations per byte of weights and DRAM traffic", type="log")
    legend = {"orientation": "h", "y": 1.12}
    layout = _layout(460, xaxis=x, yaxis=_axis("TOPS", type="log"), legend=legend)
    return {"data": traces, "layout": layout}


def _scale(chip: Chip, cycles: int) -> tuple[float, str]:
    """Return (microseconds or milliseconds of a cycle, the unit)."""
    us = 1e6 / chip.clock_hz
    return (us, "µs") if us * cycles < 5000 else (us / 1000, "ms")


def _offsets(runs: Sequence[ChipRun]) -> list[int]:
    """Return the cycle at which each segment begins, one after the other."""
    starts = [0]
    for run in runs:
        starts.append(starts[-1] + run.frame.cycles)
    return starts


def _layer_names(run: ChipRun, timing: Timing) -> list[str]:
    names = [layer.name for layer in run.compiled.segment.layers]
    return [names[layer] if layer < len(names) else f"layer {layer}" for layer in timing.layer.tolist()]


def timeline(runs: Sequence[ChipRun]) -> Figure:
    """Return what every engine of every core does in a frame; colours tell layers apart."""
    chip = runs[0].compiled.chip
    offsets = _offsets(runs)
    scale, unit = _scale(chip, offsets[-1])
    lanes: dict[str, Figure] = {}
    for run, offset in zip(runs, offsets, strict=False):
        t = run.frame
        names = _layer_names(run, t)
        for row in range(len(t)):
            engine = ENGINE_NAMES[Engine(int(t.engine[row]))]
            lane = f"core {t.core[row]} {engine}"
            bars = lanes.setdefault(lane, {"base": [], "x": [], "y": [], "text": [], "color": []})
            begin, end = int(t.busy_begin[row]), int(t.busy_end[row])
            bars["base"].append(round((offset + begin) * scale, 4))
            bars["x"].append(round((end - begin) * scale, 4))
            bars["y"].append(lane)
            bars["color"].append(_LAYERS[int(t.layer[row]) % len(_LAYERS)])
            moved = f", {int(t.dram_bytes[row]):,} bytes" if t.dram_bytes[row] else ""
            bars["text"].append(
                f"<b>{names[row]}</b> (instruction {t.index[row]}){moved}<br>cycles {begin:,} to {end:,},"
                f" complete {int(t.complete[row]):,}<br>waited last for {_CAUSE_TEXT[Cause(int(t.cause[row]))]}"
            )
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": lane,
            **{key: bars[key] for key in ("base", "x", "y", "text")},
            "textposition": "none",
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"color": bars["color"], "line": {"width": 0}},
            "showlegend": False,
        }
        for lane, bars in sorted(lanes.items(), reverse=True)
    ]
    order = sorted(lanes, reverse=True)
    layout = _layout(
        110 + 34 * len(order),
        barmode="overlay",
        bargap=0.15,
        xaxis=_axis(f"time, {unit}", range=[0, round(offsets[-1] * scale, 4)]),
        yaxis=_axis("", categoryorder="array", categoryarray=order, fixedrange=True),
        dragmode="zoom",
    )
    return {"data": traces, "layout": layout}


def scratchpad_map(run: ChipRun, core: int = 0, offset: int = 0) -> Figure:
    """Return which bytes of a core's scratchpad are in use when, from the program's own list of buffers."""
    segment, t, chip = run.compiled.segment, run.frame, run.compiled.chip
    mine = np.flatnonzero(t.core == core)
    scale, unit = _scale(chip, t.cycles)
    start, complete = t.start[mine].tolist(), t.complete[mine].tolist()
    size = chip.core.scratchpad.bytes
    top = max((b.base + b.n_bytes for b in segment.buffers if b.core == core), default=size)
    per, unit_bytes = (1 << 20, "MiB") if size >= 1 << 22 else (1 << 10, "KiB")
    kinds: dict[str, Figure] = {}
    for buffer in segment.buffers:
        if buffer.core != core or not mine.size:
            continue
        first, last = min(buffer.first, len(mine) - 1), min(buffer.last, len(mine) - 1)
        resident = buffer.kind == "weights" and buffer.first <= 0
        begin = 0 if resident else start[first]
        end = t.cycles if resident and buffer.last >= len(mine) - 1 else max(complete[first : last + 1])
        bars = kinds.setdefault(buffer.kind, {"x": [], "width": [], "base": [], "y": [], "text": []})
        bars["x"].append(round((offset + (begin + end) / 2) * scale, 4))
        bars["width"].append(round((end - begin) * scale, 4))
        bars["base"].append(round(buffer.base / per, 5))
        bars["y"].append(round(buffer.n_bytes / per, 5))
        bars["text"].append(
            f"<b>{buffer.name}</b> ({buffer.kind})<br>{buffer.n_bytes:,} bytes from {buffer.base:#x}"
            f"<br>cycles {begin:,} to {end:,}"
        )
    traces = [
        {
            "type": "bar",
            "name": kind,
            **bars,
            "textposition": "none",
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {
                "color": _KINDS[kind],
                "opacity": 0.75,
                "line": {"width": 0.5, "color": "rgba(128,128,128,0.6)"},
            },
        }
        for kind, bars in sorted(kinds.items(), reverse=True)
    ]
    layout = _layout(
        420,
        barmode="overlay",
        xaxis=_axis(f"time, {unit}", range=[0, round(t.cycles * scale, 4)]),
        yaxis=_axis(f"address, {unit_bytes} (of {size / per:,.4g})", range=[0, min(1.04 * top, size) / per]),
        legend={"orientation": "h", "y": 1.1},
    )
    return {"data": traces, "layout": layout}


def compare(summaries: Sequence[Summary]) -> Figure:
    """Return what the cycles of several runs went to: one stacked bar of shares each, its latency above."""
    several = len({s.network for s in summaries}) > 1
    names = [
        f"{i + 1} {s.chip.name}<br>{s.network + ' ' if several else ''}({s.mode})" for i, s in enumerate(summaries)
    ]
    totals = [max(sum(s.lost.values()), 1) for s in summaries]
    traces = [
        {
            "type": "bar",
            "name": cause,
            "x": names,
            "y": [100 * s.lost[cause] / total for s, total in zip(summaries, totals, strict=True)],
            "customdata": [1e3 * s.lost[cause] / s.cores_used / s.chip.clock_hz for s in summaries],
            "marker": {"color": CAUSE_COLOURS[cause]},
            "hovertemplate": f"%{{x}}<br><b>{cause}</b>: %{{y:.1f}} %, %{{customdata:.4g}} ms<br>{meaning}"
            "<extra></extra>",
        }
        for cause, meaning in CAUSES.items()
        if any(s.lost[cause] for s in summaries)
    ]
    above = [
        {"x": name, "y": 100, "yanchor": "bottom", "showarrow": False, "text": f"<b>{1e3 * s.latency_s:.4g} ms</b>"}
        for name, s in zip(names, summaries, strict=True)
    ]
    layout = _layout(
        440,
        barmode="stack",
        bargap=0.45,
        xaxis=_axis("", type="category"),
        yaxis=_axis("share of cycles, %", range=[0, 108]),
        legend={"orientation": "h", "y": 1.12, "traceorder": "normal"},
        annotations=above,
    )
    return {"data": traces, "layout": layout}
