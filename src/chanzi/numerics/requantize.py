"""Requantization: sums back to bytes, in float32 as ONNX Runtime's integer kernels do it.

Every product, quotient and sum below is rounded to float32, nearest even; scales are float32 values; ``q(v)`` is
``clip(rint(v) + zero, low, high)``, where rint rounds halves to even:

==================  ==================================================================
convolution, dense  ``q(float32(acc) * ((x_scale * w_scale[c]) / y_scale))``
two activations     ``q(float32(acc) * ((a_scale * b_scale) / y_scale))``
multiplication      ``clip(rint(((a_scale * b_scale) / y_scale) * ((a - za) * (b - zb)) + zero))``
addition            see `chanzi.numerics.fused`: multiplied and added without rounding between
average of n        ``q(float32(sum(x - zx)) * (x_scale / (y_scale * n)))``
linear enlarging    the average's, with integer weights that sum to n
==================  ==================================================================

A float32 holds integers up to 2^24; a larger sum is rounded when it becomes float32, there as here.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


def conv_multiplier(
    x_scale: float, w_scale: npt.NDArray[np.float32] | np.float32, y_scale: float
) -> npt.NDArray[np.float32]:
    """Return float32(float32(x_scale * w_scale) / y_scale)."""
    return np.asarray(np.float32(x_scale) * np.asarray(w_scale, np.float32), np.float32) / np.float32(y_scale)


def average_multiplier(x_scale: float, y_scale: float, count: int) -> np.float32:
    """Return float32(x_scale / float32(y_scale * count)): a sum of `count` elements becomes their mean."""
    return np.float32(x_scale) / np.float32(np.float32(y_scale) * np.float32(count))


def round_clip(value: Floats, zero: int, low: int, high: int) -> Ints:
    """Return clip(rint(value) + zero, low, high); NaN gives `low`.

    Clipping comes first, so that no value that float32 holds leaves int32.
    """
    least, most = np.float32(low - zero), np.float32(high - zero)
    kept = np.where(np.isnan(value), least, np.clip(value, least, most))
    return np.rint(kept).astype(np.int32) + np.int32(zero)


def requantize(
    acc: npt.NDArray[np.integer], multiplier: Floats | np.float32 | float, zero: int, low: int, high: int
) -> Ints:
    """Return clip(rint(float32(acc) * multiplier) + zero, low, high)."""
    with np.errstate(all="ignore"):
        return round_clip(acc.astype(np.float32) * np.asarray(multiplier, np.float32), zero, low, high)


def mul_values(
    first: npt.NDArray[np.integer],
    second: npt.NDArray[np.integer],
    *,
    scale: np.float32,
    zeros: tuple[int, int],
    zero: int,
) -> Floats:
    """Return what QLinearMul rounds to its result: ``((a - za) * (b - zb)) * scale + zero``, each step rounded.

    `scale` is `conv_multiplier` of a's, b's and the result's.
    """
    a = (np.asarray(first, np.int32) - zeros[0]).astype(np.float32)
    b = (np.asarray(second, np.int32) - zeros[1]).astype(np.float32)
    with np.errstate(all="ignore"):
        return np.asarray((a * b) * np.float32(scale) + np.float32(zero), np.float32)
