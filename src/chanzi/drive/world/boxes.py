"""Rectangles on the ground: corners, and the gap between two of them."""

import numpy as np
import numpy.typing as npt

_ALONG, _ACROSS = np.array([0.5, 0.5, -0.5, -0.5]), np.array([0.5, -0.5, -0.5, 0.5])


def corners(boxes: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the corners (N, 4, 2) of rectangles (N, 5 or more): x, y, heading, length, width.

    In the order front left, front right, rear right, rear left.
    """
    boxes = np.asarray(boxes, np.float64)
    along, across = boxes[:, 3, None] * _ALONG, boxes[:, 4, None] * _ACROSS
    c, s = np.cos(boxes[:, 2, None]), np.sin(boxes[:, 2, None])
    points = np.empty((len(boxes), 4, 2))
    points[..., 0] = boxes[:, 0, None] + c * along - s * across
    points[..., 1] = boxes[:, 1, None] + s * along + c * across
    return points


def gaps(box: npt.NDArray[np.floating], others: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the distances (N,) from one rectangle (5,) to others (N, 5 or more); 0 where a corner lies inside.

    Two rectangles that cross like a plus sign have no corner inside each other and are not seen to touch; vehicles that
    move a fraction of their width between looks touch with a corner first.
    """
    others = np.asarray(others, np.float64)
    if not len(others):
        return np.empty(0)
    box = np.asarray(box, np.float64)[None, :5]
    theirs, ours = corners(others), np.broadcast_to(corners(box), (len(others), 4, 2))
    return np.minimum(_from_rectangle(theirs, np.broadcast_to(box, (len(others), 5))), _from_rectangle(ours, others))


def _from_rectangle(points: npt.NDArray[np.float64], boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the least distance (N,) of points (N, M, 2) from the filled rectangle (N, 5) of the same row."""
    offset = points - boxes[:, None, :2]
    c, s = np.cos(boxes[:, 2, None]), np.sin(boxes[:, 2, None])
    along = np.abs(c * offset[..., 0] + s * offset[..., 1]) - boxes[:, 3, None] / 2
    across = np.abs(c * offset[..., 1] - s * offset[..., 0]) - boxes[:, 4, None] / 2
    return np.hypot(np.maximum(along, 0.0), np.maximum(across, 0.0)).min(axis=1)
