"""What a chip costs: tables for the terminal, figures and a page for the browser."""

import json
import os
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from chanzi.cost.dollars import Band, Bill
from chanzi.report.figures import Figure
from chanzi.report.html import plotly_js

_COLOURS = (
    "#4e79a7",
    "#f28e2b",
    "#59a14f",
    "#b07aa1",
    "#edc948",
    "#76b7b2",
    "#e15759",
    "#9c755f",
    "#ff9da7",
    "#86bcb6",
)


def usd(value: float) -> str:
    """Return an amount of dollars as people write it."""
    for limit, prefix in ((1e9, "B"), (1e6, "M")):
        if abs(value) >= limit:
            return f"${value / limit:,.3g}{prefix}"
    return f"${value:,.0f}" if abs(value) >= 100 else f"${value:,.2f}"


def band(value: Band, show: Any = usd) -> list[str]:
    """Return the cells of a band: best guess, 10 %, 90 %."""
    return [show(value.value), show(value.p10), show(value.p90)]


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i == 0 else "right")
    return table


def area_table(bill: Bill) -> Table:
    """Return area by block."""
    table = _table(f"Area of {bill.chip} at {bill.node_nm:g} nm, mm²", "block", "copies", "all", "low", "high", "share")
    die = bill.area.die.value
    rows = [(b.name, str(b.count), b.mm2) for b in bill.area.blocks]
    rows += [("white space", "", bill.area.white), ("pads and seal", "", bill.area.ring)]
    for name, count, mm2 in rows:
        cells = (f"{mm2.value:.3f}", f"{mm2.low:.3f}", f"{mm2.high:.3f}", f"{100 * mm2.value / die:.1f} %")
        table.add_row(name, count, *cells)
    table.add_section()
    table.add_row("die", "", f"{die:.2f}", f"{bill.die_mm2.p10:.2f}", f"{bill.die_mm2.p90:.2f}", "100 %")
    return table


def unit_table(bill: Bill) -> Table:
    """Return what one chip costs at the volume."""
    title = f"One chip at a volume of {bill.terms.volume:,.0f}"
    table = _table(title, "item", "best guess", "10 %", "90 %")
    for name, value in bill.unit_items.items():
        table.add_row(name, *band(value))
    table.add_section()
    table.add_row("unit cost", *band(bill.unit_usd))
    return table


def wafer_table(bill: Bill) -> Table:
    """Return dies, yield and the cost of a good die."""
    table = _table("Wafer", "", "best guess", "10 %", "90 %")
    table.add_row("gross dies", *band(bill.gross_dies, lambda v: f"{v:.1f}"))
    table.add_row(f"yield ({bill.terms.yield_model})", *band(bill.yield_, lambda v: f"{100 * v:.1f} %"))
    table.add_row("good die", *band(bill.good_die_usd))
    return table


def nre_table(bill: Bill) -> Table:
    """Return what the design costs once."""
    table = _table("Once (NRE)", "item", "best guess", "10 %", "90 %")
    for name, value in bill.nre_items.items():
        table.add_row(name, *band(value))
    table.add_section()
    table.add_row("all", *band(bill.nre_usd))
    return table


def assumptions_table(bill: Bill) -> Table:
    """Return every figure the bill stands on, with its range and source."""
    table = _table(
        "Assumptions (change one with --set name=value)", "name", "value", "low", "high", "unit", "how, source"
    )
    for name, figure in bill.assumptions.items():
        low, high = figure.bounds
        cells = (f"{figure.value:,.6g}", f"{low:,.6g}", f"{high:,.6g}", figure.unit, f"{figure.how}, {figure.source}")
        table.add_row(name, *cells)
    return table


def to_dict(bill: Bill) -> dict[str, Any]:
    """Return the bill for scripts."""

    def one(value: Band) -> dict[str, float]:
        return {"value": value.value, "p10": value.p10, "p50": value.p50, "p90": value.p90}

    return {
        "chip": bill.chip,
        "node_nm": bill.node_nm,
        "volume": bill.terms.volume,
        "yield_model": bill.terms.yield_model,
        "automotive": bill.terms.automotive,
        "area_mm2": {
            b.name: {"count": b.count, "value": b.mm2.value, "low": b.mm2.low, "high": b.mm2.high}
            for b in bill.area.blocks
        },
        "die_mm2": one(bill.die_mm2),
        "gross_dies": one(bill.gross_dies),
        "yield": one(bill.yield_),
        "good_die_usd": one(bill.good_die_usd),
        "unit_items_usd": {name: one(value) for name, value in bill.unit_items.items()},
        "unit_usd": one(bill.unit_usd),
        "nre_items_usd": {name: one(value) for name, value in bill.nre_items.items()},
        "nre_usd": one(bill.nre_usd),
        "curve": [{"volume": volume, "unit_usd": one(value)} for volume, value in bill.curve],
        "assumptions": {
            name: {
                "value": f.value,
                "low": f.bounds[0],
                "high": f.bounds[1],
                "unit": f.unit,
                "source": f.source,
                "how": f.how,
                "grade": f.grade,
            }
            for name, f in bill.assumptions.items()
        },
    }


def _layout(height: int, **more: Any) -> Figure:
    return {"height": height, "margin": {"l": 60, "r": 20, "t": 20, "b": 50}, "hovermode": "closest", **more}


def _axis(title: str, **more: Any) -> Figure:
    return {"title": {"text": title}, "zeroline": False, "automargin": True, **more}


def area_figure(bill: Bill) -> Figure:
    """Return a bar for each block, with its range."""
    rows = sorted([(b.name, b.mm2) for b in bill.area.blocks], key=lambda row: row[1].value)
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [name for name, _ in rows],
        "x": [mm2.value for _, mm2 in rows],
        "marker": {"color": _COLOURS[0]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [mm2.high - mm2.value for _, mm2 in rows],
            "arrayminus": [mm2.value - mm2.low for _, mm2 in rows],
            "thickness": 1,
        },
        "hovertemplate": "<b>%{y}</b>: %{x:.3f} mm²<extra></extra>",
    }
    x = _axis("mm², all copies", rangemode="tozero")
    return {"data": [trace], "layout": _layout(120 + 26 * len(rows), xaxis=x, yaxis=_axis(""), showlegend=False)}


def items_figure(items: Mapping[str, Band], title: str) -> Figure:
    """Return a bar for each item, with its 10 to 90 % band."""
    rows = sorted(items.items(), key=lambda row: row[1].value)
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [name for name, _ in rows],
        "x": [value.value for _, value in rows],
        "marker": {"color": _COLOURS[1]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(v.p90 - v.value, 0) for _, v in rows],
            "arrayminus": [max(v.value - v.p10, 0) for _, v in rows],
            "thickness": 1,
        },
        "hovertemplate": "<b>%{y}</b>: %{x:,.4g} USD<extra></extra>",
    }
    x = _axis(title, rangemode="tozero")
    return {"data": [trace], "layout": _layout(110 + 28 * len(rows), xaxis=x, yaxis=_axis(""), showlegend=False)}


def curve_figure(bill: Bill) -> Figure:
    """Return unit cost against volume with its band."""
    volumes = [volume for volume, _ in bill.curve]
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False, "type": "scatter"}
    traces: list[Figure] = [
        {**edge, "x": volumes, "y": [b.p90 for _, b in bill.curve]},
        {
            **edge,
            "x": volumes,
            "y": [b.p10 for _, b in bill.curve],
            "fill": "tonexty",
            "fillcolor": "rgba(78,121,167,0.25)",
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "unit cost",
            "x": volumes,
            "y": [b.value for _, b in bill.curve],
            "line": {"color": _COLOURS[0]},
            "hovertemplate": "%{x:,} chips: %{y:,.2f} USD<extra></extra>",
        },
    ]
    x, y = _axis("chips over the product's life", type="log"), _axis("USD a chip", type="log")
    return {"data": traces, "layout": _layout(380, xaxis=x, yaxis=y, showlegend=False)}


def _html_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='panel'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def render_page(title: str, sections: Sequence[tuple[str, str, str]], drawn: Mapping[str, Figure]) -> str:
    """Return a page of sections (heading, caption, HTML); a section's ``<div id=name>`` is drawn from `drawn`."""
    here = files("chanzi.report")
    body = "".join(f'<h2>{escape(h)}</h2><p class="caption">{escape(c)}</p>{html}' for h, c, html in sections)
    data = json.dumps(drawn, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{(here / 'page.css').read_text(encoding='utf-8')}</style></head><body>"
        f'<header><h1>{escape(title)}</h1><button id="theme">Dark</button></header><main>{body}</main>'
        f'<script type="application/json" id="figures">{data}</script>'
        f'<script type="application/json" id="maps">{{}}</script><script>{plotly_js()}</script>'
        f"<script>{(here / 'page.js').read_text(encoding='utf-8')}</script></body></html>\n"
    )


def _div(name: str) -> str:
    return f'<div class="panel"><div id="{name}"></div></div>'


def write_page(path: Path, bill: Bill) -> None:
    """Write the page of a bill; beside its place first, then renamed."""
    drawn = {
        "area": area_figure(bill),
        "curve": curve_figure(bill),
        "unit": items_figure(bill.unit_items, "USD a chip"),
        "nre": items_figure(bill.nre_items, "USD, once"),
    }
    at = f"{bill.chip} at {bill.node_nm:g} nm"
    die = f"die {bill.die_mm2.value:.1f} mm² ({bill.die_mm2.p10:.1f} to {bill.die_mm2.p90:.1f})"
    wafer = (
        f"{die}; {bill.gross_dies.value:.0f} dies a wafer, {100 * bill.yield_.value:.0f} % good, "
        f"{usd(bill.good_die_usd.value)} a good die"
    )
    spread = f"best guess {usd(bill.unit_usd.value)}, 10 to 90 %: {usd(bill.unit_usd.p10)} to {usd(bill.unit_usd.p90)}"
    rows = [
        (name, f"{f.value:,.6g}", f"{f.bounds[0]:,.6g} to {f.bounds[1]:,.6g}", f.unit, f.how, f.source, f.grade or "")
        for name, f in bill.assumptions.items()
    ]
    heads = ("assumption", "value", "range", "unit", "how", "source", "grade")
    sections = [
        ("Unit cost against volume", f"At {bill.terms.volume:,.0f} chips: {spread}.", _div("curve")),
        ("One chip", "What a chip costs at that volume, by item.", _div("unit")),
        ("Area", wafer + ".", _div("area")),
        ("Once", f"{usd(bill.nre_usd.value)} before the first chip is sold.", _div("nre")),
        ("Assumptions", "Every figure may be overridden; grade A is measured, D a guess.", _html_table(heads, rows)),
    ]
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(render_page(f"What {at} costs", sections, drawn), encoding="utf-8")
    temporary.replace(path)
