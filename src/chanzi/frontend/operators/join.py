"""Concatenation of maps and constants."""

import numpy as np

from chanzi.frontend.context import Context, Translator
from chanzi.frontend.layout import Form, Refused, form_of_shape
from chanzi.frontend.network import Node
from chanzi.graph.ops import Concat, Const, Quant, Tensor
from chanzi.numerics import tables


def _quant(ctx: Context, node: Node) -> Quant:
    try:
        return ctx.target(node.outputs[0])
    except Refused:
        constant = any(not ctx.has(name) for name in node.inputs)
        quants = {ctx.view(name).tensor.quant for name in node.inputs if ctx.has(name)}
        if len(quants) == 1 and not constant:  # bytes are copied: exact whatever comes after
            return quants.pop()
        raise


def _filler(ctx: Context, node: Node, name: str, form: Form, quant: Quant) -> Tensor:
    """Return a constant part, in the bytes of the result."""
    value = np.asarray(ctx.constant(name))
    sizes = form_of_shape(form, value.shape)
    if value.dtype != np.float32 or sizes is None:
        raise Refused("a constant part that is no map")
    axes = [axis for axis in form if axis is not None]
    rest = [axis for axis in range(value.ndim) if axis not in axes]
    laid = value.astype(np.float32).transpose(rest + axes).reshape(sizes)
    stored = tables.quantize(laid, quant).astype(np.int8 if quant.dtype == "int8" else np.uint8)
    tensor = ctx.tensor(name, sizes, quant)
    ctx.emit(Const(name=ctx.unique(f"{node.name}/constant"), y=tensor, value=np.ascontiguousarray(stored)))
    return tensor


def _concat(ctx: Context, node: Node) -> None:
    shape = ctx.shape(node.outputs[0])
    axis = int(node.get("axis", 0)) % len(shape)
    for name in node.inputs:
        if not ctx.has(name) and ctx.constant_or_none(name) is None:
            ctx.view(name)
    if len(node.inputs) == 1:
        ctx.views[node.outputs[0]] = ctx.view(node.inputs[0])
        return
    forms = [ctx.view(name).form() for name in node.inputs if ctx.has(name)]
    form = next((f for f in forms if f is not None and axis in f and form_of_shape(f, shape)), None)
    if form is None:
        raise Refused(f"it joins along axis {axis}, which is none of its maps'")
    quant = _quant(ctx, node)
    xs = tuple(ctx.map(name, form) if ctx.has(name) else _filler(ctx, node, name, form, quant) for name in node.inputs)
    y = ctx.result(node, form, quant)
    requantize = tuple(None if x.quant == quant else tables.requantize_table(x.quant, quant) for x in xs)
    ctx.emit(Concat(name=ctx.name(node), xs=xs, y=y, axis=form.index(axis), tables=requantize))


TRANSLATORS: dict[str, Translator] = {"Concat": _concat}
