"""What a caller feeds, checked as ONNX Runtime checks it, and the way from a batch to frames and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.errors import RunError, did_you_mean
from chanzi.program.model import TensorInfo

Array = npt.NDArray[Any]
Feed = dict[str, Array]


class FeedError(RunError, ValueError):
    """An input or output that the network does not have, or of another type or shape than it wants."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """A checked feed cut into frames; `batch` is None where the network has no batch axis to cut along."""

    feeds: tuple[Feed, ...]
    batch: int | None


def check_outputs(wanted: Sequence[str] | None, infos: Sequence[TensorInfo]) -> list[str]:
    """Return the names of the outputs to return: `wanted`, or all of them for None or an empty list."""
    known = [info.name for info in infos]
    if not wanted:
        return known
    if isinstance(wanted, str):
        raise FeedError(f"output names are the text '{wanted}'", hint=f"give a list: ['{wanted}']")
    for name in wanted:
        if name not in known:
            raise FeedError(f"invalid output name: {name}", hint=did_you_mean(str(name), known))
    return list(wanted)


def check_feed(feed: Mapping[str, Any], infos: Sequence[TensorInfo]) -> Frames:
    """Check names, types, ranks and dimensions of `feed` and cut it into frames of batch 1.

    Raises
    ------
    FeedError
        Names the input, what it got and what it wants.
    """
    if not isinstance(feed, Mapping):
        raise FeedError(f"the feed is a {type(feed).__name__}", hint="give a dict from input name to array")
    known = {info.name: info for info in infos}
    for name in feed:
        if name not in known:
            raise FeedError(f"invalid input name: {name}", hint=did_you_mean(str(name), known))
    missing = [info.name for info in infos if info.name not in feed]
    if missing:
        raise FeedError(
            f"required inputs {missing} are missing from the feed", hint=f"it has {sorted(map(str, feed)) or 'nothing'}"
        )
    arrays = {name: _checked(feed[name], info) for name, info in known.items()}
    batch = _batch(arrays, known)
    if batch is None:
        return Frames(feeds=(arrays,), batch=None)
    cut = [name for name, info in known.items() if info.batched]

    def frame(i: int) -> Feed:
        return {name: array[i : i + 1] if name in cut else array for name, array in arrays.items()}

    if batch == 0:  # one frame of zeros, of which nothing is kept, tells types and shapes
        zeros = {name: np.zeros((1, *arrays[name].shape[1:]), arrays[name].dtype) for name in cut}
        return Frames(feeds=(arrays | zeros,), batch=0)
    return Frames(feeds=tuple(frame(i) for i in range(batch)), batch=batch)


def _checked(value: Any, info: TensorInfo) -> Array:
    if info.dtype is None:
        return value  # sequences, maps, optionals and texts go to the host as they are
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise FeedError(f"input {info.name} is no array: {error}") from None
    if array.dtype == object:
        raise FeedError(f"input {info.name} is a {type(value).__name__}, not an array", hint=f"it wants {info.type}")
    if array.dtype.newbyteorder("=") != info.dtype:
        raise FeedError(
            f"unexpected type of input {info.name}: got {array.dtype}, expected {info.dtype}",
            hint=f"x.astype('{info.dtype}')",
        )
    if info.shape is None:
        return np.ascontiguousarray(array, info.dtype)
    if array.ndim != len(info.shape):
        raise FeedError(
            f"invalid rank for input {info.name}: got {array.ndim}, expected {len(info.shape)}",
            hint=f"it wants the shape {info.shown_shape}",
        )
    frame = info.frame or info.shape
    wrong = [
        f"index {axis}: got {got}, expected {want}"
        for axis, (got, want) in enumerate(zip(array.shape, frame, strict=True))
        if isinstance(want, int) and got != want and not (axis == 0 and info.batched)
    ]
    if wrong:
        free = any(not isinstance(dim, int) for dim in info.shape)
        note = f"; compiled for {'x'.join(map(str, frame))}" if free else ""
        raise FeedError(
            f"invalid dimensions for input {info.name}: {', '.join(wrong)}",
            hint=f"it wants the shape {info.shown_shape}{note}",
        )
    # ascontiguousarray would give a scalar an axis
    return np.asarray(array, info.dtype, order="C")


def _batch(arrays: Mapping[str, Array], infos: Mapping[str, TensorInfo]) -> int | None:
    sizes = {name: arrays[name].shape[0] for name, info in infos.items() if info.batched}
    if not sizes:
        return None
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise FeedError(
            f"inputs differ in their batch size ({shown})", hint="give every input the same first dimension"
        )
    return next(iter(sizes.values()))


def join(name: str, info: TensorInfo, parts: Sequence[Any], batch: int | None) -> Any:
    """Return the output `name` of the whole batch from that of each frame.

    Raises
    ------
    FeedError
        The batch is not 1 and the output has no batch axis to put frames side by side on.
    """
    if batch is None or batch == 1:
        return parts[0]
    if info.dtype is None or not info.batched or any(np.ndim(part) == 0 or len(part) != 1 for part in parts):
        raise FeedError(
            f"output {name} has no batch axis, so a batch of {batch} cannot be put together from frames",
            hint="run the frames one at a time",
        )
    return parts[0][:0] if batch == 0 else np.concatenate(parts)
