"""How a world looks in an episode: the colours of ground and sky, the sun, the air, the lamps."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Colours and light.

    Parameters
    ----------
    sky_high, sky_low : Colour
        Overhead, and at the horizon; the air between is of the lower one.
    hills, grass, asphalt, paint, kerb : Colour
    grain : float
        How strongly the ground's unevenness shows.
    haze_m : float
        Distance over which contrast falls to 1/e.
    sun_azimuth_rad, sun_height_rad : float
        Where the sun stands in the world, east being 0, and how high.
    ambient, sun : float
        Light from everywhere, and from the sun, on a surface that faces it.
    shadow : float
        Share of the light that a shadow takes, 0 to 1.
    lamps : float
        How much of the light comes from the car's own headlamps, 0 by day to 1.
    clouds : float
        Share of the sky, 0 to 1.
    scenery : int
        Seeds hills and clouds.
    """

    sky_high: Colour = (82.0, 138.0, 206.0)
    sky_low: Colour = (196.0, 216.0, 232.0)
    hills: Colour = (92.0, 116.0, 118.0)
    grass: Colour = (96.0, 122.0, 66.0)
    asphalt: Colour = (98.0, 99.0, 103.0)
    paint: Colour = (238.0, 238.0, 232.0)
    kerb: Colour = (196.0, 52.0, 44.0)
    grain: float = 0.8
    haze_m: float = 220.0
    sun_azimuth_rad: float = 2.2
    sun_height_rad: float = 0.75
    ambient: float = 0.62
    sun: float = 0.5
    shadow: float = 0.45
    lamps: float = 0.0
    clouds: float = 0.35
    scenery: int = 0

    def sun_direction(self) -> npt.NDArray[np.float64]:
        """Return the unit vector (3,) from the ground to the sun, in the world's frame."""
        flat = np.cos(self.sun_height_rad)
        return np.array(
            [
                flat * np.cos(self.sun_azimuth_rad),
                flat * np.sin(self.sun_azimuth_rad),
                np.sin(self.sun_height_rad),
            ]
        )
