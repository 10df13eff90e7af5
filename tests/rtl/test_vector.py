"""The vector engine against the reference, byte for byte, and against its timing rule: random VECs, one by one."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from chanzi.chip import load_chip
from chanzi.conform.generate import random_program
from chanzi.flow.module import model
from chanzi.flow.verilator import Model
from chanzi.isa.cycles import VECTOR_LATENCY_CYCLES, vec_cycles
from chanzi.isa.fields import Opcode
from chanzi.rtl.descriptor import VEC_PRODUCTS, vec_layout
from chanzi.rtl.ports import READ_LATENCY
from chanzi.rtl.vector.engine import VectorEngine
from chanzi.sim import reference

READS = ("operand", "second", "params")


def descriptor(core, ins) -> int:
    """Return the bits that the sequencer would hand over."""
    bits = 0
    for name, field in vec_layout(core):
        value = getattr(ins, name, None)
        if name in VEC_PRODUCTS:
            x, y, z, sign = VEC_PRODUCTS[name]
            value = (getattr(ins, z) if z else 0) + sign * getattr(ins, x) * getattr(ins, y)
        elif isinstance(value, float):
            value = int(np.float32(value).view(np.uint32))
        bits |= (int(value) & ((1 << field.width) - 1)) << field.offset
    return bits


def run(core, dut: Model, memory: np.ndarray, ins) -> int:
    """Run one VEC on `memory`; return the cycles from its handshake to completion."""
    W, size = core.port_bytes, memory.size
    pipes = {name: [0] * READ_LATENCY for name in READS}
    begin = None
    for cycle in range(100_000):
        dut.set("engine__valid", int(begin is None))
        dut.set("engine__desc", descriptor(core, ins))
        for name in READS:
            dut.set(f"{name}__data", pipes[name][0])
        dut.eval()
        if begin is None and dut.get("engine__ready"):
            begin = cycle
        for name in READS:
            word = 0
            if dut.get(f"{name}__en"):
                at = (dut.get(f"{name}__addr") + np.arange(W)) % size
                word = int.from_bytes(memory[at].tobytes(), "little")
            pipes[name] = [*pipes[name][1:], word]
        if dut.get("result__en"):
            at, mask = dut.get("result__addr"), dut.get("result__mask")
            data = dut.get("result__data").to_bytes(W, "little")
            for j in range(W):
                if mask >> j & 1:
                    memory[at + j] = data[j]
        done = dut.get("engine__done")
        dut.step()
        if done:
            return cycle + 1 - begin
    raise AssertionError("the engine hangs")


def _core(dim: int, port: int):
    core = load_chip("chanzi-8").core
    pad = dataclasses.replace(core.scratchpad, bytes=1 << 17, banks=32)
    return dataclasses.replace(core, dim=dim, port_bytes=port, lanes=dim, scratchpad=pad)


@pytest.mark.parametrize(("dim", "port", "programs"), [(4, 4, 12), pytest.param(8, 16, 40, marks=pytest.mark.slow)])
def test_bytes_and_cycles_of_random_vecs(dim: int, port: int, programs: int) -> None:
    core = _core(dim, port)
    plain = load_chip("chanzi-8")
    chip = dataclasses.replace(plain, core=core, dram=dataclasses.replace(plain.dram, beat_bytes=0))
    rng = np.random.default_rng(dim)
    dut = model(VectorEngine(core))
    for _ in range(programs):
        compiled = random_program(chip, rng, instructions=12, cores=1)
        simulator = reference.Simulator(compiled)
        simulator.setup()
        wanted = simulator.machine.cores[0]
        for ins in compiled.segment.cores[0].frame:
            if ins.opcode != Opcode.VEC:
                continue
            mine = wanted.scratchpad.copy()
            with np.errstate(all="ignore"):
                reference.vec(simulator.machine, wanted, ins)
            cycles = run(core, dut, mine, ins)
            differ = [int(i) for i in np.flatnonzero(mine != wanted.scratchpad)[:8]]
            assert not differ, (ins, differ)
            assert cycles == vec_cycles(core, ins) + VECTOR_LATENCY_CYCLES, ins
