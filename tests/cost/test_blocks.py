"""The area model against the hardware after synthesis: blocks within 15 % at both nodes."""

from dataclasses import replace

import pytest

from chanzi.chip import load_chip
from chanzi.chip.chip import Chip, Scratchpad
from chanzi.cost.area import area_of
from chanzi.cost.blocks import BLOCKS, NODE_NM, Row, model_um2, rows
from chanzi.cost.figure import table


@pytest.mark.parametrize("row", rows(), ids=lambda r: f"{r.chip} {r.technology} {r.block}")
def test_every_block_is_within_fifteen_percent(row: Row) -> None:
    assert abs(row.error) <= 0.15


def test_chips_as_a_whole_are_within_ten_percent() -> None:
    for chip, technology in {(r.chip, r.technology) for r in rows()}:
        mine = [r for r in rows() if (r.chip, r.technology) == (chip, technology)]
        assert {r.block for r in mine} == set(BLOCKS)
        assert sum(r.model_um2 for r in mine) == pytest.approx(sum(r.measured_um2 for r in mine), rel=0.1)


def test_both_nodes_and_both_splits_are_there() -> None:
    assert {r.technology for r in rows()} == set(NODE_NM)
    assert {r.split for r in rows()} == {"calibrate", "test"}


def _synthesized() -> Chip:
    """Return chanzi-8 as it was when it was synthesized: with as many lanes as columns, and larger memories."""
    chip = load_chip("chanzi-8")
    pad = Scratchpad(bytes=1 << 18, banks=64)
    core = replace(chip.core, lanes=8, epilogue_lanes=0, code_instructions=16384, scratchpad=pad)
    return replace(chip, core=core)


def test_the_preset_is_the_one_that_was_synthesized() -> None:
    """Two tools wrote the two tables, from two runs: they agree, and so does the chip they call chanzi-8."""
    other = {tech: table("blocks")[tech]["chanzi-8"] for tech in NODE_NM}
    chip = _synthesized()
    for row in rows():
        if row.chip != "chanzi-8":
            continue
        if row.block in ("array_cells", "edge_feeders", "array_control"):
            assert row.measured_um2 == pytest.approx(other[row.technology][row.block]["logic"]["value"], rel=1e-3)
        assert row.model_um2 == pytest.approx(model_um2(chip, NODE_NM[row.technology])[row.block])


def test_every_block_of_logic_is_compared() -> None:
    logic = {b.name for b in area_of(load_chip("chanzi-8")).blocks if b.gates.value}
    assert logic == {name for block in BLOCKS.values() for name in block.modelled}


def test_more_queue_more_sequencer() -> None:
    chip = load_chip("chanzi-8")
    longer = replace(chip, core=replace(chip.core, queue_depth=2 * chip.core.queue_depth))
    before, after = model_um2(chip, 7), model_um2(longer, 7)
    assert after["sequencer"] > 1.5 * before["sequencer"]
    assert all(after[name] == before[name] for name in BLOCKS if name != "sequencer")
