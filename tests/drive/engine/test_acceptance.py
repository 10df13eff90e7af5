"""The gate lets better networks through and no others; how often it errs is counted."""

import numpy as np
import pytest

from chanzi.drive.engine.acceptance import Rule, first, judge
from chanzi.errors import LoopError

RULE = Rule(alpha=0.05, margin=0.1)


def drives(chance, rate_new, rate_old, n, shared=0.0):
    """Passes of two networks on n scenarios; a share of scenarios is decided by the scenario alone."""
    luck_new, luck_old, luck = chance.random((3, n))
    common = chance.random(n) < shared
    luck_new, luck_old = np.where(common, luck, luck_new), np.where(common, luck, luck_old)
    return list(luck_new < rate_new), list(luck_old < rate_old)


def verdict(chance, rate_new, rate_old, suite=60, road=60, shared=0.0):
    on_suite = drives(chance, rate_new, rate_old, suite, shared)
    on_road = drives(chance, rate_new, rate_old, road, shared)
    failed = [i for i, passed in enumerate(on_road[1]) if not passed]
    mined = [on_road[0][i] for i in failed], [on_road[1][i] for i in failed]
    return judge(RULE, suite=on_suite, road=on_road, mined=mined)


@pytest.mark.parametrize("rate", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("shared", [0.0, 0.7])
def test_a_network_that_is_no_better_seldom_gets_through(rate, shared):
    """Though it passes many of the mined failures, which are where the old one happened to fail."""
    chance = np.random.default_rng(0)
    found = [verdict(chance, rate, rate, shared=shared) for _ in range(400)]
    let_through = sum(v.deploy for v in found) / len(found)
    assert let_through <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    if not shared:
        fixed = sum(v.mined.gained for v in found) / max(sum(v.mined.total for v in found), 1)
        assert fixed == pytest.approx(rate, abs=0.05)  # the trap that the second test avoids


def test_a_network_that_is_much_better_gets_through_and_a_worse_one_does_not():
    chance = np.random.default_rng(1)
    assert sum(verdict(chance, 0.9, 0.6).deploy for _ in range(100)) > 90
    assert sum(verdict(chance, 0.6, 0.9).deploy for _ in range(100)) == 0
    assert sum(verdict(chance, 0.0, 0.5).deploy for _ in range(100)) == 0


def test_each_check_can_refuse_alone():
    good = ([True] * 60, [False] * 20 + [True] * 40)
    fine = {"suite": good, "road": good, "mined": ([True] * 20, [False] * 20)}
    assert judge(RULE, **fine).deploy
    worse = ([False] * 15 + [True] * 45, [True] * 60)
    (reason, *_) = judge(RULE, **fine | {"suite": worse}).reasons
    assert "within 10%" in reason
    same = ([True] * 60, [True] * 60)
    (reason,) = judge(RULE, **fine | {"suite": same, "road": same}).reasons
    assert "not shown to be better" in reason
    (reason,) = judge(RULE, **fine | {"mined": ([False] * 20, [False] * 20)}).reasons
    assert "mined" in reason
    (reason,) = judge(RULE, **fine, broken=["9 frames a second"]).reasons
    assert reason == "9 frames a second"


def test_the_first_network_drives_unless_it_cannot():
    assert first().deploy
    assert not first(["too slow"]).deploy


def test_a_gate_that_makes_no_sense_is_refused():
    with pytest.raises(LoopError, match="alpha"):
        Rule(alpha=0.7)
    with pytest.raises(LoopError, match="suite"):
        judge(RULE, suite=([], []), road=([], []), mined=([], []))
