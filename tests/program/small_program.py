"""A small compiled network for the tests of this folder, and arbitrary ones that need not run."""

import numpy as np

from chanzi.chip import load_chip
from chanzi.compiler import compile_graph
from chanzi.graph.ops import Conv, Graph, Quant, Tensor
from chanzi.graph.plan import Placement
from chanzi.program.model import Binding, ChipStep, CompiledModel, HostStep, TensorInfo
from chanzi.program.program import Options

FLOAT = Quant(scale=0.05, zero=3, dtype="uint8")


def small_graph() -> Graph:
    """Return two convolutions: a stem of few channels and a 1x1."""
    rng = np.random.default_rng(0)

    def conv(name, x, out, kernel, pads):
        height, width, channels = x.shape
        y = Tensor(name=f"{name}_y", shape=(height, width, out), quant=Quant(scale=0.1, zero=0, dtype="int8"))
        weight = rng.integers(-127, 128, (out, kernel, kernel, channels)).astype(np.int8)
        scale = np.full(out, 0.01, np.float32)
        bias = rng.integers(-1000, 1000, out).astype(np.int32)
        return Conv(name=name, x=x, y=y, weight=weight, weight_scale=scale, bias=bias, pads=pads)

    x = Tensor(name="x", shape=(8, 8, 3), quant=FLOAT)
    first = conv("first", x, 24, 3, (1, 1, 1, 1))
    second = conv("second", first.y, 10, 1, (0, 0, 0, 0))
    return Graph(name="small", inputs=(x,), outputs=(second.y,), ops=(first, second))


def small_model() -> CompiledModel:
    """Return a network of one piece on the chip and one on the host."""
    chip = load_chip("chanzi-8")
    options = Options()
    segment = compile_graph(small_graph(), chip, options).segment
    into = Binding(tensor="image", port=segment.inputs[0].name, shape=(1, 3, 8, 8), perm=(0, 2, 3, 1))
    out = Binding(tensor="map", port=segment.outputs[0].name, shape=(1, 10, 8, 8), perm=(0, 2, 3, 1))
    host = HostStep(
        name="host0", model=b"not really a model", inputs=("map",), outputs=("y",), ops=("Erf",), reason="no kernel"
    )
    return CompiledModel(
        name="small",
        chip=chip,
        options=options,
        inputs=(TensorInfo(name="image", type="tensor(float)", shape=("N", 3, 8, 8), frame=(1, 3, 8, 8)),),
        outputs=(TensorInfo(name="y", type="tensor(float)", shape=("N", None)),),
        steps=(ChipStep(segment=segment, inputs=(into,), outputs=(out,)), host),
        source_sha256="00" * 32,
        quantization={"scheme": "u8s8"},
        placement=(Placement(node="n0", op_type="Erf", where="host", reason="no kernel"),),
        attachments={"judge.onnx": b"q" * 5000},
    )
