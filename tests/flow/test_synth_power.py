"""Energy at gate level: Liberty's units and rails, functions as Python, and a circuit small enough to pay by hand."""

import pytest

from chanzi.errors import FlowError
from chanzi.flow.liberty import parse
from chanzi.flow.synth_power import GateLevel, expression, power_library

LIBERTY = """
library (tiny) {
  time_unit : "1ns"; capacitive_load_unit (1, pf); nom_voltage : 2.0;
  power_lut_template (at) { variable_1 : "input_transition_time"; index_1 ("0, 1"); }
  cell (INV) {
    area : 1;
    pin (A) { direction : input; capacitance : 0.002; }
    pin (Y) { direction : output; function : "!A";
      internal_power () { related_pin : "A"; related_pg_pin : VDD;
        rise_power (at) { values ("0.5, 0.5"); } fall_power (at) { values ("0.25, 0.25"); } }
      internal_power () { related_pin : "A"; related_pg_pin : VSS; rise_power (at) { values ("9, 9"); } } }
  }
  cell (FLOP) {
    area : 2;
    ff (IQ, IQN) { clocked_on : "C"; next_state : "D"; }
    pin (C) { direction : input; clock : true; capacitance : 0.001;
      internal_power () { rise_power (at) { values ("0.125, 0.125"); } fall_power (at) { values ("0, 0"); } } }
    pin (D) { direction : input; capacitance : 0.001; }
    pin (Q) { direction : output; function : "IQ"; }
  }
}
"""
RING = {
    "ports": {"q": {"direction": "output", "bits": [2]}, "clk": {"direction": "input", "bits": [4]}},
    "cells": {
        "flop": {"type": "FLOP", "connections": {"C": [4], "D": [3], "Q": [2]}},
        "turn": {"type": "INV", "connections": {"A": [2], "Y": [3]}},
    },
}


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "tiny.lib"
    path.write_text(LIBERTY)
    return parse(LIBERTY), power_library([path])


def test_a_flip_flop_that_toggles_pays_what_is_paid_by_hand(library):
    gates = GateLevel(RING, *library, wires=False)
    glitches, settled = gates.run([{} for _ in range(12)], 3, warm=4)
    assert glitches == settled
    # Q drives 2 fF and D 1 fF at 2 V; the inverter goes up in one of two cycles and down in the other
    assert settled.nets_pj == pytest.approx(0.5e-3 * (2 + 1) * 2.0**2)
    assert settled.cells_pj == pytest.approx((0.5 + 0.25) / 2)
    assert settled.clock_pj == pytest.approx(0.125 + 1e-3 * 1 * 2.0**2)
    assert settled.toggles == 2
    assert settled.pj == settled.nets_pj + settled.cells_pj + settled.clock_pj


def test_wires_cost_and_strange_cells_are_refused(library):
    plain, wired = (GateLevel(RING, *library, wires=w).run([{}] * 8, 1, warm=2)[0] for w in (False, True))
    assert wired.nets_pj > plain.nets_pj
    strange = {"ports": {}, "cells": {"x": {"type": "$mem", "connections": {}}}}
    with pytest.raises(FlowError, match=r"cell of type \$mem"):
        GateLevel(strange, *library)


@pytest.mark.parametrize(
    ("function", "inverted", "wanted"),
    [("!(A*B)+C'", (), 0b0111), ("(A & !B) | C", (), 0b1110), ("IQ & A", ("IQ",), 0b0000)],
)
def test_functions_become_python(function, inverted, wanted):
    nets = {"A": 2, "B": 3, "C": "1", "IQ": 2}
    v = {2: 0b1100, 3: 0b1010, "1": 0b1010}
    found = eval(expression(function, nets, inverted=inverted), {"v": v, "F": 0b1111})
    assert found == wanted


def test_a_library_without_power_is_refused(tmp_path):
    path = tmp_path / "none.lib"
    path.write_text('library (x) { nom_voltage : 1; cell (INV) { area : "1"; } }')
    with pytest.raises(FlowError, match="no tables of power"):
        power_library([path])
    path.write_text("no library")
    with pytest.raises(FlowError):
        power_library([path])
