"""Every point of the space is a legal chip; what makes no sense is refused by name."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chanzi.chip import dump_chip, parse_chip
from chanzi.cost.tech import at_node, supply
from chanzi.errors import ChanziError, ExploreError
from chanzi.explore.goals import Goals, dominates, front, spread
from chanzi.explore.space import AXES, Space, default_clock_hz, narrowed, with_code

NODES = (130, 28, 14, 7, 5)


def values(axis):
    if axis.choices:
        return st.sampled_from(axis.choices)
    if axis.step:
        steps = round((axis.high - axis.low) / axis.step)
        return st.integers(0, steps).map(lambda i: axis.low + i * axis.step)
    return st.floats(axis.low, axis.high)


POINTS = st.fixed_dictionaries({axis.name: values(axis) for axis in AXES})


@given(point=POINTS, node=st.sampled_from(NODES), clock=st.floats(1e8, 3e9))
@settings(max_examples=200, deadline=None)
def test_every_point_is_a_chip(point, node, clock):
    space = Space(node_nm=node, max_clock_hz=clock)
    chip = space.chip(point, "x")
    assert parse_chip(dump_chip(chip)) == chip
    at = supply(node, chip.volt)  # allowed at the node, and fast enough
    assert at.clock * clock * 1.001 >= chip.clock_hz
    lower = supply(node, max(chip.volt - 0.002, 0.6 * at_node(node, "volt").value))
    assert lower.volt > chip.volt - 0.0021 or lower.clock * clock < chip.clock_hz * 1.001
    assert chip.dram.beat_bytes <= chip.core.port_bytes
    assert chip.core.port_bytes % chip.core.atom_bytes == 0


@given(point=POINTS)
@settings(deadline=None)
def test_every_point_has_hardware(point):
    pytest.importorskip("amaranth")
    from chanzi.rtl import scratchpad
    from chanzi.rtl.array import engine

    core = Space(node_nm=14, max_clock_hz=1e9).chip(point, "x").core
    scratchpad.refuse_unbuildable(core)
    engine.refuse_unbuildable(core)


@given(n=st.integers(1, 65536))
def test_the_instruction_memory_has_a_tenth_to_spare(n):
    chip = Space(node_nm=14, max_clock_hz=1e9).chip({a.name: a.choices[0] if a.choices else a.low for a in AXES}, "x")
    found = with_code(chip, n).core.code_instructions
    assert found >= min(1.1 * n, 65536)
    assert found & found - 1 == 0


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"dims": "32"}, "did you mean 'dim'"),
        ({"cores": "0"}, "cores = 0"),
        ({"cores": "a"}, "is no range"),
        ({"cores": "4:2"}, "is no range"),
        ({"cores": "1:2:3"}, "is no range"),
        ({"cores": "nan"}, "cores = nan"),
        ({"cores": "1.5:2"}, "in steps of 1"),
        ({"clock": "0.1:3"}, "clock = 3"),
        ({"bank_kib": "3"}, "bank_kib = 3"),
        ({"port_factor": "3"}, "port_factor = 3"),
        ({"dram_gb_s": "-5:10"}, "dram_gb_s = -5"),
    ],
)
def test_axes_that_make_no_sense_are_refused(given_, says):
    with pytest.raises(ExploreError, match=says.replace("(", r"\(")):
        narrowed(AXES, given_)


def test_axes_are_narrowed():
    axes = {a.name: a for a in narrowed(AXES, {"cores": "2:4", "dim": "32,64", "dram_gb_s": "68", "bank_kib": "8:16"})}
    assert (axes["cores"].low, axes["cores"].high) == (2, 4)
    assert axes["dim"].choices == (32, 64)
    assert axes["dram_gb_s"].choices == (68,)
    assert axes["bank_kib"].choices == (8, 16)


def test_newer_nodes_are_faster():
    assert list(map(default_clock_hz, NODES)) == sorted(map(default_clock_hz, NODES))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"minimize": ()}, "one to four different goals"),
        ({"minimize": ("energy", "energy")}, "one to four different goals"),
        ({"minimize": ("enrgy",)}, "did you mean 'energy'"),
        ({"max_area_mm2": -60}, "--max-area is -60"),
        ({"max_area_mm2": 900}, "beyond the reticle's 858 mm2"),
        ({"max_power_w": 0}, "--max-power is 0"),
        ({"max_power_w": float("nan")}, "--max-power is nan"),
        ({"min_fps": -1}, "--min-fps is -1"),
        ({"volume": 0}, "a volume of 0"),
        ({"node_nm": 15}, "no process node of 15"),
    ],
)
def test_goals_that_make_no_sense_are_refused(fields, says):
    with pytest.raises(ChanziError, match=says):
        Goals(**{"minimize": ("energy",), "node_nm": 14, **fields})


VALUES = st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=1, max_size=30)


@given(VALUES)
def test_the_front_is_what_nothing_betters(values):
    kept = front(values)
    assert kept
    for i, v in enumerate(values):
        beaten = any(dominates(other, v) for other in values)
        assert beaten == (v not in [values[k] for k in kept])
        assert i not in kept or not beaten
    assert len({values[k] for k in kept}) == len(kept)


@given(VALUES, st.integers(1, 8))
@example([(0.10000000000000002, 1.0), (0.1, 1.0)], 1)  # of one logarithm
def test_a_spread_has_the_best_of_each(values, n):
    chosen = spread(values, n)
    assert len(chosen) == len(set(chosen)) == min(n, len(values))
    assert min(v[0] for v in values) in [values[i][0] for i in chosen]
