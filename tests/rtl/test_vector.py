"""The vector engine against the reference, byte for byte, and its timing rule: random VECs, one after another."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

sys.path.insert(0, str(Path(__file__).parent))

from vector_bench import run, small_core

from chanzi.chip import load_chip
from chanzi.conform.coverage import missing
from chanzi.conform.generate import random_program
from chanzi.flow.module import model
from chanzi.isa.cycles import vec_cycles, vector_latency_cycles
from chanzi.isa.fields import Opcode
from chanzi.rtl.vector.engine import VectorEngine
from chanzi.sim import reference


@pytest.mark.parametrize(
    ("dim", "port", "lanes", "programs"),
    [
        (4, 4, 4, 24),
        (4, 4, 2, 16),
        pytest.param(8, 16, 8, 40, marks=pytest.mark.slow),
        pytest.param(8, 8, 4, 40, marks=pytest.mark.slow),
        pytest.param(8, 16, 2, 40, marks=pytest.mark.slow),
    ],
)
def test_bytes_and_cycles_of_random_vecs(dim: int, port: int, lanes: int, programs: int) -> None:
    core = small_core(dim, port, lanes)
    plain = load_chip("chanzi-8")
    chip = dataclasses.replace(plain, core=core, dram=dataclasses.replace(plain.dram, beat_bytes=0))
    rng = np.random.default_rng(dim)
    dut = model(VectorEngine(core))
    chosen = [random_program(chip, rng, instructions=12, cores=1) for _ in range(programs)]
    assert not [name for name in missing(chosen) if name.startswith("VEC ")], "a kind or flag is not reached"
    for compiled in chosen:
        simulator = reference.Simulator(compiled)
        simulator.setup()
        wanted = simulator.machine.cores[0]
        code = [ins for ins in compiled.segment.cores[0].frame if ins.opcode == Opcode.VEC]
        mine = wanted.scratchpad.copy()
        times = run(core, dut, mine, code, pause=int(rng.choice([0, 0, 1, 50])))
        with np.errstate(all="ignore"):
            for ins in code:
                reference.vec(simulator.machine, wanted, ins)
        differ = [int(i) for i in np.flatnonzero(mine != wanted.scratchpad)[:8]]
        assert not differ, (code, differ)
        for ins, (begin, complete) in zip(code, times, strict=True):
            assert complete - begin == vec_cycles(core, ins) + vector_latency_cycles(core), ins
