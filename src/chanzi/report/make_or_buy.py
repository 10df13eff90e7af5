"""Make or buy: tables for the terminal, a page with plots, everything for scripts."""

import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from chanzi.cost.dollars import Band
from chanzi.market.make_or_buy import Answer, BreakEven, Swing
from chanzi.report.costs import render_page, usd
from chanzi.report.figures import Figure

_MAKE, _BUY, _LINE = "#2a9d5c", "#4e79a7", "#8f9bb3"
_FILL = {_MAKE: "rgba(42,157,92,0.18)", _BUY: "rgba(78,121,167,0.18)"}
_ITEMS = (
    "design",
    "software",
    "operations",
    "our chips",
    "CPUs and cameras beside",
    "bought chips",
    "integration",
    "support",
    "watts",
    "warranty",
)
_IDLE = 0.25
"""Below this share of a bought chip's speed a buyer is told that a lesser one may do."""
OWNING = {
    "sunk": "spent before the first own chip",
    "saves": "saved by making, that aside, no trouble in supply",
    "insurance": "expected loss in supply shocks that the owner is spared",
    "right to buy": "the owner may still buy where that became cheaper",
    "worth": "owning is worth",
    "net": "and after what it costs",
}


def money(value: float) -> str:
    """Return an amount with its sign in front."""
    if abs(value) < 0.005:
        return "$0"
    return f"-{usd(-value)}" if value < 0 else usd(value)


def cars(value: float | None) -> str:
    """Return cars a year; '>10M' where nothing below is enough."""
    if value is None:
        return "never"
    digits = 10 ** max(math.floor(math.log10(max(value, 1))) - 1, 0)
    return f"{round(value / digits) * digits:,.0f}"


def _years(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}"


def _three(b: Band) -> list[str]:
    return [money(b.value), money(b.p10), money(b.p90)]


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i == 0 else "right")
    return table


def sentence(a: Answer) -> str:
    """Return the answer in a few sentences."""
    plan, be, back = a.plan, a.break_even, a.payback_years
    more = "saves" if a.saving.value > 0 else "costs"
    first = (
        f"At {plan.units:,.0f} cars a year for {plan.years:g} years, making {plan.chip.name} {more} "
        f"{usd(abs(a.saving.value))} against buying {a.rival.name} (10 to 90 %: {money(a.saving.p10)} to "
        f"{money(a.saving.p90)}, present value); it is the cheaper way in {100 * a.wins:.0f} % of {_WORLDS}."
    )
    if be.value is None and be.p50 is None:
        second = "There is no break-even below ten million cars a year."
    else:
        second = (
            f"Break-even: {cars(be.value)} cars a year ({cars(be.p10)} to {cars(be.p90)}, half below {cars(be.p50)})."
        )
    third = f" Paid back after {_years(back.value)} years ({_years(back.p10)} to {_years(back.p90)})."
    hangs = ", ".join(s.name for s in a.tornado[:3])
    return f"{first} {second}{third if back.value is not None else ' It is not paid back.'} It hangs most on {hangs}."


_WORLDS = "the worlds drawn"


def chips_line(a: Answer) -> str:
    """Return what each side needs for a car."""
    plan, rate = a.plan, a.rival.figures["frames_per_s"]
    low, high = rate.bounds
    said = f"{rate.value:,.0f}" + (f" ({low:,.0f} to {high:,.0f})" if low < high else "")
    share = plan.frames_needed / rate.value
    idle = f" That is {100 * share:.2g} % of what one delivers: a lesser, cheaper chip may do." if share < _IDLE else ""
    return (
        f"A car needs {plan.frames_needed:g} frames/s: {a.own_chips:g} of {plan.chip.name} ({plan.frames_per_s:,.0f} "
        f"simulated), or {a.rival_chips.value:g} of {a.rival.name} ({said} {a.rival.known}).{idle}"
    )


def totals_table(a: Answer) -> Table:
    """Return what making and buying cost, item by item."""
    table = _table(
        f"Make {a.plan.chip.name} or buy {a.rival.name}: present value over {a.years[-1]:g} years",
        "item", "make", "10 %", "90 %", "buy", "10 %", "90 %",
    )  # fmt: skip
    for name in _ITEMS:
        made, bought = a.make_items.get(name), a.buy_items.get(name)
        table.add_row(name, *(_three(made) if made else ("",) * 3), *(_three(bought) if bought else ("",) * 3))
    table.add_section()
    table.add_row("all", *_three(a.make), *_three(a.buy))
    return table


def car_table(a: Answer) -> Table:
    """Return what one car carries, in money of today."""
    table = _table("One car, USD of today, design and teams apart", "item", "best guess", "10 %", "90 %")
    for name, b in a.own_car_usd.items():
        table.add_row(f"make: {name}", *_three(b))
    for name, b in a.bought_car_usd.items():
        table.add_row(f"buy: {name}", *_three(b))
    return table


def verdict_table(answers: Sequence[Answer]) -> Table:
    """Return one row for each chip that may be bought."""
    table = _table(
        "Make or buy", "versus", "make", "buy", "making saves", "10 %", "90 %", "wins", "break-even", "10 %", "90 %",
        "payback, years",
    )  # fmt: skip
    for a in answers:
        be = a.break_even
        table.add_row(
            a.rival.key, money(a.make.value), money(a.buy.value), *_three(a.saving), f"{100 * a.wins:.0f} %",
            cars(be.value), cars(be.p10), cars(be.p90), _years(a.payback_years.value),
        )  # fmt: skip
    return table


def tornado_table(a: Answer) -> Table:
    """Return what the saving hangs on."""
    table = _table(
        "What it hangs on: the saving with one figure at its end", "figure", "low", "high", "at low", "at high"
    )
    for s in a.tornado[:10]:
        table.add_row(s.name, *ends(s), money(s.low_usd), money(s.high_usd))
    return table


def ends(s: Swing) -> tuple[str, str]:
    """Return the low and high end of a figure as text."""
    if math.isnan(s.low):
        return "10 %", "90 %"
    low, high = (f"{end:,.0f}" if abs(end) >= 1e4 else f"{end:.4g}" for end in (s.low, s.high))
    return low, high


def supply_table(a: Answer) -> Table:
    """Return what events cost if they happen."""
    table = _table(
        "If supply fails (present value if it happens)", "event", "chance", "the buyer", "10 %", "90 %", "the maker",
        "at its foundry", "10 %", "90 %", "chance",
    )  # fmt: skip
    for e in a.events:
        table.add_row(
            e.text, f"{100 * e.probability:.3g} %", *_three(e.buyer), money(e.maker.value), *_three(e.foundry),
            f"{100 * e.foundry_probability:.3g} %",
        )  # fmt: skip
    return table


def owning_table(a: Answer) -> Table:
    """Return what owning is worth."""
    table = _table("What owning is worth", "", "best guess", "10 %", "90 %")
    for name, text in OWNING.items():
        table.add_row(text, *_three(a.owning[name]))
    return table


def tables(answers: Sequence[Answer]) -> list[Table]:
    """Return all tables: the verdict on every rival, the rest for the first."""
    a = answers[0]
    return [totals_table(a), car_table(a), tornado_table(a), supply_table(a), owning_table(a), verdict_table(answers)]


def to_dict(a: Answer) -> dict[str, Any]:
    """Return an answer for scripts."""

    def one(b: Band | BreakEven) -> dict[str, Any]:
        return asdict(b)

    plan = a.plan
    return {
        "chip": plan.chip.name,
        "versus": a.rival.key,
        "versus_known": a.rival.known,
        "units_per_year": plan.units,
        "years": plan.years,
        "frames_needed": plan.frames_needed,
        "frames_per_s": plan.frames_per_s,
        "chips": a.own_chips,
        "versus_chips": one(a.rival_chips),
        "answer": sentence(a),
        "better": a.better,
        "make_usd": one(a.make),
        "buy_usd": one(a.buy),
        "saving_usd": one(a.saving),
        "wins": a.wins,
        "break_even_cars_per_year": one(a.break_even),
        "payback_years": one(a.payback_years),
        "make_items_usd": {n: one(b) for n, b in a.make_items.items()},
        "buy_items_usd": {n: one(b) for n, b in a.buy_items.items()},
        "own_car_usd": {n: one(b) for n, b in a.own_car_usd.items()},
        "bought_car_usd": {n: one(b) for n, b in a.bought_car_usd.items()},
        "tornado": [
            {"name": s.name, "unit": s.unit, "low_usd": s.low_usd, "high_usd": s.high_usd}
            | ({} if math.isnan(s.low) else {"low": s.low, "high": s.high})
            for s in a.tornado
        ],
        "events": [
            {
                "name": e.name, "text": e.text, "probability": e.probability, "buyer_usd": one(e.buyer),
                "maker_usd": one(e.maker), "foundry_usd": one(e.foundry), "foundry_probability": e.foundry_probability,
            }
            for e in a.events
        ],
        "owning_usd": {n: one(b) for n, b in a.owning.items()},
        "over_time": [
            {"year": t, "make_usd": one(m), "buy_usd": one(b)}
            for t, m, b in zip(a.years, a.make_over_time, a.buy_over_time, strict=True)
        ],
        "by_volume": [{"cars_per_year": v, "saving_usd": one(b)} for v, b in a.saving_by_volume],
        "assumptions": {
            n: {"value": f.value, "low": f.bounds[0], "high": f.bounds[1], "unit": f.unit, "source": f.source,
                "how": f.how, "grade": f.grade}
            for n, f in a.assumptions.items()
        },
    }  # fmt: skip


def _axis(title: str, **more: Any) -> Figure:
    return {"title": {"text": title}, "zeroline": False, "automargin": True, **more}


def _layout(height: int, **more: Any) -> Figure:
    return {"height": height, "margin": {"l": 60, "r": 20, "t": 20, "b": 50}, "hovermode": "closest", **more}


def _banded(name: str, xs: Sequence[float], bands: Sequence[Band], colour: str, scale: float) -> list[Figure]:
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False, "type": "scatter"}
    fill = {"fill": "tonexty", "fillcolor": _FILL[colour]}
    return [
        {**edge, "x": list(xs), "y": [b.p90 * scale for b in bands]},
        {**edge, "x": list(xs), "y": [b.p10 * scale for b in bands], **fill},
        {
            "type": "scatter", "mode": "lines", "name": name, "x": list(xs), "y": [b.value * scale for b in bands],
            "line": {"color": colour, "width": 2.5}, "hovertemplate": f"{name}: %{{y:,.4g}} M USD<extra></extra>",
        },
    ]  # fmt: skip


def time_figure(a: Answer) -> Figure:
    """Return what has been spent until each year, discounted, with bands."""
    data = _banded("make", a.years, a.make_over_time, _MAKE, 1e-6) + _banded(
        "buy", a.years, a.buy_over_time, _BUY, 1e-6
    )
    x, y = _axis("years from the decision"), _axis("million USD spent, present value", rangemode="tozero")
    return {"data": data, "layout": _layout(420, xaxis=x, yaxis=y, legend={"orientation": "h", "y": 1.08})}


def volume_figure(a: Answer) -> Figure:
    """Return what making saves for each car built, over cars a year: the break-even is where it crosses nothing."""
    life = a.plan.years
    shown = [(v, b) for v, b in a.saving_by_volume if v >= 3e3]
    volumes = [v for v, _ in shown]

    def per_car(v: float, b: Band) -> Band:
        return Band(value=b.value / (v * life), p10=b.p10 / (v * life), p50=b.p50 / (v * life), p90=b.p90 / (v * life))

    data = _banded("making saves", volumes, [per_car(v, b) for v, b in shown], _MAKE, 1.0)
    data[-1]["hovertemplate"] = "%{x:,.3g} cars a year: %{y:,.4g} USD a car<extra></extra>"
    top = max(b.p90 / (v * life) for v, b in shown)
    zero = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": 0,
        "y1": 0,
        "line": {"color": _LINE, "dash": "dot"},
    }
    here = math.log10(a.plan.units)
    marks = [zero, {"type": "line", "yref": "paper", "x0": a.plan.units, "x1": a.plan.units, "y0": 0, "y1": 1,
                    "line": {"color": _LINE, "width": 1}}]  # fmt: skip
    notes = [
        {"x": here, "y": 1, "yref": "paper", "text": f"{a.plan.units:,.0f}", "showarrow": False, "xanchor": "left"}
    ]
    be = a.break_even
    if be.p10 is not None:
        marks.append(
            {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "x0": be.p10, "x1": be.p90 or 1e7,
             "fillcolor": "rgba(201,180,88,0.15)", "line": {"width": 0}, "layer": "below"}
        )  # fmt: skip
    x = _axis("cars a year", type="log")
    y = _axis("USD a car that making saves, present value", range=[-1.5 * top, 1.2 * top])
    layout = _layout(420, xaxis=x, yaxis=y, shapes=marks, annotations=notes, showlegend=False)
    return {"data": data, "layout": layout}


def tornado_figure(a: Answer) -> Figure:
    """Return a bar for each figure, from the saving at its low to that at its high end."""
    rows = list(reversed(a.tornado))
    middle = a.saving.value * 1e-6

    def bars(what: str, colour: str) -> Figure:
        reached = [(s.low_usd if what == "low" else s.high_usd) * 1e-6 for s in rows]
        labels = [ends(s)[0 if what == "low" else 1] for s in rows]
        return {
            "type": "bar", "orientation": "h", "name": f"figure at its {what} end", "y": [s.name for s in rows],
            "x": [e - middle for e in reached], "base": middle, "text": labels, "textposition": "outside",
            "cliponaxis": False, "customdata": reached, "marker": {"color": colour},
            "hovertemplate": "<b>%{y}</b> = %{text}: making saves %{customdata:,.4g} M USD<extra></extra>",
        }  # fmt: skip

    x = _axis("million USD that making saves", zeroline=True)
    layout = _layout(
        120 + 26 * len(rows), xaxis=x, yaxis={"automargin": True}, barmode="overlay",
        legend={"orientation": "h", "y": 1.06},
    )  # fmt: skip
    return {"data": [bars("low", _BUY), bars("high", _MAKE)], "layout": layout}


def events_figure(a: Answer) -> Figure:
    """Return what each event costs buyer and maker, with bands."""
    data = []
    sides = (
        ("the buyer", "buyer", _BUY),
        ("the maker", "maker", _MAKE),
        ("the maker, at its foundry", "foundry", "#c9b458"),
    )
    for name, key, colour in sides:
        bands: list[Band] = [getattr(e, key) for e in a.events]
        data.append(
            {
                "type": "bar", "name": name, "x": [e.text for e in a.events], "y": [b.value * 1e-6 for b in bands],
                "marker": {"color": colour},
                "error_y": {"type": "data", "symmetric": False, "thickness": 1,
                            "array": [max(b.p90 - b.value, 0) * 1e-6 for b in bands],
                            "arrayminus": [max(b.value - b.p10, 0) * 1e-6 for b in bands]},
                "hovertemplate": "%{y:,.4g} M USD<extra>" + name + "</extra>",
            }
        )  # fmt: skip
    y = _axis("million USD if it happens", rangemode="tozero")
    layout = _layout(400, xaxis={"automargin": True}, yaxis=y, barmode="group", legend={"orientation": "h", "y": 1.1})
    return {"data": data, "layout": layout}


def _html(table: Table) -> str:
    """Return a rich table as HTML."""
    heads = [str(c.header) for c in table.columns]
    cells = [[str(c) for c in column.cells] for column in table.columns]
    head = "".join(f'<th class="{"n" if i else ""}">{escape(h)}</th>' for i, h in enumerate(heads))
    body = ""
    for row in zip(*cells, strict=True):
        body += (
            "<tr>" + "".join(f'<td class="{"n" if i else ""}">{escape(c)}</td>' for i, c in enumerate(row)) + "</tr>"
        )
    return f'<div class="panel scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _assumptions(a: Answer) -> str:
    table = _table("", "assumption", "value", "range", "unit", "how, source", "grade")
    for name, f in a.assumptions.items():
        low, high = f.bounds
        span = "" if low == high else f"{low:,.6g} to {high:,.6g}"
        table.add_row(name, f"{f.value:,.6g}", span, f.unit, f"{f.how}, {f.source}", f.grade or "")
    return _html(table)


SCOPE = (
    "In: design with respins and the chance that it fails, a software team for as long as cars are built, chips bought "
    "until ours is ready, package, test, DRAM, the CPUs beside, watts in the car, warranty, demand that disappoints, "
    "discounting. Out: tax, inventory, exchange rates, price rises by general inflation, what a better or worse chip "
    "does to the car's sales, what the design is worth in another product or after the programme, and what else the "
    "engineers would have done."
)


def write_page(path: Path, answers: Sequence[Answer]) -> None:
    """Write the page of a decision; beside its place first, then renamed."""
    drawn: dict[str, Figure] = {}
    sections: list[tuple[str, str, str]] = []
    div = '<div class="panel"><div id="{}"></div></div>'
    for i, a in enumerate(answers):
        here = f" against {a.rival.name}" if len(answers) > 1 else ""
        figures = {
            f"time{i}": time_figure(a), f"volume{i}": volume_figure(a), f"tornado{i}": tornado_figure(a),
            f"events{i}": events_figure(a),
        }  # fmt: skip
        drawn |= figures
        time, volume, tornado, events = (div.format(name) for name in figures)
        sections += [
            (f"The answer{here}", f"{sentence(a)} {chips_line(a)}", _html(verdict_table([a])) + time),
            (f"Break-even{here}", "The shaded strip is the 10 to 90 % band of the break-even.", volume),
            (f"What it hangs on{here}", "One figure at its end, all others at their best guess.", tornado),
            (f"If supply fails{here}", "What an event costs if it happens; below, what owning is worth.",
             events + _html(supply_table(a)) + _html(owning_table(a))),
            (f"Where the money goes{here}", SCOPE, _html(totals_table(a)) + _html(car_table(a))),
        ]  # fmt: skip
    sections.append(("Assumptions", "All may be replaced; grade D is a guess.", _assumptions(answers[0])))
    plan = answers[0].plan
    title = f"Make {plan.chip.name} or buy: {plan.units:,.0f} cars a year"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(render_page(title, sections, drawn), encoding="utf-8")
    temporary.replace(path)
