"""What a picture suffers on its way through windscreen, lens and sensor: rain, blur, exposure, colour, noise."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

_BANK_PX = 1024
_REFERENCE_PX = 160
"""Width of the picture that `blur_px` is meant for; a wider one is blurred as much wider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """The disturbances of an episode; a new one does nothing.

    Parameters
    ----------
    gain : float
        On all colours.
    gamma : float
        Exponent on brightness; below 1 lifts what is dark.
    balance : tuple of three float
        On red, green and blue.
    saturation : float
        0 is grey.
    noise : float
        Standard deviation, in steps of 255.
    blur_px : float
        Standard deviation in a picture 160 pixels wide.
    rain : float
        How thick the streaks fall, 0 to 1.
    """

    gain: float = 1.0
    gamma: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    noise: float = 0.0
    blur_px: float = 0.0
    rain: float = 0.0

    def see(self, picture: Picture, rng: np.random.Generator) -> Picture:
        """Return what is left of a picture (height, width, 3).

        Parameters
        ----------
        picture : uint8 (height, width, 3)
            May be changed.
        rng : numpy.random.Generator
            Of this camera and moment.
        """
        scale = picture.shape[1] / _REFERENCE_PX
        if self.rain > 0:
            picture = _rained_on(picture, self.rain, scale, rng)
        if self.blur_px > 0:
            picture = np.asarray(cv2.GaussianBlur(picture, None, self.blur_px * scale), np.uint8)
        if self.saturation != 1.0:
            grey = np.full((3, 3), 1 / 3) * (1 - self.saturation)
            picture = np.asarray(cv2.transform(picture, grey + self.saturation * np.eye(3)), np.uint8)
        if (self.gain, self.gamma, self.balance) != (1.0, 1.0, (1.0, 1.0, 1.0)):
            picture = np.asarray(cv2.LUT(picture, _curve(self.gain, self.gamma, self.balance)), np.uint8)
        if self.noise > 0:
            picture = _noisy(picture, self.noise, rng)
        return picture


@functools.lru_cache(maxsize=32)
def _curve(gain: float, gamma: float, balance: tuple[float, float, float]) -> npt.NDArray[np.uint8]:
    """Return a table (1, 256, 3)."""
    level = np.linspace(0, 1, 256)[:, None] ** gamma * gain * np.array(balance)
    return np.rint(np.clip(level, 0, 1) * 255).astype(np.uint8)[None]


def _rained_on(picture: Picture, rain: float, scale: float, rng: np.random.Generator) -> Picture:
    height, width = picture.shape[:2]
    count = round(rain * width * height / (140 * scale * scale))
    top = rng.uniform((-8, -8), (width, height), (count, 2))
    fall = rng.uniform(3.0, 9.0, (count, 1)) * scale * (rng.normal(0.12, 0.05, (count, 1)) * (1, 0) + (0, 1))
    lines = np.rint(np.stack([top, top + fall], axis=1) * 16).astype(np.int32)
    streaks = picture.copy()
    pale = np.minimum(picture.mean(axis=(0, 1)) * 0.5 + 110, 255).tolist()
    cv2.polylines(streaks, list(lines), False, pale, max(1, round(scale * 0.5)), cv2.LINE_AA, 4)
    return np.asarray(cv2.addWeighted(picture, 0.68, streaks, 0.32, 0), np.uint8)


@functools.cache
def _bank() -> npt.NDArray[np.float32]:
    """Return noise to cut from: drawing it anew for each picture would cost more than the picture."""
    return np.random.default_rng(7).standard_normal((_BANK_PX, _BANK_PX), dtype=np.float32)


def _noisy(picture: Picture, noise: float, rng: np.random.Generator) -> Picture:
    height, width = picture.shape[:2]
    seen = picture.astype(np.float32)
    if max(height, width) > _BANK_PX // 2:
        seen += noise * rng.standard_normal(seen.shape, dtype=np.float32)
    else:
        corners = rng.integers(0, (_BANK_PX - height, _BANK_PX - width), (3, 2))
        for colour, (row, column) in enumerate(corners.tolist()):
            seen[..., colour] += noise * _bank()[row : row + height, column : column + width]
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8)
