# ruff: noqa: ARG002, ARG005 - doubles of protocols take what they do not need
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from ring import Ring

from chanzi.drive.controller import Driver
from chanzi.drive.episode import Parts, run_episode
from chanzi.drive.messages import Command
from chanzi.drive.oracle import Oracle
from chanzi.drive.sensor import ReadNoise
from chanzi.errors import DriveError


class Keeps:
    def __init__(self):
        self.moments = []

    def frame(self, world, moment):
        self.moments.append(moment)

    def __getattr__(self, name):
        return lambda *args: None


def _drive(*listeners, cameras=2):
    ring = Ring(cameras=cameras, obstacle_rad=2.0)
    ring.cameras = tuple(dataclasses.replace(c, name=("left", "right")[i]) for i, c in enumerate(ring.cameras))
    parts = Parts(pilot=Oracle(0.05), driver=Driver(ring.vehicle), sensor=ReadNoise(), listeners=listeners)
    return run_episode(ring, 3, parts, limit_s=1.5)


def test_a_log_gives_frames_and_truth_back_bit_for_bit(tmp_path):
    pytest.importorskip("mcap")
    from chanzi.drive.record.mcap_log import McapLog, read_frames

    path, keeps = tmp_path / "drive.mcap", Keeps()
    episode = _drive(McapLog(path), keeps)
    logged = list(read_frames(path))
    assert len(logged) == len(keeps.moments) == len(episode.passages)
    for a, b in zip(logged, keeps.moments, strict=True):
        assert len(a.frame.images) == 2
        for x, y in zip(a.frame.images, b.frame.images, strict=True):
            np.testing.assert_array_equal(x, y)
        for name in ("number", "time_s", "stamps_s", "speed_m_s", "command"):
            assert getattr(a.frame, name) == getattr(b.frame, name)
        assert isinstance(a.frame.command, Command)
        np.testing.assert_array_equal(a.truth.path_m, b.truth.path_m)
        np.testing.assert_array_equal(a.truth.vehicles, b.truth.vehicles)
        assert (a.truth.lateral_m, a.truth.heading_rad) == (b.truth.lateral_m, b.truth.heading_rad)
    assert [p.name for p in tmp_path.iterdir()] == ["drive.mcap"]


def test_another_reader_finds_schemas_that_the_messages_keep(tmp_path):
    """The package's own reader, and every message against its schema."""
    reader = pytest.importorskip("mcap.reader")
    from chanzi.drive.record.mcap_log import McapLog

    path = tmp_path / "drive.mcap"
    episode = _drive(McapLog(path, {"backend": "truth"}))
    kinds = {"number": (int, float), "integer": int, "string": str, "array": list, "object": dict, "null": type(None)}
    topics = {}
    with path.open("rb") as file:
        made = reader.make_reader(file)
        for schema, channel, message in made.iter_messages():
            topics[channel.topic] = topics.get(channel.topic, 0) + 1
            data, described = json.loads(message.data), json.loads(schema.data)
            assert schema.encoding == "jsonschema"
            assert channel.message_encoding == "json"
            assert set(data) == set(described["properties"])
            for name, value in data.items():
                allowed = described["properties"][name]["type"]
                allowed = [allowed] if isinstance(allowed, str) else allowed
                assert any(isinstance(value, kinds[kind]) for kind in allowed), (channel.topic, name, value)
        (metadata,) = made.iter_metadata()
    assert metadata.metadata == {"world": "ring", "seed": "3", "backend": "truth"}
    assert topics["/camera/left"] == topics["/camera/right"] == topics["/frame"] == len(episode.passages)
    assert topics["/control"] == round(episode.time_s / 0.02)
    assert topics["/episode"] == 1
    assert topics["/plan"] == topics["/perception"] == sum(p.acted_s is not None for p in episode.passages)


def test_what_is_no_log_is_refused(tmp_path):
    pytest.importorskip("mcap")
    from chanzi.drive.record.mcap_log import read_frames

    path = tmp_path / "x.mcap"
    path.write_bytes(b"nothing of the kind" * 10)
    with pytest.raises(DriveError, match="is no log"):
        list(read_frames(path))


def test_tables_hold_every_episode_and_frame(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    from chanzi.drive.record.tables import write_episodes, write_frames

    episodes = [_drive(), _drive()]
    write_episodes(tmp_path / "e.parquet", episodes)
    write_frames(tmp_path / "f.parquet", episodes)
    e, f = (parquet.read_table(tmp_path / f"{name}.parquet").to_pydict() for name in "ef")
    assert e["seed"] == [3, 3]
    assert e["digest"] == [episode.digest for episode in episodes]
    assert len(f["frame"]) == sum(len(episode.passages) for episode in episodes)
    assert f["latency_s"] == [p.latency_s for episode in episodes for p in episode.passages]


def test_a_film_has_a_picture_for_every_40_ms(tmp_path):
    pytest.importorskip("cv2")
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    from chanzi.drive.record.film import HEIGHT, WIDTH, Credits, Film

    path, still = tmp_path / "drive.mp4", tmp_path / "still.png"
    film = Film(
        path, Credits(title="ring", chip="none"), twin=Ring(cameras=2, obstacle_rad=2.0), still=still, still_s=1
    )
    episode = _drive(film)
    frames, seconds = ffmpeg.count_frames_and_secs(str(path))
    # and a second and a half of how it ended
    assert frames == -(-round(episode.time_s / 0.02) // 2) + round(1.5 / 0.04)
    assert seconds == pytest.approx(frames * 0.04, abs=0.05)
    from PIL import Image

    with Image.open(still) as image:
        assert image.size == (WIDTH, HEIGHT)
        assert len(np.unique(np.asarray(image.resize((64, 36))).reshape(-1, 3), axis=0)) > 100
    assert sorted(p.name for p in tmp_path.iterdir()) == ["drive.mp4", "still.png"]


def test_a_rerun_recording_is_one_that_rerun_reads(tmp_path):
    pytest.importorskip("rerun")
    from chanzi.drive.record.rerun_log import RerunLog

    path = tmp_path / "drive.rrd"
    _drive(RerunLog(path))
    assert path.read_bytes()[:4] == b"RRF2"
    assert path.stat().st_size > 20_000
    assert [p.name for p in tmp_path.iterdir()] == ["drive.rrd"]
