"""The text of a graph names everything in it."""

import sys
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.graph.ops import Conv, Graph, Quant, Tensor
from chanzi.graph.text import graph_text

sys.path.insert(0, str(Path(__file__).parent))
from random_graphs import random_graph


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_every_operator_has_a_line(seed):
    graph = random_graph(seed)
    lines = graph_text(graph).splitlines()
    assert len(lines) == 1 + len(graph.inputs) + len(graph.ops) + len(graph.outputs)
    for op, line in zip(graph.ops, lines[1 + len(graph.inputs) :], strict=False):
        assert line.split()[:2] == [type(op).__name__, op.y.name]
        assert line.endswith(f"# {op.name}")
        assert all(x.name in line for x in op.inputs)


def test_a_convolution():
    x = Tensor(name="x", shape=(8, 8, 4), quant=Quant(scale=0.5, zero=0, dtype="uint8"))
    y = Tensor(name="y", shape=(4, 4, 2), quant=Quant(scale=0.25, zero=-3, dtype="int8"))
    weight = np.ones((2, 3, 3, 4), np.int8)
    op = Conv(name="c", x=x, y=y, weight=weight, weight_scale=np.ones(2, np.float32), strides=(2, 2), pads=(1, 1, 1, 1))
    assert graph_text(Graph(name="g", inputs=(x,), outputs=(y,), ops=(op,))).splitlines() == [
        "graph g",
        "  in  x 8x8x4 uint8(0.5, 0)",
        (
            "  Conv     y 4x4x2 int8(0.25, -3) <- x, weight int8 2x3x3x4, weight_scale float32 2, "
            "strides (2, 2), pads (1, 1, 1, 1)   # c"
        ),
        "  out y",
    ]
