"""Weather and chance: how an episode looks, and what its cameras suffer, drawn from its seed."""

import dataclasses
import math

import numpy as np

from chanzi.drive.world.look import Colour, Look
from chanzi.drive.world.sensor import Sensor
from chanzi.errors import DriveError, did_you_mean

MIXED = "mixed"
"""Each episode draws its own weather."""

_LOOKS: dict[str, Look] = {
    "clear": Look(),
    "cloudy": Look(
        sky_high=(150.0, 162.0, 176.0),
        sky_low=(202.0, 208.0, 212.0),
        hills=(108.0, 122.0, 124.0),
        haze_m=170.0,
        ambient=0.84,
        sun=0.06,
        shadow=0.14,
        clouds=0.9,
    ),
    "dusk": Look(
        sky_high=(62.0, 84.0, 142.0),
        sky_low=(240.0, 182.0, 132.0),
        hills=(84.0, 74.0, 92.0),
        haze_m=260.0,
        sun_height_rad=0.16,
        ambient=0.46,
        sun=0.42,
        shadow=0.3,
        clouds=0.3,
    ),
    "fog": Look(
        sky_high=(202.0, 207.0, 210.0),
        sky_low=(204.0, 208.0, 210.0),
        hills=(203.0, 207.0, 210.0),
        haze_m=42.0,
        ambient=0.84,
        sun=0.0,
        shadow=0.06,
        clouds=0.0,
    ),
    "rain": Look(
        sky_high=(116.0, 126.0, 138.0),
        sky_low=(152.0, 160.0, 167.0),
        hills=(102.0, 112.0, 118.0),
        grass=(78.0, 102.0, 60.0),
        asphalt=(74.0, 77.0, 84.0),
        haze_m=95.0,
        ambient=0.7,
        sun=0.0,
        shadow=0.1,
        clouds=0.95,
    ),
    "night": Look(
        sky_high=(7.0, 9.0, 20.0),
        sky_low=(17.0, 19.0, 30.0),
        hills=(9.0, 11.0, 16.0),
        haze_m=150.0,
        ambient=0.09,
        sun=0.0,
        shadow=0.0,
        lamps=1.0,
        clouds=0.0,
    ),
}

_SENSORS: dict[str, Sensor] = {
    "dusk": Sensor(balance=(1.04, 0.99, 0.95)),
    "rain": Sensor(rain=0.7, blur_px=0.35),
    "night": Sensor(noise=3.0),
}

_SHARES = {"clear": 0.34, "cloudy": 0.2, "dusk": 0.12, "fog": 0.08, "rain": 0.13, "night": 0.13}


def weathers() -> tuple[str, ...]:
    """Return the weathers there are."""
    return (*_LOOKS, MIXED)


def draw_weather(seed: int, weather: str = "clear", variety: float = 0.0) -> tuple[Look, Sensor]:
    """Return the look of an episode and the disturbances of its cameras.

    Parameters
    ----------
    seed : int
    weather : str
        One of `weathers`.
    variety : float
        From 0, each weather as it stands but for sun, hills and clouds, to 1: other ground and sky, haze, exposure,
        colour, blur and noise.

    Raises
    ------
    DriveError
        There is no such weather, or the variety lies outside 0 to 1.
    """
    if weather not in weathers():
        raise DriveError(f"there is no weather '{weather}'", hint=did_you_mean(weather, weathers()))
    if not 0.0 <= variety <= 1.0:
        raise DriveError(f"a variety of {variety} makes no sense", hint="0 is none, 1 is all there is")
    rng = np.random.default_rng([seed, 3])
    kind = str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
    kind = kind if weather == MIXED else weather
    look, sensor = _LOOKS[kind], _SENSORS.get(kind, Sensor())
    look = dataclasses.replace(
        look, scenery=int(rng.integers(8)), sun_azimuth_rad=float(rng.uniform(-math.pi, math.pi))
    )
    if variety == 0:
        return look, sensor
    return _varied_look(look, variety, rng), _varied_sensor(sensor, variety, rng)


def _varied_look(look: Look, variety: float, rng: np.random.Generator) -> Look:
    def factor(spread: float) -> float:
        return math.exp(float(rng.normal(0.0, spread * variety)))

    def shifted(colour: Colour, bright: float, tint: float) -> Colour:
        level = factor(bright)
        red, green, blue = (min(max(v * level * factor(tint), 0.0), 255.0) for v in colour)
        return red, green, blue

    dry = float(rng.uniform(0.0, 0.8 * variety)) * look.ambient
    grass = tuple(g + dry * (d - g) for g, d in zip(look.grass, (138.0, 124.0, 78.0), strict=True))
    return dataclasses.replace(
        look,
        grass=shifted((grass[0], grass[1], grass[2]), 0.12, 0.06),
        asphalt=shifted(look.asphalt, 0.16, 0.02),
        paint=shifted(look.paint, 0.08, 0.02),
        sky_high=shifted(look.sky_high, 0.08, 0.04),
        sky_low=shifted(look.sky_low, 0.05, 0.02),
        hills=shifted(look.hills, 0.15, 0.04),
        grain=look.grain * factor(0.3),
        haze_m=look.haze_m * factor(0.35),
        sun_height_rad=min(max(look.sun_height_rad * factor(0.35), 0.12), 1.4),
        ambient=look.ambient * factor(0.12),
        sun=look.sun * factor(0.3),
        shadow=min(look.shadow * factor(0.3), 0.8),
        clouds=min(look.clouds * factor(0.5), 1.0),
    )


def _varied_sensor(sensor: Sensor, variety: float, rng: np.random.Generator) -> Sensor:
    def factor(spread: float) -> float:
        return math.exp(float(rng.normal(0.0, spread * variety)))

    red, green, blue = (v * factor(0.04) for v in sensor.balance)
    return dataclasses.replace(
        sensor,
        gain=sensor.gain * factor(0.14),
        gamma=sensor.gamma * factor(0.12),
        balance=(red, green, blue),
        saturation=min(sensor.saturation * factor(0.2), 1.6),
        noise=sensor.noise * factor(0.4) + float(rng.uniform(0.0, 6.0 * variety)),
        blur_px=sensor.blur_px * factor(0.4) + max(0.0, float(rng.uniform(-0.6, 0.7 * variety))),
        rain=min(sensor.rain * factor(0.4), 1.0),
    )
