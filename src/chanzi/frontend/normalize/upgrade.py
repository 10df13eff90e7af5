"""Operators as opset 17 writes them, from 7 on: attributes that became inputs, Upsample, softmax over one axis."""

from collections.abc import Callable

import numpy as np

from chanzi.errors import ModelError
from chanzi.frontend.network import Network, Node

TARGET = 17
GOOD_FROM = 13


def upgrade(net: Network) -> bool:
    """Bring networks older than opset 13 to 17; newer ones are read as they are."""
    if net.opset >= GOOD_FROM:
        return False
    nodes: list[Node] = []
    for node in net.nodes:
        step = _STEPS.get(node.op_type) if not node.domain else None
        nodes.extend(step(net, node) if step is not None else [node])
    net.nodes[:] = nodes
    net.opsets[""] = TARGET
    net.ir_version = max(net.ir_version, 8)
    return True


def _to_input(net: Network, node: Node, name: str, index: int, dtype: type = np.int64) -> None:
    if name not in node.attributes:
        return
    value = node.attributes.pop(name)
    while len(node.inputs) < index:
        node.inputs.append("")
    if len(node.inputs) == index:
        node.inputs.append("")
    node.inputs[index] = net.add_constant(np.asarray(value, dtype), f"{node.name}/{name}")
    node.proto = None


def _clip(net: Network, node: Node) -> list[Node]:
    _to_input(net, node, "min", 1, np.float32)
    _to_input(net, node, "max", 2, np.float32)
    return [node]


def _pad(net: Network, node: Node) -> list[Node]:
    value = node.attributes.pop("value", 0.0)
    if "pads" in node.attributes:
        _to_input(net, node, "pads", 1)
        node.inputs.append(net.add_constant(np.asarray(value, np.float32), f"{node.name}/value"))
    return [node]


def _slice(net: Network, node: Node) -> list[Node]:
    for index, name in enumerate(("starts", "ends", "axes"), start=1):
        _to_input(net, node, name, index)
    return [node]


def _axes(net: Network, node: Node) -> list[Node]:
    _to_input(net, node, "axes", 1)
    return [node]


def _split(net: Network, node: Node) -> list[Node]:
    _to_input(net, node, "split", 1)
    return [node]


def _top_k(net: Network, node: Node) -> list[Node]:
    if "k" in node.attributes:
        node.attributes["k"] = [node.attributes["k"]]
    _to_input(net, node, "k", 1)
    return [node]


def _dropout(_: Network, node: Node) -> list[Node]:
    for name in ("ratio", "is_test"):
        if node.attributes.pop(name, None) is not None:
            node.proto = None
    return [node]


def _batch_norm(_: Network, node: Node) -> list[Node]:
    if node.attributes.pop("spatial", 1) != 1:
        raise ModelError(f"'{node.name}' normalises every pixel by itself", hint="export it with a newer opset")
    node.proto = None
    return [node]


def _upsample(net: Network, node: Node) -> list[Node]:
    scales = node.attributes.pop("scales", None)
    given = node.inputs[1] if len(node.inputs) > 1 else net.add_constant(np.asarray(scales, np.float32), "scales")
    mode = node.get("mode", "nearest")
    attributes = {
        "mode": "linear" if mode in ("linear", "bilinear") else mode,
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    return [_renamed(node, "Resize", [node.inputs[0], "", given], attributes)]


def _resize(net: Network, node: Node) -> list[Node]:
    return _upsample(net, node) if net.opset < 11 else [node]


def _renamed(node: Node, op_type: str, inputs: list[str], attributes: dict[str, object]) -> Node:
    return Node(op_type=op_type, inputs=inputs, outputs=node.outputs, name=node.name, attributes=attributes)


def _softmax(net: Network, node: Node) -> list[Node]:
    """Before opset 13 softmax went over all axes from `axis` on."""
    shape = net.shape(node.inputs[0])
    axis = node.get("axis", 1)
    if shape is None:
        return [node]
    axis %= max(len(shape), 1)
    wide = [i for i in range(axis, len(shape)) if shape[i] != 1]
    if len(wide) <= 1:
        target = wide[0] if wide else len(shape) - 1
        return [_renamed(node, node.op_type, node.inputs, {"axis": target})]
    middle, back = net.fresh(node.inputs[0]), net.fresh(node.outputs[0])
    rows = int(np.prod(shape[:axis], dtype=np.int64))
    flat = net.add_constant(np.asarray([rows, -1], np.int64), f"{node.name}/flat")
    whole = net.add_constant(np.asarray(shape, np.int64), f"{node.name}/shape")
    return [
        Node(op_type="Reshape", inputs=[node.inputs[0], flat], outputs=[middle], name=f"{node.name}/flatten"),
        Node(op_type=node.op_type, inputs=[middle], outputs=[back], name=node.name, attributes={"axis": 1}),
        Node(op_type="Reshape", inputs=[back, whole], outputs=node.outputs, name=f"{node.name}/unflatten"),
    ]


_STEPS: dict[str, Callable[[Network, Node], list[Node]]] = {
    "Clip": _clip,
    "Pad": _pad,
    "Slice": _slice,
    "Squeeze": _axes,
    "Unsqueeze": _axes,
    "ReduceSum": _axes,
    "Split": _split,
    "TopK": _top_k,
    "Dropout": _dropout,
    "BatchNormalization": _batch_norm,
    "Upsample": _upsample,
    "Resize": _resize,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Hardmax": _softmax,
}
