"""Area grows with what is added, shrinks with the node, and its parts sum to the die."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.chip import load_chip, presets
from chanzi.chip.chip import Chip, Core, Dram, Scratchpad
from chanzi.cost.area import Range, area_of, channels, check_reticle, level_mm2, logic, macro_mm2, placed_mm2
from chanzi.cost.tech import at_node, node_names, supply_for_clock
from chanzi.errors import CostError

NODES = sorted(node_names())


@st.composite
def chips(draw):
    dim = draw(st.sampled_from((8, 16, 32, 64, 96, 128)))
    banks = draw(st.sampled_from((16, 64, 256)))
    pad = Scratchpad(bytes=banks * draw(st.sampled_from((2048, 8192, 32768))), banks=banks)
    core = Core(dim=dim, scratchpad=pad, taps_per_lane=draw(st.integers(1, 9)))
    dram = Dram(bytes_per_s=draw(st.integers(10**9, 5 * 10**11)))
    return Chip(
        name="x",
        clock_hz=10**9,
        core=core,
        dram=dram,
        cores=draw(st.integers(1, 8)),
        node_nm=draw(st.sampled_from(NODES)),
    )


@given(chips())
def test_blocks_sum_to_the_die(chip):
    area = area_of(chip)
    parts = sum(b.mm2.value for b in area.blocks) + area.white.value + area.ring.value
    assert area.die.value == pytest.approx(parts)
    assert 0 < area.die.low <= area.die.value <= area.die.high
    assert area.core.value * chip.cores < area.die.value
    assert all(b.mm2.low <= b.mm2.value <= b.mm2.high for b in area.blocks)


@given(chips())
def test_more_is_larger(chip):
    die = area_of(chip).die.value
    assert area_of(replace(chip, cores=chip.cores + 1)).die.value > die
    pad = replace(chip.core.scratchpad, bytes=2 * chip.core.scratchpad.bytes)
    assert area_of(replace(chip, core=replace(chip.core, scratchpad=pad))).die.value > die
    assert area_of(chip, given={"cpu": 3.0}).die.value > die + 3.0


@given(chips())
def test_a_newer_node_is_smaller(chip):
    at = NODES.index(int(chip.node_nm))
    if at:
        assert area_of(chip, node_nm=NODES[at - 1]).core.value <= area_of(chip).core.value * (1 + 1e-9)


@pytest.mark.parametrize("node", [130, 45, 7])
def test_gates_are_placed_at_the_utilization(node):
    gates = Range.of(logic("gates")["mac"])
    cells = gates * Range.of(at_node(node, "gate_um2"))
    assert placed_mm2(gates, node).value == pytest.approx(1e-6 * cells.value / logic("place")["utilization"].value)


@given(st.sampled_from(NODES), st.integers(10, 24))
def test_memory_density_depends_on_the_level(node, exponent):
    n = float(1 << exponent)
    bare = n * 8e-6 * at_node(node, "bitcell_um2").value
    small, large = macro_mm2(n, 2048, node).value, macro_mm2(n, 1 << 20, node).value
    assert bare < large < small
    assert small < level_mm2(n, node, bank_bytes=2048).value < level_mm2(n, node, kind="cache", bank_bytes=2048).value


def test_channels_carry_the_bandwidth():
    assert channels(68e9, 14) == 4
    assert channels(204.8e9, 8) == 8
    assert channels(1e6, 14) == 1


def test_nonsense_is_refused():
    chip = load_chip("tesla-fsd-hw3")
    with pytest.raises(CostError, match="no process node"):
        area_of(chip, node_nm=13)
    with pytest.raises(CostError, match="block 'cpu' of -1 mm2"):
        area_of(chip, given={"cpu": -1.0})
    with pytest.raises(CostError, match="larger than the reticle"):
        check_reticle(area_of(replace(chip, cores=64)))


@pytest.mark.parametrize("name", presets())
def test_every_preset_has_an_area(name):
    area = area_of(load_chip(name))
    check_reticle(area)
    assert area.unique_gates > 1e5


def test_chanzi_one_keeps_to_the_area_and_voltage_that_its_page_claims():
    one, old = load_chip("chanzi-one"), replace(load_chip("tesla-fsd-hw3"), cores=1)
    old = replace(old, core=replace(old.core, code_instructions=one.core.code_instructions))
    assert area_of(one).die.value < area_of(old).die.value
    assert one.cores * area_of(one).core.value < area_of(old).core.value
    assert one.volt is not None
    assert one.volt == pytest.approx(supply_for_clock(14, one.clock_hz / 2e9).volt, abs=0.001)
