import dataclasses
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from ring import Ring

from chanzi.drive.controller import Driver
from chanzi.drive.episode import Parts, run_episode
from chanzi.drive.messages import Control
from chanzi.drive.oracle import Oracle
from chanzi.drive.sensor import Fault, FaultyCamera, Kind, ReadNoise, chain
from chanzi.drive.timeline import Fate
from chanzi.drive.watch import Watch
from chanzi.errors import DriveError

SAYS = {
    "black": "black", "white": "blinded", "covered": "covered", "noise": "garbage", "frozen": "frozen", "torn": "torn",
    "late": "late", "wrong-size": "a picture of", "missing": "pictures of",
}  # fmt: skip


def _drive(fault=None, *, seed=0, ring=None, limit_s=12.0):
    ring = ring or Ring(noise=False)
    stages = [ReadNoise(seed)] + ([FaultyCamera(fault, seed)] if fault else [])
    parts = Parts(
        pilot=Oracle(0.02), driver=Driver(ring.vehicle), guard=Watch(ring.cameras), sensor=chain(stages)
    )  # fmt: skip
    return run_episode(ring, seed, parts, limit_s=limit_s)


@pytest.mark.parametrize(("kind", "cameras"), [*((kind, 1) for kind in get_args(Kind)), ("frozen", 3), ("missing", 3)])
def test_a_faulty_camera_stops_the_car_in_its_lane_and_it_says_why(kind, cameras):
    fault = Fault(kind=kind, begin_s=3.0, camera=cameras - 1)
    episode = _drive(fault, ring=Ring(noise=False, cameras=cameras))
    assert episode.ended == "stopped"
    assert SAYS[kind] in episode.stops[0].why
    # a seam that wanders down from frame to frame repeats nothing that was seen
    assert 3.0 <= episode.stops[0].time_s <= (4.5 if kind == "torn" else 3.5)
    # the ring's lane is 4 m wide, the car 1.8
    assert episode.lateral_most_m < 1.1
    # from 8 m/s at half of 7 m/s2
    assert episode.time_s < 4.5 + 8 / 3.5 + 2
    used = [p.taken_s for p in episode.passages if p.fate is Fate.USED]
    assert max(used) < (3.0 if kind != "torn" else episode.stops[0].time_s)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_single_bad_frame_is_skipped_and_the_car_goes_on(kind):
    episode = _drive(Fault(kind=kind, begin_s=3.0, end_s=3.02), limit_s=6.0)
    assert episode.ended == "time"
    assert not episode.stops
    assert [p.taken_s for p in episode.passages if p.fate is Fate.REFUSED] == [pytest.approx(3.0)]


def test_a_camera_that_fails_again_and_again_stops_the_car():
    episode = _drive(Fault(kind="torn", begin_s=3.0, every=2))
    assert episode.ended == "stopped"


@pytest.mark.parametrize("seed", range(3))
def test_no_alarm_where_nothing_is_wrong(seed):
    episode = _drive(seed=seed, ring=Ring(noise=False, obstacle_rad=2.0), limit_s=25.0)
    assert not episode.stops
    assert all(p.fate is not Fate.REFUSED for p in episode.passages)
    assert episode.ended == "time"  # it stands behind the obstacle, and the picture stands, too


def _frames(ring, count, control=None):
    for _ in range(count):
        frame = ring.observe()
        yield frame
        for _ in range(2):
            ring.step(control or Control())


def test_a_camera_that_freezes_while_the_car_stands_is_noticed_before_it_moves():
    ring = Ring(noise=False)
    ring.speed = 0.0
    noise, watch = ReadNoise(), Watch(ring.cameras)
    frames = [noise(frame) for frame in _frames(ring, 10)]
    assert [watch.look(frame, 0.0) for frame in frames] == [""] * 10
    frozen = [dataclasses.replace(frame, images=frames[9].images) for frame in frames]
    later = [dataclasses.replace(f, time_s=f.time_s + 0.4, stamps_s=(f.time_s + 0.4,)) for f in frozen]
    for frame in later:
        assert "frozen" in watch.look(frame, 0.0)
    assert "frozen" in watch.alarm


def test_without_noise_a_still_picture_is_a_fault_only_once_the_car_has_moved():
    ring = Ring(noise=False)
    ring.speed = 0.0
    watch = Watch(ring.cameras, noisy=False)
    frames = list(_frames(ring, 30))
    assert all((frame.images[0] == frames[0].images[0]).all() for frame in frames)
    assert [watch.look(frame, 0.1) for frame in frames[:15]] == [""] * 15
    assert any("frozen" in watch.look(frame, 2.0) for frame in frames[15:])


@given(st.integers(0, 19), st.integers(1, 19), st.integers(1, 30))
def test_lines_of_any_earlier_frame_are_found(first, lines, age):
    ring = Ring(noise=True)
    watch = Watch(ring.cameras)
    frames = list(_frames(ring, 32))
    for frame in frames[:-1]:
        assert not watch.look(frame, 0.0)
    image, old = frames[-1].images[0].copy(), frames[-1 - age].images[0]
    last = min(first + lines, 20)
    image[first:last] = old[first:last]
    said = watch.look(dataclasses.replace(frames[-1], images=(image,)), 0.0)
    assert ("frozen" if last - first == 20 else "torn") in said


@pytest.mark.parametrize("speed", [float("nan"), float("inf")])
def test_an_odometer_without_a_number_is_wrong(speed):
    ring = Ring()
    frame = dataclasses.replace(ring.observe(), speed_m_s=speed)
    assert "odometer" in Watch(ring.cameras).look(frame, 0.0)


@pytest.mark.parametrize(
    "image", [np.zeros((20, 40), np.uint8), np.full((20, 40, 3), np.nan), np.zeros((20, 40, 3), np.int16), None]
)
def test_what_is_no_picture_is_wrong(image):
    ring = Ring()
    assert "a picture of" in Watch(ring.cameras).look(dataclasses.replace(ring.observe(), images=(image,)), 0.0)


def test_read_noise_is_one_unit_and_the_same_for_the_same_frame():
    frame = Ring(noise=False).observe()
    noise = ReadNoise()
    a, b = noise(frame), noise(frame)
    assert (a.images[0] == b.images[0]).all()
    change = a.images[0].astype(int) - frame.images[0]
    assert set(np.unique(change)) == {-1, 0, 1}
    assert (noise(dataclasses.replace(frame, number=1)).images[0] != a.images[0]).mean() > 0.5


def test_no_such_fault():
    with pytest.raises(DriveError, match="did you mean 'frozen'"):
        Fault(kind="frosen", begin_s=0.0)
