"""Vehicles, and blocks on the road, as faces to be painted."""

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chanzi.drive.world.boxes import corners
from chanzi.drive.world.light import lamps
from chanzi.drive.world.look import Colour, Look

CAR_HEIGHT_M = 1.42

PAINTS: tuple[Colour, ...] = (
    (198.0, 44.0, 40.0),
    (44.0, 88.0, 168.0),
    (226.0, 226.0, 222.0),
    (52.0, 54.0, 58.0),
    (150.0, 156.0, 162.0),
    (226.0, 168.0, 44.0),
    (46.0, 122.0, 92.0),
    (120.0, 66.0, 46.0),
)
"""Colours that cars come in."""

_GLASS = (46.0, 56.0, 68.0)
_DARK = (26.0, 26.0, 28.0)
_TYRE = (30.0, 30.0, 32.0)
_TAIL = (206.0, 30.0, 26.0)
_HEAD = (244.0, 240.0, 220.0)
_BODY = (-1.0, -1.0, -1.0)

Vertices = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solid:
    """Faces in the car's frame.

    Parameters
    ----------
    place_m : float64 (2,)
        Its middle on the ground.
    length_m : float
    vertices_m : float64 (V, 3)
    faces : tuple of int64 arrays
        Corners, counter-clockwise from outside, in the order in which a viewer above the bonnet paints them.
    fine : tuple of bool
        Which faces nobody misses from afar.
    anchors_m, normals : float64 (F, 3)
        A corner of each face, and its outward direction.
    colours : float64 (F, 3)
        Lit.
    outline_m : float64 (P, 2)
        The corners of its shadow on the ground.
    """

    place_m: npt.NDArray[np.float64]
    length_m: float
    vertices_m: Vertices
    faces: tuple[npt.NDArray[np.int64], ...]
    fine: tuple[bool, ...]
    anchors_m: Vertices
    normals: Vertices
    colours: npt.NDArray[np.float64]
    outline_m: npt.NDArray[np.float64]


class _Template:
    """Vertices in shares of length and width, and metres of height; faces; colours, `_BODY` for the car's own."""

    def __init__(self) -> None:
        self.vertices: list[tuple[float, float, float]] = []
        self.faces: list[tuple[int, ...]] = []
        self.colours: list[Colour] = []
        self.glow: list[float] = []
        self.fine: list[bool] = []

    def frustum(
        self,
        low: tuple[float, float, float, float],
        high: tuple[float, float, float, float],
        sides: Colour,
        top: Colour,
    ) -> None:
        """Add a box whose top may be smaller: (rear, front, half width, height) below and above."""
        base = len(self.vertices)
        for rear, front, half, z in (low, high):
            self.vertices += [(front, half, z), (front, -half, z), (rear, -half, z), (rear, half, z)]
        for k in range(4):
            following = (k + 1) % 4
            self.face((base + k, base + 4 + k, base + 4 + following, base + following), sides)
        self.face((base + 4, base + 7, base + 6, base + 5), top)

    def patch(self, points: list[tuple[float, float, float]], colour: Colour, glow: float = 0.0) -> None:
        """Add a face of its own."""
        base = len(self.vertices)
        self.vertices += points
        self.face(tuple(range(base, base + len(points))), colour, glow, fine=True)

    def face(self, at: tuple[int, ...], colour: Colour, glow: float = 0.0, *, fine: bool = False) -> None:
        """Add a face over vertices that are there."""
        self.fine.append(fine)
        self.faces.append(at)
        self.colours.append(colour)
        self.glow.append(glow)


def _car() -> _Template:
    car = _Template()
    car.frustum((-0.47, 0.47, 0.45, 0.16), (-0.47, 0.47, 0.45, 0.36), _DARK, _DARK)
    car.frustum((-0.5, 0.5, 0.5, 0.32), (-0.485, 0.485, 0.485, 0.84), _BODY, _BODY)
    # Wheels are drawn on the sides; their radius is a share of the length as they lie in its direction.
    angles = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    for x in (-0.31, 0.32):
        ring = [(x + 0.068 * float(np.cos(a)), float(0.34 + 0.34 * np.sin(a))) for a in angles]
        hub = [(x + 0.034 * float(np.cos(a)), float(0.34 + 0.17 * np.sin(a))) for a in angles]
        for points, colour in ((ring, _TYRE), (hub, (120.0, 122.0, 126.0))):
            car.patch([(u, -0.503, z) for u, z in points], colour)
            car.patch([(u, 0.503, z) for u, z in reversed(points)], colour)
    for side in (-1, 1):
        low, high = sorted((side * 0.27, side * 0.46))
        car.patch([(-0.502, low, 0.56), (-0.5, low, 0.72), (-0.5, high, 0.72), (-0.502, high, 0.56)], _TAIL, 1.0)
        car.patch([(0.502, high, 0.56), (0.5, high, 0.70), (0.5, low, 0.70), (0.502, low, 0.56)], _HEAD, 1.0)
    car.patch([(-0.502, -0.12, 0.48), (-0.5, -0.12, 0.6), (-0.5, 0.12, 0.6), (-0.502, 0.12, 0.48)], (214, 214, 206))
    car.frustum((-0.42, 0.24, 0.455, 0.84), (-0.30, 0.06, 0.37, CAR_HEIGHT_M), _GLASS, _BODY)
    return car


def _block() -> _Template:
    block = _Template()
    block.frustum((-0.5, 0.5, 0.5, 0.0), (-0.5, 0.5, 0.5, 0.45), (214.0, 92.0, 36.0), (224.0, 104.0, 44.0))
    block.frustum((-0.5, 0.5, 0.5, 0.45), (-0.5, 0.5, 0.5, 0.8), (232.0, 232.0, 226.0), (236.0, 236.0, 230.0))
    return block


class _Shape:
    def __init__(self, template: _Template) -> None:
        self.vertices = np.array(template.vertices)
        self.faces = tuple(np.array(face) for face in template.faces)
        # Lamps are seen from afar.
        self.fine = tuple(fine and not glow for fine, glow in zip(template.fine, template.glow, strict=True))
        self.colours = np.array(template.colours)
        self.body = (self.colours == np.array(_BODY)).all(axis=1)[:, None]
        self.glow = np.array(template.glow)[:, None]
        self.first = np.array([face[0] for face in template.faces])

    @functools.lru_cache(maxsize=64)  # noqa: B019  # there are two shapes, and they live as long as the module
    def sized(self, length_m: float, width_m: float) -> tuple[Vertices, Vertices]:
        """Return vertices (V, 3) and the faces' normals (F, 3) of one size."""
        vertices = self.vertices * (length_m, width_m, 1.0)
        a, b, c = (vertices[[int(face[k]) for face in self.faces]] for k in range(3))
        normals = np.cross(b - a, c - a)
        return vertices, normals / np.linalg.norm(normals, axis=1)[:, None]


_CAR, _BLOCK = _Shape(_car()), _Shape(_block())


def solid_box(
    box: npt.NDArray[np.floating],
    paint: Colour,
    look: Look,
    sun: npt.NDArray[np.float64],
    *,
    block: bool = False,
) -> Solid:
    """Return a vehicle, or a block on the road.

    Parameters
    ----------
    box : (5 or more,)
        x, y, heading, length, width in the car's frame.
    paint : Colour
    look : Look
    sun : float64 (3,)
        Direction to the sun in the car's frame.
    block : bool
    """
    shape = _BLOCK if block else _CAR
    x, y, heading, length, width = (float(v) for v in box[:5])
    c, s = math.cos(heading), math.sin(heading)
    turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    local, local_normals = shape.sized(length, width)
    vertices, normals = local @ turn + (x, y, 0.0), local_normals @ turn

    base = np.where(shape.body, np.array(paint), shape.colours)
    light = look.ambient + look.sun * np.maximum(normals @ sun, 0.0)
    if look.lamps:
        # Faces that look back at the car catch its headlamps.
        facing = np.maximum(-(normals[:, 0] * x + normals[:, 1] * y) / max(math.hypot(x, y), 1e-6), 0.25)
        light = light + look.lamps * 1.1 * float(lamps(x, y)) * facing
    dark = 1.0 - min(1.0, look.ambient + look.sun)
    colours = np.maximum(base * light[:, None], base * shape.glow * (0.25 + 0.9 * dark))

    tall = float(local[:, 2].max())
    foot = corners(np.asarray(box)[None, :5])[0]
    fall = -sun[:2] / max(float(sun[2]), 0.2) * tall * 0.8
    return Solid(
        place_m=np.array([x, y]),
        length_m=length,
        vertices_m=vertices,
        faces=shape.faces,
        fine=shape.fine,
        anchors_m=vertices[shape.first],
        normals=normals,
        colours=np.minimum(colours, 255),
        outline_m=np.concatenate([foot, foot + fall]),
    )
