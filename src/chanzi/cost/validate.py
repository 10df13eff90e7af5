"""Predicted against published: every case with its error, grade and split, beside two plain baselines."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chanzi.cost.cases import Case, Split
from chanzi.cost.general import Prediction
from chanzi.cost.predict import predict
from chanzi.errors import CostError

LOOKED_UP = "X_"
"""Ids of cases that this project found by itself begin so."""
SPLITS: tuple[Split, ...] = ("identity", "calibrate", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One case: what was predicted (None where no model answers, and `why`), its error, what baselines err."""

    case: Case
    prediction: Prediction | None
    error: float | None
    ok: bool
    why: str = ""
    constant_error: float | None = None
    roofline_error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A split: cases, those inside their tolerance, median of the errors' sizes.

    The median is None where no case was answered. `speed_cases` are those that the baselines answer too, with the three
    median errors on exactly those.
    """

    split: str
    cases: int
    inside: int
    median_error: float | None
    speed_cases: int
    speed_error: float
    constant_error: float
    roofline_error: float

    @property
    def share(self) -> float:
        """Of cases inside their tolerance."""
        return self.inside / self.cases if self.cases else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """All outcomes and the scores of the splits; `utilization` is the baseline's constant."""

    outcomes: tuple[Outcome, ...]
    scores: tuple[Score, ...]
    utilization: float

    @property
    def identities_hold(self) -> bool:
        """Tell whether every identity case passes."""
        return all(o.ok for o in self.outcomes if o.case.split == "identity")


def validate(cases: Sequence[Case]) -> Validation:
    """Return what the models say to every case.

    The constant of the constant-utilization baseline is the median of expected / peak over the cases marked
    `calibrate`; nothing else here reads an expected value before its prediction stands.
    """
    predictions: list[tuple[Case, Prediction | None, str]] = []
    for case in cases:
        try:
            predictions.append((case, predict(case.question), ""))
        except CostError as error:
            predictions.append((case, None, str(error)))
    shares = [
        case.expected / found.peak
        for case, found, _ in predictions
        if found and found.peak and case.split == "calibrate" and not isinstance(case.expected, list)
    ]
    utilization = statistics.median(shares) if shares else 0.5
    outcomes = tuple(_outcome(case, found, why, utilization) for case, found, why in predictions)
    parts = {split: [o for o in outcomes if o.case.split == split] for split in SPLITS}
    looked_up = [o for o in parts["test"] if o.case.id.startswith(LOOKED_UP)]
    scores = [_score(s, parts[s]) for s in SPLITS]
    if looked_up and len(looked_up) < len(parts["test"]):
        given = [o for o in parts["test"] if not o.case.id.startswith(LOOKED_UP)]
        scores += [_score("test, given", given), _score("test, looked up", looked_up)]
    return Validation(outcomes=outcomes, scores=tuple(scores), utilization=utilization)


def _outcome(case: Case, found: Prediction | None, why: str, utilization: float) -> Outcome:
    if found is None:
        return Outcome(case=case, prediction=None, error=None, ok=False, why=why)
    return Outcome(
        case=case,
        prediction=found,
        error=case.error(found.value),
        ok=case.passes(found.value),
        constant_error=None if found.peak is None else case.error(found.peak * utilization),
        roofline_error=None if found.roofline is None else case.error(found.roofline),
    )


def _median(errors: Iterable[float | None]) -> float:
    sizes = [abs(e) for e in errors if e is not None]
    return statistics.median(sizes) if sizes else 0.0


def _score(split: str, outcomes: list[Outcome]) -> Score:
    speed = [o for o in outcomes if o.constant_error is not None and o.roofline_error is not None]
    return Score(
        split=split,
        cases=len(outcomes),
        inside=sum(o.ok for o in outcomes),
        median_error=_median(o.error for o in outcomes) if any(o.error is not None for o in outcomes) else None,
        speed_cases=len(speed),
        speed_error=_median(o.error for o in speed),
        constant_error=_median(o.constant_error for o in speed),
        roofline_error=_median(o.roofline_error for o in speed),
    )
