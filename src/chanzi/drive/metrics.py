"""What a set of episodes comes to, each figure between its bounds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chanzi.drive.episode import Episode
from chanzi.drive.statistics import Interval, bootstrap_mean, wilson
from chanzi.drive.timeline import Fate, Latency, counted, latency_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """A set of episodes. Rates and means with 95 % intervals: Wilson's score, and the percentile bootstrap.

    Parameters
    ----------
    episodes : int
    arrived : Interval
        Share that came where they were to go.
    completion : Interval
        Mean share of the route.
    crashes : Interval
        An episode.
    crashed, off_road : Interval
        Share of episodes in which it happened.
    interventions_per_km : Interval or None
        None where nobody was there to take over.
    reward, speed_m_s, lateral_rms_m : Interval
    distance_m, time_s : float
        Of all together.
    latency : Latency
        From light to steering, over the frames of all.
    frames : dict
        How many met each fate.
    ended : dict
        How many ended with each word.
    stops : dict
        Why cars stopped for safety, and how often.
    """

    episodes: int
    arrived: Interval
    completion: Interval
    crashes: Interval
    crashed: Interval
    off_road: Interval
    interventions_per_km: Interval | None
    reward: Interval
    speed_m_s: Interval
    lateral_rms_m: Interval
    distance_m: float
    time_s: float
    latency: Latency
    frames: dict[str, int]
    ended: dict[str, int]
    stops: dict[str, int]


def tally(episodes: Sequence[Episode], *, supervised: bool = False) -> Tally:
    """Return what the episodes come to; `supervised` where a safety driver was there to take over."""
    n = len(episodes)
    passages = [passage for episode in episodes for passage in episode.passages]
    km = [episode.distance_m / 1000 for episode in episodes]
    return Tally(
        episodes=n,
        arrived=wilson(sum(e.arrived for e in episodes), n),
        completion=bootstrap_mean([e.progress for e in episodes]),
        crashes=bootstrap_mean([float(e.crashes) for e in episodes]),
        crashed=wilson(sum(e.crashes > 0 for e in episodes), n),
        off_road=wilson(sum(e.off_road for e in episodes), n),
        interventions_per_km=bootstrap_ratio([float(len(e.takeovers)) for e in episodes], km) if supervised else None,
        reward=bootstrap_mean([e.reward for e in episodes]),
        speed_m_s=bootstrap_ratio([e.distance_m for e in episodes], [e.time_s for e in episodes]),
        lateral_rms_m=bootstrap_mean([e.lateral_rms_m for e in episodes]),
        distance_m=sum(e.distance_m for e in episodes),
        time_s=sum(e.time_s for e in episodes),
        latency=latency_of(passages),
        frames={fate.value: count for fate, count in counted(passages).items()},
        ended=dict(Counter(e.ended for e in episodes)),
        stops=dict(Counter(stop.why for e in episodes for stop in e.stops)),
    )


def dropped_share(frames: dict[str, int]) -> float:
    """Return the share of frames that found the chip busy."""
    return frames[Fate.DROPPED.value] / max(sum(frames.values()), 1)


def bootstrap_ratio(above: Sequence[float], below: Sequence[float], *, draws: int = 2000) -> Interval:
    """Return the ratio of two sums, such as interventions to kilometres, with its percentile bootstrap interval.

    Episodes are drawn whole: what happens in one is not independent.
    """
    if not above or sum(below) <= 0:
        return Interval(low=0.0, value=0.0, high=0.0)
    top, bottom = np.asarray(above, np.float64), np.asarray(below, np.float64)
    picks = np.random.default_rng(0).integers(0, len(top), (draws, len(top)))
    ratios = top[picks].sum(axis=1) / np.maximum(bottom[picks].sum(axis=1), 1e-12)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Interval(low=float(low), value=float(top.sum() / bottom.sum()), high=float(high))
