"""The sequencer against the timing simulator: every instruction of random programs begins in the cycle it should.

Engines are stand-ins that are free, and complete, when the timing simulator says so; what is tested is when each
instruction is handed over, and when the run ends.
"""

import dataclasses

import numpy as np
import pytest

from chanzi.chip import load_chip
from chanzi.chip.chip import Chip
from chanzi.conform.generate import random_program
from chanzi.isa.fields import ENGINE_OF, Engine, Opcode
from chanzi.isa.instruction import Halt, Load, encode
from chanzi.program.program import Compiled
from chanzi.sim.timing import simulate

amaranth_sim = pytest.importorskip("amaranth.sim")

from chanzi.rtl.sequencer import ErrorCode, Sequencer  # noqa: E402 - after the check that Amaranth is there


def _chip(**core: int) -> Chip:
    chip = load_chip("chanzi-8")
    return dataclasses.replace(chip, core=dataclasses.replace(chip.core, **core))


def _words(code: tuple) -> list[int]:
    raw = encode(code)
    return [int.from_bytes(raw[i : i + 256], "little") for i in range(0, len(raw), 256)]


def _expected(compiled: Compiled) -> dict[Engine, list[tuple[int, int, int]]]:
    """Return, for each engine, (when it could take the instruction, begin, complete) of each of its instructions."""
    timing = simulate(compiled.chip, compiled.segment)
    table: dict[Engine, list[tuple[int, int, int]]] = {e: [] for e in Engine}
    for row in range(len(timing)):
        e = Engine(int(timing.engine[row]))
        earlier = [r for r in range(row) if timing.engine[r] == e]
        free = 0
        if earlier:
            column = timing.busy_end if e == Engine.ARRAY else timing.complete
            column = timing.busy_begin if e in (Engine.LOAD, Engine.STORE) else column
            free = int(column[earlier[-1]])
        if e == Engine.ARRAY and len(earlier) > 1:
            free = max(free, int(timing.complete[earlier[-2]]))
        table[e].append((free, int(timing.start[row]), int(timing.complete[row])))
    return table


def _waited(compiled: Compiled) -> dict[Engine, int]:
    """Return the cycles in which each engine's next instruction was in its queue and waited for others."""
    timing = simulate(compiled.chip, compiled.segment)
    waited, taken = dict.fromkeys(Engine, 0), dict.fromkeys(Engine, -1)
    for row in range(len(timing)):
        e = Engine(int(timing.engine[row]))
        head = max(int(timing.dispatched[row]), taken[e] + 1)
        waited[e] += max(int(timing.ready[row]) - head, 0)
        taken[e] = int(timing.start[row])
    return waited


def _run(
    chip: Chip,
    words: list[int],
    expected: dict[Engine, list[tuple[int, int, int]]],
    limit: int,
    counters: dict[str, int] | None = None,
) -> tuple:
    """Return (begin cycles of each engine, cycles of the run, error, error index); fill in the engines' counters."""
    dut = Sequencer(chip)
    names = [f"{what}_{e.name.lower()}" for e in Engine for what in ("waited", "completed")]
    begins: dict[Engine, list[int]] = {e: [] for e in Engine}
    result = []

    async def bench(ctx) -> None:
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        index = 0
        for cycle in range(limit):
            ctx.set(dut.code, words[index] if index < len(words) else 0)
            for e in Engine:
                port = getattr(dut, f"engine_{e.name.lower()}")
                k = len(begins[e])
                ctx.set(port.ready, int(k < len(expected[e]) and cycle >= expected[e][k][0]))
                ctx.set(port.done, sum(c - 1 == cycle for _, _, c in expected[e]))
            for e in Engine:
                port = getattr(dut, f"engine_{e.name.lower()}")
                if ctx.get(port.valid) and ctx.get(port.ready):
                    begins[e].append(cycle)
            index = ctx.get(dut.code_index)
            await ctx.tick()
            if ctx.get(dut.ended):
                result.extend([ctx.get(dut.cycles), ctx.get(dut.error), ctx.get(dut.error_index)])
                if counters is not None:
                    counters.update((name, ctx.get(getattr(dut, name))) for name in names)
                return

    sim = amaranth_sim.Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return (begins, *result)


@pytest.mark.parametrize(("issue", "depth"), [(8, 16), (1, 2), (3, 1), (12, 4)])
def test_every_instruction_begins_when_the_timing_simulator_says(issue: int, depth: int) -> None:
    chip = _chip(issue_cycles=issue, queue_depth=depth)
    rng = np.random.default_rng(issue)
    for _ in range(2):
        compiled = random_program(chip, rng, instructions=24, cores=1)
        expected = _expected(compiled)
        cycles = simulate(chip, compiled.segment).cycles
        words = _words(compiled.segment.cores[0].frame)
        counters: dict[str, int] = {}
        begins, took, error, _ = _run(chip, words, expected, cycles + 50, counters)
        assert begins == {e: [begin for _, begin, _ in rows] for e, rows in expected.items()}
        assert (took, error) == (cycles, ErrorCode.NONE)
        assert {e: counters[f"completed_{e.name.lower()}"] for e in Engine} == {e: len(expected[e]) for e in Engine}
        assert {e: counters[f"waited_{e.name.lower()}"] for e in Engine} == _waited(compiled)


@pytest.mark.parametrize(
    ("code", "error", "index"),
    [
        ((Load(run=8, count1=1, count2=1), Load(run=0, count1=1, count2=1), Halt()), ErrorCode.ILLEGAL, 1),
        ((Load(run=8, count1=1, count2=1, wait_load=1), Halt()), ErrorCode.FUTURE_WAIT, 0),
        ((Load(run=8, count1=1, count2=1, wait_vector=1), Halt()), ErrorCode.FUTURE_WAIT, 0),
    ],
)
def test_an_illegal_instruction_ends_the_run_with_its_index(code: tuple, error: ErrorCode, index: int) -> None:
    chip = _chip()
    expected = {e: [(0, 0, 40)] * (e == Engine.LOAD) for e in Engine}
    _, _, found, at = _run(chip, _words(code), expected, 200)
    assert (found, at) == (error, index)
    assert ENGINE_OF[Opcode.LOAD] == Engine.LOAD


def test_an_unknown_opcode_ends_the_run() -> None:
    _, _, found, at = _run(_chip(), [77], {e: [] for e in Engine}, 200)
    assert (found, at) == (ErrorCode.ILLEGAL, 0)
