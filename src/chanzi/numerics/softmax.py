"""Softmax over bytes, as ONNX Runtime's QLinearSoftmax computes it: exponentials from a table, one divide an element.

With m the largest stored value of a row, element x contributes ``T[x + most - m]``, where `most` is the largest value
of the type and ``T[i] = float32(exp((i - 255 + shift) * x_scale))``. `shift` lifts the table so that a row of largest
entries stays just inside float32: small exponentials keep their bits. The sum runs over the channels in order, in
float32; the result is ``clip(rint(T * floor(1 / y_scale) / sum) + y_zero)``.

Source: behaviour of the QLinearSoftmax CPU kernel of ONNX Runtime 1.32, held against it in the tests.
"""

import numpy as np
import numpy.typing as npt

from chanzi.numerics.requantize import round_clip
from chanzi.numerics.tables import QuantLike


def exp_table(x: QuantLike, channels: int) -> npt.NDArray[np.float32]:
    """Return the 256 float32 exponentials, indexed by the stored byte of ``x + most - largest``."""
    limit = np.log(float(np.finfo(np.float32).max / np.float32(channels)))
    scale = np.float64(np.float32(x.scale))
    shift = max(0.0, limit - 5) / scale
    entries = np.exp((np.arange(256) - 255 + shift) * scale).astype(np.float32)
    return np.roll(entries, 128) if x.dtype == "int8" else entries


def output_factor(y: QuantLike) -> np.float32:
    """Return floor(1 / y_scale): what an exponential's share of the sum is multiplied by."""
    return np.floor(np.float32(1) / np.float32(y.scale))


def softmax(values: npt.NDArray[np.integer], x: QuantLike, y: QuantLike) -> npt.NDArray[np.int32]:
    """Return the stored integers of softmax over the last axis."""
    table = exp_table(x, values.shape[-1])
    stored = values.astype(np.int32)
    most = np.iinfo(x.dtype).max
    entry = table[(stored + most - stored.max(axis=-1, keepdims=True)) & 0xFF]
    total = np.zeros(stored.shape[:-1], np.float32)
    for channel in range(stored.shape[-1]):
        total = total + entry[..., channel]
    info = np.iinfo(y.dtype)
    with np.errstate(all="ignore"):
        shares = np.asarray(entry * output_factor(y) / total[..., None], np.float32)
    return round_clip(shares, y.zero, info.min, info.max)
