"""Triangle meshes as arrays, and how they are put together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """Triangles with a colour and a normal at each vertex.

    Parameters
    ----------
    vertices_m, normals : float32 (V, 3)
    colours : float32 (V, 4)
        Red, green and blue, 0 to 1; the fourth is how strongly the ground's grain shows, or -1 where a vehicle's own
        paint goes, or -2 for a lamp, which no shade darkens.
    triangles : uint32 (T, 3)
        Counter-clockwise from outside.
    """

    vertices_m: Floats
    normals: Floats
    colours: Floats
    triangles: npt.NDArray[np.uint32]


PAINTED, GLOWING = -1.0, -2.0
"""Fourth values of a colour."""


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """Return meshes as one, their triangles in the given order."""
    starts = np.cumsum([0, *(len(mesh.vertices_m) for mesh in meshes)])
    return Mesh(
        vertices_m=np.concatenate([mesh.vertices_m for mesh in meshes]),
        normals=np.concatenate([mesh.normals for mesh in meshes]),
        colours=np.concatenate([mesh.colours for mesh in meshes]),
        triangles=np.concatenate(
            [mesh.triangles + np.uint32(start) for mesh, start in zip(meshes, starts, strict=False)]
        ),
    )


def faces(corners_m: npt.ArrayLike, colour: Colour, mark: float = 0.0) -> Mesh:
    """Return flat faces of one colour.

    Parameters
    ----------
    corners_m : (F, C, 3)
        Each face's corners, counter-clockwise from outside; they lie in a plane, and the face is convex.
    colour : Colour
        0 to 255.
    mark : float
        The colour's fourth value.
    """
    corners = np.asarray(corners_m, np.float32)
    count, sides = corners.shape[:2]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    fan = np.array([[0, k, k + 1] for k in range(1, sides - 1)], np.uint32)
    return Mesh(
        vertices_m=corners.reshape(-1, 3),
        normals=np.repeat(normals, sides, axis=0),
        colours=_tiled((*(c / 255 for c in colour), mark), count * sides),
        triangles=(np.arange(count, dtype=np.uint32)[:, None, None] * np.uint32(sides) + fan).reshape(-1, 3),
    )


def strip(left_m: npt.ArrayLike, right_m: npt.ArrayLike, colour: Colour, mark: float = 0.0) -> Mesh:
    """Return a band on the ground between two lines (N, 2), seen from above."""
    left, right = np.asarray(left_m, np.float32), np.asarray(right_m, np.float32)
    count = len(left)
    vertices = np.zeros((2 * count, 3), np.float32)
    vertices[0::2, :2], vertices[1::2, :2] = left, right
    first = 2 * np.arange(count - 1, dtype=np.uint32)[:, None]
    triangles = first + np.array([[0, 1, 3, 0, 3, 2]], np.uint32)
    return Mesh(
        vertices_m=vertices,
        normals=_tiled((0.0, 0.0, 1.0), 2 * count),
        colours=_tiled((*(c / 255 for c in colour), mark), 2 * count),
        triangles=triangles.reshape(-1, 3),
    )


def placed(mesh: Mesh, place_m: npt.NDArray[np.floating], scale: float = 1.0) -> Mesh:
    """Return a mesh grown by a factor and moved to a place (2,) on the ground."""
    moved = mesh.vertices_m * np.float32(scale)
    moved[:, :2] += place_m.astype(np.float32)
    return Mesh(vertices_m=moved, normals=mesh.normals, colours=mesh.colours, triangles=mesh.triangles)


def _tiled(row: Sequence[float], count: int) -> Floats:
    return np.tile(np.array(row, np.float32), (count, 1))
