"""What an instruction may say: every field against the chip, one rule a line. Order and waits are in `isa.ordering`.

A legal instruction touches only memory that exists, writes each byte once, and asks for nothing that one word per port
and cycle could not do. Numbers are Python's, so that no sum here can wrap around.
"""

from collections.abc import Callable, Sequence

from chanzi.chip.chip import Chip, Core
from chanzi.errors import ProgramError
from chanzi.isa.fields import DotFlag, Opcode, VecFlag, VecKind
from chanzi.isa.hazards import dram_span, streams
from chanzi.isa.instruction import Instruction
from chanzi.isa.vector_cycles import cut_pixels

MAX_K = 1 << 20
"""Products of a sum: 2^20 of 17 bits stay far below what float64 holds exactly."""
MAX_TAPS = 1 << 18
"""Global pooling of a 512 x 512 map."""
MAX_WEIGHT_TAPS = 128
"""Weights of a channel that a lane of the vector unit holds: taps of MAC."""
_HINT = "the program is damaged or was not made for this chip; compile the network again"

Rule = tuple[bool, str]


def check_instructions(chip: Chip, code: Sequence[Instruction], *, core: int, cores: int, dram: range) -> None:
    """Raise `ProgramError` at the first instruction that is not legal by itself.

    Parameters
    ----------
    core, cores : int
        Whose code it is, of how many.
    dram : range
        Addresses in DRAM that exist; the part before ``dram.start`` may be read but not written.
    """
    for index, ins in enumerate(code):
        _raise_first(_header(ins, cores) + _BODY[ins.opcode](chip.core, ins), core, index, ins)
        _raise_first(_memory(chip, ins, dram), core, index, ins)  # sound fields first: these rules compute with them


def _raise_first(rules: list[Rule], core: int, index: int, ins: Instruction) -> None:
    for ok, what in rules:
        if not ok:
            raise illegal(core, index, ins, what)


def illegal(core: int, index: int, ins: Instruction, what: str) -> ProgramError:
    """Return the error that names the instruction."""
    return ProgramError(f"core {core}, instruction {index} ({ins.opcode.name}): {what}", hint=_HINT)


def _header(ins: Instruction, cores: int) -> list[Rule]:
    known = {Opcode.DOT: sum(DotFlag), Opcode.VEC: sum(VecFlag)}.get(ins.opcode, 0)
    return [
        (not ins.flags & ~known, f"flags {ins.flags:#x} has bits without a meaning"),
        (ins.peer_core < cores, f"peer_core is {ins.peer_core}, there are {cores} cores"),
    ]


def _memory(chip: Chip, ins: Instruction, dram: range) -> list[Rule]:
    """Every stream inside the scratchpad, none beside another in one bank, pixels whole, DMA inside DRAM."""
    size = chip.core.scratchpad.bytes
    rules: list[Rule] = []
    found = streams(ins)
    for stream in found:
        for low, high in stream.spans:
            rules.append((0 <= low <= high <= size, f"{stream.name} reaches from {low} to {high} of {size} bytes"))
    if any(not ok for ok, _ in rules):
        return rules
    bank = chip.core.scratchpad.bank_bytes
    taken: dict[int, str] = {}
    for stream in found:
        mine: set[int] = set()
        for low, high in stream.spans:
            if high > low:
                mine.update(range(low // bank, (high - 1) // bank + 1))
        shared = [taken[b] for b in mine if b in taken]
        rules.append((not shared, f"{stream.name} and {shared[0] if shared else ''} share a bank"))
        taken.update(dict.fromkeys(mine, stream.name))
    if ins.opcode == Opcode.VEC:
        cut = cut_pixels(ins)  # a port reads a pixel's bytes, and banks beside the map may be another stream's
        rules.append((not cut, f"{cut} pixels of a line's windows lie partly outside the map"))
    if ins.opcode in (Opcode.LOAD, Opcode.STORE):
        low, high = dram_span(ins)
        rules.append((high <= dram.stop, f"DRAM from {low} to {high}, of {dram.stop} bytes in use"))
        rules.append((ins.opcode == Opcode.LOAD or low >= dram.start, f"writes DRAM at {low}, inside the image"))
    return rules


def _at_least_one(ins: Instruction, names: Sequence[str]) -> list[Rule]:
    return [(getattr(ins, name) >= 1, f"{name} is 0") for name in names]


def _is_bit(ins: Instruction, *names: str) -> list[Rule]:
    return [(getattr(ins, name) in (0, 1), f"{name} is {getattr(ins, name)}") for name in names]


def _aligned(core: Core, ins: Instruction, names: Sequence[str]) -> list[Rule]:
    """Require multiples of the atom: only then is every window of a port's width one access."""
    atom = core.atom_bytes
    return [(getattr(ins, n) % atom == 0, f"{n} {getattr(ins, n)} is no multiple of {atom} bytes") for n in names]


def _parameters(ins: Instruction) -> list[str]:
    """Return the addresses of parameters in use; BIAS, scales and TABLE have the same bits in DOT and VEC."""
    pairs = (("bias_base", DotFlag.BIAS), ("scale_base", DotFlag.COLUMN_SCALE), ("table_base", DotFlag.TABLE))
    return [name for name, flag in pairs if ins.flags & flag]


def _zero_point(ins: Instruction, zero: str, signed: str) -> Rule:
    least = -128 if getattr(ins, signed) else 0
    value = getattr(ins, zero)
    return least <= value <= least + 255, f"{zero} {value} is no value of the operand's type"


def _range(ins: Instruction, low: str, high: str) -> Rule:
    a, b = getattr(ins, low), getattr(ins, high)
    return -128 <= a <= b <= 255 and b - a <= 255, f"{low} {a} and {high} {b} are no range of a byte"


def _apart(run: int, loops: Sequence[tuple[int, int]]) -> bool:
    """Return whether runs of bytes, repeated by nested (step, count) loops, are certain not to overlap."""
    reach = run
    for step, count in sorted((step, count) for step, count in loops if count > 1):
        if step < reach:
            return False
        reach += step * (count - 1)
    return True


def coordinate_limit(core: Core) -> int:
    """Return what sizes, steps and coordinates of a map stay below, windows outside the map included.

    Four times the scratchpad (to a power of two): engines count in that many bits, and no sound layer needs more.
    """
    return 4 << (core.scratchpad.bytes - 1).bit_length()


_DOT_SIZES = (
    *(f"{p}_{name}" for p in "ab" for name in ("count", "row_width", "line_stride", "height", "width_bytes")),
    *(f"{p}_{name}" for p in "ab" for name in ("x_step", "tap_x_step", "run")),
    *("out_y", "out_x", "res_y", "res_x"),
)
_VEC_SIZES = ("line_stride", "height", "width_bytes", "x_step", "tap_x_step", "rows", "columns", "channels")
_VEC_SIZES += ("out_y", "out_x", "second_y", "second_x")


def coordinate_rules(core: Core, ins: Instruction) -> list[Rule]:
    """Return the rules that keep a DOT's or VEC's sizes, and the lines and bytes its windows reach, countable."""
    limit = coordinate_limit(core)
    if ins.opcode == Opcode.VEC:
        sizes = _VEC_SIZES
        reaches = [("", ins.rows, ins.columns, ins.channels)]
    else:
        sizes = _DOT_SIZES
        reaches = []
        for p in "ab":
            end, width = getattr(ins, f"{p}_first") + getattr(ins, f"{p}_count"), max(getattr(ins, f"{p}_row_width"), 1)
            reaches.append((f"{p}_", -(-end // width), min(end, width), getattr(ins, f"{p}_run")))
    rules = [(getattr(ins, n) < limit, f"{n} is {getattr(ins, n)}; must be less than {limit}") for n in sizes]
    for p, rows, columns, run in reaches:
        for axis, what, count, more in (("y", "line", rows, 1), ("x", "byte", columns, run)):
            first = -getattr(ins, f"{p}pad_{axis}")
            last = first + (count - 1) * getattr(ins, f"{p}{axis}_step") + more - 1
            last += (getattr(ins, f"{p}taps_{axis}") - 1) * getattr(ins, f"{p}tap_{axis}_step")
            ok = -limit < first and last < limit
            rules.append((ok, f"{p}windows reach from {what} {first} to {last}; must stay within {limit}"))
    return rules


def _halt(core: Core, ins: Instruction) -> list[Rule]:
    del core, ins
    return []


def _dma(core: Core, ins: Instruction) -> list[Rule]:
    side = "base" if ins.opcode == Opcode.LOAD else "dram"
    loops = [(getattr(ins, f"{side}_step{i}"), getattr(ins, f"count{i}")) for i in (1, 2)]
    n_bytes = ins.run * ins.count1 * ins.count2
    return [
        *_at_least_one(ins, ("run", "count1", "count2")),
        (n_bytes <= core.scratchpad.bytes, f"moves {n_bytes} bytes, the scratchpad has {core.scratchpad.bytes}"),
        (_apart(ins.run, loops), "writes a byte twice"),
        *_aligned(core, ins, ("base", *(f"base_step{i}" for i in (1, 2) if getattr(ins, f"count{i}") > 1))),
    ]


def _dot(core: Core, ins: Instruction) -> list[Rule]:
    flags = ins.flags
    k = [getattr(ins, f"{p}_run") * getattr(ins, f"{p}_taps_y") * getattr(ins, f"{p}_taps_x") for p in "ab"]
    rules: list[Rule] = []
    for p in "ab":
        names = ("count", "row_width", "run", "taps_y", "taps_x")
        rules += _at_least_one(ins, [f"{p}_{name}" for name in names])
        rules += _is_bit(ins, f"{p}_signed")
        rules.append(_zero_point(ins, f"{p}_zero", f"{p}_signed"))
        rules.append((getattr(ins, f"{p}_base") < core.scratchpad.bytes, f"{p}_base is outside the scratchpad"))
        first, width = getattr(ins, f"{p}_first"), getattr(ins, f"{p}_row_width")
        rules.append((first < width, f"{p}_first {first} lies past the first line of {width} rows"))
        names = ("base", "line_stride", "x_step", "tap_x_step", "pad_x")
        rules += _aligned(core, ins, [f"{p}_{name}" for name in names])
    alone = not flags & (DotFlag.TABLE | DotFlag.ADD | DotFlag.MUL | DotFlag.COLUMN_SCALE)
    one_tile = ins.a_count <= core.dim and ins.b_count <= core.dim
    rules += [
        (k[0] == k[1], f"rows of A have {k[0]} bytes, rows of B {k[1]}"),
        (k[0] <= MAX_K, f"sums of {k[0]} products; at most {MAX_K}"),
        (not (flags & DotFlag.ADD and flags & DotFlag.MUL), "both ADD and MUL"),
        (not flags & DotFlag.RAW or alone, "RAW has no epilogue, but the flags ask for one"),
        (ins.carry_shift in (0, 8), f"carry_shift is {ins.carry_shift}; 0 or 8"),
        (not ins.carry_shift or bool(flags & DotFlag.CONTINUE), "carry_shift without CONTINUE"),
        (one_tile or not flags & (DotFlag.HOLD | DotFlag.CONTINUE), f"sums stay only in one tile of {core.dim} rows"),
        (
            not flags & DotFlag.HOLD or not flags & ~(DotFlag.HOLD | DotFlag.CONTINUE),
            "HOLD drains nothing, no epilogue",
        ),
        _range(ins, "low", "high"),
        *_aligned(core, ins, _parameters(ins)),
    ]
    if flags & (DotFlag.ADD | DotFlag.MUL):
        rules += _is_bit(ins, "mid_signed", "res_signed", "res_first")
        rules += [_range(ins, "out_low", "out_high"), _zero_point(ins, "mid_zero", "mid_signed")]
        rules.append(_zero_point(ins, "res_zero", "res_signed"))
        rules += _aligned(core, ins, ("res_base", "res_y", "res_x"))
    rules += coordinate_rules(core, ins)
    if not flags & DotFlag.HOLD:
        rules += _aligned(core, ins, ("out_base", "out_y", "out_x"))
        width = ins.b_count * (4 if flags & DotFlag.RAW else 1)
        lines = (ins.a_first + ins.a_count - 1) // max(ins.a_row_width, 1) - ins.a_first // max(ins.a_row_width, 1) + 1
        pixels = min(ins.a_count, ins.a_row_width) if lines > 1 else ins.a_count
        rules.append((_apart(width, [(ins.out_x, pixels), (ins.out_y, lines)]), "writes a byte twice"))
    return rules


def _vec(core: Core, ins: Instruction) -> list[Rule]:
    kinds = [int(kind) for kind in VecKind]
    windowed = ins.kind in (VecKind.MAX, VecKind.SUM, VecKind.MAC)
    taps = ins.taps_y * ins.taps_x
    parameters = {
        VecFlag.BIAS: (VecKind.SUM, VecKind.MAC),
        VecFlag.CHANNEL_SCALE: (VecKind.SUM, VecKind.MAC),
        VecFlag.SCALAR: (VecKind.ADD, VecKind.MUL),
        VecFlag.TABLE: tuple(kind for kind in VecKind if kind != VecKind.SOFTMAX),
    }
    rules = [
        (ins.kind in kinds, f"kind {ins.kind} is unknown"),
        *_at_least_one(ins, ("rows", "columns", "channels", "height", "width_bytes")),
        *_is_bit(ins, "signed", "second_signed", "weight_signed"),
        (not windowed or 1 <= taps <= MAX_TAPS, f"{taps} taps; between 1 and {MAX_TAPS}"),
        (windowed or ins.kind == VecKind.SOFTMAX or taps == 1, f"{taps} taps where one is read"),
        (ins.base < core.scratchpad.bytes, "base is outside the scratchpad"),
        _zero_point(ins, "zero_in", "signed"),
        _range(ins, "low", "high"),
        (_apart(ins.channels, [(ins.out_x, ins.columns), (ins.out_y, ins.rows)]), "writes a byte twice"),
    ]
    rules += _aligned(core, ins, ("base", "line_stride", "x_step", "tap_x_step", "pad_x", "out_base", "out_y", "out_x"))
    rules += _aligned(core, ins, _parameters(ins))
    rules += coordinate_rules(core, ins)
    inside = ins.width_bytes >= ins.channels or not ins.flags & VecFlag.CLAMP_EDGE
    rules.append((inside, f"a line of {ins.width_bytes} bytes has no edge pixel of {ins.channels} channels"))
    if ins.flags & VecFlag.CLAMP_EDGE:
        right = ins.width_bytes - ins.channels
        rules.append((right % core.atom_bytes == 0, f"the edge pixel at byte {right} is at no multiple of an atom"))
    for flag, of in parameters.items():
        rules.append((not ins.flags & flag or ins.kind in of, f"flag {flag.name} does not go with kind {ins.kind}"))
    if ins.kind in (VecKind.ADD, VecKind.MUL):
        rules.append(_zero_point(ins, "second_zero", "second_signed"))
        if not ins.flags & VecFlag.SCALAR:
            rules += _aligned(core, ins, ("second_base", "second_y", "second_x"))
    if ins.kind == VecKind.MAC:
        rules.append((taps <= MAX_WEIGHT_TAPS, f"weights of {taps} taps; at most {MAX_WEIGHT_TAPS}"))
        whole = taps == 1 or ins.channels % core.atom_bytes == 0
        rules.append((whole, f"weights of {ins.channels} channels a tap are no whole atoms"))
        rules.append(_zero_point(ins, "weight_zero", "weight_signed"))
        rules += _aligned(core, ins, ("weight_base",))
    if ins.kind == VecKind.SOFTMAX:
        rules += _aligned(core, ins, ("table_base",))
    return rules


_BODY: dict[Opcode, Callable[[Core, Instruction], list[Rule]]] = {
    Opcode.HALT: _halt,
    Opcode.LOAD: _dma,
    Opcode.STORE: _dma,
    Opcode.DOT: _dot,
    Opcode.VEC: _vec,
}
