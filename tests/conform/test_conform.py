"""Random programs are legal, reach the whole encoding space, and tell a wrong machine from a right one."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.chip.chip import Chip, Core, Dram, Scratchpad
from chanzi.chip.load import load_chip
from chanzi.conform import Memories, MismatchError, check_machine, missing, random_program, run_fast, run_reference
from chanzi.errors import ChipError, ProgramError
from chanzi.isa.fields import BODY, Opcode
from chanzi.isa.instruction import decode, encode
from chanzi.isa.ordering import check_program
from chanzi.program.program import Compiled, CoreCode


def chip(rng: np.random.Generator) -> Chip:
    banks, bank_bytes = rng.choice([24, 32, 64]), rng.choice([1024, 2048, 4096])
    pad = Scratchpad(bytes=int(banks * bank_bytes), banks=int(banks))
    return Chip(
        name="random",
        clock_hz=100_000_000,
        cores=int(rng.integers(1, 4)),
        core=Core(dim=int(rng.choice([4, 8, 16])), scratchpad=pad),
        dram=Dram(bytes_per_s=1_000_000_000),
    )


def program(seed: int) -> Compiled:
    rng = np.random.default_rng(seed)
    return random_program(chip(rng), rng)


def check_legal(compiled: Compiled) -> None:
    segment = compiled.segment
    for part in ("setup", "frame"):
        codes = [getattr(core, part) for core in segment.cores]
        check_program(compiled.chip, codes, dram_bytes=segment.dram_bytes, image_bytes=segment.image.size)


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_random_programs_are_legal_and_survive_encoding(seed):
    compiled = program(seed)
    check_legal(compiled)
    for core in compiled.segment.cores:
        assert decode(encode(core.frame)) == list(core.frame)


def test_random_programs_reach_the_whole_encoding_space():
    assert not missing(program(seed) for seed in range(250))


@given(st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_fast_equals_reference(seed):
    assert check_machine(run_fast, [program(seed)]) == 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fast_equals_reference_on_ten_thousand_programs():
    programs = (program(seed) for seed in range(10_000))
    assert check_machine(run_fast, programs) == 10_000


@pytest.mark.parametrize("name", ["chanzi-8", "chanzi-16"])
def test_programs_for_the_presets(name):
    preset = load_chip(name)
    rng = np.random.default_rng(5)
    compiled = random_program(preset, rng, instructions=40)
    check_legal(compiled)
    check_machine(run_fast, [compiled])


def test_same_seed_same_program():
    a, b = program(7), program(7)
    assert a.segment.cores[0].frame == b.segment.cores[0].frame
    np.testing.assert_array_equal(a.segment.image, b.segment.image)


def test_too_few_banks_are_refused_with_a_way_out():
    small = Core(dim=4, scratchpad=Scratchpad(bytes=8 * 1024, banks=8))
    tiny = Chip(name="t", clock_hz=10**8, core=small, dram=Dram(bytes_per_s=10**9))
    with pytest.raises(ChipError, match="banks of that size are enough"):
        random_program(tiny, np.random.default_rng(0))


FIELDS = [(opcode, f) for opcode in Opcode for f in BODY[opcode]]


def spoiled(compiled: Compiled, opcode: Opcode, name: str, kind: str) -> Compiled:
    """The program with one field of every instruction of an opcode changed a little."""

    def spoil(ins):
        if ins.opcode != opcode:
            return ins
        value = getattr(ins, name)
        new = value * 1.5 + 1 if kind == "f4" else value ^ 1
        return dataclasses.replace(ins, **{name: new})

    cores = tuple(
        CoreCode(setup=core.setup, frame=tuple(spoil(ins) for ins in core.frame)) for core in compiled.segment.cores
    )
    return dataclasses.replace(compiled, segment=dataclasses.replace(compiled.segment, cores=cores))


@pytest.fixture(scope="module")
def few() -> list[tuple[Compiled, Memories]]:
    """A few programs of one core, and what they leave."""
    programs = [random_program(chip(np.random.default_rng(s)), np.random.default_rng(s), cores=1) for s in range(25)]
    return [(compiled, run_reference(compiled, 1)) for compiled in programs]


@pytest.mark.parametrize(("opcode", "field"), FIELDS, ids=lambda x: getattr(x, "name", None))
def test_every_field_matters(few, opcode, field):
    """A machine that misreads any one field is found out by some of a few programs."""
    for compiled, expected in few:
        try:
            wrong = run_reference(spoiled(compiled, opcode, field.name, field.kind), 1)
        except (ProgramError, ValueError):
            return
        if (wrong.dram != expected.dram).any() or (wrong.scratchpads[0] != expected.scratchpads[0]).any():
            return
    pytest.fail(f"no program notices {opcode.name}.{field.name}")


def test_the_first_wrong_instruction_is_named(few):
    """A machine that adds wrongly only at one instruction: that one is named."""
    compiled = few[0][0]
    code = compiled.segment.cores[0].frame
    target = next(i for i, ins in enumerate(code) if ins.opcode == Opcode.STORE)

    def machine(given: Compiled, runs: int) -> Memories:
        memories = run_reference(given, runs)
        if len(given.segment.cores[0].frame) > target + 1:
            memories.dram[code[target].dram] ^= 1
        return memories

    with pytest.raises(MismatchError, match=rf"program 1: 1 bytes of the DRAM .*instruction {target}: STORE"):
        check_machine(machine, [_without(compiled, Opcode.STORE), compiled])


def _without(compiled: Compiled, opcode: Opcode) -> Compiled:
    """The program cut off before the first instruction of an opcode."""
    code = compiled.segment.cores[0]
    at = next(i for i, ins in enumerate(code.frame) if ins.opcode == opcode)
    cut = CoreCode(setup=code.setup, frame=(*code.frame[:at], code.frame[-1]))
    return dataclasses.replace(compiled, segment=dataclasses.replace(compiled.segment, cores=(cut,)))
