import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.drive.world.boxes import corners, gaps

_box = st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.floats(-4, 4), st.floats(1, 6), st.floats(1, 3))


def _points(box, *, filled, step=0.1):
    """Return points all over a rectangle, or round its edge."""
    x, y, heading, length, width = box
    u, v = np.meshgrid(
        np.linspace(-length / 2, length / 2, math.ceil(length / step) + 1),
        np.linspace(-width / 2, width / 2, math.ceil(width / step) + 1),
    )
    keep = np.ones_like(u, bool)
    if not filled:
        keep[1:-1, 1:-1] = False
    u, v = u[keep], v[keep]
    c, s = math.cos(heading), math.sin(heading)
    return np.stack([x + c * u - s * v, y + s * u + c * v], axis=-1)


def _least(a, b):
    return float(np.hypot(*np.moveaxis(a[:, None] - b[None], -1, 0)).min())


@given(_box, _box)
def test_the_gap_is_the_least_distance_of_points(a, b):
    gap = float(gaps(np.array(a), np.array([b]))[0])
    if gap == 0:
        assert _least(_points(a, filled=True), _points(b, filled=True)) < 0.1
        return
    least = _least(_points(a, filled=False), _points(b, filled=False))
    # Two that cross like a plus sign are not seen to touch, as the docstring says.
    assert least < 0.1 or gap - 1e-9 <= least < gap + 0.1


def test_corners_go_round_from_the_front_left():
    found = corners(np.array([[1.0, 2.0, math.pi / 2, 4.0, 2.0]]))[0]
    assert found == pytest.approx(np.array([[0, 4], [2, 4], [2, 0], [0, 0]]), abs=1e-12)


@given(st.floats(-3, 3), st.floats(0.1, 20))
def test_one_behind_another(heading, gap):
    c, s = math.cos(heading), math.sin(heading)
    ahead = (5.0 + gap) * np.array([c, s])
    found = gaps(np.array([0, 0, heading, 5, 2]), np.array([[*ahead, heading, 5, 2]]))
    assert found[0] == pytest.approx(gap)
