import math

import numpy as np
import pytest

pytest.importorskip("highway_env")
pytest.importorskip("cv2")

from chanzi.drive.expert import expert_control
from chanzi.drive.messages import Control
from chanzi.drive.world.check import check_world
from chanzi.drive.world.highway_roads import QuickNetwork
from chanzi.drive.world.highway_scenarios import SCENARIOS
from chanzi.drive.world.registry import make_world
from chanzi.errors import DriveError


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


def test_it_keeps_its_promises():
    assert check_world(make_world("highway:racetrack", cameras=3, width=32, height=16)) == ()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_quick_network_says_what_the_slow_one_says(scenario):
    network = SCENARIOS[scenario].build().road.network
    quick = QuickNetwork(network)
    rng = np.random.default_rng(1)
    for _ in range(300):
        position, heading = rng.uniform(-80, 200, 2), rng.uniform(-7, 7)
        for angle in (heading, None):
            slow, fast = network.get_closest_lane_index(position, angle), quick.get_closest_lane_index(position, angle)
            if slow != fast:  # Two lanes may be as near as each other.
                far = [network.get_lane(index).distance_with_heading(position, angle) for index in (slow, fast)]
                assert far[0] == pytest.approx(far[1], abs=1e-9)


def test_errors_name_the_way_out():
    with pytest.raises(DriveError, match="did you mean 'highway'"):
        make_world("higway")
    with pytest.raises(DriveError, match="did you mean 'racetrack'"):
        make_world("highway:racetrak")
    with pytest.raises(DriveError, match="did you mean 'traffic'"):
        make_world("highway", trafic=3)
    with pytest.raises(DriveError, match="rig of 2"):
        make_world("highway", cameras=2)
