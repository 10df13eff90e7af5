"""Operators that pool, cut, join, enlarge or rename maps."""

import math

import numpy as np
import onnx

from chanzi.frontend.simple.mapping import NCHW, Context, Mapped, int_list, map_axes, named
from chanzi.frontend.simple.operators_linear import _pads
from chanzi.frontend.simple.operators_point import lookup, move
from chanzi.frontend.simple.qdq import Unsupported
from chanzi.graph.ops import Concat, Pad, Permute, Pool, Resize, Slice, Softmax, Tensor
from chanzi.numerics.tables import requantize_table


def _window(size: int, kernel: int, step: int, before: int, after: int, dilation: int, ceil: bool) -> tuple[int, int]:
    """Return (outputs, padding after that makes exactly so many)."""
    reach = (kernel - 1) * dilation + 1
    span = size + before + after - reach
    out = (math.ceil(span / step) if ceil else span // step) + 1
    if ceil and (out - 1) * step >= size + before:
        out -= 1
    return out, (out - 1) * step + reach - size - before


def convert_pool(context: Context, node: onnx.NodeProto) -> None:
    """MaxPool and AveragePool."""
    network = context.network
    mapped = context.activation(node).nchw()
    x = mapped.tensor
    a = network.attributes(node)
    kernel = int_list(a["kernel_shape"])
    if len(kernel) != 2:
        raise Unsupported(f"a window of rank {len(kernel)}")
    if len(node.output) > 1 and node.output[1]:
        raise Unsupported("its indices are read")
    strides = int_list(a.get("strides", [1, 1]))
    dilations = int_list(a.get("dilations", [1, 1]))
    pads = _pads(a, kernel, x.shape[:2], strides, dilations)
    ceil = bool(a.get("ceil_mode", 0))
    height, bottom = _window(x.shape[0], kernel[0], strides[0], pads[0], pads[2], dilations[0], ceil)
    width, right = _window(x.shape[1], kernel[1], strides[1], pads[1], pads[3], dilations[1], ceil)
    average = node.op_type == "AveragePool"
    include = bool(a.get("count_include_pad", 0))
    if average and include and ceil:
        raise Unsupported("ceil_mode with count_include_pad")
    _pool(
        context,
        node,
        mapped,
        "avg" if average else "max",
        (height, width),
        kernel,
        strides,
        (pads[0], pads[1], bottom, right),
        dilations,
        include,
    )


def _pool(
    context: Context,
    node: onnx.NodeProto,
    mapped: Mapped,
    kind: str,
    size: tuple[int, int],
    kernel: list[int],
    strides: list[int],
    pads: tuple[int, int, int, int],
    dilations: list[int],
    include: bool,
) -> None:
    x = mapped.tensor
    q = context.quantizer(node)
    out_shape = context.network.shape(node.output[0])
    perm = mapped.perm if len(out_shape) == len(mapped.shape) else tuple(range(len(out_shape)))
    y = context.result(q, (*size, x.shape[2]), perm)
    same = context.same_quant(x, q)
    target = y if kind == "avg" or same else Tensor(name=f"{y.name}#pooled", shape=y.shape, quant=x.quant)
    context.ops.append(
        Pool(
            name=named(node),
            kind="avg" if kind == "avg" else "max",
            x=x,
            y=target,
            kernel=(kernel[0], kernel[1]),
            strides=(strides[0], strides[1]),
            pads=pads,
            dilations=(dilations[0], dilations[1]),
            count_include_pad=include,
        )
    )
    if target is not y:
        from chanzi.graph.ops import Lookup

        table = requantize_table(x.quant, y.quant)
        context.ops.append(Lookup(name=f"{named(node)} requantize", kind="requantize", x=target, y=y, table=table))


def convert_global_pool(context: Context, node: onnx.NodeProto) -> None:
    """GlobalAveragePool, GlobalMaxPool, and ReduceMean over height and width."""
    network = context.network
    mapped = context.activation(node).nchw()
    if node.op_type.startswith("Reduce"):
        a = network.attributes(node)
        axes = a.get("axes")
        if axes is None and len(node.input) > 1 and node.input[1]:
            axes = network.array(node.input[1])
        if axes is None or sorted(i % 4 for i in int_list(axes)) != [2, 3]:
            raise Unsupported("a mean over other axes than height and width")
    x = mapped.tensor
    kind = "max" if "Max" in node.op_type else "avg"
    _pool(context, node, mapped, kind, (1, 1), list(x.shape[:2]), [1, 1], (0, 0, 0, 0), [1, 1], False)


def convert_concat(context: Context, node: onnx.NodeProto) -> None:
    """Concat of maps that lie alike."""
    network = context.network
    xs = [context.activation(node, i).plain() for i in range(len(node.input))]
    first = xs[0]
    if any(m.perm != first.perm or len(m.shape) != len(first.shape) for m in xs):
        raise Unsupported("operands laid out differently")
    axis = int(network.attributes(node)["axis"]) % len(first.shape)
    where = map_axes(first).get(axis)
    if where is None:
        raise Unsupported("along the batch")
    q = context.quantizer(node)
    quant = network.quant(q)
    shape = list(first.tensor.shape)
    shape[where] = sum(m.tensor.shape[where] for m in xs)
    y = context.result(q, (shape[0], shape[1], shape[2]), first.perm)
    tables = tuple(None if m.tensor.quant == quant else requantize_table(m.tensor.quant, quant) for m in xs)
    context.ops.append(Concat(name=named(node), xs=tuple(m.tensor for m in xs), y=y, axis=where, tables=tables))


def _slice(context: Context, name: str, q: onnx.NodeProto, x: Mapped, begins: dict[int, tuple[int, int]]) -> None:
    """Emit the slice of `x` (map axis -> (start, end)) that `q` stores."""
    starts, ends = [0, 0, 0], list(x.tensor.shape)
    for axis, (start, end) in begins.items():
        starts[axis], ends[axis] = start, end
    shape = tuple(e - s for s, e in zip(starts, ends, strict=True))
    if min(shape) <= 0:
        raise Unsupported("an empty slice")
    quant = context.network.quant(q)
    y = context.result(q, (shape[0], shape[1], shape[2]), x.perm)
    same = quant == x.tensor.quant
    target = y if same else Tensor(name=f"{y.name}#cut", shape=y.shape, quant=x.tensor.quant)
    context.ops.append(
        Slice(
            name=name,
            x=x.tensor,
            y=target,
            starts=(starts[0], starts[1], starts[2]),
            ends=(ends[0], ends[1], ends[2]),
        )
    )
    if not same:
        from chanzi.graph.ops import Lookup

        table = requantize_table(x.tensor.quant, quant)
        context.ops.append(Lookup(name=f"{name} requantize", kind="requantize", x=target, y=y, table=table))


def convert_slice(context: Context, node: onnx.NodeProto) -> None:
    """Slice with steps of 1."""
    network = context.network
    mapped = context.activation(node).plain()
    a = network.attributes(node)
    if "starts" in a:
        starts, ends, axes, steps = a["starts"], a["ends"], a.get("axes"), None
    else:
        rest = [network.array(name) if name else None for name in node.input[1:]]
        rest += [None] * (4 - len(rest))
        starts, ends, axes, steps = rest
    if starts is None or ends is None:
        raise Unsupported("computed bounds")
    begin, end = int_list(starts), int_list(ends)
    along = int_list(axes) if axes is not None else list(range(len(begin)))
    if steps is not None and set(int_list(steps)) - {1}:
        raise Unsupported("steps other than 1")
    where = map_axes(mapped)
    cut: dict[int, tuple[int, int]] = {}
    for axis, s, e in zip(along, begin, end, strict=True):
        axis %= len(mapped.shape)
        size = mapped.shape[axis]
        s, e = (min(max(v + size if v < 0 else v, 0), size) for v in (s, e))
        if axis not in where:
            if (s, e) != (0, size):
                raise Unsupported("along the batch")
            continue
        cut[where[axis]] = (s, e)
    _slice(context, named(node), context.quantizer(node), mapped, cut)


def convert_split(context: Context, node: onnx.NodeProto) -> None:
    """Split, as one slice for each result."""
    network = context.network
    mapped = context.activation(node).plain()
    a = network.attributes(node)
    axis = int(a.get("axis", 0)) % len(mapped.shape)
    where = map_axes(mapped).get(axis)
    if where is None:
        raise Unsupported("along the batch")
    if "split" in a:
        sizes = int_list(a["split"])
    elif len(node.input) > 1 and node.input[1]:
        sizes = int_list(network.array(node.input[1]))
    else:
        n, total = len(node.output), mapped.shape[axis]
        step = -(-total // n)
        sizes = [min(step, total - i * step) for i in range(n)]
    at = 0
    context.covered.append(node)
    for i, (name, size) in enumerate(zip(node.output, sizes, strict=True)):
        q = network.only_quantize(name)
        context.covered.append(q)
        _slice(context, f"{named(node)}.{i}", q, mapped, {where: (at, at + size)})
        at += size


def convert_pad(context: Context, node: onnx.NodeProto) -> None:
    """Constant padding of height and width."""
    network = context.network
    mapped = context.activation(node).nchw()
    a = network.attributes(node)
    if a.get("mode", "constant") != "constant":
        raise Unsupported(f"{a['mode']} padding")
    pads = int_list(a["pads"]) if "pads" in a else int_list(network.array(node.input[1]))
    if len(node.input) > 3 and node.input[3]:
        raise Unsupported("pads of chosen axes")
    if len(pads) != 8 or any(pads[i] for i in (0, 1, 4, 5)) or min(pads) < 0:
        raise Unsupported("padding of other axes than height and width, or negative")
    real = float(a.get("value", 0.0))
    if len(node.input) > 2 and node.input[2]:
        value = network.constant(node.input[2])
        if value is None:
            raise Unsupported("a computed pad value")
        real = float(value.reshape(-1)[0])
    x = mapped.tensor
    q = context.quantizer(node)
    if not context.same_quant(x, q):
        raise Unsupported("a result quantized otherwise")
    steps = np.rint(np.float32(real) / np.float32(x.quant.scale)) + x.quant.zero
    stored = int(np.clip(steps, x.quant.qmin, x.quant.qmax))
    top, left, bottom, right = pads[2], pads[3], pads[6], pads[7]
    y = context.result(q, (x.shape[0] + top + bottom, x.shape[1] + left + right, x.shape[2]), NCHW)
    context.ops.append(Pad(name=named(node), x=x, y=y, pads=(top, left, bottom, right), value=stored))


def convert_resize(context: Context, node: onnx.NodeProto) -> None:
    """Resize and Upsample by whole factors: nearest, or linear with half-pixel or asymmetric coordinates."""
    network = context.network
    mapped = context.activation(node).nchw()
    x = mapped.tensor
    a = network.attributes(node)
    out = network.shape(node.output[0])
    if out[1] != x.shape[2]:
        raise Unsupported("it resizes channels")
    fy, fx = out[2] / x.shape[0], out[3] / x.shape[1]
    if fy != int(fy) or fx != int(fx):
        raise Unsupported(f"factors {fy:g} x {fx:g} that are not whole")
    mode = a.get("mode", "nearest")
    upsample = node.op_type == "Upsample"
    coordinates = a.get("coordinate_transformation_mode", "asymmetric" if upsample else "half_pixel")
    q = context.quantizer(node)
    quant = network.quant(q)
    y = context.result(q, (out[2], out[3], x.shape[2]), NCHW)
    if (fy, fx) == (1, 1):
        lookup(context, q, mapped, "resize", named(node), requantize_table(x.quant, quant))
        return
    if mode == "nearest":
        rounding = a.get("nearest_mode", "floor" if upsample else "round_prefer_floor")
        if not _repeats(int(fy), coordinates, rounding) or not _repeats(int(fx), coordinates, rounding):
            raise Unsupported(f"nearest with {coordinates} and {rounding}")
        table = None if quant == x.quant else requantize_table(x.quant, quant)
        kind, half = "nearest", False
    elif mode in ("linear", "bilinear"):
        if coordinates not in ("half_pixel", "pytorch_half_pixel", "asymmetric"):
            raise Unsupported(f"linear with {coordinates}")
        half, table, kind = coordinates != "asymmetric", None, "linear"
        if 4 * fy * fx > 255:
            raise Unsupported(f"linear by {fy:g} x {fx:g}")
    else:
        raise Unsupported(f"{mode} interpolation")
    context.ops.append(
        Resize(
            name=named(node),
            kind="nearest" if kind == "nearest" else "linear",
            x=x,
            y=y,
            factors=(int(fy), int(fx)),
            half_pixel=half,
            table=table,
        )
    )


def _repeats(factor: int, coordinates: str, rounding: str) -> bool:
    """Tell whether nearest resizing by `factor` repeats each element `factor` times."""
    for out in range(4 * factor):
        x = out / factor if coordinates == "asymmetric" else (out + 0.5) / factor - 0.5
        if coordinates not in ("asymmetric", "half_pixel", "pytorch_half_pixel"):
            return False
        nearest = {
            "floor": math.floor(x),
            "ceil": math.ceil(x),
            "round_prefer_floor": math.ceil(x - 0.5),
            "round_prefer_ceil": math.floor(x + 0.5),
        }.get(rounding)
        if nearest is None or max(nearest, 0) != out // factor:
            return False
    return True


def convert_softmax(context: Context, node: onnx.NodeProto) -> None:
    """Softmax over the channels of each pixel."""
    mapped = context.activation(node).plain()
    axis = int(context.network.attributes(node).get("axis", 1 if context.network.opset < 13 else -1)) % len(
        mapped.shape
    )
    if map_axes(mapped).get(axis) != 2:
        raise Unsupported("softmax over another axis than the channels")
    if context.network.opset < 13 and axis != len(mapped.shape) - 1 and mapped.tensor.shape[:2] != (1, 1):
        raise Unsupported("softmax over several axes")
    q = context.quantizer(node)
    y = context.result(q, mapped.tensor.shape, mapped.perm)
    context.ops.append(Softmax(name=named(node), x=mapped.tensor, y=y))


def convert_transpose(context: Context, node: onnx.NodeProto) -> None:
    """Transpose: the bytes stay, the axes get other names."""
    mapped = context.activation(node)
    rank = len(mapped.shape)
    order = int_list(context.network.attributes(node).get("perm", list(range(rank))[::-1]))
    shape = tuple(mapped.shape[i] for i in order)
    if mapped.split:
        if order != [0, 2, 1, 3, 4]:
            raise Unsupported("a transpose that is no channel shuffle")
        moved = Mapped(
            tensor=mapped.tensor, shape=shape, perm=mapped.perm, split=mapped.split, swapped=not mapped.swapped
        )
        move(context, node, moved)
        return
    mapped.plain()
    perm = tuple(order.index(axis) for axis in mapped.perm)
    move(context, node, Mapped(tensor=mapped.tensor, shape=shape, perm=perm))


def convert_reshape(context: Context, node: onnx.NodeProto) -> None:
    """Reshape, Flatten, Squeeze and Unsqueeze that leave every byte where it is, or are half of a channel shuffle."""
    mapped = context.activation(node)
    shape = context.network.shape(node.output[0])
    tensor = mapped.tensor
    h, w, c = tensor.shape
    if mapped.split:
        groups, inside = mapped.split
        if len(shape) != 4 or shape != (1, c, h, w):
            raise Unsupported("a reshape that is no channel shuffle")
        if not mapped.swapped:
            move(context, node, Mapped(tensor=tensor, shape=shape, perm=NCHW))
            return
        order = np.arange(c).reshape(groups, inside).T.reshape(-1)
        q = context.quantizer(node)
        if not context.same_quant(tensor, q):
            raise Unsupported("a shuffle that requantizes")
        y = context.result(q, tensor.shape, NCHW)
        context.ops.append(Permute(name=named(node), x=tensor, y=y, order=order))
        return
    if mapped.flat:
        raise Unsupported("a flattened map is reshaped")
    if len(shape) == 5 and mapped.perm == NCHW and shape[0] == 1 and shape[3:] == (h, w):
        move(context, node, Mapped(tensor=tensor, shape=shape, perm=NCHW, split=(shape[1], shape[2])))
        return
    if len([d for d in mapped.shape if d > 1]) <= 1 and len(shape) <= 4:  # a vector in whatever rank
        if h * w * c == c:
            perm = NCHW if len(shape) == 4 and shape[1] == c else tuple(range(len(shape)))
            if c > 1 and shape[perm[-1]] != c:
                raise Unsupported("a vector that runs along another axis")
            move(context, node, Mapped(tensor=tensor, shape=shape, perm=perm))
            return
        raise Unsupported("a vector that runs along another axis")
    if mapped.perm == NCHW and len(shape) == 2 and shape == (1, h * w * c):
        move(context, node, Mapped(tensor=tensor, shape=shape, perm=(0, 1), flat=True))
        return
    if list(mapped.perm) == sorted(mapped.perm) and shape and shape[-1] == c:
        lead = [d for d in shape[:-1] if d != 1]
        if lead == [d for d in (h, w) if d != 1] and len(shape) <= 4:
            move(context, node, Mapped(tensor=tensor, shape=shape, perm=tuple(range(len(shape)))))
            return
    raise Unsupported("a reshape that moves bytes")
