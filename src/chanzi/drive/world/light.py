"""How light falls: the sun on a face, the car's headlamps on what is ahead, haze on what is far."""

import numpy as np
import numpy.typing as npt

from chanzi.drive.world.look import Look


def lamps(x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the light of the car's headlamps at places in its frame, 0 to 1: a cone ahead that fades with distance."""
    x, y = np.asarray(x_m, np.float64) - 2.0, np.asarray(y_m, np.float64)
    distance = np.hypot(x, y)
    aside = np.arctan2(np.abs(y), np.maximum(x, 1e-6))
    cone = np.exp(-((aside / 0.38) ** 2)) * (x > 0)
    near = 1.0 - np.exp(-((distance / 3.0) ** 2))
    return cone * (0.35 + 0.65 * near) / (1.0 + (distance / 26.0) ** 2)


def brightness(look: Look, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the light on level things at places in the car's frame, as a factor on their colours."""
    day = look.ambient + look.sun * np.sin(look.sun_height_rad)
    return day + look.lamps * 1.35 * lamps(x_m, y_m)


def haze(look: Look, distance_m: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the share of the air's own colour in what is seen at a distance."""
    return 1.0 - np.exp(-np.asarray(distance_m, np.float64) / look.haze_m)
