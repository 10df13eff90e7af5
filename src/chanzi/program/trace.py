"""When every instruction of a run left the sequencer, started and was complete: one table, whoever measured it.

The timing simulator writes it, the RTL test bench can write it too, and the reports read it; so it stands beside the
program it belongs to and knows neither.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int32]

TracePart = Literal["frame", "setup", "cold"]


class Cause(IntEnum):
    """What an instruction's start waited for last."""

    DISPATCH = 0  # the sequencer
    LOAD = 1  # a LOAD's bytes
    STORE = 2  # a STORE of the same core
    ARRAY = 3  # a DOT's results
    VECTOR = 4  # a VEC's results
    PEER = 5  # a STORE of another core
    ENGINE = 6  # its own engine, busy with the instruction before
    BUS = 7  # the DRAM bus, carrying another transfer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timing:
    """A run of one part of a segment on all cores; every array has one entry for each instruction.

    Rows are ordered by core, then by position in the core's code. HALT is not among them. All times are clock cycles
    from the start of the run.

    Attributes
    ----------
    part : {'frame', 'setup', 'cold'}
        'cold' is setup followed by frame; the rows of setup come first (``setup_rows`` of them).
    cycles : int
        From the start to the last core's HALT.
    core_cycles : tuple of int
        The same for each core alone.
    core, engine, index, layer : ndarray
        Which core, which `chanzi.isa.fields.Engine`, which position in the core's code, which row of `Segment.layers`.
    dispatched : ndarray
        The instruction leaves the sequencer for its engine's queue.
    ready : ndarray
        It is in the queue and all that it waits for is complete.
    start : ndarray
        It leaves the queue: feeding or reading begins, a DMA engine takes it on.
    busy_begin, busy_end : ndarray
        The engine works on it: DOT feeds, VEC reads, LOAD and STORE hold the bus.
    complete : ndarray
        Its effects are in memory and its counter has moved on.
    cause : ndarray
        The `Cause` that fixed `start` (for LOAD and STORE: `busy_begin`).
    cause_row : ndarray
        The row of the instruction that the cause names, -1 where there is none.
    dram_bytes : ndarray
        Bytes a LOAD or STORE moves, 0 for others.
    """

    part: TracePart
    cycles: int
    core_cycles: tuple[int, ...]
    core: Indices
    engine: Indices
    index: Indices
    layer: Indices
    dispatched: Times
    ready: Times
    start: Times
    busy_begin: Times
    busy_end: Times
    complete: Times
    cause: Indices
    cause_row: Indices
    dram_bytes: Times
    setup_rows: int = 0

    def __len__(self) -> int:
        return len(self.core)
