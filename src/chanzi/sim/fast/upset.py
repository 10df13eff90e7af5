"""The fast simulator with a bit that flips: a particle's hit in the scratchpad, DRAM, the code memory or the array.

A flip happens between two instructions, at a cycle of the timing simulator's; memories keep it until they are written
again. Sums in the array are hit while they grow: adding is linear, so a sum that lost or gained 2^bit on its way ends
that much off, and what the epilogue made of it is made again.

What a hit instruction asks for may be nonsense. Where the hardware says so (an opcode, flag or kind that is none, a
loop without a turn, a wait for what does not come, an address the memory refuses) or would not end in time, that is a
`Trap` with its reason. Other nonsense (streams that meet in a bank, an address between two atoms, one beyond the
scratchpad) has no meaning in the instruction set: the hardware runs on and what it leaves is not known. That is a
`Trap`, too, but `undefined`: whoever counts must not take it for noticed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Chip
from chanzi.errors import ProgramError
from chanzi.isa.fields import INSTRUCTION_BYTES, WAITS, DotFlag, Engine, Opcode, VecFlag, VecKind
from chanzi.isa.hazards import dram_span
from chanzi.isa.instruction import Instruction, decode, encode
from chanzi.isa.ordering import check_program
from chanzi.program.program import Compiled
from chanzi.program.trace import Timing
from chanzi.sim.fast.simulator import Bytes, Simulator

if TYPE_CHECKING:
    from chanzi.sim.fast.prepare import CorePlan

WATCHDOG_FRAMES = 4
"""An instruction that alone takes as long as so many frames has not ended when the watchdog looks."""


class Place(Enum):
    """What a particle may hit."""

    SCRATCHPAD = "scratchpad"
    DRAM = "dram"
    PROGRAM = "program"
    SUM = "accumulator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upset:
    """One bit that flips.

    Parameters
    ----------
    place : Place
    core : int
    position : int
        Before the instruction that runs as the frame's number `position`; for a sum, in it.
    address : int
        Byte of the scratchpad, of DRAM, or of the core's frame code.
    bit : int
        Of the byte, 0 to 7; of a sum, 0 to 31.
    row, column, done : int
        Of a sum: which, and how many of its products were added when it was hit.
    """

    place: Place
    core: int = 0
    position: int = 0
    address: int = 0
    bit: int = 0
    row: int = 0
    column: int = 0
    done: int = 0


class Trap(ProgramError):  # noqa: N818 - the field's word
    """A program that its machine cannot go on with.

    Parameters
    ----------
    what : str
    undefined : bool
        The hardware does not notice.
    """

    def __init__(self, what: str, *, undefined: bool = False) -> None:
        super().__init__(what)
        self.undefined = undefined


class UpsetSimulator(Simulator):
    """Runs frames as `Simulator` does, and lets a bit flip in one of them.

    Parameters
    ----------
    compiled : Compiled
    timing : Timing
        Of the frame.
    """

    def __init__(self, compiled: Compiled, timing: Timing) -> None:
        super().__init__(compiled)
        self.timing = timing
        self._upset: Upset | None = None
        self._saved: tuple[list[Bytes], Bytes, list[npt.NDArray[np.int32]]] | None = None
        self._whole: tuple[list[Callable[[], None]], list[tuple[int, int]], list[CorePlan]] = ([], [], [])
        self._touched = False

    def order(self) -> list[tuple[int, int]]:
        """Return (core, index) of the frame's instructions in the order in which they run here."""
        if self._frame is None:
            self.setup()
        return list(self._order)

    def save(self) -> None:
        """Remember the memories: `restore` comes back to them."""
        self.order()
        self._saved = ([m.copy() for m in self.scratchpads], self.dram.copy(), [k.copy() for k in self._kept])
        self._whole = (self._frame or [], self._order, self._plans)

    def restore(self) -> None:
        """Come back to what was saved; a flip is undone wherever it went."""
        assert self._saved is not None
        scratchpads, dram, kept = self._saved
        for now, then in zip((*self.scratchpads, *self._kept), (*scratchpads, *kept), strict=True):
            np.copyto(now, then)
        np.copyto(self.dram, dram)
        self._frame, self._order, self._plans = self._whole
        if self._touched:
            for plan in self._plans:
                plan.forget((0, plan.memory.size))
        self._upset, self._touched = None, False

    def hit(self, upset: Upset) -> None:
        """Let the next frame be hit."""
        self._upset = upset

    def step(self) -> None:
        """Run the frame code once.

        Raises
        ------
        Trap
            A hit instruction makes no sense.
        """
        upset, self._upset = self._upset, None
        if upset is None:
            super().step()
            return
        if self._frame is None:
            self.setup()
        operations = self._frame or []
        self._touched = True
        for operation in operations[: upset.position]:
            operation()
        if upset.place is Place.SUM:
            self._run_hit(upset, operations[upset.position])
            rest = operations[upset.position + 1 :]
        else:
            rest = self._hit_memory(upset, operations)
        for operation in rest:
            operation()

    def _hit_memory(self, upset: Upset, operations: list) -> list:
        """Flip the bit; return the operations that are left of the frame."""
        if upset.place is Place.PROGRAM:
            return self._hit_program(upset)
        memory = self.dram if upset.place is Place.DRAM else self.scratchpads[upset.core]
        memory[upset.address] ^= np.uint8(1 << upset.bit)
        if upset.place is Place.SCRATCHPAD:
            self._plans[upset.core].forget((upset.address, upset.address + 1))
        return operations[upset.position :]

    def _run_hit(self, upset: Upset, operation: Callable[[], None]) -> None:
        """Run a DOT, one sum of which is hit while it grows."""
        core, index = self._order[upset.position]
        ins = self.segment.cores[core].frame[index]
        before = sum_before(self.scratchpads[core], ins, upset.row, upset.column, upset.done)
        if ins.flags & DotFlag.CONTINUE:
            at = upset.row * self.compiled.chip.core.dim + upset.column
            before += int(self._kept[core][at]) << ins.carry_shift
        operation()
        change = -(1 << upset.bit) if before >> upset.bit & 1 else 1 << upset.bit
        self._plans[core].disturb(index, upset.row, upset.column, change)

    def _hit_program(self, upset: Upset) -> list:
        """Flip a bit of an instruction; what comes later runs by the changed code, in this frame and from now on."""
        code = [core.frame for core in self.segment.cores]
        index = upset.address // INSTRUCTION_BYTES
        old = code[upset.core][index]
        new = flipped(old, upset.address % INSTRUCTION_BYTES, upset.bit)
        changed = [*code[upset.core][:index], new, *code[upset.core][index + 1 :]]
        if new.opcode == Opcode.HALT:
            changed = changed[: index + 1]  # what follows is not reached
        codes = [changed if n == upset.core else list(c) for n, c in enumerate(code)]
        check(self.compiled, codes, upset.core, index, limit_cycles=WATCHDOG_FRAMES * self.timing.cycles)
        done = set(self._order[: upset.position])
        self._frame = self._prepare(codes)
        return [
            operation for operation, at in zip(self._frame, self._order, strict=True) if at not in done
        ]  # one that has run does not run again


def flipped(ins: Instruction, byte: int, bit: int) -> Instruction:
    """Return the instruction with a bit of its 256 bytes flipped.

    Raises
    ------
    Trap
        Its opcode is none.
    """
    data = bytearray(encode([ins]))
    data[byte] ^= 1 << bit
    try:
        return decode(bytes(data))[0]
    except ProgramError as error:
        raise Trap(f"the sequencer stops: {error}") from None


def check(compiled: Compiled, codes: list[list[Instruction]], core: int, index: int, *, limit_cycles: int) -> None:
    """Raise `Trap` where the hardware stops at code with one changed instruction, or what it does is not defined."""
    chip, segment, ins = compiled.chip, compiled.segment, codes[core][index]
    what = _sequencer(chip, codes, core, index)
    if what:
        raise Trap(f"the sequencer stops: {what}")
    if ins.opcode in (Opcode.LOAD, Opcode.STORE):
        _, high = dram_span(ins)
        if high > chip.dram.capacity_bytes:
            raise Trap("the memory refuses the address")
    if _least_cycles(chip, ins) > limit_cycles:
        raise Trap("the watchdog: it does not end")
    try:
        check_program(chip, codes, dram_bytes=segment.dram_bytes, image_bytes=len(segment.image))
    except ProgramError as error:
        raise Trap(f"not defined: {error}", undefined=True) from None


def _sequencer(chip: Chip, codes: list[list[Instruction]], core: int, index: int) -> str:
    """Return why the hardware's sequencer stops at an instruction, by the rules of `chanzi.rtl.decode`, or nothing."""
    ins = codes[core][index]
    known = {Opcode.DOT: sum(DotFlag), Opcode.VEC: sum(VecFlag)}.get(ins.opcode, 0)
    if ins.opcode != Opcode.HALT and ins.flags & ~known:
        return "an unknown flag"
    if ins.peer_core >= chip.cores:
        return "an unknown peer"
    if ins.opcode == Opcode.VEC and ins.kind > max(VecKind):
        return "an unknown kind"
    names = {
        Opcode.DOT: [f"{p}_{n}" for p in "ab" for n in ("count", "row_width", "run", "taps_y", "taps_x")],
        Opcode.VEC: ["rows", "columns", "channels", "taps_y", "taps_x"],
        Opcode.LOAD: ["run", "count1", "count2"],
        Opcode.STORE: ["run", "count1", "count2"],
    }.get(ins.opcode, [])
    if any(getattr(ins, name) == 0 for name in names):
        return "a loop without a turn"
    sent = [0] * len(Engine)
    for earlier in codes[core][:index]:
        sent[_ENGINE[earlier.opcode]] += 1
    if ins.opcode != Opcode.HALT and any(getattr(ins, name) > sent[e] for e, name in enumerate(WAITS)):
        return "a wait for a later instruction"
    return ""


_ENGINE = {Opcode.LOAD: 0, Opcode.STORE: 1, Opcode.DOT: 2, Opcode.VEC: 3}


def _least_cycles(chip: Chip, ins: Instruction) -> float:
    """Return a bound from below on an instruction's cycles, without walking its loops."""
    core = chip.core
    match ins.opcode:
        case Opcode.DOT:
            K = ins.a_run * ins.a_taps_y * ins.a_taps_x
            tiles = max(ins.a_count // core.dim, 1) * max(ins.b_count // core.dim, 1)
            return float(tiles) * K
        case Opcode.VEC:
            return float(ins.rows) * ins.columns * max(ins.channels // core.lanes, 1)
        case Opcode.LOAD | Opcode.STORE:
            return float(ins.run) * ins.count1 * ins.count2 / chip.dram.beat_bytes
        case _:
            return 0.0


def sum_before(memory: Bytes, ins: Instruction, row: int, column: int, done: int) -> int:
    """Return the sum of a DOT's row and column after `done` of its products, without what was kept before."""
    a, b = (_values(memory, ins, side, n) for side, n in (("a", row), ("b", column)))
    return int((a[:done] * b[:done]).sum())


def _values(memory: Bytes, ins: Instruction, side: str, number: int) -> npt.NDArray[np.int64]:
    """Return one row of a stream, zero point subtracted; what lies outside the map is 0."""

    def get(name: str) -> int:
        return getattr(ins, f"{side}_{name}")

    y, x = divmod(get("first") + number, get("row_width"))
    ty, tx, j = (np.arange(get(name), dtype=np.int64) for name in ("taps_y", "taps_x", "run"))
    line = (y * get("y_step") + ty * get("tap_y_step") - get("pad_y"))[:, None, None]
    byte = ((x * get("x_step") + tx * get("tap_x_step") - get("pad_x"))[:, None] + j)[None]
    exists = (line >= 0) & (line < get("height")) & (byte >= 0) & (byte < get("width_bytes"))
    raw = memory[np.where(exists, get("base") + line * get("line_stride") + byte, get("base"))]
    value = raw.view(np.int8) if get("signed") else raw
    return np.where(exists, value.astype(np.int64) - get("zero"), 0).reshape(-1)
