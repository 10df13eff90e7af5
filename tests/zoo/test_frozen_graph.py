import contextlib
import struct

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.errors import ModelError
from chanzi.zoo.frozen_graph import Converter, constant, read_graph


def varint(value):
    out = bytearray()
    while True:
        value, low = value >> 7, value & 127
        out.append(low | (128 if value else 0))
        if not value:
            return bytes(out)


def message(number, body):
    body = body.encode() if isinstance(body, str) else body
    return varint(number << 3 | 2) + varint(len(body)) + body


def number(field, value):
    return varint(field << 3) + varint(value)


def node(name, op, inputs=(), **attrs):
    entries = b"".join(message(5, message(1, key) + message(2, value)) for key, value in attrs.items())
    return message(1, message(1, name) + message(2, op) + b"".join(message(3, i) for i in inputs) + entries)


def const(name, array):
    dims = b"".join(message(2, number(1, side)) for side in array.shape)
    tensor = number(1, 1) + message(2, dims) + message(4, array.astype("<f4").tobytes())
    return node(name, "Const", value=message(8, tensor))


def convolution(weight, op="Conv2D", stride=2, padding="SAME"):
    strides = message(1, message(3, bytes([1, stride, stride, 1])))
    return (
        node("x", "Placeholder")
        + const("w", weight)
        + node("w/read", "Identity", ["w"])
        + node("y", op, ["x", "w/read"], strides=strides, padding=message(2, padding))
    )


def naive(x, weight, stride, depthwise):
    """TensorFlow's SAME convolution in NHWC, written from its definition."""
    kh, kw = weight.shape[:2]
    rows, columns = (-(-side // stride) for side in x.shape[:2])
    tall, wide = (max((n - 1) * stride + k - s, 0) for n, k, s in zip((rows, columns), (kh, kw), x.shape, strict=False))
    padded = np.pad(x, ((tall // 2, tall - tall // 2), (wide // 2, wide - wide // 2), (0, 0)))
    out = []
    for r in range(rows):
        for c in range(columns):
            window = padded[r * stride : r * stride + kh, c * stride : c * stride + kw]
            rule = "abc,abcd->cd" if depthwise else "abc,abcd->d"
            out.append(np.einsum(rule, window, weight).ravel())
    return np.array(out).reshape(rows, columns, -1)


@given(
    side=st.integers(3, 9),
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.sampled_from([1, 2]),
    depthwise=st.booleans(),
    seed=st.integers(0, 99),
)
def test_convolutions_equal_tensorflows_definition(side, kernel, stride, depthwise, seed):
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((kernel, kernel, 3, 1 if depthwise else 4)).astype(np.float32)
    x = rng.standard_normal((side, side, 3)).astype(np.float32)
    op = "DepthwiseConv2dNative" if depthwise else "Conv2D"
    converter = Converter(read_graph(convolution(weight, op, stride)), "x", "x", (side, side))
    y = converter.convert("y")
    tensor = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        converter.onnx_nodes,
        "one",
        [tensor("x", 1, [1, 3, side, side])],
        [onnx.helper.make_empty_tensor_value_info(y)],
        converter.initializers,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    got = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x.transpose(2, 0, 1)[None]})[0]
    want = naive(x, weight, stride, depthwise)
    np.testing.assert_allclose(got[0].transpose(1, 2, 0), want, rtol=1e-4, atol=1e-4)
    assert converter.size[y] == want.shape[:2]


def test_a_constant_of_one_value_fills_its_shape():
    dims = message(2, number(1, 2)) + message(2, number(1, 3))
    tensor = number(1, 1) + message(2, dims) + varint(5 << 3 | 5) + struct.pack("<f", 1.5)
    graph = read_graph(node("six", "Const", value=message(8, tensor)))
    np.testing.assert_array_equal(constant(graph["six"]), np.full((2, 3), 1.5, np.float32))


def test_an_unknown_operator_is_named():
    graph = read_graph(node("x", "Placeholder") + node("y", "Softplus", ["x"]))
    with pytest.raises(ModelError, match="y: the TensorFlow operator Softplus"):
        Converter(graph, "x", "x", (1, 1)).convert("y")


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_read_but_never_crash(data):
    with contextlib.suppress(ModelError):
        assert read_graph(data)


@given(st.data())
def test_truncated_graphs_are_refused_or_read_but_never_crash(data):
    whole = convolution(np.ones((3, 3, 2, 2), np.float32))
    cut = data.draw(st.integers(0, len(whole) - 1))
    with contextlib.suppress(ModelError):
        assert len(read_graph(whole[:cut])) < 4
