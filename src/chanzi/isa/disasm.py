"""Instructions as text: one line each, grouped by layer; `full` adds every field that is not zero, from the tables."""

from collections.abc import Iterator, Sequence

from chanzi.isa.fields import BODY, HEADER, WAITS, DotFlag, Engine, Opcode, VecFlag, VecKind
from chanzi.isa.instruction import Instruction

_LETTER = {Engine.LOAD: "L", Engine.STORE: "S", Engine.ARRAY: "A", Engine.VECTOR: "V"}


def disassemble(code: Sequence[Instruction], layers: Sequence[str] = (), *, full: bool = False) -> Iterator[str]:
    """Yield the lines of a program.

    Parameters
    ----------
    code : sequence of instructions
    layers : sequence of str, optional
        Names that the field `layer` indexes; a headline goes before the first instruction of each run of a layer.
    full : bool
        Also name every field that is not zero.
    """
    width = len(str(max(len(code) - 1, 0)))
    layer = -1
    for index, ins in enumerate(code):
        if layers and ins.opcode != Opcode.HALT and ins.layer != layer:
            layer = ins.layer
            name = layers[layer] if layer < len(layers) else f"layer {layer}"
            yield f"; {name}"
        yield f"{index:{width}}  {line(ins)}"
        if full:
            yield from (f"{'':{width}}      {name} = {value}" for name, value in values(ins))


def line(ins: Instruction) -> str:
    """Return one instruction in one line: what, from where, to where, with which options, after what."""
    match ins.opcode:
        case Opcode.LOAD:
            text = f"{_dma(ins)}  dram {ins.dram:#x}{_steps(ins, 'dram')} -> {ins.base:#x}{_steps(ins, 'base')}"
        case Opcode.STORE:
            text = f"{_dma(ins)}  {ins.base:#x}{_steps(ins, 'base')} -> dram {ins.dram:#x}{_steps(ins, 'dram')}"
        case Opcode.DOT:
            text = _dot(ins)
        case Opcode.VEC:
            text = _vec(ins)
        case _:
            text = ""
    return "  ".join(part for part in (f"{ins.opcode.name:5}", text, _waits(ins)) if part.strip()).rstrip()


def values(ins: Instruction) -> Iterator[tuple[str, int | float]]:
    """Yield (field, value) of every field that is not zero, in the order of the tables."""
    for field in HEADER[1:] + BODY[ins.opcode]:
        value = getattr(ins, field.name)
        if value:
            yield field.name, value


def _waits(ins: Instruction) -> str:
    """Return 'after L3 V2b P1:4': completed counts of engines; b where only a bank is waited for; P core:STOREs."""
    parts = []
    for engine, name in zip(Engine, WAITS, strict=True):
        count = getattr(ins, name)
        if count:
            parts.append(f"{_LETTER[engine]}{count}{'b' if ins.note >> int(engine) & 1 else ''}")
    if ins.wait_peer:
        parts.append(f"P{ins.peer_core}:{ins.wait_peer}")
    return "after " + " ".join(parts) if parts else ""


def _flags(ins: Instruction, kind: type[DotFlag] | type[VecFlag]) -> str:
    return " ".join(flag.name.lower() for flag in kind if flag and ins.flags & flag and flag.name)


def _dma(ins: Instruction) -> str:
    counts = [str(n) for n in (ins.count2, ins.count1) if n != 1]
    return "x".join([*counts, str(ins.run)]) + " B"


def _steps(ins: Instruction, side: str) -> str:
    steps = [(getattr(ins, f"{side}_step{i}"), getattr(ins, f"count{i}")) for i in (1, 2)]
    shown = [str(step) for step, count in steps if count != 1]
    return f" step {','.join(shown)}" if shown else ""


def _stream(ins: Instruction, side: str) -> str:
    def get(name: str) -> int:
        return getattr(ins, f"{side}_{name}")

    window = f"{get('taps_y')}x{get('taps_x')}x{get('run')}"
    text = f"{side.upper()} {get('count')} rows"
    if get("first"):
        text += f" from {get('first')}"
    text += f" of {window} @{get('base'):#x} {'s8' if get('signed') else 'u8'}"
    return text + (f"-{get('zero')}" if get("zero") > 0 else f"+{-get('zero')}" if get("zero") else "")


def _dot(ins: Instruction) -> str:
    target = "held" if ins.flags & DotFlag.HOLD else f"-> {ins.out_base:#x}"
    parts = [_stream(ins, "a"), _stream(ins, "b"), target, _flags(ins, DotFlag)]
    return "  ".join(part for part in parts if part)


def _vec(ins: Instruction) -> str:
    known = [int(kind) for kind in VecKind]
    kind = VecKind(ins.kind).name.lower() if ins.kind in known else f"kind {ins.kind}"
    shape = f"{ins.rows}x{ins.columns}x{ins.channels}"
    window = f" window {ins.taps_y}x{ins.taps_x}" if ins.taps_y * ins.taps_x != 1 else ""
    source = f"@{ins.base:#x} {'s8' if ins.signed else 'u8'}"
    if ins.kind in (VecKind.ADD, VecKind.MUL):
        source += f" with @{ins.second_base:#x} {'s8' if ins.second_signed else 'u8'}"
    parts = [f"{kind} {shape}{window}", source, f"-> {ins.out_base:#x}", _flags(ins, VecFlag)]
    return "  ".join(part for part in parts if part)
