"""``chanzi disasm`` and ``chanzi verify``: programs read and checked."""

from pathlib import Path
from typing import Literal

from chanzi.cli.console import say, say_json
from chanzi.errors import ProgramError


def disasm(program: Path, *, part: Literal["setup", "frame", "all"] = "all", full: bool = False) -> None:
    """Print the instructions of a program.

    Parameters
    ----------
    program
        A .chz file.
    part
        setup: what runs once. frame: what runs for every frame.
    full
        Also every field that is not zero.
    """
    from chanzi.isa.disasm import disassemble
    from chanzi.program import container

    model = container.read(program)
    for step in model.chip_steps:
        names = [layer.name for layer in step.segment.layers]
        for index, core in enumerate(step.segment.cores):
            for name, code in (("setup", core.setup), ("frame", core.frame)):
                if part in (name, "all"):
                    say(f"; {step.name}, core {index}, {name}: {len(code)} instructions for {model.chip.name}")
                    for line in disassemble(code, names, full=full):
                        say(line)


def verify(program: Path, *, json: bool = False) -> int:
    """Check that a program is whole and legal for its chip; the exit code is 1 where it is not.

    Parameters
    ----------
    program
        A .chz file.
    json
        Write JSON.
    """
    from chanzi.program import container
    from chanzi.program.verify import verify as check

    try:
        model = container.read(program)
        count, reason = check(model), ""
    except ProgramError as error:
        model, count, reason = None, 0, str(error)
    if json:
        chip = None if model is None else model.chip.name
        say_json({"file": str(program), "ok": not reason, "chip": chip, "instructions": count, "error": reason})
    elif reason:
        say(reason if str(program) in reason else f"{program}: {reason}")
    else:
        assert model is not None
        say(f"{program}: ok, {count} instructions for {model.chip.name}, every hash and every rule holds")
    return 1 if reason else 0
