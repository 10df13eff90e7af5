"""Shards and batches: what is written is read, what is damaged is refused, and a mirror is a mirror."""

import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_net import SMALL, examples

from chanzi.drive.camera import rig
from chanzi.drive.messages import Command
from chanzi.drive.network.shards import make_shard, read_shard, seen_cells, write_shard
from chanzi.drive.network.train import held_out
from chanzi.errors import DriveError


def shard(count=5, cameras=1):
    pairs = examples(count, cameras=cameras)
    return make_shard([f for f, _ in pairs], [t for _, t in pairs])


def test_shards_come_back_as_they_were(tmp_path):
    written = shard(cameras=3)
    write_shard(tmp_path / "a" / "one.npz", written)
    read = read_shard(tmp_path / "a" / "one.npz")
    for field in fields(written):
        assert np.array_equal(getattr(read, field.name), getattr(written, field.name))
    assert read.occupancy.any(axis=(1, 2)).all()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["one.npz"], "nothing is left lying about"


@pytest.mark.parametrize("spoil", ["cut", "other", "missing", "text"])
def test_damage_is_named(tmp_path, spoil):
    path = tmp_path / "one.npz"
    if spoil == "cut":
        write_shard(path, shard())
        path.write_bytes(path.read_bytes()[:-200])
    elif spoil == "other":
        np.savez(path, images=np.zeros(3))
    elif spoil == "text":
        path.write_text("hello")
    with pytest.raises(DriveError, match=r"cannot read"):
        read_shard(path)


def test_a_shard_of_nothing_or_of_two_rigs_is_refused():
    with pytest.raises(DriveError):
        make_shard([], [])
    one, two = examples(1)[0], examples(1, size=(48, 32))[0]
    with pytest.raises(DriveError, match="different sizes"):
        make_shard([one[0], two[0]], [one[1], two[1]])


def test_cells_are_seen_where_cameras_look():
    one, three, eight = (seen_cells(rig(n)) for n in (1, 3, 8))
    assert one[10:, 3:9].all(), "what is far ahead is in the main camera's view"
    assert not one[0, 0]
    assert not one[0, -1]
    assert (one <= three).all()
    assert (three <= eight).all()
    assert eight.sum() >= three.sum() > one.sum()
    assert (three == three[:, ::-1]).all()


def test_the_held_out_share_is_of_the_name_alone():
    names = [Path(f"/x/episode-{k:06d}.npz") for k in range(2000)]
    share = np.mean([held_out(path, 0.1) for path in names])
    assert 0.07 < share < 0.13
    assert all(held_out(path, 0.3) for path in names if held_out(path, 0.1))
    assert [held_out(Path("/y") / path.name, 0.1) for path in names] == [held_out(path, 0.1) for path in names]


@pytest.mark.torch
@pytest.mark.parametrize("cameras", [1, 3, 8])
def test_a_mirror_twice_is_none(cameras):
    torch = pytest.importorskip("torch")
    from chanzi.drive.network.batches import Frames, mirrored, partners

    spec = replace(SMALL, cameras=cameras)
    cams = rig(cameras, width=32, height=32)
    order = partners(cams)
    assert [order[k] for k in order] == list(range(cameras))
    batch = Frames([shard(4, cameras)]).batch(range(4))
    once = mirrored(batch, spec, cams)
    twice = mirrored(once, spec, cams)
    for field in fields(batch):
        assert torch.equal(getattr(twice, field.name), getattr(batch, field.name)), field.name
    assert torch.equal(once.left, -batch.left)
    assert not torch.equal(once.images, batch.images)


@pytest.mark.torch
def test_an_epoch_shows_every_frame_once_and_is_drawn_from_its_seed():
    pytest.importorskip("torch")
    from chanzi.drive.network.batches import Frames

    frames = Frames([shard(30), shard(11)])
    a, b = (list(frames.shuffled(8, np.random.default_rng(seed))) for seed in (1, 1))
    assert sum(map(len, a)) == 41
    assert all((x.images == y.images).all() for x, y in zip(a, b, strict=True))
    seen = sorted(float(v) for batch in a for v in batch.speed)
    assert np.allclose(seen, sorted(float(v) for batch in frames.in_order(50) for v in batch.speed))
    assert all((batch.images == batch.images.round()).all() and batch.images.max() <= 255 for batch in a)


def test_an_epoch_shows_all_frames_with_a_command_and_a_share_of_the_others():
    from chanzi.drive.network.batches import Frames

    one = shard(40)
    one.state[:, 1:] = 0
    one.state[:, 1 + int(Command.FOLLOW)] = 255
    one.state[:10, 1:] = 0
    one.state[:10, 1 + int(Command.LEFT)] = 255
    frames = Frames([one])
    first, second = (frames.drawn(0.5, np.random.default_rng(seed)) for seed in (1, 2))
    assert len(first) == len(set(first)) == 10 + 15
    assert set(range(10)) <= set(first) & set(second)
    assert set(first) != set(second)
    assert sorted(frames.drawn(1.0, np.random.default_rng(1))) == list(range(40))
