"""The scratchpad against a NumPy array: banks and the behavioural model, all ports at once."""

import dataclasses
import tempfile
from pathlib import Path

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


def _window(rng: np.random.Generator, core: Core, taken: set[int]) -> tuple[int, int, int] | None:
    """Return (address, first byte used, byte after the last) of a window whose used bytes lie in free banks."""
    W, atom, size, bank = core.port_bytes, core.atom_bytes, core.scratchpad.bytes, core.scratchpad.bank_bytes
    near = bank * int(rng.integers(0, core.scratchpad.banks)) + atom * int(rng.integers(-W // atom, W // atom + 1))
    anywhere = atom * int(rng.integers(0, size // atom))
    at = (near if rng.integers(0, 2) else anywhere) % size
    skip = atom * int(rng.integers(0, W // atom)) if rng.integers(0, 2) else 0
    need = int(rng.integers(skip + 1, W + 1)) if rng.integers(0, 2) else W
    banks = {(at + j) % size // bank for j in range(skip, need)}
    beyond = size & (size - 1) and at + need > size  # addresses wrap only where they end at a power of two
    if banks & taken or beyond:
        return None
    taken |= banks
    return at, skip, need


@pytest.mark.parametrize(
    ("core", "banked"),
    [
        (_core(4, 4, 1024, 16), True),
        (_core(4, 16, 4096, 64), True),
        (_core(4, 8, 45 * 32, 45), True),
        (_core(4, 4, 33 * 32, 33), True),
        (_core(4, 4, 1024, 16), False),
        (_core(4, 16, 2048, 16), False),
        (_core(4, 16, 45 * 64, 45), False),
    ],
)
def test_every_port_reads_what_was_written(core: Core, banked: bool) -> None:
    rng = np.random.default_rng(core.port_bytes)
    dut = model(Scratchpad(core, model=not banked), models=SRAM_MODEL + scratchpad_model(len(READS), len(WRITES)))
    W, size = core.port_bytes, core.scratchpad.bytes
    memory = np.zeros(size, np.uint8)
    expected: list[dict[str, tuple[int, bytes]]] = []
    checked = 0
    for cycle in range(1500):
        for name, (skip, wanted) in (expected[cycle - READ_LATENCY] if cycle >= READ_LATENCY else {}).items():
            found = dut.get(f"{name}_read__data").to_bytes(W, "little")
            assert found[skip : skip + len(wanted)] == wanted, (cycle, name)
            checked += len(wanted)
        taken: set[int] = set()
        reads, writes = {}, []
        for name in rng.permutation([*READS, *WRITES]):
            window = _window(rng, core, taken)
            kind = "read" if name in READS else "write"
            dut.set(f"{name}_{kind}__en", int(window is not None))
            at, skip, need = window or (0, 0, 1)
            dut.set(f"{name}_{kind}__addr", at)
            where = (at + np.arange(skip, need)) % size
            if kind == "read":
                dut.set(f"{name}_read__need", need if need < W else W * int(rng.integers(0, 2)))
                dut.set(f"{name}_read__skip", skip)
                if window:
                    reads[name] = (skip, memory[where].tobytes())
                continue
            mask, data = np.zeros(W, bool), rng.integers(0, 256, W, dtype=np.uint8)
            mask[skip:need] = rng.random(need - skip) < 0.7
            dut.set(f"{name}_write__mask", sum(1 << j for j in range(W) if mask[j]))
            dut.set(f"{name}_write__data", int.from_bytes(data.tobytes(), "little"))
            if window:
                writes.append((where[mask[skip:need]], data[mask]))
        for where, data in writes:
            memory[where] = data
        expected.append(reads)
        dut.step()
        dut.eval()
    assert checked > 1000 * W


def test_the_first_of_two_ports_that_meet_has_the_bank() -> None:
    """Legal programs never do this; it is still the same each time, and a read never spoils a byte."""
    core = _core(4, 16, 4096, 64)
    models = SRAM_MODEL + scratchpad_model(len(READS), len(WRITES))
    dut = model(Scratchpad(core, model=False), models=models)

    def access(**ports: tuple[int, int]) -> int:
        """Let ports (name -> address, data) act in one cycle; return what `a` reads."""
        for name in (*READS, *WRITES):
            kind = "read" if name in READS else "write"
            dut.set(f"{name}_{kind}__en", int(name in ports))
            if name in ports:
                dut.set(f"{name}_{kind}__addr", ports[name][0])
                if kind == "write":
                    dut.set(f"{name}_write__mask", 0xFFFF)
                    dut.set(f"{name}_write__data", ports[name][1])
        dut.step()
        for name in ports:
            dut.set(f"{name}_{'read' if name in READS else 'write'}__en", 0)
        dut.step(READ_LATENCY - 1)
        dut.eval()
        return dut.get("a_read__data")

    access(drain=(0, 0x11), vector=(0, 0x22))  # both write: drain is first
    assert access(a=(0, 0)) == 0x11
    access(vector=(16, 0x33))
    assert access(a=(0, 0), load=(16, 0x44)) == 0x11  # read and write: the write is lost
    assert access(a=(16, 0)) == 0x33
    assert access(a=(16, 0), b=(0, 0)) == 0x33


@pytest.mark.slow
def test_a_bank_becomes_block_memory_of_an_fpga() -> None:
    from pyosys import libyosys

    from chanzi.flow.verilog import _Quiet

    with tempfile.TemporaryDirectory() as folder, _Quiet():
        Path(folder, "sram.v").write_text(SRAM_MODEL)
        design = libyosys.Design()
        sizes = "-set DEPTH 512 -set WORD 8 -set ADDR 9"
        for step in (f"read_verilog {folder}/sram.v", f"chparam {sizes} chanzi_sram", "synth_ecp5 -top chanzi_sram"):
            libyosys.run_pass(step, design)
        libyosys.run_pass(f"tee -q -o {folder}/stat.txt stat", design)
        cells = Path(folder, "stat.txt").read_text().split()
    assert cells[cells.index("DP16KD") - 1] == "2"  # 32 Kibit, 18 a block
    assert "TRELLIS_DPR16X4" not in cells


def test_sizes_that_are_no_powers_of_two_are_refused() -> None:
    with pytest.raises(ChipError, match="no hardware"):
        refuse_unbuildable(_core(4, 4, 48 * 32, 16))
