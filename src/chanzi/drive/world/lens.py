"""What a camera sees of flat ground and sky, worked out once: which rows, how far, at which size of the sheet."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from chanzi.drive.camera import Camera
from chanzi.drive.world.ground import LEVELS, Sheet
from chanzi.drive.world.sky import HIGHEST_RAD, PX_PER_RAD, WIDTH_PX

Pose = tuple[float, float, float]
"""A car's place in the world: x, y, heading."""

_FARTHEST_M = 2000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Band:
    """Rows that are warped together: `across` by `down` samples a pixel, from one level of the sheet."""

    first: int
    last: int
    level: int
    across: int
    down: int
    car_from_sample: npt.NDArray[np.float64]


class Lens:
    """The fixed part of a camera's view.

    Parameters
    ----------
    camera : Camera
    px_per_m : float
        Of the sheets it will look at.
    """

    def __init__(self, camera: Camera, px_per_m: float) -> None:
        self.camera = camera
        self.axes = camera.axes()
        self.place = np.array([camera.x_m, camera.y_m, camera.z_m])
        c = camera
        horizon = c.height / 2 - c.focal_px * math.tan(c.pitch_rad)
        self.first_row = min(max(math.floor(horizon) + 1, 0), c.height)
        """The first row that holds only ground."""

        # A pixel's ray in the camera's frame, then in the car's; from it the place on the ground.
        intrinsic = np.array([[c.focal_px, 0.0, c.width / 2], [0.0, c.focal_px, c.height / 2], [0.0, 0.0, 1.0]])
        ground = np.stack([self.axes[:, 0], self.axes[:, 1], -self.axes @ self.place], axis=1)
        self._car_from_pixel = np.linalg.inv(intrinsic @ ground)
        self._bands = self._banded(px_per_m)

        u, v = np.meshgrid(np.arange(c.width) + 0.5, np.arange(self.first_row, c.height) + 0.5)
        places = np.stack([u, v, np.ones_like(u)], axis=-1) @ self._car_from_pixel.T
        places = places[..., :2] / places[..., 2:]
        self.ground_m = np.clip(places, -_FARTHEST_M, _FARTHEST_M)
        """Where each ground pixel lies in the car's frame, (rows, width, 2)."""
        self.distance_m = np.hypot(*np.moveaxis(places - self.place[:2], -1, 0)).clip(0.0, _FARTHEST_M)

        u, v = np.meshgrid(np.arange(c.width) + 0.5, np.arange(self.first_row) + 0.5)
        rays = np.stack([u - c.width / 2, v - c.height / 2, np.full_like(u, c.focal_px)], axis=-1) @ self.axes
        rise = np.arctan2(rays[..., 2], np.hypot(rays[..., 0], rays[..., 1]))
        # Half a pixel short of the lowest row: the remapping wraps round upwards, too.
        self._sky_row = ((HIGHEST_RAD - np.clip(rise, 0.0, HIGHEST_RAD)) * PX_PER_RAD).astype(np.float32)
        self._sky_column = (np.arctan2(rays[..., 1], rays[..., 0]) * PX_PER_RAD).astype(np.float32)

    def _banded(self, px_per_m: float) -> tuple[_Band, ...]:
        """Choose for each row a level and a number of samples that match what its pixels cover on the ground."""
        c = self.camera
        kinds = []
        for row in range(self.first_row, c.height):
            below = (row + 0.5 - c.height / 2) / c.focal_px
            slope = math.sin(c.pitch_rad) + below * math.cos(c.pitch_rad)
            depth = c.z_m / max(slope, 1e-3)
            wide = depth / c.focal_px * px_per_m
            deep = wide * depth / c.z_m
            level = min(LEVELS - 1, max(0, math.floor(math.log2(max(wide, 1.0)))))
            across = 1 if wide < 1 else 2
            # Few kinds, for each costs a call.
            stretch = deep / 2**level
            down = 1 if stretch < 2 else 3 if stretch < 5 else 8
            kinds.append((level, across, down))
        bands = []
        first = 0
        for row in range(1, len(kinds) + 1):
            if row < len(kinds) and kinds[row] == kinds[first]:
                continue
            level, across, down = kinds[first]
            top = self.first_row + first
            # Sample (i, j) of the band stands at pixel ((i + 1/2) / across, top + (j + 1/2) / down).
            spread = np.array([[1 / across, 0.0, 0.5 / across], [0.0, 1 / down, top + 0.5 / down], [0.0, 0.0, 1.0]])
            bands.append(
                _Band(
                    first=first,
                    last=row,
                    level=level,
                    across=across,
                    down=down,
                    car_from_sample=np.asarray(self._car_from_pixel @ spread, np.float64),
                )
            )
            first = row
        return tuple(bands)

    def materials(self, sheet: Sheet, pose: Pose, beyond: tuple[int, int, int, int]) -> npt.NDArray[np.uint8]:
        """Return the sheet as the camera sees it, (rows from `first_row`, width, 4).

        Parameters
        ----------
        sheet : Sheet
        pose : Pose
        beyond : tuple
            What lies outside the sheet.
        """
        c, s = math.cos(pose[2]), math.sin(pose[2])
        world = np.array([[c, -s, pose[0]], [s, c, pose[1]], [0.0, 0.0, 1.0]])
        width = self.camera.width
        seen = np.empty((self.camera.height - self.first_row, width, 4), np.uint8)
        for band in self._bands:
            matrix = sheet.from_world(band.level) @ world @ band.car_from_sample
            rows = band.last - band.first
            samples = cv2.warpPerspective(
                sheet.levels[band.level],
                matrix,
                (width * band.across, rows * band.down),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=beyond,
            )
            if band.across > 1 or band.down > 1:
                samples = cv2.resize(samples, (width, rows), interpolation=cv2.INTER_AREA)
            seen[band.first : band.last] = samples
        return seen

    def sky(self, around: npt.NDArray[np.uint8], heading_rad: float) -> npt.NDArray[np.uint8]:
        """Return the rows above the ground, (first_row, width, 3), out of a panorama."""
        column = np.mod(self._sky_column + np.float32(heading_rad * PX_PER_RAD), np.float32(WIDTH_PX))
        return cv2.remap(around, column, self._sky_row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
