"""What of a drive is worth keeping: triggers look at its signals, a budget bounds what each may keep.

A recorder in a car sees everything and keeps little. Each trigger has a signal (a number a frame), a threshold, and a
budget of frames a turn; where more fires than the budget holds, the strongest is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from chanzi.drive.engine.signals import Signals
from chanzi.errors import LoopError


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One reason to keep frames.

    Parameters
    ----------
    name : str
        Of a signal.
    threshold : float
        Fires where the signal is above.
    budget_frames : int
        It may keep so many a turn.
    """

    name: str
    threshold: float
    budget_frames: int

    def __post_init__(self) -> None:
        known = [f.name for f in fields(Signals)]
        if self.name not in known:
            raise LoopError(f"no trigger '{self.name}'", hint="known: " + ", ".join(known))
        if self.budget_frames < 0:
            raise LoopError(f"trigger {self.name} may keep {self.budget_frames} frames", hint="0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Frames around an event: from `before` frames ahead of it to `after` behind, every `stride`-th."""

    before: int
    after: int
    stride: int = 1

    def __post_init__(self) -> None:
        if self.before < 0 or self.after < 0 or self.stride < 1:
            raise LoopError(f"a window of {self.before} + {self.after} frames, every {self.stride}th")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A trigger that fired: where its signal was highest."""

    drive: int
    frame: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a trigger did in a turn.

    Parameters
    ----------
    name : str
    events : int
        How often it fired.
    per_1000_frames : float
        The same against what was driven.
    kept_events, kept_frames : int
        What was kept for its sake, and of nobody's before it.
    budget_frames : int
    """

    name: str
    events: int
    per_1000_frames: float
    kept_events: int
    kept_frames: int
    budget_frames: int


def fire(signal: npt.NDArray[np.floating], threshold: float, rest: int, drive: int = 0) -> list[Event]:
    """Return where a signal is above its threshold: an event for each stretch, at its highest frame.

    Stretches with at most `rest` frames between them are one: a signal that flickers about its threshold is one event.
    A signal that is no number at a frame does not fire there.
    """
    above = np.flatnonzero(np.nan_to_num(signal, nan=-np.inf) > threshold)
    if not len(above):
        return []
    groups = np.split(above, np.flatnonzero(np.diff(above) > rest + 1) + 1)
    best = [int(group[np.argmax(signal[group])]) for group in groups]
    return [Event(drive=drive, frame=frame, score=float(signal[frame])) for frame in best]


def choose(
    drives: Sequence[Signals], triggers: Sequence[Trigger], window: Window, *, routine_frames: int = 0, seed: int = 0
) -> tuple[tuple[tuple[int, ...], ...], tuple[Rate, ...]]:
    """Return the frames to keep of each drive, in order, and what each trigger did.

    Triggers are served in the order given; a frame that an earlier one keeps costs a later one nothing. So many
    `routine_frames` more are drawn at random from the rest, lest what is ordinary be forgotten; they are the last rate.
    """
    kept: list[set[int]] = [set() for _ in drives]
    driven = max(sum(d.frames for d in drives), 1)
    rates = []
    for trigger in triggers:
        rest = window.before + window.after
        events = [e for i, d in enumerate(drives) for e in fire(getattr(d, trigger.name), trigger.threshold, rest, i)]
        left, served = trigger.budget_frames, 0
        for event in sorted(events, key=lambda e: (-e.score, e.drive, e.frame)):
            last = drives[event.drive].frames
            around = range(max(0, event.frame - window.before), min(last, event.frame + window.after + 1))
            # Counted from the drive's first frame, so that overlapping windows keep the same frames.
            fresh = [f for f in around if f % window.stride == 0 and f not in kept[event.drive]]
            if len(fresh) > left:
                continue
            kept[event.drive].update(fresh)
            left -= len(fresh)
            served += bool(fresh)
        rates.append(
            Rate(
                name=trigger.name,
                events=len(events),
                per_1000_frames=1000 * len(events) / driven,
                kept_events=served,
                kept_frames=trigger.budget_frames - left,
                budget_frames=trigger.budget_frames,
            )
        )
    rest = [(i, f) for i, d in enumerate(drives) for f in range(d.frames) if f not in kept[i]]
    chance = np.random.default_rng(seed)
    picks = chance.choice(len(rest), min(routine_frames, len(rest)), replace=False) if rest else ()
    for pick in picks:
        drive, frame = rest[int(pick)]
        kept[drive].add(frame)
    rates.append(
        Rate(
            name="routine",
            events=len(picks),
            per_1000_frames=1000 * len(picks) / driven,
            kept_events=len(picks),
            kept_frames=len(picks),
            budget_frames=routine_frames,
        )
    )
    return tuple(tuple(sorted(frames)) for frames in kept), tuple(rates)
