"""Moves between maps that hold the same elements: slices, joined along another dimension.

Heads of attention lie side by side in the channels and become lines of a map, or the other way round; lines are laid
end to end, or a long line is cut into several.
"""

from chanzi.frontend.context import Context
from chanzi.frontend.layout import Form, Refused, View, form_of_shape
from chanzi.graph.ops import Concat, Slice, Tensor

MOST_PARTS = 64
Groups = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def _present(view: View, dims: tuple[int, ...], order: tuple[int, ...]) -> Groups:
    """Return which dims make up height, width and channels of the tensor as it is."""
    groups: list[tuple[int, ...]] = []
    at = 0
    for size in view.tensor.shape:
        start, product = at, 1
        while product < size and at < len(order):
            product *= dims[order[at]]
            at += 1
        if product != size:
            raise Refused("a reshape across the map's dimensions moves bytes about")
        groups.append(order[start:at])
    return groups[0], groups[1], groups[2]


def _plan(now: Groups, then: Groups) -> tuple[int, int]:
    """Return (dimension to slice, dimension to join along)."""
    (h, w, c), (new_h, new_w, new_c) = now, then
    if not h and new_w == w and new_h + new_c == c:
        return 2, 0
    if not new_h and new_w == w and h + c == new_c:
        return 0, 2
    if not new_h and new_c == c and h + w == new_w:
        return 0, 1
    if not h and new_c == c and new_h + new_w == w:
        return 1, 0
    raise Refused("a transpose moves bytes about")


def moved(ctx: Context, view: View, form: Form) -> Tensor:
    """Return the map of a view in this form, by slices joined anew.

    Raises
    ------
    Refused
        It would take more than that.
    """
    shape = form_of_shape(form, view.shape)
    if shape is None:
        raise Refused(f"its shape {list(view.shape)} is no map of one frame")
    dims, order, runs = view.refined()
    wanted = [tuple(runs[axis]) if axis is not None else () for axis in form]
    x = view.tensor
    source, target = _plan(_present(view, dims, order), (wanted[0], wanted[1], wanted[2]))
    count = x.shape[0] if source == 0 else shape[0]
    if count > MOST_PARTS:
        raise Refused(f"its input would have to be moved from {x.shape} to {shape}, in {count} parts")
    size = x.shape[source] // count
    parts = []
    for i in range(count):
        low, high = [0, 0, 0], list(x.shape)
        low[source], high[source] = i * size, (i + 1) * size
        extent = (high[0] - low[0], high[1] - low[1], high[2] - low[2])
        part = ctx.tensor(f"{x.name}/part", extent, x.quant)
        name = ctx.unique(f"{x.name}/slice")
        ctx.emit(Slice(name=name, x=x, y=part, starts=(low[0], low[1], low[2]), ends=(high[0], high[1], high[2])))
        parts.append(part)
    y = ctx.tensor(f"{x.name}/moved", shape, x.quant)
    name = ctx.unique(f"{x.name}/join")
    ctx.emit(Concat(name=name, xs=tuple(parts), y=y, axis=target, tables=(None,) * count))
    return y
