"""A picture to draw on: OpenCV's smooth lines and faces, Pillow's letters. Colours are RGB."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Points = npt.NDArray[np.floating]

_SHIFT = 4
"""Bits of a pixel in coordinates that OpenCV is given."""


class Canvas:
    """A picture.

    Parameters
    ----------
    width, height : int
    ground : Colour
    """

    def __init__(self, width: int, height: int, ground: Colour) -> None:
        self.pixels: Image = np.full((height, width, 3), ground, np.uint8)

    def part(self, x: int, y: int, width: int, height: int) -> "Canvas":
        """Return a rectangle of it to draw on; nothing drawn there leaves it."""
        part = Canvas(0, 0, (0, 0, 0))
        part.pixels = self.pixels[y : y + height, x : x + width]
        return part

    def paste(self, image: Image, x: int, y: int, width: int, height: int, *, smooth: bool = True) -> None:
        """Put a picture into a rectangle, scaled."""
        import cv2

        if image.shape[:2] != (height, width):
            enlarges = image.shape[0] < height
            method = (cv2.INTER_CUBIC if enlarges else cv2.INTER_AREA) if smooth else cv2.INTER_NEAREST
            image = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method)
        self.pixels[y : y + height, x : x + width] = image

    def box(self, x: float, y: float, width: float, height: float, colour: Colour, alpha: float = 1.0) -> None:
        """Fill a rectangle."""
        x0, y0 = max(round(x), 0), max(round(y), 0)
        part = self.pixels[y0 : max(round(y + height), y0), x0 : max(round(x + width), x0)]
        part[:] = colour if alpha >= 1 else (part * (1 - alpha) + np.array(colour) * alpha).astype(np.uint8)

    def face(self, points: Points, colour: Colour, alpha: float = 1.0) -> None:
        """Fill a polygon (N, 2)."""
        import cv2

        low = np.clip(np.floor(points.min(axis=0)).astype(int) - 1, 0, None)
        high = np.ceil(points.max(axis=0)).astype(int) + 2
        part = self.pixels[low[1] : high[1], low[0] : high[0]]
        if not part.size:
            return
        over = np.ascontiguousarray(part)
        cv2.fillPoly(over, [_fixed(points - low)], colour, cv2.LINE_AA, _SHIFT)
        part[:] = over if alpha >= 1 else (part * (1 - alpha) + over * alpha).astype(np.uint8)

    def carpet(self, points: Points, colour: Colour) -> None:
        """Lay a polygon (N, 2) on a road that goes up the picture: clear near the bottom, fainter further up."""
        import cv2

        mask = np.zeros(self.pixels.shape[:2], np.uint8)
        cv2.fillPoly(mask, [_fixed(points)], 255, cv2.LINE_AA, _SHIFT)
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return
        first, last, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        fade = np.linspace(0.2 / 255, 0.6 / 255, last - first, dtype=np.float32)[:, None]
        clear = (fade * mask[first:last, left:right])[..., None]
        part = self.pixels[first:last, left:right]
        part[:] = (part + clear * (np.array(colour, np.float32) - part)).astype(np.uint8)

    def line(self, points: Points, colour: Colour, thickness: int = 1) -> None:
        """Draw a line through points (N, 2)."""
        import cv2

        with _contiguous(self) as pixels:
            cv2.polylines(pixels, [_fixed(points)], False, colour, thickness, cv2.LINE_AA, _SHIFT)

    def circle(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fill a circle."""
        import cv2

        centre = (round(x * (1 << _SHIFT)), round(y * (1 << _SHIFT)))
        cv2.circle(self.pixels, centre, round(radius * (1 << _SHIFT)), colour, -1, cv2.LINE_AA, _SHIFT)

    def text(self, x: float, y: float, text: str, colour: Colour, size: int = 14, *, anchor: str = "la") -> None:
        """Write a line; `anchor` as Pillow has it: "la" is left and top, "ra" right and top, "mm" the middle."""
        from PIL import Image, ImageDraw

        font = _font(size)
        left, top, right, bottom = font.getbbox(text, anchor=anchor)
        x0, y0 = max(int(x + left) - 1, 0), max(int(y + top) - 1, 0)
        x1, y1 = min(int(x + right) + 2, self.pixels.shape[1]), min(int(y + bottom) + 2, self.pixels.shape[0])
        if x1 <= x0 or y1 <= y0:
            return
        part = Image.fromarray(np.ascontiguousarray(self.pixels[y0:y1, x0:x1]))
        ImageDraw.Draw(part).text((x - x0, y - y0), text, fill=colour, font=font, anchor=anchor)
        self.pixels[y0:y1, x0:x1] = np.asarray(part)


@contextmanager
def _contiguous(canvas: Canvas) -> Iterator[Image]:
    """Yield pixels that OpenCV can draw on, also of a part of a canvas."""
    pixels = np.ascontiguousarray(canvas.pixels)
    yield pixels
    if pixels is not canvas.pixels:
        canvas.pixels[:] = pixels


def _fixed(points: Points) -> npt.NDArray[np.int32]:
    """Return points as OpenCV takes them, in 1/16 pixels; what lies far outside is cut off before it overflows."""
    return np.round(np.clip(points, -4096, 8192) * (1 << _SHIFT)).astype(np.int32)


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """Return a colour between two."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue
