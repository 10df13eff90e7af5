"""Things that stand on the ground, as faces to be painted: vehicles, blocks, posts, trees."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chanzi.drive.world.light import brightness, lamps
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
    reach_m : float
        No part of it is farther from there.
    vertices_m : float64 (V, 3)
    faces : tuple of tuples of int
        Corners, counter-clockwise from outside, in the order in which a viewer above the bonnet paints them.
    colours : float64 (F, 3)
        Lit.
    outline_m : float64 (P, 2)
        The corners of its shadow on the ground.
    """

    place_m: npt.NDArray[np.float64]
    reach_m: float
    vertices_m: Vertices
    faces: tuple[tuple[int, ...], ...]
    colours: npt.NDArray[np.float64]
    outline_m: npt.NDArray[np.float64]


class _Template:
    """Vertices in shares of length and width, and metres of height; faces; colours, `_BODY` for the car's own."""

    def __init__(self) -> None:
        self.vertices: list[tuple[float, float, float]] = []
        self.faces: list[tuple[int, ...]] = []
        self.colours: list[Colour] = []
        self.glow: list[float] = []

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

    def patch(self, corners: list[tuple[float, float, float]], colour: Colour, glow: float = 0.0) -> None:
        """Add a face of its own."""
        base = len(self.vertices)
        self.vertices += corners
        self.face(tuple(range(base, base + len(corners))), colour, glow)

    def face(self, corners: tuple[int, ...], colour: Colour, glow: float = 0.0) -> None:
        """Add a face over vertices that are there."""
        self.faces.append(corners)
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
        car.patch([(-0.502, high, 0.56), (-0.5, high, 0.72), (-0.5, low, 0.72), (-0.502, low, 0.56)], _TAIL, 1.0)
        car.patch([(0.502, low, 0.56), (0.5, low, 0.70), (0.5, high, 0.70), (0.502, high, 0.56)], _HEAD, 1.0)
    car.patch([(-0.502, 0.12, 0.48), (-0.5, 0.12, 0.6), (-0.5, -0.12, 0.6), (-0.502, -0.12, 0.48)], (214, 214, 206))
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
        self.faces = tuple(template.faces)
        self.first = np.array([f[:3] for f in template.faces])
        self.colours = np.array(template.colours)
        self.body = (self.colours == np.array(_BODY)).all(axis=1)
        self.glow = np.array(template.glow)[:, None]


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
    c, s = np.cos(heading), np.sin(heading)
    local = shape.vertices * (length, width, 1.0)
    vertices = np.empty_like(local)
    vertices[:, 0] = x + c * local[:, 0] - s * local[:, 1]
    vertices[:, 1] = y + s * local[:, 0] + c * local[:, 1]
    vertices[:, 2] = local[:, 2]

    a, b, d = (vertices[shape.first[:, k]] for k in range(3))
    normals = np.cross(b - a, d - a)
    normals /= np.maximum(np.linalg.norm(normals, axis=1), 1e-9)[:, None]
    base = np.where(shape.body[:, None], np.array(paint), shape.colours)
    light = look.ambient + look.sun * np.maximum(normals @ sun, 0.0)
    # Faces that look back at the car catch its headlamps.
    facing = np.maximum(-(normals[:, 0] * x + normals[:, 1] * y) / max(float(np.hypot(x, y)), 1e-6), 0.25)
    light = light + look.lamps * 1.1 * float(lamps(x, y)) * facing
    colours = base * light[:, None]
    dark = 1.0 - min(1.0, look.ambient + look.sun)
    colours = np.maximum(colours, base * shape.glow * (0.25 + 0.9 * dark))

    tall = float(vertices[:, 2].max())
    foot = corners_of(x, y, heading, length, width)
    fall = -sun[:2] / max(float(sun[2]), 0.2) * tall * 0.8
    return Solid(
        place_m=np.array([x, y]),
        reach_m=float(np.hypot(length, width)) / 2,
        vertices_m=vertices,
        faces=shape.faces,
        colours=np.clip(colours, 0, 255),
        outline_m=np.concatenate([foot, foot + fall]),
    )


def corners_of(x: float, y: float, heading: float, length: float, width: float) -> npt.NDArray[np.float64]:
    """Return a rectangle's corners (4, 2)."""
    c, s = np.cos(heading), np.sin(heading)
    local = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * (length / 2, width / 2)
    return local @ np.array([[c, s], [-s, c]]) + (x, y)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenery:
    """What stands beside the road, in the world's frame.

    Parameters
    ----------
    places_m : float64 (N, 2)
    heights_m : float64 (N,)
    tones : float64 (N, 3)
        Colours of the crowns; of a post, its own.
    kinds : int64 (N,)
        0 a round tree, 1 a pointed one, 2 a post.
    """

    places_m: npt.NDArray[np.float64]
    heights_m: npt.NDArray[np.float64]
    tones: npt.NDArray[np.float64]
    kinds: npt.NDArray[np.int64]


def tone_lit(tone: npt.NDArray[np.float64], look: Look, x_m: float, y_m: float) -> npt.NDArray[np.float64]:
    """Return a standing thing's colour in this light."""
    return np.clip(tone * float(brightness(look, x_m, y_m)), 0, 255)
