"""Enlarging by whole factors: nearest neighbour and linear."""

import numpy as np

from chanzi.frontend.context import Context, Translator
from chanzi.frontend.layout import NCHW, NHWC, Refused
from chanzi.frontend.network import Node
from chanzi.graph.ops import Resize

LARGEST_WEIGHT = 255


def _coordinates(mode: str, size: int, factor: int) -> np.ndarray:  # type: ignore[type-arg]
    """Return where each output lies in the input, in float32."""
    i, f = np.arange(size * factor, dtype=np.float32), np.float32(factor)
    half = np.float32(0.5)
    if mode in ("half_pixel", "half_pixel_symmetric") or (mode == "pytorch_half_pixel" and size * factor > 1):
        return (i + half) / f - half
    if mode == "asymmetric":
        return i / f
    if mode == "tf_half_pixel_for_nn":
        return (i + half) / f
    raise Refused(f"resizing with {mode}")


def _rounded(how: str, x: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    if how == "floor":
        return np.floor(x)
    if how == "ceil":
        return np.ceil(x)
    return np.ceil(x - np.float32(0.5)) if how == "round_prefer_floor" else np.floor(x + np.float32(0.5))


def _resize(ctx: Context, node: Node) -> None:
    name = node.outputs[0]
    before, after = ctx.shape(node.input(0)), ctx.shape(name)
    view = ctx.view(node.input(0))
    if before == after:
        ctx.views[name] = view
        return
    form = next((form for form in (NCHW, NHWC) if len(before) == 4 and view.fits(form)), None)
    if form is None:
        raise Refused("it works on a map that was reshaped or transposed")
    x = view.tensor
    factors = [1, 1, 1]
    for place, axis in enumerate(form):
        assert axis is not None
        if after[axis] % before[axis]:
            raise Refused(f"resizing from {before[axis]} to {after[axis]}, no whole factor")
        factors[place] = after[axis] // before[axis]
    if factors[2] != 1:
        raise Refused("resizing of channels")
    _check_scales(ctx, node, before, after)
    mode = node.get("mode", "nearest")
    coordinates = node.get("coordinate_transformation_mode", "half_pixel")
    if node.op_type == "Upsample" or (ctx.net.opset < 11 and node.op_type == "Resize"):
        coordinates = "asymmetric"
    if node.get("antialias", 0):
        raise Refused("resizing with antialias")
    pair = (factors[0], factors[1])
    if mode == "nearest":
        how = "floor" if coordinates == "asymmetric" and "nearest_mode" not in node.attributes else "round_prefer_floor"
        if ctx.net.opset >= 11 and node.op_type == "Resize":
            how = node.get("nearest_mode", "round_prefer_floor")
        for place in (0, 1):
            at = np.clip(_rounded(how, _coordinates(coordinates, x.shape[place], pair[place])), 0, x.shape[place] - 1)
            if not np.array_equal(at, np.arange(at.size) // pair[place]):
                raise Refused(f"nearest neighbours by {coordinates} and {how}")
        y = ctx.result(node, form, x.quant)
        ctx.emit(Resize(name=ctx.name(node), kind="nearest", x=x, y=y, factors=pair))
        return
    if mode not in ("linear", "bilinear"):
        raise Refused(f"resizing in mode '{mode}'")
    half = coordinates in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
    if not half and coordinates != "asymmetric":
        raise Refused(f"resizing with {coordinates}")
    if pair[0] * pair[1] * (4 if half else 1) > LARGEST_WEIGHT:
        raise Refused(f"linear resizing by {pair}")
    y = ctx.result(node, form)
    ctx.emit(Resize(name=ctx.name(node), kind="linear", x=x, y=y, factors=pair, half_pixel=half))


def _check_scales(ctx: Context, node: Node, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    index = 1 if node.op_type == "Upsample" or ctx.net.opset < 11 else 2
    given = node.get("scales")
    if given is None and node.input(index):
        given = np.asarray(ctx.constant(node.input(index))).reshape(-1)
    if given is None or not len(given):
        return
    axes = [axis % 4 for axis in node.get("axes", range(4))]
    exact = [after[axis] / before[axis] for axis in axes]
    if len(given) != len(exact) or not np.allclose(given, exact, rtol=1e-6):
        raise Refused("resizing by no whole factor")


TRANSLATORS: dict[str, Translator] = {"Resize": _resize, "Upsample": _resize}
