"""Small quantized networks, and ways to spoil one that a blind bit flip would rarely find."""

import random

import numpy as np
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

HUGE = (0, -1, 1, 3, 127, 4096, 65_536, 2**31 - 1, 2**31, 2**40, 2**62, -(2**63), 2**63 - 1)
BAD_FLOATS = (0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e38, 1e-45, 3e-39)


class _Net:
    """Builds a QDQ network, one quantized tensor after another."""

    def __init__(self, seed: int, unsigned: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes, self.initializers = [], []
        self.zero = np.array(128 if unsigned else 0, np.uint8 if unsigned else np.int8)
        self.count = 0

    def constant(self, value: np.ndarray) -> str:
        """Add an initializer and return its name."""
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: object) -> str:
        """Add a node and return its output."""
        self.count += 1
        self.nodes.append(helper.make_node(op, inputs, [f"t{self.count}"], f"n{self.count}", **attributes))
        return f"t{self.count}"

    def quantized(self, x: str, scale: float) -> str:
        """Put x through QuantizeLinear and DequantizeLinear."""
        pair = [self.constant(np.float32(scale)), self.constant(self.zero)]
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [x, *pair]), *pair])

    def weight(self, shape: tuple[int, ...]) -> str:
        """Add int8 weights with a scale for each output channel."""
        values = self.constant(self.rng.integers(-127, 128, shape).astype(np.int8))
        scale = self.constant(
            (self.rng.uniform(0.5, 1.5, shape[0]) / 64 / np.prod(shape[1:]) ** 0.5).astype(np.float32)
        )
        zero = self.constant(np.zeros(shape[0], np.int8))
        return self.node("DequantizeLinear", [values, scale, zero], axis=0)

    def conv(self, x: str, out: int, inner: int, kernel: int, **attributes: object) -> str:
        """Add a quantized convolution with ReLU."""
        weight = self.weight((out, inner, kernel, kernel))
        y = self.node("Conv", [x, weight], kernel_shape=[kernel, kernel], **attributes)
        return self.quantized(self.node("Relu", [y]), 0.02)

    def model(self, y: str, out_shape: list[int]) -> ModelProto:
        """Return the model with input `x` (1, 3, 8, 8)."""
        self.nodes[-1].output[0] = "y"
        del y
        infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])]
        infos.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, out_shape))
        graph = helper.make_graph(self.nodes, "g", infos[:1], infos[1:], self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def residual(unsigned: bool) -> ModelProto:
    """Return convolution, depthwise convolution, addition, pooling, dense."""
    net = _Net(1, unsigned)
    x = net.quantized("x", 0.03)
    a = net.conv(x, 16, 3, 3, pads=[1, 1, 1, 1])
    b = net.conv(a, 16, 1, 3, pads=[1, 1, 1, 1], group=16)
    c = net.quantized(net.node("Add", [a, b]), 0.04)
    d = net.quantized(net.node("MaxPool", [c], kernel_shape=[2, 2], strides=[2, 2]), 0.04)
    e = net.quantized(net.node("GlobalAveragePool", [d]), 0.02)
    f = net.node("Flatten", [e])
    g = net.node("Gemm", [f, net.weight((10, 16))], transB=1)
    return net.model(net.quantized(g, 0.05), [1, 10])


def branches(unsigned: bool) -> ModelProto:
    """Return concatenation, resize, sigmoid, multiplication, transposed convolution, softmax."""
    net = _Net(2, unsigned)
    x = net.quantized("x", 0.03)
    a = net.conv(x, 8, 3, 1)
    b = net.conv(x, 8, 3, 3, pads=[1, 1, 1, 1], dilations=[1, 1])
    c = net.quantized(net.node("Concat", [a, b], axis=1), 0.02)
    d = net.quantized(net.node("Sigmoid", [c]), 1 / 256)
    e = net.quantized(net.node("Mul", [c, d]), 0.01)
    f = net.conv(e, 4, 16, 3, strides=[2, 2], pads=[1, 1, 1, 1])
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    roi = net.constant(np.zeros(0, np.float32))
    g = net.node("Resize", [f, roi, scales], mode="nearest", coordinate_transformation_mode="asymmetric")
    h = net.quantized(g, 0.02)
    return net.model(net.node("Softmax", [h], axis=1), [1, 4, 8, 8])


def plain() -> ModelProto:
    """Return a float network, which must be quantized first."""
    rng = np.random.default_rng(3)
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)
        for name, shape in (("w", (8, 3, 3, 3)), ("b", (8,)), ("s", (8,)), ("m", (8,)), ("v", (5, 128)))
    ]
    weights.append(numpy_helper.from_array(np.abs(rng.normal(1, 0.1, 8)).astype(np.float32), "var"))
    nodes = [
        helper.make_node(
            "Conv", ["x", "w", "b"], ["a"], "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]
        ),
        helper.make_node("BatchNormalization", ["a", "s", "b", "m", "var"], ["n"], "bn"),
        helper.make_node("Clip", ["n"], ["c"], "clip"),
        helper.make_node("Flatten", ["c"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "v"], ["y"], "gemm", transB=1),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])
    graph = helper.make_graph(nodes, "g", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _attribute(model: ModelProto, rng: random.Random) -> None:
    attributes = [a for node in model.graph.node for a in node.attribute]
    a = rng.choice(attributes)
    if a.type == AttributeProto.INTS:
        if rng.random() < 0.3:
            a.ints.append(rng.choice(HUGE))
        elif len(a.ints):
            a.ints[rng.randrange(len(a.ints))] = rng.choice(HUGE)
    elif a.type == AttributeProto.INT:
        a.i = rng.choice(HUGE)
    elif a.type == AttributeProto.FLOAT:
        a.f = rng.choice(BAD_FLOATS)
    else:
        a.s = rng.choice((b"", b"\xff\xfe", b"linear", b"x" * 10_000))


def _weight_shape(model: ModelProto, rng: random.Random) -> None:
    t = rng.choice(model.graph.initializer)
    if len(t.dims) and rng.random() < 0.7:
        t.dims[rng.randrange(len(t.dims))] = rng.choice(HUGE)
    else:
        t.dims.append(rng.choice(HUGE))


def _weight_value(model: ModelProto, rng: random.Random) -> None:
    t = rng.choice(model.graph.initializer)
    if t.data_type == TensorProto.FLOAT and t.raw_data:
        values = np.frombuffer(t.raw_data, np.float32).copy()
        values[rng.randrange(len(values)) if rng.random() < 0.5 else slice(None)] = rng.choice(BAD_FLOATS)
        t.raw_data = values.tobytes()
    elif t.raw_data:
        t.raw_data = bytes([rng.choice((0, 127, 128, 255))]) * len(t.raw_data)


def _data_type(model: ModelProto, rng: random.Random) -> None:
    rng.choice(model.graph.initializer).data_type = rng.choice((*range(24), 99, -5))


def _input_shape(model: ModelProto, rng: random.Random) -> None:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    match rng.randrange(4):
        case 0:
            dims[rng.randrange(len(dims))].dim_value = rng.choice(HUGE)
        case 1:
            dims[rng.randrange(len(dims))].dim_param = rng.choice(("N", "", "x" * 5000))
        case 2:
            model.graph.input[0].type.tensor_type.elem_type = rng.randrange(20)
        case _:
            dims.add().dim_value = rng.choice(HUGE)


def _wiring(model: ModelProto, rng: random.Random) -> None:
    node = rng.choice(model.graph.node)
    names = [o for n in model.graph.node for o in n.output] + ["x", "", "nowhere", "c0"]
    if rng.random() < 0.7 and len(node.input):
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif len(node.output):
        node.output[0] = rng.choice(names)


def _operator(model: ModelProto, rng: random.Random) -> None:
    node = rng.choice(model.graph.node)
    if rng.random() < 0.5:
        node.op_type = rng.choice(("Conv", "ConvTranspose", "MatMul", "Gather", "Loop", "NoSuchOp", "", "Add", "Slice",
                                   "Erf", "LSTM", "Pad", "Split", "Unsqueeze", "NonMaxSuppression"))  # fmt: skip
    else:
        node.domain = rng.choice(("com.microsoft", "nowhere", "ai.onnx", "\x00"))


def _drop(model: ModelProto, rng: random.Random) -> None:
    part = rng.choice((model.graph.node, model.graph.initializer, model.graph.input, model.graph.output))
    if len(part):
        del part[rng.randrange(len(part))]


def _version(model: ModelProto, rng: random.Random) -> None:
    if rng.random() < 0.7 and model.opset_import:
        model.opset_import[0].version = rng.choice((-1, 0, 1, 5, 9, 12, 22, 9999, 2**40))
    else:
        model.ir_version = rng.choice((-1, 0, 1, 3, 99, 2**40))


def _elsewhere(model: ModelProto, rng: random.Random) -> None:
    """Point a weight at another file."""
    t = rng.choice(model.graph.initializer)
    t.data_location = TensorProto.EXTERNAL
    entry = t.external_data.add()
    entry.key, entry.value = "location", rng.choice(("../../../etc/passwd", "/dev/zero", "gone.bin", ""))
    t.ClearField("raw_data")


def _name(model: ModelProto, rng: random.Random) -> None:
    rng.choice(model.graph.node).name = rng.choice(("", "x" * 100_000, "\x1b[31m\n\r", "n1"))
    if rng.random() < 0.3:
        model.graph.input[0].name = rng.choice(("", "y", "t1"))


WAYS = (_attribute, _attribute, _weight_shape, _weight_shape, _weight_value, _weight_value, _data_type, _input_shape,
        _input_shape, _wiring, _operator, _drop, _version, _elsewhere, _name)  # fmt: skip


def spoil(model: ModelProto, rng: random.Random) -> bytes:
    """Return the model with one or two parts made wrong, as a file."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for _ in range(rng.choice((1, 1, 2))):
        try:
            rng.choice(WAYS)(copy, rng)
        except (IndexError, ValueError):  # nothing left to spoil there, or protobuf itself refuses the value
            continue
    return copy.SerializeToString()
