"""What programs exercise of the encoding space: counted from the tables, so that nothing is forgotten."""

from collections import Counter
from collections.abc import Iterable, Iterator

from chanzi.chip.chip import Core
from chanzi.isa.fields import BODY, HEADER, DotFlag, Opcode, VecFlag, VecKind
from chanzi.isa.instruction import Instruction
from chanzi.program.program import Compiled

_KIND_FLAGS = {
    VecKind.SUM: (VecFlag.BIAS, VecFlag.CHANNEL_SCALE),
    VecKind.MAC: (VecFlag.BIAS, VecFlag.CHANNEL_SCALE),
    VecKind.ADD: (VecFlag.SCALAR,),
    VecKind.MUL: (VecFlag.SCALAR,),
}
_EPILOGUES = ("plain", "ADD", "MUL", "RAW", "HOLD")


def seen(compiled: Compiled) -> Counter[str]:
    """Count what one program exercises; the names are those of `space`."""
    counts: Counter[str] = Counter()
    for core in compiled.segment.cores:
        for ins in (*core.setup, *core.frame):
            counts.update(_of(compiled.chip.core, ins))
    counts["cores: " + ("one" if len(compiled.segment.cores) == 1 else "several")] += 1
    return counts


def space() -> set[str]:
    """Return every name that random programs should reach."""
    names = {"cores: one", "cores: several"}
    for opcode in Opcode:
        for field in HEADER[1:] + BODY[opcode]:
            names |= {f"{opcode.name}.{field.name} {kind}" for kind in _kinds(opcode, field.name, field.kind)}
    names |= {f"DOT {epilogue}" for epilogue in _EPILOGUES}
    names |= {f"DOT {epilogue} {flag.name}" for epilogue in _EPILOGUES[:3] for flag in _EPILOGUE_FLAGS}
    names |= {f"DOT tiles {rows} x {columns}" for rows in ("one", "more") for columns in ("one", "more")}
    names |= {"DOT RAW BIAS", "DOT CONTINUE", "DOT CONTINUE HOLD"}
    for kind in VecKind:
        names |= {f"VEC {kind.name}", f"VEC {kind.name} CLAMP_EDGE"}
        names |= {f"VEC {kind.name} {flag.name}" for flag in _KIND_FLAGS.get(kind, ())}
        if kind != VecKind.SOFTMAX:
            names.add(f"VEC {kind.name} TABLE")
    return names


_EPILOGUE_FLAGS = (DotFlag.BIAS, DotFlag.COLUMN_SCALE, DotFlag.TABLE)
_NEVER_ZERO = {"run", "count1", "count2", "rows", "columns", "channels", "taps_y", "taps_x", "height", "width_bytes"}
_NEVER_ZERO |= {"count", "row_width", "line_stride", "scale_base", "table_base"}
_HALT_FIELDS = {"wait_load", "wait_store", "wait_array", "wait_vector"}


def _kinds(opcode: Opcode, name: str, kind: str) -> Iterator[str]:
    """Yield which values of a field are to be seen: zero, positive, negative."""
    stem = name.removeprefix("a_").removeprefix("b_")
    if opcode == Opcode.HALT:
        yield from ("zero", "positive") if name in _HALT_FIELDS else ("zero",)
        return
    if opcode in (Opcode.LOAD, Opcode.STORE) and name in ("flags", "layer", "note"):
        yield "zero"
        return
    if stem not in _NEVER_ZERO and (opcode, name) not in _NEVER_ZERO_OF:
        yield "zero"
    yield "positive"
    if kind.startswith("i"):
        yield "negative"


_NEVER_ZERO_OF = {
    (Opcode.LOAD, "base_step1"),
    (Opcode.LOAD, "base_step2"),
    (Opcode.LOAD, "dram_step2"),
    (Opcode.STORE, "base_step1"),
    (Opcode.STORE, "base_step2"),
    (Opcode.STORE, "dram"),
    (Opcode.STORE, "dram_step1"),
    (Opcode.STORE, "dram_step2"),
    (Opcode.DOT, "out_y"),
    (Opcode.DOT, "out_x"),
    (Opcode.VEC, "out_y"),
    (Opcode.VEC, "out_x"),
}


def _of(core: Core, ins: Instruction) -> Iterator[str]:
    name = ins.opcode.name
    for field in HEADER[1:] + BODY[ins.opcode]:
        value = getattr(ins, field.name)
        yield f"{name}.{field.name} " + ("positive" if value > 0 else "negative" if value < 0 else "zero")
    if ins.opcode == Opcode.DOT:
        yield from _of_dot(core, ins)
    if ins.opcode == Opcode.VEC:
        kind = VecKind(ins.kind).name
        yield f"VEC {kind}"
        yield from (f"VEC {kind} {flag.name}" for flag in VecFlag if flag and ins.flags & flag)


def _of_dot(core: Core, ins: Instruction) -> Iterator[str]:
    flags = ins.flags
    chosen = [e for e in _EPILOGUES[1:] if flags & DotFlag[e]]
    epilogue = chosen[0] if chosen else "plain"
    yield f"DOT {epilogue}"
    yield from (f"DOT {epilogue} {flag.name}" for flag in _EPILOGUE_FLAGS if flags & flag)
    if flags & DotFlag.CONTINUE:
        yield "DOT CONTINUE HOLD" if flags & DotFlag.HOLD else "DOT CONTINUE"
    rows = "one" if ins.a_count <= core.dim else "more"
    yield f"DOT tiles {rows} x " + ("one" if ins.b_count <= core.dim else "more")


def missing(programs: Iterable[Compiled]) -> set[str]:
    """Return what the programs do not reach of `space`."""
    reached: Counter[str] = Counter()
    for compiled in programs:
        reached += seen(compiled)
    return space() - reached.keys()
