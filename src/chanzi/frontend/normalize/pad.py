"""Padding with zeros before a convolution or an average that counts it becomes the window's own."""

import numpy as np

from chanzi.frontend.network import Network, Node


def fold_pads(net: Network) -> bool:
    """Fold every Pad whose one reader is a convolution, or an AveragePool that counts padding."""
    consumers = net.consumers()
    dropped: set[int] = set()
    for node in net.nodes:
        pads = _zeros(net, node)
        readers = consumers.get(node.outputs[0], [])
        if pads is None or len(readers) != 1 or node.outputs[0] in net.outputs:
            continue
        reader = readers[0]
        takes = reader.op_type == "Conv" or (reader.op_type == "AveragePool" and reader.get("count_include_pad", 0))
        own = list(reader.get("pads", [0] * (len(pads) - 4)))
        plain = reader.get("auto_pad", "NOTSET") in ("NOTSET", "VALID") and not reader.get("ceil_mode", 0)
        n = len(pads) // 2
        if (
            not takes
            or not plain
            or reader.inputs[0] != node.outputs[0]
            or pads[0]
            or pads[1]
            or pads[n]
            or pads[n + 1]
        ):
            continue
        if reader.op_type == "AveragePool" and any(own):
            continue
        more = [*pads[2:n], *pads[n + 2 :]]
        reader.attributes["pads"] = [a + b for a, b in zip(own, more, strict=True)]
        reader.attributes.pop("auto_pad", None)
        reader.inputs[0] = node.inputs[0]
        reader.proto = None
        dropped.add(id(node))
    net.nodes[:] = [node for node in net.nodes if id(node) not in dropped]
    return bool(dropped)


def _zeros(net: Network, node: Node) -> list[int] | None:
    if node.op_type != "Pad" or node.domain or node.get("mode", "constant") != "constant" or node.input(3):
        return None
    value = net.constant(node.input(2)) if node.input(2) else np.zeros(1)
    pads = net.constant(node.input(1))
    if value is None or pads is None or np.any(value) or np.any(pads < 0) or len(pads) < 6:
        return None
    return [int(pad) for pad in pads]
