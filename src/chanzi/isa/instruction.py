"""Instructions as frozen Python values, and the way to bytes and back. All classes derive from `isa.fields`."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from chanzi.errors import ProgramError
from chanzi.isa.fields import BODY, HEADER, INSTRUCTION_BYTES, LAYOUT, Field, Opcode


def _make(name: str, opcode: Opcode) -> Any:  # a type checker cannot follow make_dataclass
    def spec(f: Field) -> tuple[str, type, Any]:
        return f.name, float if f.kind.startswith("f") else int, dataclasses.field(default=0)

    fields = [spec(f) for f in HEADER[1:] + BODY[opcode]]
    cls = dataclasses.make_dataclass(name, fields, frozen=True, kw_only=True, slots=True, namespace={"opcode": opcode})
    cls.__doc__ = f"The {name.upper()} instruction; its fields are those of `chanzi.isa.fields`."
    cls.__module__ = __name__
    return cls


Halt = _make("Halt", Opcode.HALT)
Load = _make("Load", Opcode.LOAD)
Store = _make("Store", Opcode.STORE)
Dot = _make("Dot", Opcode.DOT)
Vec = _make("Vec", Opcode.VEC)

CLASS_OF = {Opcode.HALT: Halt, Opcode.LOAD: Load, Opcode.STORE: Store, Opcode.DOT: Dot, Opcode.VEC: Vec}
Instruction = Any  # one of the five classes above


def encode(instructions: Sequence[Instruction]) -> bytes:
    """Return the instructions as bytes, 256 each.

    Raises
    ------
    ProgramError
        A value does not fit its field.
    """
    out = np.zeros((len(instructions), INSTRUCTION_BYTES), np.uint8)
    for opcode, layout in LAYOUT.items():
        at = [i for i, ins in enumerate(instructions) if ins.opcode == opcode]
        if not at:
            continue
        record = np.zeros(len(at), layout)
        for name in layout.names or ():
            try:
                record[name] = [getattr(instructions[i], name) for i in at]
            except (OverflowError, ValueError) as error:
                raise ProgramError(f"{opcode.name}: a value does not fit field '{name}': {error}") from None
        out[at] = record.view(np.uint8).reshape(len(at), INSTRUCTION_BYTES)
    return out.tobytes()


def decode(code: bytes | memoryview) -> list[Instruction]:
    """Return the instructions of `code`.

    Raises
    ------
    ProgramError
        The length is not a multiple of 256, or an opcode is unknown (named with its index).
    """
    if len(code) % INSTRUCTION_BYTES:
        raise ProgramError(f"code of {len(code)} bytes is not a whole number of {INSTRUCTION_BYTES}-byte instructions")
    raw = np.frombuffer(code, np.uint8).reshape(-1, INSTRUCTION_BYTES)
    result: list[Instruction] = [None] * len(raw)
    known = np.isin(raw[:, 0], [int(o) for o in LAYOUT])
    if not known.all():
        i = int(np.argmin(known))
        raise ProgramError(f"instruction {i}: unknown opcode {int(raw[i, 0])}", hint="the file is corrupt or newer")
    for opcode, layout in LAYOUT.items():
        at = np.flatnonzero(raw[:, 0] == opcode)
        if not len(at):
            continue
        record = np.ascontiguousarray(raw[at]).view(layout)[:, 0]
        names = (layout.names or ())[1:]
        columns = [record[name].tolist() for name in names]
        cls = CLASS_OF[opcode]
        for i, values in zip(at.tolist(), zip(*columns, strict=True), strict=True):
            result[i] = cls(**dict(zip(names, values, strict=True)))
    return result
