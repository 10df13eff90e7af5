"""Means whose result has the scale of their input fall on halves: every second sum of two bytes, every fourth of four.

There the chip rounds to even, and ONNX Runtime, which takes such means in float, one way or the other by the noise of
its last bit. In networks quantized here the result's scale is a thousandth larger, so that no mean lies near a half.
"""

from typing import Any

import numpy as np

_MEANS = ("AveragePool", "ReduceMean", "GlobalAveragePool")
LARGER = np.float32(1.001)


def keep_off_halves(model: Any) -> None:
    """Give every mean that shares its input's scale one of its own, in place."""
    from onnx import numpy_helper

    scales = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in model.graph.node:
        source = makers.get(node.input[0]) if node.input else None
        if not _is_mean(node) or source is None or source.op_type != "DequantizeLinear":
            continue
        for quantize in readers.get(node.output[0], []):
            if quantize.op_type != "QuantizeLinear" or quantize.input[1] not in scales:
                continue
            scale, before = (numpy_helper.to_array(scales[name]) for name in (quantize.input[1], source.input[1]))
            if scale.shape != before.shape or not np.array_equal(scale, before):
                continue
            made = numpy_helper.from_array(np.asarray(scale * LARGER, np.float32), f"{node.output[0]}/scale")
            model.graph.initializer.append(made)
            for user in (quantize, *readers.get(quantize.output[0], [])):
                if user.op_type in ("QuantizeLinear", "DequantizeLinear"):
                    user.input[1] = made.name


def _is_mean(node: Any) -> bool:
    mode = next((a.s for a in node.attribute if a.name == "mode"), b"")
    return node.op_type in _MEANS or (node.op_type == "Resize" and mode == b"linear")
