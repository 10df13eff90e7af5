"""A pilot that is told the truth: it shows what latency alone, the planner and the controller make of a drive."""

import math

import numpy as np
import numpy.typing as npt

from chanzi.drive.episode import Answer
from chanzi.drive.messages import GRID_CELL_M, GRID_COLUMNS, GRID_ROWS, PATH_DISTANCES_M, Frame, Perception, Truth
from chanzi.drive.world.world import World

_SAMPLE_M = 0.25


class Oracle:
    """Sees what is so, and says it after a chip's time.

    Parameters
    ----------
    chip_s : float
    busy_s : float, optional
        Until the next frame is taken; `chip_s` by default.
    """

    def __init__(self, chip_s: float = 0.0, busy_s: float | None = None) -> None:
        self.chip_s = chip_s
        self.busy_s = chip_s if busy_s is None else busy_s
        self._world: World | None = None

    def begin(self, world: World) -> None:
        """Begin an episode."""
        self._world = world

    def look(self, frame: Frame) -> Answer:
        """Return the truth of the frame's moment."""
        assert self._world is not None
        return Answer(perception=perceived(frame.number, self._world.truth()), chip_s=self.chip_s, busy_s=self.busy_s)


def perceived(frame: int, truth: Truth) -> Perception:
    """Return what a perfect network says where `truth` is so."""
    return Perception(
        frame=frame,
        path_m=truth.path_m,
        target_speed_m_s=truth.target_speed_m_s,
        occupancy=occupied(truth.vehicles),
        spread_m=np.full(len(PATH_DISTANCES_M), 0.05, np.float32),
    )


def occupied(vehicles: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Return the grid, (GRID_ROWS, GRID_COLUMNS), 1 where a cell holds part of a vehicle of `Truth.vehicles`."""
    grid = np.zeros((GRID_ROWS, GRID_COLUMNS), np.float32)
    for x, y, heading, length, width in np.asarray(vehicles, np.float64)[:, :5]:
        along = np.linspace(-length / 2, length / 2, max(2, math.ceil(length / _SAMPLE_M)))
        aside = np.linspace(-width / 2, width / 2, max(2, math.ceil(width / _SAMPLE_M)))
        u, v = np.meshgrid(along, aside)
        c, s = math.cos(heading), math.sin(heading)
        rows = np.floor((x + c * u - s * v) / GRID_CELL_M).astype(int)
        columns = np.floor(GRID_COLUMNS / 2 - (y + s * u + c * v) / GRID_CELL_M).astype(int)
        inside = (rows >= 0) & (rows < GRID_ROWS) & (columns >= 0) & (columns < GRID_COLUMNS)
        grid[rows[inside], columns[inside]] = 1.0
    return grid
