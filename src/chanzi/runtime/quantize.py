"""Between ONNX tensors and a chip's maps of bytes: QuantizeLinear, DequantizeLinear and the layouts."""

import numpy as np
import numpy.typing as npt

from chanzi.graph.ops import ByteArray, FloatArray, Quant


def quantize(x: npt.NDArray[np.floating], quant: Quant) -> ByteArray:
    """Return the bytes that ONNX Runtime's QuantizeLinear returns for float32 `x`.

    ``clip(rint(x / scale) + zero)`` in float32, ties to even; a NaN becomes the smallest integer.
    """
    with np.errstate(all="ignore"):
        v = np.divide(x, np.float32(quant.scale), dtype=np.float32)
    np.fmax(v, np.float32(quant.qmin - quant.zero), out=v)
    np.fmin(v, np.float32(quant.qmax - quant.zero), out=v)
    np.rint(v, out=v)
    v += np.float32(quant.zero)
    return v.astype(quant.dtype)


def dequantize(q: ByteArray, quant: Quant) -> FloatArray:
    """Return ``(q - zero) * scale`` in float32, as ONNX Runtime's DequantizeLinear does."""
    return (q.astype(np.int32) - quant.zero).astype(np.float32) * np.float32(quant.scale)
