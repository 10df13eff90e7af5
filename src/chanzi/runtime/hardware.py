"""The chip's RTL in the place of a simulator, and what it did beside what the simulators say."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chanzi.flow.simulator import Simulator as RtlSimulator
from chanzi.program.layout import Frame
from chanzi.program.program import Compiled
from chanzi.sim.fast import Simulator as FastSimulator
from chanzi.sim.timing import simulate


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """A VCD file of `cycles` cycles of a frame, from its cycle `after` on."""

    path: Path
    after: int = 0
    cycles: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareCheck:
    """One piece of a network on the RTL.

    Attributes
    ----------
    runs : int
        Runs of the frame code so far.
    rtl_cycles, timing_cycles : (int, int)
        Of the setup code and of the frame code; the frame's are those of the last run, on RTL and timing simulator.
    different_bytes : int
        Output bytes, and bytes of DRAM after the last run, that the fast simulator has otherwise.
    broken_rules : tuple of str
        Rules of AXI4 that the chip broke.
    cycles_per_s : float
        Cycles of the RTL simulated in a second.
    """

    name: str
    runs: int = 0
    rtl_cycles: tuple[int, int] = (0, 0)
    timing_cycles: tuple[int, int] = (0, 0)
    different_bytes: int = 0
    broken_rules: tuple[str, ...] = ()
    cycles_per_s: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether the RTL is the simulators' machine in all of this."""
        return not self.different_bytes and self.rtl_cycles == self.timing_cycles and not self.broken_rules


class Simulator:
    """Runs a compiled segment on the RTL and, for comparison, on the fast and the timing simulator."""

    def __init__(self, compiled: Compiled, *, waveform: Waveform | None = None) -> None:
        self._rtl = RtlSimulator(compiled, trace=waveform is not None)
        if waveform is not None:
            self._rtl.trace(waveform.path, after=waveform.after, cycles=waveform.cycles)
        self._fast = FastSimulator(compiled)
        predicted = [simulate(compiled.chip, compiled.segment, part=part).cycles for part in ("setup", "frame")]
        self.check = HardwareCheck(name=compiled.segment.name, timing_cycles=(predicted[0], predicted[1]))

    def run(self, inputs: Sequence[Mapping[str, Frame]]) -> list[dict[str, Frame]]:
        """Return the RTL's outputs of each frame; `check` tells how they compare."""
        start, before = time.perf_counter(), self._rtl.machine.traffic().cycles
        outputs = self._rtl.run(inputs)
        seconds = time.perf_counter() - start
        wanted = self._fast.run(inputs)
        different = sum(
            int((mine[k] != theirs[k]).sum()) for mine, theirs in zip(outputs, wanted, strict=True) for k in mine
        )
        different += int((self._rtl.dram != self._fast.dram).sum())
        runs = -(-len(inputs) // self._rtl.segment.frames)
        self.check = replace(
            self.check,
            runs=self.check.runs + runs,
            rtl_cycles=(self._rtl.setup_cycles, self._rtl.frame_cycles),
            different_bytes=self.check.different_bytes + different,
            broken_rules=tuple(v.rule for v in self._rtl.violations()),
            cycles_per_s=(self._rtl.machine.traffic().cycles - before) / max(seconds, 1e-9),
        )
        return outputs
