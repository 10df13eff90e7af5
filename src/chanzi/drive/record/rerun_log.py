"""A drive as a Rerun recording (https://rerun.io): cameras, path and vehicles in 3-D, curves over time."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from chanzi.drive.episode import Episode, Moment
from chanzi.drive.messages import GRID_CELL_M, GRID_COLUMNS, Control, Perception, Plan
from chanzi.drive.record.mcap_log import png
from chanzi.drive.timeline import Fate, Passage
from chanzi.drive.world.world import World
from chanzi.errors import DriveError


class RerunLog:
    """Writes an episode down; everything is in the car's own frame.

    Parameters
    ----------
    path : Path
        An .rrd.

    Raises
    ------
    DriveError
        The package `rerun-sdk` is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import rerun
        except ModuleNotFoundError as error:
            raise DriveError(
                "Rerun recordings need the package rerun-sdk", hint="pip install 'chanzi[rerun]'"
            ) from error
        self._rr: Any = rerun
        self._path = path
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.rrd")
        self._stream: Any = None

    def begin(self, world: World, seed: int) -> None:
        """Begin an episode."""
        rr = self._rr
        self.close()
        self._stream = rr.RecordingStream("chanzi drive", recording_id=f"{world.name} {seed}")
        self._stream.save(self._temporary)
        self._stream.log("car", rr.ViewCoordinates.FLU, static=True)
        half = np.array([[world.vehicle.length_m / 2, world.vehicle.width_m / 2, 0.75]])
        self._stream.log(
            "car/body", rr.Boxes3D(half_sizes=half, centers=[[0, 0, 0.75]], colors=[63, 130, 240]), static=True
        )
        for camera in world.cameras:
            place = f"car/{camera.name}"
            # Rerun wants the camera's axes as columns
            mount = rr.Transform3D(translation=[camera.x_m, camera.y_m, camera.z_m], mat3x3=camera.axes().T)
            self._stream.log(place, mount, static=True)
            lens = rr.Pinhole(focal_length=camera.focal_px, width=camera.width, height=camera.height)
            self._stream.log(place, lens, static=True)

    def _at(self, time_s: float) -> None:
        self._stream.set_time("time", duration=time_s)

    def frame(self, world: World, moment: Moment) -> None:
        """Take a frame with what is so at its moment."""
        rr, frame, truth = self._rr, moment.frame, moment.truth
        self._at(frame.time_s)
        for camera, image in zip(world.cameras, frame.images, strict=False):
            self._stream.log(f"car/{camera.name}", rr.EncodedImage(contents=png(image), media_type="image/png"))
        self._stream.log("above", rr.Image(world.top_view(360, 360)).compress(jpeg_quality=80))
        boxes = truth.vehicles.astype(np.float64)
        zeros = np.zeros((len(boxes), 1))
        self._stream.log(
            "car/others",
            rr.Boxes3D(
                half_sizes=np.concatenate([boxes[:, 3:5] / 2, zeros + 0.75], axis=1),
                centers=np.concatenate([boxes[:, :2], zeros + 0.75], axis=1),
                rotation_axis_angles=[
                    rr.RotationAxisAngle(axis=(0, 0, 1), angle=rr.Angle(rad=float(turn))) for turn in boxes[:, 2]
                ],
                colors=[200, 200, 200],
            ),
        )
        self._scalar("speed_m_s", frame.speed_m_s)
        self._scalar("off_centre_m", truth.lateral_m)
        if moment.trouble:
            self._stream.log("trouble", rr.TextLog(moment.trouble, level="WARN"))

    def _scalar(self, name: str, value: float) -> None:
        self._stream.log(f"curves/{name}", self._rr.Scalars(float(value)))

    def passed(self, passage: Passage) -> None:
        """Take a frame's way, once its fate is known."""
        if passage.fate is not Fate.UNFINISHED and passage.latency_s is not None:
            self._scalar("light_to_steering_ms", 1e3 * passage.latency_s)

    def plan(self, passage: Passage, perception: Perception | None, plan: Plan) -> None:
        """Take an answer and its plan."""
        rr = self._rr
        self._at(passage.acted_s or 0.0)
        ground = np.concatenate([plan.path_m, np.full((len(plan.path_m), 1), 0.05)], axis=1)
        colour = [248, 81, 73] if plan.stop else [63, 185, 80]
        self._stream.log("car/path", rr.LineStrips3D([ground], colors=[colour], radii=[0.15]))
        if plan.stop:
            self._stream.log("trouble", rr.TextLog(plan.stop, level="WARN"))
        if perception is not None:
            cells = np.argwhere(perception.occupancy > 0.5) + 0.5
            centres = np.stack(
                [cells[:, 0] * GRID_CELL_M, (GRID_COLUMNS / 2 - cells[:, 1]) * GRID_CELL_M, np.zeros(len(cells))],
                axis=1,
            )
            half = np.full((len(cells), 3), (GRID_CELL_M / 2, GRID_CELL_M / 2, 0.05))
            self._stream.log("car/taken", rr.Boxes3D(half_sizes=half, centers=centres, colors=[248, 81, 73]))

    def tick(self, time_s: float, control: Control, by: str) -> None:
        """Take a control."""
        del by
        self._at(time_s)
        self._scalar("steering_rad", control.steering_rad)
        self._scalar("acceleration_m_s2", control.acceleration_m_s2)

    def end(self, episode: Episode) -> None:
        """Put the finished recording in its place."""
        self._stream.log("trouble", self._rr.TextLog(f"ended: {episode.ended}", level="INFO"))
        self.close()
        self._temporary.replace(self._path)

    def close(self) -> None:
        """Close the recording."""
        if self._stream is not None:
            self._stream.flush()
            self._stream.disconnect()
            self._stream = None
