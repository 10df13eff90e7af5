import math

import numpy as np
import pytest

pytest.importorskip("gymnasium")
pytest.importorskip("Box2D")
pytest.importorskip("cv2")

from chanzi.drive.expert import expert_control
from chanzi.drive.messages import Control
from chanzi.drive.world.check import check_world
from chanzi.drive.world.registry import make_world
from chanzi.errors import DriveError


@pytest.fixture
def world():
    made = make_world("carracing")
    yield made
    made.close()


def _drive(world, frames):
    for _ in range(frames):
        control = expert_control(world.truth(), world.observe().speed_m_s, world.vehicle)
        for _ in range(round(world.frame_s / world.tick_s)):
            world.step(control)
        if world.status().ended:
            return


def test_it_keeps_its_promises(world):
    assert check_world(world) == ()


def test_it_is_gymnasiums_own(world):
    """The same actions give Gymnasium's own pictures and rewards."""
    import gymnasium

    original = gymnasium.make("CarRacing-v3")
    original.reset(seed=3)
    world.reset(3)
    rng = np.random.default_rng(0)
    total = 0.0
    for count in range(120):
        control = Control(steering_rad=float(rng.uniform(-0.4, 0.4)), acceleration_m_s2=float(rng.uniform(-40, 80)))
        picture, reward, *_ = original.step(np.array(world._action(control)))
        world.step(control)
        total += float(reward)
        assert world.status().reward == pytest.approx(total)
        if count % 10 == 9:
            assert np.array_equal(world.observe().images[0], picture)
    original.close()


def test_the_path_lies_on_the_road_in_the_picture(world):
    world.reset(5)
    _drive(world, 60)
    seen = 0
    for _ in range(20):
        _drive(world, 5)
        path = np.c_[world.truth().path_m, np.zeros(10)]
        pixels, _ = world.cameras[0].project(path)
        image = world.observe().images[0].astype(int)
        for column, row in pixels[2:]:
            if 2 < column < 93 and 2 < row < 80:
                red, green, blue = image[int(row), int(column)]
                seen += 1
                # Road is grey; grass is green.
                assert max(red, green, blue) - min(red, green, blue) < 40
    assert seen > 80


@pytest.mark.parametrize("push", [30.0, -30.0])
def test_the_car_gains_what_it_is_asked_for(world, push):
    world.reset(0)
    for _ in range(40):
        world.step(Control(acceleration_m_s2=40.0))
    before = world._speed_m_s()
    for _ in range(20):
        world.step(Control(acceleration_m_s2=push))
    assert (world._speed_m_s() - before) / 0.4 == pytest.approx(push, rel=0.3)


def test_an_expert_earns_its_reward(world):
    world.reset(1000)
    while not world.status().ended:
        _drive(world, 10)
    assert world.status().reward > 850


def test_the_nose_points_where_the_truth_says(world):
    world.reset(2)
    assert abs(world.truth().heading_rad) < 0.2
    assert abs(world.truth().lateral_m) < 1.0
    assert world.truth().path_m[0] == pytest.approx((2.0, 0.0), abs=0.5)
    assert math.isinf(world.status().nearest_m)


def test_it_has_one_camera():
    with pytest.raises(DriveError, match="one camera"):
        make_world("carracing", cameras=3)
    with pytest.raises(DriveError, match="nothing to choose"):
        make_world("carracing:fast")
