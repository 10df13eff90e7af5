import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.chip import Board, load_chip
from chanzi.drive.messages import PATH_DISTANCES_M, Frame
from chanzi.drive.network.spec import OUTPUTS, NetSpec
from chanzi.drive.redundant import RedundantPilot, differing
from chanzi.errors import ChipError, RunError

SPEC = NetSpec(height=16, width=16)
FRAME = Frame(
    number=7, time_s=0.0, images=(np.zeros((16, 16, 3), np.uint8),), stamps_s=(0.0,), speed_m_s=3.0
)  # fmt: skip
SIZES = (len(PATH_DISTANCES_M),) * 3 + (288, 1)


def _outputs():
    return {name: np.linspace(-1, 1, size, dtype=np.float32)[None] for name, size in zip(OUTPUTS, SIZES, strict=True)}


class Unit:
    """A chip that is healthy but for what happens to its first runs."""

    def __init__(self, *faults):
        self.faults, self.runs, self.loads = list(faults), 0, 0

    def outputs(self, inputs):
        assert set(inputs) == {"images", "state"}
        self.runs += 1
        found = _outputs()
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            name, byte, bit = fault
            found[name].view(np.uint8).reshape(-1)[byte] ^= 1 << bit
        return found

    def reload(self):
        self.loads += 1


def _look(a, b):
    return RedundantPilot(SPEC, (a, b), chip_s=0.01, reload_s=0.03).look(FRAME)


def test_agreement_is_acted_on_at_once():
    answer = _look(a := Unit(), b := Unit())
    assert answer.perception is not None
    assert answer.perception.frame == 7
    assert (answer.chip_s, answer.busy_s, answer.note) == (0.01, 0.01, "")
    assert (a.loads, b.loads) == (0, 0)


@given(st.integers(0, 4), st.data(), st.booleans())
def test_any_flipped_bit_of_any_output_is_noticed_and_a_second_run_settles_it(output, data, second):
    name = OUTPUTS[output]
    fault = (name, data.draw(st.integers(0, 4 * SIZES[output] - 1)), data.draw(st.integers(0, 7)))
    a, b = Unit(fault), Unit()
    answer = _look(*((b, a) if second else (a, b)))
    assert answer.perception is not None
    assert name in answer.note
    assert answer.chip_s == pytest.approx(2 * 0.01 + 0.03)
    assert (a.loads, b.loads) == (1, 1)


@pytest.mark.parametrize("fault", [(OUTPUTS[0], 3, 7), RunError("it stands")])
def test_a_chip_that_lies_twice_stops_the_car(fault):
    answer = _look(Unit(fault, fault), Unit())
    assert answer.perception is None
    assert "chip" in answer.trouble


def test_a_chip_that_stops_once_is_loaded_anew():
    answer = _look(Unit(), Unit(RunError("it stands")))
    assert answer.perception is not None
    assert "chip 1 stopped (it stands)" in answer.note


def test_zeros_of_different_signs_differ():
    a, b = _outputs(), _outputs()
    a["path_left"][0, 0], b["path_left"][0, 0] = 0.0, -0.0
    assert differing(a, b) == "path_left"
    assert differing(a, a) == ""


def test_boards():
    chip = load_chip("chanzi-8")
    assert Board(chip=chip, chips=2).busy_s(0.1) == 0.05
    assert Board(chip=chip, chips=2, redundant=True).busy_s(0.1) == 0.1
    with pytest.raises(ChipError, match="cannot watch"):
        Board(chip=chip, chips=3, redundant=True)
    with pytest.raises(ChipError, match="0 chips"):
        Board(chip=chip, chips=0)
