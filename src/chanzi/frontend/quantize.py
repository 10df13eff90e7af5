"""Post-training quantization through ONNX Runtime: a float network in, a QDQ network out."""

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx

from chanzi.errors import ModelError
from chanzi.frontend.calibration import feeds_of

Feed = Mapping[str, np.ndarray]
METHODS = ("minmax", "percentile", "entropy")
SCHEMES = ("s8s8", "u8s8")
# beyond what ONNX Runtime quantizes by default: what the chip runs as tables, pooling and copies
_EXTRA = (
    "HardSigmoid", "HardSwish", "Tanh", "Elu", "Gelu", "Erf", "Sqrt", "Exp", "PRelu", "Sub", "Div", "Split",
    "Relu", "Clip", "Sigmoid", "LeakyRelu", "Slice", "Pad", "Resize", "Upsample", "ReduceMean", "GlobalAveragePool",
    "AveragePool", "MaxPool", "Concat", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Softmax",
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Softplus", "Mish", "Abs", "Neg",
)  # fmt: skip


class _Reader:
    """What ONNX Runtime calls a calibration data reader."""

    def __init__(self, feeds: Iterable[Feed], progress: Callable[[str], None] | None) -> None:
        self.feeds = iter(feeds)
        self.seen = 0
        self.progress = progress

    def get_next(self) -> dict[str, np.ndarray] | None:
        feed = next(self.feeds, None)
        if feed is None:
            return None
        self.seen += 1
        if self.progress:
            self.progress(f"calibrating, frame {self.seen}")
        return dict(feed)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Do nothing: the interface wants it, all frames are read."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        root.setLevel(level)


def random_feeds(proto: onnx.ModelProto, frames: int = 4, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Return seeded normal noise for every input: a stand-in where no calibration data is given."""
    rng = np.random.default_rng(seed)
    feeds = []
    for _ in range(frames):
        feed = {}
        for value in proto.graph.input:
            shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            noise = rng.standard_normal(shape)
            feed[value.name] = (noise if dtype.kind == "f" else np.abs(noise) * 10).astype(dtype)
        feeds.append(feed)
    return feeds


def quantize(
    proto: onnx.ModelProto,
    *,
    calibration: "str | Path | Iterable[Feed]",
    scheme: str = "u8s8",
    method: str = "minmax",
    exclude: Iterable[str] = (),
    progress: Callable[[str], None] | None = None,
) -> onnx.ModelProto:
    """Return the QDQ network: weights per output channel, activations per tensor.

    Parameters
    ----------
    proto : ModelProto
        Float, with fixed shapes.
    calibration : iterable of {input: array}, an .npz with an array for each input, or a folder of images
    scheme : 's8s8' or 'u8s8'
        Type of activations; weights are int8.
    method : 'minmax', 'percentile' or 'entropy'
    exclude : names of nodes that stay float.
    progress : called with the number of frames seen.

    Raises
    ------
    ModelError
        An unknown scheme or method, no calibration frame, or a frame that does not fit the network.
    """
    if scheme not in SCHEMES or method not in METHODS:
        wrong = scheme if scheme not in SCHEMES else method
        raise ModelError(
            f"unknown quantization '{wrong}'", hint=f"schemes {', '.join(SCHEMES)}; methods {', '.join(METHODS)}"
        )
    from onnxruntime import quantization as q

    kinds = {"minmax": q.CalibrationMethod.MinMax, "percentile": q.CalibrationMethod.Percentile}
    reader = _Reader(feeds_of(calibration, proto), progress)
    present = {node.op_type for node in proto.graph.node}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "qdq.onnx"
        try:
            q.quantize_static(
                proto,
                str(target),
                reader,
                quant_format=q.QuantFormat.QDQ,
                op_types_to_quantize=[op for op in _EXTRA if op in present],
                per_channel=True,
                activation_type=q.QuantType.QInt8 if scheme == "s8s8" else q.QuantType.QUInt8,
                weight_type=q.QuantType.QInt8,
                nodes_to_exclude=list(exclude),
                calibrate_method=kinds.get(method, q.CalibrationMethod.Entropy),
                extra_options={
                    "ActivationSymmetric": False,
                    "WeightSymmetric": True,
                    "ForceQuantizeNoInputCheck": True,
                    "DedicatedQDQPair": False,
                },
            )
        except ModelError:
            raise
        except Exception as error:
            if reader.seen == 0:
                raise ModelError("no calibration frame", hint="give images, an .npz or an iterable of feeds") from None
            first = (str(error).strip().splitlines() or ["failed"])[0]
            raise ModelError(
                f"quantization failed: {first[:300]}", hint="check that calibration fits the inputs"
            ) from None
        return onnx.load(str(target))
