"""QuantizeLinear and DequantizeLinear: their parameters, and constants that were quantized."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.errors import ModelError
from chanzi.frontend.layout import Refused
from chanzi.frontend.network import Network, Node
from chanzi.graph.ops import Quant

Array = npt.NDArray[Any]
LARGEST_SCALE = 1e18
_TINY = 1.1754944e-38
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_DOMAINS = ("", "com.microsoft")


def is_quantize(node: Node) -> bool:
    """Tell whether the node quantizes."""
    return node.op_type == QUANTIZE and node.domain in _DOMAINS


def is_dequantize(node: Node) -> bool:
    """Tell whether the node dequantizes."""
    return node.op_type == DEQUANTIZE and node.domain in _DOMAINS


def is_quantized(net: Network) -> bool:
    """Tell whether anything in the network is quantized already."""
    return any(is_quantize(node) or is_dequantize(node) or "QLinear" in node.op_type for node in net.nodes)


def check_scales(net: Network) -> None:
    """Refuse scales that no quantizer writes: what they mean differs from kernel to kernel of ONNX Runtime.

    Raises
    ------
    ModelError
        A constant scale is negative, infinite, no number, or so large that products overflow.
    """
    for node in net.nodes:
        if is_quantize(node) or is_dequantize(node):
            scale = net.constant(node.input(1))
            if scale is not None and scale.dtype.kind == "f":
                wrong = scale[~((scale >= 0) & (scale <= LARGEST_SCALE))]
                if wrong.size:
                    what = f"the {node.op_type} '{node.name}' has the scale {float(wrong.reshape(-1)[0]):g}"
                    raise ModelError(what, hint="the file is damaged; quantize the network again")


def quant_of(net: Network, node: Node) -> Quant:
    """Return the scale, zero point and type of a QuantizeLinear or DequantizeLinear of activations."""
    scale = net.constant(node.input(1))
    if scale is None:
        raise Refused("its scale is computed while the network runs")
    if scale.size != 1:
        raise Refused("activations with a scale per channel")
    value = float(np.float32(scale.reshape(-1)[0]))
    if not np.isfinite(value) or value < _TINY:
        raise Refused(f"its scale is {value:g}")
    zero = np.zeros(1, np.uint8)
    if node.input(2):
        found = net.constant(node.input(2))
        if found is None or found.size != 1:
            raise Refused("its zero point is no constant number")
        zero = found.reshape(-1)
    elif is_quantize(node) and node.get("output_dtype"):
        if node.get("output_dtype") not in (2, 3):
            raise Refused("activations of other than 8 bits")
        zero = np.zeros(1, np.int8 if node.get("output_dtype") == 3 else np.uint8)
    elif is_dequantize(node):
        dtype = net.info(node.input(0)).dtype
        if dtype not in (2, 3):
            raise Refused("activations of other than 8 bits")
        zero = np.zeros(1, np.int8 if dtype == 3 else np.uint8)
    if zero.dtype == np.int8:
        return Quant(scale=value, zero=int(zero[0]), dtype="int8")
    if zero.dtype == np.uint8:
        return Quant(scale=value, zero=int(zero[0]), dtype="uint8")
    raise Refused(f"activations of {zero.dtype}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """A quantized constant: the integers, and scale and zero point of each slice along `axis` (None: of all)."""

    values: Array
    scale: npt.NDArray[np.float32]
    zero: npt.NDArray[np.int32]
    axis: int | None

    def per(self, axis: int) -> npt.NDArray[np.float32]:
        """Return a scale for each index of `axis`."""
        count = self.values.shape[axis]
        if self.axis is not None and self.axis != axis:
            raise Refused("weights with scales along another axis than that of the outputs")
        return np.ascontiguousarray(np.broadcast_to(self.scale, (count,)), np.float32)

    @property
    def one_zero(self) -> int:
        """The zero point, where there is one for all."""
        if self.zero.size and np.any(self.zero != self.zero[0]):
            raise Refused("weights with several zero points")
        return int(self.zero[0]) if self.zero.size else 0

    def floats(self) -> npt.NDArray[np.float32]:
        """Return the numbers that are meant."""
        shape = [1] * self.values.ndim
        if self.axis is not None:
            shape[self.axis] = -1
        scale, zero = self.scale.reshape(shape), self.zero.reshape(shape)
        return (self.values.astype(np.int32) - zero).astype(np.float32) * scale


def stored_constant(net: Network, dequantize: Node, quantize: Node | None = None) -> Stored | None:
    """Return the constant that a DequantizeLinear gives, None where it is none.

    `quantize`: the node that makes its integers, where the file keeps the weights in float.
    """
    scale, zero = net.constant(dequantize.input(1)), net.constant(dequantize.input(2))
    if scale is None or (dequantize.input(2) and zero is None) or dequantize.get("block_size"):
        return None
    if not np.all(np.isfinite(scale) & (scale >= _TINY)):
        return None
    axis = int(dequantize.get("axis", 1))
    if quantize is None:
        values = net.constant(dequantize.input(0))
    else:
        floats = net.constant(quantize.input(0))
        if floats is None or zero is None or floats.dtype != np.float32:
            return None
        values = _quantized(floats, scale, zero, axis)
    if values is None:
        return None
    many = scale.size > 1
    if many and not -values.ndim <= axis < values.ndim:
        return None
    zeros = np.zeros(scale.size, np.int32) if zero is None else zero.reshape(-1).astype(np.int32)
    return Stored(
        values=values,
        scale=scale.reshape(-1).astype(np.float32),
        zero=np.broadcast_to(zeros, scale.size),
        axis=axis % values.ndim if many else None,
    )


def _quantized(floats: Array, scale: Array, zero: Array, axis: int) -> Array:
    shape = [1] * floats.ndim
    if scale.size > 1:
        shape[axis] = -1
    info = np.iinfo(zero.dtype)
    with np.errstate(all="ignore"):
        scaled = np.rint(floats / scale.reshape(shape)) + zero.reshape(shape).astype(np.float32)
    return np.clip(scaled, info.min, info.max).astype(zero.dtype)
