"""Every rewrite leaves what a float network computes as it is, and makes of it what the chip knows."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))
from qdq_net import Net, on_ort

from chanzi.frontend.network import model_of
from chanzi.frontend.normalize import normalize
from chanzi.frontend.normalize.heads import decoding_nodes
from chanzi.frontend.onnx_import import import_model


class FloatNet(Net):
    """Weights as plain float constants."""

    def floats(self, *shape):
        return self.constant(self.rng.normal(size=shape).astype(np.float32))

    def positive(self, *shape):
        return self.constant(self.rng.uniform(0.5, 2, shape).astype(np.float32))

    def number(self, value):
        return self.constant(np.float32(value))

    def ints(self, *values):
        return self.constant(np.array(values, np.int64))


def same(model, expected=None):
    """Check that normalising changes no answer; return the operators left."""
    net = normalize(import_model(model))
    feed = {
        v.name: np.random.default_rng(0)
        .normal(size=[d.dim_value for d in v.type.tensor_type.shape.dim])
        .astype(np.float32)
        for v in model.graph.input
        if v.name in net.inputs
    }
    after = on_ort(model_of(net), feed)
    for old, new in zip(on_ort(model, feed), after, strict=True):
        assert old.shape == new.shape
        np.testing.assert_allclose(new, old, rtol=1e-3, atol=1e-4)
    kinds = [node.op_type for node in net.nodes]
    if expected is not None:
        assert kinds == expected
    return kinds


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_batch_norm_and_scale_after_convolution(kind, groups, bias):
    net = FloatNet()
    out = 8
    shape = (out, 4 // groups, 3, 3) if kind == "Conv" else (4, out // groups, 3, 3)
    inputs = [net.input([1, 4, 7, 6]), net.floats(*shape), *([net.floats(out)] if bias else [])]
    y = net.node(kind, inputs, group=groups)
    y = net.node("BatchNormalization", [y, net.floats(out), net.floats(out), net.floats(out), net.positive(out)])
    y = net.node("Mul", [net.floats(out, 1, 1), y])
    y = net.node("Sub", [net.floats(1, out, 1, 1), y])
    net.output(net.node("Div", [y, net.number(3)]))
    same(net.model(), [kind])


def test_batch_norm_alone():
    net = FloatNet()
    y = net.node("Relu", [net.input([1, 4, 7, 6])])
    statistics = [net.floats(4), net.floats(4), net.floats(4), net.positive(4)]
    net.output(net.node("BatchNormalization", [y, *statistics]))
    same(net.model(), ["Relu", "Conv"])


def test_padding_into_the_convolution():
    net = FloatNet()
    x = net.node("Pad", [net.input([1, 3, 8, 8]), net.ints(0, 0, 0, 1, 0, 0, 2, 1), net.number(0)])
    net.output(net.node("Conv", [x, net.floats(4, 3, 3, 3)], strides=[2, 2]))
    same(net.model(), ["Conv"])


def test_padding_with_ones_or_for_two_stays():
    net = FloatNet()
    pads = net.ints(0, 0, 1, 1, 0, 0, 1, 1)
    x = net.input([1, 3, 8, 8])
    ones, shared = net.node("Pad", [x, pads, net.number(1)]), net.node("Pad", [x, pads])
    a, b = (net.node("Conv", [v, net.floats(4, 3, 3, 3)]) for v in (ones, shared))
    net.output(net.node("Concat", [a, b, net.node("MaxPool", [shared], kernel_shape=[3, 3])], axis=1))
    assert same(net.model()).count("Pad") == 2


@pytest.mark.parametrize("keep", [0, 1])
def test_mean_over_maps(keep):
    net = FloatNet()
    net.output(net.node("ReduceMean", [net.input([1, 3, 5, 6])], axes=[3, -2], keepdims=keep))
    same(net.model(), ["GlobalAveragePool"] if keep else ["GlobalAveragePool", "Reshape"])


@pytest.mark.parametrize("shape", [[3, 8], [1, 5, 8], [1, 2, 5, 8]], ids=str)
def test_product_and_bias(shape):
    net = FloatNet()
    y = net.node("MatMul", [net.input(shape), net.floats(8, 6)])
    net.output(net.node("Add", [net.floats(6), y]))
    assert same(net.model()).count("Gemm") == 1


@pytest.mark.parametrize("order", range(3))
def test_gelu_in_parts(order):
    net = FloatNet()
    x = net.node("Neg", [net.input([1, 4, 5])])
    inner = net.node("Div", [x, net.number(2**0.5)]) if order else net.node("Mul", [net.number(0.5**0.5), x])
    gate = net.node("Add", [net.node("Erf", [inner]), net.number(1)])
    if order == 0:
        y = net.node("Mul", [net.node("Mul", [x, gate]), net.number(0.5)])
    elif order == 1:
        y = net.node("Mul", [net.number(0.5), net.node("Mul", [gate, x])])
    else:
        y = net.node("Mul", [net.node("Mul", [x, net.number(0.5)]), gate])
    net.output(y)
    same(net.model(), ["Neg", "Gelu"])


@pytest.mark.parametrize("order", range(3))
def test_hard_swish_in_parts(order):
    net = FloatNet()
    x = net.node("Neg", [net.input([1, 4, 5])])
    if order == 2:
        y = net.node("Mul", [x, net.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5)])
    else:
        gate = net.node("Clip", [net.node("Add", [x, net.number(3)]), net.number(0), net.number(6)])
        if order == 0:
            y = net.node("Div", [net.node("Mul", [x, gate]), net.number(6)])
        else:
            y = net.node("Mul", [x, net.node("Mul", [gate, net.number(1 / 6)])])
    net.output(y)
    same(net.model(), ["Neg", "HardSwish"])


def test_constants_shapes_and_what_does_nothing():
    net = FloatNet()
    x = net.node("Identity", [net.input([1, 6, 4])])
    size = net.node("Gather", [net.node("Shape", [x]), net.ints(1)])
    shape = net.node("Concat", [net.ints(1), net.node("Div", [size, net.ints(2)]), net.ints(8)], axis=0)
    y = net.node("Reshape", [net.node("Dropout", [x]), shape])
    y = net.node("Cast", [net.node("Transpose", [y], perm=[0, 1, 2])], to=TensorProto.FLOAT)
    net.output(net.node("Sum", [y, y, net.node("Exp", [net.number(0)])]))
    same(net.model(), ["Reshape", "Add", "Add"])


def test_forms_of_old_opsets():
    floats = np.random.default_rng(1).normal(size=(4, 3, 3, 3)).astype(np.float32)
    weights = [
        numpy_helper.from_array(floats, "w"),
        numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"),
    ]
    nodes = [
        helper.make_node("Pad", ["x"], ["a"], pads=[0, 0, 1, 1, 0, 0, 1, 1], value=0.0),
        helper.make_node("Conv", ["a", "w"], ["b"]),
        helper.make_node("Clip", ["b"], ["c"], min=0.0, max=6.0),
        helper.make_node("Upsample", ["c", "scales"], ["d"], mode="nearest"),
        helper.make_node("Slice", ["d"], ["e"], axes=[1], starts=[1], ends=[3]),
        helper.make_node("Dropout", ["e"], ["f"], ratio=0.5),
        helper.make_node("Unsqueeze", ["f"], ["g"], axes=[1]),
        helper.make_node("Squeeze", ["g"], ["h"], axes=[1]),
        helper.make_node("Softmax", ["h"], ["y"], axis=1),
    ]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None if n == "y" else [1, 3, 5, 6]) for n in "xy"]
    infos += [helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3, 3, 3])]
    graph = helper.make_graph(nodes, "old", [infos[0], infos[2]], [infos[1]], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=5)
    kinds = same(model)
    assert "Upsample" not in kinds
    assert "Dropout" not in kinds


def test_decoding_is_told_from_what_carries_weights():
    net = FloatNet()
    x = net.input([1, 3, 8, 8])
    y = net.node("Concat", [x, x], axis=1)
    boxes, scores = (net.node("Conv", [y, net.floats(4, 6, 1, 1)]) for _ in range(2))
    both = net.node("Concat", [boxes, net.node("Sigmoid", [scores])], axis=1)
    net.output(net.node("Mul", [both, net.number(300)]))
    names = decoding_nodes(import_model(net.model()))
    assert sorted(name.split("_")[0] for name in names) == ["Concat", "Mul"]


_STEPS = ("Relu", "Conv", "BatchNormalization", "Mul", "Add", "Sum", "Pad", "Clip", "Identity", "Sub")


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(_STEPS), st.integers(0, 9), st.integers(0, 9)), max_size=10))
def test_any_network_computes_the_same(recipe):
    net = FloatNet(len(recipe))
    values = [net.input([1, 4, 6, 6])]
    for kind, i, j in recipe:
        a, b = values[i % len(values)], values[j % len(values)]
        match kind:
            case "Conv":
                y = net.node("Conv", [a, net.floats(4, 4, 3, 3)], pads=[1, 1, 1, 1])
            case "BatchNormalization":
                statistics = [net.floats(4), net.floats(4), net.floats(4), net.positive(4)]
                y = net.node(kind, [a, *statistics])
            case "Mul" | "Add" | "Sub" if j % 2:
                constant = net.floats(4, 1, 1) if j % 3 else net.number(1.5)
                y = net.node(kind, [a, constant] if i % 2 else [constant, a])
            case "Mul" | "Add" | "Sub":
                y = net.node("Tanh", [net.node(kind, [a, b])])
            case "Sum":
                y = net.node("Tanh", [net.node("Sum", [a, b, a])])
            case "Pad":
                pads = net.ints(0, 0, 1, 1, 0, 0, 1, 1)
                y = net.node("Conv", [net.node("Pad", [a, pads, net.number(0)]), net.floats(4, 4, 3, 3)])
            case "Clip":
                y = net.node("Clip", [a, net.number(-1), net.number(1)])
            case _:
                y = net.node(kind, [a])
        values.append(net.node("Softsign", [y]) if kind in ("Conv", "Pad", "BatchNormalization") and i % 3 else y)
    for name in {values[-1], values[len(values) // 2]}:
        net.output(net.node("Tanh", [name]))
    same(net.model())
