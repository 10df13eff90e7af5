"""Runs a compiled segment on a board: what `chanzi.flow.simulator` is for the model, this is for the real thing."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from chanzi.errors import FlowError
from chanzi.flow.board import Board
from chanzi.isa.instruction import Instruction
from chanzi.program.layout import Frame, read_outputs, write_inputs
from chanzi.program.program import Compiled

Bytes = npt.NDArray[np.uint8]
WORD = 4


class Simulator:
    """Runs a compiled segment on a board; the interface is that of the simulators.

    Parameters
    ----------
    compiled : Compiled
    board : Board
    memory_bytes : int
        The board's memory in the place of DRAM.

    Attributes
    ----------
    setup_cycles, frame_cycles : int
        The chip's count of the last run of each part. The memory is faster than the chip's DRAM, so they are no more
        than the timing simulator's where transfers count.

    Raises
    ------
    FlowError
        The board holds another chip, or the segment needs more cores or memory than there are.
    """

    def __init__(self, compiled: Compiled, board: Board, *, memory_bytes: int) -> None:
        self.compiled, self.segment, self.board = compiled, compiled.segment, board
        used = max(self.segment.dram_bytes, self.segment.image.size)
        self._memory: Bytes = np.zeros(-(-used // WORD) * WORD, np.uint8)
        self.dram: Bytes = self._memory[:used]
        self.dram[: self.segment.image.size] = self.segment.image
        self._refuse(memory_bytes)
        self._there: Bytes | None = None  # what the host has written to the board
        self._loaded = ""
        self.setup_cycles = self.frame_cycles = 0

    def _refuse(self, memory_bytes: int) -> None:
        from chanzi.rtl.control import SHAPE

        shape = self.board.read_register(SHAPE)
        dim, cores = shape & 0xFFFF, shape >> 16 & 0xFF
        chip = self.compiled.chip
        if dim != chip.core.dim or cores < len(self.segment.cores):
            raise FlowError(
                f"the board has {cores} cores of {dim} x {dim}, the program wants {len(self.segment.cores)} of "
                f"{chip.core.dim} x {chip.core.dim}",
                hint="name the chip that the bitstream was made of",
            )
        if self._memory.size > memory_bytes:
            raise FlowError(
                f"'{self.segment.name}' needs {self._memory.size} bytes of memory, the board has {memory_bytes}",
                hint="a smaller network; block RAM stands in the place of DRAM",
            )
        longest = max(max(len(core.setup), len(core.frame)) for core in self.segment.cores)
        if longest > chip.core.code_instructions:
            raise FlowError(
                f"'{self.segment.name}' has {longest} instructions, the chip holds {chip.core.code_instructions}",
                hint="a smaller network",
            )

    def run(self, inputs: Sequence[Mapping[str, Frame]]) -> list[dict[str, Frame]]:
        """Return the outputs of each frame, `segment.frames` of them in a run."""
        outputs: list[dict[str, Frame]] = []
        per_run = self.segment.frames
        for first in range(0, len(inputs), per_run):
            group = list(inputs[first : first + per_run])
            group += [group[-1]] * (per_run - len(group))
            write_inputs(self.dram, self.segment, group)
            self.step()
            outputs += read_outputs(self.dram, self.segment)
        return outputs[: len(inputs)]

    def step(self) -> None:
        """Run the frame code once on what lies in `dram`, setup first where it has not run; bring the outputs back."""
        if self.board.holder is not self:  # another piece of the network has had the board
            self.board.holder, self._there, self._loaded = self, None, ""
        self._upload()
        if not self._loaded:
            self.setup_cycles = self._run("setup", [core.setup for core in self.segment.cores])
        self.frame_cycles = self._run("frame", [core.frame for core in self.segment.cores])
        for port in self.segment.outputs:
            for address in port.addresses:
                first, last = address // WORD * WORD, -(-(address + port.n_bytes) // WORD) * WORD
                self._memory[first:last] = self.board.read_memory(first, last - first)
        assert self._there is not None
        self._there[:] = self._memory

    def _upload(self) -> None:
        """Write the words that differ from what was written before."""
        words = self._memory.view("<u4")
        if self._there is None:
            self._there = np.zeros_like(self._memory)
            changed = np.ones(words.size, bool)
        else:
            changed = words != self._there.view("<u4")
        edges = np.flatnonzero(np.diff(np.concatenate([[False], changed, [False]])))
        for first, last in edges.reshape(-1, 2).tolist():
            self.board.write_memory(WORD * first, self._memory[WORD * first : WORD * last])
        self._there[:] = self._memory

    def _run(self, part: str, code: Sequence[Sequence[Instruction]]) -> int:
        if self._loaded != part:
            for n, instructions in enumerate(code):
                self.board.load(instructions, core=n)
            self._loaded = part
        return self.board.run()
