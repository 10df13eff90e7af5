"""Multiply-accumulates and parameters of a float ONNX network of fixed shapes, from its nodes alone."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WEIGHTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Of one frame."""

    macs: int
    parameters: int


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight and of what every weighted node reads and writes, by running the network once.

    Run, not inferred: inference gives up at the first Resize whose size is computed.
    """
    import numpy as np
    import onnx
    import onnxruntime

    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            shapes[node.output[0]] = tuple(node.attribute[0].t.dims)
    feeds = {
        item.name: np.zeros([dim.dim_value for dim in item.type.tensor_type.shape.dim], np.float32)
        for item in graph.input
        if item.name not in shapes
    }
    wanted = {name for node in graph.node if node.op_type in WEIGHTS for name in (*node.input, *node.output)}
    wanted -= set(shapes) | set(feeds) | {item.name for item in graph.output} | {""}
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in sorted(wanted))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    for name, value in (*feeds.items(), *zip(names, session.run(None, feeds), strict=True)):
        shapes[name] = value.shape
    return shapes


def node_macs(node: Any, shapes: dict[str, tuple[int, ...]]) -> int:
    """Return the multiply-accumulates of one node; 0 for operators that are not sums of products."""
    if node.op_type not in WEIGHTS:
        return 0
    x, weight, y = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == "Conv":
        return math.prod(y) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(x) * math.prod(weight[1:])
    inner = x[0] if any(a.name == "transA" and a.i for a in node.attribute) else x[-1]
    return math.prod(y) * inner


def count(path: Path) -> Count:
    """Count the network in `path`; padding counts as any pixel, as is usual."""
    import onnx

    model = onnx.load(path)
    graph, shapes = model.graph, _shapes(model)
    floats = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    floats |= {
        node.output[0]
        for node in graph.node
        if node.op_type == "Constant" and node.attribute[0].t.data_type == onnx.TensorProto.FLOAT
    }
    return Count(
        macs=sum(node_macs(node, shapes) for node in graph.node),
        parameters=sum(math.prod(shapes[name]) for name in floats),
    )
