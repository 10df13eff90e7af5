"""report.html: one file that holds its figures, its tables and the code that draws them; it needs no network."""

import json
import os
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from chanzi.chip.chip import Chip
from chanzi.cost.lost import CAUSES
from chanzi.report import figures
from chanzi.report.figures import BOUND_COLOURS, CAUSE_COLOURS, Figure
from chanzi.report.spend import Spend, energy_figure, facts, spend_of
from chanzi.report.summary import ChipRun, LayerRow, Summary
from chanzi.report.tables import number, rate, seconds, totals


def write(path: Path, summary: Summary, runs: Sequence[ChipRun], *, others: Sequence[Summary] = ()) -> None:
    """Write the report of one network on one chip to `path`.

    Parameters
    ----------
    path : Path
    summary : Summary
        As `chanzi.report.summary.summarize` makes it from the same runs.
    runs : sequence of ChipRun
    others : sequence of Summary
        Other chips (or other networks) to compare it with.

    The file is written beside its place and then renamed, so a half-written report is never found.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(render(summary, runs, others=others), encoding="utf-8")
    temporary.replace(path)


def render(summary: Summary, runs: Sequence[ChipRun], *, others: Sequence[Summary] = ()) -> str:
    """Return the page as text."""
    drawn: dict[str, Figure] = {
        "lost": figures.lost_bar(summary),
        "layers": figures.layer_bars(summary),
        "roofline": figures.roofline(summary),
        "timeline": figures.timeline(runs),
    }
    maps = {
        f"{run.compiled.segment.name}, core {core}": figures.scratchpad_map(run, core)
        for run in runs
        for core in range(len(run.compiled.segment.cores))
        if any(b.core == core for b in run.compiled.segment.buffers)
    }
    if maps:
        drawn["map"] = next(iter(maps.values()))
    if others:
        drawn["compare"] = figures.compare([summary, *others])
    spend = spend_of(runs)
    if spend is not None:
        drawn["energy"] = energy_figure(spend)
    body = "".join(
        (
            _tiles(summary),
            _compare(summary, others),
            _lost(summary),
            _layers(summary),
            _section("Roofline", _ROOFLINE, _figure("roofline")),
            _section("Timeline", _TIMELINE, _figure("timeline")),
            _map(maps),
            _spend(spend),
            _steps(summary),
            _facts(summary),
        )
    )
    here = files("chanzi.report")
    title = escape(f"{summary.network} on {summary.chip.name}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{(here / 'page.css').read_text(encoding='utf-8')}</style></head><body>"
        f"<header><h1>{escape(summary.network)} <small>on {escape(summary.chip.name)}</small></h1>"
        f'<button id="theme">Dark</button></header><main>{body}</main>'
        f"<footer>Cycles are exact: the timing rules are part of the instruction set, and hardware takes as long. "
        f"Host time is measured on the machine that made this page and is in no figure of the chip.</footer>"
        f"{_data('figures', drawn)}{_data('maps', maps)}<script>{plotly_js()}</script>"
        f"<script>{(here / 'page.js').read_text(encoding='utf-8')}</script></body></html>\n"
    )


def plotly_js() -> str:
    """Return plotly.js as the installed package brings it."""
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


_LOST = (
    "Every cycle of every core in use belongs to one cause; the bars sum to the total. What went on under a busy array "
    "cost nothing and does not appear."
)
_LAYERS = (
    "Cycles of each layer (core-cycles divided by cores in use), stacked by cause. The dash is the layer's own bound, "
    "the least time any program could give it alone; it lies above the bar where the layer ran under another's work. "
    "'Array used' and 'of its bound' are over the time the layer's engine took. Click a column to sort, a cause in the "
    "legend to hide it."
)
_ROOFLINE = (
    "Each layer with multiply-accumulates: its speed in this run, over the operations it does for each byte of its "
    "weights and of its DRAM traffic. A point above the slanted roof is possible only because its weights stayed in "
    "the scratchpad; the distance to the flat roof is what the table of causes explains. Area: time taken."
)
_TIMELINE = (
    "When each engine works: the array while it is fed, the vector unit while it reads, LOAD and STORE while they hold "
    "the DRAM bus. Neighbouring layers differ in colour. Drag to zoom in, double-click to see all again."
)
_SPEND = (
    "Modelled, not measured: events counted in this run times what each costs at the chip's node, and the blocks "
    "of the chip as `chanzi cost` counts them. For published chips the model's power is 0.6 to 1.2 times the published."
)
_MAP = (
    "Which bytes of the scratchpad are in use when. Weights that stay resident lie there for the whole frame; feature "
    "maps come and go; staging holds what streams from DRAM."
)


def _data(name: str, value: object) -> str:
    text = json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _section(title: str, caption: str, *parts: str) -> str:
    return f'<h2>{escape(title)}</h2><p class="caption">{escape(caption)}</p>{"".join(parts)}'


def _figure(name: str) -> str:
    return f'<div class="panel"><div id="{name}"></div></div>'


def _tiles(summary: Summary) -> str:
    tiles = [
        (seconds(summary.latency_s), "latency, weights resident"),
        (rate(summary.frames_per_s), "frames a second"),
        (f"{summary.tops:.3g} of {summary.tops_peak:.3g}", "TOPS delivered of peak"),
        (f"{100 * summary.utilization:.1f} %", "of the arrays in use"),
        (seconds(summary.cold_latency_s), "latency, cold"),
    ]
    if summary.achieved is not None:
        tiles.append((f"{100 * summary.achieved:.1f} %", "of the least time possible"))
    cells = "".join(f'<div class="tile"><b>{escape(v)}</b><span>{escape(k)}</span></div>' for v, k in tiles)
    return f'<div class="tiles">{cells}</div>'


def _table(heads: Iterable[tuple[str, bool]], rows: Iterable[Sequence[str]], *, sortable: bool = False) -> str:
    """Return a table; heads are (title, is a number), rows are cells ready to stand between <tr> and </tr>."""
    top = "".join(f'<th class="n">{escape(h)}</th>' if n else f"<th>{escape(h)}</th>" for h, n in heads)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    kind = ' class="sortable"' if sortable else ""
    return f'<div class="panel scroll"><table{kind}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _text(value: str) -> str:
    return f"<td>{escape(value)}</td>"


def _number(value: float, shown: str) -> str:
    return f'<td class="n" data-value="{value:.6g}">{escape(shown)}</td>'


def _split(row: LayerRow) -> str:
    if not row.core_cycles:
        return "<td></td>"
    parts = "".join(
        f'<i style="flex:{n};background:{CAUSE_COLOURS[cause]}" title="{cause} {100 * n / row.core_cycles:.1f} %"></i>'
        for cause, n in row.lost.items()
        if n
    )
    useful = row.lost["useful"] / row.core_cycles
    return f'<td data-value="{useful:.4f}"><div class="split">{parts}</div></td>'


def _key() -> str:
    cells = "".join(
        f'<span title="{escape(meaning)}"><i style="background:{CAUSE_COLOURS[cause]}"></i>{cause}</span>'
        for cause, meaning in CAUSES.items()
    )
    return f'<div class="key">{cells}</div>'


def _lost(summary: Summary) -> str:
    total = max(sum(summary.lost.values()), 1)
    rows = [
        (_text(cause), _number(n, f"{n:,}"), _number(n / total, f"{100 * n / total:.1f} %"), _text(CAUSES[cause]))
        for cause, n in summary.lost.items()
        if n
    ]
    rows.append((_text("total"), _number(total, f"{total:,}"), _number(1, "100.0 %"), _text("core-cycles")))
    table = _table((("cause", False), ("core-cycles", True), ("share", True), ("meaning", False)), rows)
    return _section("Where the cycles went", _LOST, f'<div class="two">{_figure("lost")}{table}</div>')


def _layers(summary: Summary) -> str:
    heads = (
        ("#", True), ("layer", False), ("kind", False), ("output", False), ("MACs", True), ("cycles", True),
        ("share", True), ("array used", True), ("bound by", False), ("of its bound", True), ("DRAM", True),
        ("split", False),
    )  # fmt: skip
    several = len(summary.segments) > 1
    total = max(sum(row.core_cycles for row in summary.layers), 1)
    rows = []
    for i, row in enumerate(summary.layers):
        colour = BOUND_COLOURS[row.bound_by]
        near = row.near_bound
        rows.append(
            (
                _number(i, str(i)),
                _text(f"{row.segment}: {row.name}" if several else row.name),
                _text(row.kind),
                f'<td data-value="{row.shape[0] * row.shape[1] * row.shape[2]}">{"×".join(map(str, row.shape))}</td>',
                _number(row.macs, number(row.macs) if row.macs else ""),
                _number(row.cycles, f"{row.cycles:,.0f}"),
                _number(row.core_cycles / total, f"{100 * row.core_cycles / total:.1f} %"),
                _number(row.utilization, f"{100 * row.utilization:.1f} %" if row.macs else ""),
                f'<td><span class="chip" style="background:{colour}">{row.bound_by}</span></td>',
                _number(near or 0, f"{100 * near:.0f} %" if near is not None else ""),
                _number(row.dram_bytes, number(row.dram_bytes, "B") if row.dram_bytes else ""),
                _split(row),
            )
        )
    return _section("Layers", _LAYERS, _figure("layers"), _key(), _table(heads, rows, sortable=True))


def _map(maps: dict[str, Figure]) -> str:
    if not maps:
        return ""
    options = "".join(f'<option value="{escape(name)}">{escape(name)}</option>' for name in maps)
    select = f'<p><select id="choose-map" aria-label="segment and core">{options}</select></p>' if len(maps) > 1 else ""
    return _section("Scratchpad over time", _MAP, select, _figure("map"))


def _steps(summary: Summary) -> str:
    segments = {s.name: s for s in summary.segments}
    host = {step.name: step for step in summary.host}
    rows = []
    for name in summary.order:
        if name in segments:
            s = segments[name]
            time = s.cycles / summary.chip.clock_hz
            what = f"{s.cycles:,} cycles, {s.instructions:,} instructions, {number(s.image_bytes, 'B')} of weights"
            rows.append((_text(name), _text("chip"), _number(time, seconds(time)), _text(what)))
        else:
            step = host[name]
            shown = "" if step.seconds is None else seconds(step.seconds)
            what = ", ".join(step.ops) + (f": {step.reason}" if step.reason else "")
            rows.append((_text(name), _text("host"), _number(step.seconds or 0, shown), _text(what)))
    heads = (("step", False), ("where", False), ("time", True), ("what", False))
    caption = (
        "The network in the order in which it runs. Nothing is approximated: what the chip cannot do, the host does."
    )
    return _section("Steps", caption, _table(heads, rows))


def _spend(spend: Spend | None) -> str:
    if spend is None:
        return ""
    rows = [(_text(name), _text(text)) for name, text in facts(spend)]
    return _section("Watts, mm² and dollars", _SPEND, _table((("", False), ("", False)), rows), _figure("energy"))


def _facts(summary: Summary) -> str:
    chip = summary.chip
    rows = [(_text(k), _text(v), _text(chip.sources.get(source, ""))) for k, v, source in _chip_facts(chip)]
    sources = _table((("chip", False), ("", False), ("source", False)), rows)
    run = _table((("run", False), ("", False)), [(_text(k), _text(v)) for k, v in totals(summary)])
    return _section("Facts", chip.description or chip.name, f'<div class="two">{run}{sources}</div>')


def _chip_facts(chip: Chip) -> list[tuple[str, str, str]]:
    core = chip.core
    rate = f"{number(chip.dram.bytes_per_s, 'B/s')}, {chip.dram_bytes_per_cycle:.3g} bytes a cycle"
    return [
        ("cores", str(chip.cores), "cores"),
        ("array", f"{core.dim}×{core.dim} cells", "core.dim"),
        ("clock", number(chip.clock_hz, "Hz"), "clock_hz"),
        ("peak", f"{chip.peak_tops:.4g} TOPS int8", ""),
        ("scratchpad a core", f"{core.scratchpad.bytes / (1 << 20):.4g} MiB", "core.scratchpad.bytes"),
        ("banks", f"{core.scratchpad.banks}", "core.scratchpad.banks"),
        ("port", f"{core.port_bytes} bytes a cycle", "core.port_bytes"),
        ("vector lanes", f"{core.lanes}, {core.taps_per_lane} taps a cycle", ""),
        ("DRAM", rate, "dram.bytes_per_s"),
        ("DRAM latency", f"{chip.dram.latency_ns:g} ns", "dram.latency_ns"),
    ]  # fmt: skip


def _compare(summary: Summary, others: Sequence[Summary]) -> str:
    if not others:
        return ""
    rows = [
        (
            _text(s.chip.name),
            _text(s.network),
            _text(s.mode),
            _number(s.latency_s, seconds(s.latency_s)),
            _number(s.cold_latency_s, seconds(s.cold_latency_s)),
            _number(s.frames_per_s, rate(s.frames_per_s)),
            _number(s.tops, f"{s.tops:.3g} of {s.tops_peak:.3g}"),
            _number(s.utilization, f"{100 * s.utilization:.1f} %"),
            _number(s.achieved or 0, "" if s.achieved is None else f"{100 * s.achieved:.1f} %"),
        )
        for s in (summary, *others)
    ]
    heads = (
        ("chip", False), ("network", False), ("mode", False), ("latency", True), ("cold", True), ("frames/s", True),
        ("TOPS", True), ("array used", True), ("of bound", True),
    )  # fmt: skip
    caption = "What the cycles of each went to, as shares, with the latency above; hover for milliseconds."
    return _section("Compared", caption, _figure("compare"), _table(heads, rows, sortable=True))
