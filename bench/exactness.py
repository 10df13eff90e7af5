"""Share of bytes equal to ONNX Runtime's, operator by operator, on random bytes under random scales and zero points.

    python bench/exactness.py               print the table
    python bench/exactness.py --write       also rewrite docs/results/exactness.json and .md

Each operator stands alone between DequantizeLinear and QuantizeLinear. ONNX Runtime runs it with everything switched
on, so with its integer kernel where it has one; Chanzi's frontend translates it and `chanzi.graph.evaluate` computes
the graph. (That the simulators leave the same bytes as the graph says is what the tests hold.)
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from chanzi.frontend import load
from chanzi.graph.evaluate import evaluate
from chanzi.graph.plan import ChipPiece, Partition
from chanzi.graph.verify import verify
from chanzi.numerics import tables
from chanzi.runtime.host import session_options

RESULTS = Path(__file__).parent.parent / "docs" / "results"
KINDS = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8}
_MOVES = {"DequantizeLinear", "QuantizeLinear", "Transpose", "Reshape", "Cast"}


class Net:
    """One operator with quantized inputs and outputs, scales and zero points drawn at random."""

    def __init__(self, seed: int, dtype: type, opset: int = 17) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype, self.opset = dtype, opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.feed: dict[str, np.ndarray] = {}

    def constant(self, value: object) -> str:
        """Add an initializer."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], outputs: int = 1, domain: str = "", **attributes: object) -> list[str]:
        """Add a node."""
        n = len(self.nodes)
        names = [f"t{n}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, f"{op}_{n}", domain=domain, **attributes))
        return names

    def scale(self, low: float = 0.004, high: float = 0.06) -> np.float32:
        """Draw a scale."""
        return np.float32(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def zero(self) -> np.generic:
        """Draw a zero point, often one of the usual ones."""
        info = np.iinfo(self.dtype)
        usual = [info.min, (info.min + info.max + 1) // 2, int(self.rng.integers(info.min, info.max + 1))]
        return self.dtype(self.rng.choice(usual))

    def map(self, *shape: int, scale: np.float32 | None = None, zero: int | None = None) -> str:
        """Add an input of random bytes; return what they mean."""
        name = f"x{len(self.inputs)}"
        info = np.iinfo(self.dtype)
        self.feed[name] = self.rng.integers(info.min, info.max + 1, shape).astype(self.dtype)
        self.inputs.append(helper.make_tensor_value_info(name, KINDS[self.dtype], shape))
        self.last_scale = self.scale() if scale is None else np.float32(scale)
        self.last_zero = self.zero() if zero is None else self.dtype(zero)
        pair = [self.constant(self.last_scale), self.constant(self.last_zero)]
        return self.node("DequantizeLinear", [name, *pair])[0]

    def stored(self, values: np.ndarray, scale: np.ndarray, axis: int | None = None) -> str:
        """Add a quantized constant of zero point 0."""
        pair = [self.constant(np.asarray(scale, np.float32)), self.constant(np.zeros(np.shape(scale), values.dtype))]
        how = {} if axis is None else {"axis": axis}
        return self.node("DequantizeLinear", [self.constant(values), *pair], **how)[0]

    def weights(self, *shape: int, axis: int = 0) -> str:
        """Add int8 weights with a scale for each output."""
        values = self.rng.integers(-127, 128, shape).astype(np.int8)
        self.weight_scale = self.rng.uniform(0.2, 1, shape[axis]).astype(np.float32) / np.float32(
            64 * (np.prod(shape) / shape[axis]) ** 0.5
        )
        return self.stored(values, self.weight_scale, axis)

    def bias(self, n: int) -> str:
        """Add the bias of the weights and the input added last."""
        values = self.rng.integers(-4000, 4000, n).astype(np.int32)
        return self.stored(values, self.last_scale * self.weight_scale, 0)

    def out(self, name: str, *, same: bool = False, scale: np.float32 | None = None, zero: int | None = None) -> None:
        """Quantize a value and let its bytes be an output."""
        y_scale = self.last_scale if same else self.scale() if scale is None else np.float32(scale)
        y_zero = self.last_zero if same else self.zero() if zero is None else self.dtype(zero)
        made = self.node("QuantizeLinear", [name, self.constant(y_scale), self.constant(y_zero)])[0]
        self.outputs.append(helper.make_tensor_value_info(made, KINDS[self.dtype], None))

    def model(self) -> bytes:
        """Return the network."""
        graph = helper.make_graph(self.nodes, "g", self.inputs, self.outputs, self.constants)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def on_ort(data: bytes, feed: dict[str, np.ndarray]) -> tuple[list[np.ndarray], str]:
    """Return ONNX Runtime's outputs and the operators it ran."""
    try:
        session, optimized = _open(data, int8_kernels=True)
    except Exception:  # without VNNI there is no exact kernel for int8 activations; ONNX Runtime takes float ones
        session, optimized = _open(data, int8_kernels=False)
    kernels = Counter(node.op_type for node in optimized.graph.node)
    main = [op for op in kernels if op not in _MOVES] or list(kernels)
    in_float = "DequantizeLinear" in kernels and any(not op.startswith("Q") for op in main)
    return session.run(None, feed), "+".join(sorted(main)) + (" in float" if in_float else "")


def _open(data: bytes, *, int8_kernels: bool) -> tuple[onnxruntime.InferenceSession, onnx.ModelProto]:
    """Return a session and the network as ONNX Runtime rewrote it."""
    options = session_options(threads=1)
    options.add_session_config_entry("session.qdqisint8allowed", str(int(int8_kernels)))
    with TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "o.onnx")
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return session, onnx.load(options.optimized_model_filepath)


def on_graph(cut: Partition, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return the outputs of a partition that is one piece for the chip."""
    (piece,) = cut.pieces
    if not isinstance(piece, ChipPiece):
        raise SystemExit("; ".join(row.reason for row in cut.report if row.where == "host"))
    verify(piece.graph)
    maps = {}
    for boundary, tensor in zip(piece.inputs, piece.graph.inputs, strict=True):
        value = feed[boundary.value] if boundary.quantized else tables.quantize(feed[boundary.value], tensor.quant)
        maps[tensor.name] = value.reshape(boundary.shape).transpose(boundary.perm).reshape(tensor.shape)
    made = evaluate(piece.graph, maps)
    values = {}
    for boundary in piece.outputs:
        moved = made[boundary.tensor].reshape([boundary.shape[axis] for axis in boundary.perm])
        values[boundary.value] = moved.transpose(np.argsort(boundary.perm))
    return [values[value.name] for value in cut.outputs]


# ---------------------------------------------------------------------------------------------------------------------
# One function an operator: it adds it to a network


def conv(kernel: int = 3, groups: int = 1, **attributes: object) -> Callable[[Net], None]:
    """Return a convolution."""

    def build(net: Net) -> None:
        c = 16
        x = net.map(1, c, 24, 24)
        w = net.weights(c if groups == c else 24 // groups * groups, c // groups, kernel, kernel)
        outputs = net.weight_scale.size
        inputs = [x, w, net.bias(outputs)]
        net.out(net.node("Conv", inputs, group=groups, pads=[kernel // 2] * 4, **attributes)[0])

    return build


def conv_transpose(net: Net) -> None:
    """Add a transposed convolution."""
    x = net.map(1, 12, 16, 16)
    values = net.rng.integers(-127, 128, (12, 16, 2, 2)).astype(np.int8)
    w = net.stored(values, np.full(1, 0.002, np.float32)[0])
    net.out(net.node("ConvTranspose", [x, w], strides=[2, 2])[0])


def gemm(net: Net) -> None:
    """Add a dense layer with bias."""
    x = net.map(1, 300)
    net.out(net.node("Gemm", [x, net.weights(400, 300), net.bias(400)], transB=1)[0])


def matmul_constant(net: Net) -> None:
    """Add a product with a constant matrix."""
    x = net.map(1, 50, 96)
    net.out(net.node("MatMul", [x, net.weights(96, 64, axis=1)])[0])


def matmul(net: Net) -> None:
    """Add a product of two activations."""
    a, b = net.map(1, 50, 64), net.map(1, 64, 50)
    net.out(net.node("MatMul", [a, b])[0], scale=net.scale(0.05, 0.5))


def binary(op: str, other: tuple[int, ...], *, scale: tuple[float, float] = (0.004, 0.06)) -> Callable[[Net], None]:
    """Return a sum or product of two maps."""

    def build(net: Net) -> None:
        a, b = net.map(1, 32, 20, 20), net.map(*other)
        net.out(net.node(op, [a, b])[0], scale=net.scale(*scale))

    return build


def binary_constant(op: str) -> Callable[[Net], None]:
    """Return a sum or product of a map and a constant for each channel."""

    def build(net: Net) -> None:
        x = net.map(1, 32, 20, 20)
        b = net.stored(net.rng.integers(-128, 128, (1, 32, 1, 1)).astype(np.int8), net.scale())
        if net.dtype is np.uint8:
            b = net.stored(net.rng.integers(0, 256, (1, 32, 1, 1)).astype(np.uint8), net.scale())
        net.out(net.node(op, [x, b])[0])

    return build


def unary(op: str, *, opset_domain: str = "", y: tuple[float, float] = (0.004, 0.06), **attributes: object) -> Callable:
    """Return a function of one byte: every byte, many times."""

    def build(net: Net) -> None:
        x = net.map(1, 4, 16, 16)
        net.feed["x0"].reshape(-1)[:256] = np.arange(256, dtype=np.uint8).view(net.dtype)
        net.out(net.node(op, [x], domain=opset_domain, **attributes)[0], scale=net.scale(*y))

    return build


def pool(op: str, *, same: bool = False, **attributes: object) -> Callable[[Net], None]:
    """Return a pooling over windows."""

    def build(net: Net) -> None:
        x = net.map(1, 16, 21, 21)
        net.out(net.node(op, [x], **attributes)[0], same=same)

    return build


def mean(net: Net) -> None:
    """Add a mean over height and width."""
    x = net.map(1, 200, 7, 7)
    net.out(net.node("ReduceMean", [x], axes=[2, 3], keepdims=1)[0])


def global_pool(net: Net) -> None:
    """Add an average over the whole map."""
    net.out(net.node("GlobalAveragePool", [net.map(1, 200, 7, 7)])[0])


def concat(net: Net) -> None:
    """Add a concatenation of differently quantized maps."""
    net.out(net.node("Concat", [net.map(1, 8, 16, 16), net.map(1, 24, 16, 16)], axis=1)[0])


def softmax(net: Net) -> None:
    """Add a softmax over the last axis."""
    x = net.map(1, 40, int(net.rng.choice([10, 49, 197, 1000])), scale=net.scale(0.01, 0.3))
    low = int(np.iinfo(net.dtype).min)
    net.out(net.node("Softmax", [x], axis=-1)[0], scale=np.float32(1 / 256), zero=low)


def resize(mode: str, *, same: bool = True, **attributes: object) -> Callable[[Net], None]:
    """Return an enlargement by two."""

    def build(net: Net) -> None:
        scales = net.constant(np.asarray([1, 1, 2, 2], np.float32))
        x = net.map(1, 16, 14, 14)
        net.out(net.node("Resize", [x, "", scales], mode=mode, **attributes)[0], same=same)

    return build


def pad(net: Net) -> None:
    """Add padding with zeros."""
    pads = net.constant(np.asarray([0, 0, 1, 2, 0, 0, 3, 1], np.int64))
    net.out(net.node("Pad", [net.map(1, 8, 10, 10), pads])[0], same=True)


def split(net: Net) -> None:
    """Add a split of the channels."""
    for part in net.node("Split", [net.map(1, 24, 10, 10)], outputs=2, axis=1):
        net.out(part, same=True)


CASES: dict[str, Callable[[Net], None]] = {
    "Conv 3x3": conv(),
    "Conv 1x1": conv(1),
    "Conv, stride 2, dilation 2": conv(strides=[2, 2], dilations=[2, 2]),
    "Conv, 4 groups": conv(groups=4),
    "Conv, depthwise": conv(groups=16),
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "MatMul, constant weights": matmul_constant,
    "MatMul, two activations": matmul,
    "Add": binary("Add", (1, 32, 20, 20)),
    "Add, broadcast": binary("Add", (1, 32, 1, 1)),
    "Add, constant": binary_constant("Add"),
    "Mul": binary("Mul", (1, 32, 20, 20), scale=(0.004, 0.2)),
    "Mul, broadcast": binary("Mul", (1, 32, 1, 1), scale=(0.004, 0.2)),
    "Mul, constant": binary_constant("Mul"),
    "MaxPool": pool("MaxPool", same=True, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "AveragePool 3x3": pool("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "AveragePool 2x2, equal scales": pool("AveragePool", same=True, kernel_shape=[2, 2], strides=[2, 2]),
    "GlobalAveragePool": global_pool,
    "ReduceMean": mean,
    "Concat": concat,
    "Softmax": softmax,
    "Relu": unary("Relu"),
    "LeakyRelu": unary("LeakyRelu", alpha=0.1),
    "Sigmoid": unary("Sigmoid", y=(0.002, 0.006)),
    "HardSigmoid": unary("HardSigmoid", y=(0.002, 0.006)),
    "HardSwish": unary("HardSwish"),
    "Tanh": unary("Tanh", y=(0.004, 0.01)),
    "Elu": unary("Elu"),
    "Gelu": unary("Gelu", opset_domain="com.microsoft"),
    "Erf": unary("Erf", y=(0.004, 0.01)),
    "Exp": unary("Exp"),
    "Softplus": unary("Softplus"),
    "Abs": unary("Abs"),
    "Resize, nearest": resize("nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    "Resize, linear": resize("linear", same=False, coordinate_transformation_mode="half_pixel"),
    "Resize, linear, equal scales": resize("linear", coordinate_transformation_mode="half_pixel"),
    "Pad": pad,
    "Split": split,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operator."""

    operator: str
    kernel: str
    elements: int
    equal: float
    largest_step: int


def measure(name: str, seeds: int) -> Row:
    """Compare one operator under many scales."""
    build = CASES[name]
    elements, equal, largest = 0, 0, 0
    kernels: Counter[str] = Counter()
    for seed in range(seeds):
        net = Net(seed, (np.uint8, np.int8)[seed % 2])
        build(net)
        data = net.model()
        wanted, kernel = on_ort(data, net.feed)
        kernels[kernel] += 1
        for want, got in zip(wanted, on_graph(load(data), net.feed), strict=True):
            step = np.abs(want.astype(np.int32) - got.astype(np.int32))
            elements, equal, largest = (
                elements + step.size,
                equal + int((step == 0).sum()),
                max(largest, int(step.max())),
            )
    return Row(
        operator=name,
        kernel=" or ".join(kernel for kernel, _ in kernels.most_common()),
        elements=elements,
        equal=equal / elements,
        largest_step=largest,
    )


def _table(rows: list[Row]) -> str:
    lines = ["| operator | ONNX Runtime ran | bytes | equal | largest difference |", "|---|---|---:|---:|---:|"]
    for row in rows:
        share = "all" if row.equal == 1 else f"{100 * row.equal:.4f} %"
        step = "0" if not row.largest_step else f"{row.largest_step} step" + "s" * (row.largest_step > 1)
        lines.append(f"| {row.operator} | {row.kernel} | {row.elements:,} | {share} | {step} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="rewrite docs/results/exactness.json and .md")
    parser.add_argument("--seeds", type=int, default=40, help="choices of scales and zero points for each operator")
    parser.add_argument("--only", default="", help="operators whose name contains this")
    args = parser.parse_args()
    rows = [measure(name, args.seeds) for name in CASES if args.only.lower() in name.lower()]
    print(_table(rows))
    if args.write:
        RESULTS.mkdir(parents=True, exist_ok=True)
        version = onnxruntime.__version__
        data = {"onnxruntime": version, "seeds": args.seeds, "operators": [asdict(row) for row in rows]}
        (RESULTS / "exactness.json").write_text(json.dumps(data, indent=1) + "\n", "utf-8")
        text = (
            f"# Exactness, operator by operator\n\nBytes equal to ONNX Runtime {version}'s, on random bytes under "
            f"{args.seeds} random choices of scales and zero points, uint8 and int8. "
            "Made by `python bench/exactness.py --write`.\n\n"
        )
        (RESULTS / "exactness.md").write_text(text + _table(rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()
