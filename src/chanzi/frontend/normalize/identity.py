"""Nodes that hand their input on: Identity, Dropout, Cast to the same type, Concat of one."""

import math
from collections.abc import Container

from chanzi.frontend.network import Network, Node


def _passes(net: Network, node: Node, read: Container[str]) -> bool:
    if node.domain or any(out in read for out in node.outputs[1:]):
        return False
    match node.op_type:
        case "Identity":
            return True
        case "Dropout":
            return not node.input(2) or net.scalar(node.input(2)) == 0
        case "Cast":
            dtype = net.info(node.input(0)).dtype
            return dtype is not None and dtype == node.get("to")
        case "Concat" | "Sum" | "Max" | "Min" | "Mean":
            return len(node.inputs) == 1
        case "Pad":
            pads = net.constant(node.input(1)) if node.input(1) else None
            return pads is not None and not pads.any()
        case "Clip":
            low = net.scalar(node.input(1)) if node.input(1) else -math.inf
            high = net.scalar(node.input(2)) if node.input(2) else math.inf
            return low == -math.inf and high == math.inf
        case "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Expand" | "Transpose":
            before, after = net.shape(node.input(0)), net.shape(node.outputs[0])
            if before is None or before != after:
                return False
            perm = node.get("perm")
            return node.op_type != "Transpose" or (perm is not None and list(perm) == list(range(len(before))))
    return False


def drop_identities(net: Network) -> bool:
    """Let the readers of what such a node gives read its input; names of the network's outputs stay."""
    new: dict[str, str] = {}
    read = {name for node in net.nodes for name in node.reads} | set(net.outputs)
    captured = {name for node in net.nodes for name in node.captured}
    kept = []
    for node in net.nodes:
        if any(name in new for name in node.inputs):
            node.inputs[:] = [new.get(name, name) for name in node.inputs]
            node.proto = None
        if _passes(net, node, read) and node.outputs[0] not in net.outputs and node.outputs[0] not in captured:
            new[node.outputs[0]] = node.inputs[0]
        else:
            kept.append(node)
    net.nodes[:] = kept
    return bool(new)
