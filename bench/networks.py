"""The two networks every tool is asked to run, as one list of layers each, and their ONNX form.

ResNet-50 v1 (stride in the first 1x1 of a block) and MobileNetV2 at 224x224, batch 1, with seeded He weights: speed and
cycles depend on shapes alone. Each rival gets the same layers in the form it reads.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

Kind = Literal["conv", "add", "maxpool", "mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer; `inputs` name earlier layers or ``"input"``; pads make ``out = ceil(in / stride)``."""

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    act: Literal["", "relu", "relu6"] = ""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one frame; only convolutions (and the classifier) count."""
        if self.kind != "conv":
            return 0
        h, w, out = self.out_shape
        return h * w * out * self.kernel * self.kernel * (self.in_shape[2] // self.groups)


class _Builder:
    """Appends layers and remembers shapes."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.shapes: dict[str, tuple[int, int, int]] = {"input": (224, 224, 3)}

    def add(self, name: str, kind: Kind, inputs: tuple[str, ...], out: tuple[int, int, int], **fields: object) -> str:
        layer = Layer(name=name, kind=kind, inputs=inputs, in_shape=self.shapes[inputs[0]], out_shape=out, **fields)
        self.layers.append(layer)
        self.shapes[name] = out
        return name

    def conv(self, name: str, x: str, out: int, kernel: int, stride: int, act: str, groups: int = 1) -> str:
        h, w, _ = self.shapes[x]
        shape = (-(-h // stride), -(-w // stride), out)
        return self.add(name, "conv", (x,), shape, kernel=kernel, stride=stride, act=act, groups=groups)

    def head(self, x: str, classes: int = 1000) -> list[Layer]:
        mean = self.add("mean", "mean", (x,), (1, 1, self.shapes[x][2]))
        self.conv("classifier", mean, classes, 1, 1, "")
        return self.layers


def resnet50() -> list[Layer]:
    """ResNet-50 v1 (He et al., 2015, table 1): 3.858 GMAC."""
    net = _Builder()
    x = net.conv("stem", "input", 64, 7, 2, "relu")
    x = net.add("pool", "maxpool", (x,), (56, 56, 64), kernel=3, stride=2)
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=2):
        for block in range(blocks):
            name = f"s{stage}b{block + 1}"
            stride = 2 if block == 0 and stage > 2 else 1
            short = x if block else net.conv(f"{name}_short", x, 4 * width, 1, stride, "")
            y = net.conv(f"{name}_1x1a", x, width, 1, stride, "relu")
            y = net.conv(f"{name}_3x3", y, width, 3, 1, "relu")
            y = net.conv(f"{name}_1x1b", y, 4 * width, 1, 1, "")
            x = net.add(f"{name}_add", "add", (y, short), net.shapes[y], act="relu")
    return net.head(x)


def mobilenetv2() -> list[Layer]:
    """MobileNetV2 1.0 (Sandler et al., 2018, table 2): 0.3008 GMAC."""
    net = _Builder()
    x = net.conv("stem", "input", 32, 3, 2, "relu6")
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    count = 0
    for expand, out, repeat, first_stride in rows:
        for i in range(repeat):
            count += 1
            name, stride, width = f"b{count}", first_stride if i == 0 else 1, net.shapes[x][2]
            y = x if expand == 1 else net.conv(f"{name}_expand", x, expand * width, 1, 1, "relu6")
            hidden = net.shapes[y][2]
            y = net.conv(f"{name}_depthwise", y, hidden, 3, stride, "relu6", groups=hidden)
            y = net.conv(f"{name}_project", y, out, 1, 1, "")
            x = net.add(f"{name}_add", "add", (y, x), net.shapes[y]) if stride == 1 and width == out else y
    return net.head(net.conv("last", x, 1280, 1, 1, "relu6"))


NETWORKS = {"resnet50": resnet50, "mobilenetv2": mobilenetv2}


def pads(layer: Layer) -> tuple[int, int]:
    """Return (before, after) of both axes: all the missing rows, the larger half before as PyTorch has it."""
    h, out = layer.in_shape[0], layer.out_shape[0]
    missing = max(0, (out - 1) * layer.stride + layer.kernel - h)
    return (missing + 1) // 2, missing // 2


def weights(layer: Layer, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (weight [out][in/groups][k][k], bias [out]), He-scaled, a function of `index` alone."""
    rng = np.random.default_rng(1000 + index)
    out, inner = layer.out_shape[2], layer.in_shape[2] // layer.groups
    fan = inner * layer.kernel**2
    weight = rng.normal(0.0, (2.0 / fan) ** 0.5, (out, inner, layer.kernel, layer.kernel)).astype(np.float32)
    return weight, rng.normal(0.0, 0.05, out).astype(np.float32)


def to_onnx(layers: list[Layer], path: Path) -> None:
    """Write the float network as ONNX, with shapes inferred."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper, shape_inference

    nodes, initializers = [], []
    for index, layer in enumerate(layers):
        before, after = pads(layer)
        window = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2, "pads": [before] * 2 + [after] * 2}
        raw = f"{layer.name}_raw" if layer.act else layer.name
        match layer.kind:
            case "conv":
                weight, bias = weights(layer, index)
                names = [f"{layer.name}.weight", f"{layer.name}.bias"]
                initializers += [numpy_helper.from_array(weight, names[0]), numpy_helper.from_array(bias, names[1])]
                inputs = [layer.inputs[0], *names]
                nodes.append(helper.make_node("Conv", inputs, [raw], layer.name, group=layer.groups, **window))
            case "add":
                nodes.append(helper.make_node("Add", list(layer.inputs), [raw], layer.name))
            case "maxpool":
                nodes.append(helper.make_node("MaxPool", [layer.inputs[0]], [raw], layer.name, **window))
            case "mean":
                nodes.append(helper.make_node("GlobalAveragePool", [layer.inputs[0]], [raw], layer.name))
        if layer.act == "relu":
            nodes.append(helper.make_node("Relu", [raw], [layer.name], f"{layer.name}_act"))
        elif layer.act == "relu6":
            if not any(t.name == "zero" for t in initializers):
                initializers += [numpy_helper.from_array(np.float32(v), n) for v, n in ((0.0, "zero"), (6.0, "six"))]
            nodes.append(helper.make_node("Clip", [raw, "zero", "six"], [layer.name], f"{layer.name}_act"))
    nodes.append(helper.make_node("Flatten", ["classifier"], ["logits"], "flatten"))
    x = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 224, 224])
    y = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, layers[-1].out_shape[2]])
    graph = helper.make_graph(nodes, "network", [x], [y], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(shape_inference.infer_shapes(model), path)


def to_json(layers: list[Layer], path: Path) -> None:
    """Write the layers for the rivals' own environments, which have neither Chanzi nor onnx."""
    path.write_text(json.dumps([asdict(layer) | {"macs": layer.macs} for layer in layers], indent=1), encoding="utf-8")


def write(folder: Path) -> None:
    """Write every network as .onnx and .json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in NETWORKS.items():
        to_onnx(make(), folder / f"{name}.onnx")
        to_json(make(), folder / f"{name}.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
