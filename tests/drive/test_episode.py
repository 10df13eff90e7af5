# ruff: noqa: ARG002 - doubles of protocols take what they do not need
import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.drive.episode import Hands, Parts, run_episode
from chanzi.drive.messages import PATH_DISTANCES_M, Control, Plan
from chanzi.drive.metrics import tally
from chanzi.drive.oracle import Oracle, occupied
from chanzi.drive.timeline import Delays, Fate

sys.path.insert(0, str(Path(__file__).parent))

from ring import Ring


class Follows:
    """A driver of the tests' own: steers for the plan's point 9 m ahead, as if the plan were new."""

    def __init__(self):
        self.plan = None
        self.speed = 0.0

    def saw(self, frame):
        self.speed = frame.speed_m_s

    def decide(self, perception):
        self.plan = Plan(frame=perception.frame, path_m=perception.path_m, speed_m_s=perception.target_speed_m_s)
        return self.plan

    def stop(self, why):
        path = self.plan.path_m if self.plan else np.zeros((2, 2), np.float32)
        self.plan = Plan(frame=0, path_m=path, speed_m_s=0.0, stop=why)
        return self.plan

    def tick(self, tick_s, instead=None):
        if instead is not None:
            return instead
        if self.plan is None:
            return Control()
        i = PATH_DISTANCES_M.index(9.0)
        x, y = self.plan.path_m[i]
        return Control(
            steering_rad=float(2 * 2.8 * y / (x * x + y * y)), acceleration_m_s2=2 * (self.plan.speed_m_s - self.speed)
        )


def _drive(seed=1, *, chip_s=0.03, busy_s=None, limit_s=8.0, delays=None, ring=None, **parts):
    ring = ring or Ring()
    made = Parts(pilot=Oracle(chip_s, busy_s), driver=Follows(), delays=delays or Delays(), **parts)
    return run_episode(ring, seed, made, limit_s=limit_s)


@settings(max_examples=25, deadline=None)
@given(
    chip=st.integers(0, 300), extra=st.integers(0, 100), sensor=st.integers(0, 60), transfer=st.integers(0, 20),
    planning=st.integers(0, 20), frame=st.integers(1, 4),
)  # fmt: skip
def test_every_frame_has_its_fate_and_no_plan_comes_before_its_time(chip, extra, sensor, transfer, planning, frame):
    ms = 1e-3
    delays = Delays(sensor_s=sensor * ms, transfer_s=transfer * ms, planning_s=planning * ms)
    # a pipelined chip may take the next frame before it has answered the last
    busy_s = max(chip - extra, 0) * ms
    ring = Ring(frame_s=0.02 * frame)
    episode = _drive(chip_s=chip * ms, busy_s=busy_s, delays=delays, ring=ring, limit_s=2.0)
    tick = ring.tick_s
    assert [p.frame for p in episode.passages] == list(range(len(episode.passages)))
    assert len(episode.passages) == -(-round(episode.time_s / tick) // frame)
    free = 0.0
    for p in episode.passages:
        assert p.read_s - p.taken_s == pytest.approx(sensor * ms)
        assert p.arrived_s - p.read_s == pytest.approx(transfer * ms)
        if p.fate is Fate.DROPPED:
            assert p.arrived_s < free
            continue
        assert p.arrived_s >= free - 1e-6
        free = p.arrived_s + busy_s
        if p.fate is Fate.USED:
            due = p.arrived_s + (chip + planning) * ms
            assert due - 1e-6 <= p.acted_s < due + tick + 1e-6


def test_the_same_seed_is_the_same_drive_and_another_is_not():
    first, again, other = _drive(1), _drive(1), _drive(2)
    assert first == again
    assert first.digest != other.digest


def test_a_later_plan_steers_worse():
    wide = [_drive(chip_s=s, limit_s=20.0).lateral_rms_m for s in (0.0, 0.3, 0.6)]
    assert wide[0] < wide[1] < wide[2]


class Grabs:
    """Takes the wheel for a second, two seconds in, and brakes."""

    def begin(self, world):
        pass

    def take(self, world, time_s, speed_m_s):
        return Hands(control=Control(acceleration_m_s2=-7.0), why="test") if 2.0 <= time_s < 3.0 else None


def test_a_codriver_drives_while_it_takes_the_wheel():
    episode = _drive(codriver=Grabs())
    (taken,) = episode.takeovers
    assert (taken.begin_s, taken.end_s, taken.why) == (pytest.approx(2.0), pytest.approx(3.0), "test")
    assert episode.distance_m < _drive().distance_m
    assert tally([episode], supervised=True).interventions_per_km.value == pytest.approx(1000 / episode.distance_m)


class Writes:
    def __init__(self):
        self.calls = []

    def begin(self, world, seed):
        self.calls.append("begin")

    def frame(self, world, moment):
        self.calls.append("frame")

    def passed(self, passage):
        self.calls.append(passage.fate)

    def plan(self, passage, perception, plan):
        self.calls.append("plan")

    def tick(self, time_s, control, by):
        self.calls.append("tick")

    def end(self, episode):
        self.calls.append("end")


def test_listeners_hear_everything_and_change_nothing():
    writes = Writes()
    episode = _drive(listeners=(writes,))
    assert episode == _drive()
    assert writes.calls[0] == "begin"
    assert writes.calls[-1] == "end"
    assert writes.calls.count("frame") == len(episode.passages)
    assert sum(call is Fate.USED for call in writes.calls) == writes.calls.count("plan")
    assert writes.calls.count("plan") == sum(p.fate is Fate.USED for p in episode.passages)
    assert writes.calls.count("tick") == round(episode.time_s / 0.02)


class Doubts:
    """Finds frame 20 wrong, and from frame 40 on raises the alarm."""

    def __init__(self):
        self.alarm = ""

    def look(self, frame, odometer_m):
        if frame.number >= 40:
            self.alarm = "main: black"
        return "main: torn" if frame.number == 20 else self.alarm


def test_what_the_watch_refuses_is_never_driven_by_and_an_alarm_stops_the_car():
    episode = _drive(guard=Doubts(), limit_s=20.0)
    by_frame = {p.frame: p for p in episode.passages}
    assert by_frame[20].fate is Fate.REFUSED
    assert by_frame[21].fate is Fate.USED
    assert all(by_frame[i].fate is not Fate.USED for i in by_frame if i >= 40)
    assert episode.ended == "stopped"
    assert [s.why for s in episode.stops] == ["main: black"]
    assert episode.lateral_most_m < 1.0


def test_a_tally_counts():
    episodes = [_drive(seed) for seed in range(3)]
    crashed = dataclasses.replace(episodes[0], crashes=1, ended="crash")
    found = tally([*episodes, crashed])
    assert found.episodes == 4
    assert found.crashed.value == 0.25
    assert found.crashed.low < 0.25 < found.crashed.high
    assert sum(found.frames.values()) == 4 * len(episodes[0].passages)
    assert found.ended == {"time": 3, "crash": 1}


def test_the_grid_holds_a_vehicle_where_it_is():
    grid = occupied(np.array([[11.0, 3.0, 0.0, 1.0, 1.0, 0, 0]]))
    assert np.argwhere(grid).tolist() == [[5, 4]]
    assert occupied(np.array([[-9.0, 0.0, 0.0, 4.0, 2.0, 0, 0]])).sum() == 0
