import math

import numpy as np
import pytest

pytest.importorskip("highway_env")
pytest.importorskip("cv2")

from chanzi.drive.expert import expert_control
from chanzi.drive.messages import Control
from chanzi.drive.world.registry import make_world


def _drive(world, seconds):
    while not world.status().ended and world.status().time_s < seconds:
        control = expert_control(world.truth(), world.observe().speed_m_s, world.vehicle)
        for _ in range(round(world.frame_s / world.tick_s)):
            world.step(control)
    return world.status()


@pytest.mark.parametrize("seed", range(1))
def test_an_expert_completes_a_lap(seed):
    world = make_world("highway:racetrack", width=32, height=16)
    world.reset(seed)
    assert _drive(world, math.inf).ended == "arrived"


@pytest.mark.parametrize(("steering", "side"), [(0.3, 1), (-0.3, -1)])
def test_left_is_left(steering, side):
    world = make_world("highway:racetrack", traffic=0)
    world.reset(0)
    before = world._pose()
    for _ in range(10):
        world.step(Control(steering_rad=steering))
    after = world._pose()
    assert side * (after[2] - before[2]) > 0
    assert np.sign(world.truth().heading_rad) == side
    # The path lies on the other side now.
    assert side * world.truth().path_m[3, 1] < 0
