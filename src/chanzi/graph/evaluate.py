"""A graph computed in NumPy, operator by operator: what every compiled program is held against.

It shares nothing with the compiler and the simulators but the definition of the arithmetic in `chanzi.numerics`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.errors import RunError
from chanzi.graph.ops import (
    Binary,
    Concat,
    Const,
    Conv,
    Graph,
    Lookup,
    MatMul,
    Op,
    Pad,
    Permute,
    Pool,
    Quant,
    Resize,
    Slice,
    Softmax,
    Tensor,
)
from chanzi.numerics import requantize as rq
from chanzi.numerics.fused import add_values
from chanzi.numerics.softmax import softmax

Map = npt.NDArray[np.int32]
Maps = Mapping[str, Map]


def evaluate(graph: Graph, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, npt.NDArray[np.int8 | np.uint8]]:
    """Return the graph's outputs, by tensor name, for one frame.

    Parameters
    ----------
    graph : Graph
        A sound one, see `chanzi.graph.verify`.
    inputs : mapping of str to array of int
        ``(height, width, channels)`` of stored integers for each of the graph's inputs.

    Raises
    ------
    RunError
        An input is missing or does not fit.
    """
    maps = evaluate_all(graph, inputs)
    return {tensor.name: _stored(maps[tensor.name], tensor.quant) for tensor in graph.outputs}


def evaluate_all(graph: Graph, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, Map]:
    """Return every tensor of the graph as stored integers in int32; arguments as `evaluate`."""
    maps = {tensor.name: _input(tensor, inputs) for tensor in graph.inputs}
    for op in graph.ops:
        maps[op.y.name] = compute(op, maps)
    return maps


def compute(op: Op, maps: Maps) -> Map:
    """Return the result of one operator; `maps` holds at least what it reads."""
    return _COMPUTE[type(op)](op, maps)


def _input(tensor: Tensor, inputs: Mapping[str, npt.NDArray[np.integer]]) -> Map:
    if tensor.name not in inputs:
        raise RunError(f"input '{tensor.name}' is missing")
    value = np.asarray(inputs[tensor.name])
    if value.shape != tensor.shape:
        raise RunError(f"input '{tensor.name}' is {value.shape}, the graph wants {tensor.shape}")
    if value.min() < tensor.quant.qmin or value.max() > tensor.quant.qmax:
        raise RunError(f"input '{tensor.name}' holds values that {tensor.quant.dtype} cannot")
    return value.astype(np.int32)


def _stored(value: Map, quant: Quant) -> npt.NDArray[np.int8 | np.uint8]:
    return value.astype(np.int8 if quant.dtype == "int8" else np.uint8)


def _requantize(acc: Map, multiplier: rq.Floats | np.float32, quant: Quant) -> Map:
    return rq.requantize(acc, multiplier, quant.zero, quant.qmin, quant.qmax)


def _look_up(table: npt.NDArray[np.uint8], value: Map, quant: Quant) -> Map:
    """Return the entries of stored integers, as stored integers of `quant`'s type."""
    kind = np.int8 if quant.dtype == "int8" else np.uint8
    return table[value & 0xFF].view(kind).astype(np.int32)


def _product(a: npt.NDArray[np.integer], b: npt.NDArray[np.integer]) -> Map:
    """Return a @ b.T exactly: float32 holds sums below 2^24, float64 all others."""
    largest = float(np.abs(a).max(initial=0)) * float(np.abs(b).max(initial=0)) * a.shape[-1]
    kind = np.float32 if largest < 1 << 24 else np.float64
    total = a.astype(kind) @ np.swapaxes(b, -1, -2).astype(kind)
    return total.astype(np.int64).astype(np.int32)  # accumulators wrap around


def _taps(x: Map, op: Conv | Pool, kernel: tuple[int, int], fill: int) -> Map:
    """Return what every window sees, [line][pixel][ky][kx][channel], `fill` outside the map."""
    top, left, bottom, right = op.pads
    padded = np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=fill)
    reach = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, op.dilations, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(padded, (reach[0], reach[1]), axis=(0, 1))
    height, width, _ = op.y.shape
    views = views[:: op.strides[0], :: op.strides[1], :, :: op.dilations[0], :: op.dilations[1]]
    return np.moveaxis(views[:height, :width], 2, 4)


# ---------------------------------------------------------------------------------------------------------------------
# Products


def _conv(op: Conv, maps: Maps) -> Map:
    x = maps[op.x.name] - op.x.quant.zero
    weight = op.weight.astype(np.int32) - op.weight_zero
    acc = _transposed_sums(op, x, weight) if op.transposed else _sums(op, x, weight)
    if op.bias is not None:
        acc = (acc.astype(np.int64) + op.bias).astype(np.int32)
    mid = op.mid or op.y.quant
    y = _requantize(acc, rq.conv_multiplier(op.x.quant.scale, op.weight_scale, mid.scale), mid)
    return y if op.table is None else _look_up(op.table, y, op.y.quant)


def _sums(op: Conv, x: Map, weight: Map) -> Map:
    outputs, kh, kw, inner = weight.shape
    height, width, _ = op.y.shape
    taps = _taps(x, op, (kh, kw), 0)
    if inner == 1 and outputs == op.groups:  # depthwise
        return np.einsum("hwijc,cij->hwc", taps, weight[..., 0], optimize=False).astype(np.int32)
    acc = np.empty((height, width, outputs), np.int32)
    each = outputs // op.groups
    for group in range(op.groups):
        mine = taps[..., group * inner : (group + 1) * inner].reshape(height * width, -1)
        filters = weight[group * each : (group + 1) * each].reshape(each, -1)
        acc[..., group * each : (group + 1) * each] = _product(mine, filters).reshape(height, width, each)
    return acc


def _transposed_sums(op: Conv, x: Map, weight: Map) -> Map:
    """Add every input pixel, times the weights, to the outputs it reaches."""
    outputs, kh, kw, inner = weight.shape
    (sy, sx), (dy, dx), (top, left, _, _) = op.strides, op.dilations, op.pads
    height, width, _ = x.shape
    each = outputs // op.groups
    full = np.zeros(
        ((height - 1) * sy + (kh - 1) * dy + 1, (width - 1) * sx + (kw - 1) * dx + 1, outputs),
        np.int64,
    )
    for group in range(op.groups):
        mine = x[..., group * inner : (group + 1) * inner].reshape(-1, inner)
        out = slice(group * each, (group + 1) * each)
        for i in range(kh):
            for j in range(kw):
                part = _product(mine, weight[out, i, j]).reshape(height, width, each)
                lines = slice(i * dy, i * dy + (height - 1) * sy + 1, sy)
                full[lines, j * dx : j * dx + (width - 1) * sx + 1 : sx, out] += part
    rows, columns, _ = op.y.shape
    grown = np.zeros((max(full.shape[0], rows + top), max(full.shape[1], columns + left), outputs), np.int64)
    grown[: full.shape[0], : full.shape[1]] = full
    return grown[top : top + rows, left : left + columns].astype(np.int32)


def _matmul(op: MatMul, maps: Maps) -> Map:
    a, b = maps[op.a.name] - op.a.quant.zero, maps[op.b.name] - op.b.quant.zero
    acc = _product(a, b if op.b_transposed else b.swapaxes(1, 2))
    scale = rq.conv_multiplier(op.a.quant.scale, np.float32(op.b.quant.scale), op.y.quant.scale)
    return _requantize(acc, scale, op.y.quant)


# ---------------------------------------------------------------------------------------------------------------------
# Windows and elements


def _pool(op: Pool, maps: Maps) -> Map:
    x = maps[op.x.name]
    if op.kind == "max":
        return _taps(x, op, op.kernel, op.x.quant.qmin).max(axis=(2, 3))
    total = _taps(x - op.x.quant.zero, op, op.kernel, 0).sum(axis=(2, 3), dtype=np.int32)
    if op.count_include_pad:
        count = np.full(total.shape[:2], op.kernel[0] * op.kernel[1])
    else:
        count = _taps(np.ones((*x.shape[:2], 1), np.int32), op, op.kernel, 0).sum(axis=(2, 3))[..., 0]
    factors = {int(n): rq.average_multiplier(op.x.quant.scale, op.y.quant.scale, int(n)) for n in np.unique(count)}
    multiplier = np.vectorize(factors.__getitem__, otypes=[np.float32])(count)
    return _requantize(total, multiplier[..., None], op.y.quant)


def _binary(op: Binary, maps: Maps) -> Map:
    a, b, mid = op.a.quant, op.b.quant, op.mid or op.y.quant
    zeros = (a.zero, b.zero)
    if op.kind == "add":
        scales = (np.float32(a.scale) / np.float32(mid.scale), np.float32(b.scale) / np.float32(mid.scale))
        value = add_values(maps[op.a.name], maps[op.b.name], scales=scales, zeros=zeros, zero=mid.zero)
    else:
        scale = np.float32(rq.conv_multiplier(a.scale, np.float32(b.scale), mid.scale))
        value = rq.mul_values(maps[op.a.name], maps[op.b.name], scale=scale, zeros=zeros, zero=mid.zero)
    y = rq.round_clip(value, 0, mid.qmin, mid.qmax)
    return y if op.table is None else _look_up(op.table, y, op.y.quant)


def _lookup(op: Lookup, maps: Maps) -> Map:
    return _look_up(op.table, maps[op.x.name], op.y.quant)


def _softmax(op: Softmax, maps: Maps) -> Map:
    return softmax(maps[op.x.name], op.x.quant, op.y.quant)


# ---------------------------------------------------------------------------------------------------------------------
# Moves


def _concat(op: Concat, maps: Maps) -> Map:
    pairs = zip(op.xs, op.tables, strict=True)
    parts = [maps[x.name] if t is None else _look_up(t, maps[x.name], op.y.quant) for x, t in pairs]
    return np.concatenate(parts, axis=op.axis)


def _slice(op: Slice, maps: Maps) -> Map:
    (y0, x0, c0), (y1, x1, c1) = op.starts, op.ends
    return maps[op.x.name][y0:y1, x0:x1, c0:c1]


def _permute(op: Permute, maps: Maps) -> Map:
    return maps[op.x.name][..., op.order]


def _pad(op: Pad, maps: Maps) -> Map:
    top, left, bottom, right = op.pads
    return np.pad(maps[op.x.name], ((top, bottom), (left, right), (0, 0)), constant_values=op.value)


def _resize(op: Resize, maps: Maps) -> Map:
    x = maps[op.x.name]
    if op.kind == "nearest":
        y = x.repeat(op.factors[0], axis=0).repeat(op.factors[1], axis=1)
        return y if op.table is None else _look_up(op.table, y, op.y.quant)
    acc = x - op.x.quant.zero
    for axis in (0, 1):
        first, weight, whole = linear_taps(x.shape[axis], op.factors[axis], half_pixel=op.half_pixel)
        here = acc.take(np.clip(first, 0, x.shape[axis] - 1), axis)
        after = acc.take(np.clip(first + 1, 0, x.shape[axis] - 1), axis)
        weight = weight.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        acc = here * (whole - weight) + after * weight
    whole = int(np.prod([f * (2 if op.half_pixel else 1) for f in op.factors]))
    return _requantize(acc, rq.average_multiplier(op.x.quant.scale, op.y.quant.scale, whole), op.y.quant)


def linear_taps(size: int, factor: int, *, half_pixel: bool) -> tuple[Map, Map, int]:
    """Return how a dimension is enlarged linearly: (first, weight, whole).

    Output i is ``((whole - weight[i]) * x[first[i]] + weight[i] * x[first[i] + 1]) / whole``, edges repeated.
    """
    out = np.arange(size * factor, dtype=np.int32)
    whole = 2 * factor if half_pixel else factor
    position = 2 * out + 1 - factor if half_pixel else out  # in units of 1 / whole
    return position // whole, position % whole, whole


def _const(op: Const, maps: Maps) -> Map:
    del maps
    return op.value.astype(np.int32)


_COMPUTE: dict[type, Callable[[Any, Maps], Map]] = {
    Binary: _binary,
    Concat: _concat,
    Const: _const,
    Conv: _conv,
    Lookup: _lookup,
    MatMul: _matmul,
    Pad: _pad,
    Permute: _permute,
    Pool: _pool,
    Resize: _resize,
    Slice: _slice,
    Softmax: _softmax,
}
