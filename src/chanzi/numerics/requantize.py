"""Requantization: int32 sums back to bytes, in float32 as ONNX Runtime's integer kernels do it."""

import numpy as np
import numpy.typing as npt


def conv_multiplier(
    x_scale: float, w_scale: npt.NDArray[np.float32] | np.float32, y_scale: float
) -> npt.NDArray[np.float32]:
    """Return float32(float32(x_scale * w_scale) / y_scale)."""
    return np.asarray(np.float32(x_scale) * np.asarray(w_scale, np.float32), np.float32) / np.float32(y_scale)
