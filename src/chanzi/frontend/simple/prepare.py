"""Bring a ModelProto to one form: a batch of 1, every shape known, weights as initializers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from chanzi.errors import ModelError

MAX_MODEL_BYTES = 1 << 31
OLDEST_OPSET = 9


def read_model(model: Any) -> onnx.ModelProto:
    """Return the ModelProto of a path, of bytes, or of a ModelProto (copied).

    Raises
    ------
    ModelError
        No such file, not an ONNX model, or weights in files that are missing.
    """
    if isinstance(model, onnx.ModelProto):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        return _checked(copy, "the model")
    if isinstance(model, bytes | bytearray | memoryview):
        return _checked(_parse(bytes(model), "the model"), "the model")
    path = Path(model)
    if path.is_dir():
        raise ModelError(f"{path} is a folder", hint="give the .onnx file in it")
    try:
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise ModelError(f"{path} has {size} bytes", hint="protobuf ends at 2 GiB; use external data")
        proto = _parse(path.read_bytes(), str(path))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", hint="check the path") from None
    proto = _checked(proto, str(path))
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in proto.graph.initializer):
        try:
            onnx.external_data_helper.load_external_data_for_model(proto, str(path.parent))
        except Exception as error:
            raise ModelError(f"{path}: external weights cannot be read: {error}", hint="keep them beside it") from None
    return proto


def _parse(data: bytes, origin: str) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception:
        raise ModelError(f"{origin} is not an ONNX model", hint="it may be truncated; export it again") from None
    return proto


def _checked(proto: onnx.ModelProto, origin: str) -> onnx.ModelProto:
    if not proto.graph.node and not proto.graph.output:
        raise ModelError(f"{origin} is not an ONNX model, or an empty one", hint="export it again")
    for opset in proto.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version < OLDEST_OPSET:
            hint = f"export it with opset {OLDEST_OPSET} or newer"
            raise ModelError(f"{origin} uses opset {opset.version}", hint=hint)
    try:
        onnx.checker.check_model(proto, full_check=False)
    except Exception as error:
        first = (str(error).strip().splitlines() or ["invalid"])[0]
        raise ModelError(f"{origin} is not a valid ONNX model: {first[:200]}", hint="export it again") from None
    return proto


def fix_shapes(proto: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]] | None = None) -> onnx.ModelProto:
    """Give every input fixed dimensions: a symbolic batch becomes 1, others come from `shapes`.

    Initializers that are also listed as inputs are taken off the inputs.

    Raises
    ------
    ModelError
        A dimension is unknown and not given; names the input and how to give it.
    """
    shapes = dict(shapes or {})
    constant = {t.name for t in proto.graph.initializer}
    kept = [i for i in proto.graph.input if i.name not in constant]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    unknown = set(shapes) - {i.name for i in kept}
    if unknown:
        raise ModelError(f"no input named '{sorted(unknown)[0]}'", hint="inputs: " + ", ".join(i.name for i in kept))
    changed = False
    for value in proto.graph.input:
        if not value.type.HasField("tensor_type"):
            continue
        dims = value.type.tensor_type.shape.dim
        given = shapes.get(value.name)
        if given is not None and len(given) != len(dims) and len(dims):
            raise ModelError(f"input '{value.name}' has {len(dims)} dimensions, not {len(given)}", hint="see --shape")
        for axis, dim in enumerate(dims):
            if given is not None:
                changed |= dim.dim_value != given[axis]
                dim.dim_value = given[axis]
            elif not dim.HasField("dim_value") or dim.dim_value < 0:
                if axis:
                    raise ModelError(
                        f"input '{value.name}' has an unknown dimension {axis} ('{dim.dim_param or '?'}')",
                        hint=f"give it: --shape {value.name}=1,3,224,224",
                    )
                dim.dim_value = 1
                changed = True
    if changed:  # what was inferred for open shapes no longer holds
        del proto.graph.value_info[:]
        for value in proto.graph.output:
            if value.type.HasField("tensor_type"):
                value.type.tensor_type.ClearField("shape")
    return proto


def lift_constants(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Turn Constant nodes into initializers."""
    kept = []
    for node in proto.graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and len(node.attribute) == 1:
            attribute = node.attribute[0]
            if attribute.name == "value":
                tensor = proto.graph.initializer.add()
                tensor.CopyFrom(attribute.t)
                tensor.name = node.output[0]
                continue
            kind = {
                "value_float": onnx.TensorProto.FLOAT,
                "value_floats": onnx.TensorProto.FLOAT,
                "value_int": onnx.TensorProto.INT64,
                "value_ints": onnx.TensorProto.INT64,
            }.get(attribute.name)
            if kind is not None:
                value = onnx.helper.get_attribute_value(attribute)
                many = attribute.name.endswith("s")
                values = list(value) if many else [value]
                dims = [len(values)] if many else []
                proto.graph.initializer.append(onnx.helper.make_tensor(node.output[0], kind, dims, values))
                continue
        kept.append(node)
    if len(kept) != len(proto.graph.node):
        del proto.graph.node[:]
        proto.graph.node.extend(kept)
    return proto


def infer_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with shapes of all values that can be inferred."""
    try:
        return onnx.shape_inference.infer_shapes(proto, strict_mode=False, data_prop=True)
    except Exception as error:
        first = (str(error).strip().splitlines() or ["invalid"])[0]
        raise ModelError(f"shapes cannot be inferred: {first[:200]}", hint="check the model") from None


def is_qdq(proto: onnx.ModelProto) -> bool:
    """Tell whether the model is quantized already."""
    return any(node.op_type == "QuantizeLinear" for node in proto.graph.node)
