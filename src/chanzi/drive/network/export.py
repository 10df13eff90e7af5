"""From trained weights to files that others read: float ONNX, and its QDQ form in 8 bits."""

import io
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chanzi.drive.network.spec import IMAGES, METADATA, OUTPUTS, STATE, STATE_BYTES, NetSpec
from chanzi.errors import DriveError
from chanzi.frontend.quantize import quantize

if TYPE_CHECKING:
    import onnx
    from torch import nn

Feed = Mapping[str, np.ndarray]
OPSET = 18


def to_onnx(net: "nn.Module", spec: NetSpec) -> bytes:
    """Return a trained network as float ONNX with fixed shapes, its specification in the metadata."""
    import logging

    import onnx
    import torch

    from chanzi.drive.network.model import folded

    example = torch.zeros(spec.images_shape), torch.zeros(1, STATE_BYTES)
    target = io.BytesIO()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            folded(net),
            example,
            dynamo=True,
            input_names=[IMAGES, STATE],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    program.save(target)
    proto = onnx.load_model_from_string(target.getvalue())
    return _named(_without_traces(proto), spec).SerializeToString()


def _without_traces(proto: "onnx.ModelProto") -> "onnx.ModelProto":
    """Drop what the exporter tells of Python source lines: it names folders of the machine, and doubles the file."""
    del proto.graph.value_info[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.graph.metadata_props[:]
    for tensor in (*proto.graph.initializer, *proto.graph.input, *proto.graph.output):
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    del proto.metadata_props[:]
    return proto


def _named(proto: "onnx.ModelProto", spec: NetSpec) -> "onnx.ModelProto":
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA, spec.to_json()
    proto.graph.name = "drive"
    return proto


def spec_of(model: bytes | Path) -> NetSpec:
    """Return the specification in an ONNX file.

    Raises
    ------
    DriveError
        It is no driving network of ours.
    """
    import onnx

    data = model if isinstance(model, bytes) else _read(model)
    try:
        proto = onnx.load_model_from_string(data)
    except Exception:  # protobuf's errors have no common root but this
        raise DriveError("this is no ONNX file", hint="give the .onnx that training wrote") from None
    found = {entry.key: entry.value for entry in proto.metadata_props}.get(METADATA)
    if found is None:
        raise DriveError(
            "this ONNX file holds no driving network", hint="networks are made by chanzi.drive.network.export"
        )
    return NetSpec.from_json(found)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DriveError(f"cannot read {path}: {error.strerror}", hint="check the path") from None


def to_int8(model: bytes, calibration: Iterable[Feed], *, method: str = "minmax") -> bytes:
    """Return the QDQ network: u8 activations, int8 weights with a scale for each output channel.

    Parameters
    ----------
    model : bytes
        As `to_onnx` returns it.
    calibration : iterable of feeds
        Frames that the network was trained on, as `spec.feed` makes them. Inputs are bytes whatever these hold: a frame
        that reaches from 0 to 255 is added, so that their scale is 1 and their zero point 0.
    method : str
        As `chanzi.frontend.quantize.quantize` takes it.
    """
    import onnx

    spec = spec_of(model)
    proto = onnx.load_model_from_string(model)

    def frames() -> Iterable[Feed]:
        whole = None
        for feed in calibration:
            if whole is None:
                whole = {name: array.copy() for name, array in feed.items()}
            yield feed
        if whole is not None:
            # The corners of the last picture: two pixels change nothing else that is calibrated.
            whole[IMAGES][0, 0, 0, 0], whole[IMAGES][0, 0, -1, -1] = 0, 255
            whole[STATE][0, 0] = 0 if whole[STATE].max() else 255
            yield whole

    return _named(quantize(proto, calibration=frames(), method=method), spec).SerializeToString()
