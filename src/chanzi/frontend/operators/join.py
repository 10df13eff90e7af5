"""Concatenation."""

from chanzi.frontend.context import Context, Translator
from chanzi.frontend.layout import Refused, form_of_shape
from chanzi.frontend.network import Node
from chanzi.graph.ops import Concat, Quant
from chanzi.numerics import tables


def _quant(ctx: Context, node: Node) -> Quant:
    try:
        return ctx.target(node.outputs[0])
    except Refused:
        quants = {ctx.view(name).tensor.quant for name in node.inputs}
        if len(quants) == 1:  # bytes are copied: exact whatever comes after
            return quants.pop()
        raise


def _concat(ctx: Context, node: Node) -> None:
    names = node.inputs
    views = [ctx.view(name) for name in names]
    shape = ctx.shape(node.outputs[0])
    axis = int(node.get("axis", 0)) % len(shape)
    if len(views) == 1:
        ctx.views[node.outputs[0]] = views[0]
        return
    forms = [view.form() for view in views]
    form = next((f for f in forms if f is not None and axis in f and form_of_shape(f, shape)), None)
    if form is None:
        raise Refused(f"it joins along axis {axis}, which is none of its maps'")
    xs = tuple(ctx.as_map(view, form) for view in views)
    y = ctx.result(node, form, _quant(ctx, node))
    requantize = tuple(None if x.quant == y.quant else tables.requantize_table(x.quant, y.quant) for x in xs)
    ctx.emit(Concat(name=ctx.name(node), xs=xs, y=y, axis=form.index(axis), tables=requantize))


TRANSLATORS: dict[str, Translator] = {"Concat": _concat}
