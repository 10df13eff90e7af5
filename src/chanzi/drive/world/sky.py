"""The sky and the hills under it, as a panorama round the car."""

import functools

import cv2
import numpy as np
import numpy.typing as npt

from chanzi.drive.world.look import Look

PX_PER_RAD = 240.0
WIDTH_PX = 1508
"""Once round: 2 pi times `PX_PER_RAD`."""

LOWEST_RAD, HIGHEST_RAD = -0.02, 0.9


@functools.lru_cache(maxsize=16)
def panorama(look: Look) -> npt.NDArray[np.uint8]:
    """Return the sky (rows, WIDTH_PX, 3); row 0 is highest, column 0 is east, and columns go counter-clockwise."""
    rows = round((HIGHEST_RAD - LOWEST_RAD) * PX_PER_RAD)
    height = np.linspace(HIGHEST_RAD, LOWEST_RAD, rows, dtype=np.float32)[:, None]
    rise = np.clip(height / 0.6, 0.0, 1.0) ** 0.55
    low, high = np.array(look.sky_low, np.float32), np.array(look.sky_high, np.float32)
    sky = low + rise[..., None] * (high - low)
    sky = np.repeat(sky, WIDTH_PX, axis=1).astype(np.float32)
    rng = np.random.default_rng(look.scenery)
    if look.clouds > 0:
        sky = _with_clouds(sky, rng, look)
    for distance, tallest in ((0.45, 0.10), (0.2, 0.065)):
        ridge = _ridge(rng, tallest)
        cover = np.clip((ridge[None, :] - height) * PX_PER_RAD + 0.5, 0.0, 1.0)[..., None]
        colour = np.array(look.hills, np.float32) * (1 - distance) + low * distance
        sky = sky * (1 - cover) + colour * cover
    # At the horizon lies the haze that the far ground fades into.
    mist = np.exp(-np.maximum(height, 0.0) / 0.03)[..., None] * 0.85
    return (sky * (1 - mist) + low * mist).astype(np.uint8)


def _ridge(rng: np.random.Generator, tallest_rad: float) -> npt.NDArray[np.float32]:
    """Return the height of a line of hills (WIDTH_PX,), without a seam."""
    at = np.arange(WIDTH_PX, dtype=np.float32) * (2 * np.pi / WIDTH_PX)
    line = np.zeros(WIDTH_PX, np.float32)
    for waves in (3, 5, 8, 13, 21, 34):
        line += np.float32(rng.uniform(0.4, 1.0) / waves**0.8) * np.sin(waves * at + rng.uniform(0, 2 * np.pi))
    line -= line.min()
    return line * np.float32(tallest_rad / line.max())


def _with_clouds(sky: npt.NDArray[np.float32], rng: np.random.Generator, look: Look) -> npt.NDArray[np.float32]:
    rows = sky.shape[0]
    field = np.zeros((rows, WIDTH_PX), np.float32)
    for cells, strength in ((6, 1.0), (14, 0.6), (34, 0.35), (80, 0.2)):
        coarse = rng.standard_normal((max(cells // 2, 3), cells)).astype(np.float32)
        # Sampled a lap and more wide, and the middle lap kept: it closes without a seam.
        column = np.arange(WIDTH_PX, dtype=np.float32) * np.float32(cells / WIDTH_PX) + 4
        row = np.linspace(0, len(coarse) - 1, rows, dtype=np.float32)
        fine = np.pad(coarse, ((0, 0), (4, 4)), mode="wrap")
        grid = np.broadcast_to(column, (rows, WIDTH_PX)), np.broadcast_to(row[:, None], (rows, WIDTH_PX))
        field += strength * cv2.remap(
            fine,
            np.ascontiguousarray(grid[0]),
            np.ascontiguousarray(grid[1]),
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )
    edge = np.quantile(field, 1 - 0.9 * look.clouds)
    cover = np.clip((field - edge) / 0.9, 0.0, 1.0)[..., None] * 0.85
    white = np.array(look.sky_low, np.float32) * 0.5 + np.float32(255.0 * min(1.0, look.ambient + look.sun)) * 0.5
    return sky * (1 - cover) + white * cover
