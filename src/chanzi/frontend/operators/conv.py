"""Convolutions, one- and two-dimensional, grouped and transposed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chanzi.frontend.context import Context, Translator
from chanzi.frontend.layout import NCHW, NCW, Form, Refused
from chanzi.frontend.network import Node
from chanzi.frontend.qdq import Stored
from chanzi.graph.ops import Conv, IntArray, Quant

LARGEST_STEP = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A sliding window in two dimensions; pads are (top, left, bottom, right)."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]


def form_of(rank: int) -> Form:
    """Return the form of a convolution's input of this rank."""
    if rank == 4:
        return NCHW
    if rank == 3:
        return NCW
    raise Refused(f"{rank - 2} spatial dimensions")


def _pair(values: list[int]) -> tuple[int, int]:
    return (1, values[0]) if len(values) == 1 else (values[0], values[1])


def window_of(node: Node, kernel: list[int], sizes: list[int]) -> Window:
    """Return the window of a convolution or pooling node over spatial `sizes`, pads worked out."""
    n = len(kernel)
    strides = [int(v) for v in node.get("strides", [1] * n)]
    dilations = [int(v) for v in node.get("dilations", [1] * n)]
    pads = [int(v) for v in node.get("pads", [0] * 2 * n)]
    auto = node.get("auto_pad", "NOTSET")
    if auto == "VALID":
        pads = [0] * 2 * n
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = [0] * 2 * n
        for i, size in enumerate(sizes):
            reach = (kernel[i] - 1) * dilations[i] + 1
            missing = max(0, (-(-size // strides[i]) - 1) * strides[i] + reach - size)
            before = missing // 2 if auto == "SAME_UPPER" else missing - missing // 2
            pads[i], pads[i + n] = before, missing - before
    if len(strides) != n or len(dilations) != n or len(pads) != 2 * n or min([*strides, *dilations, *kernel]) < 1:
        raise Refused("attributes that do not fit its kernel")
    if min(pads) < 0:
        raise Refused("negative padding")
    two = (0, pads[0], 0, pads[1]) if n == 1 else (pads[0], pads[1], pads[2], pads[3])
    if max([*strides, *dilations, *kernel, *(abs(pad) for pad in pads)]) > LARGEST_STEP:
        raise Refused("a window larger than any map")
    return Window(kernel=_pair(kernel), strides=_pair(strides), dilations=_pair(dilations), pads=two)


def weights_of(ctx: Context, name: str) -> Stored:
    """Return quantized constant weights of 8 bits."""
    stored = ctx.stored.get(name)
    if stored is None:
        raise Refused("its weights are not quantized constants")
    if stored.values.dtype not in (np.int8, np.uint8):
        raise Refused(f"weights of {stored.values.dtype}")
    return stored


def bias_of(ctx: Context, name: str, x: Quant, scale: npt.NDArray[np.float32]) -> IntArray | None:
    """Return the bias as integers in units of input scale times weight scale."""
    if not name:
        return None
    stored = ctx.stored.get(name)
    if stored is not None and stored.values.dtype == np.int32 and not stored.zero.any():
        unit = np.float32(x.scale) * scale
        if stored.values.size == scale.size and np.allclose(stored.scale, unit, rtol=1e-4, atol=0):
            return np.ascontiguousarray(stored.values.reshape(-1), np.int32)
    floats = np.asarray(ctx.constant(name), np.float64).reshape(-1)
    if floats.size != scale.size:
        raise Refused("a bias that does not fit its outputs")
    units = np.rint(floats / (np.float64(x.scale) * scale.astype(np.float64)))
    if not np.all(np.abs(units) < 2**31):
        raise Refused("a bias beyond 32 bits")
    return units.astype(np.int32)


def _conv(ctx: Context, node: Node) -> None:
    stored = weights_of(ctx, node.input(1))
    form = form_of(len(ctx.shape(node.input(0))))
    x = ctx.map(node.input(0), form)
    weight = stored.values
    if weight.ndim == 3:
        weight = weight[:, :, None, :]
    groups = int(node.get("group", 1))
    out, inner, *kernel = weight.shape
    if groups < 1 or inner * groups != x.shape[2] or out % groups:
        raise Refused("weights that do not fit its input")
    sizes = list(x.shape[:2]) if form == NCHW else [x.shape[1]]
    window = window_of(node, kernel if form == NCHW else kernel[1:], sizes)
    scale = stored.per(0)
    ctx.emit(
        Conv(
            name=ctx.name(node),
            x=x,
            y=ctx.result(node, form),
            weight=np.ascontiguousarray(weight.transpose(0, 2, 3, 1)),
            weight_scale=scale,
            weight_zero=stored.one_zero,
            bias=bias_of(ctx, node.input(2), x.quant, scale),
            strides=window.strides,
            pads=window.pads,
            dilations=window.dilations,
            groups=groups,
        )
    )


def _transposed(ctx: Context, node: Node) -> None:
    stored = weights_of(ctx, node.input(1))
    form = form_of(len(ctx.shape(node.input(0))))
    x = ctx.map(node.input(0), form)
    weight = stored.values if stored.values.ndim == 4 else stored.values[:, :, None, :]
    groups = int(node.get("group", 1))
    inner, per_group, kh, kw = weight.shape
    if inner != x.shape[2] or groups < 1 or inner % groups:
        raise Refused("weights that do not fit its input")
    out = per_group * groups
    if groups > 1 and stored.axis is not None and stored.axis != 0:
        raise Refused("a grouped transposed convolution with scales per output")
    scale = stored.per(1) if groups == 1 else np.full(out, stored.scale[0], np.float32)
    if groups > 1 and stored.scale.size > 1:
        raise Refused("a grouped transposed convolution with scales per input")
    turned = weight.reshape(groups, inner // groups, per_group, kh, kw).transpose(0, 2, 3, 4, 1)
    y = ctx.result(node, form)
    n = 2 if form == NCHW else 1
    strides = _pair([int(v) for v in node.get("strides", [1] * n)])
    if max(strides) > LARGEST_STEP:
        raise Refused("a window larger than any map")
    dilations = _pair([int(v) for v in node.get("dilations", [1] * n)])
    ctx.emit(
        Conv(
            name=ctx.name(node),
            x=x,
            y=y,
            weight=np.ascontiguousarray(turned.reshape(out, kh, kw, inner // groups)),
            weight_scale=scale,
            weight_zero=stored.one_zero,
            bias=bias_of(ctx, node.input(2), x.quant, scale),
            strides=strides,
            pads=_transposed_pads(node, (kh, kw), strides, dilations, x.shape[:2], y.shape[:2], n),
            dilations=dilations,
            groups=groups,
            transposed=True,
        )
    )


def _transposed_pads(
    node: Node,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    x: tuple[int, int],
    y: tuple[int, int],
    n: int,
) -> tuple[int, int, int, int]:
    """Return the pads at the start as ONNX has them, those at the end from the sizes."""
    given = [int(v) for v in node.get("pads", [0] * 2 * n)]
    auto = node.get("auto_pad", "NOTSET")
    extra = [int(v) for v in node.get("output_padding", [0] * n)]
    begin, end = [], []
    for i in (0, 1):
        whole = (x[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1
        axis = i - (2 - n)
        more = extra[axis] if axis >= 0 and len(extra) == n else 0
        total = whole + more - y[i]
        if auto in ("SAME_UPPER", "SAME_LOWER") or (node.get("output_shape") and auto != "VALID"):
            total = max(total, 0)
            before = total // 2 if auto != "SAME_LOWER" else total - total // 2
            if auto == "NOTSET":
                before = total - total // 2
        else:
            before = given[axis] if axis >= 0 and len(given) == 2 * n and auto != "VALID" else 0
        begin.append(before)
        end.append(whole - before - y[i])
    if min(begin) < 0:
        raise Refused("negative padding")
    return begin[0], begin[1], end[0], end[1]


TRANSLATORS: dict[str, Translator] = {"Conv": _conv, "ConvTranspose": _transposed}
