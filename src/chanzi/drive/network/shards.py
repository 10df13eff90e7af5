"""What a network learns from: frames with what was so, an episode a file, as .npz of plain arrays."""

import os
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from chanzi.drive.camera import Camera
from chanzi.drive.messages import (
    GRID_COLUMNS,
    GRID_ROWS,
    PATH_DISTANCES_M,
    Frame,
    Truth,
)
from chanzi.drive.network.spec import state
from chanzi.drive.oracle import occupied
from chanzi.drive.planner import cells_m
from chanzi.errors import DriveError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shard:
    """Frames of one episode, with labels. N frames.

    Parameters
    ----------
    images : uint8 (N, cameras * height, width, 3)
        The pictures of a frame below one another.
    state : uint8 (N, STATE_BYTES)
        Speed and command as the network takes them.
    path_m : float32 (N, 10, 2)
    target_speed_m_s : float32 (N,)
    occupancy : uint8 (N, GRID_ROWS, GRID_COLUMNS)
        1 where a vehicle is.
    lateral_m : float32 (N,)
        Off the lane's centre: what a judge of training wants to know.
    cameras : int
    """

    images: npt.NDArray[np.uint8]
    state: npt.NDArray[np.uint8]
    path_m: npt.NDArray[np.float32]
    target_speed_m_s: npt.NDArray[np.float32]
    occupancy: npt.NDArray[np.uint8]
    lateral_m: npt.NDArray[np.float32]
    cameras: int

    def __len__(self) -> int:
        return len(self.images)


_ARRAYS = ("images", "state", "path_m", "target_speed_m_s", "occupancy", "lateral_m")


def seen_cells(cameras: Sequence[Camera]) -> npt.NDArray[np.bool_]:
    """Return the cells that some camera sees, (GRID_ROWS, GRID_COLUMNS): what is behind them cannot be learned."""
    middles = cells_m().reshape(-1, 2)
    points = np.concatenate([middles, np.full((len(middles), 1), 0.7)], axis=1)
    seen = np.zeros(len(points), bool)
    for camera in cameras:
        pixels, depth = camera.project(points)
        inside = (pixels >= 0).all(axis=1) & (pixels[:, 0] < camera.width) & (pixels[:, 1] < camera.height)
        seen |= (depth > 0.5) & inside
    return seen.reshape(GRID_ROWS, GRID_COLUMNS)


def make_shard(frames: Sequence[Frame], truths: Sequence[Truth]) -> Shard:
    """Return the shard of frames and what was so at each.

    Raises
    ------
    DriveError
        There is no frame, or their pictures differ in size.
    """
    if not frames or len(frames) != len(truths):
        raise DriveError(f"{len(frames)} frames and {len(truths)} labels", hint="one label for each frame")
    if len({tuple(image.shape for image in frame.images) for frame in frames}) > 1:
        raise DriveError("frames with pictures of different sizes", hint="one rig for all")
    return Shard(
        images=np.stack([np.concatenate(frame.images) for frame in frames]),
        state=np.stack([state(frame.speed_m_s, frame.command) for frame in frames]),
        path_m=np.stack([truth.path_m for truth in truths]).astype(np.float32),
        target_speed_m_s=np.array([truth.target_speed_m_s for truth in truths], np.float32),
        occupancy=np.stack([occupied(truth.vehicles) for truth in truths]).astype(np.uint8),
        lateral_m=np.array([truth.lateral_m for truth in truths], np.float32),
        cameras=len(frames[0].images),
    )


def write_shard(path: Path, shard: Shard) -> None:
    """Write a shard; nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: getattr(shard, name) for name in _ARRAYS}
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, cameras=np.int32(shard.cameras), **arrays)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def read_shard(path: Path) -> Shard:
    """Read a shard.

    Raises
    ------
    DriveError
        It is none, or is damaged.
    """
    try:
        with path.open("rb") as data, np.lib.npyio.NpzFile(data, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
            shard = Shard(**arrays, cameras=int(file["cameras"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DriveError(f"cannot read the shard {path}: {error}", hint="collect it again") from None
    wrong = shard.path_m.shape[1:] != (len(PATH_DISTANCES_M), 2) or shard.images.dtype != np.uint8
    if wrong or len({len(array) for array in arrays.values()}) != 1:
        raise DriveError(f"{path} holds no frames of ours", hint="collect it again")
    return shard
