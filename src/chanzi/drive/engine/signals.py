"""Signals of a drive as Parquet: a row a frame, a column a signal, for the triggers and for whoever looks at them."""

import io
from dataclasses import fields

import numpy as np

from chanzi.drive.engine.triggers import Signals
from chanzi.errors import LoopError

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
