"""Questions that no shipped case asks: each model of the general kind answers, or says what it misses."""

import pytest

from chanzi.cost.cases import Question
from chanzi.cost.general import GENERAL
from chanzi.cost.predict import PREDICTORS, predict
from chanzi.errors import CostError


def ask(predicted, *, chip="some chip", unit="", name="mine", **inputs):
    return predict(Question(id=name, chip=chip, predict=predicted, unit=unit, inputs=inputs)).value


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (ask("package peak", unit="TOPS", chiplets=36, macs=1024, clock_Hz=1.733e9), 127.8),
        (ask("int32 add energy ratio", from_node="45", to_node="7"), 3.3),
        (ask("SRAM energy ratio", sram="1 MB, 64 bit", from_node="45", to_node="7"), 7.1),
        (ask("fp32 mul", node="7"), 1.31),
        (ask("int8 MAC (mul + add8)", node="45"), 0.23),
        (ask("access energy", node="45", sram="32 KB, 64 bit"), 20),
        (ask("DRAM energy", dram="HBM2"), 5),
        (ask("yield", area_mm2=260, D0=0.08, model="murphy"), 0.815),
        (ask("yield", unit="%", area_mm2=260, D0=0.08, model="poisson"), 81.2),
        (ask("wafer price", node="7"), 9346),
        (ask("mask set cost", node="5"), 18.1e6),
        (ask("unit cost", die=10, package=5.5), 15.5),
        (ask("die area", node="7", transistors=54.2e9), 903.3),
        (ask("peak chip", unit="TOPS", units=3, rows=96, cols=96, clock_Hz=2.2e9), 121.65),
        (ask("HBM bandwidth", unit="GB/s", bus_bit=5120, rate_MTps=2430), 1555),
        (ask("ridge", peak_TOPS=52.4, dram_GBps=204.8), 127.9),
        (ask("bf16 mul energy", node="7"), 0.21),
        (ask("yield", area_mm2=260, D0_per_cm2=0.08, model="murphy"), 0.815),
        (ask("cost per good die", area_mm2=260, D0=0.08, wafer_USD=3984), 21.2),
        (ask("TFLOP/s per GPU", chip="nvidia_h100_sxm cluster", unit="TFLOP/s"), 428),
    ],
)
def test_answers(said, expected):
    assert said == pytest.approx(expected, rel=0.02)


def test_areas_and_powers_of_unknown_chips_grow_with_what_is_in_them():
    small = ask("area", node="22", macs=256, sram_KB=320)
    assert small < ask("area", node="22", macs=512, sram_KB=320)
    assert small < ask("area", node="22", macs=256, sram_MiB=1)
    watts = ask("peak power", unit="W", node="22", macs=256, clock_Hz=1e9)
    assert ask("peak power", unit="mW", node="22", macs=256, clock_Hz=1e9) == pytest.approx(1e3 * watts)
    assert ask("power", unit="W", node="22", macs=256, clock_Hz=1e9, utilisation=0.5) < watts


def test_dies_grow_with_the_node_beyond_the_published_ones_too():
    mm2 = [ask("die area", node=str(nm), transistors=8e9) for nm in (65, 40, 28, 16, 12, 7, 5, 4, 3)]
    assert mm2 == sorted(mm2, reverse=True)


def test_a_network_may_stand_in_the_id():
    dlas = {"macs_per_dla": 8192, "dlas": 2, "dense_peak_TOPS": 52.4, "batch": 1, "dram_GBps_max": 204.8}
    both, chip = "frames per second, both DLAs", "nvidia_orin (2 DLA)"
    named = ask(both, chip=chip, name="D_SSD-ResNet34_MAXN", input="1200x1200", **dlas)
    assert named == ask(both, chip=chip, network="SSD-ResNet-34", input="1200x1200", **dlas)


@pytest.mark.parametrize(
    ("predicted", "inputs", "words"),
    [
        ("taste", {}, "no model predicts 'taste'"),
        ("access energy", {"node": "7", "sram": "large"}, "'large' is no memory"),
        ("access energy", {"node": "6.5", "sram": "1 MB"}, "no process node"),
        ("access energy", {"node": "seven", "sram": "1 MB"}, "is no number"),
        ("DRAM energy", {"dram": "core"}, "no DRAM of kind 'core'"),
        ("bf16 mul energy ratio", {"from_node": "45", "to_node": "7"}, "no energy of 'bf16_mul'"),
        ("sram area", {"node": "7"}, "'sram_MiB' is missing"),
        ("weight-load bound time", {"matrix": 600.0}, "no model predicts"),
        ("gross dies", {"area_mm2": -1.0}, "must be positive"),
    ],
)
def test_what_is_missing_is_named(predicted, inputs, words):
    with pytest.raises(CostError, match=words):
        ask(predicted, **inputs)


@pytest.mark.parametrize(
    ("predicted", "inputs"),
    [
        ("delivered", {"weights": 0, "ops_per_weight_byte": 0, "batch": 0}),
        ("ridge", {"peak_TOPS": 92, "weight_bw_GBps": 0}),
        ("peak int8", {"macs": 256, "clock_Hz": float("nan")}),
        ("DRAM bandwidth", {"bus_bit": 128, "rate_MTps": -1}),
    ],
)
def test_inputs_that_make_no_sense_are_refused(predicted, inputs):
    with pytest.raises(CostError):
        ask(predicted, chip="google_tpu_v1", **inputs)


def test_general_answers_come_after_those_of_one_chip():
    assert PREDICTORS[-len(GENERAL) :] == GENERAL
    assert all(not who for who, _, _ in GENERAL)


def test_a_node_may_be_written_in_several_ways():
    asked = {"macs": 512, "conv_buffer_KB": 256}
    areas = [ask("area", chip="nvdla", **asked, **node) for node in ({"node": 28}, {"node": "28nm"}, {"node_nm": 28.0})]
    assert areas[0] == areas[1] == areas[2]
    with pytest.raises(CostError, match="'far' is no number"):
        ask("area", chip="nvdla", **asked, node="far")
