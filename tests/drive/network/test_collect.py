"""Drives to learn from, on the ring of `ring.py`: what is kept, that it is told truly, and that a teacher saves."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from ring import Ring

from chanzi.drive.network import aggregate as aggregation
from chanzi.drive.network import collect as collection
from chanzi.drive.network.aggregate import Lesson, aggregate
from chanzi.drive.network.collect import Recipe, collect, drive
from chanzi.drive.network.shards import read_shard
from chanzi.drive.oracle import Oracle

RECIPE = Recipe(world="ring", seconds=20.0, every_s=0.2, most_lateral_m=1.9)


class Road(Ring):
    def __init__(self, **options):
        super().__init__(**options)
        self.closed = False

    def close(self):
        self.closed = True


@pytest.fixture(autouse=True)
def _ring_by_name(monkeypatch):
    for module in (collection, aggregation):
        monkeypatch.setattr(module, "make_world", lambda _, **options: Road(**options))


def test_the_expert_is_off_its_line_and_comes_back():
    frames, truths = drive(Road(), 1, RECIPE)
    lateral = np.array([truth.lateral_m for truth in truths])
    assert len(frames) == len(truths) > 80
    assert all(b.time_s - a.time_s >= 0.2 - 1e-9 for a, b in itertools.pairwise(frames))
    assert np.abs(lateral).max() <= 1.9
    assert lateral.std() > 0.3, "a driver who never errs shows no one how to recover"
    assert (np.diff(np.sign(lateral)) != 0).sum() >= 3
    assert np.ptp([truth.heading_rad for truth in truths]) > 0.1


def test_a_seed_is_one_drive_and_another_is_another():
    a, b, c = (drive(Road(), seed, RECIPE)[1] for seed in (3, 3, 4))
    assert [t.lateral_m for t in a] == [t.lateral_m for t in b]
    assert [t.lateral_m for t in a] != [t.lateral_m for t in c]


def test_what_is_there_is_not_driven_again(tmp_path):
    told = []
    paths = collect(tmp_path, [5, 6], RECIPE, progress=told.append)
    before = [path.read_bytes() for path in paths]
    assert [path.name for path in paths] == ["episode-000005.npz", "episode-000006.npz"]
    assert len(told) == 2
    paths[1].unlink()
    again = collect(tmp_path, [5, 6], RECIPE, progress=told.append)
    assert len(told) == 3
    assert [path.read_bytes() for path in again] == before


class Blind(Oracle):
    """Says that the road goes straight on: on a ring that leads into the grass."""

    def look(self, frame):
        answer = super().look(frame)
        answer.perception.path_m[:, 1] = 0.0
        return answer


def test_a_network_that_errs_is_saved_and_its_errors_are_kept(tmp_path):
    told = []
    (path,) = aggregate(tmp_path, [1], RECIPE, Blind(), Lesson(share=0.0), progress=told.append)
    shard = read_shard(path)
    assert "saved 0 times" not in told[0]
    assert np.abs(shard.lateral_m).max() > 1.5
    assert (np.abs(shard.path_m[:, 5, 1]) > 0.5).any(), "labels are what is so, not what the network said"
    (path,) = aggregate(tmp_path / "good", [1], RECIPE, Oracle(), Lesson(share=0.0), progress=told.append)
    assert "saved 0 times" in told[1]
    assert np.abs(read_shard(path).lateral_m[20:]).max() < 0.5
