"""Predicted against published: tables for the terminal and the docs, a plot for each."""

import math
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from chanzi.cost.cases import Case
from chanzi.cost.validate import Outcome, Score, Validation
from chanzi.report.costs import render_page
from chanzi.report.figures import Figure

_COLOURS = {"identity": "#8f9bb3", "calibrate": "#4e79a7", "test": "#d1495b"}
_NARROWEST, _WIDEST = 1 / 3, 3.0


def figure_of(value: float) -> str:
    """Return a number with four digits."""
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def expected_of(case: Case) -> str:
    """Return what was published."""
    if isinstance(case.expected, list):
        return " to ".join(figure_of(e) for e in case.expected)
    return figure_of(case.expected)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f} %"


def _row(o: Outcome) -> tuple[str, ...]:
    case = o.case
    said = figure_of(o.prediction.value) if o.prediction else "no model"
    tolerance = f"{case.tolerance_percent:g} %"
    return (
        case.id,
        case.chip,
        case.predict,
        expected_of(case),
        said,
        case.unit,
        _percent(o.error),
        tolerance,
        "ok" if o.ok else "outside",
        case.grade,
        case.split,
        _percent(o.constant_error),
        _percent(o.roofline_error),
    )


_HEADS = (
    "case",
    "chip",
    "what",
    "published",
    "predicted",
    "unit",
    "error",
    "tolerance",
    "",
    "grade",
    "split",
    "constant",
    "roofline",
)


def cases_table(found: Validation) -> Table:
    """Return every case."""
    table = Table(title="Predicted against published", box=box.SIMPLE, title_justify="left", title_style="bold")
    for head in _HEADS:
        numeric = head in ("published", "predicted", "error", "tolerance", "constant", "roofline")
        table.add_column(head, justify="right" if numeric else "left", overflow="fold")
    for o in found.outcomes:
        table.add_row(*_row(o), style="" if o.ok else "red")
    return table


def _score_row(s: Score) -> tuple[str, ...]:
    speed = f"{100 * s.speed_error:.1f} %" if s.speed_cases else ""
    constant = f"{100 * s.constant_error:.1f} %" if s.speed_cases else ""
    roof = f"{100 * s.roofline_error:.1f} %" if s.speed_cases else ""
    inside = f"{s.inside} of {s.cases} ({100 * s.share:.0f} %)"
    middle = "" if s.median_error is None else f"{100 * s.median_error:.2f} %"
    return s.split, inside if s.cases else "none", middle, str(s.speed_cases or ""), speed, constant, roof


_SCORE_HEADS = (
    "split",
    "inside tolerance",
    "median error",
    "speed cases",
    "our median there",
    "constant utilization",
    "plain roofline",
)


def scores_table(found: Validation) -> Table:
    """Return the scores of the splits."""
    table = Table(title="Scores", box=box.SIMPLE, title_justify="left", title_style="bold")
    for i, head in enumerate(_SCORE_HEADS):
        table.add_column(head, justify="left" if i == 0 else "right")
    for s in found.scores:
        table.add_row(*_score_row(s))
    return table


def unanswered(found: Validation) -> list[str]:
    """Return a line for each case that no model answers, with the reason."""
    return [f"{o.case.id}: {o.why}" for o in found.outcomes if o.prediction is None]


def to_dict(found: Validation) -> dict[str, Any]:
    """Return everything for scripts."""
    return {
        "identities_hold": found.identities_hold,
        "constant_utilization": found.utilization,
        "scores": [
            {
                "split": s.split,
                "cases": s.cases,
                "inside": s.inside,
                "share": s.share,
                "median_error": s.median_error,
                "speed_cases": s.speed_cases,
                "speed_error": s.speed_error,
                "constant_error": s.constant_error,
                "roofline_error": s.roofline_error,
            }
            for s in found.scores
        ],
        "cases": [
            {
                "id": o.case.id,
                "chip": o.case.chip,
                "predict": o.case.predict,
                "expected": o.case.expected,
                "unit": o.case.unit,
                "predicted": o.prediction.value if o.prediction else None,
                "model": o.prediction.model if o.prediction else None,
                "error": o.error,
                "tolerance_percent": o.case.tolerance_percent,
                "ok": o.ok,
                "why": o.why,
                "grade": o.case.grade,
                "split": o.case.split,
                "kind": o.case.kind,
                "source": o.case.source,
                "constant_error": o.constant_error,
                "roofline_error": o.roofline_error,
            }
            for o in found.outcomes
        ],
    }


def _middle(case: Case) -> float:
    ends = case.expected if isinstance(case.expected, list) else [case.expected]
    return math.sqrt(ends[0] * ends[-1])


def _drawn(found: Validation) -> list[Outcome]:
    return [o for o in found.outcomes if o.prediction and o.case.split != "identity"]


def ratio_figure(found: Validation) -> Figure:
    """Return predicted / published of every case that is no identity, coloured by split."""
    traces = []
    for split in ("calibrate", "test"):
        rows = [o for o in _drawn(found) if o.case.split == split]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": split,
                "x": [o.prediction.value / _middle(o.case) for o in rows if o.prediction],
                "y": [o.case.id for o in rows],
                "marker": {"color": _COLOURS[split], "size": 9, "symbol": ["circle" if o.ok else "x" for o in rows]},
                "error_x": {
                    "type": "data",
                    "array": [o.case.tolerance_percent / 100 for o in rows],
                    "thickness": 1,
                    "width": 0,
                    "color": "#b8bec9",
                },
                "hovertemplate": "<b>%{y}</b>: %{x:.3f} of what was published<extra></extra>",
            }
        )
    shapes = [
        {"type": "line", "x0": 1, "x1": 1, "yref": "paper", "y0": 0, "y1": 1, "line": {"width": 1, "dash": "dot"}}
    ]
    layout = {
        "height": 140 + 17 * len(_drawn(found)),
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "xaxis": {"title": {"text": "predicted / published"}, "type": "log", "zeroline": False},
        "yaxis": {"automargin": True, "type": "category", "autorange": "reversed"},
        "legend": {"orientation": "h", "y": 1.03},
        "shapes": shapes,
    }
    return {"data": traces, "layout": layout}


def ratio_svg(found: Validation) -> str:
    """Return the same plot as an SVG that a page of the docs shows without a script."""
    rows = _drawn(found)
    left, width, step, top = 190, 520, 15, 40
    height = top + step * len(rows) + 40

    def x(ratio: float) -> float:
        inside = min(max(ratio, _NARROWEST), _WIDEST)
        return left + width * math.log(inside / _NARROWEST) / math.log(_WIDEST / _NARROWEST)

    view = f'viewBox="0 0 {left + width + 30} {height}" font-family="sans-serif" font-size="10"'
    key = "predicted / published; bar: tolerance; blue: calibrate, red: test, hollow: outside"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {view}>',
        f'<rect width="100%" height="{height}" fill="#ffffff"/>',
        f'<text x="{left}" y="14" fill="#333">{key}</text>',
    ]
    for mark in (1 / 3, 0.5, 0.8, 1.0, 1.25, 2.0, 3.0):
        colour = "#555" if mark == 1.0 else "#e3e6eb"
        parts.append(
            f'<line x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{top - 8}" y2="{height - 30}" stroke="{colour}"/>'
        )
        parts.append(f'<text x="{x(mark):.1f}" y="{height - 16}" text-anchor="middle" fill="#333">{mark:.2f}</text>')
    for i, o in enumerate(rows):
        y = top + step * i
        ratio = (o.prediction.value if o.prediction else 1.0) / _middle(o.case)
        share = o.case.tolerance_percent / 100
        colour = _COLOURS[o.case.split]
        parts.append(f'<text x="{left - 8}" y="{y + 3}" text-anchor="end" fill="#333">{escape(o.case.id)}</text>')
        parts.append(
            f'<line x1="{x(max(1 - share, 0.01)):.1f}" x2="{x(1 + share):.1f}" y1="{y}" y2="{y}" '
            f'stroke="{colour}" stroke-opacity="0.3" stroke-width="5"/>'
        )
        fill = colour if o.ok else "#ffffff"
        parts.append(f'<circle cx="{x(ratio):.1f}" cy="{y}" r="4" fill="{fill}" stroke="{colour}" stroke-width="1.5"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def markdown(found: Validation, words: str, plot: str) -> str:
    """Return the docs' page: `words` first, then scores, the plot's file, and every case."""
    outside = [o for o in found.outcomes if not o.ok]
    rows = [(o.case.id, _percent(o.error) or "no model", o.why or o.case.basis) for o in outside]
    lines = ["# Predicted against published", "", words.strip(), "", "## Scores", ""]
    lines += _markdown_table(_SCORE_HEADS, [_score_row(s) for s in found.scores])
    lines += ["", f"The constant utilization is {found.utilization:.3f}, the median of the `calibrate` cases.", ""]
    lines += ["## Outside their tolerance", ""]
    lines += _markdown_table(("case", "error", "basis"), rows) if rows else ["None."]
    lines += ["", f"![predicted over published]({plot})", "", "## Every case", ""]
    lines += _markdown_table([head or "inside" for head in _HEADS], [_row(o) for o in found.outcomes])
    return "\n".join(lines) + "\n"


def write_docs(path: Path, found: Validation, words: str) -> Path:
    """Write the page and, beside it, its plot; return the plot's path."""
    plot = path.with_suffix(".svg")
    for target, text in ((plot, ratio_svg(found)), (path, markdown(found, words, plot.name))):
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    return plot


def write_page(path: Path, found: Validation) -> None:
    """Write a page with the plot and all cases."""
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _row(o)) + "</tr>" for o in found.outcomes)
    scores = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in _score_row(s)) + "</tr>" for s in found.scores)

    def table(heads: Sequence[str], body: str) -> str:
        head = "".join(f"<th>{escape(h)}</th>" for h in heads)
        return f"<div class='panel'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"

    plot = '<div class="panel"><div id="ratio"></div></div>'
    baselines = "Cases inside the tolerance each states; baselines on the same cases of speed."
    sections = [
        ("Scores", baselines, table(_SCORE_HEADS, scores)),
        ("Predicted over published", "Crosses are outside their tolerance.", plot),
        ("Every case", "Identity cases follow from definitions.", table(_HEADS, rows)),
    ]
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(
        render_page("Predicted against published", sections, {"ratio": ratio_figure(found)}), encoding="utf-8"
    )
    temporary.replace(path)
