"""Intervals cover what they promise, tests err no more often than they say: enumerated and simulated."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.drive.statistics import (
    FailureTest,
    Pairs,
    better_p,
    bootstrap_mean,
    not_worse_p,
    pair,
    sample,
    wilson,
)


def binomial(k: int, n: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


@given(st.integers(0, 200), st.integers(0, 200))
def test_an_interval_holds_its_rate_and_is_mirrored_by_failures(a, b):
    found, other = wilson(a, a + b), wilson(b, a + b)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low == pytest.approx(1 - other.high) or a + b == 0


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.9])
def test_the_interval_covers_the_rate_about_as_often_as_it_says(rate):
    n = 60
    covered = sum(binomial(k, n, rate) for k in range(n + 1) if wilson(k, n).low <= rate <= wilson(k, n).high)
    assert 0.92 < covered < 0.98  # Wilson's is 95 % on average over rates, not at each


def test_bootstrap_is_the_same_each_time_and_narrows():
    values = list(np.random.default_rng(0).normal(3, 1, 400))
    few, many = bootstrap_mean(values[:20]), bootstrap_mean(values)
    assert few == bootstrap_mean(values[:20])
    assert many.high - many.low < few.high - few.low
    assert many.low < many.value < many.high


@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_pairs_count_every_scenario_once(passes):
    new, old = [a for a, _ in passes], [b for _, b in passes]
    found = pair(new, old)
    assert found.total == len(passes)
    assert found.both + found.gained == sum(new)
    assert found.both + found.lost == sum(old)


@given(st.integers(0, 12), st.integers(0, 12))
def test_better_is_a_sign_test(gained, lost):
    """Every way the disagreeing pairs could have fallen, counted."""
    n = gained + lost
    as_good = sum(sum(way) >= gained for way in product((0, 1), repeat=min(n, 12))) if n <= 12 else None
    if as_good is not None:
        assert better_p(Pairs(gained=gained, lost=lost)) == pytest.approx(as_good / 2**n)


@pytest.mark.parametrize("q", [0.0, 0.02, 0.1, 0.3])
@pytest.mark.parametrize(("n", "margin"), [(20, 0.1), (40, 0.1), (40, 0.05)])
def test_a_network_that_is_worse_by_the_margin_passes_at_most_alpha_of_the_time(n, margin, q):
    """Enumerated: every table that such a network can give, with its probability."""
    alpha = 0.05
    gained_p, lost_p = q, q + margin
    passes = 0.0
    for gained in range(n + 1):
        for lost in range(n + 1 - gained):
            ways = math.comb(n, gained) * math.comb(n - gained, lost)
            p = ways * gained_p**gained * lost_p**lost * (1 - gained_p - lost_p) ** (n - gained - lost)
            if p > 1e-12 and not_worse_p(Pairs(gained=gained, lost=lost, both=n - gained - lost), margin) <= alpha:
                passes += p
    assert passes <= alpha + 1e-6


@settings(max_examples=50)
@given(st.integers(1, 30), st.data())
def test_more_losses_never_help_a_candidate(n, data):
    gained = data.draw(st.integers(0, n - 1))
    lost = data.draw(st.integers(0, n - 1 - gained))
    now = not_worse_p(Pairs(gained=gained, lost=lost, both=n - gained - lost), 0.1)
    then = not_worse_p(Pairs(gained=gained, lost=lost + 1, both=n - gained - lost - 1), 0.1)
    assert 0 <= now <= then + 1e-9 <= 1 + 1e-9


def test_the_same_network_is_not_worse_given_enough_scenarios():
    assert not_worse_p(Pairs(both=60), 0.1) < 0.05
    assert not_worse_p(Pairs(both=10), 0.1) > 0.05
    assert not_worse_p(Pairs(), 0.1) == 1.0


def test_an_alarm_is_false_at_most_as_often_as_it_says():
    for usual, rise, alpha in [(0.05, 0.2, 0.05), (0.3, 0.2, 0.05), (0.5, 0.25, 0.1), (0.1, 0.1, 0.01)]:
        test = FailureTest(usual_rate=usual, alarm_rate=usual + rise, alpha=alpha)
        assert test.power(usual, 200) <= alpha
        assert test.power(usual / 2, 200) <= test.power(usual, 200) <= test.power(usual + rise, 200)
        assert test.power(usual + rise, 200) > 0.85


def test_power_is_what_simulation_finds():
    test = FailureTest(usual_rate=0.1, alarm_rate=0.3, alpha=0.05)
    chance = np.random.default_rng(1)
    alarms = sum(test.alarm(list(chance.random(40) < 0.3)) is not None for _ in range(2000))
    assert alarms / 2000 == pytest.approx(test.power(0.3, 40), abs=4 * math.sqrt(0.25 / 2000))


@given(st.lists(st.booleans(), max_size=60))
def test_an_alarm_once_is_an_alarm_whatever_comes_after(failed):
    test = FailureTest(usual_rate=0.1, alarm_rate=0.4, alpha=0.05)
    at = test.alarm(failed)
    if at is not None:
        assert test.alarm(failed[:at]) == at
        assert test.alarm(failed[: at - 1]) is None


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 5))
def test_a_sample_is_of_different_numbers(count, of, seed):
    found = sample(count, of, seed)
    assert len({*found}) == len(found) == min(count, of)
    assert all(0 <= n < of for n in found)
    assert found == sample(count, of, seed)
