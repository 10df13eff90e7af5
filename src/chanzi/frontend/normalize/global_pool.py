"""A mean over height and width, however it is written, is GlobalAveragePool."""

import numpy as np

from chanzi.frontend.network import Info, Network, Node


def pool_over_maps(net: Network) -> bool:
    """Write ReduceMean over the last two axes of a map, and AveragePool with a window of the whole map, that way."""
    nodes: list[Node] = []
    changed = False
    for node in net.nodes:
        shape = net.shape(node.input(0))
        if node.domain or shape is None or len(shape) != 4 or not (_mean(net, node) or _whole(node, shape)):
            nodes.append(node)
            continue
        changed = True
        out, after = node.outputs[0], net.shape(node.outputs[0])
        pooled = (*shape[:2], 1, 1)
        if after == pooled:
            nodes.append(Node(op_type="GlobalAveragePool", inputs=[node.inputs[0]], outputs=[out], name=node.name))
            continue
        middle = net.fresh(out)
        net.infos[middle] = Info(net.info(out).dtype, pooled)
        nodes.append(Node(op_type="GlobalAveragePool", inputs=[node.inputs[0]], outputs=[middle], name=node.name))
        target = net.add_constant(np.asarray(after or pooled[:2], np.int64), f"{node.name}/shape")
        nodes.append(Node(op_type="Reshape", inputs=[middle, target], outputs=[out], name=f"{node.name}/reshape"))
    net.nodes[:] = nodes
    return changed


def _mean(net: Network, node: Node) -> bool:
    if node.op_type != "ReduceMean" or net.shape(node.outputs[0]) is None:
        return False
    axes = node.get("axes")
    if axes is None and node.input(1):
        found = net.constant(node.input(1))
        axes = None if found is None else [int(axis) for axis in found]
    return axes is not None and sorted(axis % 4 for axis in axes) == [2, 3]


def _whole(node: Node, shape: tuple[int, ...]) -> bool:
    return (
        node.op_type == "AveragePool"
        and list(node.get("kernel_shape", [])) == list(shape[2:])
        and not any(node.get("pads", [0]))
        and node.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        and not node.get("ceil_mode", 0)
    )
