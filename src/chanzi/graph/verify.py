"""Every rule a graph keeps: what the compiler and the evaluator take for granted."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from chanzi.errors import ModelError
from chanzi.graph.ops import (
    Binary,
    Concat,
    Const,
    Conv,
    Graph,
    Lookup,
    MatMul,
    Pad,
    Permute,
    Pool,
    Quant,
    Resize,
    Slice,
    Softmax,
    Tensor,
)

_MAX_SUM_STEPS = 1 << 16
"""Products one int32 sum may hold: 2^16 times 255 * 255 is the first that could wrap."""


def verify(graph: Graph) -> None:
    """Check every rule.

    Raises
    ------
    ModelError
        Names the operator or tensor that breaks one, and the rule.
    """
    written: dict[str, Tensor] = {}
    for tensor in graph.inputs:
        _fresh(written, tensor, f"input '{tensor.name}'")
    names: set[str] = set()
    for op in graph.ops:
        where = f"{type(op).__name__} '{op.name}'"
        _rule(op.name not in names, where, "another operator has its name")
        names.add(op.name)
        try:
            for x in op.inputs:
                _rule(written.get(x.name) == x, where, f"'{x.name}' is not written before, or was written otherwise")
            _RULES[type(op)](op, where)
            _fresh(written, op.y, where)
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise ModelError(f"{where}: parameters of the wrong kind: {error}") from None
    for tensor in graph.outputs:
        _rule(written.get(tensor.name) == tensor, f"output '{tensor.name}'", "nothing writes it")


def _rule(holds: object, where: str, what: str) -> None:
    if not holds:
        raise ModelError(f"{where}: {what}", hint="the graph is malformed")


def _fresh(written: dict[str, Tensor], tensor: Tensor, where: str) -> None:
    _rule(tensor.name not in written, where, f"'{tensor.name}' is written twice")
    _rule(len(tensor.shape) == 3 and min(tensor.shape) >= 1, where, f"'{tensor.name}' has the shape {tensor.shape}")
    _quant(tensor.quant, where)
    written[tensor.name] = tensor


def _quant(quant: Quant, where: str) -> None:
    _rule(quant.dtype in ("int8", "uint8"), where, f"bytes of {quant.dtype}")
    _rule(math.isfinite(quant.scale) and quant.scale > 0, where, f"a scale of {quant.scale:g}")
    _rule(float(np.float32(quant.scale)) == quant.scale, where, "a scale that is no float32 value")
    _rule(quant.qmin <= quant.zero <= quant.qmax, where, f"a zero point of {quant.zero}")


def _same(a: Tensor, b: Tensor, where: str) -> None:
    _rule(a.quant == b.quant, where, f"'{a.name}' and '{b.name}' are quantized differently")


def _same_shape(a: Tensor, b: Tensor, where: str) -> None:
    _rule(a.shape == b.shape, where, f"'{a.name}' is {a.shape}, '{b.name}' is {b.shape}")


def _table(table: npt.NDArray[np.uint8] | None, where: str) -> None:
    _rule(table is None or (table.dtype == np.uint8 and table.shape == (256,)), where, "a table that is not 256 bytes")


def _mid(table: npt.NDArray[np.uint8] | None, mid: Quant | None, where: str) -> None:
    _table(table, where)
    if mid is not None:
        _rule(table is not None, where, "an intermediate quantization without a table")
        _quant(mid, where)


def _positive(values: Iterable[int], where: str, what: str) -> None:
    _rule(all(value >= 1 for value in values), where, f"{what} {tuple(values)}")


def windows(size: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Return how many windows fit one dimension."""
    return (size + before + after - (kernel - 1) * dilation - 1) // stride + 1


def _conv(op: Conv, where: str) -> None:
    outputs, kh, kw, inner = op.weight.shape
    _rule(op.weight.dtype in (np.int8, np.uint8), where, f"weights of {op.weight.dtype}")
    info = np.iinfo(op.weight.dtype)
    _rule(info.min <= op.weight_zero <= info.max, where, f"a weight zero point of {op.weight_zero}")
    _positive((*op.strides, *op.dilations, op.groups, kh, kw, inner), where, "strides, dilations, groups or kernel")
    _rule(outputs % op.groups == 0 and inner * op.groups == op.x.shape[2], where, "groups that do not fit the channels")
    _rule(outputs == op.y.shape[2], where, f"{outputs} filters for {op.y.shape[2]} channels")
    _rule(kh * kw * inner <= _MAX_SUM_STEPS, where, f"sums of {kh * kw * inner} products")
    _rule(op.weight_scale.dtype == np.float32 and op.weight_scale.shape == (outputs,), where, "a scale for each filter")
    _rule(np.all(np.isfinite(op.weight_scale) & (op.weight_scale > 0)), where, "scales that are no positive numbers")
    fits = op.bias is None or (op.bias.dtype == np.int32 and op.bias.shape == (outputs,))
    _rule(fits, where, "an int32 bias for each filter")
    _mid(op.table, op.mid, where)
    for i, kernel in enumerate((kh, kw)):
        before, after = op.pads[i], op.pads[i + 2]
        reach = (kernel - 1) * op.dilations[i] + 1
        if op.transposed:
            want = (op.x.shape[i] - 1) * op.strides[i] + reach - before - after
        else:
            _rule(min(before, after) >= 0, where, f"pads {op.pads}")
            want = windows(op.x.shape[i], kernel, op.strides[i], op.dilations[i], before, after)
        _rule(op.y.shape[i] == want, where, f"{op.y.shape[i]} lines or columns where there are {want}")


def _matmul(op: MatMul, where: str) -> None:
    batch, m, k = op.a.shape
    last = op.b.shape[1] if op.b_transposed else op.b.shape[2]
    inner = op.b.shape[2] if op.b_transposed else op.b.shape[1]
    _rule(op.b.shape[0] == batch and inner == k, where, f"{op.a.shape} times {op.b.shape}")
    _rule(op.y.shape == (batch, m, last), where, f"a result of {op.y.shape}")
    _rule(k <= _MAX_SUM_STEPS, where, f"sums of {k} products")


def _pool(op: Pool, where: str) -> None:
    _positive((*op.kernel, *op.strides, *op.dilations), where, "kernel, strides or dilations")
    _rule(min(op.pads) >= 0, where, f"pads {op.pads}")
    _rule(op.x.shape[2] == op.y.shape[2], where, "channels appear or vanish")
    for i in (0, 1):
        before, after = op.pads[i], op.pads[i + 2]
        want = windows(op.x.shape[i], op.kernel[i], op.strides[i], op.dilations[i], before, after)
        _rule(op.y.shape[i] == want, where, f"{op.y.shape[i]} lines or columns where there are {want}")
        starts = np.arange(want)[:, None] * op.strides[i] - before + np.arange(op.kernel[i]) * op.dilations[i]
        inside = np.any((starts >= 0) & (starts < op.x.shape[i]), axis=1)
        _rule(np.all(inside), where, "a window wholly outside the map")
    if op.kind == "max":
        _same(op.x, op.y, where)


def _binary(op: Binary, where: str) -> None:
    _rule(op.kind in ("add", "mul"), where, f"a kind '{op.kind}'")
    _same_shape(op.a, op.y, where)
    fits = all(b in (1, a) for a, b in zip(op.a.shape, op.b.shape, strict=True))
    _rule(fits, where, f"{op.b.shape} cannot be repeated to {op.a.shape}")
    _mid(op.table, op.mid, where)


def _lookup(op: Lookup, where: str) -> None:
    _same_shape(op.x, op.y, where)
    _rule(op.table is not None, where, "no table")
    _table(op.table, where)


def _concat(op: Concat, where: str) -> None:
    _rule(op.xs and op.axis in (0, 1, 2) and len(op.tables) == len(op.xs), where, "inputs, axis or tables")
    for x, table in zip(op.xs, op.tables, strict=True):
        _table(table, where)
        if table is None:
            _same(x, op.y, where)
        for axis in {0, 1, 2} - {op.axis}:
            _rule(x.shape[axis] == op.y.shape[axis], where, f"'{x.name}' is {x.shape}, the result {op.y.shape}")
    _rule(sum(x.shape[op.axis] for x in op.xs) == op.y.shape[op.axis], where, "parts that do not add up")


def _slice(op: Slice, where: str) -> None:
    _same(op.x, op.y, where)
    for size, start, end, made in zip(op.x.shape, op.starts, op.ends, op.y.shape, strict=True):
        _rule(0 <= start < end <= size and end - start == made, where, f"{op.starts} to {op.ends} of {op.x.shape}")


def _permute(op: Permute, where: str) -> None:
    _same(op.x, op.y, where)
    _same_shape(op.x, op.y, where)
    whole = op.order.shape == (op.x.shape[2],) and np.array_equal(np.sort(op.order), np.arange(op.order.size))
    _rule(whole, where, "an order that is no permutation of the channels")


def _pad(op: Pad, where: str) -> None:
    _same(op.x, op.y, where)
    top, left, bottom, right = op.pads
    height, width, channels = op.x.shape
    _rule(min(op.pads) >= 0, where, f"pads {op.pads}")
    _rule(op.y.shape == (height + top + bottom, width + left + right, channels), where, f"a result of {op.y.shape}")
    _rule(op.x.quant.qmin <= op.value <= op.x.quant.qmax, where, f"a value of {op.value}")


def _resize(op: Resize, where: str) -> None:
    height, width, channels = op.x.shape
    _positive(op.factors, where, "factors")
    want = (height * op.factors[0], width * op.factors[1], channels)
    _rule(op.y.shape == want, where, f"a result of {op.y.shape} instead of {want}")
    _table(op.table, where)
    if op.kind == "nearest" and op.table is None:
        _same(op.x, op.y, where)


def _softmax(op: Softmax, where: str) -> None:
    _same_shape(op.x, op.y, where)


def _const(op: Const, where: str) -> None:
    kind = np.int8 if op.y.quant.dtype == "int8" else np.uint8
    _rule(op.value.dtype == kind and op.value.shape == op.y.shape, where, f"{op.value.dtype} of {op.value.shape}")


_RULES: dict[type, Callable[..., None]] = {
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
