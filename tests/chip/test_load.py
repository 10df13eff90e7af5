import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.chip import Chip, Core, Dram, Scratchpad, dump_chip, load_chip, parse_chip, presets
from chanzi.errors import ChipError

GOOD = presets()["chanzi-8"]


@pytest.mark.parametrize("name", sorted(presets()))
def test_presets_load_and_survive_being_written(name):
    chip = load_chip(name)
    assert chip.name == name
    assert parse_chip(dump_chip(chip)) == chip


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_figure_of_a_preset_has_a_source_that_says_what_it_is(name):
    chip = load_chip(name)
    assert chip.sources
    assert all(
        source.split(":")[0] in {"published", "estimated", "measured", "ours"} for source in chip.sources.values()
    )


@st.composite
def chips(draw):
    dim = draw(st.sampled_from([2, 4, 8, 16, 32, 48, 64, 96, 128]))
    port = max(4, 1 << (dim - 1).bit_length())
    banks = draw(st.sampled_from([4, 8, 16, 64]))
    words = draw(st.integers(1, 64))
    bank_bytes = port * words * -(-1024 // (port * words * banks))
    return Chip(
        name=draw(st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=20)
                  .filter(lambda s: s.isprintable() and s.strip())),
        clock_hz=draw(st.integers(1_000_000, 10_000_000_000)),
        core=Core(dim=dim, scratchpad=Scratchpad(bytes=bank_bytes * banks, banks=banks)),
        dram=Dram(bytes_per_s=draw(st.integers(1_000_000, 10**13)), latency_ns=draw(st.floats(0, 1e6))),
        cores=draw(st.integers(1, 64)),
        node_nm=draw(st.floats(0, 1000)),
        volt=draw(st.none() | st.floats(0.1, 10)),
        description=draw(st.text(st.characters(blacklist_categories=("Cs", "Cc")))),
        sources={"core.dim": draw(st.text(st.characters(blacklist_categories=("Cs", "Cc"))))},
    )  # fmt: skip


@given(chips())
def test_any_chip_survives_being_written_and_read(chip):
    assert parse_chip(dump_chip(chip)) == chip


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("dim = 8", "dims = 8", "did you mean 'dim'"),
        ("dim = 8", 'dim = "8"', "Expected `int`, got `str`"),
        ("dim = 8", "dim = 7", "core.dim 7 is not a power of two"),
        ("dim = 8", "dim = 0", "core.dim is 0"),
        ("cores = 1", "cores = 1\nvolt = -0.8", "volt is -0.8"),
        ("dim = 8", "dim = ", "not valid TOML"),
        ("bytes_per_s = ", "bytes_per_s = 1" + "0" * 400 + " # ", "dram.bytes_per_s"),
        ('name = "chanzi-8"', 'name = ""', "no name"),
        ('name = "chanzi-8"', 'name = "a\\u001bb"', "control characters"),
    ],
)
def test_a_refusal_names_the_key_and_the_way_out(old, new, says):
    assert old in GOOD
    with pytest.raises(ChipError) as caught:
        parse_chip(GOOD.replace(old, new, 1))
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_long_unknown_key_does_not_flood_the_terminal():
    with pytest.raises(ChipError) as caught:
        parse_chip(f"{'x' * 100_000} = 1\n{GOOD}")
    assert len(str(caught.value)) < 400


def test_a_misspelt_preset_is_answered_with_the_nearest():
    with pytest.raises(ChipError, match="did you mean 'tesla-fsd-hw3'"):
        load_chip("tesla-fsd-hw33")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ChipError, match=r"cannot read .*gone\.toml"):
        load_chip(tmp_path / "gone.toml")


@pytest.mark.parametrize("text", ["x" * 10_000_000, "a." * 100_000 + "b = 1"])
def test_a_giant_text_is_refused_unread(text):
    with pytest.raises(ChipError, match="a chip is a page of TOML"):
        parse_chip(text)


def test_an_endless_file_is_refused_unread(tmp_path):
    path = tmp_path / "endless.toml"
    path.symlink_to("/dev/zero")
    with pytest.raises(ChipError, match="a chip is a page of TOML"):
        load_chip(path)


@pytest.mark.parametrize("path", ["a\0b.toml", "\udcff.toml", "/", "."])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ChipError):
        load_chip(path)


def test_a_bus_is_no_wider_than_a_port():
    with pytest.raises(ChipError, match=r"beat_bytes 16 is more than core.port_bytes 8.*dram.beat_bytes = 8"):
        parse_chip(GOOD.replace("beat_bytes = 8", "beat_bytes = 16", 1))


def test_a_bus_without_a_width_is_as_wide_as_a_port():
    assert parse_chip(GOOD.replace("beat_bytes = 8", "", 1)).dram.beat_bytes == 8


def test_derived_numbers_are_not_stored():
    names = {field.name for field in dataclasses.fields(Chip)} | {field.name for field in dataclasses.fields(Core)}
    assert not names & {"peak_tops", "macs_per_cycle", "atom_bytes", "dram_bytes_per_cycle"}


def test_fsd_figures_are_those_of_hot_chips_31():
    chip = load_chip("tesla-fsd-hw3")
    assert (chip.cores, chip.core.dim, chip.core.scratchpad.bytes, chip.clock_hz) == (2, 96, 32 << 20, 2_000_000_000)
    assert chip.peak_tops == pytest.approx(73.7, abs=0.05)  # two accelerators of 36.86 TOPS, Hot Chips 31
