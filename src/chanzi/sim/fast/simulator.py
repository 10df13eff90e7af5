"""Runs a compiled segment with prepared operations. Nothing heavy is imported before the first run."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from chanzi.errors import ProgramError
from chanzi.isa.fields import ENGINE_OF, WAITS, Engine, Opcode
from chanzi.isa.instruction import Instruction
from chanzi.program.layout import Frame, read_outputs, write_inputs
from chanzi.program.program import Compiled
from chanzi.sim.fast.workers import Workers, threads_wanted

if TYPE_CHECKING:
    from chanzi.sim.fast.prepare import CorePlan

Bytes = npt.NDArray[np.uint8]


class Simulator:
    """Runs a compiled segment.

    Memories may be filled by hand before `setup`; later only through `run`, because weights are kept prepared.

    Parameters
    ----------
    compiled : Compiled
    """

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.segment = compiled.segment
        self.dram: Bytes = np.zeros(max(self.segment.dram_bytes, self.segment.image.size), np.uint8)
        self.dram[: self.segment.image.size] = self.segment.image
        core = compiled.chip.core
        n = len(self.segment.cores)
        self.scratchpads: list[Bytes] = [np.zeros(core.scratchpad.bytes, np.uint8) for _ in range(n)]
        self._kept = [np.zeros(core.dim * core.dim, np.int32) for _ in range(n)]
        self._workers = Workers(threads_wanted())
        self._frame: list[Callable[[], None]] | None = None
        self._order: list[tuple[int, int]] = []
        self._plans: list[CorePlan] = []

    def setup(self) -> None:
        """Run the setup code: weights that stay are loaded."""
        for operation in self._prepare([core.setup for core in self.segment.cores]):
            operation()
        self._frame = self._prepare([core.frame for core in self.segment.cores])

    def step(self) -> None:
        """Run the frame code once on what lies in DRAM; setup first where it has not run yet."""
        if self._frame is None:
            self.setup()
        for operation in self._frame or ():
            operation()

    def run(self, inputs: Sequence[Mapping[str, Frame]]) -> list[dict[str, Frame]]:
        """Return the outputs of each frame.

        A run of the segment takes `segment.frames` frames at once; where the last run has too few, its last frame is
        computed more than once.
        """
        outputs: list[dict[str, Frame]] = []
        per_run = self.segment.frames
        for first in range(0, len(inputs), per_run):
            group = list(inputs[first : first + per_run])
            group += [group[-1]] * (per_run - len(group))
            write_inputs(self.dram, self.segment, group)
            self.step()
            outputs += read_outputs(self.dram, self.segment)
        return outputs[: len(inputs)]

    def _prepare(self, code: Sequence[Sequence[Instruction]]) -> list[Callable[[], None]]:
        """Return the operations of all cores in an order that keeps every wait."""
        self._order = order = interleave(code)
        if not order:
            self._plans = []
            return []
        from chanzi.sim.fast.kernels import load_kernels

        load_kernels()
        from chanzi.sim.fast.prepare import CorePlan, Memories

        memories = Memories(self.compiled.chip, self.dram, self.scratchpads, self._kept, self._workers)
        self._plans = plans = [CorePlan(memories, n, instructions) for n, instructions in enumerate(code)]
        return [plans[core].prepare(index) for core, index in order]


def interleave(code: Sequence[Sequence[Instruction]]) -> list[tuple[int, int]]:
    """Return (core, index) of every instruction before HALT: program order in each core, peers' STOREs before waits.

    Raises
    ------
    ProgramError
        An instruction waits for what never comes.
    """
    order: list[tuple[int, int]] = []
    at = [0] * len(code)
    done = [[0, 0, 0, 0] for _ in code]

    def ready(core: int) -> bool:
        ins = code[core][at[core]]
        if ins.wait_peer and ins.peer_core >= len(code):
            raise ProgramError(f"core {core}, instruction {at[core]}: there is no core {ins.peer_core} to wait for")
        return not ins.wait_peer or done[ins.peer_core][Engine.STORE] >= ins.wait_peer

    while any(i < len(c) for i, c in zip(at, code, strict=True)):
        before = len(order), list(at)
        for n, program in enumerate(code):
            while at[n] < len(program) and ready(n):
                ins = program[at[n]]
                if ins.opcode == Opcode.HALT:
                    at[n] = len(program)
                    break
                for engine, name in enumerate(WAITS):
                    if getattr(ins, name) > done[n][engine]:
                        raise ProgramError(f"core {n}, instruction {at[n]}: {name} waits for a later instruction")
                done[n][ENGINE_OF[ins.opcode]] += 1
                order.append((n, at[n]))
                at[n] += 1
        if before == (len(order), at):
            n = next(n for n, i in enumerate(at) if i < len(code[n]))
            raise ProgramError(f"core {n}, instruction {at[n]}: waits for a STORE of a peer that never comes")
    return order
