"""Pictures of a scene through a rig's cameras: the ground warped, things painted over it from far to near."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from chanzi.drive.camera import Camera
from chanzi.drive.world.ground import GRAIN, KERB, PAINT, ROAD, Ground
from chanzi.drive.world.lens import Lens, Pose
from chanzi.drive.world.light import brightness, haze
from chanzi.drive.world.look import Look
from chanzi.drive.world.sky import panorama
from chanzi.drive.world.solids import Scenery, Solid, tone_lit

Picture = npt.NDArray[np.uint8]

_NEAR_M = 0.15
_SEEN_M = 160.0
_SCENERY_SEEN_M = 130.0
_SHIFT = 4
_SCALE = 1 << _SHIFT
_FAR_COORDINATE = 30_000.0


@dataclass(frozen=True, slots=True)
class _Air:
    """Per ground pixel: colour = material x `light` + `veil`."""

    light: npt.NDArray[np.float32]
    veil: npt.NDArray[np.float32]


def ground_matrix(look: Look) -> npt.NDArray[np.float32]:
    """Return the matrix (3, 5) from a sheet's channels and 1 to a colour."""
    grass, asphalt = np.array(look.grass), np.array(look.asphalt)
    matrix = np.zeros((3, 5))
    matrix[:, ROAD] = (asphalt - grass) / 255
    matrix[:, PAINT] = (np.array(look.paint) - asphalt) / 255
    matrix[:, KERB] = (np.array(look.kerb) - asphalt) / 255
    matrix[:, GRAIN] = look.grain * np.array([0.9, 1.0, 0.75])
    matrix[:, 4] = grass - 128 * matrix[:, GRAIN]
    return matrix.astype(np.float32)


class Painter:
    """Paints one map for one rig.

    Parameters
    ----------
    cameras : sequence of Camera
    ground : Ground
    """

    def __init__(self, cameras: Sequence[Camera], ground: Ground) -> None:
        self.ground = ground
        self._lenses = tuple(Lens(camera, ground.px_per_m) for camera in cameras)
        self.wear(Look())

    def wear(self, look: Look) -> None:
        """Take on the look of an episode."""
        self.look = look
        self._matrix = ground_matrix(look)
        self._panorama = panorama(look)
        self._airs = tuple(self._air(lens) for lens in self._lenses)

    def _air(self, lens: Lens) -> _Air:
        share = haze(self.look, lens.distance_m)[..., None]
        light = brightness(self.look, lens.ground_m[..., 0], lens.ground_m[..., 1])[..., None]
        veil = share * np.array(self.look.sky_low)
        return _Air(
            np.repeat((light * (1 - share)).astype(np.float32), 3, axis=2),
            veil.astype(np.float32),
        )

    def paint(self, index: int, pose: Pose, solids: Sequence[Solid], scenery: Scenery | None = None) -> Picture:
        """Return what a camera sees, uint8 (height, width, 3).

        Parameters
        ----------
        index : int
            Of the camera in the rig.
        pose : Pose
        solids : sequence of Solid
            In any order.
        scenery : Scenery, optional
        """
        lens, air = self._lenses[index], self._airs[index]
        camera = lens.camera
        picture = np.empty((camera.height, camera.width, 3), np.uint8)
        if lens.first_row:
            picture[: lens.first_row] = lens.sky(self._panorama, pose[2])
        if lens.first_row < camera.height:
            sheet = self.ground.around(pose[0], pose[1])
            materials = lens.materials(sheet, pose, (0, 0, 0, 128))
            colours = cv2.transform(materials, self._matrix).astype(np.float32)
            colours *= air.light
            shadows = self._shadows(lens, solids)
            if shadows is not None:
                colours *= shadows
            colours += air.veil
            np.minimum(colours, 255, out=colours)
            picture[lens.first_row :] = colours
        jobs: list[tuple[float, int, int]] = []
        for number, solid in enumerate(solids):
            distance = math.hypot(solid.place_m[0] - camera.x_m, solid.place_m[1] - camera.y_m)
            if distance < _SEEN_M:
                jobs.append((distance, 0, number))
        places = None
        if scenery is not None:
            places = _into_car(scenery.places_m, pose)
            ahead = (places - lens.place[:2]) @ lens.axes[2, :2]
            aside = np.abs((places - lens.place[:2]) @ lens.axes[0, :2])
            slope = camera.width / 2 / camera.focal_px
            distances = np.hypot(*(places - lens.place[:2]).T)
            seen = (ahead > 0.8) & (aside < ahead * slope + 4.0) & (distances < _SCENERY_SEEN_M)
            jobs += [(float(distances[k]), 1, int(k)) for k in np.flatnonzero(seen)]
        for distance, kind, number in sorted(jobs, reverse=True):
            if kind == 0:
                self._paint_solid(picture, lens, solids[number], distance)
            elif scenery is not None and places is not None:
                self._paint_scenery(picture, lens, scenery, number, places[number], distance)
        return picture

    def _shadows(self, lens: Lens, solids: Sequence[Solid]) -> npt.NDArray[np.float32] | None:
        """Return the factor on the light of each ground pixel, (rows, width, 3)."""
        if self.look.shadow <= 0 or not solids:
            return None
        camera = lens.camera
        mask = np.zeros((camera.height - lens.first_row, camera.width), np.uint8)
        drawn = False
        for solid in solids:
            flat = np.concatenate([solid.outline_m, np.zeros((len(solid.outline_m), 1))], axis=1)
            depth = (flat - lens.place) @ lens.axes[2]
            if depth.max() < _NEAR_M or depth.min() > _SEEN_M:
                continue
            hull = cv2.convexHull(solid.outline_m.astype(np.float32))[:, 0]
            corners = _clipped((np.pad(hull, ((0, 0), (0, 1))) - lens.place) @ lens.axes.T)
            if len(corners) < 3:
                continue
            pixels = _pixels(corners, camera)
            pixels[:, 1] -= lens.first_row
            _fill(mask, pixels, 255)
            drawn = True
        if not drawn:
            return None
        soft = cv2.blur(mask, (3, 3)) if camera.width < 400 else cv2.GaussianBlur(mask, (9, 5), 0)
        return (1.0 - np.float32(self.look.shadow / 255) * soft)[..., None]

    def _paint_solid(self, picture: Picture, lens: Lens, solid: Solid, distance_m: float) -> None:
        camera = lens.camera
        seen = (solid.vertices_m - lens.place) @ lens.axes.T
        depth = seen[:, 2]
        if depth.max() < _NEAR_M:
            return
        whole = depth.min() >= _NEAR_M
        pixels = _pixels(seen, camera) if whole else None
        if pixels is not None and (
            pixels[:, 0].max() < 0
            or pixels[:, 0].min() > camera.width
            or pixels[:, 1].max() < 0
            or pixels[:, 1].min() > camera.height
        ):
            return
        share = float(haze(self.look, distance_m))
        colours = solid.colours * (1 - share) + np.array(self.look.sky_low) * share
        for face, colour in zip(solid.faces, colours.tolist(), strict=True):
            corners = seen[list(face)]
            # Seen from its outside: the eye lies on the side that the face's normal points to.
            if np.dot(np.cross(corners[1] - corners[0], corners[2] - corners[0]), corners[0]) >= 0:
                continue
            if pixels is not None:
                _fill(picture, pixels[list(face)], colour)
                continue
            corners = _clipped(corners)
            if len(corners) >= 3:
                _fill(picture, _pixels(corners, camera), colour)

    def _paint_scenery(
        self,
        picture: Picture,
        lens: Lens,
        scenery: Scenery,
        number: int,
        place_m: npt.NDArray[np.float64],
        distance_m: float,
    ) -> None:
        camera = lens.camera
        foot = lens.axes @ (np.array([place_m[0], place_m[1], 0.0]) - lens.place)
        size = camera.focal_px / foot[2]
        x = foot[0] * size + camera.width / 2 - 0.5
        y = foot[1] * size + camera.height / 2 - 0.5
        tall = float(scenery.heights_m[number]) * size
        share = float(haze(self.look, distance_m))
        lit = tone_lit(scenery.tones[number], self.look, place_m[0], place_m[1])
        fog = np.array(self.look.sky_low)

        def tinted(factor: float) -> list[float]:
            return (np.minimum(lit * factor, 255) * (1 - share) + fog * share).tolist()

        kind = int(scenery.kinds[number])
        if kind == 2:
            half = max(0.06 * size, 0.35)
            _fill(picture, _rectangle(x - half, y - tall, x + half, y), tinted(1.0))
            _fill(picture, _rectangle(x - half, y - tall * 0.85, x + half, y - tall * 0.65), tinted(0.2))
            return
        half = max(0.025 * tall, 0.3)
        brown = (np.array([74.0, 58.0, 44.0]) * float(brightness(self.look, place_m[0], place_m[1]))).clip(0, 255)
        bark = (brown * (1 - share) + fog * share).tolist()
        _fill(picture, _rectangle(x - half, y - tall * 0.4, x + half, y), bark)
        if kind == 1:
            for low, high, wide, factor in ((0.12, 0.62, 0.24, 0.72), (0.38, 0.84, 0.18, 0.88), (0.62, 1.0, 0.12, 1.0)):
                peak = [(x - wide * tall, y - low * tall), (x + wide * tall, y - low * tall), (x, y - high * tall)]
                _fill(picture, np.array(peak), tinted(factor))
                lit_side = [
                    (x - wide * tall, y - low * tall),
                    (x - 0.2 * wide * tall, y - low * tall),
                    (x, y - high * tall),
                ]
                _fill(picture, np.array(lit_side), tinted(factor * 1.16))
            return
        blobs = ((0.0, 0.60, 0.27, 0.72), (-0.13, 0.58, 0.19, 0.86), (0.14, 0.62, 0.18, 0.8), (-0.03, 0.78, 0.2, 1.0))
        for aside, high, radius, factor in blobs:
            _disc(picture, x + aside * tall, y - high * tall, radius * tall, tinted(factor))
        _disc(picture, x - 0.07 * tall, y - 0.81 * tall, 0.12 * tall, tinted(1.15))


def _into_car(places_m: npt.NDArray[np.float64], pose: Pose) -> npt.NDArray[np.float64]:
    """Return places (N, 2) of the world in the car's frame."""
    c, s = math.cos(pose[2]), math.sin(pose[2])
    return (places_m - (pose[0], pose[1])) @ np.array([[c, -s], [s, c]])


def _pixels(seen_m: npt.NDArray[np.float64], camera: Camera) -> npt.NDArray[np.float64]:
    """Return pixel indices (N, 2) of points (N, 3) in the camera's frame."""
    middle = np.array([camera.width / 2 - 0.5, camera.height / 2 - 0.5])
    return seen_m[:, :2] / seen_m[:, 2:] * camera.focal_px + middle


def _clipped(corners_m: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a face (N, 3) in the camera's frame without what lies nearer than the near plane."""
    kept = []
    for here, there in zip(corners_m, np.roll(corners_m, -1, axis=0), strict=True):
        if here[2] >= _NEAR_M:
            kept.append(here)
        if (here[2] >= _NEAR_M) != (there[2] >= _NEAR_M):
            kept.append(here + (there - here) * (_NEAR_M - here[2]) / (there[2] - here[2]))
    return np.array(kept) if kept else np.empty((0, 3))


def _fill(picture: npt.NDArray[np.uint8], pixels: npt.NDArray[np.float64], colour: float | list[float]) -> None:
    fixed = np.rint(np.clip(pixels, -_FAR_COORDINATE, _FAR_COORDINATE) * _SCALE).astype(np.int32)
    cv2.fillConvexPoly(picture, fixed, colour, cv2.LINE_AA, _SHIFT)


def _rectangle(left: float, top: float, right: float, bottom: float) -> npt.NDArray[np.float64]:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _disc(picture: npt.NDArray[np.uint8], x: float, y: float, radius: float, colour: list[float]) -> None:
    if radius < 0.5 or abs(x) > _FAR_COORDINATE or abs(y) > _FAR_COORDINATE:
        return
    centre = (round(x * _SCALE), round(y * _SCALE))
    cv2.circle(picture, centre, round(radius * _SCALE), colour, -1, cv2.LINE_AA, _SHIFT)
