"""Synchronisation: the waits of every instruction, from the bank rule alone (see `isa.hazards`).

An instruction waits, engine by engine, for the newest earlier instruction that touched one of its banks, unless that
is known to have completed. The array overlaps its own instructions: there only what drains late meets what is fed.
In DRAM the same holds for bytes.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Core
from chanzi.isa.fields import ENGINE_OF, WAITS, Engine, Opcode
from chanzi.isa.hazards import Stream, data_shared, dram_span, streams
from chanzi.isa.instruction import Instruction


def synchronise(program: Sequence[Instruction], core: Core) -> list[Instruction]:
    """Return the instructions with their waits and the note that says which are for banks only."""
    bank = core.scratchpad.bank_bytes
    # newest instruction (1-based, per engine) that touched each bank; `late` only counts what drains
    touched = np.zeros((4, core.scratchpad.banks), np.int32)
    late = np.zeros(core.scratchpad.banks, np.int32)
    known: list[list[list[int]]] = [[], [], [], []]
    mine: list[list[tuple[Stream, ...]]] = [[], [], [], []]
    dram: list[list[tuple[int, int]]] = [[], []]  # spans of LOADs, STOREs that matter
    out: list[Instruction] = []
    for ins in program:
        engine = ENGINE_OF[ins.opcode]
        spans = streams(ins)
        now = list(known[engine][-1]) if known[engine] else [0, 0, 0, 0]
        if engine != Engine.ARRAY:
            now[engine] = len(known[engine])
        ranges = [
            (stream, low // bank, (high - 1) // bank + 1)
            for stream in spans
            for low, high in stream.spans
            if high > low
        ]
        need = _newest(engine, ranges, touched, late)
        _dram_waits(ins, need, dram)
        waits: dict[str, int] = {}
        note = 0
        # newest first: what it had waited for is then known as well
        for e in sorted(Engine, key=lambda e: -need[e]):
            if need[e] > now[e]:
                waits[WAITS[e]] = need[e]
                if ins.opcode not in (Opcode.LOAD, Opcode.STORE) or e not in (Engine.LOAD, Engine.STORE):
                    note |= (not data_shared(mine[e][need[e] - 1], spans)) << int(e)
                then = known[e][need[e] - 1]
                now = [max(a, b) for a, b in zip(now, then, strict=True)]
                now[e] = max(now[e], need[e])
        known[engine].append(now)
        mine[engine].append(spans)
        position = len(known[engine])
        for stream, first, end in ranges:
            touched[engine, first:end] = position
            if stream.late:
                late[first:end] = position
        if ins.opcode in (Opcode.LOAD, Opcode.STORE):
            dram[engine].append(dram_span(ins))
        out.append(dataclasses.replace(ins, note=note, **waits) if waits else ins)
    return out


def _newest(
    engine: Engine, ranges: list[tuple[Stream, int, int]], touched: npt.NDArray[np.int32], late: npt.NDArray[np.int32]
) -> list[int]:
    """Return, for each engine, its newest instruction that touched a bank of `ranges` and could still be active."""
    need = [0, 0, 0, 0]
    for e in Engine:
        for stream, first, end in ranges:
            if e != engine:
                need[e] = max(need[e], int(touched[e, first:end].max()))
            elif engine == Engine.ARRAY and not stream.late:
                need[e] = max(need[e], int(late[first:end].max()))
    return need


def _dram_waits(ins: Instruction, need: list[int], dram: list[list[tuple[int, int]]]) -> None:
    """Raise `need` to the newest STORE (for a LOAD) or LOAD (for a STORE) of overlapping DRAM bytes."""
    if ins.opcode not in (Opcode.LOAD, Opcode.STORE):
        return
    other = Engine.STORE if ins.opcode == Opcode.LOAD else Engine.LOAD
    low, high = dram_span(ins)
    for i in range(len(dram[other]), 0, -1):
        a, b = dram[other][i - 1]
        if a < high and low < b:
            need[other] = max(need[other], i)
            break
