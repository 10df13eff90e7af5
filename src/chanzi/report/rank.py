"""A ranking: a table for the terminal, a page with plots, rows for scripts."""

import csv
import io
import math
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from chanzi.market.rank import Entry, Mode, Ranking, measured_shares
from chanzi.report.costs import render_page
from chanzi.report.figures import Figure

_COLOURS = {"simulated": "#2a9d5c", "measured": "#4e79a7", "upper bound": "#c9b458"}
_SIDES = ("top center", "bottom center", "middle left", "middle right")
_HEADS = (
    "chip", "paper TOPS", "dense TOPS", "frames/s", "known", "likely", "of peak", "W", "per W", "mm²", "per mm²", "$",
    "per $", "note",
)  # fmt: skip
_TEXT = ("chip", "known", "note")


def short(value: float | None) -> str:
    """Return a number as people write it; nothing for what is not known."""
    if value is None:
        return ""
    for limit, suffix in ((1e9, "G"), (1e6, "M")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {suffix}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cells(e: Entry, name: str) -> list[str]:
    bound = e.known == "upper bound"
    likely = f"{short(e.likely[0])} to {short(e.likely[1])}" if e.likely else ""

    def at_most(value: float | None) -> str:
        return f"≤ {short(value)}" if bound and value is not None else short(value)

    return [
        name, short(e.paper_tops), short(e.peak_tops), at_most(e.fps), e.known, likely,
        "" if bound else f"{100 * e.share:.3g} %",
        short(e.watts), at_most(e.per_watt), short(e.mm2), at_most(e.per_mm2), short(e.usd), at_most(e.per_dollar),
        e.note,
    ]  # fmt: skip


def rank_table(found: Ranking) -> Table:
    """Return the ranking of one network."""
    work = found.work
    title = (
        f"{work.name}: {work.macs / 1e9:.4g} G multiply-accumulates and {work.weight_bytes / 1e6:.3g} MB of weights "
        f"({found.mode})"
    )
    table = Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
    shown = [i for i, head in enumerate(_HEADS) if head != "note"]
    for i in shown:
        text = _HEADS[i] in _TEXT
        table.add_column(_HEADS[i], justify="left" if text else "right", no_wrap=_HEADS[i] == "chip")
    for e in found.entries:
        cells = _cells(e, e.label)
        table.add_row(*(cells[i] for i in shown), style="dim" if e.known == "upper bound" else "")
    table.caption = _notes(found)
    table.caption_justify = "left"
    return table


def to_dict(found: Ranking, sentences: Sequence[str]) -> dict[str, Any]:
    """Return a ranking for scripts."""
    return {
        "network": found.work.name,
        "macs": found.work.macs,
        "weight_bytes": found.work.weight_bytes,
        "frame_bytes": found.work.frame_bytes,
        "mode": found.mode,
        "answers": list(sentences),
        "chips": [row(e) for e in found.entries],
    }


def row(e: Entry) -> dict[str, Any]:
    """Return an entry as plain values."""
    low, high = e.likely or (None, None)
    return {
        "chip": e.chip,
        "key": e.key,
        "paper_tops": e.paper_tops,
        "peak_tops": e.peak_tops,
        "frames_per_s": e.fps,
        "known": e.known,
        "likely_low": low,
        "likely_high": high,
        "share_of_peak": e.share,
        "watts": e.watts,
        "frames_per_joule": e.per_watt,
        "die_mm2": e.mm2,
        "frames_per_s_per_mm2": e.per_mm2,
        "usd": e.usd,
        "frames_per_s_per_usd": e.per_dollar,
        "note": e.note,
    }


def to_csv(found: Sequence[Ranking]) -> str:
    """Return all rankings as comma-separated values with a head."""
    rows = [{"network": r.work.name, "mode": r.mode, **row(e)} for r in found for e in r.entries]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def paper_figure(found: Ranking) -> Figure:
    """Return frames a second over TOPS on paper: a mark for each chip, a line where all of its TOPS would arrive."""
    traces: list[Figure] = []
    entries = [e for e in found.entries if e.fps > 0]
    papers = [e.paper_tops for e in entries]
    places = {e.label: i for i, e in enumerate(sorted(entries, key=lambda e: (e.paper_tops, e.fps)))}
    ends = [min(papers) / 1.5, max(papers) * 1.5]
    for share, name in ((1.0, "all TOPS arrive"), (0.1, "a tenth arrives")):
        line = {"type": "scatter", "mode": "lines", "x": ends, "hoverinfo": "skip", "name": name}
        rates = [share * 1e12 * t / (2 * found.work.macs) for t in ends]
        traces.append({**line, "y": rates, "line": {"dash": "dot", "width": 1, "color": "#8f9bb3"}})
    for known, colour in _COLOURS.items():
        mine = [e for e in entries if e.known == known]
        if not mine:
            continue
        trace: Figure = {
            "type": "scatter",
            "mode": "markers+text",
            "name": known,
            "x": [e.paper_tops for e in mine],
            "y": [e.fps for e in mine],
            "text": [e.label for e in mine],
            # neighbours on the axis write to different sides
            "textposition": [_SIDES[places[e.label] % len(_SIDES)] for e in mine],
            "textfont": {"size": 10},
            "marker": {
                "color": colour,
                "size": 10,
                "symbol": "triangle-down-open" if known == "upper bound" else "circle",
            },
            "hovertemplate": "<b>%{text}</b><br>%{x:,.4g} TOPS on paper<br>%{y:,.4g} frames/s<extra>"
            + known
            + "</extra>",
        }
        if known == "upper bound":
            trace["error_y"] = {
                "type": "data",
                "symmetric": False,
                "array": [0.0 for _ in mine],
                "arrayminus": [max(e.fps - (e.likely or (e.fps, 0))[0], 0.0) for e in mine],
                "thickness": 1,
                "width": 0,
            }
        traces.append(trace)
    layout = {
        "height": 560,
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "hovermode": "closest",
        "xaxis": {"title": {"text": "TOPS on paper"}, "type": "log", "automargin": True},
        "yaxis": {"title": {"text": f"frames/s of {found.work.name}"}, "type": "log", "automargin": True},
        "legend": {"orientation": "h", "y": 1.06},
    }
    return {"data": traces, "layout": layout}


def bars_figure(found: Ranking, measure: str, title: str) -> Figure:
    """Return a bar for each chip of a measure such as 'per_watt'."""
    known = [(e, v) for e in found.entries if (v := getattr(e, measure)) is not None and v > 0]
    known.sort(key=lambda pair: pair[1])
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [e.label for e, _ in known],
        "x": [v for _, v in known],
        "text": [("≤ " if e.known == "upper bound" else "") + short(v) for e, v in known],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {
            "color": [_COLOURS[e.known] for e, _ in known],
            "pattern": {"shape": ["/" if e.known == "upper bound" else "" for e, _ in known]},
        },
        "customdata": [e.known for e, _ in known],
        "hovertemplate": "<b>%{y}</b>: %{x:,.4g} (%{customdata})<extra></extra>",
    }
    floor = math.floor(math.log10(known[0][1])) if known else 0
    top = math.log10(known[-1][1]) + 0.6 if known else 1
    layout = {
        "height": 140 + 24 * len(known),
        "margin": {"l": 60, "r": 30, "t": 36, "b": 50},
        "xaxis": {"title": {"text": title}, "type": "log", "range": [floor, top], "automargin": True},
        "yaxis": {"automargin": True},
        "showlegend": False,
    }
    return {"data": [trace], "layout": layout}


def _html_table(found: Ranking) -> str:
    shown = [i for i, head in enumerate(_HEADS) if head != "note"]
    # one line a row: the text columns are short
    head = "".join(f'<th class="{"n" if i else ""}">{escape(_HEADS[i])}</th>' for i in shown)
    body = ""
    for e in found.entries:
        sort = (
            e.label, e.paper_tops, e.peak_tops, e.fps, e.known, (e.likely or (0, 0))[1], e.share, e.watts, e.per_watt,
            e.mm2, e.per_mm2, e.usd, e.per_dollar,
        )  # fmt: skip
        cells = _cells(e, e.label)
        keys = [escape(str(0 if sort[i] is None else sort[i])) for i in shown]
        row = [
            f'<td class="{"n" if i else ""}" data-value="{key}">{escape(cells[i])}</td>'
            for i, key in zip(shown, keys, strict=True)
        ]
        body += f"<tr>{''.join(row)}</tr>"
    table = f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="panel scroll">{table}</div><p class="caption">{escape(_notes(found))}.</p>'


def _notes(found: Ranking) -> str:
    return "; ".join(f"{e.label}: {e.note}" for e in found.entries if e.note)


def legend(mode: Mode) -> str:
    """Return what the words of the columns mean."""
    low, high = measured_shares(mode)
    return (
        "Simulated: our chips on the timing simulator, accelerators with their DRAM and nothing else on the die (no "
        "CPUs, no image pipeline), watts and mm² by this project's model, dollars a unit cost at a million chips. "
        "Measured: MLPerf. Upper bound: the roofline, which no program can pass; 'likely' is the "
        f"range it would fall in at {100 * low:.2g} to {100 * high:.2g} % of it, the shares that MLPerf's ResNet-50 "
        "reached. Watts of other chips are those published for their fastest mode, their dollars list or street "
        "prices of modules; a price that is empty means that the chip is not sold."
    )


def write_page(path: Path, found: Sequence[Ranking], sentences: Sequence[Sequence[str]]) -> None:
    """Write the page of rankings; beside its place first, then renamed."""
    drawn: dict[str, Figure] = {}
    sections: list[tuple[str, str, str]] = []
    for i, (r, said) in enumerate(zip(found, sentences, strict=True)):
        parts = {
            f"paper{i}": paper_figure(r),
            f"watt{i}": bars_figure(r, "per_watt", "frames a joule"),
            f"mm2{i}": bars_figure(r, "per_mm2", "frames/s a mm² of die"),
            f"dollar{i}": bars_figure(r, "per_dollar", "frames/s a dollar"),
        }
        drawn |= parts
        answers = "".join(f"<p>{escape(s)}</p>" for s in said)
        paper, watt, mm2, dollar = (f'<div class="panel"><div id="{name}"></div></div>' for name in parts)
        html = f"{answers}{paper}{_html_table(r)}{watt}<div class='two'>{mm2}{dollar}</div>"
        sections.append((f"{r.work.name} ({r.mode})", legend(r.mode), html))
    title = "TOPS on paper, frames delivered: " + ", ".join(r.work.name for r in found)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(render_page(title, sections, drawn), encoding="utf-8")
    temporary.replace(path)
