"""Foreign chips: every record is whole, its figures have sources, and nothing measured beats its roofline."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.cost.foreign import foreign_chip, foreign_chips, roofline, silicon_usd, work_macs
from chanzi.cost.tech import known_node
from chanzi.errors import CostError

RESNET50_MACS = 4.1e9


def test_the_chips_people_ask_for_are_there():
    keys = set(foreign_chips())
    for word in ("fsd_hw3", "hw4", "orin", "p100", "a100", "h100", "tpu_v1", "tpu_v4i", "mtia", "maia", "dojo_d1"):
        assert any(word in key for key in keys), word


@pytest.mark.parametrize("key", foreign_chips())
def test_a_record_is_whole(key):
    chip = foreign_chips()[key]
    known_node(chip.node_nm)
    assert chip.peak() is not None
    assert "memory_bytes_per_s" in chip.figures
    assert "power_w" in chip.figures
    for figure in chip.figures.values():
        assert figure.value > 0
        assert figure.grade
        assert figure.source
    usd = silicon_usd(chip)
    assert usd is None or 5 < usd < 2000


def test_nothing_measured_beats_the_roofline():
    for chip in foreign_chips().values():
        for result in chip.measured:
            if result.network == "resnet50" and result.samples_per_s:
                most = roofline(chip, macs=RESNET50_MACS, bytes_moved=224 * 224 * 3).frames_per_s
                assert result.samples_per_s.value < most


@given(st.floats(1e6, 1e13), st.floats(0, 1e10), st.sampled_from(sorted(foreign_chips())))
def test_a_roofline_is_the_lower_of_two(macs, moved, key):
    found = roofline(foreign_chips()[key], macs=macs, bytes_moved=moved)
    assert found.frames_per_s == min(found.compute_fps, found.memory_fps)
    assert (found.limit == "compute") == (found.compute_fps <= found.memory_fps)


def test_names_and_nonsense():
    assert foreign_chip("orin").key == "nvidia_orin"
    assert foreign_chip("H100").key == "nvidia_h100_sxm"
    assert foreign_chip("tesla hw3").key == foreign_chip("tesla_hw3").key == "tesla_fsd_hw3"
    with pytest.raises(CostError, match="may be several"):
        foreign_chip("tesla")
    with pytest.raises(CostError, match="no record"):
        foreign_chip("tpu_v9")
    with pytest.raises(CostError, match="no peak of type"):
        foreign_chip("orin").peak("int3")
    with pytest.raises(CostError, match="both are positive"):
        roofline(foreign_chip("orin"), macs=0, bytes_moved=1)
    assert work_macs()["ssd-resnet34"] == pytest.approx(216.5e9)
