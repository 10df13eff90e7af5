"""A mapped module with its children's cells in their place."""

from chanzi.flow.synth import Synthesis

TOP = {
    "ports": {"a": {"direction": "input", "bits": [2]}, "y": {"direction": "output", "bits": [3, 4, 5]}},
    "cells": {
        "left": {"type": "child", "connections": {"i": [2], "o": [6], "through": [4], "one": [5]}},
        "right": {"type": "child", "connections": {"i": [6], "o": [3]}},
    },
}
CHILD = {
    "ports": {
        "i": {"direction": "input", "bits": [2]},
        "o": {"direction": "output", "bits": [3]},
        "through": {"direction": "output", "bits": [2]},
        "one": {"direction": "output", "bits": ["1"]},
    },
    "cells": {"turn": {"type": "INV", "connections": {"A": [2], "Y": [3]}}},
}


class _Mapped(Synthesis):
    def __init__(self):
        self.modules = {"top": "", "child": ""}

    def netlist(self, name):
        return {"top": TOP, "child": CHILD}[name]


def test_children_are_joined_by_their_ports_and_constants_stay():
    flat = _Mapped().flat("top")
    (a,), (y, through, one) = (flat["ports"][name]["bits"] for name in ("a", "y"))
    left, right = (flat["cells"][f"{name}.turn"]["connections"] for name in ("left", "right"))
    assert left["A"] == [a]
    assert left["Y"] == right["A"]
    assert right["Y"] == [y]
    assert through == a
    assert one == "1"
    assert len({a, left["Y"][0], y}) == 3
