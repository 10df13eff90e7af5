"""A search for chips: a table while it runs, a page that draws its front as it grows, a page of its finalists."""

import json
import os
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from chanzi.chip.chip import Chip
from chanzi.explore.evaluate import Outcome
from chanzi.explore.finalists import Finalist
from chanzi.explore.goals import OBJECTIVES, Goals
from chanzi.explore.search import Progress
from chanzi.explore.workers import Problem
from chanzi.report.costs import render_page, usd
from chanzi.report.figures import Figure
from chanzi.report.html import plotly_js
from chanzi.report.rank import short

UNITS = {
    "energy": ("mJ a frame", 1e3),
    "time": ("ms a frame of the chip", 1e3),
    "latency": ("ms from start to end", 1e3),
    "cost": ("USD", 1.0),
    "area": ("mm²", 1.0),
    "power": ("W", 1.0),
}
LIVE_PAGE, LIVE_DATA = "live.html", "live.js"
_CALL = "chanziLive"
_SHOWN = 12
"""Chips in the table while a search runs."""


def sram(n_bytes: int) -> str:
    """Return bytes of memory as people write them."""
    return f"{n_bytes / 2**20:.3g} MB" if n_bytes >= 1 << 20 else f"{n_bytes / 1024:.3g} KB"


def chip_text(chip: Chip) -> str:
    """Return a chip in a line."""
    core = chip.core
    volt = f", {chip.volt:.2f} V" if chip.volt else ""
    return (
        f"{chip.cores} x {core.dim}x{core.dim}, port {core.port_bytes}, {core.lanes} lanes x {core.taps_per_lane}, "
        f"epilogue {core.row_lanes}, {sram(core.scratchpad.bytes)} a core, {chip.clock_hz / 1e9:.2f} GHz{volt}, "
        f"{chip.dram.bytes_per_s / 1e9:.3g} GB/s"
    )


def _values(goals: Goals, values: Sequence[float]) -> list[str]:
    return [f"{UNITS[name][1] * value:.4g}" for name, value in zip(goals.minimize, values, strict=True)]


def progress_line(progress: Progress) -> str:
    """Return how far a search is, in a line."""
    resumed = f", {progress.resumed} of them before" if progress.resumed else ""
    return (
        f"{progress.tried:,} of {progress.wanted:,} chips tried{resumed} ({progress.pruned:,} pruned), "
        f"{progress.per_second:.3g} a second, {len(progress.best)} on the front"
    )


def progress_table(problem: Problem, progress: Progress) -> Table:
    """Return the front as it is, for a terminal."""
    goals = problem.goals
    table = Table(title=progress_line(progress), box=box.SIMPLE, title_justify="left")
    for name in goals.minimize:
        table.add_column(f"{name}, {UNITS[name][0]}", justify="right")
    table.add_column("mm²", justify="right")
    table.add_column("W", justify="right")
    table.add_column("chip")
    best = sorted(progress.front, key=lambda t: t.outcome.values)
    step = max(len(best) / _SHOWN, 1)
    for trial in [best[int(i * step)] for i in range(min(len(best), _SHOWN))]:
        o = trial.outcome
        chip = problem.space.chip(trial.point, "x")
        watts = max(r.watts for r in o.results)
        table.add_row(*_values(goals, o.values), f"{o.area_mm2:.1f}", f"{watts:.2f}", chip_text(chip))
    return table


# ---- the page that follows a search ----


def write_live_page(folder: Path) -> Path:
    """Write the page that draws what `write_live_data` writes beside it, again and again; return its path."""
    here = files("chanzi.report")
    page = folder / LIVE_PAGE
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>chanzi explore</title>'
        f"<style>{(here / 'page.css').read_text('utf-8')}</style></head><body>"
        '<header><h1>chanzi explore</h1></header><main><p id="line" class="caption">waiting for the first chip</p>'
        '<div class="panel"><div id="front"></div></div><div class="panel scroll"><table><thead id="heads"></thead>'
        '<tbody id="rows"></tbody></table></div></main>'
        f"<script>{plotly_js()}</script><script>{(here / 'explore.js').read_text('utf-8')}</script></body></html>\n"
    )
    _write(page, text)
    return page


def write_live_data(folder: Path, problem: Problem, progress: Progress, *, over: bool = False) -> None:
    """Write the front and a sample of the other chips, as a script: so the page needs no server."""
    goals = problem.goals
    scales = [UNITS[name][1] for name in goals.minimize]

    def scaled(outcome: Outcome) -> list[float]:
        return [s * v for s, v in zip(scales, outcome.values, strict=True)]

    done = [t for t in progress.trials if t.outcome.done]
    others = done[:: max(len(done) // 1000, 1)]
    best = sorted(progress.front, key=lambda t: t.outcome.values)
    data = {
        "line": progress_line(progress) + ("; over" if over else ""),
        "axes": [f"{name}, {UNITS[name][0]}" for name in goals.minimize],
        "others": [[*scaled(t.outcome), int(t.outcome.feasible)] for t in others],
        "front": [
            {
                "values": scaled(t.outcome),
                "text": chip_text(problem.space.chip(t.point, "x")),
                "trial": t.number,
                "area": t.outcome.area_mm2,
                "watts": max(r.watts for r in t.outcome.results),
            }
            for t in best
        ],
        "over": over,
    }
    _write(folder / LIVE_DATA, f"{_CALL}({json.dumps(data, separators=(',', ':'))});\n")


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


# ---- finalists ----


def heads(goals: Goals) -> list[str]:
    """Return the heads of the table of finalists."""
    return [
        "chip",
        *(f"{name}, {UNITS[name][0]}" for name in goals.minimize),
        "frames/s, least",
        "mm²",
        "W",
        "model off by",
        "limits",
        "figures",
    ]


def row(goals: Goals, f: Finalist) -> list[str]:
    """Return a finalist's line, values of its compiled programs."""
    o = f.compiled
    if not o.done:
        return [f.chip.name, *[""] * len(goals.minimize), "", "", "", "", o.reason, chip_text(f.chip)]
    errors = f.errors.values()
    off = f"{100 * min(errors):+.2f} to {100 * max(errors):+.2f} %" if errors else ""
    held = "held" if o.feasible else "passed by " + ", ".join(f"{100 * v:.1f} %" for v in o.violations if v > 0)
    watts, slowest = max(r.watts for r in o.results), min(r.fps for r in o.results)
    figures = [short(slowest), f"{o.area_mm2:.1f}", f"{watts:.2f}", off, held, chip_text(f.chip)]
    return [f.chip.name, *_values(goals, o.values), *figures]


def finalists_table(goals: Goals, found: Sequence[Finalist]) -> Table:
    """Return the finalists for a terminal."""
    table = Table(title="compiled for and simulated", box=box.SIMPLE, title_justify="left")
    for i, head in enumerate(heads(goals)):
        table.add_column(head, justify="left" if i == 0 or head in ("limits", "figures") else "right")
    for f in found:
        table.add_row(*row(goals, f))
    return table


def networks_rows(found: Sequence[Finalist]) -> tuple[list[str], list[list[str]]]:
    """Return heads, and a line for each chip and network: speed, joules, where weights lie, the model's error."""
    lines = []
    for f in found:
        for r in f.compiled.results:
            error = f.errors.get(r.network)
            off = "" if error is None else f"{100 * error:+.2f} %"
            lines.append(
                [f.chip.name, r.network, f"{short(r.fps)}", f"{1e3 * r.latency_s:.4g}", f"{1e3 * r.joules:.4g}",
                 f"{r.watts:.3g}", r.plan, off]
            )  # fmt: skip
    return ["chip", "network", "frames/s", "ms", "mJ", "W", "weights", "model off by"], lines


def to_dict(goals: Goals, found: Sequence[Finalist]) -> list[dict[str, Any]]:
    """Return the finalists for scripts."""
    return [
        {
            "chip": f.chip.name,
            "trial": f.trial,
            "values": dict(zip(goals.minimize, f.compiled.values, strict=False)),
            "model_values": None if f.model is None else dict(zip(goals.minimize, f.model.values, strict=False)),
            "model_errors": f.errors,
            "feasible": f.compiled.feasible,
            "reason": f.compiled.reason,
            "area_mm2": f.compiled.area_mm2,
            "core_mm2": f.compiled.core_mm2,
            "usd": f.compiled.usd,
            "networks": [
                {
                    "network": r.network,
                    "cycles": r.cycles,
                    "frames_per_s": r.fps,
                    "latency_s": r.latency_s,
                    "joules": r.joules,
                    "watts": r.watts,
                    "plan": r.plan,
                }
                for r in f.compiled.results
            ],
        }
        for f in found
    ]


def front_figure(goals: Goals, progress: Progress, found: Sequence[Finalist]) -> Figure:
    """Return the first two objectives of all chips: tried, on the front by the model, finalists as compiled."""
    names = goals.minimize[:2] if len(goals.minimize) > 1 else (goals.minimize[0], goals.minimize[0])
    at = [goals.minimize.index(n) for n in names]
    scale = [UNITS[n][1] for n in names]

    def points(outcomes: Sequence[Outcome]) -> dict[str, list[float]]:
        return {axis: [scale[k] * o.values[at[k]] for o in outcomes] for k, axis in enumerate("xy")}

    done = [t.outcome for t in progress.trials if t.outcome.done]
    ours = [f for f in found if f.compiled.done]
    marker = {"type": "scatter", "mode": "markers"}
    traces: list[Figure] = [
        {
            **marker,
            **points(done[:: max(len(done) // 2000, 1)]),
            "name": "tried",
            "hoverinfo": "skip",
            "marker": {"size": 4, "color": "#b8c0cc"},
        },
        {
            **marker,
            **points(sorted((t.outcome for t in progress.front), key=lambda o: o.values)),
            "name": "front, by the model",
            "mode": "lines+markers",
            "line": {"shape": "hv", "width": 1, "color": "#4e79a7"},
            "marker": {"size": 6, "color": "#4e79a7"},
        },
        {
            **marker,
            **points([f.compiled for f in ours]),
            "name": "compiled and simulated",
            "mode": "markers+text",
            "text": [f.chip.name for f in ours],
            "textposition": "top right",
            "textfont": {"size": 10},
            "marker": {
                "size": 11,
                "symbol": ["diamond" if f.trial is None else "circle-open" for f in ours],
                "color": "#d1495b",
                "line": {"width": 2},
            },
        },
    ]
    layout = {
        "height": 520,
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "xaxis": {"title": {"text": f"{names[0]}, {UNITS[names[0]][0]}"}, "type": "log", "automargin": True},
        "yaxis": {"title": {"text": f"{names[1]}, {UNITS[names[1]][0]}"}, "type": "log", "automargin": True},
        "legend": {"orientation": "h", "y": 1.06},
    }
    return {"data": traces, "layout": layout}


def speed_figure(found: Sequence[Finalist], measure: str, title: str) -> Figure:
    """Return bars of each network on each chip: 'fps' or frames a joule."""
    ours = [f for f in found if f.compiled.done]
    names = [r.network for r in ours[0].compiled.results] if ours else []
    traces: list[Figure] = []
    for f in ours:
        per = {r.network: r.fps if measure == "fps" else 1 / r.joules for r in f.compiled.results}
        traces.append({"type": "bar", "name": f.chip.name, "x": names, "y": [per[n] for n in names]})
    layout = {
        "height": 380,
        "barmode": "group",
        "margin": {"l": 60, "r": 20, "t": 20, "b": 60},
        "yaxis": {"title": {"text": title}, "type": "log", "automargin": True},
        "legend": {"orientation": "h", "y": 1.1},
    }
    return {"data": traces, "layout": layout}


def write_finalists_page(
    path: Path, problem: Problem, progress: Progress, found: Sequence[Finalist], command: str
) -> None:
    """Write the page that compares the finalists; beside its place first, then renamed."""
    goals = problem.goals
    networks = ", ".join(f"{n.name} ({100 * n.weight:.0f} %)" for n in problem.networks)
    asked = "; ".join(f"{name}: {OBJECTIVES[name]}" for name in goals.minimize)
    limits = [
        *([f"a die of {goals.max_area_mm2:g} mm²"] if goals.max_area_mm2 else []),
        *([f"{goals.max_power_w:g} W"] if goals.max_power_w else []),
        *([f"at least {goals.min_fps:g} frames/s"] if goals.min_fps else []),
    ]
    bill = "; ".join(f"{f.chip.name} {usd(f.compiled.usd)}" for f in found if f.compiled.usd)
    drawn = {
        "front": front_figure(goals, progress, found),
        "fps": speed_figure(found, "fps", "frames/s of the chip"),
        "joules": speed_figure(found, "joule", "frames a joule"),
    }
    net_heads, net_rows = networks_rows(found)
    first = _div("front") + _html(heads(goals), [row(goals, f) for f in found])
    second = f"<div class='two'>{_div('fps')}{_div('joules')}</div>" + _html(net_heads, net_rows)
    asking = (
        f"{progress_line(progress)}. Networks: {networks}. Minimized: {asked}. "
        f"Limits: {', '.join(limits) or 'none'}. Grey and blue are the fast model's; red was compiled for and "
        "simulated; diamonds are chips to compare with."
    )
    meaning = (
        "All frames run with weights in place where they fit ('resident', or 'tight' where memory decides the order), "
        "with weights from DRAM where they do not ('streamed'). Joules and watts include the DRAM. 'Model off by' is "
        f"the fast model's time over the compiled program's, less one. {f'Dollars: {bill}.' if bill else ''}"
    )
    sections = [
        ("The front", asking, first),
        ("Network by network", meaning, second),
        ("The command", "", f"<div class='panel'><pre>{escape(command)}</pre></div>"),
    ]
    _write(path, render_page("Finalists of chanzi explore", sections, drawn))


def _div(name: str) -> str:
    return f'<div class="panel"><div id="{name}"></div></div>'


def _html(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in r) + "</tr>" for r in rows)
    return f"<div class='panel scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
