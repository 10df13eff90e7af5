"""Pictures of a scene through a rig's cameras: the ground warped, things painted over it from far to near."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from chanzi.drive.camera import Camera
from chanzi.drive.world.brush import fill, fill_fixed, fixed
from chanzi.drive.world.ground import GRAIN, KERB, PAINT, ROAD, Ground
from chanzi.drive.world.lens import Lens, Pose
from chanzi.drive.world.light import brightness, haze
from chanzi.drive.world.look import Look
from chanzi.drive.world.sky import panorama
from chanzi.drive.world.solids import Solid
from chanzi.drive.world.wayside import Scenery, Seen

Picture = npt.NDArray[np.uint8]

_NEAR_M = 0.15
_SEEN_M = 160.0
_FINE_PX = 18.0


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
        seen = None if scenery is None else Seen(scenery, lens, pose, self.look)
        if seen is not None:
            jobs += [(distance, 1, number) for number, distance in enumerate(seen.distances_m)]
        for distance, kind, number in sorted(jobs, reverse=True):
            if kind == 0:
                self._paint_solid(picture, lens, solids[number], distance)
            elif seen is not None:
                seen.paint(picture, number)
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
            fill(mask, pixels, 255)
            drawn = True
        if not drawn:
            return None
        soft = cv2.blur(mask, (3, 3)) if camera.width < 400 else cv2.GaussianBlur(mask, (9, 5), 0)
        return (1.0 - np.float32(self.look.shadow / 255) * soft)[..., None]

    def _paint_solid(self, picture: Picture, lens: Lens, solid: Solid, distance_m: float) -> None:
        camera = lens.camera
        seen = (solid.vertices_m - lens.place) @ lens.axes.T
        nearest = float(seen[:, 2].min())
        if float(seen[:, 2].max()) < _NEAR_M:
            return
        points = None
        if nearest >= _NEAR_M:
            pixels = _pixels(seen, camera)
            (left, top), (right, bottom) = pixels.min(axis=0), pixels.max(axis=0)
            if right < 0 or left > camera.width or bottom < 0 or top > camera.height:
                return
            points = fixed(pixels)
        share = float(haze(self.look, distance_m))
        colours = (solid.colours * (1 - share) + np.array(self.look.sky_low) * share).tolist()
        coarse = solid.length_m * camera.focal_px < _FINE_PX * distance_m
        # A face is seen where the eye lies on its outer side.
        outside = np.einsum("fk,fk->f", lens.place - solid.anchors_m, solid.normals) > 0
        for number in np.flatnonzero(outside).tolist():
            if coarse and solid.fine[number]:
                continue
            face = solid.faces[number]
            if points is not None:
                fill_fixed(picture, points[face], colours[number])
                continue
            corners = _clipped(seen[face])
            if len(corners) >= 3:
                fill(picture, _pixels(corners, camera), colours[number])


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
