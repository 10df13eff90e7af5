"""Events are counted from instructions, and joules follow: hand-made cases, then whole random programs."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from chanzi.chip import load_chip
from chanzi.cost.energy import energy_of, event_costs
from chanzi.cost.events import EVENTS, count_events
from chanzi.errors import CostError
from chanzi.program.program import Layer, Segment
from chanzi.sim.timing import simulate

_SPEC = importlib.util.spec_from_file_location("timing_programs", Path(__file__).parents[1] / "sim" / "test_timing.py")
assert _SPEC
assert _SPEC.loader
programs_of = importlib.util.module_from_spec(_SPEC)
sys.modules["timing_programs"] = programs_of
_SPEC.loader.exec_module(programs_of)
dot, vec, load, store, make_chip = (getattr(programs_of, n) for n in ("dot", "vec", "load", "store", "make_chip"))


def counted(chip, *codes, macs=0):
    s = programs_of.segment(*codes)
    rows = tuple(Layer(name=f"l{i}", kind="conv", shape=(1, 1, 8), macs=macs) for i in range(3))
    s = Segment(name="s", cores=s.cores, image=s.image, dram_bytes=0, inputs=(), outputs=(), layers=rows, buffers=())
    return count_events(chip, s, simulate(chip, s))


def at_14(chip):
    return replace(chip, node_nm=14)


@given(programs_of.programs())
def test_every_program_spends_on_every_layer_it_runs(case):
    chip, codes = case
    counts = counted(chip, *codes)
    assert (counts.layers >= 0).all()
    assert counts.total("instructions") == sum(len(code) for code in codes)
    energy = energy_of(chip, counts, event_costs(at_14(chip)))
    assert energy.joules == pytest.approx(sum(energy.by_block().values()))
    assert energy.chip_joules <= energy.joules
    assert (energy.layers >= 0).all()
    if counts.cycles:
        assert energy.watts > 0


def test_one_dot_by_hand():
    chip = make_chip()
    D, W = chip.core.dim, chip.core.port_bytes
    assert (D, W) == (8, 8)
    counts = counted(chip, [dot(20, 8, 32)])  # 20 rows of A: tiles of 8, 8, 4; one tile of B
    assert counts.total("macs") == 20 * 8 * 32
    assert counts.total("operand_bytes") == 32 * (20 * 1 + 8 * 3)
    assert counts.total("reads") == 20 * 4 + 8 * 4 * 3
    assert counts.total("writes") == 20
    assert counts.total("sums") == 20 * 8
    assert counts.total("dram_bytes") == 0
    assert counts.total("array_cycles") == 3 * 32


def test_products_beyond_the_layer_are_padding():
    counts = counted(make_chip(), [dot(8, 8, 32)], macs=8 * 8 * 24)
    assert counts.layers[0, list(EVENTS).index("macs")] == 8 * 8 * 24
    assert counts.layers[0, list(EVENTS).index("zero_macs")] == 8 * 8 * 8


def test_a_load_moves_its_bytes_once():
    chip = make_chip()
    counts = counted(chip, [load(256)])
    assert counts.total("dram_bytes") == 256
    assert counts.total("writes") == 256 / chip.core.port_bytes


def test_clock_and_leakage_go_with_time_and_layers_share_them():
    chip = at_14(make_chip())
    costs = event_costs(chip)
    counts = counted(chip, [dot(8, 8, 32)])
    energy = energy_of(chip, counts, costs, layer_cycles=np.array([1.0, 3.0, 0.0]))
    assert energy.of_block("clock") == pytest.approx(1e-12 * counts.cycles * costs.clock_pj)
    assert energy.of_block("leakage") == pytest.approx(energy.seconds * costs.leakage_w)
    column = energy.blocks.index("leakage")
    assert energy.layers[1, column] == pytest.approx(3 * energy.layers[0, column])
    assert energy.layers[2, column] == 0


def test_newer_nodes_and_lower_voltage_spend_less():
    chip = load_chip("tesla-fsd-hw3")
    old, new = event_costs(chip, node_nm=28), event_costs(chip, node_nm=7)
    assert all(new.pj[name] <= old.pj[name] for name in EVENTS)
    low = event_costs(replace(chip, volt=0.65))
    assert low == event_costs(chip, volt=0.65)
    nominal = event_costs(chip)
    ratio = (0.65 / nominal.volt) ** 2
    assert low.pj["macs"] == pytest.approx(nominal.pj["macs"] * ratio)
    assert low.leakage_w < nominal.leakage_w * ratio
    assert low.dram_pj_per_byte == nominal.dram_pj_per_byte


def test_unknown_memory_is_refused():
    with pytest.raises(CostError, match="no DRAM of kind 'core'"):
        event_costs(load_chip("tesla-fsd-hw3"), dram="core")


def test_a_cold_run_has_no_counts():
    chip = make_chip()
    s = programs_of.segment([dot(8, 8, 32)])
    with pytest.raises(ValueError, match="cold"):
        count_events(chip, s, simulate(chip, s, part="cold"))
