"""What instructions may do beside one another: waits that come true, and no bank and no DRAM byte in two hands.

Every core's engines run in order, so what has certainly completed when an instruction starts is one count for each
engine of each core: what it waited for, what those had waited for, and so on. Whatever else touches the same bank (or
the same bytes of DRAM, one of them writing) must be among what has completed.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Chip
from chanzi.errors import ProgramError
from chanzi.isa.fields import ENGINE_OF, WAITS, DotFlag, Engine, Opcode
from chanzi.isa.hazards import dram_span, streams
from chanzi.isa.instruction import Instruction
from chanzi.isa.legality import check_instructions, illegal

_ENGINES = len(Engine)
Clock = npt.NDArray[np.int64]
"""[core][engine]: how many instructions have certainly completed."""


def check_program(chip: Chip, codes: Sequence[Sequence[Instruction]], *, dram_bytes: int, image_bytes: int = 0) -> None:
    """Raise `ProgramError` where the code of one part (setup or frame) of all cores is not legal on `chip`.

    Parameters
    ----------
    codes : sequence of sequences of instructions
        One for each core in use; each ends in HALT.
    dram_bytes, image_bytes : int
        DRAM in use, and how much of it from address 0 may not be written.
    """
    if not 1 <= len(codes) <= chip.cores:
        raise ProgramError(f"code for {len(codes)} cores, the chip has {chip.cores}")
    for core, code in enumerate(codes):
        if not code or code[-1].opcode != Opcode.HALT or any(ins.opcode == Opcode.HALT for ins in code[:-1]):
            raise ProgramError(f"core {core}: code must end in its one HALT", hint="compile the network again")
        held = chip.core.code_instructions
        if len(code) > held:
            raise ProgramError(
                f"core {core}: {len(code)} instructions, its instruction memory holds {held}",
                hint="compile for a chip with a larger core.code_instructions",
            )
        check_instructions(chip, code, core=core, cores=len(codes), dram=range(image_bytes, dram_bytes))
        _check_held_sums(core, code)
    _Order(chip, codes).check()


def _check_held_sums(core: int, code: Sequence[Instruction]) -> None:
    """CONTINUE needs a DOT of the same shape before it that held its sums."""
    held: tuple[int, int] | None = None
    for index, ins in enumerate(code):
        if ins.opcode == Opcode.DOT:
            shape = (ins.a_count, ins.b_count)
            if ins.flags & DotFlag.CONTINUE and held != shape:
                raise illegal(core, index, ins, "CONTINUE without a DOT of the same shape and HOLD before it")
            held = shape if ins.flags & DotFlag.HOLD else None


class _Dma:
    """The LOADs or STOREs of one core so far: spans of DRAM, in order."""

    def __init__(self, size: int) -> None:
        self.low = np.zeros(size, np.int64)
        self.high = np.zeros(size, np.int64)
        self.count = 0

    def add(self, low: int, high: int) -> None:
        self.low[self.count], self.high[self.count] = low, high
        self.count += 1

    def newest(self, low: int, high: int) -> int:
        """Return the number (from 1) of the newest that overlaps, 0 for none."""
        at = np.flatnonzero((self.low[: self.count] < high) & (self.high[: self.count] > low))
        return int(at[-1]) + 1 if at.size else 0


class _Order:
    """Walks all cores' code in an order that respects waits on peers, and checks each instruction when it starts."""

    def __init__(self, chip: Chip, codes: Sequence[Sequence[Instruction]]) -> None:
        cores = len(codes)
        self._codes = codes
        self._bank = chip.core.scratchpad.bank_bytes
        banks = chip.core.scratchpad.banks
        self._touched = np.zeros((cores, _ENGINES, banks), np.int64)
        self._late = np.zeros((cores, banks), np.int64)
        self._done: list[list[list[Clock]]] = [[[] for _ in Engine] for _ in range(cores)]
        """[core][engine][n]: what has completed when the engine's instruction n has."""
        self._dma = [
            {op: _Dma(sum(ins.opcode == op for ins in code)) for op in (Opcode.LOAD, Opcode.STORE)} for code in codes
        ]

    def check(self) -> None:
        """Raise `ProgramError` at the first instruction that may meet another, or waits in vain."""
        at = [0] * len(self._codes)
        while any(i < len(code) for i, code in zip(at, self._codes, strict=True)):
            before = list(at)
            for core, code in enumerate(self._codes):
                while at[core] < len(code) and self._peer_is_there(code[at[core]]):
                    if code[at[core]].opcode != Opcode.HALT:
                        self._start(core, at[core], code[at[core]])
                    at[core] += 1
            if at == before:
                core = next(c for c, code in enumerate(self._codes) if at[c] < len(code))
                ins = self._codes[core][at[core]]
                raise illegal(core, at[core], ins, f"waits for STORE {ins.wait_peer} of a peer, which never comes")

    def _peer_is_there(self, ins: Instruction) -> bool:
        return ins.wait_peer <= len(self._done[ins.peer_core][Engine.STORE])

    def _start(self, core: int, index: int, ins: Instruction) -> None:
        engine = ENGINE_OF[ins.opcode]
        known = self._known(core, index, ins, engine)
        self._check_banks(core, index, ins, engine, known[core])
        if ins.opcode in (Opcode.LOAD, Opcode.STORE):
            self._check_dram(core, index, ins, known)
        after = known.copy()
        after[core, engine] = len(self._done[core][engine]) + 1
        self._done[core][engine].append(after)

    def _known(self, core: int, index: int, ins: Instruction, engine: Engine) -> Clock:
        """Return what has certainly completed when the instruction starts."""
        known = np.zeros((len(self._codes), _ENGINES), np.int64)
        done = self._done[core]
        if done[engine]:
            known = done[engine][-1].copy()
            if engine == Engine.ARRAY:  # its predecessor may still be draining
                known[core, engine] = max(known[core, engine] - 1, 0)
        waits = [(done[e], getattr(ins, name), name) for e, name in zip(Engine, WAITS, strict=True)]
        if ins.wait_peer:
            waits.append((self._done[ins.peer_core][Engine.STORE], ins.wait_peer, "wait_peer"))
        for of, count, name in waits:
            if count > len(of):
                raise illegal(core, index, ins, f"{name} is {count}, only {len(of)} come before it")
            if count:
                known = np.maximum(known, of[count - 1])
        return known

    def _check_banks(self, core: int, index: int, ins: Instruction, engine: Engine, known: Clock) -> None:
        touched, late = self._touched[core], self._late[core]
        number = len(self._done[core][engine]) + 1
        ranges = [
            (stream, slice(low // self._bank, (high - 1) // self._bank + 1))
            for stream in streams(ins)
            for low, high in stream.spans
            if high > low
        ]
        for stream, banks in ranges:
            for other in Engine:
                if other != engine:
                    newest = int(touched[other, banks].max())
                elif engine == Engine.ARRAY and not stream.late:
                    newest = int(late[banks].max())
                else:
                    continue
                if newest > known[other]:
                    what = f"{stream.name} may meet {other.name} instruction {newest} in a bank"
                    raise illegal(core, index, ins, what)
        for stream, banks in ranges:
            touched[engine, banks] = number
            if stream.late:
                late[banks] = number

    def _check_dram(self, core: int, index: int, ins: Instruction, known: Clock) -> None:
        low, high = dram_span(ins)
        for other, dma in enumerate(self._dma):
            for opcode, spans in dma.items():
                if ins.opcode == Opcode.LOAD == opcode or (other == core and opcode == ins.opcode):
                    continue  # two readers never disturb each other, and one engine keeps its order
                newest = spans.newest(low, high)
                if newest > known[other, ENGINE_OF[opcode]]:
                    what = f"DRAM from {low} to {high} may meet {opcode.name} {newest} of core {other}"
                    raise illegal(core, index, ins, what)
        self._dma[core][ins.opcode].add(low, high)
