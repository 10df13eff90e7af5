"""A factor and a summand for each channel, exactly: a depthwise convolution of one pixel.

A single weight is exact in 8 bits whatever it is: 127 steps of a scale of its own.
"""

import numpy as np
import numpy.typing as npt

from chanzi.frontend.context import Context, Translator
from chanzi.frontend.layout import NCHW, NCW, Form, Refused
from chanzi.frontend.network import Node
from chanzi.frontend.operators import functions
from chanzi.graph.ops import Binary, Conv, Lookup, Quant, Tensor
from chanzi.numerics import tables

_STEPS = 127
_SMALLEST = 1e-30


def scaled(
    ctx: Context, node: Node, x: Tensor, y: Tensor, factor: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]
) -> None:
    """Emit ``y = factor * x + shift`` of each channel."""
    channels = x.shape[2]
    factor, shift = (np.broadcast_to(v.reshape(-1), (channels,)).astype(np.float64) for v in (factor, shift))
    size = np.abs(factor)
    weight = np.where(size < _SMALLEST, 0, np.sign(factor) * _STEPS).astype(np.int8)
    # where there is no factor, the unit only has to resolve the summand
    scale = np.where(size < _SMALLEST, y.quant.scale / x.quant.scale / 256, size / _STEPS).astype(np.float32)
    bias = np.rint(shift / (np.float64(x.quant.scale) * scale))
    if not np.all(np.isfinite(bias)) or np.abs(bias).max(initial=0) >= 2**30:
        raise Refused("a summand beyond what 32 bits can hold")
    ctx.emit(
        Conv(
            name=ctx.name(node),
            x=x,
            y=y,
            weight=weight.reshape(-1, 1, 1, 1),
            weight_scale=scale,
            bias=bias.astype(np.int32),
            groups=channels,
        )
    )


def _form(ctx: Context, name: str) -> Form:
    rank = len(ctx.shape(name))
    if rank not in (3, 4):
        raise Refused("no map")
    return NCHW if rank == 4 else NCW


def per_channel(value: npt.NDArray[np.generic], form: Form, rank: int) -> npt.NDArray[np.float64]:
    """Return a constant as a vector of channels."""
    if value.ndim > rank:
        raise Refused("a constant larger than the map")
    whole = value.reshape((1,) * (rank - value.ndim) + value.shape)
    if any(dim != 1 for axis, dim in enumerate(whole.shape) if axis != form[2]):
        raise Refused("a constant that is not quantized and differs within a channel")
    return whole.reshape(-1).astype(np.float64)


def with_constant(ctx: Context, node: Node, x: str, other: str) -> None:
    """Translate Add, Sub, Mul and Div with a number for each channel."""
    view = ctx.view(x)
    form = view.form()
    if form is None or ctx.shape(node.outputs[0]) != view.shape:
        raise Refused("a constant and a map that was reshaped")
    value = per_channel(ctx.constant(other), form, len(view.shape))
    one, none = np.ones(1), np.zeros(1)
    first = node.input(0) == other
    match node.op_type:
        case "Add":
            factor, shift = one, value
        case "Sub":
            factor, shift = (-one, value) if first else (one, -value)
        case "Mul":
            factor, shift = value, none
        case "Div" if not first and np.all(value):
            factor, shift = 1 / value, none
        case _:
            raise Refused("a constant for each channel")
    scaled(ctx, node, view.tensor, ctx.result(node, form), factor, shift)


def _batch_norm(ctx: Context, node: Node) -> None:
    if node.get("training_mode", 0):
        raise Refused("statistics of the frame itself")
    form = _form(ctx, node.input(0))
    gamma, beta, mean, variance = (np.asarray(ctx.constant(node.input(i)), np.float64) for i in range(1, 5))
    factor = gamma / np.sqrt(variance + node.get("epsilon", 1e-5))
    x = ctx.map(node.input(0), form)
    scaled(ctx, node, x, ctx.result(node, form), factor, beta - mean * factor)


def _parametric_relu(ctx: Context, node: Node) -> None:
    """Translate a slope for each channel: the positive part and the scaled negative part, which never meet."""
    slope = np.asarray(ctx.constant(node.input(1)))
    if slope.size == 1:
        functions.translate(ctx, node)
        return
    form = _form(ctx, node.input(0))
    slopes = per_channel(slope, form, len(ctx.shape(node.input(0))))
    x = ctx.map(node.input(0), form)
    y = ctx.result(node, form)
    positive = _part(ctx, node, x, y.quant, "positive", lambda v: np.maximum(v, np.float32(0)))
    negative = _part(ctx, node, x, x.quant, "negative", lambda v: np.minimum(v, np.float32(0)))
    tilted = ctx.tensor(f"{node.outputs[0]}/tilted", x.shape, y.quant)
    scaled(ctx, node, negative, tilted, slopes, np.zeros(1))
    ctx.emit(Binary(name=ctx.unique(f"{node.name}/join"), kind="add", a=positive, b=tilted, y=y))


def _part(ctx: Context, node: Node, x: Tensor, quant: Quant, word: str, function: functions.Function) -> Tensor:
    y = ctx.tensor(f"{node.outputs[0]}/{word}", x.shape, quant)
    table = tables.function_table(function, x.quant, quant)
    ctx.emit(Lookup(name=ctx.unique(f"{node.name}/{word}"), kind="prelu", x=x, y=y, table=table))
    return y


TRANSLATORS: dict[str, Translator] = {"BatchNormalization": _batch_norm, "PRelu": _parametric_relu}
