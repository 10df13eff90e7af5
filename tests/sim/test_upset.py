"""Flipped bits: the fast simulator leaves what the reference leaves with the same bit flipped at the same time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.chip import Chip, Core, Dram, Scratchpad
from chanzi.conform.generate import random_program
from chanzi.isa.fields import INSTRUCTION_BYTES, LAYOUT, DotFlag, Opcode
from chanzi.isa.instruction import Halt
from chanzi.sim import reference, timing
from chanzi.sim.fast.simulator import interleave
from chanzi.sim.fast.upset import Place, Trap, Upset, UpsetSimulator, flipped

CHIP = Chip(
    name="small",
    clock_hz=100_000_000,
    cores=2,
    core=Core(dim=4, scratchpad=Scratchpad(bytes=1 << 18, banks=64)),
    dram=Dram(bytes_per_s=400_000_000),
)


def _machines(seed, instructions=12):
    compiled = random_program(CHIP, np.random.default_rng(seed), instructions=instructions)
    fast = UpsetSimulator(compiled, timing.simulate(CHIP, compiled.segment, part="frame"))
    fast.setup()
    slow = reference.Simulator(compiled)
    slow.setup()
    fast.step()
    slow.step()
    return compiled, fast, slow


def _reference(slow, code, order, before=None):
    """Run the instructions of `order` one by one, each from the code that `code` returns for its position."""
    for core in slow.machine.cores:
        core.done = [0, 0, 0, 0]
    for position, (core, index) in enumerate(order):
        if before:
            before(position)
        reference._step(slow.machine, core, index, code(core, index))
    if before:
        before(len(order))


def _assert_same(fast, slow):
    for a, b in zip((*fast.scratchpads, fast.dram), (*slow.scratchpads, slow.dram), strict=True):
        np.testing.assert_array_equal(a, b)


def _assert_clean(compiled, fast):
    """A machine that is restored after its first frame runs its second as if nothing had been."""
    clean = reference.Simulator(compiled)
    clean.step()
    clean.step()
    fast.step()
    _assert_same(fast, clean)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([Place.SCRATCHPAD, Place.DRAM]), st.data())
def test_a_flipped_byte_of_a_memory(seed, place, data):
    compiled, fast, slow = _machines(seed)
    order, code = fast.order(), [core.frame for core in compiled.segment.cores]
    core = data.draw(st.integers(0, len(code) - 1))
    memory = slow.dram if place is Place.DRAM else slow.scratchpads[core]
    upset = Upset(
        place=place, core=core, position=data.draw(st.integers(0, len(order))),
        address=data.draw(st.integers(0, memory.size - 1)), bit=data.draw(st.integers(0, 7)),
    )  # fmt: skip

    def flip(position):
        if position == upset.position:
            memory[upset.address] ^= 1 << upset.bit

    fast.save()
    fast.hit(upset)
    fast.step()
    _reference(slow, lambda c, i: code[c][i], order, before=flip)
    _assert_same(fast, slow)
    fast.step()  # what was flipped stays so until it is written again
    slow.step()
    _assert_same(fast, slow)
    fast.restore()
    _assert_clean(compiled, fast)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.data())
def test_a_flipped_bit_of_a_sum(seed, data):
    compiled, fast, slow = _machines(seed, instructions=16)
    order, code = fast.order(), [core.frame for core in compiled.segment.cores]
    dots = [p for p, (c, i) in enumerate(order) if code[c][i].opcode == Opcode.DOT]
    if not dots:
        return
    position = data.draw(st.sampled_from(dots))
    core, index = order[position]
    ins = code[core][index]
    K = ins.a_run * ins.a_taps_y * ins.a_taps_x
    row, column = data.draw(st.integers(0, ins.a_count - 1)), data.draw(st.integers(0, ins.b_count - 1))
    done, bit = data.draw(st.integers(0, K)), data.draw(st.integers(0, 31))
    products, tiles = reference._products, []

    def hit(a, b):
        total = products(a, b)
        D, n = CHIP.core.dim, -(-ins.a_count // CHIP.core.dim)
        if len(tiles) == column // D * n + row // D:
            r, c = row % D, column % D
            before = int((a[r, :done] * b[c, :done]).sum())
            if ins.flags & DotFlag.CONTINUE:
                before += int(slow.machine.cores[core].accumulators[r, c]) << ins.carry_shift
            word = (before & 0xFFFFFFFF) ^ (1 << bit)
            total[r, c] += word - (before & 0xFFFFFFFF)
        tiles.append(None)
        return total

    def watch(at):
        reference._products = hit if at == position else products

    fast.hit(Upset(place=Place.SUM, core=core, position=position, row=row, column=column, done=done, bit=bit))
    fast.step()
    try:
        _reference(slow, lambda c, i: code[c][i], order, before=watch)
    finally:
        reference._products = products
    _assert_same(fast, slow)
    fast.step()  # nothing of it is left in the array
    slow.step()
    _assert_same(fast, slow)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.data())
def test_a_flipped_bit_of_an_instruction_runs_as_it_reads_or_is_caught(seed, data):
    compiled, fast, slow = _machines(seed)
    order, code = fast.order(), [core.frame for core in compiled.segment.cores]
    core = data.draw(st.integers(0, len(code) - 1))
    index = data.draw(st.integers(0, len(code[core]) - 1))
    byte, bit = data.draw(st.integers(0, 215)), data.draw(st.integers(0, 7))
    position = data.draw(st.integers(0, len(order)))
    fast.save()
    fast.hit(
        Upset(place=Place.PROGRAM, core=core, position=position, address=index * INSTRUCTION_BYTES + byte, bit=bit)
    )
    try:
        fast.step()
    except Trap:
        fast.restore()
    else:
        changed = [list(c) for c in code]
        changed[core][index] = flipped(code[core][index], byte, bit)
        if changed[core][index].opcode == Opcode.HALT:
            del changed[core][index + 1 :]
        done = set(order[:position])
        later = [at for at in interleave(changed) if at not in done]
        _reference(slow, lambda c, i: (code if (c, i) in done else changed)[c][i], [*order[:position], *later])
        _assert_same(fast, slow)
        fast.step()  # it stays so
        reference.execute(slow.machine, changed)
        _assert_same(fast, slow)
        fast.restore()
    _assert_clean(compiled, fast)


@pytest.mark.parametrize("name", ["wait_load", "wait_array", "a_count", "b_run"])
def test_an_instruction_that_asks_for_the_impossible_is_caught_at_once(name):
    for seed in range(40):
        compiled, fast, _ = _machines(seed)
        order, code = fast.order(), [core.frame for core in compiled.segment.cores]
        found = [(c, i) for c, i in order if code[c][i].opcode == Opcode.DOT]
        if found:
            break
    core, index = found[0]
    offset = LAYOUT[Opcode.DOT].fields[name][1]
    fast.hit(Upset(place=Place.PROGRAM, core=core, address=index * INSTRUCTION_BYTES + offset + 3, bit=6))
    with pytest.raises(Trap):
        fast.step()


def test_opcodes_that_are_none_are_caught():
    with pytest.raises(Trap, match="unknown opcode"):
        flipped(Halt(), 0, 7)
