"""The scratchpad against a NumPy array: banks and the behavioural model, all ports at once."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from chanzi.chip import load_chip
from chanzi.chip.chip import Core
from chanzi.errors import ChipError
from chanzi.flow.module import model
from chanzi.rtl.ports import READ_LATENCY
from chanzi.rtl.scratchpad import READS, WRITES, Scratchpad, refuse_unbuildable
from chanzi.rtl.sram import SRAM_MODEL, scratchpad_model


def _core(dim: int, port: int, size: int, banks: int) -> Core:
    core = load_chip("chanzi-8").core
    pad = dataclasses.replace(core.scratchpad, bytes=size, banks=banks)
    return dataclasses.replace(core, dim=dim, port_bytes=port, lanes=dim, scratchpad=pad)


@pytest.mark.parametrize(
    ("core", "banked"),
    [(_core(4, 4, 1024, 16), True), (_core(4, 4, 1024, 16), False), (_core(4, 16, 2048, 16), False)],
)
def test_every_port_reads_what_was_written(core: Core, banked: bool) -> None:
    rng = np.random.default_rng(core.port_bytes)
    dut = model(Scratchpad(core, model=not banked), models=SRAM_MODEL + scratchpad_model(len(READS), len(WRITES)))
    W, size, atom = core.port_bytes, core.scratchpad.bytes, core.atom_bytes
    bank = core.scratchpad.bank_bytes
    memory = np.zeros(size, np.uint8)
    expected: list[dict[str, bytes]] = []
    for cycle in range(600):
        for name, word in (expected[cycle - READ_LATENCY] if cycle >= READ_LATENCY else {}).items():
            assert dut.get(f"{name}_read__data").to_bytes(W, "little") == word
        free = list(rng.permutation(core.scratchpad.banks - 1))  # a bank for each port, and room to its right
        reads, writes = {}, []
        for name in READS:
            at = int(free.pop()) * bank + atom * int(rng.integers(0, (bank - W) // atom + 1))
            dut.set(f"{name}_read__en", 1)
            dut.set(f"{name}_read__addr", at)
            reads[name] = memory[at : at + W].tobytes()
        for name in WRITES:
            at = int(free.pop()) * bank + atom * int(rng.integers(0, (bank - W) // atom + 1))
            on, mask, data = int(rng.integers(0, 2)), rng.random(W) < 0.7, rng.integers(0, 256, W, dtype=np.uint8)
            dut.set(f"{name}_write__en", on)
            dut.set(f"{name}_write__addr", at)
            dut.set(f"{name}_write__mask", sum(1 << j for j in range(W) if mask[j]))
            dut.set(f"{name}_write__data", int.from_bytes(data.tobytes(), "little"))
            if on:
                writes.append((at, mask, data))
        for at, mask, data in writes:
            memory[at : at + W][mask] = data[mask]
        expected.append(reads)
        dut.step()
        dut.eval()


def test_sizes_that_are_no_powers_of_two_are_refused() -> None:
    with pytest.raises(ChipError, match="no hardware"):
        refuse_unbuildable(_core(4, 4, 1024 + 512, 16))
