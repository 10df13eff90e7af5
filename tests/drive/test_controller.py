"""Planner and controller on the tests' own bicycle: they come to the path, keep their limits, and stop."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from bicycle import CAR, Bicycle, Road, cells_of, frame, perception

from chanzi.drive.controller import Driver, Tuning, steer_rad
from chanzi.drive.messages import PATH_DISTANCES_M, Control
from chanzi.drive.motion import Motion, advance, seen_from
from chanzi.drive.planner import Limits, curve_speed_m_s, gap_m, make_plan, nonsense, smooth
from chanzi.drive.runs import Course, Drive, limits_of

TICK_S = 0.05
curvatures = st.floats(-0.04, 0.04)
offsets = st.floats(-1.8, 1.8)
angles = st.floats(-0.25, 0.25)
speeds = st.floats(2.0, 10.0)


def drive(road, car, *, seconds, target=12.0, delay_ticks=0, every=2, box=None, driver=None, lost_at=None):
    """Return (offsets, speeds, controls) of a drive in which an answer comes `delay_ticks` after its frame."""
    driver = driver or Driver(CAR)
    waiting, trace = [], []
    for tick in range(round(seconds / TICK_S)):
        lost = lost_at is not None and tick * TICK_S >= lost_at
        if tick % every == 0 and not lost:
            number = tick // every
            driver.saw(frame(number, tick * TICK_S, car.speed))
            taken = box(car, tick * TICK_S) if box else ()
            waiting.append((tick + delay_ticks, perception(number, road.path(car), speed=target, taken=taken)))
        while waiting and waiting[0][0] <= tick:
            driver.decide(waiting.pop(0)[1])
        control = driver.tick(TICK_S)
        car.step(control, TICK_S)
        trace.append((road.place(car.centre)[1], car.speed, control, driver.plan))
    return trace


def on_road(road, offset, angle, speed, at=50.0):
    i = round(at / 0.1)
    h = road.headings[i]
    x, y = road.points[i] + offset * np.array([-math.sin(h), math.cos(h)])
    return Bicycle(x, y, h + angle, speed)


@settings(max_examples=12)
@given(curvatures, offsets, angles, speeds, st.integers(0, 4))
def test_comes_to_the_path_and_stays(curvature, offset, angle, speed, delay):
    road = Road(curvature)
    trace = drive(road, on_road(road, offset, angle, speed), seconds=10, delay_ticks=delay)
    settled = [abs(o) for o, *_ in trace[-60:]]
    assert max(settled) < 0.35
    assert max(abs(o) for o, *_ in trace) < abs(offset) + 1.5


@pytest.mark.parametrize("radius_m", [6.0, 8.0, 12.0])
def test_a_narrow_ring_is_not_cut(radius_m):
    """A lane of 3.5 m leaves a car of 1.9 m little in the smallest roundabouts; it drives them at 4 m/s."""
    road = Road(1 / radius_m)
    trace = drive(road, on_road(road, 0.0, 0.0, 4.0), seconds=8, target=4.0, delay_ticks=2)
    assert max(abs(o) for o, *_ in trace) < 0.4


@settings(max_examples=6)
@given(st.floats(0.005, 0.03), st.floats(50, 120), offsets, st.integers(0, 4))
def test_follows_a_road_that_winds(swing, wave, offset, delay):
    road = Road(swing=swing, wave_m=wave)
    trace = drive(road, on_road(road, offset, 0.0, 8.0), seconds=15, delay_ticks=delay)
    assert max(abs(o) for o, *_ in trace[100:]) < 0.7


@settings(max_examples=12)
@given(st.floats(-0.08, 0.08), offsets, angles, speeds, st.floats(0, 45), st.integers(0, 6))
def test_limits_are_never_passed(curvature, offset, angle, speed, target, delay):
    tuning = Tuning()
    road = Road(curvature)
    trace = drive(road, on_road(road, offset, angle, speed), seconds=6, target=target, delay_ticks=delay)
    before = Control()
    for _, now, control, _ in trace:
        assert abs(control.steering_rad) <= CAR.max_steering_rad + 1e-9
        assert abs(control.steering_rad - before.steering_rad) <= tuning.steering_rad_s * TICK_S + 1e-9
        assert -CAR.max_braking_m_s2 - 1e-9 <= control.acceleration_m_s2 <= CAR.max_acceleration_m_s2 + 1e-9
        assert 0 <= now <= CAR.max_speed_m_s
        before = control
    # Once settled, no curve is driven faster than its sideways limit (and what a wheel's noise adds to it).
    limits = Limits()
    for _, now, *_ in trace[-20:]:
        assert now**2 * abs(curvature) <= limits.lateral_m_s2 * 1.15


@settings(max_examples=8)
@given(st.floats(-0.01, 0.01), st.floats(3, 14), st.floats(45, 120), st.integers(0, 4))
def test_stops_before_what_stands_on_the_path(curvature, speed, ahead, delay):
    """A box of 4 m by 1.8 m stands on the road; it is seen through the grid alone."""
    road = Road(curvature)
    i = round((50 + ahead) / 0.1)
    h, middle = road.headings[i], road.points[i]
    along, side = np.array([math.cos(h), math.sin(h)]), np.array([-math.sin(h), math.cos(h)])
    hull = [middle + a * along + b * side for a in np.linspace(-2, 2, 21) for b in np.linspace(-0.9, 0.9, 11)]

    def box(car, _):
        return cells_of(car.to_car(hull))

    car = on_road(road, 0.0, 0.0, speed)
    trace = drive(road, car, seconds=30, delay_ticks=delay, box=box)
    gap = min(np.hypot(*(point - car.centre)) for point in hull) - CAR.length_m / 2
    assert trace[-1][1] < 0.3
    assert 0.5 < gap < 9.0


@settings(max_examples=8)
@given(curvatures, speeds, st.integers(0, 3))
def test_lost_input_stops_the_car_in_its_lane(curvature, speed, delay):
    road = Road(curvature)
    trace = drive(road, on_road(road, 0.0, 0.0, speed), seconds=14, delay_ticks=delay, lost_at=3.0)
    assert trace[-1][1] < 1e-6
    assert "no plan" in trace[-1][3].stop
    assert max(abs(o) for o, *_ in trace) < 1.0


def test_a_stop_that_is_asked_for_ends_with_the_next_good_answer():
    road = Road()
    driver, car = Driver(CAR), on_road(road, 0, 0, 10.0)
    drive(road, car, seconds=2, driver=driver)
    assert driver.stop("the two chips disagree").stop == "the two chips disagree"
    assert driver.tick(TICK_S).acceleration_m_s2 < 0
    driver.saw(frame(1000, 2.05, car.speed))
    assert not driver.decide(perception(1000, road.path(car))).stop
    assert driver.decide(perception(7, road.path(car))) is driver.plan, "an old answer changes nothing"


@given(st.floats(0.0, 0.5), st.floats(-0.5, 0.5), speeds)
@example(0.5, 0.5, 8.0)
def test_dead_reckoning_is_the_bicycle(seconds, steering, speed):
    # Dead reckoning tells the speed of the car's middle, the bicycle that of its rear axle.
    rear = math.cos(math.atan(math.tan(steering) / 2))
    car, control = Bicycle(0, 0, 0, speed * rear), Control(steering_rad=steering, acceleration_m_s2=1.0)
    motion = Motion(speed_m_s=speed)
    for _ in range(5):
        car.step(replace(control, acceleration_m_s2=rear), seconds / 5, pieces=200)
        motion = advance(motion, control, CAR, seconds / 5)
    assert np.allclose((motion.x_m, motion.y_m), car.centre, atol=0.003 * speed * seconds + 1e-6)
    assert motion.heading_rad == pytest.approx(car.heading, rel=0.001, abs=1e-6)
    points = np.array([[5.0, 1.0], [9.0, -2.0]])
    assert np.allclose(seen_from(points, Motion(), motion), car.to_car(points), atol=0.02 + 0.003 * speed * seconds)
    assert np.allclose(seen_from(seen_from(points, Motion(), motion), motion, Motion()), points)


@given(st.floats(-0.05, 0.05))
def test_curve_speed_and_path_of_a_circle(curvature):
    road = Road(curvature)
    car = on_road(road, 0, 0, 0)
    path = smooth(road.path(car))
    assert path.shape == (41, 2)
    away = np.array([abs(road.place(car.centre + p @ _turn(car.heading).T)[1]) for p in path])
    assert away.max() < 0.25
    limits = Limits()
    expected = math.sqrt(limits.lateral_m_s2 / max(abs(curvature), 1e-5))
    assert curve_speed_m_s(path, limits) == pytest.approx(expected, rel=0.1) or expected > 60


def _turn(angle):
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


@given(st.floats(6, 40), st.floats(-6, 6), st.floats(1.6, 2.2), st.floats(3, 6))
def test_gap_is_of_what_stands_in_the_way(x, y, width, length):
    """Seen through cells of 2 m: what blocks is found within a cell, what leaves room is not."""
    hull = np.meshgrid(np.linspace(x, x + length, 30), np.linspace(y - width / 2, y + width / 2, 30))
    cells = cells_of(np.stack(hull, axis=-1).reshape(-1, 2))
    grid = perception(0, np.zeros((10, 2)), taken=cells).occupancy
    found = gap_m(smooth(np.array([(d, 0.0) for d in PATH_DISTANCES_M])), grid, CAR, Limits())
    if abs(y) < width / 2 + CAR.width_m / 2 - 1.0:
        assert found == pytest.approx(x - CAR.length_m / 2, abs=3.0)
    if abs(y) > width / 2 + CAR.width_m / 2 + 2.1:
        assert found == math.inf


def test_nonsense_is_named():
    road = Road()
    good = perception(0, road.path(on_road(road, 0, 0, 10.0)))
    assert nonsense(good) == ""
    nan, torn, back = good.path_m.copy(), good.path_m.copy(), good.path_m.copy()
    nan[3, 1], torn[5, 1] = np.nan, 30.0
    back[4:, 0] = back[3, 0] - np.arange(1, 7) * 4
    assert "no number" in nonsense(replace(good, path_m=nan))
    assert "tears" in nonsense(replace(good, path_m=torn))
    assert "back" in nonsense(replace(good, path_m=back))
    for path in (nan, torn, back):
        plan, _ = make_plan(replace(good, path_m=path), time_s=0, speed_m_s=10, vehicle=CAR)
        assert plan.stop
        assert plan.speed_m_s == 0
        assert np.isfinite(plan.path_m).all()


def test_doubt_slows_and_then_stops():
    road = Road()
    path = road.path(on_road(road, 0, 0, 10.0))
    speed = []
    for known in range(len(PATH_DISTANCES_M) + 1):
        seen = perception(0, path, speed=30.0)
        spread = np.where(np.arange(10) < known, 0.1, 5.0).astype(np.float32)
        plan, _ = make_plan(replace(seen, spread_m=spread), time_s=0, speed_m_s=10, vehicle=CAR)
        speed.append(plan.speed_m_s)
        assert bool(plan.stop) == (known <= 1)
    assert speed == sorted(speed)
    assert speed[-1] == 30.0


@given(st.floats(-0.06, 0.06), speeds)
def test_pure_pursuit_holds_its_own_circle(curvature, speed):
    """On a circle of the rear axle the angle is the circle's own, whatever the distance looked ahead."""
    if abs(curvature) < 1e-3:
        return
    a = np.linspace(0, 0.7 / max(abs(curvature), 0.03), 200)
    circle = np.stack([np.sin(a * curvature) / curvature, (1 - np.cos(a * curvature)) / curvature], axis=1)
    centre = circle - (CAR.wheelbase_m / 2, 0)
    found = steer_rad(centre, speed, CAR, Tuning(lateral_m_s2=1e3))
    assert found == pytest.approx(math.atan(CAR.wheelbase_m * curvature), abs=0.01)


@settings(max_examples=6)
@given(st.floats(-0.03, 0.03), st.floats(-1.0, 1.0), st.floats(1.0, 25.0))
def test_more_grip_is_the_same_drive_in_less_time(curvature, offset, factor):
    """With k times the brakes, at sqrt(k) times the speed and ticks as much shorter, the car drives the same way."""
    ways = []
    for k in (1.0, factor):
        root = math.sqrt(k)
        brakes = 10.0 * k
        vehicle = replace(CAR, max_braking_m_s2=brakes, max_acceleration_m_s2=3.0 * k, max_speed_m_s=40.0 * root)
        road, tick_s = Road(curvature), TICK_S / root
        car = on_road(road, offset, 0.0, 6.0 * root)
        driver, way = Driver(vehicle), []
        for tick in range(100):
            if tick % 2 == 0:
                driver.saw(frame(tick, tick * tick_s, car.speed))
                driver.decide(perception(tick, road.path(car), speed=11.0 * root))
            car.step(driver.tick(tick_s), tick_s)
            way.append(car.centre)
        ways.append(np.array(way))
    assert np.allclose(*ways, atol=0.15)


def test_a_drive_keeps_its_vehicles_own_limits_and_its_pace_is_for_curves():
    racer = replace(CAR, max_braking_m_s2=200.0)
    plain = Drive(course=Course(world="carracing"))
    assert limits_of(plain, racer) == Limits.of(racer)
    faster = limits_of(replace(plain, pace=1.2), racer)
    assert faster.lateral_m_s2 == pytest.approx(1.44 * Limits.of(racer).lateral_m_s2)
    assert replace(faster, lateral_m_s2=0.0) == replace(Limits.of(racer), lateral_m_s2=0.0)
