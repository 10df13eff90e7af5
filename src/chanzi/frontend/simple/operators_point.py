"""Operators that work element by element, as tables and binary operators."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx

from chanzi.frontend.simple.mapping import Context, Mapped, map_axes, named
from chanzi.frontend.simple.qdq import Unsupported
from chanzi.graph.ops import Binary, Const, Lookup, Tensor
from chanzi.numerics.tables import function_table, requantize_table

Floats = npt.NDArray[np.float32]
Function = Callable[[Floats], Floats]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Floats) -> Floats:
    return (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32)


def _number(context: Context, node: onnx.NodeProto, index: int, attribute: str, default: float) -> float:
    attributes = context.network.attributes(node)
    if attribute in attributes:
        return float(attributes[attribute])
    if index < len(node.input) and node.input[index]:
        value = context.network.constant(node.input[index])
        if value is None or value.size != 1:
            raise Unsupported(f"its {attribute} is computed")
        return float(value.reshape(-1)[0])
    return default


def function_of(context: Context, node: onnx.NodeProto) -> Function:
    """Return the float32 function of a unary node; raises Unsupported for others."""
    a = context.network.attributes(node)
    match node.op_type:
        case "Relu":
            return lambda x: np.maximum(x, np.float32(0))
        case "Clip":
            low = np.float32(_number(context, node, 1, "min", -np.inf))
            high = np.float32(_number(context, node, 2, "max", np.inf))
            return lambda x: np.minimum(np.maximum(x, low), high)
        case "LeakyRelu":
            slope = np.float32(a.get("alpha", 0.01))
            return lambda x: np.where(x >= 0, x, x * slope)
        case "PRelu":
            slope = np.float32(_number(context, node, 1, "slope", 0.25))
            return lambda x: np.where(x >= 0, x, x * slope)
        case "HardSigmoid":
            alpha, beta = np.float32(a.get("alpha", 0.2)), np.float32(a.get("beta", 0.5))
            return lambda x: np.clip(alpha * x + beta, np.float32(0), np.float32(1))
        case "HardSwish":
            return lambda x: x * np.clip(x * np.float32(1 / 6) + np.float32(0.5), np.float32(0), np.float32(1))
        case "Elu":
            alpha = np.float32(a.get("alpha", 1.0))
            return lambda x: np.where(x >= 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))
        case "Gelu":
            if a.get("approximate", "none") == "tanh":
                c = math.sqrt(2 / math.pi)
                return lambda x: 0.5 * x * (1 + np.tanh(c * (x + 0.044715 * x**3)))
            return lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2)))
        case "Softplus":
            return lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)
        case "Mish":
            return lambda x: x * np.tanh(np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0))
        case kind if kind in _PLAIN:
            return _PLAIN[kind]
        case kind:
            raise Unsupported(f"the chip has no {kind}")


_PLAIN: dict[str, Function] = {
    "Sigmoid": _sigmoid,
    "Tanh": lambda x: np.tanh(x.astype(np.float64)).astype(np.float32),
    "Erf": lambda x: _erf(x).astype(np.float32),
    "Sqrt": np.sqrt,
    "Exp": np.exp,
    "Log": np.log,
    "Abs": np.abs,
    "Neg": np.negative,
    "Reciprocal": lambda x: np.float32(1) / x,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Sin": np.sin,
    "Cos": np.cos,
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Identity": lambda x: x,
    "Round": np.rint,
    "Sign": np.sign,
    "QuickGelu": lambda x: x * _sigmoid(np.float32(1.702) * x),
}
UNARY = frozenset(
    {*_PLAIN, "Relu", "Clip", "LeakyRelu", "PRelu", "HardSigmoid", "HardSwish", "Elu", "Gelu", "Softplus", "Mish"}
)


def clamp_table(context: Context, node: onnx.NodeProto) -> tuple[onnx.NodeProto, npt.NDArray[np.uint8] | None]:
    """Return the QuantizeLinear behind `node` and the table of a Relu or Clip between the two (None: not needed).

    The clamp acts on values that are already quantized as the result is, which is exact because both round alike and
    a clamp keeps order.
    """
    network = context.network
    readers = network.consumers.get(node.output[0], [])
    context.covered.append(node)
    if len(readers) == 1 and readers[0].op_type in ("Relu", "Clip") and node.output[0] not in network.outputs:
        act = readers[0]
        q = network.only_quantize(act.output[0])
        quant = network.quant(q)
        table = function_table(function_of(context, act), quant, quant)
        context.covered += [act, q]
        return q, None if np.array_equal(table, np.arange(256)) else table
    q = network.only_quantize(node.output[0])
    context.covered.append(q)
    return q, None


def convert_unary(context: Context, node: onnx.NodeProto) -> None:
    """Any function of one value, chained functions included: one table."""
    mapped = context.activation(node)
    functions = [function_of(context, node)]
    last = node
    context.covered.append(node)
    while True:
        readers = context.network.consumers.get(last.output[0], [])
        if len(readers) == 1 and readers[0].op_type in UNARY and last.output[0] not in context.network.outputs:
            last = readers[0]
            functions.append(function_of(context, last))
            context.covered.append(last)
            continue
        break
    q = context.network.only_quantize(last.output[0])
    context.covered.append(q)

    def whole(x: Floats) -> Floats:
        for f in functions:
            x = np.asarray(f(x), np.float32)
        return x

    lookup(
        context,
        q,
        mapped,
        node.op_type.lower(),
        named(node),
        function_table(whole, mapped.tensor.quant, context.network.quant(q)),
    )


def lookup(
    context: Context, q: onnx.NodeProto, mapped: Mapped, kind: str, name: str, table: npt.NDArray[np.uint8]
) -> None:
    """Emit a table from a map to what `q` stores, keeping the map's shape."""
    mapped.plain()
    y = context.result(q, mapped.tensor.shape, mapped.perm)
    context.ops.append(Lookup(name=name, kind=kind, x=mapped.tensor, y=y, table=table))


def move(context: Context, node: onnx.NodeProto, mapped: Mapped) -> None:
    """Emit nothing where the node only renames bytes; a requantizing table where the scales differ."""
    q = context.quantizer(node)
    quant = context.network.quant(q)
    if quant == mapped.tensor.quant:
        context.alias(q, mapped)
        return
    table = requantize_table(mapped.tensor.quant, quant)
    y = Tensor(name=q.output[0], shape=mapped.tensor.shape, quant=quant)
    context.ops.append(Lookup(name=named(node), kind="requantize", x=mapped.tensor, y=y, table=table))
    context.alias(
        q,
        Mapped(
            tensor=y,
            shape=mapped.shape,
            perm=mapped.perm,
            flat=mapped.flat,
            split=mapped.split,
            swapped=mapped.swapped,
        ),
    )


def _scalar_function(op_type: str, value: np.float32, *, constant_first: bool) -> Function:
    match op_type:
        case "Add":
            return lambda x: x + value
        case "Sub":
            return (lambda x: value - x) if constant_first else (lambda x: x - value)
        case "Mul":
            return lambda x: x * value
        case "Div":
            return (lambda x: value / x) if constant_first else (lambda x: x / value)
        case "Max":
            return lambda x: np.maximum(x, value)
        case "Min":
            return lambda x: np.minimum(x, value)
        case "Pow":
            return (lambda x: np.power(value, x)) if constant_first else (lambda x: np.power(x, value))
        case _:
            raise Unsupported(f"the chip has no {op_type} with a constant")


def convert_binary(context: Context, node: onnx.NodeProto) -> None:
    """Add and Mul of two maps or of a map and a constant; any arithmetic with one constant number, as a table."""
    network = context.network
    if len(node.input) != 2:
        raise Unsupported(f"{len(node.input)} inputs")
    constants = [network.constant(name) for name in node.input]
    for i in (0, 1):
        value = constants[i]
        if value is not None and value.size == 1 and constants[1 - i] is None:
            mapped = context.activation(node, 1 - i)
            if len(value.shape) > len(mapped.shape):
                raise Unsupported("a constant of higher rank")
            function = _scalar_function(node.op_type, np.float32(value.reshape(-1)[0]), constant_first=i == 0)
            q = context.quantizer(node)
            table = function_table(function, mapped.tensor.quant, network.quant(q))
            lookup(context, q, mapped, node.op_type.lower(), named(node), table)
            return
    if node.op_type not in ("Add", "Mul"):
        raise Unsupported(f"the chip has no {node.op_type} of two maps")
    if constants[0] is not None or constants[1] is not None:
        which = 0 if constants[0] is not None else 1
        a = context.activation(node, 1 - which).plain()
        b = _constant_map(context, node, which, a)
    else:
        a, b = (context.activation(node, i).plain() for i in (0, 1))
        if a.tensor.shape != context_shape(context, node, a):
            a, b = b, a
        if len(a.shape) != len(b.shape) or a.perm != b.perm:
            b = _aligned(a, b)
    if a.tensor.shape != context_shape(context, node, a):
        raise Unsupported("both operands are broadcast")
    if any(bd not in (1, ad) for ad, bd in zip(a.tensor.shape, b.tensor.shape, strict=True)):
        raise Unsupported("operands whose shapes do not broadcast on the chip")
    q, table = clamp_table(context, node)
    y = context.result(q, a.tensor.shape, a.perm)
    kind = "add" if node.op_type == "Add" else "mul"
    context.ops.append(
        Binary(
            name=named(node),
            kind=kind,
            a=a.tensor,
            b=b.tensor,
            y=y,
            table=table,
            mid=y.quant if table is not None else None,
        )
    )


def context_shape(context: Context, node: onnx.NodeProto, like: Mapped) -> tuple[int, int, int]:
    """Return the map shape of the node's result if it is mapped as `like` is."""
    shape = context.network.shape(node.output[0])
    if len(shape) != len(like.shape):
        raise Unsupported("a result of another rank")
    moved = [shape[axis] for axis in like.perm]
    padded = [1] * (3 - len(moved)) + moved
    lead = int(np.prod(padded[:-3], dtype=np.int64))
    if lead != 1 and len(moved) > 3:
        raise Unsupported("a batch")
    return padded[-3], padded[-2], padded[-1]


def _aligned(a: Mapped, b: Mapped) -> Mapped:
    """Return b with a's mapping where both say the same (dimensions of 1 may be called anything)."""
    if len(a.shape) != len(b.shape):
        raise Unsupported("operands of different rank")
    moved = [b.shape[axis] for axis in a.perm][-3:]
    shape = tuple([1] * (3 - len(moved)) + moved)
    if sorted(d for d in b.tensor.shape if d > 1) != sorted(d for d in shape if d > 1) or sum(d > 1 for d in shape) > 1:
        raise Unsupported("operands laid out differently")
    if shape != b.tensor.shape:
        raise Unsupported("a vector that runs along another axis")
    return b


def _constant_map(context: Context, node: onnx.NodeProto, index: int, a: Mapped) -> Mapped:
    """Return the constant operand as a map that lies as `a` does, and emit it."""
    stored = context.network.stored_constant(node.input[index])
    if stored is None or stored.values.dtype not in (np.dtype(np.int8), np.dtype(np.uint8)) or stored.scale.size != 1:
        raise Unsupported("a constant that is not quantized as a whole")
    values = stored.values.reshape((1,) * (len(a.shape) - stored.values.ndim) + stored.values.shape)
    moved = values.transpose(a.perm)
    shape = ((1,) * (3 - moved.ndim) + moved.shape)[-3:]
    from chanzi.graph.ops import Quant

    dtype = "int8" if values.dtype == np.int8 else "uint8"
    quant = Quant(scale=float(stored.scale[0]), zero=int(stored.zero[0]), dtype=dtype)
    tensor = Tensor(name=f"{named(node)}#constant", shape=(shape[0], shape[1], shape[2]), quant=quant)
    context.ops.append(Const(name=tensor.name, y=tensor, value=np.ascontiguousarray(moved.reshape(shape))))
    return Mapped(tensor=tensor, shape=tuple(values.shape), perm=a.perm)


__all__ = ["UNARY", "clamp_table", "convert_binary", "convert_unary", "lookup", "map_axes", "move"]
