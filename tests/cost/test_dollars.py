"""Dollars: textbook cases, monotony, and nonsense refused."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.chip import load_chip
from chanzi.cost.dollars import Terms, cost_of, gross_dies, harvested_yield, yield_of
from chanzi.errors import CostError

CHIP = load_chip("tesla-fsd-hw3")
MODELS = ("poisson", "murphy", "seeds", "negative-binomial")


def test_published_die_counts_and_yields():
    assert gross_dies(610) == pytest.approx(88.9, abs=0.05)
    assert gross_dies(260) == pytest.approx(230.5, abs=0.05)
    expected = {"poisson": 0.812, "murphy": 0.815}
    for model, value in expected.items():
        assert float(yield_of(260, 0.08, model)) == pytest.approx(value, abs=5e-4)
    assert float(yield_of(260, 0.08, "negative-binomial", cluster=10)) == pytest.approx(0.814, abs=5e-4)


@given(st.floats(1, 858), st.floats(0, 2), st.sampled_from(MODELS))
def test_yield_is_a_share_and_falls_with_area_and_defects(area, defects, model):
    y = float(yield_of(area, defects, model))
    assert 0 < y <= 1
    assert float(yield_of(area * 1.5, defects, model)) <= y + 1e-12
    assert float(yield_of(area, defects + 0.1, model)) <= y + 1e-12


@given(st.floats(1, 858), st.floats(0.001, 1))
def test_models_stand_in_their_order(area, defects):
    poisson, murphy, seeds = (float(yield_of(area, defects, m)) for m in MODELS[:3])
    assert poisson <= murphy + 1e-12
    assert murphy <= seeds + 1e-9
    many = float(yield_of(area, defects, "negative-binomial", cluster=1e7))
    assert many == pytest.approx(poisson, rel=1e-5)


@given(st.floats(1, 858), st.floats(0, 1), st.integers(1, 20))
def test_spare_cores_save_dies(area, defects, units):
    shares = [harvested_yield(area, defects, repeated=0.6, units=units, spare=s) for s in range(units + 1)]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(shares))
    alone = float(yield_of(area * 0.4, defects, "negative-binomial"))
    assert shares[-1] == pytest.approx(alone)


@given(st.floats(0.5, 800))
def test_dies_of_a_wafer_never_cover_more_than_the_wafer(area):
    dies = gross_dies(area)
    assert dies * area < math.pi * 150**2
    assert gross_dies(area, scribe_mm=0.1, edge_mm=3) < dies


@settings(max_examples=25, deadline=None)
@given(st.floats(1, 1e9), st.sampled_from((28, 16, 14, 10, 7, 5)), st.sampled_from(MODELS))
def test_a_bill_adds_up(volume, node, model):
    bill = cost_of(CHIP, Terms(volume=volume, node_nm=node, yield_model=model))
    assert bill.unit_usd.value == pytest.approx(sum(b.value for b in bill.unit_items.values()))
    assert bill.nre_usd.value == pytest.approx(sum(b.value for b in bill.nre_items.values()))
    for b in (bill.unit_usd, bill.nre_usd, bill.die_mm2, bill.yield_, *bill.unit_items.values()):
        assert 0 < b.p10 <= b.p50 <= b.p90
    means = [b.value for _, b in bill.curve]
    assert all(a >= b for a, b in itertools.pairwise(means))


def test_a_tenth_of_the_draws_lies_below_a_figures_low():
    bill = cost_of(CHIP, Terms(volume=1e6, overrides={"screening_usd": (1.0, 3.0, 8.0)}))
    band = bill.unit_items["screening"]
    assert band.value == 3.0
    assert band.p10 == pytest.approx(1.0, rel=0.12)
    assert band.p50 == pytest.approx(3.0, rel=0.06)
    assert band.p90 == pytest.approx(8.0, rel=0.12)


def test_the_same_question_has_the_same_answer():
    a, b = (cost_of(CHIP, Terms(volume=1e5)) for _ in range(2))
    assert a.unit_usd == b.unit_usd


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("wafer_usd", -1.0, "not negative"),
        ("wafer_usd", 0.0, "not negative"),
        ("mask_usd", math.nan, "no number"),
        ("mask_usd", (3.0, 2.0, 1.0), "not in order"),
        ("final_yield", 1.5, "at most 1"),
        ("package_yield", 0.0, "something must come out"),
        ("wafers_usd", 3.0, "did you mean"),
        ("wafer_mm", 8.0, "fits on a wafer"),
    ],
)
def test_impossible_assumptions_are_refused(name, given, words):
    with pytest.raises(CostError, match=words):
        cost_of(CHIP, Terms(volume=1e6, overrides={name: given}))


@pytest.mark.parametrize("volume", [0, -5, math.nan, math.inf, 1e15])
def test_impossible_volumes_are_refused(volume):
    with pytest.raises(CostError, match="a volume of"):
        Terms(volume=volume)


def test_other_nonsense_is_refused():
    with pytest.raises(CostError, match="GB of DRAM"):
        Terms(volume=1, dram_gb=-1)
    with pytest.raises(CostError, match="no yield model"):
        yield_of(100, 0.1, "hope")
    with pytest.raises(CostError, match="must be positive"):
        gross_dies(0)
    with pytest.raises(CostError, match="reticle"):
        cost_of(CHIP, Terms(volume=1e6, given={"cpu": 800.0}))


def test_wafers_are_bought_in_lots():
    few = cost_of(CHIP, Terms(volume=10))
    assert few.unit_items["silicon"].value * 10 == pytest.approx(25 * few.assumptions["wafer_usd"].value, rel=1e-9)
    assert np.isfinite(few.unit_usd.p90)
