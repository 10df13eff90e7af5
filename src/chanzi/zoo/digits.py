"""The network that ships with the package: a residual CNN for 8x8 digits, trained by ``tools/train_digits.py``."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

DATA = Path(__file__).parent / "data"
INPUT = "image"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DigitsData:
    """Images are float32 ``(n, 1, 8, 8)`` in [0, 1]; labels are int64 ``(n,)``.

    The test images were held out of the training; the calibration images were not.
    """

    calibration: npt.NDArray[np.float32]
    test_images: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.int64]


def model_path() -> Path:
    """Return the float ONNX file: input ``image`` (1, 1, 8, 8), output ``logits`` (1, 10)."""
    return DATA / "digits.onnx"


def load_data() -> DigitsData:
    """Read the calibration images and the labelled held-out test set."""
    with np.load(DATA / "digits.npz", allow_pickle=False) as file:
        return DigitsData(
            calibration=file["calibration"].astype(np.float32) / np.float32(16),
            test_images=file["test_images"].astype(np.float32) / np.float32(16),
            test_labels=file["test_labels"].astype(np.int64),
        )
