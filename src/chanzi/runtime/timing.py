"""How long a compiled network takes on its chip, and the figures people ask for."""

from dataclasses import dataclass

from chanzi.chip.chip import Chip
from chanzi.program.model import CompiledModel
from chanzi.program.trace import Timing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentTiming:
    """One piece on the chip: `frame` for every run, `setup` once before it (None where there is nothing to set up)."""

    name: str
    frames: int
    frame: Timing
    setup: Timing | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelTiming:
    """All pieces on the chip, one after the other; the host's share is not in these figures."""

    chip: Chip
    segments: tuple[SegmentTiming, ...]

    @property
    def cycles(self) -> int:
        """Of one run with weights in place."""
        return sum(segment.frame.cycles for segment in self.segments)

    @property
    def setup_cycles(self) -> int:
        """Once, before the first run."""
        return sum(segment.setup.cycles for segment in self.segments if segment.setup is not None)

    @property
    def cold_cycles(self) -> int:
        """The first run: setup and frame."""
        return self.setup_cycles + self.cycles

    @property
    def frames(self) -> int:
        """Frames of one run."""
        return max((segment.frames for segment in self.segments), default=1)

    @property
    def latency_s(self) -> float:
        """Seconds of one run."""
        return self.cycles / self.chip.clock_hz

    @property
    def frames_per_s(self) -> float:
        """Frames a second, weights in place (0 where nothing is on the chip)."""
        return self.frames / self.latency_s if self.cycles else 0.0


def time_model(model: CompiledModel) -> ModelTiming:
    """Simulate the timing of every piece of `model` on the chip."""
    from chanzi.sim.timing import simulate

    segments = []
    for step in model.chip_steps:
        segment = step.segment
        setup = (
            simulate(model.chip, segment, part="setup") if any(len(core.setup) > 1 for core in segment.cores) else None
        )
        segments.append(
            SegmentTiming(
                name=segment.name, frames=segment.frames, frame=simulate(model.chip, segment, part="frame"), setup=setup
            )
        )
    return ModelTiming(chip=model.chip, segments=tuple(segments))
