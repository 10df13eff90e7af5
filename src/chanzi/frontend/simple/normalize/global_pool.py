"""ReduceMean over height and width, as some exporters write it, becomes GlobalAveragePool.

1. ReduceMean(axes = 2, 3; keepdims = 1) -> GlobalAveragePool
2. ReduceMean(axes = 2, 3; keepdims = 0) -> GlobalAveragePool, Flatten
Refused: other axes, inputs that are not of rank 4, axes that are computed.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper


def mean_to_global_pool(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with every mean over height and width as a global pool."""
    ranks = {
        v.name: len(v.type.tensor_type.shape.dim)
        for v in (*proto.graph.value_info, *proto.graph.input)
        if v.type.HasField("tensor_type") and v.type.tensor_type.HasField("shape")
    }
    constants = {t.name: t for t in proto.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in proto.graph.node:
        axes = _axes(node, constants)
        if node.op_type != "ReduceMean" or axes is None or ranks.get(node.input[0]) != 4:
            nodes.append(node)
            continue
        if sorted(a % 4 for a in axes) != [2, 3]:
            nodes.append(node)
            continue
        keep = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
        out = node.output[0]
        pooled = out if keep else f"{out}#pooled"
        name = node.name or out
        nodes.append(helper.make_node("GlobalAveragePool", [node.input[0]], [pooled], name=name))
        if not keep:
            nodes.append(helper.make_node("Flatten", [pooled], [out], name=f"{name}#flatten"))
    if len(nodes) != len(proto.graph.node) or any(a is not b for a, b in zip(nodes, proto.graph.node, strict=False)):
        fresh = onnx.ModelProto()
        fresh.CopyFrom(proto)
        del fresh.graph.node[:]
        fresh.graph.node.extend(nodes)
        return fresh
    return proto


def _axes(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> list[int] | None:
    for a in node.attribute:
        if a.name == "axes":
            return list(a.ints)
    if node.op_type == "ReduceMean" and len(node.input) > 1 and node.input[1] in constants:
        return [int(v) for v in np.asarray(numpy_helper.to_array(constants[node.input[1]])).reshape(-1)]
    return None
