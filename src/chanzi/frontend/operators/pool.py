"""Maximum and average pooling, local and over the whole map."""

from chanzi.frontend.context import Context, Translator
from chanzi.frontend.layout import NCHW, Form, Refused
from chanzi.frontend.network import Node
from chanzi.frontend.operators.conv import form_of, window_of
from chanzi.graph.ops import Pool


def _reach(size: int, out: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Return the padding at the end that the last window needs (ceil_mode can need more than the attribute says)."""
    return max(after, (out - 1) * stride + (kernel - 1) * dilation + 1 - before - size)


def _local(ctx: Context, node: Node) -> None:
    form = form_of(len(ctx.shape(node.input(0))))
    x = ctx.map(node.input(0), form)
    kernel = [int(v) for v in node.get("kernel_shape", [])]
    sizes = list(x.shape[:2]) if form == NCHW else [x.shape[1]]
    if len(kernel) != len(sizes):
        raise Refused("a kernel that does not fit its input")
    if len(node.outputs) > 1 and node.outputs[1]:
        raise Refused("the places of the maxima")
    window = window_of(node, kernel, sizes)
    largest = node.op_type == "MaxPool"
    y = ctx.result(node, form, x.quant if largest else None)
    count = bool(node.get("count_include_pad", 0))
    pads = list(window.pads)
    for i in (0, 1):
        pads[i + 2] = _reach(
            x.shape[i],
            y.shape[i],
            window.kernel[i],
            window.strides[i],
            window.dilations[i],
            window.pads[i],
            window.pads[i + 2],
        )
        if count and pads[i + 2] != window.pads[i + 2] and node.get("ceil_mode", 0):
            raise Refused("an average that counts padding, with ceil_mode")
        if (y.shape[i] - 1) * window.strides[i] - pads[i] >= x.shape[i]:
            raise Refused("a window outside the map")
    ctx.emit(
        Pool(
            name=ctx.name(node),
            kind="max" if largest else "avg",
            x=x,
            y=y,
            kernel=window.kernel,
            strides=window.strides,
            pads=(pads[0], pads[1], pads[2], pads[3]),
            dilations=window.dilations,
            count_include_pad=count,
        )
    )


def _everywhere(ctx: Context, node: Node) -> None:
    form = form_of(len(ctx.shape(node.input(0))))
    _whole(ctx, node, form, form, largest=node.op_type == "GlobalMaxPool")


def _whole(ctx: Context, node: Node, form: Form, out_form: Form, *, largest: bool) -> None:
    x = ctx.map(node.input(0), form)
    y = ctx.result(node, out_form, x.quant if largest else None)
    ctx.emit(Pool(name=ctx.name(node), kind="max" if largest else "avg", x=x, y=y, kernel=x.shape[:2]))


def _reduce(ctx: Context, node: Node) -> None:
    """Translate a mean or maximum over height and width, or over one of them."""
    shape = ctx.shape(node.input(0))
    given = node.get("axes")
    if given is None and node.input(1):
        given = ctx.ints(node.input(1))
    axes = {int(axis) % len(shape) for axis in given} if given else set(range(len(shape)))
    axes = {axis for axis in axes if shape[axis] != 1}
    view = ctx.view(node.input(0))
    form = view.form()
    if form is None or form[2] in axes or any(axis not in form[:2] for axis in axes):
        raise Refused("a reduction over other axes than height and width")
    largest = node.op_type == "ReduceMax"
    x = view.tensor
    kernel = (x.shape[0] if form[0] in axes else 1, x.shape[1] if form[1] in axes else 1)
    name = node.outputs[0]
    kept = tuple(1 if axis in axes else dim for axis, dim in enumerate(shape))
    quant = x.quant if largest else ctx.target(name)
    sizes = (x.shape[0] // kernel[0], x.shape[1] // kernel[1], x.shape[2])
    y = ctx.tensor(name, sizes, quant)
    ctx.views[name] = type(view).of(y, kept, form).reshaped(ctx.shape(name))
    ctx.emit(Pool(name=ctx.name(node), kind="max" if largest else "avg", x=x, y=y, kernel=kernel, strides=kernel))


TRANSLATORS: dict[str, Translator] = {
    "MaxPool": _local,
    "AveragePool": _local,
    "GlobalAveragePool": _everywhere,
    "GlobalMaxPool": _everywhere,
    "ReduceMean": _reduce,
    "ReduceMax": _reduce,
}
