"""Activations as tables, sums and products of maps, softmax."""

import numpy as np

from chanzi.frontend.context import Context, Translator
from chanzi.frontend.layout import NCHW, NCW, NHWC, ROWS, TOKENS, Form, Refused, View, form_of_shape
from chanzi.frontend.network import Node
from chanzi.frontend.operators import affine, functions
from chanzi.frontend.operators.functions import apply_table
from chanzi.frontend.qdq import Stored
from chanzi.graph.ops import Binary, ByteArray, Const, DType, Lookup, Quant, Softmax, Tensor
from chanzi.numerics import tables
from chanzi.numerics.fused import add_values
from chanzi.numerics.requantize import mul_values

_IDENTITY = np.arange(256, dtype=np.uint8)


def _stored_scalar(ctx: Context, name: str) -> Stored | None:
    stored = ctx.stored.get(name)
    return stored if stored is not None and stored.values.size == 1 else None


def _scalar_table(kind: str, x: Quant, b: Stored, y: Quant, *, first: bool) -> tables.Table:
    """Return the bytes of QLinearAdd or QLinearMul with a constant of one element, as `first` operand or second."""
    stored = tables.stored_values(x.dtype)
    constant = np.full(256, int(b.values.reshape(-1)[0]), np.int32)
    scales, zeros = (np.float32(x.scale), b.scale[0]), (x.zero, b.one_zero)
    operands = (stored, constant)
    if first:
        scales, zeros, operands = scales[::-1], zeros[::-1], operands[::-1]
    sy = np.float32(y.scale)
    if kind == "Add":
        exact = add_values(*operands, scales=(scales[0] / sy, scales[1] / sy), zeros=zeros, zero=y.zero)
    else:
        scale = np.float32(np.float32(scales[0] * scales[1]) / sy)
        exact = mul_values(*operands, scale=scale, zeros=zeros, zero=y.zero)
    values = np.clip(np.rint(exact), y.qmin, y.qmax)
    return values.astype(np.int16).astype(np.dtype(y.dtype)).view(np.uint8)


def _binary(ctx: Context, node: Node) -> None:
    if len(node.inputs) != 2:
        raise Refused(f"{len(node.inputs)} inputs")
    first, second = node.inputs
    if ctx.has(first) and ctx.has(second):
        _two_maps(ctx, node, first, second)
        return
    x, other = (first, second) if ctx.has(first) else (second, first)
    view = ctx.view(x)
    number = ctx.constant_or_none(other)
    if number is None:
        ctx.view(other)
        return
    name = node.outputs[0]
    if number.size == 1 and np.prod(ctx.shape(name)) == np.prod(view.shape):
        quant = ctx.target(name)
        stored = _stored_scalar(ctx, other)
        if stored is not None and node.op_type in ("Add", "Mul"):
            table = _scalar_table(node.op_type, view.tensor.quant, stored, quant, first=other == first)
        else:
            function = functions.with_number(
                node.op_type, np.float32(np.asarray(number).reshape(-1)[0]), first=other == first
            )
            if function is None:
                raise Refused("an operator the chip has no instruction for")
            table = tables.function_table(function, view.tensor.quant, quant)
        apply_table(ctx, name, view, quant, table, node.op_type)
        return
    stored = ctx.stored.get(other)
    plain = stored is not None and stored.values.dtype in (np.int8, np.uint8) and stored.axis is None
    if plain and (node.op_type in ("Add", "Mul") or (node.op_type == "Sub" and other == second)):
        _with_constant(ctx, node, view, other)
    else:
        affine.with_constant(ctx, node, x, other)


def _with_constant(ctx: Context, node: Node, view: View, other: str) -> None:
    stored = ctx.stored.get(other)
    assert stored is not None
    form = view.form()
    shape = ctx.shape(node.outputs[0])
    if form is None or len(shape) != len(view.shape):
        raise Refused("a constant and a map that was reshaped")
    if stored.values.ndim > len(shape):
        raise Refused("a constant larger than the map")
    values = stored.values.reshape((1,) * (len(shape) - stored.values.ndim) + stored.values.shape)
    sizes = form_of_shape(form, values.shape)
    if sizes is None:
        raise Refused("a constant for each frame")
    axes = [axis for axis in form if axis is not None]
    rest = [axis for axis in range(values.ndim) if axis not in axes]
    laid = np.ascontiguousarray(values.transpose(rest + axes)).reshape(sizes)
    quant = Quant(scale=float(stored.scale[0]), zero=stored.one_zero, dtype=_dtype(laid))
    if node.op_type == "Sub":
        laid, quant = _negated(laid, quant)
    constant = ctx.tensor(other, sizes, quant)
    ctx.emit(Const(name=ctx.unique(f"{node.name}/constant"), y=constant, value=laid))
    _emit_binary(ctx, node, view.tensor, constant, form)


def _dtype(values: ByteArray) -> DType:
    return "int8" if values.dtype == np.int8 else "uint8"


def _negated(values: ByteArray, quant: Quant) -> tuple[ByteArray, Quant]:
    """Return bytes and quantization of the negated numbers: every bit inverted."""
    zero = -1 - quant.zero if quant.dtype == "int8" else 255 - quant.zero
    return ~values, Quant(scale=quant.scale, zero=zero, dtype=quant.dtype)


def _emit_binary(ctx: Context, node: Node, a: Tensor, b: Tensor, form: Form) -> None:
    y = ctx.result(node, form)
    if y.shape != a.shape:
        raise Refused("both operands are repeated to fit each other")
    if any(size not in (1, whole) for size, whole in zip(b.shape, a.shape, strict=True)):
        raise Refused("operands that do not fit each other")
    kind = "mul" if node.op_type == "Mul" else "add"
    ctx.emit(Binary(name=ctx.name(node), kind=kind, a=a, b=b, y=y))


def _two_maps(ctx: Context, node: Node, first: str, second: str) -> None:
    kind = node.op_type
    if kind not in ("Add", "Mul", "Sub"):
        raise Refused("of two maps; the chip adds and multiplies")
    shape = ctx.shape(node.outputs[0])
    rank = len(shape)

    def ranked(name: str) -> View:
        view = ctx.view(name)
        return view.reshaped((1,) * (rank - len(view.shape)) + view.shape)

    a, b = ranked(first), ranked(second)
    swapped = a.shape != shape
    if swapped:
        a, b = b, a
    if a.shape != shape:
        raise Refused("both operands are repeated to fit each other")
    if a.shape == b.shape and a.tensor.shape == b.tensor.shape and a.dims == b.dims and a.order == b.order:
        _alike(ctx, node, a, b, swapped=swapped)
        return
    form = a.form() or b.form()
    if form is None:
        raise Refused("two maps in different order")
    x, w = ctx.as_map(a, form), ctx.as_map(b, form)
    if kind == "Sub":
        x, w = _subtrahend(ctx, node, x, w, swapped=swapped)
    _emit_binary(ctx, node, x, w, form)


def _subtrahend(ctx: Context, node: Node, x: Tensor, w: Tensor, *, swapped: bool) -> tuple[Tensor, Tensor]:
    def negative(tensor: Tensor) -> Tensor:
        _, quant = _negated(_IDENTITY, tensor.quant)
        y = ctx.tensor(f"{tensor.name}/negative", tensor.shape, quant)
        ctx.emit(Lookup(name=ctx.unique(f"{node.name}/negate"), kind="neg", x=tensor, y=y, table=~_IDENTITY))
        return y

    return (negative(x), w) if swapped else (x, negative(w))


def _alike(ctx: Context, node: Node, a: View, b: View, *, swapped: bool) -> None:
    """Join two maps that lie alike, whatever the form."""
    x, w = a.tensor, b.tensor
    if node.op_type == "Sub":
        x, w = _subtrahend(ctx, node, x, w, swapped=swapped)
    name = node.outputs[0]
    y = ctx.tensor(name, x.shape, ctx.target(name))
    ctx.views[name] = a.on(y)
    kind = "mul" if node.op_type == "Mul" else "add"
    ctx.emit(Binary(name=ctx.name(node), kind=kind, a=x, b=w, y=y))


def _softmax(ctx: Context, node: Node) -> None:
    shape = ctx.shape(node.input(0))
    rank = len(shape)
    old = ctx.net.opset < 13
    axis = int(node.get("axis", 1 if old else -1)) % max(rank, 1)
    if old and any(dim != 1 for dim in shape[axis + 1 :]):
        raise Refused("softmax over several dimensions")
    forms = [form for form in (NCHW, NHWC, TOKENS, NCW, ROWS) if form[2] == axis and max(f or 0 for f in form) < rank]
    form = next((form for form in forms if form_of_shape(form, shape)), None)
    if form is None:
        raise Refused("softmax over other dimensions than the channels")
    x = ctx.map(node.input(0), form)
    ctx.emit(Softmax(name=ctx.name(node), x=x, y=ctx.result(node, form)))


_BINARY = ("Add", "Div", "Max", "Min", "Mul", "Pow", "Sub")
_UNARY = (*functions.PLAIN, *functions.SHAPED, "Clip")


def _sum(ctx: Context, node: Node) -> None:
    """Translate a sum of two; longer ones are written as additions before they are quantized."""
    added = Node(op_type="Add", inputs=node.inputs, outputs=node.outputs, name=node.name)
    _binary(ctx, added)


TRANSLATORS: dict[str, Translator] = {
    **dict.fromkeys(_UNARY, functions.translate),
    **dict.fromkeys(_BINARY, _binary),
    "Sum": _sum,
    "Softmax": _softmax,
}
