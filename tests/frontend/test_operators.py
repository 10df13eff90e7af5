"""Every operator the frontend translates, quantized, on the chip's reference simulator against ONNX Runtime."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from qdq_net import Net, check

DTYPES = [np.uint8, np.int8]
FLOAT_SHARE = 0.98
"""What ONNX Runtime computes in float may round the other way now and then."""


def through(shape, op, *, dtype=np.uint8, scale=0.03, zero=None, exact=1.0, opset=17, x_scale=0.03, **attributes):
    """Check x -> Q/DQ -> op -> Q/DQ."""
    net = Net(dtype=dtype, opset=opset)
    y = net.node(op, [net.quantized(net.input(shape), x_scale)], **attributes)
    net.output(net.quantized(y, scale, zero))
    return check(net, scale=scale, exact=exact)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000),
    groups=st.sampled_from([1, 1, 2, 8]),
    per=st.integers(1, 3),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    bias=st.booleans(),
    relu=st.sampled_from(["", "Relu"]),
)
def test_convolution(seed, groups, per, kernel, strides, dilations, pads, bias, relu):
    net = Net(seed)
    x_scale = 0.03
    x = net.quantized(net.input([1, 8, 9, 7]), x_scale)
    out = groups * per
    scales = (net.rng.uniform(0.5, 1.5, out) / 64 / (8 / groups * np.prod(kernel)) ** 0.5).astype(np.float32)
    values = net.rng.integers(-127, 128, (out, 8 // groups, *kernel)).astype(np.int8)
    inputs = [x, net.stored(values, scales, axis=0)]
    if bias:
        whole = net.rng.integers(-2000, 2000, out).astype(np.int32)
        inputs.append(net.stored(whole, np.float32(x_scale) * scales, axis=0))
    y = net.node("Conv", inputs, group=groups, strides=strides, dilations=dilations, pads=pads)
    y = net.node(relu, [y]) if relu else y
    net.output(net.quantized(y))
    check(net, exact=1.0 if bias else FLOAT_SHARE)


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_convolution_with_padding_left_to_it(auto):
    net = Net()
    y = net.node(
        "Conv", [net.quantized(net.input([1, 3, 8, 11])), net.weights((4, 3, 3, 3))], strides=[2, 2], auto_pad=auto
    )
    net.output(net.quantized(y))
    check(net, exact=FLOAT_SHARE)


def test_convolution_of_a_signal():
    net = Net()
    y = net.node("Conv", [net.quantized(net.input([1, 6, 20])), net.weights((8, 6, 3))], strides=[2], pads=[1, 0])
    net.output(net.quantized(y))
    check(net, exact=FLOAT_SHARE)


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [2, 2]},
        {"strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"strides": [2, 2], "pads": [0, 1, 1, 0]},
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"strides": [1, 1], "pads": [1, 1, 1, 1]},
    ],
    ids=str,
)
def test_transposed_convolution(attributes):
    net = Net()
    weight = net.weights((6, 5, 3, 3), axis=1)
    y = net.node("ConvTranspose", [net.quantized(net.input([1, 6, 5, 4])), weight], **attributes)
    net.output(net.quantized(y))
    check(net, exact=FLOAT_SHARE)


@pytest.mark.parametrize("groups", [2, 6])
def test_transposed_convolution_in_groups(groups):
    net = Net()
    values = net.rng.integers(-127, 128, (6, 2, 2, 2)).astype(np.int8)
    y = net.node(
        "ConvTranspose",
        [net.quantized(net.input([1, 6, 5, 4])), net.stored(values, 0.01)],
        group=groups,
        strides=[2, 2],
    )
    net.output(net.quantized(y))
    check(net, exact=FLOAT_SHARE)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [2, 3], "strides": [1, 2], "auto_pad": "SAME_UPPER"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_pooling(kind, attributes, dtype):
    exact = 1.0 if kind == "MaxPool" else FLOAT_SHARE
    through([1, 5, 8, 10], kind, dtype=dtype, exact=exact, **attributes)


def test_average_that_counts_padding():
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    through([1, 5, 8, 10], "AveragePool", exact=FLOAT_SHARE, **window)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("GlobalAveragePool", {}),
        ("GlobalMaxPool", {}),
        ("ReduceMean", {"axes": [2, 3]}),
        ("ReduceMean", {"axes": [-1, -2], "keepdims": 0}),
        ("ReduceMean", {"axes": [3]}),
        ("ReduceMax", {"axes": [2]}),
    ],
    ids=str,
)
def test_reduction(op, attributes, dtype):
    through([1, 20, 6, 5], op, dtype=dtype, scale=0.0103, exact=0.95, **attributes)


_FUNCTIONS = [
    ("Relu", {}),
    ("Sigmoid", {}),
    ("Tanh", {}),
    ("LeakyRelu", {"alpha": 0.1}),
    ("HardSigmoid", {"alpha": 0.2, "beta": 0.5}),
    ("HardSwish", {}),
    ("Elu", {}),
    ("Selu", {}),
    ("Celu", {}),
    ("Softplus", {}),
    ("Softsign", {}),
    ("Mish", {}),
    ("Erf", {}),
    ("Exp", {}),
    ("Abs", {}),
    ("Neg", {}),
    ("Floor", {}),
    ("Ceil", {}),
    ("Round", {}),
    ("Sign", {}),
    ("Sin", {}),
    ("Cos", {}),
    ("ThresholdedRelu", {"alpha": 0.5}),
    ("Gelu", {"domain": "com.microsoft"}),
    ("QuickGelu", {"domain": "com.microsoft"}),
    ("FastGelu", {"domain": "com.microsoft"}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("op", "attributes"), _FUNCTIONS, ids=[name for name, _ in _FUNCTIONS])
def test_function_of_one_byte(op, attributes, dtype):
    opset = 18 if op == "Mish" else 17
    through([1, 4, 16, 16], op, dtype=dtype, opset=opset, exact=FLOAT_SHARE, **attributes)


@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (-1.0, 1.0), (None, 2.0), (0.5, None)])
def test_clip(low, high):
    net = Net()
    limits = ["" if v is None else net.constant(np.float32(v)) for v in (low, high)]
    net.output(net.quantized(net.node("Clip", [net.quantized(net.input([1, 4, 8, 8])), *limits])))
    check(net)


def test_parametric_relu_with_one_slope():
    net = Net()
    slope = net.constant(np.full((1, 1, 1), 0.25, np.float32))
    net.output(net.quantized(net.node("PRelu", [net.quantized(net.input([1, 4, 8, 8])), slope])))
    check(net, exact=FLOAT_SHARE)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["Add", "Mul", "Sub"])
@pytest.mark.parametrize("other", [[1, 6, 5, 7], [1, 6, 1, 1], [1, 1, 5, 7], [1, 1, 1, 1]], ids=str)
@pytest.mark.parametrize("swapped", [False, True])
def test_two_maps(op, other, swapped, dtype):
    net = Net(dtype=dtype)
    operands = [net.quantized(net.input([1, 6, 5, 7])), net.quantized(net.input(other, "z"), 0.0219)]
    net.output(net.quantized(net.node(op, operands[::-1] if swapped else operands), 0.0513))
    check(net, scale=0.0513, exact=0.995)


@pytest.mark.parametrize("op", ["Add", "Mul", "Sub"])
@pytest.mark.parametrize("shape", [(6, 1, 1), (1, 1, 5, 7), (1, 6, 5, 7)], ids=str)
def test_map_and_constant(op, shape):
    net = Net()
    constant = net.stored(net.rng.integers(0, 256, shape).astype(np.uint8), 0.02, zero=100)
    net.output(net.quantized(net.node(op, [net.quantized(net.input([1, 6, 5, 7])), constant]), 0.05))
    check(net, scale=0.05, exact=0.995)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("op", ["Add", "Mul", "Sub", "Div", "Pow", "Max", "Min"])
def test_map_and_number(op, first):
    net = Net()
    number = net.constant(np.float32(2.0))
    x = net.quantized(net.input([1, 6, 5, 7]))
    net.output(net.quantized(net.node(op, [number, x] if first else [x, number]), 0.06))
    check(net, scale=0.06, exact=FLOAT_SHARE)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_concat(axis):
    net = Net()
    shapes = [[1, 6, 4, 5] for _ in range(3)]
    shapes[1][axis] = 3
    xs = [net.quantized(net.input(s, f"x{i}"), 0.02 + 0.01 * i) for i, s in enumerate(shapes)]
    net.output(net.quantized(net.node("Concat", xs, axis=axis)))
    check(net)


def test_concat_with_a_constant():
    net = Net()
    zeros = net.stored(np.zeros((1, 4, 4, 5), np.uint8), 0.03)
    net.output(net.quantized(net.node("Concat", [net.quantized(net.input([1, 6, 4, 5])), zeros], axis=1)))
    check(net)


def test_split_and_slice():
    net = Net()
    x = net.quantized(net.input([1, 8, 6, 5]))
    a, b = net.node("Split", [x, net.constant(np.array([3, 5]))], outputs=2, axis=1)
    lists = [net.constant(np.array(v)) for v in ([1, 0], [-1, 2**31], [2, 3], [1, 1])]
    net.output(net.quantized(net.node("Slice", [net.quantized(a), *lists])))
    net.output(net.quantized(b))
    check(net)


@pytest.mark.parametrize(
    "pads", [[0, 0, 1, 2, 0, 0, 0, 3], [0, 2, 0, 0, 0, 1, 0, 0], [0, 1, 1, 1, 0, 1, 1, 1]], ids=str
)
def test_pad(pads):
    net = Net()
    x = net.quantized(net.input([1, 8, 6, 5]))
    net.output(net.quantized(net.node("Pad", [x, net.constant(np.array(pads)), net.constant(np.float32(0))])))
    check(net)


@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {"mode": "nearest", "coordinate_transformation_mode": "half_pixel"},
        {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
        {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
    ],
    ids=str,
)
def test_resize(attributes):
    net = Net()
    x = net.quantized(net.input([1, 5, 4, 6]))
    y = net.node("Resize", [x, "", net.constant(np.array([1, 1, 2, 3], np.float32))], **attributes)
    net.output(net.quantized(y))
    # ONNX Runtime cuts bytes off where it interpolates them, so it may be a step lower
    check(net, exact=1.0 if attributes["mode"] == "nearest" else 0.3)


def test_softmax():
    net = Net()
    net.output(net.quantized(net.node("Softmax", [net.quantized(net.input([1, 40]))], axis=-1), 1 / 256, zero=0))
    check(net, scale=1 / 256, exact=0.9)


@pytest.mark.parametrize("turned", [0, 1])
def test_dense_layer(turned):
    net = Net()
    weight = net.weights((10, 12) if turned else (12, 10), axis=0 if turned else 1)
    net.output(net.quantized(net.node("Gemm", [net.quantized(net.input([1, 12])), weight], transB=turned)))
    check(net, exact=0.9)


def test_dense_layer_of_a_flattened_map():
    net = Net()
    x = net.node("Flatten", [net.quantized(net.input([1, 6, 3, 4]))])
    weight = net.weights((10, 72))
    net.output(net.quantized(net.node("Gemm", [net.quantized(x), weight], transB=1)))
    check(net, exact=0.9)


def test_product_of_tokens_and_weights():
    net = Net()
    y = net.node("MatMul", [net.quantized(net.input([1, 7, 12])), net.weights((12, 10), axis=1)])
    net.output(net.quantized(y))
    check(net, exact=0.9)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("lead", [[1], [1, 3]], ids=str)
def test_product_of_two_activations(lead, turned):
    net = Net()
    a = net.quantized(net.input([*lead, 6, 8]))
    b = net.quantized(net.input([*lead, 5, 8] if turned else [*lead, 8, 5], "z"))
    if turned:
        n = len(lead) + 2
        b = net.quantized(net.node("Transpose", [b], perm=[*range(n - 2), n - 1, n - 2]))
    net.output(net.quantized(net.node("MatMul", [a, b]), 0.1))
    check(net, scale=0.1, exact=0.99)


def test_channel_shuffle():
    net = Net()
    x = net.node("Reshape", [net.quantized(net.input([1, 12, 4, 5])), net.constant(np.array([1, 3, 4, 4, 5]))])
    x = net.node("Transpose", [x], perm=[0, 2, 1, 3, 4])
    x = net.quantized(net.node("Reshape", [x, net.constant(np.array([1, 12, 4, 5]))]))
    net.output(net.quantized(net.node("Conv", [x, net.weights((6, 12, 1, 1))])))
    check(net, exact=FLOAT_SHARE)


def test_input_with_channels_last():
    net = Net()
    x = net.node("Transpose", [net.quantized(net.input([1, 6, 7, 3]))], perm=[0, 3, 1, 2])
    y = net.quantized(net.node("Conv", [net.quantized(x), net.weights((5, 3, 3, 3))]))
    net.output(net.quantized(net.node("Transpose", [y], perm=[0, 2, 3, 1])))
    check(net, exact=FLOAT_SHARE)


def test_squeeze_and_excite():
    net = Net()
    x = net.quantized(net.input([1, 8, 5, 6]))
    s = net.quantized(net.node("GlobalAveragePool", [x]), 0.01)
    s = net.quantized(net.node("Relu", [net.node("Conv", [s, net.weights((4, 8, 1, 1))])]), 0.01)
    s = net.quantized(net.node("Conv", [s, net.weights((8, 4, 1, 1))]), 0.01)
    gate = net.quantized(net.node("Sigmoid", [s]), 1 / 256, zero=0)
    net.output(net.quantized(net.node("Mul", [x, gate])))
    check(net, exact=0.95)


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_norm_between_quantizers(dtype):
    net = Net(dtype=dtype)
    x = net.quantized(net.input([1, 6, 5, 7]))
    statistics = [net.constant(net.rng.uniform(0.5, 2, 6).astype(np.float32)) for _ in range(4)]
    net.output(net.quantized(net.node("BatchNormalization", [x, *statistics]), 0.0513))
    check(net, scale=0.0513, exact=FLOAT_SHARE)


@pytest.mark.parametrize("dtype", DTYPES)
def test_parametric_relu_with_a_slope_for_each_channel(dtype):
    net = Net(dtype=dtype)
    slope = net.constant(net.rng.uniform(-0.5, 2, (6, 1, 1)).astype(np.float32))
    net.output(net.quantized(net.node("PRelu", [net.quantized(net.input([1, 6, 8, 8])), slope]), 0.0413))
    check(net, scale=0.0413, exact=FLOAT_SHARE)


@pytest.mark.parametrize("op", ["Add", "Mul", "Sub", "Div"])
@pytest.mark.parametrize("first", [False, True])
def test_number_for_each_channel_that_is_not_quantized(op, first):
    if op == "Div" and first:
        pytest.skip("goes to the host")
    net = Net()
    x = net.quantized(net.input([1, 6, 5, 7]))
    constant = net.constant(net.rng.uniform(0.5, 2, (1, 6, 1, 1)).astype(np.float32))
    net.output(net.quantized(net.node(op, [constant, x] if first else [x, constant]), 0.0513))
    check(net, scale=0.0513, exact=FLOAT_SHARE)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode):
    through([1, 12, 3, 5], "DepthToSpace", blocksize=2, mode=mode)


def test_space_to_depth():
    through([1, 3, 4, 6], "SpaceToDepth", blocksize=2)


def test_slice_with_steps():
    net = Net()
    lists = [net.constant(np.array(v)) for v in ([1, 0], [100, 100], [2, 3], [2, 3])]
    net.output(net.quantized(net.node("Slice", [net.quantized(net.input([1, 8, 7, 9])), *lists])))
    check(net)


def test_sum_of_two():
    net = Net()
    pair = [net.quantized(net.input([1, 6, 5, 7], name), 0.0219) for name in "xz"]
    net.output(net.quantized(net.node("Sum", pair), 0.0513))
    check(net, scale=0.0513, exact=FLOAT_SHARE)


def test_the_same_network_in_qoperator_form():
    net = Net()
    net.input([1, 3, 6, 6])
    scale, zero = net.constant(np.float32(0.03)), net.constant(np.uint8(128))
    x = net.node("QuantizeLinear", ["x", scale, zero])
    weight = net.constant(net.rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8))
    w_scale = net.constant(net.rng.uniform(0.001, 0.004, 4).astype(np.float32))
    w_zero, bias = net.constant(np.zeros(4, np.int8)), net.constant(net.rng.integers(-999, 999, 4).astype(np.int32))
    y = net.node("QLinearConv", [x, scale, zero, weight, w_scale, w_zero, scale, zero, bias], pads=[1, 1, 1, 1])
    y = net.node("MaxPool", [y], kernel_shape=[2, 2], strides=[2, 2])
    y = net.node("QLinearAdd", [y, scale, zero, y, scale, zero, scale, zero], domain="com.microsoft")
    net.output(net.node("DequantizeLinear", [y, scale, zero]))
    check(net, exact=0.99)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("op", ["Add", "Mul"])
def test_map_and_quantized_number(op, first):
    net = Net()
    x = net.quantized(net.input([1, 6, 16, 16]), 0.0219)
    number = net.stored(np.array(217, np.uint8), 0.0137, zero=31)
    net.output(net.quantized(net.node(op, [number, x] if first else [x, number]), 0.0513))
    check(net, scale=0.0513)


@pytest.mark.parametrize("mode", ["reflect", "edge"])
def test_pad_with_what_is_near(mode):
    net = Net()
    pads = net.constant(np.array([0, 0, 1, 2, 0, 0, 2, 0]))
    net.output(net.quantized(net.node("Pad", [net.quantized(net.input([1, 8, 6, 5])), pads], mode=mode)))
    check(net)


def test_attention():
    net = Net(3)
    x = net.quantized(net.input([1, 6, 16]))

    def heads(perm):
        y = net.quantized(net.node("MatMul", [x, net.weights((16, 16), axis=1)]))
        y = net.quantized(net.node("Reshape", [y, net.constant(np.array([1, 6, 2, 8]))]))
        return net.quantized(net.node("Transpose", [y], perm=perm))

    scores = net.quantized(net.node("MatMul", [heads([0, 2, 1, 3]), heads([0, 2, 3, 1])]), 0.1)
    shares = net.quantized(net.node("Softmax", [scores], axis=-1), 1 / 256, zero=0)
    y = net.quantized(net.node("MatMul", [shares, heads([0, 2, 1, 3])]))
    y = net.quantized(net.node("Transpose", [y], perm=[0, 2, 1, 3]))
    y = net.quantized(net.node("Reshape", [y, net.constant(np.array([1, 6, 16]))]))
    net.output(net.quantized(net.node("MatMul", [y, net.weights((16, 10), axis=1)])))
    check(net, exact=0.8)


def test_tokens_of_a_map():
    net = Net()
    y = net.quantized(net.node("Conv", [net.quantized(net.input([1, 3, 4, 5])), net.weights((8, 3, 1, 1))]))
    y = net.quantized(net.node("Reshape", [y, net.constant(np.array([1, 8, 20]))]))
    y = net.quantized(net.node("Transpose", [y], perm=[0, 2, 1]))
    net.output(net.quantized(net.node("MatMul", [y, net.weights((8, 6), axis=1)])))
    check(net, exact=0.9)
