"""MobileNetV2 and RegNetX as PyTorch modules, seeded, exported by ``torch.onnx.export(dynamo=True)``.

They stand for what PyTorch's exporter writes. PyTorch and onnxscript (an extra) are needed once; the ONNX files are
kept in the cache. Architectures: Sandler et al. 2018, table 2 (MobileNetV2 1.0); Radosavovic et al. 2020, figure 16
(RegNetX-400MF: depths 1, 2, 7, 12, widths 32, 64, 160, 384, groups of 16).
"""

import io
import warnings
from typing import TYPE_CHECKING

from chanzi.errors import ModelError
from chanzi.zoo.seeded import seeded_image

if TYPE_CHECKING:
    from torch import nn

SIZE = 224
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Rows of (expansion, channels, blocks, stride of the first)."""
REGNETX_400MF = ((32, 1), (64, 2), (160, 7), (384, 12))
"""Rows of (width, depth)."""
GROUP_WIDTH = 16


def _conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> "list[nn.Module]":
    from torch import nn

    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
    return [conv, nn.BatchNorm2d(outputs)]


def _residual(branch: "nn.Module", shortcut: "nn.Module", last: "nn.Module") -> "nn.Module":
    from torch import Tensor, nn

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch, self.shortcut, self.last = branch, shortcut, last

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.shortcut(x) + self.branch(x))

    return Residual()


def mobilenet_v2() -> "nn.Module":
    """Return MobileNetV2 1.0 (0.30 GMAC at 224x224, 3.5 M parameters)."""
    from torch import nn

    layers: list[nn.Module] = [*_conv(3, 32, 3, stride=2), nn.ReLU6()]
    width = 32
    for expansion, channels, blocks, first in MOBILENET_V2:
        for index in range(blocks):
            stride, hidden = (first if index == 0 else 1), width * expansion
            block = [*_conv(width, hidden, 1), nn.ReLU6()] if expansion > 1 else []
            block += [*_conv(hidden, hidden, 3, stride=stride, groups=hidden), nn.ReLU6(), *_conv(hidden, channels, 1)]
            plain = nn.Sequential(*block)
            same = stride == 1 and width == channels
            layers.append(_residual(plain, nn.Identity(), nn.Identity()) if same else plain)
            width = channels
    layers += [*_conv(width, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
    return nn.Sequential(*layers)


def regnetx_400mf() -> "nn.Module":
    """Return RegNetX-400MF (0.40 GMAC at 224x224, 5.2 M parameters)."""
    from torch import nn

    layers: list[nn.Module] = [*_conv(3, 32, 3, stride=2), nn.ReLU()]
    before = 32
    for width, depth in REGNETX_400MF:
        for index in range(depth):
            stride = 2 if index == 0 else 1
            branch = [*_conv(before, width, 1), nn.ReLU()]
            branch += [*_conv(width, width, 3, stride=stride, groups=width // GROUP_WIDTH), nn.ReLU()]
            branch += _conv(width, width, 1)
            shortcut = nn.Sequential(*_conv(before, width, 1, stride=stride)) if index == 0 else nn.Identity()
            layers.append(_residual(nn.Sequential(*branch), shortcut, nn.ReLU()))
            before = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 1000)]
    return nn.Sequential(*layers)


def export(name: str, *, seed: int = 0) -> bytes:
    """Return the ONNX network ``mobilenet_v2`` or ``regnetx_400mf`` with seeded weights.

    Normalisation statistics are those of eight seeded images, so that activations stay in a trained network's range.
    """
    try:
        import onnxscript  # noqa: F401 (torch's exporter needs it and says so only when it runs)
        import torch
        from torch import nn
    except ImportError as error:
        raise ModelError(f"{name} is exported from PyTorch once", hint="pip install 'chanzi[torch]'") from error
    torch.manual_seed(seed)
    net = {"mobilenet_v2": mobilenet_v2, "regnetx_400mf": regnetx_400mf}[name]()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the last batch alone sets the statistics
    with torch.no_grad():
        net.train()(torch.from_numpy(seeded_image((8, 3, SIZE, SIZE), seed)))
    program = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.onnx.export(
            net.eval(),
            (torch.zeros(1, 3, SIZE, SIZE),),
            dynamo=True,
            input_names=["image"],
            output_names=["logits"],
            verbose=False,
        )
    if exported is None:
        raise ModelError(f"{name}: torch.onnx.export returned nothing")
    exported.save(program)
    return program.getvalue()
