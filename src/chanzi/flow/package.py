"""A chip's RTL as a folder: Verilog by unit, memories, file list, integration page, a bench that checks itself."""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.errors import FlowError
from chanzi.flow.chip_model import TOP, chip_verilog, memory_models
from chanzi.isa.instruction import encode
from chanzi.program.layout import Frame, write_inputs
from chanzi.program.program import Compiled
from chanzi.sim.fast import Simulator
from chanzi.sim.timing import simulate

FILE_LIST = "chanzi.f"
_MODULE = re.compile(r"^module .*?^endmodule$", re.MULTILINE | re.DOTALL)
_ESCAPED = re.compile(r"\\(chanzi[.\w$]*) ")
_UNITS = ("array", "vector", "sequencer", "scratchpad", "load", "store")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What was written: the files, in the order of the file list, and the modules in them."""

    folder: Path
    files: tuple[str, ...]
    modules: int


def write_package(
    chip: Chip, folder: Path, program: Compiled, inputs: Mapping[str, Frame] | None = None, *, banks: bool = True
) -> Package:
    """Write the chip's RTL and a bench that runs `program`; `folder` appears whole or not at all.

    Parameters
    ----------
    chip : Chip
    folder : Path
        Must not exist, or be a package written before.
    program : Compiled
        What the bench runs and checks, on as many cores as it uses.
    inputs : mapping of str to ndarray
        A frame for its inputs; zeros where there is none.
    banks : bool
        The scratchpad in banks of SRAM macros; else its behavioural model, for simulation only.

    Raises
    ------
    FlowError
        `folder` holds something else, or a tool is missing.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / FILE_LIST).exists():
        raise FlowError(f"{folder} holds other files", hint="name a new folder")
    verilog, _ = chip_verilog(chip, banks=banks, flatten=False)
    from chanzi.rtl.integration import integration_page  # after the check that Amaranth is there

    files = _by_unit(verilog)
    files["memories.v"] = memory_models(banks=banks)
    modules = sum(text.count("\nendmodule") for text in files.values())
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        made = Path(name) / "rtl"
        made.mkdir()
        for file, text in files.items():
            (made / file).write_text(text)
        (made / "chanzi_bench.sv").write_text(_bench(chip, program, inputs or {}, made))
        (made / FILE_LIST).write_text("".join(f"{file}\n" for file in (*files, "chanzi_bench.sv")))
        (made / "INTEGRATION.md").write_text(integration_page(chip))
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    return Package(folder=folder, files=(*files, "chanzi_bench.sv"), modules=modules)


def _by_unit(verilog: str) -> dict[str, str]:
    """Return file -> text: modules by the unit of the core that they are in, with plain names."""
    plain = _ESCAPED.sub(lambda found: re.sub(r"\W", "_", found[1]).replace("_core0_", "_core_") + " ", verilog)
    files: dict[str, list[str]] = {}
    for module in _MODULE.findall(plain):
        name = module.split(maxsplit=2)[1].split("(")[0]
        unit = next((u for u in _UNITS if re.search(rf"_core\d*_{u}(_|$)|^chanzi_{u}_", name)), None)
        unit = unit or ("chip" if name.startswith(TOP) else "lanes")  # lanes share their blocks
        files.setdefault(f"chanzi_{unit}.v", []).append(module)
    return {file: "\n\n".join(modules) + "\n" for file, modules in files.items()}


def _bench(chip: Chip, program: Compiled, inputs: Mapping[str, Frame], folder: Path) -> str:
    """Return the bench; its memory images and code are written to `folder`."""
    from chanzi.rtl.bench import test_bench

    segment, beat = program.segment, chip.dram.beat_bytes
    simulator = Simulator(replace(program, chip=chip))
    blank = {p.name: np.full(p.shape, p.quant.zero, p.quant.dtype) for p in segment.inputs}
    write_inputs(simulator.dram, segment, [{**blank, **inputs}] * segment.frames)
    size = -(-simulator.dram.size // beat) * beat
    _hex(folder / "image.hex", simulator.dram, 1)
    simulator.step()
    _hex(folder / "expected.hex", simulator.dram, 1)
    lengths = []
    for n, core in enumerate(segment.cores):
        parts = [np.frombuffer(encode(code), np.uint8) for code in (core.setup, core.frame)]
        for part, code in zip(("setup", "frame"), parts, strict=True):
            _hex(folder / f"{part}{n}.hex", code, 4)
        lengths.append((parts[0].size // 4, parts[1].size // 4))
    cycles = [simulate(chip, segment, part=part).cycles for part in ("setup", "frame")]
    return test_bench(chip, memory_bytes=size, lengths=lengths, cycles=(cycles[0], cycles[1]))


def _hex(path: Path, data: np.ndarray, width: int) -> None:
    """Write bytes as lines of `width` bytes, the first byte lowest, as $readmemh takes them."""
    words = data.view(f"<u{width}") if width > 1 else data
    path.write_text("".join(f"{word:0{2 * width}x}\n" for word in words.tolist()))
