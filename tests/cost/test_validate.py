"""Validation: identities hold, answers never reach the models, fitted constants follow from calibrate cases alone."""

import itertools
import json
import math
import statistics
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.cli.validate import _WORDS
from chanzi.cost import dla
from chanzi.cost.cases import Case, decode, load, published
from chanzi.cost.detectors import resnext50, ssd_mobilenet_v1
from chanzi.cost.dla import Dla, atoms, frames_per_s, model_constant
from chanzi.cost.output_stationary import utilization
from chanzi.cost.predict import predict
from chanzi.cost.shapes import NETWORKS, conv, resnet50, shapes_of, total_macs
from chanzi.cost.validate import validate
from chanzi.cost.weight_stationary import WeightStationary, load_seconds, tiles
from chanzi.errors import CostError
from chanzi.report.validation import markdown, ratio_svg

CASES = {c.id: c for c in published()}
DOCS = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture(scope="module")
def found():
    return validate(published())


def test_every_case_has_an_answer_and_all_identities_hold(found):
    assert [o.case.id for o in found.outcomes if o.prediction is None] == []
    assert [o.case.id for o in found.outcomes if o.case.split == "identity" and not o.ok] == []
    assert found.identities_hold


def test_four_of_five_are_inside_and_the_baselines_are_worse(found):
    for score in found.scores:
        assert score.share >= 0.8, score.split
        if score.split in ("calibrate", "test"):
            assert score.speed_error < min(score.constant_error, score.roofline_error)


def test_no_prediction_exceeds_what_physics_allows(found):
    for o in found.outcomes:
        if o.case.must_not_exceed:
            assert o.prediction.value <= o.case.must_not_exceed * (1 + 1e-9)


@given(st.floats(0.01, 100), st.sampled_from([c for c in published() if c.split == "test"]))
def test_answers_do_not_reach_the_models(factor, case):
    other = msgspec.structs.replace(case, expected=4711.0 * factor, tolerance_percent=1.0, basis="", id="other")
    assert predict(other.question) == predict(case.question)


def test_changed_test_cases_change_no_other_prediction_and_no_baseline():
    spoiled = [
        msgspec.structs.replace(c, expected=12345.0, must_not_exceed=None) if c.split == "test" else c
        for c in published()
    ]
    a, b = validate(published()), validate(spoiled)
    assert [o.prediction for o in a.outcomes] == [o.prediction for o in b.outcomes]
    assert a.utilization == b.utilization


def test_fitted_constants_follow_from_calibrate_cases():
    bound = CASES["B_MLP0"].inputs
    roof = 2e-12 * bound["ops_per_weight_byte"] * bound["weight_bw_GBps"] * 1e9
    assert CASES["B_MLP0"].expected / roof == pytest.approx(model_constant("tpu1_memory").value, rel=2e-3)
    assert CASES["B_CNN0"].expected / 91.75 == pytest.approx(model_constant("tpu1_array").value, rel=2e-3)
    shares = [CASES[f"E_rn50_{r}_MAXN"].implied_utilisation for r in ("v3.0", "v3.1")]
    assert statistics.mean(shares) == pytest.approx(model_constant("orin_utilization").value, rel=2e-3)
    training = model_constant("training_share").value * model_constant("matmul_share").value
    assert CASES["J_meg_18.4B"].expected / 312 == pytest.approx(training, rel=2e-3)
    used = ("B_MLP0", "B_CNN0", "J_meg_18.4B", "E_rn50_v3.0_MAXN", "E_rn50_v3.1_MAXN")
    assert {CASES[name].split for name in used} == {"calibrate"}


def test_the_dla_model_is_the_one_that_the_calibrate_rows_choose(monkeypatch):
    rows = [CASES[f"C_fps_{n}"] for n in (2048, 256, 64)]
    assert {c.split for c in rows} == {"calibrate"}
    shapes = resnet50()

    def off(use, arriving):
        usual = model_constant("dla_buffer_use")
        monkeypatch.setattr(dla, "model_constant", lambda _: usual.scaled(use / usual.value))
        total = 0.0
        for case in rows:
            c, k = atoms(int(case.inputs["macs"]))
            unit = Dla(
                atomic_c=c,
                atomic_k=k,
                clock_hz=1e9,
                buffer_bytes=1024 * case.inputs["conv_buffer_KB"],
                dram_bytes_per_s=case.inputs["dram_GBps"] * 1e9 * arriving,
            )
            total += abs(math.log(frames_per_s(unit, shapes) / case.expected))
        return total

    chosen = min(itertools.product((0.25, 0.5, 1.0), (0.6, 0.8, 1.0)), key=lambda pair: off(*pair))
    assert chosen == (model_constant("dla_buffer_use").value, model_constant("dla_dram_efficiency").value)


def test_the_docs_show_what_the_models_say_now(found):
    assert (DOCS / "validate.md").read_text("utf-8") == markdown(found, _WORDS, "validate.svg")
    assert (DOCS / "validate.svg").read_text("utf-8") == ratio_svg(found)


@pytest.mark.parametrize(
    ("network", "gmacs"),
    [
        ("resnet50", 3.858),
        ("resnet34", 3.663),
        ("googlenet", 1.583),
        ("inception_v3", 5.713),
        ("alexnet", 0.666),
        ("vgg16", 15.347),
    ],
)
def test_shapes_have_the_published_work(network, gmacs):
    assert total_macs(NETWORKS[network]()) / 1e9 == pytest.approx(gmacs, rel=1e-3)


@pytest.mark.parametrize(("shapes", "gmacs"), [(resnext50(), 4.23), (ssd_mobilenet_v1(), 1.235)])
def test_detectors_have_the_published_work(shapes, gmacs):
    assert total_macs(shapes) / 1e9 == pytest.approx(gmacs, rel=5e-3)


def test_groups_run_together_where_they_fit():
    unit = Dla(atomic_c=64, atomic_k=128, clock_hz=1e9, buffer_bytes=1 << 20, dram_bytes_per_s=1e11)
    dense = conv("x", 128, 128, 3, 10, 10)
    cycles = {groups: dla.layer_cycles(unit, replace(dense, groups=groups), 1) / 900 for groups in (1, 2, 32, 128)}
    assert cycles == {1: 2, 2: 2, 32: 2, 128: 2}
    assert dla.layer_cycles(unit, conv("y", 640, 640, 1, 1, 1, groups=2), 1) == 2 * 5 * 3


def test_resnet_v15_has_the_work_mlperf_counts():
    assert 2 * total_macs(resnet50(stride_in_3x3=True)) == pytest.approx(8.2e9, rel=0.005)


@given(st.integers(1, 2000), st.integers(1, 2000), st.sampled_from((128, 256, 512)))
def test_whole_tiles_are_loaded(rows, cols, side):
    array = WeightStationary(rows=side, cols=side)
    assert tiles(array, rows, cols) * side * side >= rows * cols
    assert load_seconds(array, rows, cols) * array.weight_bytes_per_s >= rows * cols


@given(st.sampled_from((32, 64, 128, 256, 512, 1024, 2048)), st.integers(32, 1024), st.floats(0.1, 100))
def test_a_dla_is_never_faster_than_its_array_or_its_memory(macs, kib, gbps):
    c, k = atoms(macs)
    unit = Dla(atomic_c=c, atomic_k=k, clock_hz=1e9, buffer_bytes=kib * 1024.0, dram_bytes_per_s=gbps * 1e9)
    shapes = resnet50()
    rate = frames_per_s(unit, shapes)
    assert rate <= macs * 1e9 / total_macs(shapes)
    assert rate * sum(s.weights for s in shapes) <= gbps * 1e9
    faster = Dla(atomic_c=c, atomic_k=k, clock_hz=1e9, buffer_bytes=kib * 2048.0, dram_bytes_per_s=gbps * 2e9)
    assert frames_per_s(faster, shapes) >= rate * (1 - 1e-12)


def test_utilization_is_a_share_and_one_for_a_perfect_fit():
    from chanzi.chip import load_chip
    from chanzi.cost.shapes import ConvShape

    core = load_chip("tesla-fsd-hw3").core
    full = ConvShape(name="full", cin=960, cout=960, kernel_y=1, kernel_x=1, out_y=96, out_x=96)
    assert utilization(core, (full,)) == pytest.approx(1.0, abs=1e-3)
    for network in NETWORKS:
        assert 0 < utilization(core, shapes_of(network, 224, 224)) < 1


GOOD = {
    "id": "mine",
    "chip": "nvdla",
    "inputs": {"macs": 256, "conv_buffer_KB": 256, "dram_GBps": 5, "clock_Hz": 1e9},
    "predict": "ResNet-50 int8 fps",
    "expected": 46,
    "unit": "frame/s",
    "tolerance_percent": 20,
    "kind": "vendor model",
    "basis": "",
    "split": "test",
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split": "fit"}, "case mine: Invalid enum value 'fit'"),
        ({"expected": "many"}, "case mine"),
        ({"expected": [3, 2]}, "case mine: expected"),
        ({"expected": -1}, "case mine: expected"),
        ({"tolerance_percent": -1}, "case mine: tolerance"),
        ({"colour": "red"}, "case mine: Object contains unknown field `colour`"),
        ({"inputs": 3}, "case mine"),
    ],
)
def test_malformed_cases_are_named(change, words):
    with pytest.raises(CostError, match="mine"):
        decode([GOOD | change], "file")
    with pytest.raises(CostError) as error:
        decode([GOOD | change], "file")
    assert words in str(error.value)


def test_cases_missing_a_field_or_there_twice_are_named():
    with pytest.raises(CostError, match="case mine: Object missing required field `unit`"):
        decode([{k: v for k, v in GOOD.items() if k != "unit"}], "file")
    with pytest.raises(CostError, match="case mine is there twice"):
        decode([GOOD, GOOD], "file")
    with pytest.raises(CostError, match="case number 1"):
        decode([3], "file")
    with pytest.raises(CostError, match="no list of cases"):
        decode(None, "file")


def test_cases_are_read_from_toml_and_json(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"validation_cases": [GOOD]}), "utf-8")
    (tmp_path / "b.json").write_text(json.dumps([GOOD]), "utf-8")
    lines = [f"{k} = {json.dumps(v)}" for k, v in GOOD.items() if k != "inputs"]
    inputs = ", ".join(f"{k} = {v}" for k, v in GOOD["inputs"].items())
    (tmp_path / "c.toml").write_text("\n".join(["[[case]]", *lines, f"inputs = {{ {inputs} }}"]), "utf-8")
    (case,) = load(tmp_path / "a.json")
    assert load(tmp_path / "b.json") == load(tmp_path / "c.toml") == (case,)
    assert validate([case]).outcomes[0].ok
    (tmp_path / "d.toml").write_text("[[case", "utf-8")
    with pytest.raises(CostError, match="not valid"):
        load(tmp_path / "d.toml")
    (tmp_path / "e.yaml").write_text("- id: x", "utf-8")
    with pytest.raises(CostError, match="is YAML"):
        load(tmp_path / "e.yaml")


def test_a_question_nobody_can_answer_fails_its_case_only():
    (known,) = decode([GOOD], "file")
    unknown = msgspec.structs.replace(known, id="other", predict="taste")
    short = msgspec.structs.replace(known, id="short", inputs={"macs": 256.0})
    odd = msgspec.structs.replace(known, id="odd", inputs=known.inputs | {"macs": 77.0})
    outcomes = validate([known, unknown, short, odd]).outcomes
    assert [o.ok for o in outcomes] == [True, False, False, False]
    assert "no model predicts 'taste'" in outcomes[1].why
    assert "is missing" in outcomes[2].why
    assert "a DLA of 77 MACs" in outcomes[3].why


@pytest.mark.parametrize(
    ("expected", "unit", "said", "error"),
    [
        (10.0, "W", 12.0, 0.2),
        (10.0, "W", 8.0, -0.2),
        (0.8, "share, lower bound", 0.9, 0.0),
        (0.8, "share, lower bound", 0.6, -0.25),
        (10.0, "W, upper bound", 8.0, 0.0),
        ([200.0, 400.0], "USD range", 300.0, 0.0),
        ([200.0, 400.0], "USD range", 500.0, 0.25),
        ([200.0, 400.0], "USD range", 100.0, -0.5),
    ],
)
def test_errors(expected, unit, said, error):
    case = Case(**(GOOD | {"expected": expected, "unit": unit}))
    assert case.error(said) == pytest.approx(error)
    assert case.passes(said) == (abs(error) <= 0.2)


def test_a_bound_of_physics_is_a_bound():
    case = Case(**(GOOD | {"expected": 10.0, "must_not_exceed": 10.5}))
    assert case.passes(10.4)
    assert not case.passes(10.6)
