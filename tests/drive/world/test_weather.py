import dataclasses

import numpy as np
import pytest

pytest.importorskip("cv2")

from chanzi.drive.world.sensor import Sensor
from chanzi.drive.world.weather import draw_weather, weathers
from chanzi.errors import DriveError

_PICTURE = np.random.default_rng(0).integers(0, 256, (60, 120, 3)).astype(np.uint8)
_SMOOTH = np.full((60, 120, 3), 120, np.uint8)


def _see(sensor, picture, seed=1):
    return sensor.see(picture.copy(), np.random.default_rng(seed))


def test_a_sensor_without_disturbances_changes_nothing():
    assert np.array_equal(_see(Sensor(), _PICTURE), _PICTURE)


@pytest.mark.parametrize(
    "change", [{"gain": 0.7}, {"gamma": 0.8}, {"balance": (1.1, 1.0, 0.9)}, {"saturation": 0.3}, {"blur_px": 1.0}]
)
def test_what_is_fixed_is_the_same_whoever_draws(change):
    sensor = Sensor(**change)
    seen = _see(sensor, _PICTURE)
    assert seen.dtype == np.uint8
    assert seen.shape == _PICTURE.shape
    assert not np.array_equal(seen, _PICTURE)
    assert np.array_equal(seen, _see(sensor, _PICTURE, seed=2))


@pytest.mark.parametrize("change", [{"noise": 5.0}, {"rain": 0.8}])
def test_what_is_random_follows_the_seed(change):
    sensor = Sensor(**change)
    assert np.array_equal(_see(sensor, _SMOOTH), _see(sensor, _SMOOTH))
    assert not np.array_equal(_see(sensor, _SMOOTH), _see(sensor, _SMOOTH, seed=2))


@pytest.mark.parametrize("shape", [(60, 120, 3), (700, 800, 3)])
def test_noise_is_as_strong_as_it_says(shape):
    seen = _see(Sensor(noise=8.0), np.full(shape, 120, np.uint8)).astype(float)
    assert seen.std() == pytest.approx(8.0, rel=0.1)
    assert seen.mean() == pytest.approx(120.0, abs=0.5)
    # Its colours are disturbed apart.
    assert abs(np.corrcoef(seen[..., 0].ravel(), seen[..., 1].ravel())[0, 1]) < 0.1


def test_a_seed_has_its_weather():
    for weather in weathers():
        assert draw_weather(5, weather, 0.7) == draw_weather(5, weather, 0.7)
        assert draw_weather(5, weather, 0.7) != draw_weather(6, weather, 0.7)


def test_without_variety_only_sun_and_scenery_differ():
    one, other = draw_weather(1, "rain"), draw_weather(2, "rain")
    assert one[1] == other[1]
    same = {"sun_azimuth_rad": 0.0, "scenery": 0}
    assert dataclasses.replace(one[0], **same) == dataclasses.replace(other[0], **same)


def test_mixed_draws_every_weather():
    drawn = {draw_weather(seed, "mixed")[0].haze_m for seed in range(100)}
    assert drawn == {draw_weather(0, weather)[0].haze_m for weather in weathers() if weather != "mixed"}


def test_night_is_dark_and_fog_is_pale():
    assert draw_weather(0, "night")[0].ambient < 0.2 < draw_weather(0, "clear")[0].ambient
    assert draw_weather(0, "fog")[0].haze_m < 60 < draw_weather(0, "clear")[0].haze_m


def test_errors_name_the_way_out():
    with pytest.raises(DriveError, match="did you mean 'rain'"):
        draw_weather(0, "rian")
    with pytest.raises(DriveError, match="variety"):
        draw_weather(0, "clear", 1.5)
