"""Drives compared: a table for the terminal, a page with the curve, rows for scripts."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from chanzi.drive.sweep import Edge, Outcome
from chanzi.report.costs import render_page
from chanzi.report.drive import chip_json, tally_json, used_per_s
from chanzi.report.figures import Figure
from chanzi.report.tables import rate, seconds

_COLOURS = ("#3f8efc", "#2a9d5c", "#d1495b", "#9d6bd6", "#f28e2b", "#20a4a4", "#9c755f", "#66707f")
_HEADS = (
    "arrived", "completion", "unsafe", "collisions", "off road", "m/s", "a frame", "latency", "frames/s", "dropped",
    "W",
)  # fmt: skip

_CAPTION = "Unsafe are the episodes in which something was hit or the road was left. Bars are 95 % intervals."


def shown(key: str, value: str | float) -> str:
    """Return a value of an axis as people write it."""
    if isinstance(value, str):
        return value
    if key.endswith("_hz"):
        for limit, unit in ((1e9, "GHz"), (1e6, "MHz"), (1e3, "kHz")):
            if value >= limit:
                return f"{value / limit:.4g} {unit}"
    return f"{value:.4g}"


def label(at: Sequence[tuple[str, str | float]]) -> str:
    """Return what sets a drive apart as text."""
    parts = [
        value if key in ("chip", "backend") and isinstance(value, str) else f"{key} {shown(key, value)}"
        for key, value in at
    ]
    return ", ".join(parts)


def _cells(one: Outcome) -> list[str]:
    t, figures = one.total, one.figures
    watts = None if figures is None else figures.watts(used_per_s(t))
    frames = sum(t.frames.values())
    chip_s = figures.chip_s if figures is not None else one.variant.drive.chip_s or 0.0
    return [
        f"{t.arrived.value:.0%}",
        f"{t.completion.value:.1%}",
        f"{one.unsafe} of {t.episodes}",
        f"{t.crashes.value:.3f}",
        f"{t.off_road.value:.1%}",
        f"{t.speed_m_s.value:.2f}",
        seconds(chip_s),
        seconds(t.latency.mean_s) if t.latency.mean_s == t.latency.mean_s else "",
        rate(one.frames_per_s),
        f"{t.frames['dropped'] / frames:.0%}" if frames else "",
        "" if watts is None else f"{watts:.3g}",
    ]


def sweep_table(title: str, found: Sequence[Outcome]) -> Table:
    """Return a row for each variant."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    keys = [key for key, _ in found[0].variant.at] if found else []
    for name in (*keys, *_HEADS):
        table.add_column(name, justify="left" if name in ("backend", "chip") else "right")
    for one in found:
        table.add_row(*(shown(key, value) for key, value in one.variant.at), *_cells(one))
    return table


def edge_lines(found: Sequence[Edge], axis: str) -> list[str]:
    """Return where driving ends as sentences."""
    lines = []
    for edge in found:
        where = f"{label(edge.fixed)}: " if edge.fixed else ""
        if edge.good is None:
            lines.append(f"{where}nothing drives")
            continue
        last, crash = edge.good, edge.unsafe
        value = last.value(axis)
        what = f"{axis} {shown(axis, value)}" if value is not None else label(last.variant.at)
        text = f"{where}as good as the fastest until {what}, {seconds(last.total.latency.mean_s)} light to steering"
        if crash is not None:
            hit = crash.value(axis)
            text += (
                f"; {crash.unsafe} of {crash.total.episodes} unsafe at {shown(axis, hit) if hit is not None else ''}"
            )
        lines.append(text)
    return lines


def sweep_json(found: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the variants as JSON takes them."""
    return [
        {
            "at": dict(one.variant.at),
            "unsafe": one.unsafe,
            "frames_per_s": one.frames_per_s,
            "total": tally_json(one.total),
            "chip": None if one.figures is None else chip_json(one.figures, one.total),
        }
        for one in found
    ]


def curve(found: Sequence[Outcome], axis: str) -> Figure:
    """Return route completion and the share of unsafe episodes over the time from light to steering, in lines."""
    groups: dict[tuple[tuple[str, str | float], ...], list[Outcome]] = {}
    for one in found:
        fixed = tuple((key, value) for key, value in one.variant.at if key != axis)
        groups.setdefault(fixed, []).append(one)
    traces: list[Figure] = []
    for number, (fixed, group) in enumerate(groups.items()):
        drawn = sorted((one for one in group if one.total.latency.mean_s > 0), key=lambda one: one.total.latency.mean_s)
        colour, name = _COLOURS[number % len(_COLOURS)], label(fixed) or "all"
        common: Figure = {
            "type": "scatter",
            "mode": "lines+markers",
            "x": [1e3 * one.total.latency.mean_s for one in drawn],
            "text": [label(one.variant.at) for one in drawn],
            "legendgroup": name,
            "line": {"color": colour},
        }
        done = [one.total.completion for one in drawn]
        unsafe = [one.unsafe / one.total.episodes for one in drawn]
        traces += [
            {
                **common,
                "name": f"{name}: completion",
                "y": [i.value for i in done],
                "error_y": _between(done),
                "hovertemplate": "<b>%{text}</b><br>%{x:.1f} ms<br>%{y:.1%} of the route<extra></extra>",
            },
            {
                **common,
                "name": f"{name}: unsafe",
                "y": unsafe,
                "line": {"color": colour, "dash": "dot"},
                "marker": {"symbol": "x"},
                "hovertemplate": "<b>%{text}</b><br>%{x:.1f} ms<br>%{y:.1%} unsafe<extra></extra>",
            },
        ]
    layout = {
        "height": 520,
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "hovermode": "closest",
        "xaxis": {"title": {"text": "light to steering, ms"}, "type": "log", "automargin": True},
        "yaxis": {"title": {"text": "share"}, "tickformat": ".0%", "range": [-0.03, 1.05], "automargin": True},
        "legend": {"orientation": "h", "y": 1.12},
    }
    return {"data": traces, "layout": layout}


def _between(found: Sequence[Any]) -> Figure:
    return {
        "type": "data",
        "symmetric": False,
        "array": [i.high - i.value for i in found],
        "arrayminus": [i.value - i.low for i in found],
        "thickness": 1,
    }


def write_sweep_page(path: Path, title: str, found: Sequence[Outcome], axis: str, lines: Sequence[str]) -> None:
    """Write a page with the curve and the table; the file is put in its place when it is whole."""
    keys = [key for key, _ in found[0].variant.at]
    head = "".join(f"<th>{escape(name)}</th>" for name in (*keys, *_HEADS))
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{escape(text)}</td>" for text in (*(shown(k, v) for k, v in one.variant.at), *_cells(one)))
        + "</tr>"
        for one in found
    )
    said = "".join(f"<p>{escape(line)}</p>" for line in lines)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    sections = (
        ("Driving over latency", _CAPTION, f'<div class="panel"><div id="curve"></div></div>{said}'),
        ("Drives", "", table),
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(render_page(title, sections, {"curve": curve(found, axis)}), encoding="utf-8")
    temporary.replace(path)
