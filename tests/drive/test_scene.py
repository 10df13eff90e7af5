"""The rendered scene against the camera's own arithmetic: things lie where `Camera.project` says; pictures are new."""

import itertools
import math

import numpy as np
import pytest

pytest.importorskip("panda3d")
pytest.importorskip("cv2")

from chanzi.drive.camera import rig
from chanzi.drive.world.boxes import corners
from chanzi.drive.world.careful import curve_speeds_m_s
from chanzi.drive.world.crossing import TIMES_S, Forecast, clear_speed_m_s, trials_m
from chanzi.drive.world.look import Look
from chanzi.drive.world.scene.body import Body
from chanzi.drive.world.scene.renderer import Renderer
from chanzi.drive.world.scene.roads import Band, Paint, Stripe, ground_mesh
from chanzi.errors import DriveError

LOOK = Look(haze_m=1e6, shadow=0.0)
FREE = (np.array([0.0, 100.0]), np.array([99.0, 99.0]))


def _line(y, x0=-60.0, x1=160.0):
    return np.array([[x0, y], [x1, y]])


def _straight_road():
    bands = [Band(left_m=_line(y + 1.75), right_m=_line(y - 1.75)) for y in (-3.5, 0.0)]
    stripes = [
        Stripe(points_m=_line(1.75), paint=Paint.YELLOW_SOLID),
        Stripe(points_m=_line(-5.25), paint=Paint.WHITE_SOLID),
    ]
    return ground_mesh(bands, [], stripes, LOOK)


@pytest.fixture(scope="module")
def renderer():
    made = Renderer(rig(8, width=320, height=160))
    made.wear(LOOK)
    made.build(_straight_road())
    yield made
    made.close()


def _body(x, y, heading):
    return Body(x_m=x, y_m=y, heading_rad=heading, length_m=4.4, width_m=1.8, height_m=1.5, paint=(255, 0, 255))


@pytest.mark.parametrize("pose", [(0.0, 0.0, 0.0), (5.0, -3.0, 0.4), (-20.0, 2.0, -2.5)])
@pytest.mark.parametrize(
    ("x", "y", "turn"),
    [(9, 0, 0), (25, 4, 0.5), (40, -6, 2), (3, 6, 1), (4, -6, 0), (-9, 1, 3), (-6, 5, 0), (-7, -5, 0)],
)
def test_a_vehicle_lies_where_the_camera_says(renderer, pose, x, y, turn):
    c, s = math.cos(pose[2]), math.sin(pose[2])
    there = _body(pose[0] + c * x - s * y, pose[1] + s * x + c * y, pose[2] + turn)
    empty = renderer.render(*pose, [])
    full = renderer.render(*pose, [there])
    base = corners(np.array([[x, y, turn, there.length_m, there.width_m]]))[0]
    box = np.array([(*p, z) for p in base for z in (0.0, there.height_m)])
    seen = 0
    for camera, before, after in zip(rig(8, width=320, height=160), empty, full, strict=True):
        pixels, depth = camera.project(box)
        changed = np.abs(after.astype(int) - before.astype(int)).max(axis=2) > 8
        if (depth < 0.3).any():
            continue
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        if (high < 0).any() or low[0] > camera.width or low[1] > camera.height:
            assert not changed.any(), camera.name
            continue
        if (low < 0).any() or high[0] > camera.width or high[1] > camera.height or high[0] - low[0] < 6:
            continue
        rows, columns = np.nonzero(changed)
        assert len(rows), camera.name
        seen += 1
        # A car fills its box but for the corners of its roof, and never leaves it.
        assert columns.min() >= low[0] - 1.5
        assert columns.max() + 1 <= high[0] + 1.5
        assert rows.min() >= low[1] - 1.5
        assert rows.max() + 1 <= high[1] + 1.5
        assert columns.max() - columns.min() >= 0.75 * (high[0] - low[0]) - 2
        assert rows.max() - rows.min() >= 0.6 * (high[1] - low[1]) - 2
    assert seen


@pytest.mark.parametrize("pose", [(0.0, 0.0, 0.0), (10.0, -1.5, 0.1)])
def test_lines_lie_where_the_camera_says(renderer, pose):
    main = rig(8, width=320, height=160)[0]
    picture = renderer.render(*pose, [])[0].astype(int)
    c, s = math.cos(pose[2]), math.sin(pose[2])
    found = 0
    for ahead, (y, yellow) in itertools.product((6.0, 10.0, 16.0), ((1.75, True), (-5.25, False))):
        dx, dy = ahead, y - pose[1]
        place = np.array([[c * dx + s * dy, c * dy - s * dx, 0.0]])
        (column, row), _ = main.project(place)[0][0], None
        if not (3 <= column < 317 and 0 <= row < 160):
            continue
        found += 1
        strip = picture[int(row), int(column) - 2 : int(column) + 3]
        asphalt = picture[int(row), [int(column) - 12 if column > 160 else int(column) + 12]]
        if yellow:
            assert (strip[:, 0] - strip[:, 2]).max() > 40
        else:
            assert strip.min(axis=1).max() > asphalt.max() + 25
    assert found >= 4


def test_consecutive_pictures_are_new(renderer):
    """A renderer that hands out the frame before is fast and wrong."""
    bodies = [_body(20.0, 0.0, 0.0)]
    first = renderer.render(0.0, 0.0, 0.0, bodies)[0]
    second = renderer.render(1.0, 0.0, 0.0, bodies)[0]
    back = renderer.render(0.0, 0.0, 0.0, bodies)[0]
    assert not np.array_equal(first, second)
    assert np.array_equal(first, back)


def test_each_picture_shows_the_moment_it_was_asked_for(renderer):
    """Six jumps to and fro: the vehicle stands each time where it was just put."""
    main = rig(8, width=320, height=160)[0]
    empty = renderer.render(0.0, 0.0, 0.0, [])[0].astype(int)
    for y in (3.0, -3.0, 2.0, -2.0, 4.0, 0.0):
        picture = renderer.render(0.0, 0.0, 0.0, [_body(18.0, y, 0.0)])[0].astype(int)
        changed = np.nonzero(np.abs(picture - empty).max(axis=2) > 8)[1]
        expected = main.project(np.array([[18.0 - 2.2, y, 0.7]]))[0][0, 0]
        assert abs(changed.mean() - expected) < 6


def test_cameras_of_two_sizes_are_refused():
    with pytest.raises(DriveError, match="one size"):
        Renderer((*rig(1), *rig(1, width=80, height=40)))


def _standing(x, y, heading=0.0, speed=0.0):
    way = speed * TIMES_S
    places = np.stack([x + way * math.cos(heading), y + way * math.sin(heading)], axis=1)
    return Forecast(places_m=places, headings_rad=np.full(len(TIMES_S), heading), length_m=4.5, width_m=1.8)


def _clear(speed, target, others):
    tried, ways = trials_m(speed, target, *FREE)
    places = np.stack([ways, np.zeros_like(ways)], axis=-1)
    return clear_speed_m_s(places, np.zeros_like(ways), tried, 4.5, 1.8, others)


def test_a_free_road_is_driven_at_the_target():
    assert _clear(8.0, 12.0, []) == 12.0
    assert _clear(8.0, 12.0, [_standing(20.0, 5.0), _standing(30.0, -4.0, 0.0, 9.0)]) == 12.0


def test_one_that_will_have_passed_is_no_reason_to_brake():
    # It crosses 60 m ahead and is gone long before the car comes.
    assert _clear(10.0, 10.0, [_standing(60.0, -3.0, math.pi / 2, 8.0)]) == 10.0


@pytest.mark.parametrize("side", [1, -1])
def test_one_that_would_be_met_is_let_pass(side):
    # Both would be at (30, 0) in three seconds.
    meeting = _standing(30.0, -24.0 * side, math.pi / 2 * side, 8.0)
    speed = _clear(10.0, 10.0, [meeting])
    assert 0 < speed < 10.0


def test_trials_hold_what_they_promise():
    tried, ways = trials_m(6.0, 12.0, *FREE)
    assert (np.diff(ways, axis=1) >= -1e-9).all()
    # At the end each moves at its own speed, but the fastest, which may still gain.
    late = np.diff(ways, axis=1)[:, -1] / (TIMES_S[1] - TIMES_S[0])
    assert np.allclose(late[1:], tried[1:], atol=1e-6)


def test_trials_slow_down_where_the_road_does():
    along = np.linspace(0, 60, 61)
    limits = curve_speeds_m_s(along, np.where(along > 30, 0.1, 0.0))
    assert limits[31] == pytest.approx(5.0)
    assert limits[0] == pytest.approx(math.sqrt(25 + 2 * 2 * 31))
    _, ways = trials_m(10.0, 12.0, along, limits)
    late = np.diff(ways, axis=1)[0, -1] / (TIMES_S[1] - TIMES_S[0])
    assert ways[0, -1] > 31
    assert late == pytest.approx(5.0, abs=0.3)
