"""What synthesis says of a chip: tables for the terminal, figures for JSON."""

from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table

from chanzi.flow.synth_chip import Silicon


def part_table(silicon: Silicon) -> Table:
    """Return gates, area and longest path by block."""
    unit = "ns" if silicon.timed else "levels"
    table = Table(
        title=f"{silicon.chip} in {silicon.library}", box=box.SIMPLE, title_justify="left", title_style="bold"
    )
    table.add_column("block")
    for head in ("cells", "flip-flops", "kgates", "logic mm²", "small memories mm²", "SRAM mm²", "share", unit):
        table.add_column(head, justify="right")
    table.add_column("longest path")
    whole = sum(part.um2 for part in silicon.parts) or 1.0
    for part in silicon.parts:
        table.add_row(
            part.name, f"{part.cells:,}", f"{part.flops:,}", f"{part.gates / 1e3:,.1f}", mm2(part.logic_um2),
            mm2(part.memory_um2), mm2(part.sram_um2), f"{100 * part.um2 / whole:.1f} %", delay(silicon, part.delay),
            part.path,
        )  # fmt: skip
    table.add_section()
    table.add_row(
        "all", f"{sum(p.cells for p in silicon.parts):,}", f"{sum(p.flops for p in silicon.parts):,}",
        f"{sum(p.gates for p in silicon.parts) / 1e3:,.1f}", mm2(sum(p.logic_um2 for p in silicon.parts)),
        mm2(sum(p.memory_um2 for p in silicon.parts)), mm2(sum(p.sram_um2 for p in silicon.parts)), "",
        delay(silicon, silicon.longest.delay), silicon.longest.name,
    )  # fmt: skip
    return table


def mm2(um2: float) -> str:
    """Return an area in mm2, or nothing."""
    return f"{um2 * 1e-6:.4g}" if um2 else ""


def delay(silicon: Silicon, value: float) -> str:
    """Return a delay in ns, or levels."""
    if not value:
        return ""
    return f"{value:.2f}" if silicon.timed else f"{value:.0f}"


def clock_line(silicon: Silicon) -> str:
    """Return what the longest path means for the chip's clock."""
    longest = silicon.longest
    if not silicon.timed:
        return f"longest path: {longest.delay:.0f} levels of logic in '{longest.name}' (no delays without --liberty)"
    most = 1e9 / longest.delay
    slow = [f"{p.name} ({p.delay:.2f} ns)" for p in silicon.parts if p.delay * silicon.clock_hz > 1e9]
    verdict = "too slow: " + ", ".join(slow) if slow else "every block is fast enough"
    return (
        f"longest path: {longest.delay:.2f} ns in '{longest.name}', {most / 1e6:,.0f} MHz before wires; "
        f"the chip's clock is {silicon.clock_hz / 1e6:,.0f} MHz: {verdict}"
    )


def to_dict(silicon: Silicon) -> dict[str, Any]:
    """Return everything, for JSON."""
    found = asdict(silicon)
    for part, made in zip(found["parts"], silicon.parts, strict=True):
        part["um2"] = made.um2
    whole = sum(part.um2 for part in silicon.parts)
    return {**found, "um2": whole, "um2_per_mac": whole / silicon.macs, "longest_delay": silicon.longest.delay}
