"""Every rule of a graph, broken once."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.errors import ModelError
from chanzi.graph.evaluate import evaluate
from chanzi.graph.ops import (
    Binary,
    Concat,
    Const,
    Conv,
    Graph,
    Lookup,
    MatMul,
    Pad,
    Permute,
    Pool,
    Quant,
    Resize,
    Slice,
    Softmax,
    Tensor,
)
from chanzi.graph.verify import verify

sys.path.insert(0, str(Path(__file__).parent))
from random_graphs import random_graph, random_inputs

Q = Quant(scale=0.5, zero=3, dtype="int8")
OTHER = Quant(scale=0.25, zero=3, dtype="int8")
X = Tensor(name="x", shape=(6, 7, 8), quant=Q)
TABLE = np.arange(256, dtype=np.uint8)


def out(*shape, quant=Q):
    return Tensor(name="y", shape=shape, quant=quant)


CONV = Conv(
    name="op",
    x=X,
    y=out(4, 5, 2),
    weight=np.ones((2, 3, 3, 8), np.int8),
    weight_scale=np.ones(2, np.float32),
    bias=np.zeros(2, np.int32),
)
POOL = Pool(name="op", kind="max", x=X, y=out(3, 3, 8), kernel=(2, 2), strides=(2, 2))
BINARY = Binary(name="op", kind="add", a=X, b=X, y=out(6, 7, 8))
CONCAT = Concat(name="op", xs=(X, X), y=out(12, 7, 8), axis=0, tables=(None, TABLE))
SLICE = Slice(name="op", x=X, y=out(2, 7, 8), starts=(1, 0, 0), ends=(3, 7, 8))
PERMUTE = Permute(name="op", x=X, y=out(6, 7, 8), order=np.arange(8)[::-1])
PAD = Pad(name="op", x=X, y=out(7, 9, 8), pads=(1, 1, 0, 1), value=3)
RESIZE = Resize(name="op", kind="nearest", x=X, y=out(12, 21, 8), factors=(2, 3))
MATMUL = MatMul(name="op", a=X, b=X, y=out(6, 7, 7), b_transposed=True)
LOOKUP = Lookup(name="op", kind="any", x=X, y=out(6, 7, 8), table=TABLE)
SOFTMAX = Softmax(name="op", x=X, y=out(6, 7, 8))
CONST = Const(name="op", y=out(1, 1, 8), value=np.zeros((1, 1, 8), np.int8))
SOUND = [CONV, POOL, BINARY, CONCAT, SLICE, PERMUTE, PAD, RESIZE, MATMUL, LOOKUP, SOFTMAX, CONST]

BROKEN = [
    (CONV, {"y": out(5, 5, 2)}, "lines or columns"),
    (CONV, {"y": out(4, 5, 3)}, "filters"),
    (CONV, {"groups": 3}, "groups"),
    (CONV, {"strides": (0, 1)}, "strides"),
    (CONV, {"pads": (-1, 0, 1, 0)}, "pads"),
    (CONV, {"weight": np.ones((2, 3, 3, 8), np.int32)}, "weights of int32"),
    (CONV, {"weight_zero": 200}, "zero point"),
    (CONV, {"weight_scale": np.ones(3, np.float32)}, "a scale for each filter"),
    (CONV, {"weight_scale": np.array([1, np.nan], np.float32)}, "no positive numbers"),
    (CONV, {"bias": np.zeros(2, np.int64)}, "bias"),
    (CONV, {"table": np.zeros(255, np.uint8)}, "256 bytes"),
    (CONV, {"mid": Q}, "without a table"),
    (CONV, {"transposed": True}, "lines or columns"),
    (CONV, {"weight": np.ones((2, 9), np.int8)}, "wrong kind"),
    (POOL, {"y": out(3, 3, 8, quant=OTHER)}, "quantized differently"),
    (POOL, {"y": out(3, 4, 8)}, "lines or columns"),
    (POOL, {"y": out(3, 3, 4)}, "channels"),
    (POOL, {"pads": (2, 0, 0, 0), "y": out(4, 3, 8)}, "outside the map"),
    (BINARY, {"kind": "sub"}, "kind"),
    (BINARY, {"y": out(6, 7, 4)}, "is \\(6, 7"),
    (BINARY, {"mid": Q}, "without a table"),
    (CONCAT, {"axis": 3}, "axis"),
    (CONCAT, {"tables": (None,)}, "tables"),
    (CONCAT, {"y": out(13, 7, 8)}, "add up"),
    (CONCAT, {"y": out(12, 7, 8, quant=OTHER)}, "quantized differently"),
    (SLICE, {"ends": (3, 8, 8)}, "of \\(6, 7, 8\\)"),
    (SLICE, {"y": out(2, 7, 8, quant=OTHER)}, "quantized differently"),
    (PERMUTE, {"order": np.zeros(8, np.int64)}, "permutation"),
    (PAD, {"value": 200}, "a value of 200"),
    (PAD, {"y": out(7, 8, 8)}, "a result"),
    (RESIZE, {"factors": (2, 2)}, "a result"),
    (RESIZE, {"y": out(12, 21, 8, quant=OTHER)}, "quantized differently"),
    (MATMUL, {"b_transposed": False}, "times"),
    (MATMUL, {"y": out(6, 7, 8)}, "a result"),
    (LOOKUP, {"y": out(6, 7, 7)}, "is \\(6, 7"),
    (LOOKUP, {"table": None}, "no table"),
    (SOFTMAX, {"y": out(6, 7, 7)}, "is \\(6, 7"),
    (CONST, {"value": np.zeros((1, 1, 8), np.uint8)}, "uint8"),
    (LOOKUP, {"y": out(6, 7, 8, quant=Quant(scale=0.1, zero=0, dtype="int8"))}, "no float32"),
    (LOOKUP, {"y": out(6, 7, 8, quant=Quant(scale=0.5, zero=128, dtype="int8"))}, "zero point"),
    (LOOKUP, {"y": out(6, 7, 8, quant=Quant(scale=float("inf"), zero=0, dtype="int8"))}, "a scale of inf"),
    (CONST, {"y": out(1, 0, 8), "value": np.zeros((1, 0, 8), np.int8)}, "has the shape"),
    (LOOKUP, {"table": "bytes"}, "wrong kind"),
]


def graph_of(*ops, inputs=(X,)):
    return Graph(name="g", inputs=inputs, outputs=(ops[-1].y,), ops=ops)


@pytest.mark.parametrize("op", SOUND, ids=lambda op: type(op).__name__)
def test_sound_graphs_pass(op):
    verify(graph_of(op))


@pytest.mark.parametrize(("op", "change", "words"), BROKEN, ids=lambda value: getattr(value, "name", None))
def test_a_broken_rule_is_named(op, change, words):
    with pytest.raises(ModelError, match=words):
        verify(graph_of(dataclasses.replace(op, **change)))


def test_order_and_names():
    second = dataclasses.replace(LOOKUP, name="second", x=LOOKUP.y, y=Tensor(name="z", shape=X.shape, quant=Q))
    verify(graph_of(LOOKUP, second))
    for ops, words in (
        ((second, LOOKUP), "not written before"),
        ((LOOKUP, LOOKUP), "another operator"),
        ((LOOKUP, dataclasses.replace(LOOKUP, name="second")), "written twice"),
    ):
        with pytest.raises(ModelError, match=words):
            verify(graph_of(*ops))
    with pytest.raises(ModelError, match="nothing writes it"):
        verify(Graph(name="g", inputs=(X,), outputs=(second.y,), ops=(LOOKUP,)))
    with pytest.raises(ModelError, match="written otherwise"):
        verify(graph_of(dataclasses.replace(LOOKUP, x=dataclasses.replace(X, quant=OTHER))))


@given(seed=st.integers(0, 2**32 - 1), change=st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_a_graph_that_passes_can_be_computed(seed, change):
    """Numbers are spoiled at random: refused, or still a graph the evaluator runs."""
    graph, rng = random_graph(seed), np.random.default_rng(change)
    at = int(rng.integers(len(graph.ops)))
    op = graph.ops[at]
    numbers = {
        f.name: value
        for f in dataclasses.fields(op)
        if isinstance(value := getattr(op, f.name), int | tuple) and not isinstance(value, bool) and f.name != "tables"
    }
    if not numbers or "xs" in numbers:
        return
    field = str(rng.choice(list(numbers)))
    by = int(rng.choice([-3, -1, 1, 2, 200]))
    value = numbers[field]
    changed = value + by if isinstance(value, int) else (value[0] + by, *value[1:])
    spoiled = dataclasses.replace(op, **{field: changed})
    graph = dataclasses.replace(graph, ops=(*graph.ops[:at], spoiled, *graph.ops[at + 1 :]))
    try:
        verify(graph)
    except ModelError:
        return
    for tensor in graph.outputs:
        assert evaluate(graph, random_inputs(graph, seed))[tensor.name].shape == tensor.shape
