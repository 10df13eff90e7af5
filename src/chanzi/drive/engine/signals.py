"""Signals of a drive: a number a frame for each trigger; kept as Parquet, a row a frame and a column a signal."""

import io
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from chanzi.errors import LoopError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signals:
    """Of a drive, a number a frame: float32 (frames,) each, larger where the frame is more worth keeping.

    Parameters
    ----------
    near_miss
        Hardness of the braking that would just avoid the nearest vehicle ahead, or a gap that is too small: 1 / seconds
        to a collision.
    disagreement
        Metres between the paths of the network that drives and of the one in its shadow.
    uncertainty
        Metres: the largest spread of the path that drives.
    intervention
        1 where the expert had to take over, else 0.
    failure
        1 at the frames before a failure that was mined, else 0.
    """

    near_miss: npt.NDArray[np.float32]
    disagreement: npt.NDArray[np.float32]
    uncertainty: npt.NDArray[np.float32]
    intervention: npt.NDArray[np.float32]
    failure: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        shapes = {np.shape(getattr(self, f.name)) for f in fields(self)}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise LoopError(f"signals of shapes {sorted(shapes)}", hint="one number a frame each")

    @property
    def frames(self) -> int:
        """How many."""
        return len(self.near_miss)


_NAMES = tuple(field.name for field in fields(Signals))


def write_signals(signals: Signals) -> bytes:
    """Return signals as the bytes of a Parquet file.

    Raises
    ------
    LoopError
        The package `pyarrow` is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise LoopError("signals need the package pyarrow", hint="pip install 'chanzi[drive]'") from None
    buffer = io.BytesIO()
    columns = {"frame": np.arange(signals.frames), **{name: getattr(signals, name) for name in _NAMES}}
    parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


def read_signals(data: bytes) -> Signals:
    """Return the signals of `write_signals`."""
    from pyarrow import parquet

    table = parquet.read_table(io.BytesIO(data))
    near, apart, unsure, rescued, failed = (table[name].to_numpy().astype(np.float32) for name in _NAMES)
    return Signals(near_miss=near, disagreement=apart, uncertainty=unsure, intervention=rescued, failure=failed)
