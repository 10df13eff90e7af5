"""Low-poly vehicles and trees, modelled here: no file is read, and no licence but ours applies."""

import itertools
import math

import numpy as np

from chanzi.drive.world.scene.mesh import GLOWING, PAINTED, Colour, Mesh, faces, joined

_GLASS: Colour = (38, 46, 56)
_TRIM: Colour = (28, 28, 30)
_TYRE: Colour = (24, 24, 26)
_RIM: Colour = (128, 130, 134)
_HEAD: Colour = (250, 246, 226)
_TAIL: Colour = (214, 28, 24)
_PLATE: Colour = (222, 222, 214)
_BARK: Colour = (82, 64, 48)
_WHITE: Colour = (255, 255, 255)
_BLACK: Colour = (0, 0, 0)

_RING = 10


def car(length_m: float, width_m: float, height_m: float) -> Mesh:
    """Return a car, its nose along x, its middle at the origin, its wheels on the ground.

    From 2.2 m of height on it is a van: a cab and a box.
    """
    long, half = length_m / 2, width_m / 2
    wheel = min(0.36, 0.24 * height_m)
    sill, belt = 0.55 * wheel, 0.56 * height_m
    axles = (0.31 * length_m, -0.31 * length_m)
    parts = [
        _frustum(
            (-0.96 * long, 0.96 * long, 0.9 * half, sill), (-0.96 * long, 0.96 * long, half, 0.3 * height_m), _TRIM
        )
    ]
    if height_m < 2.2:
        low = (-long, long, half, 0.26 * height_m)
        parts += [
            _frustum(low, (-0.98 * long, 0.96 * long, 0.95 * half, belt), _WHITE, mark=PAINTED),
            _frustum(
                (-0.86 * long, 0.42 * long, 0.9 * half, belt),
                (-0.60 * long, 0.10 * long, 0.74 * half, 0.97 * height_m),
                _GLASS,
            ),
            _frustum(
                (-0.60 * long, 0.10 * long, 0.74 * half, 0.97 * height_m),
                (-0.58 * long, 0.08 * long, 0.72 * half, height_m),
                _WHITE,
                mark=PAINTED,
            ),
        ]
    else:
        cab, box = 0.52 * long, 0.46 * long
        parts += [
            _frustum(
                (cab, long, 0.94 * half, sill), (cab, 0.97 * long, 0.92 * half, 0.46 * height_m), _WHITE, mark=PAINTED
            ),
            _frustum(
                (cab, 0.97 * long, 0.92 * half, 0.46 * height_m),
                (cab, 0.80 * long, 0.86 * half, 0.74 * height_m),
                _GLASS,
            ),
            _frustum((-long, box, half, 1.1 * wheel), (-long, box, half, height_m), (224, 224, 220)),
        ]
        belt = 0.4 * height_m
    parts += [_wheel(x, side * half, wheel) for x in axles for side in (-1, 1)]
    for side in (-1, 1):
        inner, outer = sorted((side * 0.55 * half, side * 0.92 * half))
        top, bottom = 0.94 * belt, 0.72 * belt
        front, rear = 1.003 * long, -1.003 * long
        parts += [
            faces(
                [[(front, inner, bottom), (front, outer, bottom), (front, outer, top), (front, inner, top)]],
                _HEAD,
                GLOWING,
            ),
            faces(
                [[(rear, outer, bottom), (rear, inner, bottom), (rear, inner, top), (rear, outer, top)]], _TAIL, GLOWING
            ),
        ]
    rear, top, bottom = -1.004 * long, 0.66 * belt, 0.54 * belt
    parts.append(faces([[(rear, 0.26, bottom), (rear, -0.26, bottom), (rear, -0.26, top), (rear, 0.26, top)]], _PLATE))
    return joined(parts)


def shadow(length_m: float, width_m: float) -> Mesh:
    """Return what lies dark under a car of a size: its outline, a little larger, at the ground."""
    x, y, cut = length_m / 2 + 0.2, width_m / 2 + 0.2, 0.5
    outline = [
        (x, y - cut, 0), (x - cut, y, 0), (cut - x, y, 0), (-x, y - cut, 0),
        (-x, cut - y, 0), (cut - x, -y, 0), (x - cut, -y, 0), (x, cut - y, 0),
    ]  # fmt: skip
    return faces([outline], _BLACK)


def tree(height_m: float, tone: Colour, *, pointed: bool) -> Mesh:
    """Return a tree at the origin: a trunk, and a crown that is pointed or round."""
    trunk = _cone(0.0, 0.32 * height_m, 0.035 * height_m, 0.03 * height_m, _BARK, 5)
    if pointed:
        crown = [
            _cone(low * height_m, high * height_m, wide * height_m, 0.0, _shaded(tone, factor), 7)
            for low, high, wide, factor in ((0.14, 0.62, 0.23, 0.8), (0.38, 0.84, 0.17, 0.92), (0.62, 1.0, 0.11, 1.05))
        ]
        return joined([trunk, *crown])
    rings = ((0.28, 0.10), (0.42, 0.25), (0.62, 0.28), (0.82, 0.20), (1.0, 0.0))
    crown = [
        _cone(low * height_m, high * height_m, wide * height_m, narrow * height_m, _shaded(tone, 0.72 + 0.12 * k), 7)
        for k, ((low, wide), (high, narrow)) in enumerate(itertools.pairwise(rings))
    ]
    return joined([trunk, *crown])


def post(height_m: float) -> Mesh:
    """Return a reflector post at the origin."""
    return joined(
        [
            _frustum((-0.06, 0.06, 0.06, 0.0), (-0.05, 0.05, 0.05, 0.65 * height_m), (232, 232, 232)),
            _frustum((-0.05, 0.05, 0.05, 0.65 * height_m), (-0.05, 0.05, 0.05, 0.85 * height_m), (40, 40, 42)),
            _frustum((-0.05, 0.05, 0.05, 0.85 * height_m), (-0.04, 0.04, 0.04, height_m), (232, 232, 232)),
        ]
    )


def _shaded(tone: Colour, factor: float) -> Colour:
    r, g, b = (min(255.0, c * factor) for c in tone)
    return r, g, b


def _frustum(
    low: tuple[float, float, float, float],
    high: tuple[float, float, float, float],
    colour: Colour,
    *,
    mark: float = 0.0,
) -> Mesh:
    """Return a box without a floor whose top may be smaller: (rear, front, half width, height) below and above."""
    a, b = (
        [(front, half, z), (rear, half, z), (rear, -half, z), (front, -half, z)] for rear, front, half, z in (low, high)
    )
    around = [(a[(k + 1) % 4], a[k], b[k], b[(k + 1) % 4]) for k in range(4)]
    return faces([*around, (b[0], b[1], b[2], b[3])], colour, mark)


def _wheel(x_m: float, y_m: float, radius_m: float) -> Mesh:
    """Return a wheel as seen from its car's side: `y_m` is where its outer face lies."""
    angles = np.linspace(0, 2 * math.pi, _RING, endpoint=False)
    side = math.copysign(1.0, y_m)
    discs = []
    for share, out, colour in ((1.0, 0.01, _TYRE), (0.55, 0.02, _RIM)):
        ring = [
            (x_m + share * radius_m * math.cos(t), y_m + side * out, radius_m * (1 + share * math.sin(t)))
            for t in angles
        ]
        discs.append(faces([ring[::-1] if side > 0 else ring], colour))
    inner = y_m - side * 0.22
    tread = []
    for t, u in zip(angles, np.roll(angles, -1), strict=True):
        p, q = ((x_m + radius_m * math.cos(v), radius_m * (1 + math.sin(v))) for v in (t, u))
        quad = [(p[0], y_m, p[1]), (q[0], y_m, q[1]), (q[0], inner, q[1]), (p[0], inner, p[1])]
        tread.append(quad[::-1] if side > 0 else quad)
    return joined([*discs, faces(tread, _TYRE)])


def _cone(low_m: float, high_m: float, wide_m: float, narrow_m: float, colour: Colour, sides: int) -> Mesh:
    """Return the side of a cone, cut or whole, standing upright."""
    angles = np.linspace(0, 2 * math.pi, sides, endpoint=False)
    quads = []
    for t, u in zip(angles, np.roll(angles, -1), strict=True):
        p, q = ((math.cos(v), math.sin(v)) for v in (t, u))
        quads.append(
            [
                (wide_m * p[0], wide_m * p[1], low_m),
                (wide_m * q[0], wide_m * q[1], low_m),
                (narrow_m * q[0], narrow_m * q[1], high_m),
                (narrow_m * p[0], narrow_m * p[1], high_m),
            ]
        )
    return faces(quads, colour)
