"""Hold a machine to the reference: run programs on both, compare every byte, and name the first that differs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from chanzi.errors import ChanziError
from chanzi.isa.disasm import line
from chanzi.isa.fields import ENGINE_OF, Engine, Opcode
from chanzi.isa.instruction import Halt, Instruction
from chanzi.program.program import Compiled, CoreCode
from chanzi.sim import reference

Bytes = npt.NDArray[np.uint8]
RUNS = 2
"""Times the frame code runs: what a machine keeps from one run to the next is part of the check."""


@dataclass(frozen=True, slots=True, eq=False)
class Memories:
    """What a machine leaves behind."""

    dram: Bytes
    scratchpads: Sequence[Bytes]


class _Simulator(Protocol):
    @property
    def dram(self) -> Bytes: ...

    @property
    def scratchpads(self) -> list[Bytes]: ...

    def step(self) -> None: ...


Machine = Callable[[Compiled, int], Memories]
"""Runs the setup code once and the frame code so many times, all memories zero but for the image."""


class MismatchError(ChanziError):
    """A machine left other bytes than the reference."""


def run_reference(compiled: Compiled, runs: int) -> Memories:
    """Run on the reference."""
    return _run(reference.Simulator(compiled), runs)


def run_fast(compiled: Compiled, runs: int) -> Memories:
    """Run on the fast simulator."""
    from chanzi.sim.fast import Simulator

    return _run(Simulator(compiled), runs)


def _run(simulator: _Simulator, runs: int) -> Memories:
    for _ in range(runs):
        simulator.step()
    return Memories(simulator.dram, simulator.scratchpads)


def check_machine(machine: Machine, programs: Iterable[Compiled]) -> int:
    """Run every program on the machine and on the reference; return how many there were.

    Raises
    ------
    MismatchError
        At the first program that leaves other bytes: the memory and address, and the instruction that first does so.
    """
    n = 0
    for n, compiled in enumerate(programs, 1):
        found = _difference(machine, compiled, RUNS)
        if found:
            where = _first_instruction(machine, compiled)
            raise MismatchError(f"program {n - 1}: {found}", hint=where)
    return n


def _difference(machine: Machine, compiled: Compiled, runs: int) -> str:
    """Return where the memories differ first, or nothing."""
    mine, theirs = run_reference(compiled, runs), machine(compiled, runs)
    names = ["DRAM", *(f"scratchpad of core {n}" for n in range(len(mine.scratchpads)))]
    for name, a, b in zip(names, [mine.dram, *mine.scratchpads], [theirs.dram, *theirs.scratchpads], strict=True):
        if a.shape != b.shape:
            return f"{name} has {b.size} bytes, not {a.size}"
        at = np.flatnonzero(a != b)
        if at.size:
            first = int(at[0])
            return f"{at.size} bytes of the {name} differ, the first at {first}: {b[first]}, not {a[first]}"
    return ""


def program_order(code: Sequence[Sequence[Instruction]]) -> list[tuple[int, int]]:
    """Return (core, index) of every instruction before HALT, each after the STOREs of peers that it waits for."""
    order: list[tuple[int, int]] = []
    at, stores = [0] * len(code), [0] * len(code)
    moved = True
    while moved:
        moved = False
        for n, program in enumerate(code):
            ins = program[at[n]]
            if ins.opcode != Opcode.HALT and (not ins.wait_peer or stores[ins.peer_core] >= ins.wait_peer):
                order.append((n, at[n]))
                stores[n] += ENGINE_OF[ins.opcode] == Engine.STORE
                at[n] += 1
                moved = True
    return order


def _first_instruction(machine: Machine, compiled: Compiled) -> str:
    """Return the first instruction after which one run differs, by running ever longer beginnings of the program."""
    cores = compiled.segment.cores
    order = program_order([core.frame for core in cores])
    kept = [0] * len(cores)
    for n, index in [(-1, -1), *order]:
        if n >= 0:
            kept[n] = index + 1
        shorter = tuple(
            CoreCode(setup=core.setup, frame=(*core.frame[:k], Halt())) for core, k in zip(cores, kept, strict=True)
        )
        part = replace(compiled, segment=replace(compiled.segment, cores=shorter))
        if _difference(machine, part, 1):
            if n < 0:
                return "the setup code already differs"
            return f"core {n}, instruction {index}: {line(cores[n].frame[index])}"
    return "only running the frame code again shows it"
