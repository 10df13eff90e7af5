"""Convolutions and dense layers of a QDQ network, as graph operators."""

import math

import numpy as np
import numpy.typing as npt
import onnx

from chanzi.frontend.simple.mapping import NCHW, Context, int_list, named
from chanzi.frontend.simple.operators_point import clamp_table
from chanzi.frontend.simple.qdq import StoredConstant, Unsupported
from chanzi.graph.ops import ByteArray, Conv, FloatArray, IntArray, MatMul, Tensor


def _weight(context: Context, node: onnx.NodeProto, axis: int) -> tuple[ByteArray, FloatArray, int]:
    """Return (integers, scale for each index of `axis`, zero point)."""
    stored = context.network.stored_constant(node.input[1])
    if stored is None:
        raise Unsupported("its weights are not quantized constants")
    if stored.values.dtype not in (np.dtype(np.int8), np.dtype(np.uint8)):
        raise Unsupported(f"{stored.values.dtype} weights")
    if len(set(stored.zero.tolist())) > 1:
        raise Unsupported("weights with a zero point for each channel")
    n = stored.values.shape[axis]
    if stored.scale.size not in (1, n) or (stored.scale.size > 1 and stored.axis != axis):
        raise Unsupported("weight scales along another axis than the output channels")
    if not np.isfinite(stored.scale).all() or (stored.scale < 0).any():
        raise Unsupported("weight scales that are not positive numbers")
    return stored.values, np.broadcast_to(stored.scale, (n,)).astype(np.float32), int(stored.zero[0])


def _bias(context: Context, node: onnx.NodeProto, x: Tensor, scale: FloatArray) -> IntArray | None:
    if len(node.input) < 3 or not node.input[2]:
        return None
    stored: StoredConstant | None = context.network.stored_constant(node.input[2])
    if stored is not None and stored.values.dtype == np.int32:
        want = np.float32(x.quant.scale) * scale
        if np.allclose(stored.scale, want, rtol=1e-4, atol=0) and not stored.zero.any():
            return stored.values.astype(np.int32)
    real = context.network.constant(node.input[2])
    if real is None:
        raise Unsupported("its bias is computed")
    whole = np.float64(x.quant.scale) * scale.astype(np.float64)
    with np.errstate(all="ignore"):
        steps = np.rint(real.reshape(-1).astype(np.float64) / np.where(whole == 0, 1, whole))
    return np.clip(np.nan_to_num(steps), -(2**31), 2**31 - 1).astype(np.int32)


def _pads(
    attributes: dict, kernel: list[int], size: tuple[int, int], strides: list[int], dilations: list[int]
) -> tuple[int, int, int, int]:
    mode = attributes.get("auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        p = int_list(attributes.get("pads", [0, 0, 0, 0]))
        return p[0], p[1], p[2], p[3]
    if mode == "VALID":
        return 0, 0, 0, 0
    begin, end = [], []
    for i in range(2):
        reach = (kernel[i] - 1) * dilations[i] + 1
        out = math.ceil(size[i] / strides[i])
        total = max((out - 1) * strides[i] + reach - size[i], 0)
        small, large = total // 2, total - total // 2
        begin.append(small if mode == "SAME_UPPER" else large)
        end.append(large if mode == "SAME_UPPER" else small)
    return begin[0], begin[1], end[0], end[1]


def _finish(context: Context, node: onnx.NodeProto) -> tuple[onnx.NodeProto, tuple[float, float] | None]:
    """Return the QuantizeLinear behind the node, looking through a Relu or Clip, and the clamp those make."""
    return clamp_table(context, node)


def convert_conv(context: Context, node: onnx.NodeProto) -> None:
    """Conv over NCHW maps, any groups, strides, pads and dilations."""
    network = context.network
    x = context.activation(node).nchw().tensor
    weight, scale, zero = _weight(context, node, 0)
    if weight.ndim != 4:
        raise Unsupported(f"a kernel of rank {weight.ndim}")
    attributes = network.attributes(node)
    groups = int(attributes.get("group", 1))
    strides = int_list(attributes.get("strides", [1, 1]))
    dilations = int_list(attributes.get("dilations", [1, 1]))
    kernel = list(weight.shape[2:])
    pads = _pads(attributes, kernel, x.shape[:2], strides, dilations)
    if min(pads) < 0:
        raise Unsupported("negative pads")
    if weight.shape[1] * groups != x.shape[2] or weight.shape[0] % groups:
        raise Unsupported("channels that do not fit its groups")
    q, table = _finish(context, node)
    height = (x.shape[0] + pads[0] + pads[2] - dilations[0] * (kernel[0] - 1) - 1) // strides[0] + 1
    width = (x.shape[1] + pads[1] + pads[3] - dilations[1] * (kernel[1] - 1) - 1) // strides[1] + 1
    y = context.result(q, (height, width, weight.shape[0]), NCHW)
    context.ops.append(
        Conv(
            name=named(node),
            x=x,
            y=y,
            weight=np.ascontiguousarray(weight.transpose(0, 2, 3, 1)),
            weight_scale=scale,
            weight_zero=zero,
            bias=_bias(context, node, x, scale),
            strides=(strides[0], strides[1]),
            pads=pads,
            dilations=(dilations[0], dilations[1]),
            groups=groups,
            table=table,
            mid=y.quant if table is not None else None,
        )
    )


def convert_conv_transpose(context: Context, node: onnx.NodeProto) -> None:
    """ConvTranspose over NCHW maps."""
    network = context.network
    x = context.activation(node).nchw().tensor
    weight, _, zero = _weight_any(context, node)
    if weight.ndim != 4:
        raise Unsupported(f"a kernel of rank {weight.ndim}")
    attributes = network.attributes(node)
    groups = int(attributes.get("group", 1))
    inside, per_group, kh, kw = weight.shape
    out = per_group * groups
    stored = network.stored_constant(node.input[1])
    assert stored is not None
    if stored.scale.size == 1:
        scale = np.full(out, stored.scale[0], np.float32)
    elif stored.axis == 1 and groups == 1:
        scale = stored.scale.astype(np.float32)
    else:
        raise Unsupported("weight scales along the input channels")
    strides = int_list(attributes.get("strides", [1, 1]))
    dilations = int_list(attributes.get("dilations", [1, 1]))
    shape = network.shape(node.output[0])
    height, width = shape[2], shape[3]
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "") or "output_shape" in attributes:
        top, left = [], []
        for i, (size, total) in enumerate(((x.shape[0], height), (x.shape[1], width))):
            kernel = (kh, kw)[i]
            pad = max(strides[i] * (size - 1) + (kernel - 1) * dilations[i] + 1 - total, 0)
            first = pad // 2 if attributes.get("auto_pad") == "SAME_UPPER" else pad - pad // 2
            (top if i == 0 else left).append(first)
        pads = (top[0], left[0], 0, 0)
    else:
        p = int_list(attributes.get("pads", [0, 0, 0, 0]))
        pads = (p[0], p[1], p[2], p[3])
    q, table = _finish(context, node)
    y = context.result(q, (height, width, out), NCHW)
    grouped = weight.reshape(groups, inside // groups, per_group, kh, kw)
    kernel = grouped.transpose(0, 2, 3, 4, 1).reshape(out, kh, kw, inside // groups)
    context.ops.append(
        Conv(
            name=named(node),
            x=x,
            y=y,
            weight=np.ascontiguousarray(kernel),
            weight_scale=scale,
            weight_zero=zero,
            bias=_bias(context, node, x, scale),
            strides=(strides[0], strides[1]),
            pads=pads,
            dilations=(dilations[0], dilations[1]),
            groups=groups,
            transposed=True,
            table=table,
            mid=y.quant if table is not None else None,
        )
    )


def _weight_any(context: Context, node: onnx.NodeProto) -> tuple[ByteArray, FloatArray, int]:
    stored = context.network.stored_constant(node.input[1])
    if stored is None or stored.values.dtype not in (np.dtype(np.int8), np.dtype(np.uint8)):
        raise Unsupported("its weights are not quantized constants")
    if len(set(stored.zero.tolist())) > 1:
        raise Unsupported("weights with a zero point for each channel")
    return stored.values, stored.scale, int(stored.zero[0])


def convert_dense(context: Context, node: onnx.NodeProto) -> None:
    """Gemm, or MatMul with constant weights: a 1x1 convolution of rows, or one over a whole flattened map."""
    network = context.network
    mapped = context.activation(node)
    attributes = network.attributes(node)
    gemm = node.op_type == "Gemm"
    if gemm and (attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0 or attributes.get("transA")):
        raise Unsupported("alpha, beta or transA")
    turned = bool(gemm and attributes.get("transB"))
    if network.stored_constant(node.input[1]) is None:
        if gemm:
            raise Unsupported("its weights are computed")
        convert_matmul(context, node)
        return
    weight, scale, zero = _weight(context, node, 0 if turned else 1)
    if weight.ndim != 2:
        raise Unsupported(f"weights of rank {weight.ndim}")
    rows: npt.NDArray = weight if turned else weight.T
    x = mapped.tensor
    if mapped.flat:
        height, width, channels = x.shape
        kernel = rows.reshape(len(rows), channels, height, width).transpose(0, 2, 3, 1)
        shape = (1, 1, len(rows))
    else:
        if mapped.split or mapped.perm[-1] != len(mapped.shape) - 1 or list(mapped.perm) != sorted(mapped.perm):
            raise Unsupported("its features are not the last axis")
        if rows.shape[1] != x.shape[2]:
            raise Unsupported("features that do not fit its weights")
        kernel = rows.reshape(len(rows), 1, 1, -1)
        shape = (x.shape[0], x.shape[1], len(rows))
    q, table = _finish(context, node)
    out_shape = network.shape(node.output[0])
    y = context.result(q, shape, tuple(range(len(out_shape))))
    bias = _bias(context, node, x, scale)
    if bias is not None:
        bias = np.broadcast_to(bias, (len(rows),)).copy()
    context.ops.append(
        Conv(
            name=named(node),
            x=x,
            y=y,
            weight=np.ascontiguousarray(kernel),
            weight_scale=scale,
            weight_zero=zero,
            bias=bias,
            table=table,
            mid=y.quant if table is not None else None,
        )
    )


def convert_matmul(context: Context, node: onnx.NodeProto) -> None:
    """MatMul of two activations of equal batch."""
    network = context.network
    a, b = context.activation(node, 0).plain(), context.activation(node, 1).plain()
    for m in (a, b):
        if list(m.perm) != sorted(m.perm) or m.tensor.shape[0] != int(np.prod(m.shape[:-2], dtype=np.int64)):
            raise Unsupported("an operand is not rows of features")
    if a.tensor.shape[0] != b.tensor.shape[0]:
        raise Unsupported("a broadcast batch")
    q = context.quantizer(node)
    out_shape = network.shape(node.output[0])
    shape = (a.tensor.shape[0], a.tensor.shape[1], b.tensor.shape[2])
    y = context.result(q, shape, tuple(range(len(out_shape))))
    context.ops.append(MatMul(name=named(node), a=a.tensor, b=b.tensor, y=y))
