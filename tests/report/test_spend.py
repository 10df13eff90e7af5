"""Spend of a run: layers and blocks sum to the whole, and it follows the chip's node."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from chanzi.chip import load_chip
from chanzi.cli.network import Choices, find, opened
from chanzi.report.spend import energy_figure, facts, joules_text, spend_of, to_dict
from chanzi.report.summary import ChipRun, steps_of


def runs_on(chip, mode="single"):
    with opened(find("digits"), chip, Choices(mode=mode), (), "fast") as session:
        steps = steps_of(session.model, session.timing(), session.host_seconds)
    return [step for step in steps if isinstance(step, ChipRun)]


@pytest.fixture(scope="module")
def runs():
    return runs_on("tesla-fsd-hw3")


def test_layers_and_blocks_sum_to_the_whole(runs):
    spend = spend_of(runs)
    assert spend.joules == pytest.approx(sum(layer.joules for layer in spend.layers))
    assert spend.joules == pytest.approx(sum(spend.blocks.values()))
    seconds = sum(run.frame.cycles for run in runs) / runs[0].compiled.chip.clock_hz
    assert spend.watts == pytest.approx(spend.joules / seconds)
    assert spend.chip_watts < spend.watts
    assert sum(spend.area_mm2.values()) == pytest.approx(spend.die_mm2)
    value, low, high = spend.unit_usd
    assert low < high
    assert value > spend.good_die_usd
    assert {layer.name for layer in spend.layers} >= {layer.name for layer in runs[0].compiled.segment.layers}
    assert to_dict(spend)["layers"][0]["blocks"]["DRAM"] >= 0


def test_each_core_with_a_frame_of_its_own_spends_as_much_a_frame_but_leaks_less():
    one, many = spend_of(runs_on("chanzi-64x4")), spend_of(runs_on("chanzi-64x4", "throughput"))
    assert many.blocks["array"] == pytest.approx(one.blocks["array"], rel=0.02)
    assert many.blocks["leakage"] < one.blocks["leakage"]


def test_a_chip_without_a_node_has_no_spend_and_one_too_large_no_price(runs):
    def on(chip):
        return [replace(run, compiled=replace(run.compiled, chip=chip)) for run in runs]

    chip = load_chip("tesla-fsd-hw3")
    assert spend_of(on(replace(chip, node_nm=0.0))) is None
    huge = spend_of(on(replace(chip, node_nm=130.0)))
    assert huge.unit_usd is None
    assert "larger than a mask" in dict(facts(huge))["cost"]


def test_the_figure_is_what_plotly_takes_and_stacks_to_the_joules(runs):
    spend = spend_of(runs)
    figure = energy_figure(spend)
    go.Figure(figure)
    assert sum(np.sum(trace["y"]) for trace in figure["data"]) == pytest.approx(1e6 * spend.joules)


def test_energies_are_short():
    assert [joules_text(v) for v in (2.0, 1.5e-3, 2e-6, 3e-9)] == ["2 J", "1.5 mJ", "2 µJ", "3 nJ"]


def test_nothing_is_written_by_looking(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spend_of(runs)
    assert not list(Path.cwd().iterdir())
