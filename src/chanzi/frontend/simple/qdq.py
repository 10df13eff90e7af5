"""A QDQ network, indexed: who makes and who reads each value, and the quantization of each.

Words used below. A *stored* value holds integers (the output of QuantizeLinear, or an integer initializer); a *real*
value is what DequantizeLinear makes of it. Operators stand between real values.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from chanzi.errors import ModelError
from chanzi.graph.ops import Quant


class Unsupported(Exception):  # noqa: N818 - control flow inside the frontend, never shown as an error
    """The chip does not run this node; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredConstant:
    """A quantized constant: integers with a scale for the whole or along `axis`."""

    values: npt.NDArray[Any]
    scale: npt.NDArray[np.float32]
    zero: npt.NDArray[np.int64]
    axis: int


class Network:
    """The model with its indices; nothing is changed."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto = proto
        graph = proto.graph
        self.nodes = list(graph.node)
        self.initializers = {t.name: t for t in graph.initializer}
        self.inputs = [i.name for i in graph.input]
        self.outputs = [o.name for o in graph.output]
        self.producer = {name: node for node in self.nodes for name in node.output if name}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                if name:
                    self.consumers.setdefault(name, []).append(node)
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self.types: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...] | None] = {}
        for value in (*graph.value_info, *graph.input, *graph.output):
            if value.type.HasField("tensor_type"):
                kind = value.type.tensor_type
                self.types[value.name] = kind.elem_type
                if kind.HasField("shape"):
                    dims = [d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim]
                    self.shapes[value.name] = tuple(dims) if all(d >= 0 for d in dims) else None
        for t in graph.initializer:
            self.shapes[t.name] = tuple(t.dims)
            self.types[t.name] = t.data_type
        self.opset = max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=13)

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return an initializer's values; raises Unsupported where `name` is none."""
        if name not in self._arrays:
            if name not in self.initializers:
                raise Unsupported(f"'{name}' is not a constant")
            self._arrays[name] = numpy_helper.to_array(self.initializers[name])
        return self._arrays[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value; raises Unsupported where it is unknown."""
        shape = self.shapes.get(name)
        if shape is None:
            raise Unsupported(f"the shape of '{name}' is not known")
        return shape

    def attributes(self, node: onnx.NodeProto) -> dict[str, Any]:
        """Return a node's attributes as Python values; strings decoded."""
        result = {}
        for a in node.attribute:
            value = onnx.helper.get_attribute_value(a)
            result[a.name] = value.decode() if isinstance(value, bytes) else value
        return result

    def quant(self, node: onnx.NodeProto) -> Quant:
        """Return the per-tensor quantization of a QuantizeLinear or DequantizeLinear node."""
        scale = self.array(node.input[1])
        if scale.size != 1:
            raise Unsupported("activations with a scale for each channel")
        if len(node.input) > 2 and node.input[2]:
            zero = self.array(node.input[2])
            dtype = zero.dtype.name
            value = int(zero.reshape(-1)[0])
        else:
            dtype, value = "uint8", 0
        if dtype not in ("int8", "uint8"):
            raise Unsupported(f"{dtype} activations")
        real = float(np.float32(scale.reshape(-1)[0]))
        if not np.isfinite(real) or real <= 0:
            raise ModelError(f"'{node.name or node.output[0]}' has a scale of {real}", hint="scales are positive")
        return Quant(scale=real, zero=value, dtype="int8" if dtype == "int8" else "uint8")

    def stored_constant(self, real: str) -> StoredConstant | None:
        """Return the quantized constant behind a real value, or None where it is no dequantized initializer."""
        node = self.producer.get(real)
        if node is None or node.op_type != "DequantizeLinear" or node.input[0] not in self.initializers:
            return None
        values = self.array(node.input[0])
        scale = self.array(node.input[1]).astype(np.float32)
        has_zero = len(node.input) > 2 and node.input[2]
        zero = self.array(node.input[2]).astype(np.int64) if has_zero else np.zeros(scale.shape, np.int64)
        axis = int(self.attributes(node).get("axis", 1)) % max(values.ndim, 1)
        if scale.size > 1 and scale.size != values.shape[axis]:
            raise Unsupported("block-wise scales")
        return StoredConstant(values=values, scale=scale.reshape(-1), zero=zero.reshape(-1), axis=axis)

    def constant(self, real: str) -> npt.NDArray[np.float32] | None:
        """Return the real values of a constant, quantized or not; None where `real` is computed."""
        if real in self.initializers:
            return self.array(real)
        stored = self.stored_constant(real)
        if stored is None:
            return None
        shape = [1] * stored.values.ndim
        if stored.scale.size > 1:
            shape[stored.axis] = -1
        zero = stored.zero.reshape(shape) if stored.scale.size > 1 else stored.zero.reshape(-1)[0]
        scale = stored.scale.reshape(shape) if stored.scale.size > 1 else stored.scale.reshape(-1)[0]
        return (stored.values.astype(np.int64) - zero).astype(np.float32) * scale

    def stored_name(self, real: str) -> str:
        """Return the stored value behind a real activation."""
        node = self.producer.get(real)
        if node is None or node.op_type != "DequantizeLinear":
            raise Unsupported(f"its input '{real}' is not quantized")
        return node.input[0]

    def only_quantize(self, real: str) -> onnx.NodeProto:
        """Return the single QuantizeLinear that reads a real value; raises Unsupported where there is none."""
        readers = self.consumers.get(real, [])
        if real in self.outputs:
            raise Unsupported("its result is an output of the network in float")
        quantizers = [n for n in readers if n.op_type == "QuantizeLinear"]
        if not quantizers:
            raise Unsupported("its result is not quantized")
        if len(readers) > 1:
            raise Unsupported("its result is also read in float")
        return quantizers[0]
