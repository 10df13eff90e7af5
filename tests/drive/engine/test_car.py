"""Units with simulated cars: drives that come again exactly, true notes, labels apart from pictures."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("highway_env")

from chanzi.drive.engine.car.codriver import ExpertCoDriver
from chanzi.drive.engine.car.drive import DriveCar, world_of
from chanzi.drive.engine.car.network import MOST_LATERAL_M, Label
from chanzi.drive.engine.car.watcher import collision_1_s, path_apart_m
from chanzi.drive.engine.interface import RECORDING, SHARD, SIGNALS, DriveOrder, Drove, Labelled, Mix
from chanzi.drive.engine.scenario import Scenario
from chanzi.drive.engine.signals import read_signals
from chanzi.drive.engine.unit import sha256
from chanzi.drive.episode import Hands
from chanzi.drive.messages import Control, Truth
from chanzi.drive.network.shards import read_shard
from chanzi.drive.record.mcap_log import read_frames

WORLD = "highway:racetrack"


def order(seed=3, share=1.0, noise_rad=0.25, record=True, seconds=4.0, again=0):
    scenario = Scenario(world=WORLD, seed=seed, weather="clear", seconds=seconds)
    return DriveOrder(
        scenario=scenario,
        driver=None,
        mix=Mix(share=share, rescue=True, noise_rad=noise_rad, seed=seed),
        record=record,
        again=again,
    )


def perform(unit, store=None):
    made = unit.perform((store or {}).__getitem__)
    return made, dict(made.files)


@pytest.fixture(scope="module")
def driven():
    return perform(DriveCar(order=order(), cameras=1))


def test_a_drive_comes_again_to_the_last_byte(driven):
    again, files = perform(DriveCar(order=order(again=1), cameras=1))
    assert again == driven[0]
    assert {name: sha256(data) for name, data in files.items()} == {n: sha256(d) for n, d in driven[1].items()}
    other, _ = perform(DriveCar(order=order(seed=4, record=False), cameras=1))
    assert other.values != driven[0].values


def test_recording_does_not_disturb_a_drive(driven):
    plain, files = perform(DriveCar(order=order(record=False), cameras=1))
    assert plain.values == driven[0].values
    assert not files


def logs(files, folder):
    path = folder / "drive.mcap"
    path.write_bytes(files[RECORDING])
    return list(read_frames(path))


def test_what_was_seen_and_what_was_so_are_of_the_same_moment(driven, tmp_path):
    """Driven again beside the recording: each frame and truth is that of the world at that moment."""
    made, files = driven
    drove = msgspec.json.decode(made.values, type=Drove)
    logged = logs(files, tmp_path)
    frames, truths = [one.frame for one in logged], [one.truth for one in logged]
    signals = read_signals(files[SIGNALS])
    assert len(frames) == len(truths) == signals.frames == drove.frames == 40
    world = world_of(WORLD, "clear", 1)
    world.reset(3)
    first, so = world.observe(), world.truth()
    assert np.array_equal(frames[0].images[0], first.images[0])
    assert np.array_equal(truths[0].path_m, so.path_m)
    assert np.array_equal(truths[0].vehicles, so.vehicles)
    assert [f.number for f in frames] == list(range(40))
    assert len({f.images[0].tobytes() for f in frames}) == 40  # no picture is an old one


def test_a_shard_has_the_frames_that_were_asked_for(driven, tmp_path):
    _, files = driven
    wanted = (3, 8, 21)
    made, shards = perform(Label(recording=RECORDING, frames=wanted), files)
    path = tmp_path / "shard.npz"
    path.write_bytes(shards[SHARD])
    shard = read_shard(path)
    logged = [logs(files, tmp_path)[at] for at in wanted]
    frames, truths = [one.frame for one in logged], [one.truth for one in logged]
    assert all(abs(t.lateral_m) < MOST_LATERAL_M for t in truths)
    assert msgspec.json.decode(made.values, type=Labelled).frames == len(shard) == 3
    for i in range(3):
        assert np.array_equal(shard.images[i], frames[i].images[0])
        assert np.array_equal(shard.path_m[i], truths[i].path_m)
        assert shard.target_speed_m_s[i] == np.float32(truths[i].target_speed_m_s)


class Nobody:
    def begin(self, world):
        pass

    def take(self, _world, _time_s, _speed_m_s):
        return None


class Rescuer(Nobody):
    def take(self, _world, time_s, _speed_m_s):
        return Hands(control=Control(), why="near miss") if 1.0 <= time_s < 2.0 else None


def taken(mix, rescuer, ticks=1500):
    world = world_of(WORLD, "clear", 1)
    world.reset(0)
    codriver = ExpertCoDriver(mix, rescuer)
    codriver.begin(world)
    return [codriver.take(world, k * world.tick_s, 5.0) for k in range(ticks)]


def test_the_expert_drives_its_share_and_the_rescuer_comes_first():
    none = taken(Mix(share=0.0, rescue=True, noise_rad=0.2, seed=1), Nobody())
    assert not any(none)
    every = taken(Mix(share=1.0, rescue=True, noise_rad=0.0, seed=1), Rescuer())
    assert {h.why for h in every} == {"expert", "near miss"}
    assert [k * 0.02 for k, h in enumerate(every) if h.why == "near miss"] == pytest.approx(np.arange(50, 100) * 0.02)
    some = taken(Mix(share=0.5, rescue=False, noise_rad=0.0, seed=1), Rescuer())
    share = sum(h is not None for h in some) / len(some)
    assert 0.1 < share < 0.9
    assert some == taken(Mix(share=0.5, rescue=False, noise_rad=0.0, seed=1), Rescuer())


def truth(*vehicles):
    return Truth(
        path_m=np.zeros((10, 2), np.float32),
        target_speed_m_s=5.0,
        vehicles=np.array(vehicles, np.float32).reshape(-1, 7),
        lateral_m=0.0,
        heading_rad=0.0,
    )


@given(st.floats(5, 60), st.floats(-10, 10), st.floats(1, 20), st.floats(-10, 10), st.floats(-5, 5))
def test_a_collision_is_seen_as_soon_as_a_small_step_simulation_sees_it(x, y, speed, vx, vy):
    said = collision_1_s(truth((x, y, 0, 5, 2, vx, vy)), speed)
    # The judge: step by step, the moment of the smallest distance.
    times = np.arange(0, 3.0, 0.001)
    apart = np.hypot(x + (vx - speed) * times, y + vy * times)
    at = int(apart.argmin())
    if said:
        assert 0 < 1 / said <= 3.01
        assert apart[at] < 2.51
        if 1 / said > 0.11:
            assert times[at] == pytest.approx(min(1 / said, 2.999), abs=0.02) or math.isclose(apart[0], apart[at])
    elif 0 < at < len(times) - 1:
        assert apart[at] > 2.49


def test_paths_are_compared_where_they_will_be_driven():
    one = np.zeros((10, 2), np.float32)
    other = one.copy()
    other[9] = 100.0  # at 40 m
    assert path_apart_m(one, other) == 0.0
    other[2] = (0.0, 0.5)
    assert path_apart_m(one, other) == 0.5
