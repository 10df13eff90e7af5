"""How ONNX values of any rank are maps of (height, width, channels), and the context operators convert in."""

from dataclasses import dataclass, field, replace

import numpy as np
import onnx

from chanzi.frontend.simple.qdq import Network, Unsupported
from chanzi.graph.ops import Op, Quant, Tensor

NCHW = (0, 2, 3, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A stored ONNX value as a chip tensor.

    The value, of shape `shape`, transposed by `perm` and reshaped to ``tensor.shape``, is the map. `flat`: the value is
    the channel-major flattening of an NCHW map of more than one pixel (only a dense layer can read it). `split`: the
    value is rank 5, its channels split in two (a channel shuffle under way), `swapped` if the two changed places.
    """

    tensor: Tensor
    shape: tuple[int, ...]
    perm: tuple[int, ...]
    flat: bool = False
    split: tuple[int, int] | None = None
    swapped: bool = False

    def plain(self) -> "Mapped":
        """Return itself; raises Unsupported for values that are no plain map."""
        if self.flat or self.split:
            raise Unsupported("a flattened or split map can only be read by a dense layer or a reshape back")
        return self

    def nchw(self) -> "Mapped":
        """Return itself; raises Unsupported where the value is not laid out batch, channel, line, pixel."""
        self.plain()
        if self.perm != NCHW:
            raise Unsupported("its input is not NCHW")
        return self


def default_map(shape: tuple[int, ...]) -> tuple[tuple[int, int, int], tuple[int, ...]]:
    """Return (map shape, perm) of a value as it comes from outside: NCHW for rank 4, rows of features below."""
    if any(d <= 0 for d in shape):
        raise Unsupported("a dimension of its input is zero or unknown")
    if len(shape) == 4:
        if shape[0] != 1:
            raise Unsupported(f"a batch of {shape[0]}")
        return (shape[2], shape[3], shape[1]), NCHW
    if len(shape) == 3:
        return (shape[0], shape[1], shape[2]), (0, 1, 2)
    if len(shape) == 2:
        return (1, shape[0], shape[1]), (0, 1)
    if len(shape) == 1:
        return (1, 1, shape[0]), (0,)
    if not shape:
        return (1, 1, 1), ()
    raise Unsupported(f"rank {len(shape)}")


def map_axes(mapped: Mapped) -> dict[int, int]:
    """Return ONNX axis -> map axis (0 height, 1 width, 2 channels); leading batch axes of size 1 are left out."""
    rank = len(mapped.shape)
    order = list(mapped.perm)
    tail = order[max(rank - 3, 0) :]
    return {axis: i + 3 - len(tail) for i, axis in enumerate(tail)}


@dataclass(slots=True)
class Context:
    """What converters read and write: known values in, operators and new values out."""

    network: Network
    values: dict[str, Mapped]
    ops: list[Op] = field(default_factory=list)
    made: dict[str, Mapped] = field(default_factory=dict)
    covered: list[onnx.NodeProto] = field(default_factory=list)

    def activation(self, node: onnx.NodeProto, index: int = 0) -> Mapped:
        """Return the map behind real input `index`; raises Unsupported where it is not quantized or not mappable."""
        if index >= len(node.input) or not node.input[index]:
            raise Unsupported(f"input {index} is missing")
        stored = self.network.stored_name(node.input[index])
        if stored not in self.values:
            raise Unsupported(f"its input '{stored}' cannot be a map")
        return self.values[stored]

    def quantizer(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Return the QuantizeLinear of the node's result and mark both as covered."""
        q = self.network.only_quantize(node.output[0])
        self.covered += [node, q]
        return q

    def result(
        self, q: onnx.NodeProto, shape: tuple[int, int, int], perm: tuple[int, ...], *, suffix: str = ""
    ) -> Tensor:
        """Return the tensor that QuantizeLinear `q` stores, and note how it is mapped."""
        tensor = Tensor(name=q.output[0] + suffix, shape=shape, quant=self.network.quant(q))
        if not suffix:
            self.made[q.output[0]] = Mapped(tensor=tensor, shape=self.network.shape(q.input[0]), perm=perm)
        return tensor

    def alias(self, q: onnx.NodeProto, mapped: Mapped) -> None:
        """Note that `q` stores bytes that are there already, under another shape."""
        self.made[q.output[0]] = mapped

    def same_quant(self, x: Tensor, q: onnx.NodeProto) -> bool:
        """Tell whether `q` quantizes as `x` is quantized already."""
        return self.network.quant(q) == x.quant


def named(node: onnx.NodeProto) -> str:
    """Return a name for the node in reports."""
    return node.name or node.output[0]


def with_quant(tensor: Tensor, quant: Quant) -> Tensor:
    """Return the tensor with another quantization."""
    return replace(tensor, quant=quant)


def int_list(values: object) -> list[int]:
    """Return values as a list of Python ints."""
    return [int(v) for v in np.asarray(values).reshape(-1)]
