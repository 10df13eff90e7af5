"""TensorFlow frozen graphs without TensorFlow: a reader of the protobuf wire format, and a converter to ONNX.

The reader knows only what a GraphDef needs (field numbers as in TensorFlow's ``graph.proto``, ``node_def.proto``,
``attr_value.proto`` and ``tensor.proto``); the converter knows the operators of a convolutional feature extractor.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.errors import ModelError

DTYPES = {1: np.dtype("<f4"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One NodeDef; `attrs` holds the undecoded AttrValue of each attribute."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, bytes]


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise IndexError("varint too long")


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value) of one message; fixed-width values come as their bytes."""
    view, at = memoryview(data), 0
    while at < len(view):
        key, at = _varint(view, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(view, at)
            yield key >> 3, value
            continue
        if wire == 2:
            size, at = _varint(view, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise IndexError(f"wire type {wire}")
        if at + size > len(view):
            raise IndexError("truncated")
        yield key >> 3, view[at : at + size]
        at += size


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise IndexError("a number where a message belongs")
    return value


def _node(data: memoryview) -> Node:
    name = op = ""
    inputs: list[str] = []
    attrs: dict[str, bytes] = {}
    for number, value in _fields(data):
        if number == 1:
            name = str(_bytes(value), "utf-8")
        elif number == 2:
            op = str(_bytes(value), "utf-8")
        elif number == 3:
            inputs.append(str(_bytes(value), "utf-8").removesuffix(":0"))
        elif number == 5:
            entry = dict(_fields(_bytes(value)))
            attrs[str(_bytes(entry[1]), "utf-8")] = bytes(_bytes(entry.get(2, memoryview(b""))))
    return Node(name=name, op=op, inputs=tuple(inputs), attrs=attrs)


def read_graph(data: bytes) -> dict[str, Node]:
    """Read a serialized GraphDef into its nodes by name.

    Raises
    ------
    ModelError
        Where `data` is no GraphDef.
    """
    try:
        nodes = [_node(_bytes(value)) for number, value in _fields(data) if number == 1]
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise ModelError(f"not a TensorFlow frozen graph: {error}", hint="the file may be truncated") from error
    if not nodes:
        raise ModelError("not a TensorFlow frozen graph: it has no nodes")
    return {node.name: node for node in nodes}


def constant(node: Node) -> npt.NDArray[Any]:
    """Decode the tensor of a Const node: raw content, or one value for all elements."""
    message = next(_bytes(value) for number, value in _fields(node.attrs["value"]) if number == 8)
    dtype, shape, content, single = 1, [], b"", b""
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            dtype = value
        elif number == 2:
            dims = [dict(_fields(_bytes(dim))) for key, dim in _fields(_bytes(value)) if key == 2]
            shape = [int(dim.get(1, 0)) for dim in dims if not isinstance(dim.get(1, 0), memoryview)]
        elif number == 4:
            content = bytes(_bytes(value))
        elif number == 5:
            single += bytes(_bytes(value))
        elif number == 7 and isinstance(value, int):
            single += struct.pack("<i", value)
    if dtype not in DTYPES:
        raise ModelError(f"constant {node.name}: TensorFlow type {dtype} is not supported")
    flat = np.frombuffer(content or single, DTYPES[dtype])
    return np.full(shape, flat[0]) if flat.size == 1 else flat.reshape(shape)


def _strides(node: Node) -> list[int]:
    """Decode an integer-list attribute, packed or not, and return its two middle values (NHWC)."""
    values: list[int] = []
    for number, value in _fields(node.attrs["strides"]):
        for key, item in _fields(_bytes(value)) if number == 1 else ():
            if key == 3 and isinstance(item, int):
                values.append(item)
            elif key == 3:
                values.extend(_bytes(item))
    return values[1:3]


def _text(node: Node, name: str) -> str:
    return next((str(_bytes(v), "utf-8") for k, v in _fields(node.attrs.get(name, b"")) if k == 2), "")


class Converter:
    """Convert the part of a frozen graph between `inputs` and `outputs` to ONNX nodes, NHWC to NCHW.

    Parameters
    ----------
    nodes : dict of str to Node
        The whole graph.
    start : str
        The tensor that becomes the ONNX input.
    name : str
        Its name there.
    size : (int, int)
        Its height and width.
    """

    def __init__(self, nodes: Mapping[str, Node], start: str, name: str, size: tuple[int, int]) -> None:
        self.nodes = nodes
        self.done: dict[str, str] = {start: name}
        self.size: dict[str, tuple[int, int]] = {name: size}
        self.onnx_nodes: list[Any] = []
        self.initializers: list[Any] = []

    def _weight(self, name: str) -> npt.NDArray[Any]:
        node = self.nodes[name]
        while node.op == "Identity":
            node = self.nodes[node.inputs[0]]
        if node.op != "Const":
            raise ModelError(f"{name}: a weight that is computed ({node.op}) is not supported")
        return constant(node)

    def _keep(self, name: str, array: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype=np.float32), name))
        return name

    def _emit(self, op: str, node: Node, operands: Sequence[str], size: tuple[int, int], **attributes: object) -> str:
        from onnx import helper

        self.onnx_nodes.append(helper.make_node(op, list(operands), [node.name], name=node.name, **attributes))
        self.size[node.name] = size
        return node.name

    def _conv(self, node: Node, x: str) -> str:
        weight = self._weight(node.inputs[1])
        kh, kw, channels, out = weight.shape
        groups = 1
        if node.op == "DepthwiseConv2dNative":
            groups, weight = channels, weight.reshape(kh, kw, 1, channels * out)
        strides = _strides(node)
        pads, size = [0, 0, 0, 0], [0, 0]
        for axis, (length, kernel, stride) in enumerate(zip(self.size[x], (kh, kw), strides, strict=True)):
            if _text(node, "padding") == "SAME":  # the odd pixel goes below and to the right
                size[axis] = -(-length // stride)
                total = max((size[axis] - 1) * stride + kernel - length, 0)
                pads[axis], pads[axis + 2] = total // 2, total - total // 2
            else:
                size[axis] = (length - kernel) // stride + 1
        kept = self._keep(f"{node.name}/weight", weight.transpose(3, 2, 0, 1))
        attributes = {"strides": strides, "pads": pads, "group": groups, "kernel_shape": [kh, kw]}
        return self._emit("Conv", node, [x, kept], (size[0], size[1]), **attributes)

    def _norm(self, node: Node, x: str) -> str:
        parts = ("gamma", "beta", "mean", "variance")
        kept = [
            self._keep(f"{node.name}/{part}", self._weight(name))
            for part, name in zip(parts, node.inputs[1:], strict=True)
        ]
        epsilon = next((struct.unpack("<f", _bytes(v))[0] for k, v in _fields(node.attrs["epsilon"]) if k == 4), 1e-4)
        return self._emit("BatchNormalization", node, [x, *kept], self.size[x], epsilon=epsilon)

    def _bias(self, node: Node, x: str) -> str:
        bias = self._keep(f"{node.name}/bias", self._weight(node.inputs[1]).reshape(1, -1, 1, 1))
        return self._emit("Add", node, [x, bias], self.size[x])

    def convert(self, name: str) -> str:
        """Emit everything that `name` needs; return its ONNX tensor."""
        waiting = [name]
        while waiting:  # depth first without recursion: the graphs are deeper than Python's stack is sure to be
            node = self.nodes[waiting[-1]]
            needs = node.inputs if node.op == "Add" else node.inputs[:1]
            missing = [need for need in needs if need not in self.done]
            if node.name not in self.done and missing:
                waiting.extend(missing)
                continue
            waiting.pop()
            if node.name not in self.done:
                self.done[node.name] = self._one(node, [self.done[need] for need in needs])
        return self.done[name]

    def _one(self, node: Node, xs: list[str]) -> str:
        match node.op:
            case "Identity":
                return xs[0]
            case "Conv2D" | "DepthwiseConv2dNative":
                return self._conv(node, xs[0])
            case "FusedBatchNorm":
                return self._norm(node, xs[0])
            case "BiasAdd":
                return self._bias(node, xs[0])
            case "Relu6":
                if not any(tensor.name == "six" for tensor in self.initializers):
                    self._keep("zero", np.array(0))
                    self._keep("six", np.array(6))
                return self._emit("Clip", node, [xs[0], "zero", "six"], self.size[xs[0]])
            case "Add":
                return self._emit("Add", node, xs, self.size[xs[0]])
        raise ModelError(f"{node.name}: the TensorFlow operator {node.op} is not supported")

    def rename(self, tensor: str, name: str) -> None:
        """Give a converted tensor the name `name`."""
        for node in self.onnx_nodes:
            for names in (node.input, node.output):
                names[:] = [name if old == tensor else old for old in names]
        self.size[name] = self.size[tensor]
