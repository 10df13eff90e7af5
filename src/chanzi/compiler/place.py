"""Placement: an address for every buffer, in whole banks, for as long as it is in use.

Two buffers that are alive at the same time never share a bank, so their streams cannot meet. A buffer is alive from the
first job that names it to the last; `slack` jobs more keep its banks from being taken at once by something that would
then have to wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chanzi.chip.chip import Core
from chanzi.compiler.ir import Job


@dataclass(frozen=True, slots=True)
class Placed:
    """Addresses by buffer, and the first and last job that use each."""

    address: dict[str, int]
    lifetime: dict[str, tuple[int, int]]


def lifetimes(jobs: Sequence[Job], pinned: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return buffer -> (first, last) job index; `pinned` buffers live for the whole program."""
    alive: dict[str, tuple[int, int]] = {}
    for i, job in enumerate(jobs):
        for ref in job.refs:
            if not ref.buffer.startswith("dram:"):
                first, _ = alive.get(ref.buffer, (i, i))
                alive[ref.buffer] = (first, i)
    for name in pinned:
        if name in alive:
            alive[name] = (0, len(jobs))
    return alive


def place(jobs: Sequence[Job], sizes: dict[str, int], core: Core, pinned: Sequence[str], slack: int) -> Placed | None:
    """Return addresses, or None where the scratchpad is too small for this order."""
    bank = core.scratchpad.bank_bytes
    capacity = core.scratchpad.banks
    alive = lifetimes(jobs, pinned)
    address: dict[str, int] = {}
    taken: list[tuple[int, int, int, int]] = []  # (first bank, end bank, first job, last job)
    by_size = sorted(alive, key=lambda name: (name not in pinned, -sizes[name], alive[name]))
    for name in by_size:
        first, last = alive[name]
        banks = -(-sizes[name] // bank)
        end = last + slack
        hit = sorted((a, b) for a, b, start, stop in taken if start <= end and first <= stop)
        at = 0
        for a, b in hit:
            if a - at >= banks:
                break
            at = max(at, b)
        if at + banks > capacity:
            return None
        address[name] = at * bank
        taken.append((at, at + banks, first, end))
    return Placed(address, alive)


def peak(jobs: Sequence[Job], sizes: dict[str, int], core: Core, pinned: Sequence[str]) -> tuple[int, list[str]]:
    """Return (most banks in use at once, the buffers alive there): what to move to DRAM when placement fails."""
    bank = core.scratchpad.bank_bytes
    alive = lifetimes(jobs, pinned)
    change = [0] * (len(jobs) + 2)
    for name, (first, last) in alive.items():
        banks = -(-sizes[name] // bank)
        change[first] += banks
        change[last + 1] -= banks
    worst = at = now = 0
    for i, delta in enumerate(change):
        now += delta
        if now > worst:
            worst, at = now, i
    return worst, [name for name, (first, last) in alive.items() if first <= at <= last]
