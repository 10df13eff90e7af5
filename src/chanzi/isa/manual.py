"""The instruction-set manual as Markdown, written from the encoding tables: nothing in it is a second copy."""

import inspect
import re
from collections.abc import Iterable
from dataclasses import replace
from enum import IntEnum, IntFlag

from chanzi.chip.chip import Core, Scratchpad
from chanzi.isa import cycles, fields, hazards
from chanzi.isa.fields import (
    BODY,
    ENGINE_OF,
    HEADER,
    INSTRUCTION_BYTES,
    LAYOUT,
    DotFlag,
    Engine,
    Field,
    Opcode,
    VecFlag,
    VecKind,
)
from chanzi.isa.pipeline import epilogue_cycles, float_add_cycles, softmax_drain_cycles, vector_latency_cycles

_SUMMARY = {
    Opcode.HALT: "The core's program ends.",
    Opcode.LOAD: "Copies runs of bytes from DRAM into the scratchpad.",
    Opcode.STORE: "Copies runs of bytes from the scratchpad into DRAM.",
    Opcode.DOT: "Multiplies rows of A with rows of B, then requantizes each sum and writes a byte.",
    Opcode.VEC: "Computes each output byte from a window of its operand, or from two operands.",
}
_C_TYPE = {"u": "uint{}_t", "i": "int{}_t"}
_CONSTANTS = (
    "START_CYCLES",
    "ARRAY_PIPELINE_CYCLES",
    "REQUEST_CYCLES",
    "FETCH_CYCLES",
    "TURN_CYCLES",
    "ARRIVAL_CYCLES",
    "RESPONSE_CYCLES",
)


_FORM = (
    f"A program is an array of instructions of {INSTRUCTION_BYTES} bytes, little-endian. Every instruction begins with "
    "the same header; the fields of its opcode follow, each at its natural alignment; what is left is zero."
)
_SOURCE = (
    "This page is written from the tables that the encoder, the decoder and the simulators read. What an instruction "
    "computes, byte for byte, is `chanzi.sim.reference`, which is meant to be read beside it."
)
_C_KEYWORDS = {"signed"}


def manual_markdown() -> str:
    """Return the whole manual."""
    parts = [
        "# The instruction set",
        _FORM,
        _SOURCE,
        "## Engines\n\n" + _engines(),
        "## Header\n\n" + _field_table(HEADER, Opcode.HALT),
    ]
    for opcode in Opcode:
        parts.append(f"## {opcode.name} ({int(opcode)})\n\n{_SUMMARY[opcode]}")
        if opcode == Opcode.DOT:
            parts += ["Bits of `flags`:", _enum_table(DotFlag), _doc(fields._stream)]
        if opcode == Opcode.VEC:
            parts += ["Kinds:", _enum_table(VecKind), "Bits of `flags`:", _enum_table(VecFlag)]
        if BODY[opcode]:
            parts.append(_field_table(BODY[opcode], opcode))
    parts += ["## Hazards", _doc(hazards), "## Cycles", _doc(cycles), _constants()]
    return "\n\n".join(parts) + "\n"


def _engines() -> str:
    rows = ["| engine | number | runs |", "|---|---:|---|"]
    for engine in Engine:
        runs = ", ".join(opcode.name for opcode, of in ENGINE_OF.items() if of == engine)
        rows.append(f"| {engine.name.lower()} | {int(engine)} | {runs} |")
    return "\n".join(rows) + "\n\nEach runs its instructions in program order; the four run beside one another."


def _field_table(table: Iterable[Field], opcode: Opcode) -> str:
    rows = ["| offset | type | field | meaning |", "|---:|---|---|---|"]
    for field in table:
        offset = LAYOUT[opcode].fields[field.name][1]  # type: ignore[index] - a structured dtype has fields
        rows.append(f"| {offset} | `{c_type(field)}` | `{field.name}` | {field.doc} |")
    return "\n".join(rows)


def c_type(field: Field) -> str:
    """Return the field's type in C."""
    return "float" if field.kind.startswith("f") else _C_TYPE[field.kind[0]].format(8 * field.size)


def _enum_table(kind: type[IntEnum] | type[IntFlag]) -> str:
    """Return name, value and the comment that stands beside each member in the source."""
    rows = ["| value | name | meaning |", "|---:|---|---|"]
    notes = dict(re.findall(r"^ +([A-Z_]+) = \d+ +# (.+)$", inspect.getsource(kind), re.MULTILINE))
    rows += [f"| {int(member)} | `{member.name}` | {notes.get(str(member.name), '')} |" for member in kind if member]
    if issubclass(kind, IntEnum) and 0 in list(kind):
        zero = kind(0)
        rows.insert(2, f"| 0 | `{zero.name}` | {notes.get(zero.name, '')} |")
    return "\n".join(rows)


def _doc(thing: object) -> str:
    """Return a docstring without its first line, which names the thing."""
    return "\n".join(inspect.getdoc(thing).splitlines()[2:])  # type: ignore[union-attr] - all of these have one


def _constants() -> str:
    """Return the latencies and the comments below them in the source."""
    source = inspect.getsource(cycles)
    rows = ["| constant | cycles | meaning |", "|---|---:|---|"]
    for name in _CONSTANTS:
        note = re.search(rf'^{name} = \d+\n"""(.+)"""$', source, re.MULTILINE)
        rows.append(f"| `{name}` | {getattr(cycles, name)} | {note.group(1) if note else ''} |")
    rows += ["", "Those of the float32 pipelines depend on `core.float_stages`:", ""]
    rows += ["| latency | cycles with 1 stage | with 2 | meaning |", "|---|---:|---:|---|"]
    core = Core(dim=8, scratchpad=Scratchpad(bytes=4096, banks=4))
    cores = [core, replace(core, float_stages=2)]
    for latency in (epilogue_cycles, vector_latency_cycles, float_add_cycles, softmax_drain_cycles):
        short, deep = map(latency, cores)
        said = (inspect.getdoc(latency) or "").partition("\n")[0]
        meaning = said.removeprefix("Return ").removeprefix("the cycles ")
        rows.append(f"| `{latency.__name__}` | {short} | {deep} | {meaning[0].upper()}{meaning[1:]} |")
    return "\n".join(rows)


def c_header() -> str:
    """Return the structures as a C header, for readers in other languages."""
    lines = [
        "/* Written from chanzi.isa.fields. Instructions are 256 bytes, little-endian. */",
        "#include <stdint.h>",
        "",
    ]
    for opcode in Opcode:
        lines.append(f"#define CHANZI_{opcode.name} {int(opcode)}")
    for opcode, body in BODY.items():
        lines += ["", f"struct chanzi_{opcode.name.lower()} {{"]
        at = 0
        for field in HEADER + body:
            name = f"{field.name}_" if field.name in _C_KEYWORDS else field.name
            lines.append(f"    {c_type(field)} {name}; /* {field.doc} */")
            at = LAYOUT[opcode].fields[field.name][1] + field.size  # type: ignore[index] - as above
        if at < INSTRUCTION_BYTES:
            lines.append(f"    uint8_t zero_[{INSTRUCTION_BYTES - at}];")
        lines.append("};")
    return "\n".join(lines) + "\n"
