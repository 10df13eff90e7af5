"""The host's side of a chip on a board: programs and bytes in, a run, bytes out, over any stream of bytes."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Chip
from chanzi.errors import FlowError
from chanzi.flow.boards import FpgaBoard
from chanzi.isa.instruction import Instruction, encode

BATCH = 64
"""Messages that are sent before their answers are read: a USB serial line takes a millisecond or more to turn round."""

TIMEOUT_S = 2.0
"""A board that is silent for so long is not there."""


class Stream(Protocol):
    """What `Board` needs of a serial line; pyserial's `Serial` has it. `read` gives fewer bytes once it times out."""

    def write(self, data: bytes, /) -> object:
        """Send bytes."""
        ...

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        ...


class Board:
    """A chip behind the bridge of `chanzi.rtl.host`.

    Parameters
    ----------
    stream : Stream

    Raises
    ------
    FlowError
        What answers is no chip of ours, or nothing does.
    """

    def __init__(self, stream: Stream) -> None:
        from chanzi.rtl.control import IDENTITY

        self.stream = stream
        self.holder: object = None
        """Whose program and bytes are on the board."""
        found = self.read_register(0x010)
        if found != IDENTITY:
            raise FlowError(f"the board answers 0x{found:08X}, not a chip's identity", hint="is it the right port?")

    def write_register(self, address: int, word: int) -> None:
        """Write a register of the chip, or a word of its instruction memory."""
        from chanzi.rtl.host import Command

        self._write(Command.WRITE_REGISTER, address, [word])

    def read_register(self, address: int) -> int:
        """Return a register of the chip."""
        from chanzi.rtl.host import Command

        return self._read(Command.READ_REGISTER, address, 1)[0]

    def write_memory(self, address: int, data: npt.NDArray[np.uint8]) -> None:
        """Write bytes; address and length are multiples of 4."""
        from chanzi.rtl.host import Command

        _require_words(address, data.size)
        self._write(Command.WRITE_MEMORY, address, np.ascontiguousarray(data).view("<u4").tolist())

    def read_memory(self, address: int, size: int) -> npt.NDArray[np.uint8]:
        """Return bytes; address and length are multiples of 4."""
        from chanzi.rtl.host import Command

        _require_words(address, size)
        return np.array(self._read(Command.READ_MEMORY, address, size // 4), "<u4").view(np.uint8)

    def load(self, code: Sequence[Instruction], *, core: int = 0) -> None:
        """Write a core's instructions."""
        from chanzi.rtl.control import CODE_BASE, CODE_STEP
        from chanzi.rtl.host import Command

        words = np.frombuffer(encode(code), "<u4").tolist()
        self._write(Command.WRITE_REGISTER, CODE_BASE + core * CODE_STEP, words)

    def run(self, *, polls: int = 1_000_000) -> int:
        """Run the loaded code and return the chip's count of cycles.

        Raises
        ------
        FlowError
            The run ended with an error, or has not ended after so many looks.
        """
        from chanzi.rtl.control import CONTROL, CORE_BASE, CYCLES, STATUS

        self.write_register(CONTROL, 1)
        for _ in range(polls):
            status = self.read_register(STATUS)
            if status & 0b1100:
                core = self.read_register(CORE_BASE) >> 8 & 0xFF
                at = self.read_register(CORE_BASE + 4)
                raise FlowError(f"the chip stopped with error {core} at instruction {at}", hint="`chanzi verify` it")
            if status & 3 == 2:
                return self.read_register(CYCLES)
        raise FlowError(f"the run has not ended after {polls} looks", hint="does the code end with HALT?")

    def _write(self, command: int, address: int, words: Sequence[int]) -> None:
        """Write words from `address` on, a batch at a time."""
        for first in range(0, len(words), BATCH):
            batch = words[first : first + BATCH]
            self.stream.write(
                b"".join(struct.pack("<BII", command, address + 4 * (first + i), word) for i, word in enumerate(batch))
            )
            answer = self.stream.read(len(batch))
            if answer != bytes([command]) * len(batch):
                shown = answer[:8].hex() or "nothing"
                raise FlowError(f"the board answers {shown} to a write", hint="check port and speed")

    def _read(self, command: int, address: int, count: int) -> list[int]:
        """Read so many words from `address` on, a batch at a time."""
        words: list[int] = []
        for first in range(0, count, BATCH):
            size = min(BATCH, count - first)
            self.stream.write(b"".join(struct.pack("<BII", command, address + 4 * (first + i), 0) for i in range(size)))
            answer = self.stream.read(4 * size)
            if len(answer) != 4 * size:
                raise FlowError(f"the board gives {len(answer)} of {4 * size} bytes", hint="check port and speed")
            words += np.frombuffer(answer, "<u4").tolist()
        return words


@contextmanager
def open_serial(port: str, chip: Chip, board: FpgaBoard) -> Iterator[Stream]:
    """Open the serial line to a board with the chip on it, at the speed that its bitstream has.

    Raises
    ------
    FlowError
        pyserial is not installed, or the port cannot be opened.
    """
    try:
        import serial

        from chanzi.rtl.ecp5 import divisor_for, pll_for
    except ModuleNotFoundError as error:
        raise FlowError(f"{error.name} is not installed", hint="pip install 'chanzi[fpga]'") from None
    hz = pll_for(board.oscillator_hz, chip.clock_hz).hz
    try:
        line = serial.Serial(port, round(hz / divisor_for(hz, board.baud)), timeout=TIMEOUT_S)
    except (OSError, ValueError) as error:  # pyserial's own are OSErrors
        raise FlowError(f"cannot open {port}: {error}", hint="is the board plugged in, and yours to use?") from None
    with line:
        line.reset_input_buffer()
        yield line


def _require_words(address: int, size: int) -> None:
    if address % 4 or size % 4:
        raise FlowError(f"{size} bytes at {address} are no whole words", hint="both must be multiples of 4")
