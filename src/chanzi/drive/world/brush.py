"""Smooth-edged polygons and discs at fractions of a pixel."""

import cv2
import numpy as np
import numpy.typing as npt

Canvas = npt.NDArray[np.uint8]
Paint = float | list[float]

SHIFT = 4
SCALE = 1 << SHIFT
"""OpenCV takes coordinates in sixteenths of a pixel."""

_FARTHEST = 30_000.0


def fixed(pixels: npt.NDArray[np.floating]) -> npt.NDArray[np.int32]:
    """Return pixel indices in OpenCV's sixteenths; what lies very far outside is drawn in."""
    return np.rint(np.minimum(np.maximum(pixels, -_FARTHEST), _FARTHEST) * SCALE).astype(np.int32)


def fill_fixed(canvas: Canvas, points: npt.NDArray[np.int32], paint: Paint) -> None:
    """Fill a convex polygon (N, 2) of `fixed` points."""
    cv2.fillConvexPoly(canvas, points, paint, cv2.LINE_AA, SHIFT)


def fill(canvas: Canvas, pixels: npt.NDArray[np.floating], paint: Paint) -> None:
    """Fill a convex polygon (N, 2) of pixel indices."""
    cv2.fillConvexPoly(canvas, fixed(pixels), paint, cv2.LINE_AA, SHIFT)


def disc(canvas: Canvas, x: float, y: float, radius: float, paint: Paint) -> None:
    """Fill a circle; none smaller than half a pixel."""
    if radius >= 0.5 and abs(x) < _FARTHEST and abs(y) < _FARTHEST:
        cv2.circle(canvas, (round(x * SCALE), round(y * SCALE)), round(radius * SCALE), paint, -1, cv2.LINE_AA, SHIFT)
