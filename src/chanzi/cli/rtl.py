"""``chanzi rtl``: a chip's hardware as Verilog, with its integration page and a bench that checks itself."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from chanzi.cli.console import note, say, say_json, working
from chanzi.cli.network import described
from chanzi.errors import ModelError


def rtl(
    *,
    chip: Annotated[str, Parameter(name=["--chip", "-c"])] = "chanzi-8",
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("rtl"),
    program: Path | None = None,
    banks: bool = True,
    json: bool = False,
) -> None:
    """Write a chip's RTL: Verilog by unit, a file list, an integration page, a self-checking test bench.

    The bench runs a program on the RTL and compares the memory it leaves, and its cycles, with the simulators':
    ``verilator --binary --timing -Wno-fatal -Wno-lint -f chanzi.f --top-module chanzi_bench`` in the folder, then
    ``obj_dir/Vchanzi_bench``. Any other SystemVerilog simulator does as well.

    Parameters
    ----------
    chip
        A preset's name or a .toml file.
    output
        The folder to write.
    program
        A .chz whose first piece the bench runs; without one, a random legal program that covers the instruction set.
    banks
        The scratchpad in banks of SRAM macros; --no-banks writes a behavioural model, for simulation only.
    json
        Write JSON.
    """
    from chanzi.flow.package import write_package

    described_chip = described(chip)
    with working(f"writing the RTL of {described_chip.name}"):
        if program is None:
            from chanzi.conform.selftest import self_test

            compiled = self_test(described_chip)
        else:
            from chanzi.program import container

            model = container.read(program)
            if model.chip != described_chip:
                raise ModelError(f"{program} was compiled for '{model.chip.name}'", hint=f"--chip {model.chip.name}")
            if not model.chip_steps:
                raise ModelError(f"nothing of {program} runs on the chip", hint="name another program")
            compiled = model.compiled(model.chip_steps[0])
        package = write_package(described_chip, output, compiled, banks=banks)
    if json:
        say_json({"folder": str(package.folder), "files": list(package.files), "modules": package.modules})
        return
    say(f"{package.folder}: {package.modules} modules in {len(package.files)} files")
    for file in (*package.files, "chanzi.f", "INTEGRATION.md"):
        say(f"  {file}")
    note("INTEGRATION.md has ports, registers and how to start a program")
