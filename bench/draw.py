"""Pictures of what the chip saw: its detections over the float network's, on photos."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import street
from PIL import Image, ImageDraw

from chanzi import zoo
from chanzi.zoo import faces, lines, pedestrian
from chanzi.zoo.boxes import Detections

FLOAT_COLOUR, CHIP_COLOUR = (255, 200, 0), (0, 90, 255)
HEIGHT = 300
Arrays = Mapping[str, npt.NDArray[np.float32]]
Shapes = list[tuple[float, float, float, float]]

DETECTORS: dict[str, Callable[..., Detections]] = {
    "pedestrian": pedestrian.decode,
    "centerface": faces.decode_centerface,
    "blazeface": faces.decode_blazeface,
}


def images_of(name: str) -> list[npt.NDArray[np.uint8]]:
    """Return the images that are drawn for a network, none for most: only such as may be passed on."""
    if name == "mlsd_tiny":
        return zoo.photos(("china", "motorcycle_left"))
    if name not in DETECTORS:
        return []
    frames = (street.frames() or []) if name == "pedestrian" else []
    return [street.tiles(frame)[at] for frame, at in zip(frames[5:26:10], (3, 0, 4), strict=False)] + zoo.photos(
        ["astronaut"]
    )


def _shapes(name: str, outputs: Arrays) -> Shapes:
    if name in DETECTORS:
        return [tuple(row) for row in DETECTORS[name](outputs).boxes.tolist()]
    return [tuple(row) for row in (lines.decode(outputs) / lines.SIDE).tolist()]


def _panel(
    name: str, image: npt.NDArray[np.uint8], drawn: Sequence[tuple[Shapes, tuple[int, int, int], int]]
) -> Image.Image:
    picture = Image.fromarray(image)
    width = round(picture.width * HEIGHT / picture.height)
    picture = picture.resize((width, HEIGHT), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(picture)
    for shapes, colour, thickness in drawn:
        for y0, x0, y1, x1 in shapes:
            at = (x0 * width, y0 * HEIGHT, x1 * width, y1 * HEIGHT)
            if name in DETECTORS:
                pen.rectangle(at, outline=colour, width=thickness)
            else:
                pen.line(at, fill=colour, width=thickness)
    return picture


def draw(name: str, pairs: Sequence[tuple[Arrays, Arrays]], folder: Path) -> Path | None:
    """Draw float (wide, yellow) and chip (narrow, blue) side by side over each photo; one small PNG a network.

    `pairs` are (float, chip) outputs of the images of `images_of`.
    """
    images = images_of(name)
    if not images:
        return None
    panels = [
        _panel(name, image, [(_shapes(name, exact), FLOAT_COLOUR, 5), (_shapes(name, mine), CHIP_COLOUR, 2)])
        for image, (exact, mine) in zip(images, pairs, strict=True)
    ]
    sheet = Image.new("RGB", (sum(p.width for p in panels) + 4 * (len(panels) - 1), HEIGHT), "white")
    left = 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        left += panel.width + 4
    file = folder / f"{name}.png"
    sheet.quantize(96, dither=Image.Dither.NONE).save(file, optimize=True)
    return file
