"""EfficientNet-Lite0 with ImageNet weights: from a PyTorch weight file straight to ONNX.

PyTorch (an extra) is needed once, to read the weight file; the ONNX file it becomes is kept in the cache. Strided
convolutions keep TensorFlow's SAME padding, one pixel more below and to the right, since the weights were trained so.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.errors import ModelError

SIZE = 224
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
"""Stride of each of the sixteen inverted residual blocks."""
EPSILON = 1e-3


def _load(weights: bytes) -> dict[str, npt.NDArray[np.float32]]:
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            "EfficientNet-Lite0's weight file needs PyTorch once, to be read", hint="pip install 'chanzi[torch]'"
        ) from error
    state = torch.load(io.BytesIO(weights), weights_only=True, map_location="cpu")
    return {name: value.numpy().astype(np.float32) for name, value in state.items()}


class _Builder:
    def __init__(self, state: dict[str, npt.NDArray[np.float32]]) -> None:
        from onnx import helper, numpy_helper

        self.helper, self.numpy_helper = helper, numpy_helper
        self.state, self.nodes, self.tensors, self.side = state, list[Any](), list[Any](), SIZE

    def keep(self, name: str, value: npt.ArrayLike | None = None) -> str:
        array = self.state[name] if value is None else np.asarray(value, np.float32)
        self.tensors.append(self.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op: str, inputs: Sequence[str], name: str, **attributes: object) -> str:
        self.nodes.append(self.helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def conv(self, x: str, conv: str, norm: str, *, stride: int = 1, relu: bool = True) -> str:
        weight = self.state[f"{conv}.weight"]
        kernel, out = weight.shape[2], -(-self.side // stride)
        total = max((out - 1) * stride + kernel - self.side, 0)
        pads = [total // 2, total // 2, total - total // 2, total - total // 2]
        groups = weight.shape[0] if "depthwise" in conv else 1
        y = self.node("Conv", [x, self.keep(f"{conv}.weight")], conv, pads=pads, strides=[stride, stride], group=groups)
        parts = [self.keep(f"{norm}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        y = self.node("BatchNormalization", [y, *parts], norm, epsilon=EPSILON)
        self.side = out
        return self.node("Clip", [y, "zero", "six"], f"{norm}.relu6") if relu else y


def convert(weights: bytes) -> bytes:
    """Return the ONNX network (input ``image`` (1, 3, 224, 224), output ``logits`` (1, 1000)) of the weight file."""
    from onnx import TensorProto, checker

    build = _Builder(_load(weights))
    build.keep("zero", 0)
    build.keep("six", 6)
    x = build.conv("image", "_conv_stem", "_bn0", stride=2)
    for index, stride in enumerate(STRIDES):
        block, before = f"_blocks.{index}", x
        if f"{block}._expand_conv.weight" in build.state:
            x = build.conv(x, f"{block}._expand_conv", f"{block}._bn0")
        x = build.conv(x, f"{block}._depthwise_conv", f"{block}._bn1", stride=stride)
        x = build.conv(x, f"{block}._project_conv", f"{block}._bn2", relu=False)
        entry = build.state.get(f"{block}._expand_conv.weight", build.state[f"{block}._depthwise_conv.weight"])
        same = entry.shape[1] == build.state[f"{block}._project_conv.weight"].shape[0]
        if stride == 1 and same and index:
            x = build.node("Add", [x, before], f"{block}.add")
    x = build.conv(x, "_conv_head", "_bn1")
    x = build.node("Flatten", [build.node("GlobalAveragePool", [x], "pool")], "flatten")
    build.node("Gemm", [x, build.keep("_fc.weight"), build.keep("_fc.bias")], "logits", transB=1)
    info = build.helper.make_tensor_value_info
    graph = build.helper.make_graph(
        build.nodes,
        "efficientnet_lite0",
        [info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [info("logits", TensorProto.FLOAT, [1, 1000])],
        build.tensors,
    )
    model = build.helper.make_model(graph, opset_imports=[build.helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model, full_check=True)
    return model.SerializeToString()
