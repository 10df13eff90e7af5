"""Lost cycles: sums are exact for every program, and plain cases are laid where a reader would lay them."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
from hypothesis import given

from chanzi.cost.lost import CAUSES, lost_cycles
from chanzi.isa.fields import Engine
from chanzi.program.program import Layer, Segment
from chanzi.sim.timing import simulate

_SPEC = importlib.util.spec_from_file_location("timing_programs", Path(__file__).parents[1] / "sim" / "test_timing.py")
assert _SPEC
assert _SPEC.loader
programs_of = importlib.util.module_from_spec(_SPEC)
sys.modules["timing_programs"] = programs_of
_SPEC.loader.exec_module(programs_of)
dot, vec, load, store, make_chip = (getattr(programs_of, n) for n in ("dot", "vec", "load", "store", "make_chip"))


def segment(*codes, layers=3, macs=0):
    s = programs_of.segment(*codes)
    rows = tuple(Layer(name=f"l{i}", kind="conv", shape=(1, 1, 8), macs=macs) for i in range(layers))
    return Segment(name="s", cores=s.cores, image=s.image, dram_bytes=0, inputs=(), outputs=(), layers=rows, buffers=())


def lost(chip, *codes, **more):
    s = segment(*codes, **more)
    timing = simulate(chip, s)
    return timing, lost_cycles(chip, s, timing)


@given(programs_of.programs())
def test_every_cycle_of_every_core_is_laid_once(case):
    chip, codes = case
    timing, result = lost(chip, *codes)
    for c in range(len(codes)):
        assert result.cycles[c].sum() == (timing.cycles if c in result.used else 0)
    assert sum(result.totals().values()) == timing.cycles * len(result.used)
    assert (result.cycles >= 0).all()


def test_one_dot():
    chip = make_chip()
    timing, result = lost(chip, [dot(4, 8, 32)], macs=4 * 8 * 32)
    assert result.of_layer(0) == dict.fromkeys(CAUSES, 0) | {
        "dispatch": 16,
        "useful": 16,
        "edge": 16,
        "fill": timing.cycles - 48,
    }


def test_zeros_multiplied_are_padding():
    chip = make_chip()
    _, result = lost(chip, [dot(8, 8, 32)], macs=8 * 8 * 24)
    assert result.of_layer(0)["useful"] == 24
    assert result.of_layer(0)["padding"] == 8


def test_waiting_for_bytes_is_dram_and_belongs_to_the_load():
    chip = make_chip(latency_ns=50.0)
    timing, result = lost(chip, [load(800, layer=1), dot(8, 8, 32, layer=2, wait_load=1)])
    assert result.of_layer(1)["dram"] == timing.complete[0] - timing.start[0]
    assert result.of_layer(2)["dram"] == 0


def test_waiting_for_a_vec_belongs_to_the_vec():
    chip = make_chip()
    code = [dot(8, 8, 32), vec(500, layer=1, wait_array=1), dot(8, 8, 32, layer=2, wait_vector=1)]
    timing, result = lost(chip, code)
    assert result.of_layer(1)["vector"] == timing.complete[1] - timing.start[1]
    assert result.of_layer(0)["fill"] == timing.complete[0] - timing.busy_end[0]


def test_a_vec_under_a_busy_array_costs_nothing():
    chip = make_chip()
    _, result = lost(chip, [vec(10, layer=1), dot(8, 8, 3200)])
    assert result.of_layer(1)["vector"] == 0


def test_bank_only_waits_are_told_apart():
    chip = make_chip()
    code = [vec(500, layer=1), dot(8, 8, 32, wait_vector=1)]
    timing, result = lost(chip, code)
    banks = [code[0], dot(8, 8, 32, wait_vector=1, note=1 << Engine.VECTOR)]
    _, other = lost(chip, banks)
    assert result.totals()["banks"] == 0
    assert other.totals()["vector"] == 0
    assert other.totals()["banks"] == timing.start[1] - timing.dispatched[1]


def test_waiting_for_another_core():
    chip = make_chip(cores=2)
    one = [dot(8, 8, 800), store(64, wait_array=1)]
    other = [dot(8, 8, 32), dot(8, 8, 32, layer=1, peer_core=0, wait_peer=1)]
    _, result = lost(chip, one, other)
    assert result.cycles[1, 1, list(CAUSES).index("cores")] > 700
    assert result.cycles[0, :, list(CAUSES).index("cores")].sum() > 0, "core 0 is done first and waits for the end"


def test_a_short_tile_after_a_long_drain_waits_for_the_drain():
    chip = make_chip()
    raw = dot(8, 8, 1, flags=128)
    _, result = lost(chip, [raw, dot(8, 8, 8, layer=1)])
    assert result.of_layer(1)["drain"] == 32 - 8


def test_setup_is_dram():
    chip = make_chip()
    s = programs_of.segment([dot(8, 8, 8)], setup=[[load(6400)]])
    timing = simulate(chip, s, part="setup")
    result = lost_cycles(chip, s, timing)
    assert result.totals()["dram"] == timing.cycles - 16
    assert result.cycles.dtype == np.int64


def test_a_third_short_dot_waits_until_the_first_is_complete():
    chip = make_chip()
    timing, result = lost(chip, [dot(8, 8, 32, layer=n) for n in range(3)])
    assert timing.start[2] == timing.complete[0] > timing.busy_end[1]
    assert result.of_layer(0)["fill"] == timing.start[2] - timing.busy_end[1]
    assert result.of_layer(2)["dispatch"] == 0
