"""Cameras on a car: where each sits, where it looks, and how a point of the world falls on its picture."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chanzi.errors import DriveError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A pinhole camera, fixed to the car.

    Parameters
    ----------
    name : str
    x_m, y_m, z_m : float
        Its place: forward and left of the car's centre, above the ground.
    yaw_rad : float
        Where it looks; 0 is forward, positive is left.
    pitch_rad : float
        Positive looks down.
    view_rad : float
        Horizontal angle of view.
    width, height : int
        Of its picture, in pixels.
    """

    name: str
    x_m: float
    y_m: float
    z_m: float
    yaw_rad: float
    pitch_rad: float
    view_rad: float
    width: int
    height: int

    @property
    def focal_px(self) -> float:
        """Focal length in pixels; pixels are square."""
        return self.width / 2 / math.tan(self.view_rad / 2)

    def axes(self) -> npt.NDArray[np.float64]:
        """Return the camera's right, down and forward directions in the car's frame, (3, 3), a row each."""
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        level = np.array([c, s, 0.0])
        right = np.array([s, -c, 0.0])
        up = np.array([0.0, 0.0, 1.0])
        forward = math.cos(self.pitch_rad) * level - math.sin(self.pitch_rad) * up
        return np.stack([right, np.cross(forward, right), forward])

    def project(self, points_m: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return pixels (N, 2), column and row, and depths (N,) in metres of points (N, 3) in the car's frame.

        Pixels of points with a depth of zero or less mean nothing.
        """
        seen = (np.asarray(points_m, np.float64) - (self.x_m, self.y_m, self.z_m)) @ self.axes().T
        depth = seen[:, 2]
        safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
        middle = np.array([self.width / 2, self.height / 2])
        return seen[:, :2] / safe[:, None] * self.focal_px + middle, depth


def rig(cameras: int, *, width: int = 160, height: int = 80) -> tuple[Camera, ...]:
    """Return one, three or eight cameras of a car, each with pictures of the given size.

    The eight stand as the 2019 car's owner's manual shows them: narrow, main and wide behind the windscreen, two on
    the door pillars looking sideways and ahead, two on the wings looking back, one over the number plate. Their exact
    angles were not published and are estimates. Three are the main one and the pillars'.

    Raises
    ------
    DriveError
        There is no such rig.
    """
    degrees = math.radians
    places = {
        "main": (1.2, 0.0, 1.4, 0.0, 5.0, 70.0),
        "narrow": (1.2, 0.05, 1.4, 0.0, 2.0, 35.0),
        "wide": (1.2, -0.05, 1.4, 0.0, 8.0, 120.0),
        "pillar_left": (0.4, 0.8, 1.3, 60.0, 8.0, 80.0),
        "pillar_right": (0.4, -0.8, 1.3, -60.0, 8.0, 80.0),
        "wing_left": (1.0, 0.9, 0.9, 140.0, 5.0, 70.0),
        "wing_right": (1.0, -0.9, 0.9, -140.0, 5.0, 70.0),
        "rear": (-2.2, 0.0, 1.0, 180.0, 10.0, 120.0),
    }
    rigs = {1: ("main",), 3: ("main", "pillar_left", "pillar_right"), 8: tuple(places)}
    if cameras not in rigs:
        raise DriveError(f"there is no rig of {cameras} cameras", hint=did_you_mean(str(cameras), map(str, rigs)))
    return tuple(
        Camera(
            name=name,
            x_m=places[name][0],
            y_m=places[name][1],
            z_m=places[name][2],
            yaw_rad=degrees(places[name][3]),
            pitch_rad=degrees(places[name][4]),
            view_rad=degrees(places[name][5]),
            width=width,
            height=height,
        )
        for name in rigs[cameras]
    )
