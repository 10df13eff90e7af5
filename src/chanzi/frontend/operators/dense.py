"""Matrix products: with constant weights a convolution of one pixel, of two activations the array's own."""

import math

import numpy as np
import numpy.typing as npt

from chanzi.frontend.context import Context, Translator
from chanzi.frontend.layout import NHWC, ROWS, TOKENS, Form, Refused, View, form_of_shape
from chanzi.frontend.network import Node
from chanzi.frontend.operators.conv import bias_of, weights_of
from chanzi.frontend.relayout import moved
from chanzi.graph.ops import ByteArray, Conv, MatMul, Tensor

_FORMS: dict[int, Form] = {4: NHWC, 3: TOKENS, 2: ROWS}


def _gemm(ctx: Context, node: Node) -> None:
    if node.get("transA", 0):
        raise Refused("its first matrix is transposed")
    if node.input(2) and node.get("beta", 1.0) != 1.0:
        raise Refused("a factor on its bias")
    stored = weights_of(ctx, node.input(1))
    if stored.values.ndim != 2:
        raise Refused("weights that are no matrix")
    turned = bool(node.get("transB", 0))
    weight = stored.values if turned else stored.values.T
    scale = stored.per(0 if turned else 1) * np.float32(node.get("alpha", 1.0))
    _product(ctx, node, weight, scale, stored.one_zero, node.input(2))


def _matmul(ctx: Context, node: Node) -> None:
    if ctx.has(node.input(0)) and ctx.has(node.input(1)):
        _two_activations(ctx, node)
        return
    if not ctx.has(node.input(0)):
        ctx.view(node.input(0) if ctx.constant_or_none(node.input(0)) is None else node.input(1))
        raise Refused("a constant times an activation")
    stored = weights_of(ctx, node.input(1))
    if stored.values.ndim != 2:
        raise Refused("weights that are no matrix")
    _product(ctx, node, stored.values.T, stored.per(1), stored.one_zero, "")


def _product(ctx: Context, node: Node, weight: ByteArray, scale: npt.NDArray[np.float32], zero: int, bias: str) -> None:
    view = ctx.view(node.input(0))
    form = _FORMS.get(len(view.shape))
    if form is None or view.shape[-1] != weight.shape[1]:
        raise Refused(f"a product with {list(view.shape)}")
    if view.fits(form):
        x, kernel = view.tensor, (1, 1)
        laid = weight.reshape(-1, 1, 1, weight.shape[1])
    elif math.prod(view.shape[:-1]) == 1:  # a map that was flattened: the window is the whole map
        x, kernel = view.tensor, view.tensor.shape[:2]
        dims, order = view.dims, view.order
        laid = weight.reshape(-1, *dims).transpose(0, *(i + 1 for i in order)).reshape(-1, *x.shape)
    else:
        x, kernel = _moved(ctx, view, form), (1, 1)
        laid = weight.reshape(-1, 1, 1, weight.shape[1])
    integers = bias_of(ctx, bias, x.quant, scale)
    y = ctx.result(node, form)
    if kernel != (1, 1) and y.shape[:2] != (1, 1):
        raise Refused("a flattened map of several rows")
    ctx.emit(
        Conv(
            name=ctx.name(node),
            x=x,
            y=y,
            weight=np.ascontiguousarray(laid),
            weight_scale=scale,
            weight_zero=zero,
            bias=integers,
        )
    )


def _turned(form: Form) -> Form:
    return form[0], form[2], form[1]


def _moved(ctx: Context, view: View, form: Form) -> Tensor:
    """Return the map in this form, whatever it takes."""
    try:
        return ctx.as_map(view, form)
    except Refused:
        return moved(ctx, view, form)


def _second(ctx: Context, view: View, form: Form) -> tuple[Tensor, bool]:
    """Return the map of the second matrix, and whether it lies transposed there."""
    if form_of_shape(form, view.shape) is None:
        raise Refused("several frames")
    if view.fits(form):
        return view.tensor, False
    if view.fits(_turned(form)):
        return view.tensor, True
    try:
        return _moved(ctx, view, form), False
    except Refused:
        return _moved(ctx, view, _turned(form)), True


def _two_activations(ctx: Context, node: Node) -> None:
    a, b = ctx.view(node.input(0)), ctx.view(node.input(1))
    form = _FORMS.get(len(a.shape))
    if form is None or len(a.shape) != len(b.shape) or a.shape[:-2] != b.shape[:-2]:
        raise Refused("matrices that are repeated to fit each other")
    x = _moved(ctx, a, form)
    w, turned = _second(ctx, b, form)
    ctx.emit(MatMul(name=ctx.name(node), a=x, b=w, y=ctx.result(node, form), b_transposed=turned))


TRANSLATORS: dict[str, Translator] = {"Gemm": _gemm, "MatMul": _matmul}
