"""A product with constant weights and a bias is Gemm; between reshapes that cost nothing, where it has more axes."""

import math

import numpy as np

from chanzi.frontend.network import Info, Network, Node


def matmul_and_bias(net: Network) -> bool:
    """Write MatMul followed by the addition of a vector as Gemm."""
    consumers = net.consumers()
    gone: set[int] = set()
    made: dict[int, list[Node]] = {}
    for node in net.nodes:
        if node.op_type != "MatMul" or node.domain or node.outputs[0] in net.outputs:
            continue
        weight, shape = net.constant(node.inputs[1]), net.shape(node.inputs[0])
        readers = consumers.get(node.outputs[0], [])
        if weight is None or weight.ndim != 2 or shape is None or len(shape) < 2 or len(readers) != 1:
            continue
        add = readers[0]
        if add.op_type != "Add" or add.domain:
            continue
        other = add.inputs[1] if add.inputs[0] == node.outputs[0] else add.inputs[0]
        bias = net.constant(other)
        if bias is None or bias.size != weight.shape[1] or bias.shape[-1] != weight.shape[1]:
            continue
        gone.update((id(node), id(add)))
        made[id(add)] = _gemm(net, node, add, weight, bias, shape)
    nodes: list[Node] = []
    for node in net.nodes:
        nodes.extend(made.get(id(node), [] if id(node) in gone else [node]))
    net.nodes[:] = nodes
    return bool(made)


def _gemm(
    net: Network, node: Node, add: Node, weight: np.ndarray, bias: np.ndarray, shape: tuple[int, ...]
) -> list[Node]:
    dtype = net.info(node.inputs[0]).dtype
    vector = net.add_constant(np.ascontiguousarray(bias.reshape(-1)), f"{node.name}/bias")
    if len(shape) == 2:
        return [Node(op_type="Gemm", inputs=[*node.inputs, vector], outputs=[add.outputs[0]], name=node.name)]
    rows = math.prod(shape[:-1])
    flat, result = net.fresh(node.inputs[0]), net.fresh(add.outputs[0])
    net.infos[flat] = Info(dtype, (rows, shape[-1]))
    net.infos[result] = Info(dtype, (rows, weight.shape[1]))
    before = net.add_constant(np.asarray([rows, shape[-1]], np.int64), f"{node.name}/rows")
    after = net.add_constant(np.asarray([*shape[:-1], weight.shape[1]], np.int64), f"{node.name}/shape")
    return [
        Node(op_type="Reshape", inputs=[node.inputs[0], before], outputs=[flat], name=f"{node.name}/flatten"),
        Node(op_type="Gemm", inputs=[flat, node.inputs[1], vector], outputs=[result], name=node.name),
        Node(op_type="Reshape", inputs=[result, after], outputs=[add.outputs[0]], name=f"{node.name}/unflatten"),
    ]
