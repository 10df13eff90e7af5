"""Decoding of the two face detectors: CenterFace (a heat map) and BlazeFace (anchors)."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import numpy.typing as npt

from chanzi.zoo.boxes import Detections, nms, sigmoid

FloatArray = npt.NDArray[np.float32]

CENTERFACE_STRIDE = 4
CENTERFACE_IOU = 0.3
BLAZEFACE_IOU = 0.3


def decode_centerface(outputs: Mapping[str, FloatArray], *, threshold: float = 0.5) -> Detections:
    """Turn CenterFace's outputs (``537`` heat, ``538`` log size, ``539`` offset) into faces.

    The heat map has one cell every four pixels; a face's centre is the cell's own plus the offset.
    """
    heat, size, offset = outputs["537"][0, 0], outputs["538"][0], outputs["539"][0]
    height, width = heat.shape
    y, x = np.nonzero(heat > threshold)
    centre = np.stack([y + offset[0, y, x] + 0.5, x + offset[1, y, x] + 0.5], axis=1)
    half = np.exp(size[:, y, x]).T / 2
    sides = np.array([height, width, height, width], np.float32)
    boxes = np.clip(np.concatenate([centre - half, centre + half], axis=1) / sides, 0, 1).astype(np.float32)
    scores = heat[y, x]
    best = nms(boxes, scores, CENTERFACE_IOU)
    return Detections(boxes=boxes[best], scores=scores[best])


@cache
def blazeface_anchors() -> FloatArray:
    """Return the 896 anchor centres (y, x): two in each of 16 x 16 cells, then six in each of 8 x 8."""
    rows = []
    for cells, count in ((16, 2), (8, 6)):
        y, x = np.divmod(np.arange(cells * cells), cells)
        rows.append(np.repeat(np.stack([y + 0.5, x + 0.5], axis=1) / cells, count, axis=0))
    return np.concatenate(rows).astype(np.float32)


def decode_blazeface(outputs: Mapping[str, FloatArray], *, size: int = 128, threshold: float = 0.5) -> Detections:
    """Turn BlazeFace's outputs into faces.

    Parameters
    ----------
    outputs : mapping
        ``Identity:0`` and ``Identity_1:0`` are the score logits of the fine and the coarse cells, ``Identity_2:0``
        and ``Identity_3:0`` their boxes: x, y, width, height in pixels from the anchor, then six key points.
    size : int
        The side of the square input in pixels.
    threshold : float
        Least score.
    """
    scores = sigmoid(np.concatenate([outputs["Identity:0"][0, :, 0], outputs["Identity_1:0"][0, :, 0]]))
    raw = np.concatenate([outputs["Identity_2:0"][0], outputs["Identity_3:0"][0]])[:, :4] / np.float32(size)
    keep = scores > threshold
    scores, raw, anchor = scores[keep], raw[keep], blazeface_anchors()[keep]
    centre, half = raw[:, 1::-1] + anchor, raw[:, :1:-1] / 2
    boxes = np.clip(np.concatenate([centre - half, centre + half], axis=1), 0, 1).astype(np.float32)
    best = nms(boxes, scores, BLAZEFACE_IOU)
    return Detections(boxes=boxes[best], scores=scores[best])
