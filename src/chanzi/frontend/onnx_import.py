"""Read an ONNX file, whatever it holds, into a `Network`; what cannot be read is refused in one line.

Constant nodes become constants, initializers listed among the inputs are taken out of them, a symbolic batch becomes 1,
and shapes are inferred anew on a copy without the weights.
"""

import math
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from chanzi.errors import ModelError
from chanzi.frontend.network import Info, Network, Node, node_proto
from chanzi.graph.plan import Value

MAX_BYTES = 1 << 31
MAX_NODES = 200_000
OLDEST_OPSET = 7
SMALL_BYTES = 1024
"""Constants up to this size may be shapes and go into shape inference with their numbers."""
_HINT = "give an .onnx file"
_TYPES = {
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
    16: "bfloat16",
}
Shapes = Mapping[str, Sequence[int]]


def import_model(model: "str | Path | bytes | Any", *, name: str = "", shapes: Shapes | None = None) -> Network:
    """Return the network in a file, in bytes, or in an onnx.ModelProto.

    Parameters
    ----------
    model
        The network. Only given as a path may it have external weights, and only in files below its own folder.
    name : str
        What to call it; the file's name by default.
    shapes : mapping of str to sequence of int, optional
        Shapes of inputs that have symbolic dimensions other than the batch.

    Raises
    ------
    ModelError
        It is no ONNX network, damaged, or not fully described.
    """
    proto, folder, stem = _parse(model)
    title = name or stem or proto.graph.name or "network"
    _check_header(proto, title)
    _external(proto, folder, title)
    net = _network(proto, title)
    _fix_inputs(net, proto, shapes or {})
    infer_shapes(net)
    _declare(net, proto)
    return net


def _parse(model: Any) -> tuple[Any, Path | None, str]:
    from onnx import ModelProto

    if isinstance(model, ModelProto):
        return model, None, ""
    folder, stem, shown = None, "", "the model"
    if isinstance(model, str | Path):
        path = Path(model)
        data, folder, stem, shown = _read(path), path.parent, path.stem, str(path)
    elif isinstance(model, bytes | bytearray | memoryview):
        data = bytes(model)
    else:
        raise ModelError(f"a model cannot be a {type(model).__name__}", hint="give a path, bytes or an onnx.ModelProto")
    if not data:
        raise ModelError(f"{shown} is empty", hint=_HINT)
    proto = ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError has moved between modules
        text = " ".join(str(error).split())[:120]
        raise ModelError(f"{shown} is not an ONNX model: {text}", hint=_HINT) from None
    return proto, folder, stem


def _read(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path} is not a file", hint=_HINT)
        if status.st_size >= MAX_BYTES:
            raise ModelError(f"{path} is larger than 2 GiB", hint="ONNX keeps such weights in external files")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}", hint="check the path") from None
    except ValueError as error:
        raise ModelError(f"cannot read a model: {error}", hint="check the path") from None


def _check_header(proto: Any, title: str) -> None:
    if not proto.HasField("graph") or not proto.graph.output:
        raise ModelError(f"'{title}' is not an ONNX network: it computes nothing", hint=_HINT)
    versions = {item.domain if item.domain != "ai.onnx" else "": item.version for item in proto.opset_import}
    if versions.get("", OLDEST_OPSET) < OLDEST_OPSET:
        raise ModelError(f"'{title}' uses opset {versions['']}", hint=f"export it with opset {OLDEST_OPSET} or newer")
    if len(proto.graph.node) > MAX_NODES:
        raise ModelError(f"'{title}' has {len(proto.graph.node)} nodes", hint=f"at most {MAX_NODES}")
    if proto.graph.sparse_initializer:
        raise ModelError(f"'{title}' has sparse weights", hint="export it with dense ones")


def _external(proto: Any, folder: Path | None, title: str) -> None:
    """Read weights that lie in files of their own, in the model's folder or below it and nowhere else."""
    from onnx import TensorProto

    for tensor in proto.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        fields = {item.key: item.value for item in tensor.external_data}
        if folder is None:
            raise ModelError(
                f"'{title}' has its weights in another file, '{fields.get('location', '')}'", hint="give its path"
            )
        tensor.raw_data = _external_bytes(fields, folder, tensor.name)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _external_bytes(fields: dict[str, str], folder: Path, name: str) -> bytes:
    location = fields.get("location", "")
    relative = PurePosixPath(location.replace("\\", "/"))
    if not location or relative.is_absolute() or ".." in relative.parts or ":" in location or "\0" in location:
        raise ModelError(f"the weights '{name}' point outside the model's folder: '{location}'", hint="export it anew")
    path = folder / relative
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ModelError(f"the weights '{name}' point outside the model's folder: '{location}'")
        offset = int(fields.get("offset", 0) or 0)
        size = path.stat().st_size
        length = int(fields.get("length", 0) or size - offset)
        if offset < 0 or length < 0 or offset + length > size or not path.is_file():
            raise ModelError(f"{path} is too short for the weights '{name}'", hint="copy the file anew")
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise ModelError(f"cannot read the weights {path}: {error.strerror or error}") from None
    except ValueError:
        raise ModelError(f"the weights '{name}' have a bad offset or length") from None


def _attributes(proto: Any) -> dict[str, Any]:
    from onnx import helper

    found = {}
    for attribute in proto.attribute:
        if not attribute.type or attribute.ref_attr_name:
            continue
        if not isinstance(attribute.name, str):  # protobuf gives bytes for what is no UTF-8
            raise ModelError("an attribute's name is no text", hint="the file is damaged")
        value = helper.get_attribute_value(attribute)
        found[attribute.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return found


def _captured(proto: Any) -> tuple[str, ...]:
    """Return what a node's subgraphs read from outside."""
    names: dict[str, None] = {}
    for attribute in proto.attribute:
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            own = {item.name for item in (*graph.input, *graph.initializer)}
            for node in graph.node:
                names.update(dict.fromkeys(n for n in (*node.input, *_captured(node)) if n and n not in own))
                own.update(node.output)
            names.update(dict.fromkeys(item.name for item in graph.output if item.name not in own))
    return tuple(names)


def _network(proto: Any, title: str) -> Network:
    graph = proto.graph
    opsets = {item.domain if item.domain != "ai.onnx" else "": item.version for item in proto.opset_import}
    net = Network(
        name=title,
        opsets=opsets or {"": OLDEST_OPSET},
        nodes=[],
        tensors={tensor.name: tensor for tensor in graph.initializer},
        infos={},
        inputs=[],
        outputs=[item.name for item in graph.output],
        ir_version=proto.ir_version,
        functions=tuple(proto.functions),
    )
    for name, tensor in net.tensors.items():
        _check_tensor(tensor, name)
        net.infos[name] = Info(tensor.data_type, tuple(tensor.dims))
    for index, item in enumerate(graph.node):
        plain = item.op_type == "Constant" and item.domain in ("", "ai.onnx") and len(item.output) == 1
        if plain and _constant(net, item):
            continue
        net.nodes.append(_node(item, index))
    _check_names(net)
    net.inputs = [item.name for item in graph.input if item.name not in net.tensors]
    _sort(net)
    return net


def _check_names(net: Network) -> None:
    """Refuse names that are no text, and give nodes that share one a number: the cut into pieces goes by names."""
    seen: set[str] = set()
    for index, node in enumerate(net.nodes):
        if not all(
            isinstance(text, str) for text in (node.name, node.op_type, node.domain, *node.reads, *node.outputs)
        ):
            raise ModelError(f"'{net.name}' has names that are not UTF-8 text", hint="the file is damaged")
        while node.name in seen:
            node.name = f"{node.name}#{index}"
        seen.add(node.name)


def _check_tensor(tensor: Any, name: str) -> None:
    count = 1
    for dim in tensor.dims:
        if dim < 0 or dim > MAX_BYTES:
            raise ModelError(f"the weights '{name}' have a dimension of {dim}", hint="the file is damaged")
        count *= dim
    sizes = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
    size = sizes.get(tensor.data_type)
    if size is not None and tensor.HasField("raw_data") and len(tensor.raw_data) != count * size:
        raise ModelError(
            f"the weights '{name}' hold {len(tensor.raw_data)} bytes instead of {count * size}",
            hint="the file is damaged",
        )
    if count > MAX_BYTES:
        raise ModelError(f"the weights '{name}' have {count} elements", hint="the file is damaged")


def _constant(net: Network, item: Any) -> bool:
    attribute = item.attribute[0] if len(item.attribute) == 1 else None
    name = item.output[0]
    if attribute is None:
        return False
    if attribute.name == "value":
        _check_tensor(attribute.t, name)
        net.tensors[name] = attribute.t
        net.infos[name] = Info(attribute.t.data_type, tuple(attribute.t.dims))
        return True
    made = {"value_float": np.float32(attribute.f), "value_int": np.int64(attribute.i)}.get(attribute.name)
    if attribute.name == "value_floats":
        made = np.asarray(attribute.floats, np.float32)
    elif attribute.name == "value_ints":
        made = np.asarray(attribute.ints, np.int64)
    if made is None:
        return False
    from onnx import numpy_helper

    net.tensors[name] = numpy_helper.from_array(np.asarray(made), name)
    net.infos[name] = Info(net.tensors[name].data_type, np.shape(made))
    return True


def _node(item: Any, index: int) -> Node:
    if not all(isinstance(text, str) for text in (item.op_type, item.domain, item.name, *item.input, *item.output)):
        raise ModelError("a node's name is no text", hint="the file is damaged")
    return Node(
        op_type=item.op_type,
        domain="" if item.domain == "ai.onnx" else item.domain,
        name=item.name or f"{item.op_type}_{index}",
        inputs=list(item.input),
        outputs=list(item.output),
        attributes=_attributes(item),
        captured=_captured(item) if any(a.HasField("g") or a.graphs for a in item.attribute) else (),
        proto=item,
    )


def _sort(net: Network) -> None:
    """Put nodes in order and refuse values that nothing writes, or that two nodes write."""
    written = set(net.inputs) | set(net.tensors)
    for node in net.nodes:
        for out in node.outputs:
            if out and out in written:
                raise ModelError(f"the value '{out}' is written twice", hint="the file is damaged")
            written.add(out)
    missing = next((n for node in net.nodes for n in node.reads if n not in written), None)
    missing = missing or next((name for name in net.outputs if name not in written), None)
    if missing is not None:
        raise ModelError(f"nothing writes the value '{missing}'", hint="the file is damaged")
    ready = set(net.inputs) | set(net.tensors)
    ordered: list[Node] = []
    waiting = net.nodes
    while waiting:
        left = []
        for node in waiting:
            if all(name in ready for name in node.reads):
                ordered.append(node)
                ready.update(node.outputs)
            else:
                left.append(node)
        if len(left) == len(waiting):
            raise ModelError(f"node '{left[0].name}' depends on its own result", hint="the file is damaged")
        waiting = left
    net.nodes = ordered


def _dims(value: Any) -> tuple[int | str | None, ...] | None:
    if value.type.WhichOneof("value") != "tensor_type" or not value.type.tensor_type.HasField("shape"):
        return None
    dims: list[int | str | None] = []
    for dim in value.type.tensor_type.shape.dim:
        kind = dim.WhichOneof("value")
        known = int(dim.dim_value) if kind == "dim_value" else None
        dims.append(known if known is not None else (dim.dim_param or None))
    return tuple(dims)


def _type_name(value: Any) -> str:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return f"{(kind or 'unknown').removesuffix('_type')}(...)"
    return f"tensor({_TYPES.get(value.type.tensor_type.elem_type, 'unknown')})"


def _fix_inputs(net: Network, proto: Any, shapes: Shapes) -> None:
    values = {item.name: item for item in proto.graph.input}
    for name in shapes:
        if name not in net.inputs:
            raise ModelError(f"there is no input '{name}'", hint=f"known: {', '.join(net.inputs)}")
    for name in net.inputs:
        value = values[name]
        dtype = value.type.tensor_type.elem_type if value.type.WhichOneof("value") == "tensor_type" else None
        net.infos[name] = Info(dtype, _fixed(name, _dims(value), shapes.get(name)) if dtype else None)


def _fixed(name: str, dims: tuple[int | str | None, ...] | None, given: Sequence[int] | None) -> tuple[int, ...] | None:
    if given is not None:
        shape = tuple(int(dim) for dim in given)
        agrees = dims is None or (
            len(dims) == len(shape)
            and all(not isinstance(dim, int) or dim <= 0 or dim == want for dim, want in zip(dims, shape, strict=True))
        )
        if not agrees or any(dim <= 0 for dim in shape):
            raise ModelError(
                f"input '{name}' cannot have the shape {list(shape)}", hint=f"it declares {list(dims or ())}"
            )
        return shape
    if dims is None:
        raise ModelError(f"input '{name}' declares no shape", hint=f"give shapes={{'{name}': (1, ...)}}")
    fixed: list[int] = []
    for index, dim in enumerate(dims):
        if isinstance(dim, int) and (dim > 0 or (dim == 0 and len(dims) == 1)):
            fixed.append(dim)
        elif index == 0:
            fixed.append(1)
        else:
            shown = ", ".join(str(d) if d is not None else "?" for d in dims)
            raise ModelError(
                f"input '{name}' has the shape ({shown}), not all of it known",
                hint=f"give its size: shapes={{'{name}': (1, ...)}}",
            )
    if any(dim > MAX_BYTES for dim in fixed):
        raise ModelError(f"input '{name}' has the shape {fixed}", hint="the file is damaged")
    return tuple(fixed)


def _declare(net: Network, proto: Any) -> None:
    values = {item.name: item for item in (*proto.graph.input, *proto.graph.output)}

    def declared(name: str) -> Value:
        value = values[name]
        return Value(name=name, type=_type_name(value), shape=_dims(value), frame=net.shape(name))

    net.declared_inputs = tuple(declared(name) for name in net.inputs)
    outputs = []
    for item in proto.graph.output:
        known = net.info(item.name)
        kind = _type_name(item) if item.type.WhichOneof("value") else f"tensor({_TYPES.get(known.dtype or 1, 'float')})"
        outputs.append(Value(name=item.name, type=kind, shape=_dims(item), frame=known.fixed))
        if known.dtype is None and item.type.WhichOneof("value") == "tensor_type":
            net.infos[item.name] = Info(item.type.tensor_type.elem_type or None, known.shape)
    net.declared_outputs = tuple(outputs)


def _known_to_inference(node: Node) -> Any:
    """Return the node, or one of the same shape that ONNX itself knows in place of ONNX Runtime's own."""
    from onnx import helper

    if node.domain != "com.microsoft":
        return node_proto(node)
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return helper.make_node(node.op_type, node.inputs, node.outputs, node.name, axis=node.get("axis", 1))
    if node.op_type in ("Gelu", "FastGelu", "QuickGelu", "BiasGelu"):
        return helper.make_node("Identity", node.inputs[:1], node.outputs[:1], node.name)
    return node_proto(node)


def infer_shapes(net: Network) -> None:
    """Infer type and shape of every value; large weights are stood in for by their shapes."""
    from onnx import ModelProto, helper, shape_inference

    model = ModelProto(ir_version=max(net.ir_version, 8))
    for domain, version in net.opsets.items():
        model.opset_import.add(domain=domain, version=version)
    model.functions.extend(net.functions)
    graph = model.graph
    graph.name = "g"
    graph.node.extend(_known_to_inference(node) for node in net.nodes)
    small = []
    for name in {name for node in net.nodes for name in node.reads}:
        if not net.is_constant(name):
            continue
        info = net.info(name)
        if math.prod(dim or 0 for dim in info.shape or ()) * 8 <= SMALL_BYTES:
            small.append(name)
        else:
            graph.input.append(helper.make_tensor_value_info(name, info.dtype or 1, info.shape))
    graph.initializer.extend(net.constant_tensors(sorted(small)))
    for name in net.inputs:
        info = net.info(name)
        if info.dtype:
            graph.input.append(helper.make_tensor_value_info(name, info.dtype, info.shape))
    for name in net.outputs:
        graph.output.add(name=name)
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:
        text = " ".join(str(error).split())[:160]
        raise ModelError(f"the shapes of '{net.name}' do not fit together: {text}") from None
    for value in (*inferred.graph.value_info, *inferred.graph.output):
        tensor = value.type.tensor_type
        if value.type.WhichOneof("value") != "tensor_type" or not tensor.elem_type:
            continue
        shape = None
        if tensor.HasField("shape"):
            shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
        net.infos[value.name] = Info(tensor.elem_type, shape)
