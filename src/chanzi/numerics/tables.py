"""256-entry tables: any byte-to-byte function, exact by construction.

A table is indexed by the stored byte (``value & 0xff``) and holds the stored byte of the result, computed as
DequantizeLinear -> function -> QuantizeLinear in float32.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class QuantLike(Protocol):
    """What a table needs to know of a quantization."""

    @property
    def scale(self) -> float:
        """Real value of one step."""

    @property
    def zero(self) -> int:
        """Stored value of real zero."""

    @property
    def dtype(self) -> str:
        """'int8' or 'uint8'."""


def stored_values(dtype: str) -> npt.NDArray[np.int32]:
    """Return the stored integer of each byte 0 .. 255."""
    return np.arange(256, dtype=np.uint8).view(np.dtype(dtype)).astype(np.int32)


def dequantize(values: npt.NDArray[np.integer], quant: QuantLike) -> Floats:
    """Return float32((q - zero) * scale), as DequantizeLinear."""
    return (values.astype(np.int32) - quant.zero).astype(np.float32) * np.float32(quant.scale)


def quantize(values: Floats, quant: QuantLike) -> npt.NDArray[np.int32]:
    """Return clip(rint(x / scale) + zero), as QuantizeLinear; NaN becomes the smallest value."""
    info = np.iinfo(quant.dtype)
    with np.errstate(all="ignore"):
        rounded = np.rint(values.astype(np.float32) / np.float32(quant.scale))
    rounded = np.where(np.isnan(rounded), np.float32(info.min), rounded)
    return np.clip(rounded.astype(np.float64) + quant.zero, info.min, info.max).astype(np.int32)


def function_table(function: Callable[[Floats], Floats], x: QuantLike, y: QuantLike) -> Table:
    """Return the table of ``y = Q(function(DQ(x)))``; `function` takes and returns float32."""
    with np.errstate(all="ignore"):
        result = function(dequantize(stored_values(x.dtype), x)).astype(np.float32)
    return quantize(result, y).astype(np.dtype(y.dtype)).view(np.uint8)


def requantize_table(x: QuantLike, y: QuantLike) -> Table:
    """Return the table of ``y = Q(DQ(x))``."""
    return function_table(lambda v: v, x, y)
