"""MetaDrive behind the world's protocol: it obeys, it repeats itself, it shows what is so, it can be driven."""

import itertools
import math

import numpy as np
import pytest

pytest.importorskip("metadrive")
pytest.importorskip("cv2")

from chanzi.drive.expert import expert_control
from chanzi.drive.messages import PATH_DISTANCES_M, Command, Control
from chanzi.drive.world.boxes import corners
from chanzi.drive.world.metadrive.scenarios import SCENARIOS
from chanzi.drive.world.registry import make_world
from chanzi.errors import DriveError


def _drive(world, seconds=math.inf, seen=None):
    while not world.status().ended and world.status().time_s < seconds:
        truth = world.truth()
        if seen is not None:
            seen(world, truth)
        control = expert_control(truth, world.speed_m_s, world.vehicle)
        for _ in range(round(world.frame_s / world.tick_s)):
            world.step(control)
    return world.status()


@pytest.mark.parametrize(("steering", "side"), [(0.2, 1), (-0.2, -1)])
def test_left_is_left(steering, side):
    world = make_world("metadrive:straight", traffic=0.0)
    for _ in range(50):
        world.step(Control(acceleration_m_s2=2.0))
    before = world.truth()
    for _ in range(15):
        world.step(Control(steering_rad=steering))
    after = world.truth()
    assert side * (after.lateral_m - before.lateral_m) > 0
    assert side * after.heading_rad > 0
    # The path lies on the other side now.
    assert side * after.path_m[3, 1] < 0


@pytest.mark.parametrize("asked", [2.5, 1.0, 0.0, -1.0, -3.0, -6.0])
def test_it_gains_and_loses_speed_as_asked(asked):
    world = make_world("metadrive:straight", traffic=0.0)
    for _ in range(230):
        world.step(Control(acceleration_m_s2=2.3 if world.speed_m_s < 9 else 0.0))
    before = world.speed_m_s
    for _ in range(20):
        world.step(Control(acceleration_m_s2=asked))
    assert (world.speed_m_s - before) / (20 * world.tick_s) == pytest.approx(asked, abs=0.1)


def test_brakes_hold_and_never_drive_back():
    world = make_world("metadrive:straight", traffic=0.0)
    for _ in range(100):
        world.step(Control(acceleration_m_s2=2.0))
    for _ in range(200):
        world.step(Control(acceleration_m_s2=-6.0))
    stood = world.status().distance_m
    for _ in range(100):
        world.step(Control(acceleration_m_s2=-6.0))
    # Bullet's wheels tremble a little where they stand.
    assert abs(world.speed_m_s) < 0.1
    assert abs(world.status().distance_m - stood) < 0.01


def test_the_same_seed_is_the_same_episode():
    world = make_world("metadrive:intersection", width=64, height=32)
    runs = []
    for seed in (5, 6, 5):
        world.reset(seed)
        pictures, places = [], []
        while world.status().time_s < 9:
            pictures.append(world.observe().images[0])
            places.append(np.concatenate([world.truth().path_m.ravel(), world.truth().vehicles.ravel()]))
            for _ in range(25):
                world.step(expert_control(world.truth(), world.speed_m_s, world.vehicle))
        runs.append((pictures, places))
    assert all(np.array_equal(a, b) for a, b in zip(runs[0][1], runs[2][1], strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(runs[0][0], runs[2][0], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(runs[0][0], runs[1][0], strict=True))


def test_frames_are_of_now():
    world = make_world("metadrive:curve", width=64, height=32)
    last = world.observe()
    assert world.observe() is last
    for number in range(1, 12):
        for _ in range(5):
            world.step(Control(acceleration_m_s2=2.0))
        frame = world.observe()
        assert frame.number == number
        assert frame.time_s == pytest.approx(0.1 * number)
        if frame.speed_m_s > 0.5:
            assert not np.array_equal(frame.images[0], last.images[0])
        last = frame


def test_vehicles_are_seen_where_truth_says():
    """The picture differs from the same one of an empty road in the vehicles' boxes, and nowhere else."""
    world = make_world("metadrive:straight", width=320, height=160, traffic=0.4)
    camera = world.cameras[0]
    found = 0

    def look(world, truth):
        nonlocal found
        if round(world.status().time_s / 0.1) % 10:
            return
        picture = world.observe().images[0].astype(int)
        changed = np.abs(picture - world._renderer.render(*world._pose(), [])[0]).max(axis=2) > 8
        allowed = np.zeros_like(changed)
        for box in truth.vehicles:
            if box[0] < 6:
                continue
            # A little more at the ground, for its shadow; nothing is higher than a truck.
            wide = corners((box + np.array([0, 0, 0, 0.5, 0.5, 0, 0]))[None])[0]
            pixels, depth = camera.project(np.array([(*p, z) for p in wide for z in (0.0, 2.9)]))
            low, high = np.floor(pixels.min(axis=0) - 2).astype(int), np.ceil(pixels.max(axis=0) + 2).astype(int)
            columns, rows = slice(max(low[0], 0), max(high[0], 0)), slice(max(low[1], 0), max(high[1], 0))
            allowed[rows, columns] = True
            if depth.min() > 8 and box[0] < 40 and low[0] > 0 and high[0] < camera.width:
                found += 1
                assert changed[rows, columns].mean() > 0.2
        if len(truth.vehicles) and truth.vehicles[:, 0].min() > 6:
            assert not (changed & ~allowed).any()

    _drive(world, 12, look)
    assert found > 5


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_expert_arrives(scenario):
    world = make_world(f"metadrive:{scenario}", traffic=0.0, width=32, height=16)
    world.reset(3)
    seen = []

    def look(world, truth):
        assert truth.path_m.shape == (len(PATH_DISTANCES_M), 2)
        assert np.isfinite(truth.path_m).all()
        steps = np.hypot(*np.diff(truth.path_m, axis=0).T)
        assert (steps <= np.diff(PATH_DISTANCES_M) + 0.05).all()
        assert abs(truth.lateral_m) < 1.0
        seen.append(world.command())

    status = _drive(world, seen=look)
    assert status.ended == "arrived"
    assert status.progress == 1.0
    if scenario in ("intersection", "roundabout"):
        asked = [command for command in seen if command is not Command.FOLLOW]
        # One direction at a crossing; in a roundabout past each exit, and out at the last.
        order = [Command.LEFT, Command.RIGHT] if scenario == "roundabout" else asked[:1]
        assert list(dict.fromkeys(asked)) == order[-len(set(asked)) :]
        # Known well before, and forgotten after.
        assert seen[0] is seen[-1] is Command.FOLLOW


def test_commands_are_what_is_done():
    """Over some seeds all three directions come, and the heading at the end has turned as asked."""
    world = make_world("metadrive:intersection", traffic=0.0)
    asked = set()
    for seed in range(12):
        world.reset(seed)
        (turn,) = world._turns
        angle = math.degrees(world._route.headings_rad[-1] - world._route.headings_rad[0])
        expected = {Command.LEFT: 90, Command.STRAIGHT: 0, Command.RIGHT: -90}[turn.command]
        assert angle == pytest.approx(expected, abs=2)
        asked.add(turn.command)
    assert asked == {Command.LEFT, Command.STRAIGHT, Command.RIGHT}


def test_a_roundabout_is_told_exit_by_exit():
    """Its exits look alike: `LEFT` past each that is not taken, `RIGHT` at the one that is; no gap between them."""
    world = make_world("metadrive:roundabout", traffic=0.0)
    exits = set()
    for seed in range(12):
        world.reset(seed)
        turns = world._turns
        assert [turn.command for turn in turns] == [Command.LEFT] * (len(turns) - 1) + [Command.RIGHT]
        assert all(a.end_m == b.begin_m for a, b in itertools.pairwise(turns))
        exits.add(len(turns))
    assert exits == {1, 2, 3}


def test_one_world_a_process():
    first = make_world("metadrive:straight")
    second = make_world("metadrive:curve")
    with pytest.raises(DriveError, match="taken over"):
        first.step(Control())
    first.reset(1)
    first.step(Control())
    with pytest.raises(DriveError, match="taken over"):
        second.observe()


@pytest.mark.parametrize(
    ("options", "word"),
    [({"scenario": "strait"}, "straight"), ({"traffic": 2.0}, "traffic"), ({"limit_m_s": 0.0}, "limit")],
)
def test_what_is_not_to_be_had_is_said(options, word):
    with pytest.raises(DriveError) as caught:
        make_world("metadrive", **options)
    assert word in str(caught.value)


def test_the_view_from_above():
    world = make_world("metadrive:roundabout", traffic=0.0)
    picture = world.top_view(200, 160)
    assert picture.shape == (160, 200, 3)
    assert picture.std() > 5
