"""The statistics that decide about a network: intervals of a rate, tests of pairs, and a test that may stop any time.

Exact where counts are small: a gate must not let a worse network through because an approximation was off.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate between two bounds."""

    low: float
    value: float
    high: float


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return a rate with its score interval (E. B. Wilson, JASA 22, 1927); 0 to 1 around 0 where nothing was tried."""
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    if trials == 0:
        return Interval(low=0.0, value=0.0, high=1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = successes / trials
    scale = 1 + z * z / trials
    middle = (rate + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    # At the ends the bound is the end itself; rounding must not put it beside.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == trials else min(1.0, middle + half)
    return Interval(low=low, value=rate, high=high)


def bootstrap_mean(values: Sequence[float], *, confidence: float = 0.95, seed: int = 0, draws: int = 2000) -> Interval:
    """Return a mean with its percentile bootstrap interval; the same values and seed give the same interval."""
    if not values:
        return Interval(low=0.0, value=0.0, high=0.0)
    data = np.asarray(values, np.float64)
    picks = np.random.default_rng(seed).integers(0, len(data), (draws, len(data)))
    means = data[picks].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(low=float(low), value=float(data.mean()), high=float(high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Two networks on the same scenarios, counted.

    Parameters
    ----------
    both, neither : int
        Scenarios that both passed, or neither.
    gained, lost : int
        Passed by the new one alone, by the old one alone.
    """

    both: int = 0
    neither: int = 0
    gained: int = 0
    lost: int = 0

    @property
    def total(self) -> int:
        """Scenarios."""
        return self.both + self.neither + self.gained + self.lost

    @property
    def difference(self) -> float:
        """Rate of the new one less rate of the old one."""
        return (self.gained - self.lost) / self.total if self.total else 0.0

    def __add__(self, other: "Pairs") -> "Pairs":
        return Pairs(
            both=self.both + other.both,
            neither=self.neither + other.neither,
            gained=self.gained + other.gained,
            lost=self.lost + other.lost,
        )


def pair(new: Sequence[bool], old: Sequence[bool]) -> Pairs:
    """Count passes of two networks, scenario by scenario in the same order."""
    both = sum(bool(a and b) for a, b in zip(new, old, strict=True))
    gained = sum(bool(a and not b) for a, b in zip(new, old, strict=True))
    lost = sum(bool(b and not a) for a, b in zip(new, old, strict=True))
    return Pairs(both=both, gained=gained, lost=lost, neither=len(new) - both - gained - lost)


def better_p(pairs: Pairs) -> float:
    """Return the one-sided p-value of "the new one is no better" (exact test of Q. McNemar, Psychometrika 12, 1947).

    Pairs that agree say nothing; among the others a network that is no better gains with probability of at most 1/2.
    """
    n = pairs.gained + pairs.lost
    return sum(math.comb(n, k) for k in range(pairs.gained, n + 1)) / 2**n


def not_worse_p(pairs: Pairs, margin: float) -> float:
    """Return the p-value of "the new one's rate is lower by `margin` or more", exact and unconditional.

    Tables are ordered by the score of T. Tango (Statistics in Medicine 17, 1998, 891-908); the p-value is the largest
    probability, over the share of pairs that only the old one passes, of a table at least as good for the new one.

    Parameters
    ----------
    pairs : Pairs
    margin : float
        Of rates, above 0 and below 1.
    """
    if not 0 < margin < 1:
        raise ValueError(f"a margin of {margin}")
    return float(_not_worse_table(pairs.total, margin)[pairs.gained, pairs.lost]) if pairs.total else 1.0


@cache
def _not_worse_table(n: int, margin: float) -> npt.NDArray[np.float64]:
    """Return the p-value of each (gained, lost) of n pairs; 1 where no such table is."""
    scores = np.round(_scores(n, margin), 9)  # tables that are as good as each other count together
    gained, lost = np.nonzero(np.isfinite(scores))
    order = np.argsort(-scores[gained, lost], kind="stable")
    gained, lost = gained[order], lost[order]
    ranked = scores[gained, lost]
    last_alike = np.searchsorted(-ranked, -ranked, side="right") - 1
    log_ways = _log_ways(n)[gained, lost]
    worst = np.zeros(len(ranked))
    # Under the null's edge lost - gained = margin; the probability of a gain runs over what that leaves.
    for q in np.linspace(0.0, (1 - margin) / 2, 201):
        logs = log_ways + _times_log(gained, q) + _times_log(lost, q + margin)
        logs = logs + _times_log(n - gained - lost, 1 - 2 * q - margin)
        worst = np.maximum(worst, np.cumsum(np.exp(logs))[last_alike])
    table = np.ones_like(scores)
    table[gained, lost] = np.minimum(worst, 1.0)
    return table


def _times_log(count: npt.NDArray[np.integer], p: float) -> npt.NDArray[np.float64]:
    """Return count · log p with 0 · log 0 = 0."""
    if p <= 1e-15:
        return np.where(count == 0, 0.0, -np.inf)
    return count.astype(np.float64) * math.log(p)


@cache
def _scores(n: int, margin: float) -> npt.NDArray[np.float64]:
    """Return Tango's score against a difference of -margin for each (gained, lost); -inf where no such table is."""
    b, c = np.meshgrid(np.arange(n + 1, dtype=np.float64), np.arange(n + 1, dtype=np.float64), indexing="ij")
    d = -margin
    middle = -b - c + (2 * n - b + c) * d
    q = (np.sqrt(np.maximum(middle * middle + 8 * n * c * d * (1 - d), 0.0)) - middle) / (4 * n)
    variance = n * (2 * q + d * (1 - d))
    score = (b - c - n * d) / np.sqrt(np.maximum(variance, 1e-12))
    return np.where(b + c <= n, score, -np.inf)


@cache
def _log_ways(n: int) -> npt.NDArray[np.float64]:
    """Return log of n! / (gained! lost! rest!) for each (gained, lost) that fits."""
    logs = np.array([math.lgamma(k + 1) for k in range(n + 1)])
    b, c = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    rest = np.maximum(n - b - c, 0)
    return logs[n] - logs[b] - logs[c] - logs[rest]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureTest:
    """Whether failures come more often than they should, asked after every drive (A. Wald's sequential test, 1945).

    The likelihood ratio of `alarm_rate` against `usual_rate` is kept; an alarm at 1 / `alpha` is false with a
    probability of at most `alpha` however long one goes on (J. Ville, 1939), so a rollout may look whenever it likes.

    Parameters
    ----------
    usual_rate : float
        Failures a drive that are no reason for an alarm.
    alarm_rate : float
        Failures a drive that must be noticed; above `usual_rate`.
    alpha : float
        Probability of a false alarm.
    """

    usual_rate: float
    alarm_rate: float
    alpha: float

    def __post_init__(self) -> None:
        if not 0 < self.usual_rate < self.alarm_rate < 1 or not 0 < self.alpha < 1:
            raise ValueError(f"no test: rates {self.usual_rate} and {self.alarm_rate}, alpha {self.alpha}")

    @property
    def limit(self) -> float:
        """Of the log likelihood ratio; an alarm at or above it."""
        return -math.log(self.alpha)

    @property
    def failure_step(self) -> float:
        """What a failure adds."""
        return math.log(self.alarm_rate / self.usual_rate)

    @property
    def pass_step(self) -> float:
        """What a drive without one adds; negative."""
        return math.log((1 - self.alarm_rate) / (1 - self.usual_rate))

    def evidence(self, failed: Sequence[bool]) -> list[float]:
        """Return the log likelihood ratio after each drive."""
        total, found = 0.0, []
        for one in failed:
            total += self.failure_step if one else self.pass_step
            found.append(total)
        return found

    def alarm(self, failed: Sequence[bool]) -> int | None:
        """Return after how many drives the alarm goes off, or None."""
        for drives, value in enumerate(self.evidence(failed), start=1):
            if value >= self.limit:
                return drives
        return None

    def power(self, rate: float, drives: int) -> float:
        """Return the probability of an alarm within so many drives at a true failure rate, exactly."""
        alive = {0: 1.0}  # failures so far -> probability, of those without an alarm yet
        alarmed = 0.0
        for drive in range(1, drives + 1):
            after: dict[int, float] = {}
            for failures, p in alive.items():
                for more, chance in ((1, rate), (0, 1 - rate)):
                    after[failures + more] = after.get(failures + more, 0.0) + p * chance
            alive = {}
            for failures, p in after.items():
                if failures * self.failure_step + (drive - failures) * self.pass_step >= self.limit:
                    alarmed += p
                else:
                    alive[failures] = p
        return alarmed


def sample(count: int, of: int, seed: int) -> tuple[int, ...]:
    """Return `count` different numbers below `of` in rising order, by seed; all of them where there are fewer."""
    return tuple(sorted(random.Random(seed).sample(range(of), min(count, of))))
