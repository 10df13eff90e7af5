"""``chanzi chips``: list, show, validate, derive."""

from pathlib import Path
from typing import Any

from cyclopts import App

from chanzi.chip import Chip, dump_chip, load_chip, parse_chip, presets
from chanzi.cli.console import say, say_json
from chanzi.errors import ChipError

app = App(name="chips", help="List, show, check and work out chips.")


def derived(chip: Chip) -> dict[str, Any]:
    """Return what follows from the description: the figures people compare chips by."""
    core = chip.core
    return {
        "name": chip.name,
        "description": chip.description,
        "cores": chip.cores,
        "dim": core.dim,
        "clock_hz": chip.clock_hz,
        "peak_tops": chip.peak_tops,
        "macs_per_cycle": chip.cores * core.macs_per_cycle,
        "port_bytes_per_cycle": core.port_bytes,
        "atom_bytes": core.atom_bytes,
        "vector_lanes": core.lanes,
        "scratchpad_bytes": chip.cores * core.scratchpad.bytes,
        "bank_bytes": core.scratchpad.bank_bytes,
        "dram_bytes_per_s": chip.dram.bytes_per_s,
        "dram_bytes_per_cycle": chip.dram_bytes_per_cycle,
        "dram_latency_cycles": chip.dram_latency_cycles,
        "balance_macs_per_dram_byte": chip.peak_macs_per_s / chip.dram.bytes_per_s,
    }


@app.default
def list_chips(*, json: bool = False) -> None:
    """List the chips that ship with Chanzi.

    Parameters
    ----------
    json
        Write JSON instead of a table.
    """
    rows = [derived(load_chip(name)) for name in presets()]
    if json:
        say_json(rows)
        return
    say(f"{'chip':<16} {'cores':>5} {'array':>8} {'clock':>9} {'TOPS':>8} {'SRAM':>9} {'DRAM':>11}")
    for row in rows:
        array = f"{row['dim']}x{row['dim']}"
        say(
            f"{row['name']:<16} {row['cores']:>5} {array:>8} {row['clock_hz'] / 1e6:>5.0f} MHz {row['peak_tops']:>8.3g}"
            f" {_size(row['scratchpad_bytes']):>9} {row['dram_bytes_per_s'] / 1e9:>6.3g} GB/s"
        )


app.command(list_chips, name="list")


@app.command
def show(chip: str) -> None:
    """Print a chip's TOML, ready to be saved and changed.

    Parameters
    ----------
    chip
        A preset's name or a .toml file.
    """
    shipped = presets()
    say((shipped[chip] if chip in shipped else dump_chip(load_chip(chip))).rstrip("\n"))


@app.command
def validate(*files: Path, json: bool = False) -> int:
    """Check chip files; the exit code is 1 where one of them cannot be built.

    Parameters
    ----------
    files
        Chip files in TOML.
    json
        Write JSON: for each file whether it is well, and the reason if not.
    """
    if not files:
        raise ChipError("no file to validate", hint="chanzi chips validate my-chip.toml")
    rows: list[dict[str, Any]] = []
    for file in files:
        try:
            # Read as a file even where a preset has the same name.
            found = load_chip(file) if file.suffix == ".toml" else parse_chip(_text(file), origin=str(file))
            rows.append({"file": str(file), "ok": True, "name": found.name, "error": ""})
        except ChipError as error:
            rows.append({"file": str(file), "ok": False, "name": "", "error": str(error)})
    if json:
        say_json(rows)
    else:
        for row in rows:
            say(f"{row['file']}: ok, {row['name']}" if row["ok"] else f"{row['file']}: {row['error']}")
    return 0 if all(row["ok"] for row in rows) else 1


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise ChipError(f"{file} is not UTF-8 text", hint="a chip is a TOML file") from None


@app.command
def derive(chip: str, *, json: bool = False) -> None:
    """Work out a chip's peak TOPS, bytes per cycle and balance.

    Parameters
    ----------
    chip
        A preset's name or a .toml file.
    json
        Write JSON instead of lines.
    """
    found = load_chip(chip)
    row = derived(found)
    if json:
        say_json(row)
        return
    core = found.core
    clock = f"{found.clock_hz / 1e6:,.0f} MHz"
    banks = f"{core.scratchpad.banks} banks of {_size(row['bank_bytes'])}"
    lines = {
        "chip": f"{found.name}: {found.description}" if found.description else found.name,
        "peak": f"{row['peak_tops']:.4g} TOPS int8 = {row['macs_per_cycle']:,} MAC/cycle at {clock}",
        "cores": f"{found.cores}, each {core.dim}x{core.dim} cells, {core.lanes} vector lanes",
        "scratchpad": f"{_size(core.scratchpad.bytes)} a core in {banks}",
        "ports": f"{core.port_bytes} bytes per cycle each (atom {core.atom_bytes} bytes)",
        "DRAM": f"{found.dram.bytes_per_s / 1e9:.4g} GB/s = {row['dram_bytes_per_cycle']:.4g} bytes per cycle, "
        f"{row['dram_latency_cycles']} cycles away, {_size(found.dram.capacity_bytes)}",
        "balance": f"{row['balance_macs_per_dram_byte']:.4g} MAC per DRAM byte keep the arrays busy",
    }
    for key, text in lines.items():
        say(f"{key:<11} {text}")


def _size(n_bytes: int) -> str:
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.4g} {unit}"
    return f"{n_bytes} B"
