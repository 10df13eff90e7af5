"""What moves or renames values without computing: reshapes, transposes, slices, padding."""

import numpy as np

from chanzi.frontend.context import Context, Translator
from chanzi.frontend.layout import Form, Refused, View, form_of_shape
from chanzi.frontend.network import Node
from chanzi.graph.ops import Concat, Const, Pad, Pool, Slice, Tensor

MOST_LINES = 16
"""Padding by mirroring copies line by line."""


def _reshape(ctx: Context, node: Node) -> None:
    name = node.outputs[0]
    ctx.views[name] = ctx.view(node.input(0)).reshaped(ctx.shape(name))


def _same(ctx: Context, node: Node) -> None:
    """Dropout, Identity, and what else changes nothing."""
    if any(out and (ctx.consumers.get(out) or out in ctx.net.outputs) for out in node.outputs[1:]):
        raise Refused("its mask")
    name = node.outputs[0]
    view = ctx.view(node.input(0))
    if ctx.net.info(name).dtype != ctx.net.info(node.input(0)).dtype:
        raise Refused("another type")
    if ctx.shape(name) != view.shape:
        raise Refused("its input is repeated")
    ctx.views[name] = view


def _transpose(ctx: Context, node: Node) -> None:
    view = ctx.view(node.input(0))
    perm = [int(axis) for axis in node.get("perm", range(len(view.shape))[::-1])]
    if sorted(perm) != list(range(len(view.shape))):
        raise Refused("a permutation that does not fit its input")
    ctx.views[node.outputs[0]] = view.transposed(perm)


def usable_form(view: View, axes: set[int]) -> Form:
    """Return a form in which the view is a map and `axes`, those that change, are its dimensions."""
    form = view.form()
    if form is None:
        raise Refused("it works on a map that was reshaped or transposed")
    missing = axes - {axis for axis in form if axis is not None}
    if missing:
        raise Refused(f"it works on axis {min(missing)}, which is none of the map's")
    return form


def cut(ctx: Context, name: str, view: View, starts: dict[int, int], ends: dict[int, int]) -> None:
    """Make `name` the part of the view between `starts` and `ends`, by axis."""
    axes = {axis for axis, dim in enumerate(view.shape) if (starts.get(axis, 0), ends.get(axis, dim)) != (0, dim)}
    if not axes:
        ctx.views[name] = view
        return
    form = usable_form(view, axes)
    x = view.tensor
    low, high = [0, 0, 0], list(x.shape)
    for place, axis in enumerate(form):
        if axis in axes:
            low[place], high[place] = starts.get(axis, 0), ends.get(axis, x.shape[place])
    if any(b <= a for a, b in zip(low, high, strict=True)):
        raise Refused("nothing is left of its input")
    y = ctx.tensor(name, (high[0] - low[0], high[1] - low[1], high[2] - low[2]), x.quant)
    shape = tuple(ends.get(a, d) - starts.get(a, 0) if a in axes else d for a, d in enumerate(view.shape))
    ctx.emit(
        Slice(
            name=ctx.unique(f"{name}/slice"),
            x=x,
            y=y,
            starts=(low[0], low[1], low[2]),
            ends=(high[0], high[1], high[2]),
        )
    )
    ctx.views[name] = View.of(y, shape, form)


def _slice(ctx: Context, node: Node) -> None:
    view = ctx.view(node.input(0))
    if "starts" in node.attributes:
        starts, ends = list(node.get("starts")), list(node.get("ends"))
        axes, steps = list(node.get("axes", range(len(starts)))), [1] * len(starts)
    else:
        starts, ends = ctx.ints(node.input(1)), ctx.ints(node.input(2))
        axes = ctx.ints(node.input(3)) if node.input(3) else list(range(len(starts)))
        steps = ctx.ints(node.input(4)) if node.input(4) else [1] * len(starts)
    low, high, stride = {}, {}, {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis = axis % len(view.shape)
        if step < 1:
            raise Refused(f"a step of {step}")
        low[axis], high[axis], _ = slice(start, end).indices(view.shape[axis])
        if step > 1:
            stride[axis] = step
    cut(ctx, node.outputs[0], view, low, high)
    if stride:
        _every(ctx, node, stride)


def _every(ctx: Context, node: Node, stride: dict[int, int]) -> None:
    """Keep every n-th line or column: the maximum of one."""
    name = node.outputs[0]
    view = ctx.views[name]
    form = usable_form(view, set(stride))
    if form[2] in stride:
        raise Refused("a step along the channels")
    x = view.tensor
    strides = (
        stride.get(form[0], 1) if form[0] is not None else 1,
        stride.get(form[1], 1) if form[1] is not None else 1,
    )
    y = ctx.tensor(name, (-(-x.shape[0] // strides[0]), -(-x.shape[1] // strides[1]), x.shape[2]), x.quant)
    ctx.put(name, y, form)
    ctx.emit(Pool(name=ctx.name(node), kind="max", x=x, y=y, kernel=(1, 1), strides=strides))


def _split(ctx: Context, node: Node) -> None:
    view = ctx.view(node.input(0))
    axis = int(node.get("axis", 0)) % len(view.shape)
    at = 0
    for name in node.outputs:
        if not name:
            raise Refused("an output that is left out")
        size = ctx.shape(name)[axis]
        cut(ctx, name, view, {axis: at}, {axis: at + size})
        at += size


def _gather(ctx: Context, node: Node) -> None:
    """Translate a run of constant indices, a slice."""
    view = ctx.view(node.input(0))
    index = np.asarray(ctx.constant(node.input(1)))
    axis = int(node.get("axis", 0)) % len(view.shape)
    flat = [int(i) % view.shape[axis] for i in index.reshape(-1)]
    if index.ndim > 1 or flat != list(range(flat[0], flat[0] + len(flat))):
        raise Refused("indices out of order")
    name = node.outputs[0]
    cut(ctx, name, view, {axis: flat[0]}, {axis: flat[0] + len(flat)})
    ctx.views[name] = ctx.views[name].reshaped(ctx.shape(name))


def _pads(ctx: Context, node: Node, rank: int) -> list[int]:
    pads = list(node.get("pads", [])) if not node.input(1) else ctx.ints(node.input(1))
    if node.input(3):
        given, pads_of = [axis % rank for axis in ctx.ints(node.input(3))], pads
        pads = [0] * 2 * rank
        for i, axis in enumerate(given):
            pads[axis], pads[axis + rank] = pads_of[i], pads_of[i + len(given)]
    if len(pads) != 2 * rank:
        raise Refused("pads that do not fit its input")
    if min(pads) < 0:
        raise Refused("negative padding")
    return [int(pad) for pad in pads]


def _fill(ctx: Context, node: Node, x: Tensor) -> int:
    """Return the stored integer of the pad value."""
    value = ctx.constant(node.input(2)) if node.input(2) else np.float32(node.get("value", 0.0))
    number = float(np.asarray(value).reshape(-1)[0]) if np.size(value) else 0.0
    stored = round(number / x.quant.scale) + x.quant.zero if np.isfinite(number) else 1 << 20
    exact = np.float32(stored - x.quant.zero) * np.float32(x.quant.scale)
    if not x.quant.qmin <= stored <= x.quant.qmax or not np.isclose(exact, number, rtol=1e-5, atol=1e-12):
        raise Refused(f"padding with {number:g}, which its scale cannot hold")
    return stored


def _pad(ctx: Context, node: Node) -> None:
    view = ctx.view(node.input(0))
    rank = len(view.shape)
    pads = _pads(ctx, node, rank)
    name = node.outputs[0]
    mode = node.get("mode", "constant")
    changed = {axis for axis in range(rank) if pads[axis] or pads[axis + rank]}
    if not changed:
        ctx.views[name] = view
        return
    form = usable_form(view, changed)
    x = view.tensor
    if mode != "constant":
        for place, axis in enumerate(form):
            if axis is not None:
                x = _mirrored(ctx, node, x, place, pads[axis], pads[axis + rank])
        ctx.put(name, x, form)
        return
    value = _fill(ctx, node, x)
    before = [0 if axis is None else pads[axis] for axis in form]
    after = [0 if axis is None else pads[axis + rank] for axis in form]
    if any(before[:2]) or any(after[:2]):
        size = (x.shape[0] + before[0] + after[0], x.shape[1] + before[1] + after[1], x.shape[2])
        y = ctx.tensor(name, size, x.quant)
        ctx.emit(Pad(name=ctx.name(node), x=x, y=y, pads=(before[0], before[1], after[0], after[1]), value=value))
        x = y
    if before[2] or after[2]:
        x = _pad_channels(ctx, node, x, before[2], after[2], value)
    if form_of_shape(form, ctx.shape(name)) != x.shape:
        raise Refused("pads that do not fit its result")
    ctx.put(name, x, form)


def _mirrored(ctx: Context, node: Node, x: Tensor, place: int, before: int, after: int) -> Tensor:
    """Pad one dimension with the lines nearest to its edges: the edge again and again, or what lies behind it."""
    if not before and not after:
        return x
    size, mode = x.shape[place], node.get("mode")
    if mode not in ("edge", "reflect") or before + after > MOST_LINES or max(before, after) >= size:
        raise Refused(f"padding of {before} and {after} in mode '{mode}'")
    first = [0] * before if mode == "edge" else list(range(before, 0, -1))
    last = [size - 1] * after if mode == "edge" else list(range(size - 2, size - 2 - after, -1))
    lines: dict[int, Tensor] = {}
    for index in dict.fromkeys([*first, *last]):
        low, high = [0, 0, 0], list(x.shape)
        low[place], high[place] = index, index + 1
        line = ctx.tensor(f"{x.name}/line", (high[0] - low[0], high[1] - low[1], high[2] - low[2]), x.quant)
        starts, ends = (low[0], low[1], low[2]), (high[0], high[1], high[2])
        ctx.emit(Slice(name=ctx.unique(f"{node.name}/line"), x=x, y=line, starts=starts, ends=ends))
        lines[index] = line
    parts = (*(lines[i] for i in first), x, *(lines[i] for i in last))
    whole = list(x.shape)
    whole[place] += before + after
    y = ctx.tensor(node.outputs[0], (whole[0], whole[1], whole[2]), x.quant)
    name = ctx.unique(f"{node.name}/join")
    ctx.emit(Concat(name=name, xs=parts, y=y, axis=place, tables=(None,) * len(parts)))
    return y


def _pad_channels(ctx: Context, node: Node, x: Tensor, before: int, after: int, value: int) -> Tensor:
    parts = [x]
    for count, first in ((before, True), (after, False)):
        if not count:
            continue
        filler = ctx.tensor(f"{node.outputs[0]}/filler", (*x.shape[:2], count), x.quant)
        constant = np.full(filler.shape, value, np.int8 if x.quant.dtype == "int8" else np.uint8)
        ctx.emit(Const(name=ctx.unique(f"{node.name}/filler"), y=filler, value=constant))
        parts = [filler, *parts] if first else [*parts, filler]
    y = ctx.tensor(node.outputs[0], (*x.shape[:2], sum(p.shape[2] for p in parts)), x.quant)
    name = ctx.unique(f"{node.name}/channels")
    ctx.emit(Concat(name=name, xs=tuple(parts), y=y, axis=2, tables=(None,) * len(parts)))
    return y


TRANSLATORS: dict[str, Translator] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("Identity", "Dropout", "Cast", "Expand", "Tile"), _same),
    "Transpose": _transpose,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Pad": _pad,
}
