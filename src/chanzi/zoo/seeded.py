"""Real architectures without real weights: seeded numbers that keep activations in a trained network's range.

Speed and exactness do not need trained weights, but they do need activations that neither die nor explode through
fifty layers. So each weight is drawn (He), and the statistics of every normalisation are then measured, layer by
layer, on seeded images, as training would have left them; a network without normalisations has its weights scaled
to unit variance instead. The draw is the same everywhere; the measured statistics follow ONNX Runtime's arithmetic.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.errors import ModelError

FloatArray = npt.NDArray[np.float32]
WEIGHTED = ("Conv", "Gemm", "MatMul")
SETTLING_IMAGES = 8
"""A random network tells the places of one image apart far less than it tells two images apart."""


def seeded_image(shape: tuple[int, ...], seed: int = 0) -> FloatArray:
    """Return (n, channels, height, width) images with a photo's falling spectrum and like channels, variance near 1."""
    rng = np.random.default_rng(seed)
    n, channels, height, width = shape
    total = np.zeros(shape, np.float32)
    for cell, weight in ((64, 0.8), (16, 0.4), (4, 0.2), (1, 0.1)):
        rows, columns = -(-height // cell), -(-width // cell)
        grey = rng.standard_normal((n, 1, rows, columns)) + 0.3 * rng.standard_normal((n, channels, rows, columns))
        tiles = np.kron(grey.astype(np.float32), np.ones((1, 1, cell, cell), np.float32))
        total += np.float32(weight) * tiles[:, :, :height, :width]
    return total


def _draw(shape: tuple[int, ...], role: str, rng: np.random.Generator) -> FloatArray:
    """Draw one parameter by its role: a weight (fan-in from its shape), a bias, or part of a normalisation."""
    if role == "weight":
        fan_in = int(np.prod(shape[1:]))
        return (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)
    if role in ("gain", "variance"):
        return rng.uniform(0.8, 1.2, shape).astype(np.float32)
    return (rng.standard_normal(shape) * 0.1).astype(np.float32)


def _roles(graph: Any) -> dict[str, str]:
    roles: dict[str, str] = {}
    for node in graph.node:
        if node.op_type in WEIGHTED:
            roles.update(zip(node.input[1:], ("weight", "bias"), strict=False))
        elif node.op_type == "BatchNormalization":
            roles.update(zip(node.input[1:], ("gain", "bias", "mean", "variance"), strict=True))
    return roles


def _fill(graph: Any, seed: int) -> dict[str, npt.NDArray[Any]]:
    """Replace ConstantOfShape weights by drawn initializers; return all initializers by name."""
    from onnx import numpy_helper

    rng = np.random.default_rng(seed)
    values = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in graph.initializer}
    roles, kept, shapes = _roles(graph), [], set()
    for node in graph.node:
        if node.op_type != "ConstantOfShape" or node.output[0] not in roles:
            kept.append(node)
            continue
        shape = tuple(int(side) for side in values[node.input[0]])
        values[node.output[0]] = _draw(shape, roles[node.output[0]], rng)
        shapes.add(node.input[0])
    used = {name for node in kept for name in node.input}
    for name in shapes - used:
        del values[name]
    del graph.node[:]
    graph.node.extend(kept)
    return values


Arrays = dict[str, npt.NDArray[Any]]


def _run(node: Any, frames: Sequence[Arrays], opset: Any) -> list[list[npt.NDArray[Any]]]:
    """Run one node by itself in ONNX Runtime, once per frame."""
    import onnxruntime
    from onnx import helper

    names = list(dict.fromkeys(name for name in node.input if name))
    first = frames[0]
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(first[name].dtype), first[name].shape)
        for name in names
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    model = helper.make_model(helper.make_graph([node], "one", inputs, outputs), opset_imports=opset, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [session.run(None, {name: frame[name] for name in names}) for frame in frames]


def _settle(graph: Any, values: Arrays, feeds: Sequence[Arrays], opset: Any) -> None:
    """Walk the nodes in order, setting normalisation statistics (or unit variance) from what arrives."""
    normalised = {node.input[0] for node in graph.node if node.op_type == "BatchNormalization"}
    frames: list[Arrays] = [{**values, **feed} for feed in feeds]

    def put(name: str, value: npt.NDArray[Any]) -> None:
        values[name] = value
        for frame in frames:
            frame[name] = value

    for node in graph.node:
        if node.op_type == "BatchNormalization":
            x = np.concatenate([frame[node.input[0]] for frame in frames])
            put(node.input[3], x.mean(axis=(0, 2, 3)).astype(np.float32))
            put(node.input[4], (x.var(axis=(0, 2, 3)) + 1e-3).astype(np.float32))
        elif node.op_type in WEIGHTED and node.output[0] not in normalised and node.input[1] in values:
            spread = float(np.std([one[0] for one in _run(node, frames, opset)]))
            put(node.input[1], (values[node.input[1]] / max(spread, 1e-6)).astype(np.float32))
        for frame, results in zip(frames, _run(node, frames, opset), strict=True):
            frame.update(zip([name for name in node.output if name], results, strict=True))


def stride_first(graph: Any) -> None:
    """Move each stride of 2 from a 3x3 convolution to the 1x1 before it: ResNet v1.5 becomes v1 (He et al. 2016)."""
    made_by = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        kernel, stride = (
            next((a.ints for a in node.attribute if a.name == key), None) for key in ("kernel_shape", "strides")
        )
        if node.op_type != "Conv" or list(kernel or ()) != [3, 3] or list(stride or ()) != [2, 2]:
            continue
        before = made_by[node.input[0]]
        while before.op_type != "Conv":
            before = made_by[before.input[0]]
        next(a for a in node.attribute if a.name == "strides").ints[:] = [1, 1]
        next(a for a in before.attribute if a.name == "strides").ints[:] = [2, 2]


def fill(model_bytes: bytes, *, seed: int = 0, cut_softmax: bool = True, resnet_v1: bool = False) -> bytes:
    """Give a network of ConstantOfShape weights seeded ones.

    Parameters
    ----------
    model_bytes : bytes
        A serialized ONNX model with fixed shapes and one NCHW image input.
    seed : int
        Of the draw.
    cut_softmax : bool
        End before a last Softmax, whose output over untrained logits would compare well whatever came before it.
    resnet_v1 : bool
        Apply `stride_first`.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load_model_from_string(model_bytes)
    graph = model.graph
    if resnet_v1:
        stride_first(graph)
    given = {tensor.name for tensor in graph.initializer}
    inputs = [item for item in graph.input if item.name not in given]
    values = _fill(graph, seed)
    if len(inputs) != 1:
        raise ModelError(f"{graph.name}: one image input expected, found {len(inputs)}")
    shape = tuple(dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim)
    if cut_softmax and graph.node[-1].op_type == "Softmax":
        last = graph.node.pop()
        graph.output[0].name = last.input[0]
    opset = list(model.opset_import)
    feeds = [{inputs[0].name: seeded_image(shape, seed + index)} for index in range(SETTLING_IMAGES)]
    _settle(graph, values, feeds, opset)
    used = {name for node in graph.node for name in node.input}
    del graph.initializer[:]
    del graph.input[:]
    graph.input.extend(inputs)
    graph.initializer.extend(numpy_helper.from_array(values[name], name) for name in values if name in used)
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()
