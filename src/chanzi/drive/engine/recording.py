"""What a drive leaves behind for training: what the cameras saw, and beside it, apart, what was so.

Pictures are PNG, so nothing is lost; each file is an .npz of plain arrays. The two are never in one file: what a
network may see and what only its teacher knows stay apart until the stage `label` brings them together.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.drive.episode import Episode, Moment
from chanzi.drive.messages import Command, Control, Frame, Perception, Plan, Truth
from chanzi.drive.timeline import Passage
from chanzi.drive.world.world import World

_PATH, _VEHICLE = (10, 2), 7


class Recorder:
    """Listens to a drive and keeps every frame with what was so."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._truths: list[Truth] = []

    def begin(self, world: World, seed: int) -> None:
        """See `Listener`."""

    def frame(self, world: World, moment: Moment) -> None:
        """See `Listener`."""
        del world
        self._frames.append(moment.frame)
        self._truths.append(moment.truth)

    def passed(self, passage: Passage) -> None:
        """See `Listener`."""

    def plan(self, passage: Passage, perception: Perception | None, plan: Plan) -> None:
        """See `Listener`."""

    def tick(self, time_s: float, control: Control, by: str) -> None:
        """See `Listener`."""

    def end(self, episode: Episode) -> None:
        """See `Listener`."""

    def recording(self) -> bytes:
        """Return what the cameras saw."""
        return write_frames(self._frames)

    def truth(self) -> bytes:
        """Return what was so."""
        return write_truths(self._truths)


def write_frames(frames: Sequence[Frame]) -> bytes:
    """Return frames as bytes, every picture as a PNG."""
    import cv2

    pictures = [
        cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]))[1].tobytes() for f in frames for image in f.images
    ]
    return _save(
        pictures=np.frombuffer(b"".join(pictures), np.uint8),
        ends=np.cumsum([len(p) for p in pictures], dtype=np.int64),
        cameras=np.int64(len(frames[0].images) if frames else 0),
        number=np.array([f.number for f in frames], np.int64),
        time_s=np.array([f.time_s for f in frames], np.float64),
        speed_m_s=np.array([f.speed_m_s for f in frames], np.float64),
        command=np.array([int(f.command) for f in frames], np.int64),
    )


def read_frames(data: bytes, wanted: Sequence[int]) -> list[Frame]:
    """Return the frames at those places of `write_frames`."""
    import cv2

    found = _load(data)
    ends, cameras = found["ends"], int(found["cameras"])
    starts = np.concatenate([[0], ends[:-1]])

    def picture(k: int) -> npt.NDArray[np.uint8]:
        image = cv2.imdecode(found["pictures"][starts[k] : ends[k]], cv2.IMREAD_COLOR)
        return np.ascontiguousarray(image[:, :, ::-1])

    return [
        Frame(
            number=int(found["number"][at]),
            time_s=float(found["time_s"][at]),
            images=tuple(picture(at * cameras + camera) for camera in range(cameras)),
            stamps_s=(float(found["time_s"][at]),) * cameras,
            speed_m_s=float(found["speed_m_s"][at]),
            command=Command(int(found["command"][at])),
        )
        for at in wanted
    ]


def write_truths(truths: Sequence[Truth]) -> bytes:
    """Return what was so as bytes."""
    numbers = [(t.target_speed_m_s, t.lateral_m, t.heading_rad, t.curvature_1_m) for t in truths]
    return _save(
        path_m=np.array([t.path_m for t in truths], np.float32).reshape(-1, *_PATH),
        numbers=np.array(numbers, np.float64).reshape(-1, 4),
        vehicles=np.concatenate([np.zeros((0, _VEHICLE), np.float32), *(t.vehicles for t in truths)]),
        ends=np.cumsum([len(t.vehicles) for t in truths], dtype=np.int64),
    )


def read_truths(data: bytes, wanted: Sequence[int]) -> list[Truth]:
    """Return what was so at those places of `write_truths`."""
    found = _load(data)
    starts = np.concatenate([[0], found["ends"][:-1]])
    return [
        Truth(
            path_m=found["path_m"][at],
            vehicles=found["vehicles"][starts[at] : found["ends"][at]],
            target_speed_m_s=float(found["numbers"][at, 0]),
            lateral_m=float(found["numbers"][at, 1]),
            heading_rad=float(found["numbers"][at, 2]),
            curvature_1_m=float(found["numbers"][at, 3]),
        )
        for at in wanted
    ]


def _save(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _load(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}
