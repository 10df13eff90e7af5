"""A drive as MCAP (https://mcap.dev): pictures as Foxglove's own message, everything else as JSON with its schema.

Any MCAP reader opens it (Foxglove, Rerun, `mcap cat`). Times of the log are those of the episode, from 0.
"""

import base64
import io
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from chanzi.drive.episode import Episode, Moment
from chanzi.drive.messages import Command, Control, Frame, Perception, Plan, Truth
from chanzi.drive.timeline import Fate, Passage
from chanzi.drive.world.world import World
from chanzi.errors import DriveError

_NUMBER, _TEXT, _WHOLE = {"type": "number"}, {"type": "string"}, {"type": "integer"}
_MAYBE = {"type": ["number", "null"]}
_NUMBERS = {"type": "array", "items": _NUMBER}
_POINTS = {"type": "array", "items": _NUMBERS}
_TIME = {"type": "object", "title": "time", "properties": {"sec": _WHOLE, "nsec": _WHOLE}}

SCHEMAS: dict[str, dict[str, Any]] = {
    "foxglove.CompressedImage": {
        "timestamp": _TIME,
        "frame_id": _TEXT,
        "data": {"type": "string", "contentEncoding": "base64"},
        "format": _TEXT,
    },
    "chanzi.Frame": {
        "number": _WHOLE,
        "time_s": _NUMBER,
        "stamps_s": _NUMBERS,
        "speed_m_s": _NUMBER,
        "command": _WHOLE,
        "trouble": _TEXT,
    },
    "chanzi.Truth": {
        "path_m": _POINTS,
        "target_speed_m_s": _NUMBER,
        "vehicles": _POINTS,
        "lateral_m": _NUMBER,
        "heading_rad": _NUMBER,
        "curvature_1_m": _NUMBER,
    },
    "chanzi.Status": {"distance_m": _NUMBER, "progress": _NUMBER, "reward": _NUMBER, "nearest_m": _MAYBE},
    "chanzi.Passage": {
        "frame": _WHOLE,
        "taken_s": _NUMBER,
        "read_s": _NUMBER,
        "arrived_s": _NUMBER,
        "answered_s": _MAYBE,
        "planned_s": _MAYBE,
        "acted_s": _MAYBE,
        "fate": _TEXT,
        "why": _TEXT,
    },
    "chanzi.Perception": {
        "frame": _WHOLE,
        "path_m": _POINTS,
        "target_speed_m_s": _NUMBER,
        "occupancy": _POINTS,
        "spread_m": _NUMBERS,
    },
    "chanzi.Plan": {"frame": _WHOLE, "path_m": _POINTS, "speed_m_s": _NUMBER, "stop": _TEXT},
    "chanzi.Control": {"steering_rad": _NUMBER, "acceleration_m_s2": _NUMBER, "by": _TEXT},
    "chanzi.Episode": {
        "world": _TEXT,
        "seed": _WHOLE,
        "ended": _TEXT,
        "time_s": _NUMBER,
        "distance_m": _NUMBER,
        "progress": _NUMBER,
        "crashes": _WHOLE,
        "digest": _TEXT,
    },
}
"""Every message: its schema's name, and the fields."""


class McapLog:
    """Writes an episode down as it happens.

    Parameters
    ----------
    path : Path
    about : mapping of str to str
        What drives, for whoever reads the log.

    Raises
    ------
    DriveError
        The package `mcap` is not installed.
    """

    def __init__(self, path: Path, about: Mapping[str, str] | None = None) -> None:
        try:
            from mcap.writer import Writer
        except ModuleNotFoundError as error:
            raise DriveError("logs need the package mcap", hint="pip install 'chanzi[drive]'") from error
        self._path = path
        self._about = dict(about or {})
        self._writer_class = Writer
        self._writer: Any = None
        self._file: io.BufferedWriter | None = None
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}")
        self._channels: dict[str, int] = {}
        self._now = 0.0

    def begin(self, world: World, seed: int) -> None:
        """Begin an episode: the file is made anew."""
        self.close()
        self._file = self._temporary.open("wb")
        self._writer = self._writer_class(self._file)
        self._writer.start(profile="", library="chanzi")
        self._writer.add_metadata("drive", {"world": world.name, "seed": str(seed), **self._about})
        topics = {f"/camera/{camera.name}": "foxglove.CompressedImage" for camera in world.cameras}
        topics |= {f"/{name.removeprefix('chanzi.').lower()}": name for name in SCHEMAS if name.startswith("chanzi.")}
        schemas = {
            name: self._writer.register_schema(
                name=name,
                encoding="jsonschema",
                data=msgspec.json.encode({"type": "object", "title": name, "properties": properties}),
            )
            for name, properties in SCHEMAS.items()
        }
        self._channels = {
            topic: self._writer.register_channel(topic=topic, message_encoding="json", schema_id=schemas[name])
            for topic, name in topics.items()
        }
        self._now = 0.0

    def _write(self, topic: str, message: Any, time_s: float) -> None:
        assert self._writer is not None
        ns = round(time_s * 1e9)
        self._writer.add_message(
            channel_id=self._channels[topic], log_time=ns, publish_time=ns, data=msgspec.json.encode(message)
        )

    def frame(self, world: World, moment: Moment) -> None:
        """Take a frame with what is so at its moment."""
        frame, truth, status = moment.frame, moment.truth, moment.status
        now = self._now = frame.time_s
        for camera, image in zip(world.cameras, frame.images, strict=False):
            self._write(
                f"/camera/{camera.name}",
                {
                    "timestamp": {"sec": int(now), "nsec": round((now - int(now)) * 1e9)},
                    "frame_id": camera.name,
                    "data": base64.b64encode(png(image)).decode(),
                    "format": "png",
                },
                now,
            )
        self._write(
            "/frame",
            {
                "number": frame.number,
                "time_s": now,
                "stamps_s": frame.stamps_s,
                "speed_m_s": frame.speed_m_s,
                "command": int(frame.command),
                "trouble": moment.trouble,
            },
            now,
        )
        self._write(
            "/truth",
            {
                "path_m": truth.path_m.tolist(),
                "target_speed_m_s": truth.target_speed_m_s,
                "vehicles": truth.vehicles.tolist(),
                "lateral_m": truth.lateral_m,
                "heading_rad": truth.heading_rad,
                "curvature_1_m": truth.curvature_1_m,
            },
            now,
        )
        self._write(
            "/status",
            {
                "distance_m": status.distance_m,
                "progress": status.progress,
                "reward": status.reward,
                "nearest_m": status.nearest_m if math.isfinite(status.nearest_m) else None,
            },
            now,
        )

    def passed(self, passage: Passage) -> None:
        """Take a frame's way, once its fate is known."""
        if passage.fate is not Fate.UNFINISHED:
            known = {name: getattr(passage, name) for name in SCHEMAS["chanzi.Passage"]}
            self._write("/passage", {**known, "fate": passage.fate.value}, self._now)

    def plan(self, passage: Passage, perception: Perception | None, plan: Plan) -> None:
        """Take an answer and its plan."""
        time_s = self._now = passage.acted_s or 0.0
        if perception is not None:
            self._write(
                "/perception",
                {
                    "frame": perception.frame,
                    "path_m": perception.path_m.tolist(),
                    "target_speed_m_s": perception.target_speed_m_s,
                    "occupancy": np.round(perception.occupancy.astype(np.float64), 4).tolist(),
                    "spread_m": perception.spread_m.tolist(),
                },
                time_s,
            )
        self._write(
            "/plan",
            {"frame": plan.frame, "path_m": plan.path_m.tolist(), "speed_m_s": plan.speed_m_s, "stop": plan.stop},
            time_s,
        )

    def tick(self, time_s: float, control: Control, by: str) -> None:
        """Take a control."""
        self._now = time_s
        self._write(
            "/control",
            {"steering_rad": control.steering_rad, "acceleration_m_s2": control.acceleration_m_s2, "by": by},
            time_s,
        )

    def end(self, episode: Episode) -> None:
        """Put the finished file in its place."""
        self._write("/episode", {name: getattr(episode, name) for name in SCHEMAS["chanzi.Episode"]}, episode.time_s)
        self.close()
        self._temporary.replace(self._path)

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.finish()
            self._writer = None
        if self._file is not None:
            self._file.close()
            self._file = None


def png(image: npt.NDArray[np.uint8]) -> bytes:
    """Return a picture as PNG, nothing lost."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A frame of a log, with what was so."""

    frame: Frame
    truth: Truth


def read_frames(path: Path) -> Iterator[Logged]:
    """Yield the frames of a log with their truth, as they were.

    Raises
    ------
    DriveError
        This is no log of ours.
    """
    images: dict[str, npt.NDArray[np.uint8]] = {}
    frame: dict[str, Any] | None = None
    for topic, message in read_messages(path):
        if topic.startswith("/camera/"):
            images[topic] = _image(message["data"])
        elif topic == "/frame":
            frame = message
        elif topic == "/truth" and frame is not None:
            yield Logged(
                frame=Frame(
                    number=frame["number"],
                    time_s=frame["time_s"],
                    images=tuple(images.values()),
                    stamps_s=tuple(frame["stamps_s"]),
                    speed_m_s=frame["speed_m_s"],
                    command=Command(frame["command"]),
                ),
                truth=Truth(
                    path_m=np.array(message["path_m"], np.float32).reshape(-1, 2),
                    target_speed_m_s=message["target_speed_m_s"],
                    vehicles=np.array(message["vehicles"], np.float32).reshape(-1, 7),
                    lateral_m=message["lateral_m"],
                    heading_rad=message["heading_rad"],
                    curvature_1_m=message["curvature_1_m"],
                ),
            )
            images, frame = {}, None


def read_messages(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (topic, message) of a log in the order in which they were written.

    Raises
    ------
    DriveError
        This is no MCAP file, or the package `mcap` is not installed.
    """
    try:
        from mcap.exceptions import McapError
        from mcap.reader import make_reader
    except ModuleNotFoundError as error:
        raise DriveError("logs need the package mcap", hint="pip install 'chanzi[drive]'") from error
    with path.open("rb") as file:
        try:
            for _, channel, message in make_reader(file).iter_messages(log_time_order=False):
                yield channel.topic, msgspec.json.decode(message.data)
        except (McapError, msgspec.DecodeError) as error:
            raise DriveError(f"{path} is no log: {error}", hint="`chanzi drive` writes logs") from None


def _image(text: str) -> npt.NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGB"))
