import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.drive.world.road import Route


def _circle(radius, *, left, points=300):
    angles = np.linspace(0, 2 * math.pi, points, endpoint=False) * (1 if left else -1)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


@given(st.floats(10, 80), st.booleans())
def test_a_circle_has_its_length_and_curvature(radius, left):
    route = Route(_circle(radius, left=left), closed=True)
    assert route.length_m == pytest.approx(2 * math.pi * radius, rel=0.02)
    curvature = route.curvature_1_m(np.linspace(0, route.length_m, 50))
    # Smoothing over one and a half metres shortens a circle's radius a little.
    assert np.allclose(curvature, (1 if left else -1) / radius, rtol=0.1)
    whole = route.headings_rad[-1] - route.headings_rad[0]
    assert whole == pytest.approx(math.copysign(2 * math.pi, curvature[0]), abs=0.1)


@given(st.floats(-3, 3), st.floats(5, 95), st.floats(-math.pi, math.pi))
def test_a_place_beside_a_straight_line_is_found(lateral, along, heading):
    c, s = math.cos(heading), math.sin(heading)
    route = Route(np.array([[0.0, 0.0], [100 * c, 100 * s]]))
    point = (along * c - lateral * s, along * s + lateral * c)
    for place in (route.nearest(point), route.nearest(point, about_m=along - 8), route.follow(point, along - 1)):
        assert place.along_m == pytest.approx(along, abs=1e-6)
        assert place.lateral_m == pytest.approx(lateral, abs=1e-6)


@given(st.floats(0, 1), st.floats(-2, 2), st.booleans())
def test_walking_finds_what_searching_finds(share, lateral, closed):
    angles = np.linspace(0, 2 * math.pi, 400, endpoint=False)
    radius = 40 + 10 * np.sin(3 * angles)
    route = Route(np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1), closed=closed)
    along = share * route.length_m
    heading = route.heading_rad(along)
    point = route.point(along) + lateral * np.array([-math.sin(heading), math.cos(heading)])
    searched, walked = route.nearest(point, about_m=along), route.follow(tuple(point), along)
    apart = walked.along_m - searched.along_m
    if closed:  # Its end is its beginning.
        apart = (apart + 1.0) % route.length_m - 1.0
    # On the inner side of a corner, two segments are as near as each other.
    assert apart == pytest.approx(0.0, abs=0.05)
    assert walked.lateral_m == pytest.approx(searched.lateral_m, abs=1e-4)


def test_an_open_route_goes_on_straight():
    route = Route(np.array([[0.0, 0.0], [50.0, 0.0]]))
    assert route.point(60.0) == pytest.approx((60.0, 0.0))
    assert route.point(-10.0) == pytest.approx((-10.0, 0.0))


def test_a_closed_route_goes_round():
    route = Route(_circle(20.0, left=True), closed=True)
    assert route.point(route.length_m + 7.0) == pytest.approx(route.point(7.0))
    before = route.nearest(route.point(-1.0), about_m=0.0).along_m
    assert before == pytest.approx(route.length_m - 1.0, abs=1e-6)
