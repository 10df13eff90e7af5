"""Pages of the manual that are a view of the code: nothing in them is written by hand."""

import inspect

from chanzi import settings
from chanzi.chip import dump_chip, load_chip, presets


def instruction_set() -> str:
    """Return the instruction-set manual, which derives from the encoding tables, with its executable definition."""
    from chanzi.isa.manual import manual_markdown
    from chanzi.sim import reference

    rows = [manual_markdown(), "## Definition", "", "```python", inspect.getsource(reference).rstrip(), "```"]
    return "\n".join(rows) + "\n"


def environment() -> str:
    """Return the table of environment variables."""
    rows = ["# Environment variables", "", "| variable | default | meaning |", "|---|---|---|"]
    rows += [f"| `{s.name}` | {f'`{s.default}`' if s.default else 'empty'} | {s.meaning} |" for s in settings.ALL]
    return "\n".join(rows) + "\n"


def chips() -> str:
    """Return the shipped chips: what follows from each description, and the description with its sources."""
    rows = ["# The chips that ship", "", "| chip | cores | array | clock | scratchpad | peak | DRAM |", "|---|---|---|---|---|---|---|"]  # fmt: skip  # noqa: E501 - a table's head
    names = sorted(presets())
    for name in names:
        chip = load_chip(name)
        size = chip.core.scratchpad.bytes
        memory = f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"
        cells = [f"[`{name}`](#{name})", f"{chip.cores}", f"{chip.core.dim}×{chip.core.dim}"]
        cells += [f"{chip.clock_hz / 1e6:g} MHz", f"{chip.cores} × {memory}", f"{chip.peak_tops:.4g} TOPS"]
        cells += [f"{chip.dram_bytes_per_cycle:.4g} bytes a cycle, {chip.dram_latency_cycles} cycles away"]
        rows.append("| " + " | ".join(cells) + " |")
    for name in names:
        rows += ["", f"## {name}", "", load_chip(name).description + ".", "", "```toml", dump_chip(load_chip(name)).rstrip(), "```"]  # fmt: skip  # noqa: E501 - one section
    return "\n".join(rows) + "\n"


def causes() -> str:
    """Return the table of what a cycle can be spent on."""
    from chanzi.cost.lost import CAUSES

    rows = [
        "| cause | the cycle went to |",
        "|---|---|",
        *(f"| {name} | {meaning} |" for name, meaning in CAUSES.items()),
    ]
    return "\n".join(rows) + "\n"
