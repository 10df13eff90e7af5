"""Sum of two or more maps becomes a chain of Add; Sum of one is nothing.

1. Sum(a, b) -> Add(a, b)
2. Sum(a, b, c, ...) -> Add(Add(a, b), c) ...
Refused: Sum of one, which stays.
"""

import onnx
from onnx import helper


def sum_to_add(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model without Sum nodes of two or more inputs."""
    if not any(n.op_type == "Sum" and len(n.input) > 1 for n in proto.graph.node):
        return proto
    nodes: list[onnx.NodeProto] = []
    for node in proto.graph.node:
        if node.op_type != "Sum" or len(node.input) < 2:
            nodes.append(node)
            continue
        name = node.name or node.output[0]
        left = node.input[0]
        for i, right in enumerate(node.input[1:]):
            last = i == len(node.input) - 2
            out = node.output[0] if last else f"{node.output[0]}#sum{i}"
            nodes.append(helper.make_node("Add", [left, right], [out], name=name if last else f"{name}#{i}"))
            left = out
    fresh = onnx.ModelProto()
    fresh.CopyFrom(proto)
    del fresh.graph.node[:]
    fresh.graph.node.extend(nodes)
    return fresh
