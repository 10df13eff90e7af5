"""From a front to chips that can be built: a few of the best, compiled for, simulated, beside what the model said."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from chanzi.chip.chip import Chip
from chanzi.explore.evaluate import Outcome, measured, sized
from chanzi.explore.goals import spread
from chanzi.explore.networks import Network
from chanzi.explore.search import Progress, Trial, measure
from chanzi.explore.workers import Problem, Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalist:
    """A chip with what the model said of it (None for a chip that was given) and what its programs do."""

    chip: Chip
    trial: int | None
    model: Outcome | None
    compiled: Outcome

    @property
    def errors(self) -> dict[str, float]:
        """The model's time of each network over that of the compiled program, less one."""
        if self.model is None or not self.model.done or not self.compiled.done:
            return {}
        real = {r.network: r.cycles for r in self.compiled.results}
        return {r.network: r.cycles / real[r.network] - 1 for r in self.model.results}


def finalists(
    problem: Problem, progress: Progress, runner: Runner, wanted: int, each: Callable[[], None] = lambda: None
) -> list[Finalist]:
    """Return up to `wanted` chips of the front, far from one another, compiled for and simulated.

    Those whose programs break a limit, or that another one betters after all, are among them: their outcome says so.
    """
    best = progress.front
    chosen = [best[i] for i in spread([t.outcome.values for t in best], wanted)]
    chosen.sort(key=lambda t: t.outcome.values)
    found = []
    for number, (trial, real) in enumerate(zip(chosen, measure(runner, chosen, each), strict=True), start=1):
        chip = sized(problem.space.chip(trial.point, f"finalist-{number}"), real.outcome)
        found.append(
            Finalist(chip=described(chip, trial), trial=trial.number, model=trial.outcome, compiled=real.outcome)
        )
    return found


def described(chip: Chip, trial: Trial) -> Chip:
    """Return the chip with where its figures come from."""
    found = f"ours: found by chanzi explore, trial {trial.number}"
    fields = ("clock_hz", "cores", "volt", "core.dim", "core.port_bytes", "core.lanes", "core.scratchpad.bytes")
    sources = dict.fromkeys(fields, found)
    sources["core.code_instructions"] = "ours: what the networks of the search need, a tenth to spare"
    sources["dram.latency_ns"] = "estimated: a loaded read through a network on chip"
    return replace(chip, sources=sources)


def given(chips: Sequence[Chip], networks: Sequence[Network], problem: Problem) -> list[Finalist]:
    """Return chips that were named, to compare with: compiled for and simulated, their own memories and clocks kept.

    Their instruction memory is set to what the networks need, as it is for the finalists.
    """
    found = []
    for chip in chips:
        outcome = measured(chip, networks, problem.goals)
        found.append(Finalist(chip=sized(chip, outcome), trial=None, model=None, compiled=outcome))
    return found
