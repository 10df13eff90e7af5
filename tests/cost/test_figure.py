"""Figures: every number has a source, a grade and an orderly range; nodes interpolate between their neighbours."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.cost.area import logic
from chanzi.cost.dollars import economics
from chanzi.cost.figure import Figure, between, figures, sources, table
from chanzi.cost.tech import (
    at_node,
    constant,
    dram_pj_per_bit,
    known_node,
    mac_pj,
    node_names,
    op_pj,
    sram_pj_per_bit,
    supply,
    supply_for_clock,
)
from chanzi.errors import CostError

NODES = sorted(node_names())
KEYS = (
    "gate_um2",
    "bitcell_um2",
    "wafer_usd",
    "defects_per_cm2",
    "mask_usd",
    "design_usd",
    "volt",
    "leakage_mw_per_mm2",
)


def test_every_table_is_whole():
    for name in ("nodes", "energy", "logic", "economics"):
        assert sources(name)
        for source in sources(name).values():
            assert source.title
    every = [*economics().values(), *dram_pj_per_bit().values(), *logic("gates").values(), *logic("place").values()]
    every += [constant(name) for name in table("energy")["constant"]]
    every += [at_node(nm, key) for nm in NODES for key in KEYS]
    for figure in every:
        low, high = figure.bounds
        assert low <= figure.value <= high
        assert figure.unit
        assert figure.grade in ("A", "B", "C", "D")
        if figure.how == "estimated":
            assert figure.low is not None or figure.unit.startswith(("V,", "wafers")), figure


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("node", NODES)
def test_nodes_follow_each_other(key, node):
    assert at_node(node, key).value > 0
    if key in ("gate_um2", "bitcell_um2"):
        assert all(at_node(a, key).value <= at_node(b, key).value for a, b in itertools.pairwise(NODES))
    if key in ("wafer_usd", "mask_usd", "design_usd"):
        assert all(at_node(a, key).value >= at_node(b, key).value for a, b in itertools.pairwise(NODES))


@given(
    st.dictionaries(st.floats(1, 200), st.floats(0.1, 1e4), min_size=2, max_size=6).filter(
        lambda d: min(b / a for a, b in zip(sorted(d), sorted(d)[1:], strict=False)) > 1.01
    ),
    st.floats(1, 200),
)
def test_interpolation_stays_between_its_neighbours(points, at):
    value = between(points, at)
    below, above = [x for x in points if x <= at], [x for x in points if x >= at]
    if below and above:
        ends = sorted((points[max(below)], points[min(above)]))
        assert ends[0] * (1 - 1e-9) <= value <= ends[1] * (1 + 1e-9)


def test_energy_is_anchored_at_both_ends_and_not_scaled_classically():
    assert op_pj("int8_mul", 45) == pytest.approx(0.2)
    assert op_pj("int8_mul", 7) == pytest.approx(0.07)
    assert mac_pj(45) / mac_pj(7) == pytest.approx(3.0)
    assert sram_pj_per_bit(1 << 20, 45) * 64 == pytest.approx(100)
    assert sram_pj_per_bit(1 << 20, 7) * 64 == pytest.approx(14)
    assert all(mac_pj(a) < mac_pj(b) for a, b in itertools.pairwise(NODES))


@given(st.sampled_from(NODES), st.integers(64, 1 << 24))
def test_larger_memories_and_older_nodes_cost_more_energy(node, size):
    assert sram_pj_per_bit(size, node) <= sram_pj_per_bit(2 * size, node) * (1 + 1e-9)
    if node > min(NODES):
        newer = NODES[NODES.index(node) - 1]
        assert sram_pj_per_bit(size, newer) <= sram_pj_per_bit(size, node) * (1 + 1e-9)


@given(st.sampled_from(NODES), st.floats(0.4, 1.1))
def test_the_slowest_supply_for_a_clock_reaches_it(node, share):
    found = supply_for_clock(node, share)
    assert found.clock >= share * (1 - 1e-6)
    if found.volt > 0.61 * found.nominal:
        assert supply(node, found.volt * 0.99).clock < share
    assert (found.energy <= 1) == (found.volt <= found.nominal)


def test_strange_figures_are_refused():
    with pytest.raises(CostError, match="no process node of 13 nm"):
        known_node(13)
    with pytest.raises(CostError, match="names no process node"):
        known_node(0)
    with pytest.raises(CostError, match="nominal voltage"):
        supply(14, 3.3)
    with pytest.raises(CostError, match="clock of nominal"):
        supply_for_clock(14, 9)
    with pytest.raises(ValueError, match="outside its own range"):
        Figure(value=3, low=4, high=5, unit="", source="x", how="read")
    with pytest.raises(ValueError, match="finite"):
        Figure(value=math.nan, unit="", source="x", how="read")
    entry = {"value": 1.0, "unit": "USD", "source": "nobody", "how": "read"}
    with pytest.raises(CostError, match="here: 'price' names the source 'nobody'"):
        figures({"price": entry}, sources("nodes"), "here")
    with pytest.raises(CostError, match="here: 'price' is no figure"):
        figures({"price": {"value": "much"}}, sources("nodes"), "here")
