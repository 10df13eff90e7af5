"""The host's side of a chip on a board: programs and bytes in, a run, bytes out, over any stream of bytes."""

import struct
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from chanzi.errors import FlowError
from chanzi.isa.instruction import Instruction, encode


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
        found = self.read_register(0x010)
        if found != IDENTITY:
            raise FlowError(f"the board answers 0x{found:08X}, not a chip's identity", hint="is it the right port?")

    def write_register(self, address: int, word: int) -> None:
        """Write a register of the chip, or a word of its instruction memory."""
        from chanzi.rtl.host import Command

        self._write(Command.WRITE_REGISTER, address, word)

    def read_register(self, address: int) -> int:
        """Return a register of the chip."""
        from chanzi.rtl.host import Command

        return self._read(Command.READ_REGISTER, address)

    def write_memory(self, address: int, data: npt.NDArray[np.uint8]) -> None:
        """Write bytes; address and length are multiples of 4."""
        from chanzi.rtl.host import Command

        _require_words(address, data.size)
        for i, word in enumerate(np.ascontiguousarray(data).view("<u4").tolist()):
            self._write(Command.WRITE_MEMORY, address + 4 * i, word)

    def read_memory(self, address: int, size: int) -> npt.NDArray[np.uint8]:
        """Return bytes; address and length are multiples of 4."""
        from chanzi.rtl.host import Command

        _require_words(address, size)
        words = [self._read(Command.READ_MEMORY, address + 4 * i) for i in range(size // 4)]
        return np.array(words, "<u4").view(np.uint8)

    def load(self, code: Sequence[Instruction], *, core: int = 0) -> None:
        """Write a core's instructions."""
        from chanzi.rtl.control import CODE_BASE, CODE_STEP

        for i, word in enumerate(np.frombuffer(encode(code), "<u4").tolist()):
            self.write_register(CODE_BASE + core * CODE_STEP + 4 * i, word)

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

    def _write(self, command: int, address: int, word: int) -> None:
        self.stream.write(struct.pack("<BII", command, address, word))
        answer = self.stream.read(1)
        if answer != bytes([command]):
            raise FlowError(f"the board answers {answer.hex() or 'nothing'} to a write", hint="check port and speed")

    def _read(self, command: int, address: int) -> int:
        self.stream.write(struct.pack("<BII", command, address, 0))
        answer = self.stream.read(4)
        if len(answer) != 4:
            raise FlowError(f"the board gives {len(answer)} of 4 bytes", hint="check port and speed")
        return int.from_bytes(answer, "little")


def _require_words(address: int, size: int) -> None:
    if address % 4 or size % 4:
        raise FlowError(f"{size} bytes at {address} are no whole words", hint="both must be multiples of 4")
