"""The typed int8 graph: what the frontend hands to the compiler.

Every tensor is one frame of a feature map, ``(height, width, channels)``, of one byte per element with one scale and
one zero point. A matrix of tokens or rows is ``(1, rows, features)``, a vector ``(1, 1, n)``. Where bytes lie on the
chip is the compiler's business and appears nowhere here.

An `Op` says what is computed, in the integers ONNX Runtime computes it in; see ``docs/design/exactness`` for the
formulas, and `chanzi.numerics` for their definition.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

DType = Literal["int8", "uint8"]
ByteArray = npt.NDArray[np.int8 | np.uint8]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quant:
    """real = scale * (stored - zero); `scale` is a float32 value."""

    scale: float
    zero: int
    dtype: DType

    @property
    def qmin(self) -> int:
        """Smallest storable integer."""
        return -128 if self.dtype == "int8" else 0

    @property
    def qmax(self) -> int:
        """Largest storable integer."""
        return 127 if self.dtype == "int8" else 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One frame of activations, ``shape = (height, width, channels)``."""

    name: str
    shape: tuple[int, int, int]
    quant: Quant


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conv:
    """``y = table[clip(rint(acc * multiplier) + y.zero)]``, acc = sum (x - x.zero)(w - w.zero) + bias.

    multiplier[o] = float32(float32(x.scale * weight_scale[o]) / y.scale).

    Also every dense layer: a matrix product with constant weights is a 1x1 convolution of ``(1, rows, k)``.
    `weight` is ``[out][kh][kw][in / groups]``; `pads` is (top, left, bottom, right) and pads with x.zero.
    `transposed`: ConvTranspose; `weight` is ``[out][kh][kw][in / groups]`` too (already turned, not flipped), `pads`
    are those of ConvTranspose, the output's size says the rest.
    `table`, 256 bytes indexed by the stored byte of the requantized value (``value & 0xff``), is applied after
    requantizing with `mid`; where it is None, mid is y's own quantization.
    """

    name: str
    x: Tensor
    y: Tensor
    weight: ByteArray
    weight_scale: FloatArray
    weight_zero: int = 0
    bias: IntArray | None = None
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    transposed: bool = False
    table: npt.NDArray[np.uint8] | None = None
    mid: Quant | None = None

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Activations read."""
        return (self.x,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatMul:
    """``y[m][n] = requantize(sum_k (a[m][k] - a.zero)(b[.][.] - b.zero))`` of two activations.

    a is ``(batch, m, k)``; b is ``(batch, k, n)``, or ``(batch, n, k)`` with `b_transposed`; y is ``(batch, m, n)``.
    multiplier = float32(float32(a.scale * b.scale) / y.scale).
    """

    name: str
    a: Tensor
    b: Tensor
    y: Tensor
    b_transposed: bool = False

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Activations read."""
        return (self.a, self.b)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Max or average over a window; global pooling is a window of the whole map.

    max ignores padding and needs equal quantization of x and y. avg divides by the whole window where
    `count_include_pad`, else by the elements inside the map:
    ``y = clip(rint((x.scale / y.scale / n) * sum(x - x.zero)) + y.zero)``.
    """

    name: str
    kind: Literal["max", "avg"]
    x: Tensor
    y: Tensor
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    count_include_pad: bool = False

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Activations read."""
        return (self.x,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Binary:
    """``a + b`` or ``a * b``, in the float32 order of ONNX Runtime's QLinearAdd and QLinearMul (`chanzi.numerics`).

    Each dimension of b equals a's or is 1 (broadcast); a has y's shape. `table` as in `Conv` (with `mid`).
    """

    name: str
    kind: Literal["add", "mul"]
    a: Tensor
    b: Tensor
    y: Tensor
    table: npt.NDArray[np.uint8] | None = None
    mid: Quant | None = None

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Activations read."""
        return (self.a, self.b)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lookup:
    """``y = table[x & 0xff]``: any byte-to-byte function (activation, requantize, clip), 256 bytes."""

    name: str
    kind: str
    x: Tensor
    y: Tensor
    table: npt.NDArray[np.uint8]

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Activations read."""
        return (self.x,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Concat:
    """Join along `axis` (0 height, 1 width, 2 channels). `tables[i]` requantizes input i (None: bytes as they are)."""

    name: str
    xs: tuple[Tensor, ...]
    y: Tensor
    axis: int
    tables: tuple[npt.NDArray[np.uint8] | None, ...]

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Activations read."""
        return self.xs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice:
    """``y = x[starts:ends]`` per dimension, step 1; same quantization."""

    name: str
    x: Tensor
    y: Tensor
    starts: tuple[int, int, int]
    ends: tuple[int, int, int]

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Activations read."""
        return (self.x,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Permute:
    """``y[..., c] = x[..., order[c]]``: channel shuffle; same quantization. Costs no cycle where it folds away."""

    name: str
    x: Tensor
    y: Tensor
    order: npt.NDArray[np.int64]

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Activations read."""
        return (self.x,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pad:
    """Constant padding by `pads` (top, left, bottom, right) with the stored byte value `value`; same quantization."""

    name: str
    x: Tensor
    y: Tensor
    pads: tuple[int, int, int, int]
    value: int

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Activations read."""
        return (self.x,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resize:
    """Enlarge by whole factors.

    nearest: ``y[i, j] = x[i // fy, j // fx]`` (same quantization, or a `table` that requantizes).
    linear: half-pixel or asymmetric coordinates, edges replicated; y = clip(rint(acc * multiplier) + y.zero) with the
    integer tap weights `taps` of :func:`linear_taps`.
    """

    name: str
    kind: Literal["nearest", "linear"]
    x: Tensor
    y: Tensor
    factors: tuple[int, int]
    half_pixel: bool = True
    table: npt.NDArray[np.uint8] | None = None

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Activations read."""
        return (self.x,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Softmax:
    """Softmax over the channels of each pixel, as QLinearSoftmax computes it (see `chanzi.numerics.softmax`)."""

    name: str
    x: Tensor
    y: Tensor

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Activations read."""
        return (self.x,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Const:
    """A tensor that never changes: `value` is ``(h, w, c)`` of stored integers. The b of a Binary, say."""

    name: str
    y: Tensor
    value: ByteArray

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Nothing is read."""
        return ()


Op = Conv | MatMul | Pool | Binary | Lookup | Concat | Slice | Permute | Pad | Resize | Softmax | Const


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """Operators in an order in which every tensor is written before it is read, each written once.

    `inputs` are quantized tensors that come from the host, `outputs` those that go back to it.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    ops: tuple[Op, ...] = field(default=())


def macs(op: Op) -> int:
    """Multiply-accumulates of one frame of `op` (0 for all but Conv and MatMul); padding counts, as is customary."""
    match op:
        case Conv(transposed=True):
            height, width, _ = op.x.shape
            return height * width * int(np.prod(op.weight.shape))
        case Conv():
            height, width, _ = op.y.shape
            return height * width * int(np.prod(op.weight.shape))
        case MatMul():
            batch, m, k = op.a.shape
            return batch * m * k * op.y.shape[2]
        case _:
            return 0
