from dataclasses import replace

import pytest

from chanzi.chip import load_chip
from chanzi.drive.figures import ChipFigures

ONE = ChipFigures(
    chip=load_chip("chanzi-8"), cycles=10, chip_s=0.01, busy_s=0.01, reload_s=0.1, joules=0.002, idle_w=0.1
)  # fmt: skip


def test_a_chip_spends_joules_a_frame_and_leaks_in_between():
    assert ONE.watts(20) == pytest.approx(20 * 0.002 + 0.1 * 0.8)
    assert ONE.watts(1000) == pytest.approx(100 * 0.002)


def test_two_chips_spend_twice_as_much():
    assert replace(ONE, chips=2).watts(20) == pytest.approx(2 * ONE.watts(20))


def test_what_a_chip_of_another_speed_spends_is_not_known():
    assert replace(ONE, joules=None, idle_w=None).watts(20) is None
