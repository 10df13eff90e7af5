"""Boxes as rows (y0, x0, y1, x1): overlap, suppression, and how far two detectors agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """Boxes are (n, 4) as y0, x0, y1, x1 in parts of the image's sides; scores (n,) fall."""

    boxes: FloatArray
    scores: FloatArray


def sigmoid(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return (0.5 * (1 + np.tanh(0.5 * x))).astype(np.float32)


def iou(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Return the (n, m) intersections over unions."""
    top = np.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    both = np.clip(bottom - top, 0, None).prod(axis=2)
    area, other_area = (np.clip(b[:, 2:] - b[:, :2], 0, None).prod(axis=1) for b in (boxes, others))
    return both / np.maximum(area[:, None] + other_area[None] - both, np.float32(1e-12))


def nms(boxes: FloatArray, scores: FloatArray, most_iou: float) -> npt.NDArray[np.int64]:
    """Return the indices that greedy non-maximum suppression keeps, best first."""
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    for at in order:
        if not kept or iou(boxes[at][None], boxes[kept]).max() <= most_iou:
            kept.append(int(at))
    return np.array(kept, np.int64)


def average_precision(found: Sequence[Detections], truth: Sequence[Detections], *, least_iou: float = 0.5) -> float:
    """Return the area under precision over recall of `found` against the boxes of `truth`, image by image.

    Every precision is raised to the best at equal or higher recall; a true box is matched once, by the best-scored
    detection that overlaps it by `least_iou` or more. With no true box it is 1 where nothing was found, else 0.
    """
    total = sum(len(t.boxes) for t in truth)
    if total == 0:
        return float(all(len(f.boxes) == 0 for f in found))
    rows: list[tuple[float, int, int]] = [
        (float(score), image, index) for image, f in enumerate(found) for index, score in enumerate(f.scores)
    ]
    rows.sort(key=lambda row: -row[0])
    taken = [np.zeros(len(t.boxes), bool) for t in truth]
    hits = np.zeros(len(rows))
    for at, (_, image, index) in enumerate(rows):
        if not len(truth[image].boxes):
            continue
        overlap = np.where(taken[image], -1, iou(found[image].boxes[index][None], truth[image].boxes)[0])
        best = int(overlap.argmax())
        if overlap[best] >= least_iou:
            taken[image][best] = True
            hits[at] = 1
    recall = np.concatenate([[0], hits.cumsum() / total])
    precision = hits.cumsum() / np.arange(1, len(rows) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * precision).sum())
