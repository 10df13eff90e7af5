"""The network while it is being rewritten: nodes, constants and what is known of every value.

Weights stay where protobuf read them until somebody asks for the numbers, so rewriting a large network copies nothing.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.errors import ModelError
from chanzi.graph.plan import Value

Array = npt.NDArray[Any]
FLOAT = 1
"""ONNX's number for float32."""


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """An ONNX operator; `attributes` hold Python values. `captured`: outer values its subgraphs read."""

    op_type: str
    inputs: list[str]
    outputs: list[str]
    name: str = ""
    domain: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    captured: tuple[str, ...] = ()
    proto: Any = None

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)

    def input(self, index: int) -> str:
        """Return the name of an input, empty where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    @property
    def reads(self) -> Iterator[str]:
        """Every value this node needs, those of its subgraphs included."""
        return (name for name in itertools.chain(self.inputs, self.captured) if name)


@dataclass(frozen=True, slots=True)
class Info:
    """Type (ONNX's number) and shape of a value; None where unknown, None for an unknown dimension."""

    dtype: int | None
    shape: tuple[int | None, ...] | None

    @property
    def fixed(self) -> tuple[int, ...] | None:
        """The shape where every dimension of it is known."""
        if self.shape is None or any(dim is None for dim in self.shape):
            return None
        return tuple(int(dim) for dim in self.shape if dim is not None)


UNKNOWN = Info(None, None)


@dataclass(slots=True, kw_only=True, eq=False)
class Network:
    """Nodes in an order in which every value is written before it is read."""

    name: str
    opsets: dict[str, int]
    nodes: list[Node]
    tensors: dict[str, Any]
    infos: dict[str, Info]
    inputs: list[str]
    outputs: list[str]
    declared_inputs: tuple[Value, ...] = ()
    declared_outputs: tuple[Value, ...] = ()
    ir_version: int = 9
    functions: tuple[Any, ...] = ()
    _numbers: dict[str, Array] = field(default_factory=dict)
    _fresh: int = 0

    @property
    def opset(self) -> int:
        """Version of ONNX's own operators."""
        return self.opsets.get("", 17)

    def is_constant(self, name: str) -> bool:
        """Tell whether the value never changes."""
        return name in self._numbers or name in self.tensors

    def constant(self, name: str) -> Array | None:
        """Return a constant's numbers (not to be written to), None where the value is none."""
        if name not in self._numbers:
            if name not in self.tensors:
                return None
            from onnx import numpy_helper

            try:
                self._numbers[name] = numpy_helper.to_array(self.tensors[name])
            except (ValueError, TypeError, KeyError) as error:
                raise ModelError(f"the constant '{name}' cannot be read: {error}", hint="the file is damaged") from None
        return self._numbers[name]

    def scalar(self, name: str) -> float | None:
        """Return the number of a constant of one element."""
        value = self.constant(name)
        return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None

    def add_constant(self, value: Array, name: str = "constant") -> str:
        """Make a new constant and return its name."""
        made = self.fresh(name)
        self.set_constant(made, value)
        return made

    def set_constant(self, name: str, value: Array) -> None:
        """Make a value constant."""
        from onnx import helper

        value = np.asarray(value)
        self._numbers[name] = value
        self.infos[name] = Info(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)

    def fresh(self, stem: str) -> str:
        """Return a value name that is not taken."""
        while True:
            self._fresh += 1
            name = f"{stem}.{self._fresh}"
            if name not in self.infos:
                return name

    def info(self, name: str) -> Info:
        """Return what is known of a value."""
        return self.infos.get(name, UNKNOWN)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return a value's shape where it is fully known."""
        known = self.infos.get(name)
        return known.fixed if known is not None else None

    def producers(self) -> dict[str, Node]:
        """Return the node that writes each value."""
        return {out: node for node in self.nodes for out in node.outputs if out}

    def consumers(self) -> dict[str, list[Node]]:
        """Return the nodes that read each value, once for each time."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.reads:
                readers.setdefault(name, []).append(node)
        return readers

    def rename_uses(self, old: str, new: str) -> None:
        """Let every node that reads `old` read `new`."""
        for node in self.nodes:
            if old in node.inputs:
                node.inputs[:] = [new if name == old else name for name in node.inputs]
                node.proto = None

    def constant_tensors(self, names: Iterable[str]) -> list[Any]:
        """Return those of `names` that are constants as TensorProtos."""
        from onnx import numpy_helper

        found = []
        for name in dict.fromkeys(names):
            if name in self.tensors:
                tensor = self.tensors[name]
                if tensor.name != name:
                    copy = type(tensor)()
                    copy.CopyFrom(tensor)
                    copy.name = name
                    tensor = copy
                found.append(tensor)
            elif name in self._numbers:
                found.append(numpy_helper.from_array(np.ascontiguousarray(self._numbers[name]), name))
        return found


def node_proto(node: Node) -> Any:
    """Return the NodeProto of a node; that which was read, where nothing changed."""
    from onnx import NodeProto, helper

    if node.proto is not None:
        return node.proto
    made = NodeProto(op_type=node.op_type, name=node.name, domain=node.domain)
    made.input.extend(node.inputs)
    made.output.extend(node.outputs)
    made.attribute.extend(helper.make_attribute(key, node.attributes[key]) for key in sorted(node.attributes))
    return made


def value_proto(net: Network, name: str, *, with_shape: bool = True) -> Any:
    """Return the ValueInfoProto of a value."""
    from onnx import helper

    info = net.info(name)
    shape = list(info.shape) if with_shape and info.shape is not None else None
    return helper.make_tensor_value_info(name, info.dtype or FLOAT, shape)


def model_of(
    net: Network,
    nodes: Iterable[Node] | None = None,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    *,
    name: str = "",
    infos: bool = False,
) -> Any:
    """Return a ModelProto of the network, or of some of its nodes between given values."""
    from onnx import ModelProto

    chosen = net.nodes if nodes is None else list(nodes)
    ends = net.outputs if outputs is None else list(outputs)
    model = ModelProto(ir_version=max(net.ir_version, 8), producer_name="chanzi")
    for domain, version in net.opsets.items():
        model.opset_import.add(domain=domain, version=version)
    model.functions.extend(net.functions)
    graph = model.graph
    graph.name = name or net.name or "network"
    graph.node.extend(node_proto(node) for node in chosen)
    graph.input.extend(value_proto(net, value) for value in (net.inputs if inputs is None else inputs))
    graph.output.extend(value_proto(net, value, with_shape=infos) for value in ends)
    read = itertools.chain((value for node in chosen for value in node.reads), ends)
    graph.initializer.extend(net.constant_tensors(read))
    if infos:
        written = {out for node in chosen for out in node.outputs if out} - set(ends)
        graph.value_info.extend(value_proto(net, value) for value in sorted(written) if net.info(value).dtype)
    return model
