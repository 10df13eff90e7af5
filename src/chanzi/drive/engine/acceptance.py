"""The gate: whether a new network may replace the one that drives.

Both drive the same scenarios, so each scenario is a pair. Three things must hold:

1. *Not worse on the suite.* The suite never changes within a run and is trained on by nobody. "The new one passes less
   often, by the margin or more" must be refuted at `alpha` (exact, unconditional: `statistics.not_worse_p`).
2. *Better on the road.* Over the suite and all that the fleet drove in the last turn, passed or failed, "the new one
   gains no more scenarios than it loses" must be refuted at `alpha` (exact McNemar: `statistics.better_p`).
3. *Better on the mined failures*: it passes more of them than the old one does.

The third is no test and cannot be: mined failures are those where the old one happened to fail, so a network that is no
better, only different, passes many of them. That is why the second looks at what the fleet passed, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chanzi.drive.statistics import Pairs, better_p, not_worse_p, pair
from chanzi.errors import LoopError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How strict the gate is.

    Parameters
    ----------
    alpha : float
        Of each test, one-sided: how often a network that should not pass it does.
    margin : float
        Of the suite's pass rate: a loss of so much must be refuted.
    """

    alpha: float = 0.05
    margin: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5 or not 0 < self.margin < 1:
            raise LoopError(
                f"a gate of alpha {self.alpha} and margin {self.margin}", hint="0.05 and 0.1 are usual; both below 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says of a candidate.

    Parameters
    ----------
    deploy : bool
    reasons : tuple of str
        What it fails by, or why it need not be compared; empty where it passed all.
    suite, road, mined : Pairs
        Candidate against the deployed network.
    not_worse_p, better_p : float
        Of the first and the second test; 1 where there was nothing to compare.
    """

    deploy: bool
    reasons: tuple[str, ...]
    suite: Pairs
    road: Pairs
    mined: Pairs
    not_worse_p: float
    better_p: float


def judge(
    rule: Rule,
    *,
    suite: tuple[Sequence[bool], Sequence[bool]],
    road: tuple[Sequence[bool], Sequence[bool]],
    mined: tuple[Sequence[bool], Sequence[bool]],
    broken: Sequence[str] = (),
) -> Verdict:
    """Judge a candidate.

    Parameters
    ----------
    rule : Rule
    suite, road, mined : pair of sequences of bool
        Passes of the candidate, and of the deployed network, on the same scenarios in the same order.
    broken : sequence of str
        What is wrong with the candidate whatever it drives like, such as a chip that is too slow for it.
    """
    on_suite, on_road, on_mined = (pair(*passes) for passes in (suite, road, mined))
    if not on_suite.total:
        raise LoopError("a gate without a suite", hint="give it scenarios: --suite 60")
    worse = not_worse_p(on_suite, rule.margin)
    better = better_p(on_suite + on_road)
    reasons = list(broken)
    if worse > rule.alpha:
        reasons.append(
            f"not shown to be within {rule.margin:.0%} on the suite: {on_suite.difference:+.1%}, p = {worse:.3f}"
        )
    if better > rule.alpha:
        both = on_suite + on_road
        reasons.append(f"not shown to be better: {both.gained} gained, {both.lost} lost, p = {better:.3f}")
    if on_mined.total and on_mined.gained <= on_mined.lost:
        reasons.append(f"no better on mined failures: {on_mined.gained} gained, {on_mined.lost} lost")
    return Verdict(
        deploy=not reasons,
        reasons=tuple(reasons),
        suite=on_suite,
        road=on_road,
        mined=on_mined,
        not_worse_p=worse,
        better_p=better,
    )


def first(broken: Sequence[str] = ()) -> Verdict:
    """Return the verdict on a network that has none to be compared with: it drives unless it cannot."""
    nothing = Pairs()
    return Verdict(
        deploy=not broken,
        reasons=tuple(broken) or ("the first network",),
        suite=nothing,
        road=nothing,
        mined=nothing,
        not_worse_p=1.0,
        better_p=1.0,
    )
