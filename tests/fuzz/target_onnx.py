"""Networks: whatever the file says, an answer like ONNX Runtime's or one clear line."""

import os
import random

import mutate
import numpy as np
import onnxruntime
import spoil_onnx

import chanzi
from chanzi.errors import RunError
from chanzi.runtime.host import session_options

os.environ["CHANZI_CACHE"] = "0"
onnxruntime.set_default_logger_severity(4)
_MODELS = [
    spoil_onnx.residual(unsigned=True),
    spoil_onnx.residual(unsigned=False),
    spoil_onnx.branches(unsigned=True),
    spoil_onnx.branches(unsigned=False),
    spoil_onnx.plain(),
]
_BYTES = [model.SerializeToString() for model in _MODELS]
_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64,
          "tensor(int32)": np.int32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}  # fmt: skip
_MAX_INPUT = 1 << 16


def make(rng: random.Random) -> bytes:
    """Return a network with something wrong in its parts, or in its bytes."""
    if rng.random() < 0.7:
        return spoil_onnx.spoil(rng.choice(_MODELS), rng)
    return mutate.spoil(rng.choice(_BYTES), rng, text=False)


def _feed(session: chanzi.Session) -> dict[str, np.ndarray]:
    """Return an input for the network as it declares itself; open axes are 1."""
    rng = np.random.default_rng(4)
    feed = {}
    for info in session.get_inputs():
        shape = [dim if isinstance(dim, int) else 1 for dim in info.shape]
        if info.type not in _TYPES or any(dim < 0 for dim in shape) or np.prod(shape, dtype=float) > _MAX_INPUT:
            raise RunError("an input that the fuzzer does not make")
        feed[info.name] = rng.normal(0, 1, shape).astype(_TYPES[info.type])
    return feed


def check(data: bytes) -> None:
    """Compile and run; what is accepted must have ONNX Runtime's shapes, and its values where it is quantized."""
    calibration = [{"x": np.random.default_rng(3).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)}]
    session = chanzi.Session(data, chip="chanzi-16", calibration=calibration)
    feed = _feed(session)
    outputs = session.run(None, feed)
    try:
        judge = onnxruntime.InferenceSession(bytes(session.model.attachments["judge.onnx"]), session_options())
        wanted = judge.run(None, feed)
    except Exception:  # ONNX Runtime's exceptions have no common root; it refuses, so there is nothing to compare with
        return
    for got, want in zip(outputs, wanted, strict=True):
        assert np.shape(got) == np.shape(want)
        assert np.asarray(got).dtype == np.asarray(want).dtype
        if np.isfinite(want).all() and np.size(want):
            step = np.ptp(want) * 0.02 + 1e-6
            assert np.quantile(np.abs(got.astype(np.float64) - want), 0.9) <= step
