"""Frames in and out: the bytes a port has in DRAM, from an array ``(height, width, channels)`` and back."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from chanzi.errors import RunError
from chanzi.program.program import MapLayout, Port, Segment, StemLayout

Bytes = npt.NDArray[np.uint8]
Frame = npt.NDArray[np.int8] | npt.NDArray[np.uint8]


def pack(port: Port, frame: Frame) -> Bytes:
    """Return the `port.n_bytes` bytes of one frame; bytes that no element names hold the zero point.

    Raises
    ------
    RunError
        The frame has another shape or dtype than the port.
    """
    if tuple(frame.shape) != port.shape or frame.dtype != np.dtype(port.quant.dtype):
        raise RunError(
            f"input '{port.name}' is {frame.dtype} {tuple(frame.shape)}",
            hint=f"it must be {port.quant.dtype} {port.shape}",
        )
    data = np.ascontiguousarray(frame).view(np.uint8)
    zero = port.quant.zero & 0xFF
    if isinstance(port.layout, StemLayout):
        return _pack_stem(port.layout, data, zero)
    return _pack_map(port.layout, data, zero)


def unpack(port: Port, data: Bytes) -> Frame:
    """Return the frame whose bytes are `data`.

    Raises
    ------
    RunError
        The port is a packed input, which nothing needs to read back, or the length is wrong.
    """
    if isinstance(port.layout, StemLayout):
        raise RunError(f"'{port.name}' is a packed input and cannot be read back")
    if data.size != port.n_bytes:
        raise RunError(f"'{port.name}' has {port.n_bytes} bytes, not {data.size}")
    h, w, c = port.shape
    layout = port.layout
    offset, whole = _channels(layout.channel_offset)
    data = np.ascontiguousarray(data)
    strides = (layout.line_bytes, layout.pixel_bytes, 1)
    pixels = as_strided(data[offset:], (h, w, int(layout.channel_offset.max()) + 1 - offset), strides, writeable=False)
    chosen = pixels[:, :, :c] if whole else pixels[:, :, layout.channel_offset - offset]
    return chosen.copy().view(port.quant.dtype)  # a copy always: the next frame is written to the same bytes


def write_inputs(dram: Bytes, segment: Segment, frames: Sequence[Mapping[str, Frame]]) -> None:
    """Put one frame for each of `segment.frames` into DRAM.

    Raises
    ------
    RunError
        An input is missing, unknown, or has another shape or dtype.
    """
    names = {port.name for port in segment.inputs}
    for i, frame in enumerate(frames):
        if names != frame.keys():
            raise RunError(
                f"inputs given: {', '.join(sorted(frame)) or 'none'}",
                hint=f"segment '{segment.name}' takes {', '.join(sorted(names)) or 'none'}",
            )
        for port in segment.inputs:
            at = port.addresses[i]
            dram[at : at + port.n_bytes] = pack(port, frame[port.name])


def read_outputs(dram: Bytes, segment: Segment) -> list[dict[str, Frame]]:
    """Return the outputs of each of the `segment.frames` frames of a run."""

    def read(port: Port, at: int) -> Frame:
        return unpack(port, dram[at : at + port.n_bytes])

    return [{port.name: read(port, port.addresses[i]) for port in segment.outputs} for i in range(segment.frames)]


def _channels(offset: npt.NDArray[np.int64]) -> tuple[int, bool]:
    """Return (smallest offset, True where the channels lie one after another)."""
    low = int(offset.min())
    return low, bool((offset == np.arange(low, low + len(offset))).all())


def _pack_map(layout: MapLayout, data: Bytes, zero: int) -> Bytes:
    h, w, c = data.shape
    offset, whole = _channels(layout.channel_offset)
    out = np.full(h * layout.line_bytes, zero, np.uint8)
    strides = (layout.line_bytes, layout.pixel_bytes, 1)
    pixels = as_strided(out[offset:], (h, w, int(layout.channel_offset.max()) + 1 - offset), strides)
    if whole:
        pixels[:, :, :c] = data
    else:
        pixels[:, :, layout.channel_offset - offset] = data
    return out


def _pack_stem(layout: StemLayout, data: Bytes, zero: int) -> Bytes:
    h, w, c = data.shape
    lines = max((layout.lines - 1) * layout.stride_y + layout.kernel_y, layout.pad_top + h)
    columns = max(layout.groups * layout.stride_x, layout.pad_left + w)
    padded = np.full((lines, columns, c), zero, np.uint8)
    padded[layout.pad_top : layout.pad_top + h, layout.pad_left : layout.pad_left + w] = data
    run = layout.stride_x * c
    line = columns * c
    out = np.full((layout.lines, layout.line_bytes), zero, np.uint8)
    shape = (layout.lines, layout.groups)
    for ky in range(layout.kernel_y):
        source = as_strided(padded[ky:], (*shape, run), (layout.stride_y * line, run, 1))
        target = as_strided(out.reshape(-1)[ky * run :], (*shape, run), (layout.line_bytes, layout.pixel_bytes, 1))
        for j in range(run):  # a strided copy of one byte a pixel beats one of `run` bytes
            target[:, :, j] = source[:, :, j]
    return out.reshape(-1)
