"""Tables for the terminal, made from a `Summary`; `to_dict` has the same figures for scripts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from chanzi.cost.lost import CAUSES
from chanzi.report.summary import LayerRow, Summary, to_dict

__all__ = [
    "compare_table",
    "hardware_table",
    "layer_table",
    "lost_table",
    "number",
    "rate",
    "seconds",
    "steps_table",
    "to_dict",
    "totals_table",
]

if TYPE_CHECKING:
    from chanzi.runtime.hardware import HardwareCheck

_COLOURS = {"array": "green", "scratchpad": "yellow", "vector": "magenta", "DRAM": "red", "latency": "cyan"}


def number(value: float, unit: str = "") -> str:
    """Return a figure of three or four digits with a prefix: 3858000000 -> '3.858 G'."""
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.4g} {prefix}{unit}"
    return f"{value:.4g} {unit}".rstrip()


def seconds(value: float) -> str:
    """Return a duration with a fitting unit."""
    for limit, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= limit:
            return f"{value / limit:.4g} {unit}"
    return f"{value * 1e9:.4g} ns"


def rate(value: float) -> str:
    """Return frames a second: whole ones where there are many."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in shape)


def _top_losses(row: LayerRow, count: int = 2) -> str:
    lost = sorted(((n, cause) for cause, n in row.lost.items() if cause != "useful" and n), reverse=True)
    return ", ".join(f"{cause} {100 * n / row.core_cycles:.0f} %" for n, cause in lost[:count])


def _table(title: str) -> Table:
    return Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)


def layer_table(summary: Summary) -> Table:
    """Return one row for each layer: shape, MACs, cycles, utilization, what bounds it and what it lost most to."""
    table = _table(f"{summary.network} on {summary.chip.name}: layers")
    table.add_column("layer", overflow="fold", max_width=36)
    for name in ("kind", "output"):
        table.add_column(name)
    for name in ("MACs", "cycles", "share", "array used"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("bound by", no_wrap=True)
    table.add_column("lost most to")
    total = max(sum(row.core_cycles for row in summary.layers), 1)
    for row in summary.layers:
        table.add_row(
            row.name,
            row.kind,
            _shape(row.shape),
            number(row.macs) if row.macs else "",
            f"{row.cycles:,.0f}",
            _percent(row.core_cycles / total),
            _percent(row.utilization) if row.macs else "",
            Text(row.bound_by, style=_COLOURS[row.bound_by]),
            _top_losses(row),
        )
    return table


def lost_table(summary: Summary) -> Table:
    """Return every cause with its core-cycles and share; the rows sum to the total."""
    table = _table("Where the cycles went")
    table.add_column("cause")
    table.add_column("core-cycles", justify="right")
    table.add_column("share", justify="right")
    table.add_column("meaning")
    total = sum(summary.lost.values())
    for cause, meaning in CAUSES.items():
        if summary.lost[cause]:
            table.add_row(cause, f"{summary.lost[cause]:,}", _percent(summary.lost[cause] / max(total, 1)), meaning)
    table.add_section()
    table.add_row("total", f"{total:,}", "100.0 %", f"cycles × cores in use ({summary.cores_used})")
    return table


def totals(summary: Summary) -> list[tuple[str, str]]:
    """Return the totals as (name, text) pairs, for the terminal and for report.html."""
    chip = summary.chip
    frames = f" for {summary.frames} frames" if summary.frames > 1 else ""
    rows = [
        ("latency, weights resident", f"{seconds(summary.latency_s)} ({summary.cycles:,} cycles{frames})"),
        ("latency, cold", f"{seconds(summary.cold_latency_s)} ({summary.cold_cycles:,} cycles)"),
        ("throughput", f"{rate(summary.frames_per_s)} frames/s"),
        ("work", f"{number(summary.macs, 'MAC')} a frame on the chip"),
        ("delivered", f"{summary.tops:.4g} TOPS of {summary.tops_peak:.4g} peak"),
        ("arrays in use", f"{_percent(summary.utilization)} busy with the network's MACs"),
        ("cores", f"{summary.cores_used} of {chip.cores} ({summary.mode})"),
        ("DRAM a run", f"{number(summary.dram_bytes, 'B')}; once before: {number(summary.setup_dram_bytes, 'B')}"),
    ]
    if summary.achieved is not None and summary.bound_cycles is not None:
        text = f"{summary.bound_cycles:,.0f} cycles; this program reaches {_percent(summary.achieved)} of it"
        rows.append(("least possible", text))
    if summary.host:
        time = "" if summary.host_seconds is None else f", {seconds(summary.host_seconds)}"
        share = summary.macs / max(summary.macs + summary.host_macs, 1)
        rows.append(("on the host", f"{len(summary.host)} pieces{time}; {_percent(share)} of MACs on the chip"))
    return rows


def totals_table(summary: Summary) -> Table:
    """Return latency, rate, TOPS, traffic and bound."""
    table = _table("Totals")
    table.show_header = False
    table.add_column("what", style="bold")
    table.add_column("value")
    for name, text in totals(summary):
        table.add_row(name, text)
    return table


def steps_table(summary: Summary) -> Table:
    """Return the segments and host steps in the order in which they run."""
    table = _table("Steps")
    for name in ("step", "where"):
        table.add_column(name)
    table.add_column("time", justify="right")
    table.add_column("what")
    segments = {s.name: s for s in summary.segments}
    host = {step.name: step for step in summary.host}
    for name in summary.order:
        if name in segments:
            s = segments[name]
            time = seconds(s.cycles / summary.chip.clock_hz)
            table.add_row(name, "chip", time, f"{s.cycles:,} cycles, {s.instructions:,} instructions")
        else:
            step = host[name]
            time = "" if step.seconds is None else seconds(step.seconds)
            table.add_row(name, "host", time, ", ".join(step.ops) + (f": {step.reason}" if step.reason else ""))
    return table


def compare_table(summaries: Sequence[Summary]) -> Table:
    """Return several runs side by side, one row each (several chips on one model, or the other way round)."""
    table = _table("Compared")
    table.add_column("chip")
    table.add_column("network")
    for name in ("latency", "cold", "frames/s", "TOPS", "of peak", "array used", "DRAM", "of bound", "lost most to"):
        table.add_column(name, justify="right")
    for s in summaries:
        cause = max((c for c in CAUSES if c != "useful"), key=lambda c: s.lost[c])
        table.add_row(
            s.chip.name,
            s.network,
            seconds(s.latency_s),
            seconds(s.cold_latency_s),
            rate(s.frames_per_s),
            f"{s.tops:.4g}",
            _percent(s.tops / s.tops_peak),
            _percent(s.utilization),
            number(s.dram_bytes, "B"),
            "" if s.achieved is None else _percent(s.achieved),
            f"{cause} {_percent(s.lost[cause] / max(sum(s.lost.values()), 1))}",
        )
    return table


def hardware_table(checks: "Sequence[HardwareCheck]") -> Table:
    """Return what the RTL did beside what the simulators say, a row for each piece of the network."""
    table = Table(box=box.SIMPLE_HEAD, title="RTL under Verilator", title_justify="left")
    table.add_column("piece")
    for name in ("runs", "setup cycles", "frame cycles", "simulator's", "bytes that differ", "cycles a second"):
        table.add_column(name, justify="right")
    table.add_column("")
    for piece in checks:
        rtl, timing = piece.rtl_cycles, piece.timing_cycles
        simulators = f"{timing[0]:,} + {timing[1]:,}"
        words = "equal" if piece.equal else "; ".join(("DIFFERENT", *piece.broken_rules))
        style = "green" if piece.equal else "red"
        cells = (f"{piece.runs}", f"{rtl[0]:,}", f"{rtl[1]:,}", simulators, f"{piece.different_bytes:,}")
        table.add_row(piece.name, *cells, number(piece.cycles_per_s), Text(words, style=style))
    return table
