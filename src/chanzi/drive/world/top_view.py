"""A picture from above, for people: the car in its middle, looking up."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from chanzi.drive.messages import Vehicle
from chanzi.drive.world.boxes import corners
from chanzi.drive.world.brush import fill as brush_fill
from chanzi.drive.world.ground import Sheet
from chanzi.drive.world.lens import Pose
from chanzi.drive.world.look import Colour, Look
from chanzi.drive.world.painter import ground_matrix
from chanzi.drive.world.world import TOP_VIEW_M

OWN_PAINT: Colour = (64.0, 160.0, 255.0)
_SHADE: Colour = (48.0, 48.0, 50.0)


def paint_top_view(
    width: int,
    height: int,
    sheet: Sheet,
    pose: Pose,
    vehicle: Vehicle,
    boxes: npt.NDArray[np.floating],
    paints: Sequence[Colour],
    look: Look,
) -> npt.NDArray[np.uint8]:
    """Return the picture, uint8 (height, width, 3), always by day.

    Parameters
    ----------
    width, height : int
    sheet : Sheet
        Of the ground round the car.
    pose : Pose
        The car's.
    vehicle : Vehicle
        The car.
    boxes : (N, 5 or more)
        Others, in the car's frame.
    paints : sequence of Colour
        One each.
    look : Look
    """
    scale = height / TOP_VIEW_M
    level = min(len(sheet.levels) - 1, max(0, math.floor(math.log2(max(sheet.px_per_m / scale, 1.0)))))
    c, s = math.cos(pose[2]), math.sin(pose[2])
    world = np.array([[c, -s, pose[0]], [s, c, pose[1]], [0.0, 0.0, 1.0]])
    # Pixel index (column, row) to the car's frame: ahead is up, left is left.
    car = np.array(
        [
            [0.0, -1 / scale, (height / 2 - 0.5) / scale],
            [-1 / scale, 0.0, (width / 2 - 0.5) / scale],
            [0.0, 0.0, 1.0],
        ]
    )
    matrix = (sheet.from_world(level) @ world @ car)[:2]
    materials = cv2.warpAffine(
        sheet.levels[level],
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0, 128),
    )
    picture = cv2.transform(materials, ground_matrix(look))

    def fill(points: npt.NDArray[np.floating], colour: Colour) -> None:
        pixels = np.stack([width / 2 - 0.5 - points[:, 1] * scale, height / 2 - 0.5 - points[:, 0] * scale], axis=1)
        brush_fill(picture, pixels, list(colour))

    own = np.array([[0.0, 0.0, 0.0, vehicle.length_m, vehicle.width_m]])
    every = np.concatenate([np.asarray(boxes, np.float64)[:, :5], own])
    for box, paint in zip(every, [*paints, OWN_PAINT], strict=True):
        shade = box + np.array([-0.25, -0.25, 0.0, 0.3, 0.3])
        fill(_rounded(shade), _SHADE)
        fill(_rounded(box), paint)
        roof = box * (1, 1, 1, 0.62, 0.84)
        roof[:2] -= 0.06 * box[3] * np.array([math.cos(box[2]), math.sin(box[2])])
        fill(corners(roof[None])[0], (46.0, 56.0, 68.0))
        top = roof * (1, 1, 1, 0.62, 0.86)
        fill(corners(top[None])[0], paint)
    return picture


def _rounded(box: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return a rectangle (5,) with its corners cut, (8, 2)."""
    cut = 0.18 * float(box[4])
    inner = [corners((box - (0, 0, 0, a, b))[None])[0] for a, b in ((2 * cut, 0.0), (0.0, 2 * cut))]
    order = ((0, 0), (1, 0), (1, 1), (0, 1), (0, 2), (1, 2), (1, 3), (0, 3))
    return np.array([inner[kind][corner] for kind, corner in order])
