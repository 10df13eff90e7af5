"""Triggers keep the strongest within their budgets, nothing twice, and say truly what they did."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chanzi.drive.engine.signals import Signals, read_signals, write_signals
from chanzi.drive.engine.triggers import Trigger, Window, choose, fire
from chanzi.errors import LoopError

NAMES = ("near_miss", "disagreement", "uncertainty", "intervention", "failure")


@st.composite
def drives(draw):
    found = []
    for _ in range(draw(st.integers(0, 4))):
        frames = draw(st.integers(1, 80))
        values = hnp.arrays(np.float32, frames, elements=st.floats(0, 4, width=32))
        found.append(Signals(**{name: draw(values) for name in NAMES}))
    return found


TRIGGERS = st.lists(st.sampled_from(NAMES), unique=True).flatmap(
    lambda names: st.tuples(
        *(
            st.builds(Trigger, name=st.just(n), threshold=st.floats(0, 4), budget_frames=st.integers(0, 60))
            for n in names
        )
    )
)
WINDOWS = st.builds(Window, before=st.integers(0, 10), after=st.integers(0, 10), stride=st.integers(1, 4))


@given(drives(), TRIGGERS, WINDOWS, st.integers(0, 30), st.integers(0, 3))
def test_budgets_hold_and_the_counts_are_true(driven, triggers, window, routine, seed):
    kept, rates = choose(driven, triggers, window, routine_frames=routine, seed=seed)
    assert len(kept) == len(driven)
    for frames, signals in zip(kept, driven, strict=True):
        assert list(frames) == sorted({*frames})
        assert all(0 <= f < signals.frames for f in frames)
    assert all(rate.kept_frames <= rate.budget_frames for rate in rates)
    assert sum(rate.kept_frames for rate in rates) == sum(map(len, kept))
    assert [rate.name for rate in rates] == [*(t.name for t in triggers), "routine"]
    assert (kept, rates) == choose(driven, triggers, window, routine_frames=routine, seed=seed)


@given(drives(), WINDOWS)
def test_without_a_bound_every_event_is_kept_and_nothing_far_from_one(driven, window):
    trigger = Trigger(name="near_miss", threshold=2.0, budget_frames=10**6)
    kept, (rate, _) = choose(driven, [trigger], window)
    for frames, signals in zip(kept, driven, strict=True):
        events = [e.frame for e in fire(signals.near_miss, 2.0, window.before + window.after)]
        for frame in frames:
            assert frame % window.stride == 0
            assert any(e - window.before <= frame <= e + window.after for e in events)
        if window.stride == 1:
            assert {*events} <= {*frames}
    assert rate.events == sum(len(fire(d.near_miss, 2.0, window.before + window.after)) for d in driven)


@given(hnp.arrays(np.float32, st.integers(0, 100), elements=st.floats(0, 1, width=32)), st.integers(0, 5))
def test_an_event_is_the_top_of_a_stretch(signal, rest):
    events = fire(signal, 0.5, rest)
    above = np.flatnonzero(signal > 0.5)
    assert bool(len(above)) == bool(events)
    for event in events:
        assert signal[event.frame] == event.score > 0.5
    frames = [e.frame for e in events]
    assert frames == sorted(frames)
    # No frame above the threshold is further from an event than its stretch is long.
    assert len(events) == 1 + int((np.diff(above) > rest + 1).sum()) if len(above) else not events


def test_where_the_budget_is_short_the_strongest_is_kept():
    signal = np.zeros(100, np.float32)
    signal[[10, 50, 90]] = (1.0, 3.0, 2.0)
    none = np.zeros(100, np.float32)
    drive = Signals(near_miss=signal, disagreement=none, uncertainty=none, intervention=none, failure=none)
    trigger = Trigger(name="near_miss", threshold=0.5, budget_frames=10)
    (frames,), (rate, _) = choose([drive], [trigger], Window(before=2, after=2))
    assert frames == (48, 49, 50, 51, 52, 88, 89, 90, 91, 92)
    assert (rate.events, rate.kept_events, rate.per_1000_frames) == (3, 2, 30.0)


def test_not_a_number_does_not_fire():
    assert fire(np.array([np.nan, 1.0, np.nan], np.float32), 0.5, 0) == fire(np.array([0.0, 1.0, 0.0]), 0.5, 0)


def test_signals_survive_their_file_and_the_file_is_the_same_each_time():
    one = Signals(**{name: np.arange(5, dtype=np.float32) + i for i, name in enumerate(NAMES)})
    data = write_signals(one)
    assert data == write_signals(one)
    assert all(np.array_equal(getattr(read_signals(data), name), getattr(one, name)) for name in NAMES)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(LoopError, match="no trigger 'nearmiss'"):
        Trigger(name="nearmiss", threshold=1.0, budget_frames=1)
    with pytest.raises(LoopError, match="-1 frames"):
        Trigger(name="near_miss", threshold=1.0, budget_frames=-1)
    with pytest.raises(LoopError, match="window"):
        Window(before=1, after=1, stride=0)
