"""A rollout reaches every car with a good version, few with a bad one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.drive.engine.fleet import Fleet, roll_out
from chanzi.errors import LoopError

FLEETS = st.builds(
    Fleet,
    cars=st.integers(1, 30),
    drives_per_car=st.integers(1, 4),
    waves=st.lists(st.floats(0.01, 0.99), unique=True, max_size=4).map(lambda w: (*sorted(w), 1.0)),
)


@given(FLEETS)
def test_waves_reach_every_car_once(fleet):
    reached = [fleet.reached(wave) for wave in range(len(fleet.waves))]
    assert reached == sorted(reached)
    assert reached[-1] == fleet.cars
    assert reached[0] >= 1
    test = fleet.watch(1, 20)
    _, driven = roll_out(fleet, test, lambda numbers: [False] * len(numbers))
    assert sorted(driven) == list(range(fleet.drives))


@given(FLEETS, st.floats(0, 1), st.integers(0, 100))
def test_what_a_rollout_says_is_what_happened(fleet, rate, seed):
    fails = np.random.default_rng(seed).random(fleet.drives) < rate
    test = fleet.watch(2, 20)
    rollout, driven = roll_out(fleet, test, lambda numbers: [bool(fails[n]) for n in numbers])
    last = rollout.waves[-1]
    assert last.drives == len(driven) == len({*driven})
    assert last.failures == sum(fails[n] for n in driven)
    assert (rollout.alarm is None) or test.alarm([bool(fails[n]) for n in driven]) == rollout.alarm
    if rollout.alarm is None:
        assert last.cars == fleet.cars
    # A version that was stopped has reached no car of a later wave.
    assert {n // fleet.drives_per_car for n in driven} == set(range(last.cars))


def test_a_version_that_always_fails_stops_with_the_first_cars():
    fleet = Fleet(cars=20, waves=(0.1, 0.4, 1.0), drives_per_car=3)
    rollout, driven = roll_out(fleet, fleet.watch(3, 60), lambda numbers: [True] * len(numbers))
    assert rollout.waves[-1].cars == 2
    assert rollout.alarm is not None
    assert len(driven) == 6


def test_good_and_bad_versions_are_told_apart_as_often_as_promised():
    fleet = Fleet(cars=20, waves=(0.1, 0.4, 1.0), drives_per_car=3, alpha=0.05, rise=0.2)
    for failures in (0, 6, 30):
        test = fleet.watch(failures, 60)
        assert test.power(test.usual_rate, fleet.drives) <= fleet.alpha
        assert test.power(min(test.alarm_rate + 0.2, 0.99), fleet.drives) > 0.9


@pytest.mark.parametrize(
    "wrong", [{"waves": (0.5, 0.2, 1.0)}, {"waves": (0.5,)}, {"waves": ()}, {"cars": 0}, {"alpha": 0.0}, {"rise": 1.0}]
)
def test_a_fleet_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(LoopError):
        Fleet(**wrong)
