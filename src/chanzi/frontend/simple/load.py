"""The frontend, to be read as prose: whatever the user has becomes a `Partition`."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from chanzi.frontend.simple.partition import partition
from chanzi.frontend.simple.prepare import fix_shapes, is_qdq, lift_constants, read_model
from chanzi.graph.plan import Partition

Feed = Mapping[str, np.ndarray]


def load(
    model: Any,
    *,
    name: str = "",
    calibration: Iterable[Feed] | None = None,
    scheme: str = "u8s8",
    method: str = "minmax",
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    progress: Callable[[int], None] | None = None,
    exclude: Iterable[str] = (),
) -> Partition:
    """Import a network and cut it for the chip.

    Parameters
    ----------
    model : path, bytes or ModelProto
        Float (quantized here) or QDQ (taken as it is).
    name : str
        What the network is called; by default its file, then its graph.
    calibration : iterable of {input: array}, optional
        Frames that fix the scales of a float network; seeded noise stands in, and the result says so.
    scheme, method, exclude, progress
        See :func:`chanzi.frontend.simple.quantize.quantize`.
    shapes : {input: shape}, optional
        For inputs with dimensions that the model leaves open; a batch is 1.

    Raises
    ------
    ModelError
        The model cannot be read, or its shapes stay unknown.
    """
    name = name or (Path(model).stem if isinstance(model, str | Path) else "")
    proto = read_model(model)
    name = name or proto.graph.name or "network"
    declared = {v.name: _shape(v) for v in (*proto.graph.input, *proto.graph.output)}
    proto = lift_constants(fix_shapes(proto, shapes))
    quantization: dict[str, str] = {}
    if not is_qdq(proto):
        from chanzi.frontend.simple.normalize import normalize
        from chanzi.frontend.simple.quantize import describe, quantize, random_feeds

        proto = normalize(proto)
        frames = list(calibration) if calibration is not None else random_feeds(proto)
        proto = quantize(proto, calibration=frames, scheme=scheme, method=method, exclude=exclude, progress=progress)
        proto = lift_constants(proto)
        given = f"{len(frames)} frames" if calibration is not None else "random noise (no calibration was given)"
        quantization = describe(scheme, method, given)
    return partition(proto, name=name, declared=declared, quantization=quantization)


def _shape(value: onnx.ValueInfoProto) -> tuple[int | str | None, ...] | None:
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in dims)
