"""The inputs and outputs an ONNX network declares."""

from typing import Any

from chanzi.errors import ModelError
from chanzi.program.model import TensorInfo
from chanzi.runtime.source import Source

_TYPE_NAMES = {
    1: "float",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "double",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
}
"""onnx.TensorProto.DataType -> ONNX Runtime's word."""


def declared(source: Source) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Return (inputs, outputs) of the network; initializers listed among the inputs are left out.

    Raises
    ------
    ModelError
        The bytes are no ONNX model.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(source.data)
    except Exception as error:  # protobuf's DecodeError has moved between modules
        raise ModelError(
            f"'{source.name}' is not an ONNX model: {' '.join(str(error).split())[:120]}", hint="give an .onnx file"
        ) from None
    constant = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_info(value, with_frame=True) for value in model.graph.input if value.name not in constant)
    return inputs, tuple(_info(value, with_frame=False) for value in model.graph.output)


def _info(value: Any, *, with_frame: bool) -> TensorInfo:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return TensorInfo(name=value.name, type=f"{(kind or 'unknown').removesuffix('_type')}(...)", shape=None)
    tensor = value.type.tensor_type
    type_name = f"tensor({_TYPE_NAMES.get(tensor.elem_type, 'unknown')})"
    if not tensor.HasField("shape"):
        return TensorInfo(name=value.name, type=type_name, shape=None)
    shape = tuple(_dim(dim) for dim in tensor.shape.dim)
    # what is known before compilation: a batch of 1, the rest as declared
    fixed = (1, *shape[1:]) if shape and not isinstance(shape[0], int) else shape
    known = with_frame and all(isinstance(dim, int) for dim in fixed)
    frame = tuple(dim for dim in fixed if isinstance(dim, int)) if known else None
    return TensorInfo(name=value.name, type=type_name, shape=shape, frame=frame)


def _dim(dim: Any) -> int | str | None:
    kind = dim.WhichOneof("value")
    if kind == "dim_value":
        return int(dim.dim_value)
    return dim.dim_param if kind == "dim_param" and dim.dim_param else None
