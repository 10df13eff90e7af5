"""From a model, float or quantized, to the pieces that the chip and the host run."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chanzi.errors import ModelError, did_you_mean
from chanzi.frontend import qdq
from chanzi.frontend.network import Network, model_of
from chanzi.graph.plan import Partition

Progress = Callable[[str], None]
LONGEST_REASON = 300


def load(
    model: "str | Path | bytes | Any",
    *,
    name: str = "",
    calibration: "str | Path | Iterable[Mapping[str, Any]] | None" = None,
    scheme: str = "u8s8",
    method: str = "minmax",
    shapes: Mapping[str, Sequence[int]] | None = None,
    progress: Progress | None = None,
    exclude: Sequence[str] = (),
) -> Partition:
    """Import a network, quantize it where it is float, and cut it into pieces.

    Parameters
    ----------
    model
        Path, bytes or onnx.ModelProto. A quantized (QDQ) network is taken as it is.
    name : str
        What to call it.
    calibration
        For float networks: a folder of photos, an .npz, or feeds (dicts from input name to array).
    scheme : {'u8s8', 's8s8', 'none'}
        Types of activations and weights; 'none' leaves a float network to the host.
    method : {'minmax', 'percentile', 'entropy'}
        How ranges are chosen.
    shapes : mapping of str to sequence of int, optional
        Shapes of inputs with symbolic dimensions other than the batch.
    progress : callable, optional
        Told in words what is being done.
    exclude : sequence of str
        Names of nodes to leave in float, besides the decoding of a detector's boxes.

    Raises
    ------
    ModelError
        Names what is wrong with the model and what to do about it.
    """
    with np.errstate(all="ignore"), _one_line():
        return _load(model, name, calibration, scheme, method, shapes, progress, exclude)


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Let whatever a damaged file provokes end as one readable line."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(
            f"the model makes no sense: {str(error)[:LONGEST_REASON]}", hint="check it with onnx.checker"
        ) from error


def _load(
    model: Any,
    name: str,
    calibration: Any,
    scheme: str,
    method: str,
    shapes: Mapping[str, Sequence[int]] | None,
    progress: Progress | None,
    exclude: Sequence[str],
) -> Partition:
    from chanzi.frontend.onnx_import import import_model
    from chanzi.frontend.partition import partition

    net = import_model(model, name=name, shapes=shapes)
    if qdq.is_quantized(net):
        qdq.check_scales(net)
        net, original = _as_given(net, model)
        return partition(net, qdq_model=original, quantization={"scheme": "as given"})
    if scheme == "none":
        return partition(net, qdq_model=_serialized(model, net), quantization={"scheme": "none"})
    return _quantized(net, calibration, scheme, method, exclude, progress)


def _as_given(net: Network, model: Any) -> tuple[Network, bytes]:
    """Return a quantized network with its QLinear operators written as QDQ, and its bytes as they came."""
    original = _serialized(model, net)
    if any("QLinear" in node.op_type or node.op_type == "QGemm" for node in net.nodes):
        from chanzi.frontend.normalize.qoperator import to_qdq
        from chanzi.frontend.onnx_import import infer_shapes

        if to_qdq(net):
            infer_shapes(net)
    return net, original


def _serialized(model: Any, net: Network) -> bytes:
    """Return the bytes that were given, where they hold everything; the network written anew elsewhere."""
    if isinstance(model, bytes | bytearray | memoryview):
        return bytes(model)
    if isinstance(model, str | Path):
        data = Path(model).read_bytes()
        if b"location" not in data:
            return data
    elif hasattr(model, "SerializeToString"):
        return model.SerializeToString()
    return model_of(net, infos=True).SerializeToString()


def _quantized(
    net: Network,
    calibration: Any,
    scheme: str,
    method: str,
    exclude: Sequence[str],
    progress: Progress | None,
) -> Partition:
    from chanzi.frontend.halves import keep_off_halves
    from chanzi.frontend.normalize import normalize
    from chanzi.frontend.normalize.heads import decoding_nodes
    from chanzi.frontend.onnx_import import import_model
    from chanzi.frontend.partition import partition
    from chanzi.frontend.quantize import quantize

    if calibration is None:
        raise ModelError(
            f"'{net.name}' is a float network and there is nothing to calibrate it with",
            hint="give a folder of photos, an .npz, or an iterable of feeds; or a QDQ network",
        )
    known = {node.name for node in net.nodes}
    for stranger in set(exclude) - known:
        raise ModelError(f"there is no node '{stranger}' to leave in float", hint=did_you_mean(stranger, known))
    if progress:
        progress("normalising")
    declared = net.declared_inputs, net.declared_outputs
    net = normalize(net)
    left = sorted({*exclude, *decoding_nodes(net)})
    made = quantize(
        model_of(net, infos=True),
        calibration=calibration,
        scheme=scheme,
        method=method,
        exclude=left,
        progress=progress,
    )
    keep_off_halves(made)
    cut = import_model(made, name=net.name)
    cut.declared_inputs, cut.declared_outputs = declared
    choices = {"scheme": scheme, "method": method, "excluded nodes": str(len(left))}
    return partition(cut, qdq_model=made.SerializeToString(), quantization=choices)
