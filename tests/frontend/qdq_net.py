"""Small quantized networks, and both ways to run them: ONNX Runtime, and the chip's reference simulator."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from chanzi.chip import load_chip
from chanzi.compiler import compile_graph
from chanzi.frontend import load
from chanzi.graph.plan import Boundary, ChipPiece, Partition
from chanzi.program.model import Binding
from chanzi.program.program import Options
from chanzi.runtime.execute import from_port, to_port
from chanzi.runtime.host import session_options
from chanzi.sim.reference import Simulator

CHIP = load_chip("chanzi-16")


class Net:
    """Builds a network, one node after another."""

    def __init__(self, seed=0, dtype=np.uint8, opset=17):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []
        self.dtype, self.opset, self.count = dtype, opset, 0

    def constant(self, value):
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op, inputs, outputs=1, **attributes):
        domain = attributes.pop("domain", "")
        self.count += 1
        names = [f"t{self.count}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, f"{op}_{self.count}", domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def input(self, shape, name="x", kind=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def quantized(self, x, scale=0.03, zero=None, dtype=None):
        dtype = dtype or self.dtype
        zero = (128 if dtype == np.uint8 else 0) if zero is None else zero
        pair = [self.constant(np.float32(scale)), self.constant(dtype(zero))]
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [x, *pair]), *pair])

    def stored(self, values, scale, axis=None, zero=0):
        """A quantized constant."""
        scale = np.asarray(scale, np.float32)
        zeros = np.full(scale.shape, zero, values.dtype)
        kwargs = {} if axis is None else {"axis": axis}
        return self.node(
            "DequantizeLinear", [self.constant(values), self.constant(scale), self.constant(zeros)], **kwargs
        )

    def weights(self, shape, axis=0):
        values = self.rng.integers(-127, 128, shape).astype(np.int8)
        fan = np.prod(shape) / shape[axis]
        return self.stored(values, self.rng.uniform(0.5, 1.5, shape[axis]) / 64 / fan**0.5, axis=axis)

    def output(self, name):
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        return name

    def model(self):
        graph = helper.make_graph(self.nodes, "net", self.inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def feed(self):
        return {
            value.name: self.rng.normal(0, 1.5, [d.dim_value for d in value.type.tensor_type.shape.dim]).astype(
                np.float32
            )
            for value in self.inputs
        }


def on_ort(model, feed, outputs=None):
    data = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(data, session_options(), providers=["CPUExecutionProvider"])
    return session.run(outputs, feed)


def _binding(b: Boundary) -> Binding:
    return Binding(tensor=b.value, port=b.tensor, shape=b.shape, perm=b.perm, quantized=b.quantized)


def on_pieces(cut: Partition, feed):
    """Run the pieces in order; return every value that crosses a border."""
    values = dict(feed)
    for piece in cut.pieces:
        if not isinstance(piece, ChipPiece):
            got = on_ort(piece.model, {name: values[name] for name in piece.inputs}, list(piece.outputs))
            values.update(zip(piece.outputs, got, strict=True))
            continue
        compiled = compile_graph(piece.graph, CHIP, Options())
        ports = {port.name: port for port in (*compiled.segment.inputs, *compiled.segment.outputs)}
        maps = {b.tensor: to_port(values[b.value], _binding(b), ports[b.tensor]) for b in piece.inputs}
        result = Simulator(compiled).run([maps])[0]
        for b in piece.outputs:
            values[b.value] = from_port(result[b.tensor], _binding(b), ports[b.tensor])
    return values


def check(net: Net, *, scale=0.03, exact=1.0, on_chip=True, feed=None):
    """Hold the chip against ONNX Runtime: at least the share `exact` of equal bytes, all within one step."""
    model = net.model()
    feed = feed or net.feed()
    cut = load(model)
    hosted = [f"{row.op_type}: {row.reason}" for row in cut.report if row.where == "host"]
    assert not (on_chip and hosted), hosted
    got = on_pieces(cut, feed)
    for info, want in zip(net.outputs, on_ort(model, feed), strict=True):
        mine = got[info.name]
        assert mine.shape == want.shape
        steps = np.rint((mine.astype(np.float64) - want) / scale)
        assert np.abs(steps).max(initial=0) <= 1, f"{np.abs(steps).max()} steps"
        assert np.mean(steps == 0) >= exact, f"only {np.mean(steps == 0):.4f} equal"
    return cut
