"""The search: Optuna proposes points, a runner tries them, every outcome is kept at once.

Points are drawn by a genetic algorithm with constraints (NSGA-II) in this process's memory; the storage holds what was
told, so a search that was killed goes on where it was: the trials it had under way are the only ones asked for again.
"""

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from chanzi.errors import ExploreError
from chanzi.explore.evaluate import Outcome, Result
from chanzi.explore.goals import front
from chanzi.explore.store import open_storage
from chanzi.explore.workers import Problem, Runner, Task

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

Sampler = Literal["nsga2", "tpe", "random"]
STUDY = "chanzi explore"
POPULATION = 48
_OUTCOME = "outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A point that was tried."""

    number: int
    point: Mapping[str, float]
    outcome: Outcome


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a search is: all trials, the numbers of those on the front, trials that were there before."""

    wanted: int
    resumed: int = 0
    trials: list[Trial] = field(default_factory=list)
    best: list[int] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def tried(self) -> int:
        """Trials in all."""
        return len(self.trials)

    @property
    def pruned(self) -> int:
        """Trials that did not have to be looked at in full."""
        return sum(not t.outcome.done for t in self.trials)

    @property
    def per_second(self) -> float:
        """Trials a second of this run."""
        return (self.tried - self.resumed) / max(time.monotonic() - self.began, 1e-9)

    @property
    def front(self) -> list[Trial]:
        """The chips that hold all limits and that no other betters."""
        return [self.trials[i] for i in self.best]

    def add(self, trial: Trial) -> bool:
        """Append a trial; return whether the front has changed."""
        self.trials.append(trial)
        if not trial.outcome.feasible:
            return False
        places = [*self.best, len(self.trials) - 1]
        kept = [places[i] for i in front([self.trials[p].outcome.values for p in places])]
        changed = kept != self.best
        self.best = kept
        return changed


def search(
    problem: Problem,
    runner: Runner,
    *,
    trials: int,
    storage: str,
    sampler: Sampler = "nsga2",
    seed: int = 0,
    report: Callable[[Progress, bool], None] = lambda _progress, _changed: None,
) -> Progress:
    """Try chips until there are `trials` of them, those that the storage holds already among them.

    Parameters
    ----------
    problem : Problem
    runner : Runner
        It is not closed.
    trials : int
    storage : str
        A file, or an Optuna URL.
    sampler : {'nsga2', 'tpe', 'random'}
    seed : int
    report : callable
        Told after every trial, and whether the front has changed.

    Raises
    ------
    ExploreError
        The storage cannot be opened, or holds the trials of another question.
    """
    if not 1 <= trials <= 10_000_000:
        raise ExploreError(f"--trials is {trials}", hint="1 to ten million")
    with _quiet():
        kept = _kept_study(problem, storage)
        progress = Progress(wanted=trials)
        for old in kept.get_trials(deepcopy=False):
            progress.add(_trial_of(old, progress.tried))
        progress.resumed = progress.tried
        study = _drawing_study(problem, kept, sampler, seed + progress.tried)
        axes = problem.space.distributions()
        under_way: dict[int, Any] = {}
        report(progress, True)
        try:
            while progress.tried < trials:
                while runner.room > 0 and progress.tried + runner.busy < trials:
                    asked = study.ask(axes)
                    under_way[asked.number] = asked
                    values = tuple(t.outcome.values for t in progress.front)
                    runner.submit(Task(number=asked.number, point=dict(asked.params), front=values))
                task, outcome = runner.next()
                told = _tell(study, under_way.pop(task.number), outcome)
                kept.add_trial(told)
                report(progress, progress.add(Trial(number=progress.tried, point=task.point, outcome=outcome)))
        except KeyboardInterrupt:
            pass
    return progress


def measure(runner: Runner, trials: Sequence[Trial], each: Callable[[], None] = lambda: None) -> list[Trial]:
    """Return the trials with their networks compiled and simulated, in the same order."""
    found: dict[int, Trial] = {}
    waiting = list(trials)
    while len(found) < len(trials):
        while waiting and runner.room > 0:
            trial = waiting.pop(0)
            runner.submit(Task(number=trial.number, point=trial.point, what="measure"))
        task, outcome = runner.next()
        if task.what == "measure":
            found[task.number] = Trial(number=task.number, point=task.point, outcome=outcome)
            each()
    return [found[trial.number] for trial in trials]


class _quiet:  # noqa: N801 - used as a function would be
    """Keep Optuna's log and the warnings of its newer parts away from the terminal."""

    def __enter__(self) -> None:
        import optuna

        self._level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)

    def __exit__(self, *_: object) -> None:
        import optuna

        self._warnings.__exit__(None, None, None)
        optuna.logging.set_verbosity(self._level)


def question_of(problem: Problem) -> dict[str, Any]:
    """Return what makes one search another: networks, space and goals."""
    return {
        "networks": [[n.name, round(n.weight, 9), n.sha256] for n in problem.networks],
        "space": msgspec.to_builtins(problem.space),
        "goals": msgspec.to_builtins(problem.goals),
    }


def _kept_study(problem: Problem, storage: str) -> "Study":
    import optuna

    directions = ["minimize"] * len(problem.goals.minimize)
    question = json.loads(json.dumps(question_of(problem)))
    opened = open_storage(storage)
    try:
        names = optuna.get_all_study_names(opened)
        if STUDY not in names:
            study = optuna.create_study(study_name=STUDY, storage=opened, directions=directions)
            study.set_user_attr("question", question)
            return study
        study = optuna.load_study(study_name=STUDY, storage=opened)
        asked = study.user_attrs.get("question", {})
    except Exception as error:  # a damaged storage may raise anything
        raise ExploreError(f"cannot read the storage {storage}: {error}", hint="another --storage or -o") from error
    differs = [name for name in question if asked.get(name) != question[name]]
    if differs:
        raise ExploreError(
            f"{storage} holds the trials of a search with other {' and '.join(differs)}",
            hint="another -o or --storage; or the same command as before, to go on",
        )
    return study


def _drawing_study(problem: Problem, kept: "Study", sampler: Sampler, seed: int) -> "Study":
    """Return a study in memory that knows the trials kept, and draws new points."""
    import optuna

    study = optuna.create_study(directions=["minimize"] * len(problem.goals.minimize), sampler=_sampler(sampler, seed))
    study.add_trials(kept.get_trials(deepcopy=False))
    return study


def _sampler(name: Sampler, seed: int) -> "BaseSampler":
    from optuna import samplers

    if name == "random":
        return samplers.RandomSampler(seed=seed)
    if name == "tpe":
        return samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    crossover = samplers.nsgaii.SBXCrossover()
    return samplers.NSGAIISampler(
        population_size=POPULATION,
        seed=seed,
        crossover=crossover,
        mutation=samplers.nsgaii.PolynomialMutation(),
    )


def _tell(study: "Study", asked: Any, outcome: Outcome) -> "FrozenTrial":
    """Tell the drawing study; return the trial as it is to be kept."""
    from optuna.trial import TrialState, create_trial

    for i, violation in enumerate(outcome.violations):
        asked.set_constraint(f"limit {i}", violation)
    if outcome.done or any(v > 0 for v in outcome.violations):
        # one that passes a limit is told with the bound of its values: never on the front, but it shows the way there
        told = study.tell(asked, list(outcome.values))
    else:
        told = study.tell(asked, state=TrialState.PRUNED)
    return create_trial(
        state=told.state,
        values=told.values,
        params=told.params,
        distributions=told.distributions,
        user_attrs={_OUTCOME: msgspec.json.encode(outcome).decode()},
        system_attrs=told.system_attrs,
    )


def _trial_of(kept: "FrozenTrial", number: int) -> Trial:
    """Return a kept trial as ours."""
    text = kept.user_attrs.get(_OUTCOME)
    try:
        outcome = msgspec.json.decode(text, type=Outcome) if text else Outcome(reason="not finished")
    except msgspec.DecodeError as error:
        raise ExploreError(f"trial {number} of the storage is damaged: {error}", hint="another -o") from None
    return Trial(number=number, point=kept.params, outcome=outcome)


def results_by_name(outcome: Outcome) -> dict[str, Result]:
    """Return the results of an outcome by network."""
    return {result.network: result for result in outcome.results}


def values_of(trials: Sequence[Trial]) -> Iterator[tuple[float, ...]]:
    """Yield the values of trials."""
    for trial in trials:
        yield trial.outcome.values
