"""Episodes of a Gymnasium environment as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from chanzi.report.tables import seconds


def gym_table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row for each backend and chip: reward and steps with their intervals, latency, watts."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("backend", "chip"):
        table.add_column(name)
    for name in ("reward", "95 % interval", "steps", "a frame", "acts after", "found it busy", "W"):
        table.add_column(name, justify="right")
    for row in rows:
        total, watts = row["total"], row["watts"]
        table.add_row(
            row["backend"],
            row["chip"],
            f"{total.reward.value:.4g}",
            f"{total.reward.low:.4g} .. {total.reward.high:.4g}" if total.episodes > 1 else "",
            f"{total.steps.value:.4g}",
            seconds(row["chip_s"]),
            f"{total.delay_steps} steps",
            f"{total.dropped:.0%}",
            "" if watts is None else f"{watts:.3g}",
        )
    return table
