"""A chip's RTL as Verilog and as a machine, made once and kept: what `chanzi rtl` writes and `--sim rtl` runs."""

import dataclasses
import hashlib
import json
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from chanzi.chip.chip import Chip
from chanzi.chip.load import dump_chip
from chanzi.errors import FlowError
from chanzi.flow.machine import build_machine
from chanzi.flow.module import ports_of
from chanzi.flow.verilog import to_verilog
from chanzi.settings import cache_dir

TOP = "chanzi_top"
"""Name of the chip's top module."""

_SOURCES = ("chip", "isa", "rtl", "flow/verilog.py")


def design(chip: Chip, *, banks: bool) -> Any:
    """Return the chip as an Amaranth component.

    Raises
    ------
    FlowError
        Amaranth is not installed.
    ChipError
        The chip has no hardware: a scratchpad or a bus that is not drawn.
    """
    try:
        from chanzi.rtl.top import ChipTop
    except ModuleNotFoundError as error:
        raise FlowError(f"{error.name} is not installed", hint="pip install 'chanzi[rtl]'") from None
    return ChipTop(chip, model=not banks)


def memory_models(*, banks: bool) -> str:
    """Return Verilog of the memories that the chip instantiates."""
    from chanzi.rtl.scratchpad import READS, WRITES
    from chanzi.rtl.sram import CODE_MODEL, SRAM_MODEL, scratchpad_model

    return CODE_MODEL + (SRAM_MODEL if banks else scratchpad_model(len(READS), len(WRITES)))


def chip_verilog(chip: Chip, *, banks: bool, flatten: bool) -> tuple[str, dict[str, int]]:
    """Return the chip's Verilog, without its memories, and the bits of its ports; from the cache if made before."""
    folder, key = cache_dir() / "verilog", _key(chip, banks, flatten)
    ports = folder / f"{key}.json"  # written last: where it is, the Verilog is
    if ports.exists():
        return ports.with_suffix(".v").read_text(), json.loads(ports.read_text())
    made = design(chip, banks=banks)
    text, bits = to_verilog(made, name=TOP, flatten=flatten), ports_of(made)
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in ((ports.with_suffix(".v"), text), (ports, json.dumps(bits))):
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
            file.write(content)
        Path(file.name).replace(path)
    return text, bits


def chip_machine(
    chip: Chip, *, banks: bool = False, trace: bool = False, optimize: str = "-O1"
) -> tuple[Path, dict[str, int]]:
    """Return (library, ports) of the chip as `flow.machine.Machine` takes them."""
    verilog, ports = chip_verilog(chip, banks=banks, flatten=not trace)
    library = build_machine(verilog + memory_models(banks=banks), top=TOP, ports=ports, optimize=optimize, trace=trace)
    return library, ports


def hardware_key(chip: Chip) -> str:
    """Return a hash of everything that the chip's hardware, with its scratchpad in banks, depends on."""
    return _key(chip, True, False)


def _key(chip: Chip, banks: bool, flatten: bool) -> str:
    """Return a hash of everything that the Verilog depends on."""
    root = Path(__file__).parents[1]
    plain = dataclasses.replace(chip, name="chip", description="", sources={}, node_nm=0.0)
    digest = hashlib.sha256(f"{dump_chip(plain)} {banks} {flatten}".encode())
    for package in ("amaranth", "pyosys"):
        try:
            digest.update(version(package).encode())
        except PackageNotFoundError:
            raise FlowError(f"{package} is not installed", hint="pip install 'chanzi[rtl]'") from None
    for source in _SOURCES:
        path = root / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
