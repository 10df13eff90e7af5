import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cv2")

from chanzi.drive.camera import Camera, rig
from chanzi.drive.world.boxes import corners
from chanzi.drive.world.ground import LEVELS, PAINT, ROAD, Ground, Sheet
from chanzi.drive.world.lens import Lens
from chanzi.drive.world.look import Look
from chanzi.drive.world.painter import Painter
from chanzi.drive.world.road import Lane, Line
from chanzi.drive.world.solids import solid_box

_LANE = Lane(
    points_m=np.stack([np.arange(-60, 200, 0.5), np.zeros(520)], axis=1),
    width_m=4.0,
    left=Line.SOLID,
    right=Line.DASHED,
)
_RED, _BLUE = (220.0, 30.0, 30.0), (30.0, 30.0, 220.0)
_SUN = np.array([0.0, 0.6, 0.8])


@pytest.fixture(scope="module")
def ground():
    return Ground([_LANE], px_per_m=8)


def _look():
    return Look(shadow=0.0, haze_m=1e9, sun=0.0, ambient=1.0)


def _painted(ground, boxes, camera=None):
    painter = Painter([camera or rig(1)[0]], ground)
    painter.wear(_look())
    solids = [solid_box(np.array(box), paint, _look(), _SUN) for box, paint in boxes]
    return painter.paint(0, (0.0, 0.0, 0.0), solids).astype(int)


def _reddish(picture):
    return (picture[..., 0] > 140) & (picture[..., 1] < 60) & (picture[..., 2] < 60)


def _bluish(picture):
    return (picture[..., 2] > 140) & (picture[..., 1] < 60) & (picture[..., 0] < 60)


@settings(max_examples=25)
@given(
    index=st.integers(0, 7),
    ahead=st.floats(-30, 60),
    left=st.floats(-20, 20),
    pose=st.tuples(st.floats(0, 100), st.floats(-5, 5), st.floats(-3.1, 3.1)),
)
def test_the_ground_falls_where_the_camera_projects_it(index, ahead, left, pose):
    """A white square of paint on black ground is found at the pixel that Camera.project names."""
    camera = rig(8, width=320, height=160)[index]
    (pixel,), (depth,) = camera.project(np.array([[ahead, left, 0.0]]))
    if not (1.0 < depth < 22 and 4 < pixel[0] < 316 and 4 < pixel[1] < 156):
        return
    c, s = math.cos(pose[2]), math.sin(pose[2])
    x, y = pose[0] + c * ahead - s * left, pose[1] + s * ahead + c * left
    levels = tuple(np.zeros((256 >> k, 256 >> k, 4), np.uint8) for k in range(LEVELS))
    sheet = Sheet(levels=levels, west_m=x - 15.0, north_m=y + 17.0, px_per_m=8)
    for number, level in enumerate(levels):
        column, row, _ = sheet.from_world(number) @ (x, y, 1.0)
        reach = 6 / 2**number
        rows, columns = np.ogrid[: level.shape[0], : level.shape[1]]
        level[..., PAINT][(np.abs(rows - row) < reach) & (np.abs(columns - column) < reach)] = 255
    lens = Lens(camera, 8)
    seen = lens.materials(sheet, pose, (0, 0, 0, 128))[..., PAINT].astype(float)
    at_row, at_column = int(pixel[1] - lens.first_row), int(pixel[0])
    if at_row >= 0:
        assert seen[max(at_row - 1, 0) : at_row + 2, at_column - 1 : at_column + 2].max() > 100
        # And nowhere else: beyond the square's own size in the picture all is black.
        size = 3 + camera.focal_px * 1.5 / depth
        rows, columns = np.nonzero(seen > 100)
        assert np.abs(columns - at_column).max() < size
        assert np.abs(rows - at_row).max() < size


@settings(max_examples=25)
@given(ahead=st.floats(8, 50), left=st.floats(-6, 6), heading=st.floats(-3.1, 3.1))
def test_a_vehicle_is_painted_where_its_corners_are(ground, ahead, left, heading):
    box = (ahead, left, heading, 5.0, 2.0)
    camera = Camera(
        name="test", x_m=0.0, y_m=0.0, z_m=1.4, yaw_rad=0.0, pitch_rad=0.05, view_rad=1.6, width=400, height=200
    )
    picture = _painted(ground, [(box, _RED)], camera)
    empty = _painted(ground, [], camera)
    rows, columns = np.nonzero((np.abs(picture - empty) > 60).any(axis=2))
    foot = corners(np.array([box]))[0]
    points = np.concatenate([np.c_[foot, np.zeros(4)], np.c_[foot, np.full(4, 1.42)]])
    pixels, _ = camera.project(points)
    pixels[:, 0] = np.clip(pixels[:, 0], 0, camera.width)
    assert columns.min() >= pixels[:, 0].min() - 2
    assert columns.max() <= pixels[:, 0].max() + 2
    assert rows.min() >= pixels[:, 1].min() - 2
    assert rows.max() <= pixels[:, 1].max() + 2
    # The body's own width is filled, too.
    assert np.ptp(columns) > 0.85 * np.ptp(pixels[:, 0]) - 3


def test_left_is_left_in_the_picture(ground):
    picture = _painted(ground, [((15.0, 3.0, 0.0, 5.0, 2.0), _RED), ((15.0, -3.0, 0.0, 5.0, 2.0), _BLUE)])
    middle = picture.shape[1] / 2
    assert np.nonzero(_reddish(picture))[1].mean() < middle < np.nonzero(_bluish(picture))[1].mean()
    # The solid line lies on the left of the lane, the dashed one on the right.
    lane = Ground([_LANE], px_per_m=8).around(0.0, 0.0)
    column, left_row, _ = (lane.from_world(0) @ (10.0, 2.0, 1.0)).round().astype(int)
    right_row = round((lane.from_world(0) @ (10.0, -2.0, 1.0))[1])
    span = slice(column, column + 8 * 40)
    assert (lane.levels[0][left_row, span, PAINT] > 100).all()
    assert 0.2 < (lane.levels[0][right_row, span, PAINT] > 100).mean() < 0.6
    assert (lane.levels[0][left_row:right_row, span, ROAD] == 255).all()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_vehicle_hides_the_farther(ground, order):
    boxes = [((10.0, 0.0, 0.0, 5.0, 2.0), _RED), ((22.0, 0.0, 0.0, 5.0, 2.0), _BLUE)]
    picture = _painted(ground, [boxes[k] for k in order])
    assert _reddish(picture).sum() > 100
    # It looks out over the nearer one's roof and through nothing.
    far_alone = _bluish(_painted(ground, [boxes[1]])).sum()
    assert _bluish(picture).sum() < 0.2 * far_alone


def test_a_vehicle_alongside_is_cut_at_the_picture_and_not_thrown_about(ground):
    side = rig(3)[1]
    picture = _painted(ground, [((0.5, 3.2, 0.0, 5.0, 2.0), _RED)], side)
    assert 0.1 < (picture != _painted(ground, [], side)).any(axis=2).mean() < 0.9


def test_a_vehicle_shows_its_tail_lamps_behind_and_its_head_lamps_ahead(ground):
    dark = (20.0, 20.0, 20.0)
    behind = _painted(ground, [((10.0, 0.0, 0.0, 5.0, 2.0), dark)])
    facing = _painted(ground, [((10.0, 0.0, math.pi, 5.0, 2.0), dark)])
    red = [(p[..., 0] > 120) & (p[..., 1] < 60) for p in (behind, facing)]
    assert red[0].sum() > 2
    assert red[1].sum() == 0
