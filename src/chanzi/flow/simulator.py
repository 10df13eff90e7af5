"""Runs a compiled segment on the chip's RTL under Verilator: bytes and cycles as the hardware has them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Chip
from chanzi.errors import FlowError, ProgramError
from chanzi.flow.chip_model import chip_machine
from chanzi.flow.machine import Machine, Violation
from chanzi.flow.verilator import Ports
from chanzi.isa.disasm import line
from chanzi.isa.instruction import Halt, Instruction, Store, encode
from chanzi.program.layout import Frame, read_outputs, write_inputs
from chanzi.program.program import Compiled

Bytes = npt.NDArray[np.uint8]

MAX_CYCLES = 20_000_000_000
"""A run that takes longer is given up."""


class Simulator:
    """Runs a compiled segment on as many cores of its chip's RTL as it uses.

    Parameters
    ----------
    compiled : Compiled
    banks : bool
        Simulate the scratchpad's banks one by one, instead of the behavioural model that legal programs cannot tell
        from them.
    stall : float
        Probability that an AXI channel pauses in a cycle.
    seed : int
        Of the pauses.
    trace : bool
        Make a machine that can write waveforms (slower).
    built : (Path, mapping), optional
        A machine made by `chanzi.flow.chip_model` or `chanzi.flow.machine` to run on, instead of the chip's own.

    Attributes
    ----------
    setup_cycles, frame_cycles : int
        Cycles of the last run of each part, as the chip's own counter says.

    Raises
    ------
    FlowError
        A tool of the RTL flow is missing.
    ChipError
        The chip has no hardware.
    """

    def __init__(
        self,
        compiled: Compiled,
        *,
        banks: bool = False,
        stall: float = 0.0,
        seed: int = 0,
        trace: bool = False,
        built: tuple[Path, Ports] | None = None,
    ) -> None:
        self.compiled, self.segment = compiled, compiled.segment
        self.chip: Chip = replace(compiled.chip, cores=len(self.segment.cores))
        pad, beat = self.chip.core.scratchpad.bytes, self.chip.dram.beat_bytes
        used = max(self.segment.dram_bytes, self.segment.image.size)
        self._dump = -(-used // 4096) * 4096
        self._memory: Bytes = np.zeros(self._dump + pad * self.chip.cores + beat, np.uint8)
        self.dram: Bytes = self._memory[:used]
        self.dram[: self.segment.image.size] = self.segment.image
        library, ports = built or chip_machine(self.chip, banks=banks, trace=trace)
        latency = self.chip.dram_latency_cycles
        self.machine = Machine(
            library, ports, self._memory, read_latency=latency, write_latency=latency, stall=stall, seed=seed
        )
        self.setup_cycles = self.frame_cycles = 0
        self._loaded = ""
        self._can_trace = trace
        self._waveform: tuple[Path, int, int] | None = None

    def setup(self) -> None:
        """Run the setup code: weights that stay are loaded."""
        self.setup_cycles = self._run("setup", [core.setup for core in self.segment.cores])

    def step(self) -> None:
        """Run the frame code once on what lies in DRAM; setup first where it has not run yet."""
        if not self._loaded:
            self.setup()
        self.frame_cycles = self._run("frame", [core.frame for core in self.segment.cores])

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

    @property
    def scratchpads(self) -> list[Bytes]:
        """Every core's scratchpad, brought out by a STORE of all of it."""
        pad = self.chip.core.scratchpad.bytes
        at = [self._dump + n * pad for n in range(self.chip.cores)]
        self._run("dump", [(Store(base=0, dram=start, run=pad, count1=1, count2=1), Halt()) for start in at])
        return [self._memory[start : start + pad].copy() for start in at]

    def trace(self, path: Path, *, after: int = 0, cycles: int = 10_000) -> None:
        """Write a VCD waveform of a window of the next frame: `cycles` cycles, beginning with cycle `after` of it.

        Raises
        ------
        FlowError
            The simulator was made without `trace=True`.
        """
        if not self._can_trace:
            raise FlowError("this simulator cannot write waveforms", hint="Simulator(compiled, trace=True)")
        self._waveform = (path, after, cycles)

    def violations(self) -> tuple[Violation, ...]:
        """Return the rules of AXI4 that the chip broke so far."""
        return self.machine.violations()

    def _run(self, part: str, code: Sequence[Sequence[Instruction]]) -> int:
        """Run the code, written to the instruction memories unless it is there; return the chip's count of cycles."""
        from chanzi.rtl.control import CODE_BASE, CODE_STEP, CONTROL, CYCLES, STATUS

        if self._loaded != part:
            for n, instructions in enumerate(code):
                words = np.frombuffer(encode(instructions), np.uint32)
                self.machine.write_block(CODE_BASE + n * CODE_STEP, words)
            self._loaded = part
        if part == "frame" and self._waveform:
            path, after, cycles = self._waveform
            self.machine.trace(path, after=after, cycles=cycles)
            self._waveform = None
        self.machine.write(CONTROL, 1)
        self.machine.run(MAX_CYCLES)
        if self.machine.read(STATUS) & 4:
            self._refuse(code)
        low, high = self.machine.read_block(CYCLES, 2)
        return int(low) | int(high) << 32

    def _refuse(self, code: Sequence[Sequence[Instruction]]) -> None:
        """Raise ProgramError for the core that stopped with an error."""
        from chanzi.rtl.control import CORE_BASE, CORE_STEP
        from chanzi.rtl.sequencer import ErrorCode

        for n, instructions in enumerate(code):
            status, index = self.machine.read_block(CORE_BASE + n * CORE_STEP, 2)
            error = int(status) >> 8 & 0xFF
            if error:
                at = int(index)
                what = line(instructions[at]) if at < len(instructions) else "beyond the code"
                name = ErrorCode(error).name.lower().replace("_", " ")
                raise ProgramError(
                    f"core {n} stopped at instruction {at} ({name}): {what}", hint="`chanzi verify` names what is wrong"
                )
