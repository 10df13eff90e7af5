"""The network in PyTorch: residual 3x3 convolutions over all pictures at once, one hidden layer, five heads.

Every product is a dense convolution or a matrix with at least 16 channels on both sides: those fill a 16x16 array, and
depthwise ones do not (`docs/design/drive-network.md` has the cycles).
"""

import copy
import itertools
from typing import TYPE_CHECKING

from chanzi.drive.messages import GRID_COLUMNS, GRID_ROWS, PATH_DISTANCES_M
from chanzi.drive.network.spec import AHEAD, LEFT, OCCUPANCY, SPEED, SPREAD, STATE_BYTES, STRIDE, NetSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

_BYTE = 128.0
"""Pixels and state are divided by it; `export` folds that into the first weights."""


def build(spec: NetSpec) -> "nn.Module":
    """Return the network with fresh weights; seed PyTorch before.

    It takes `IMAGES` (B, 3, cameras * height, width) and `STATE` (B, STATE_BYTES), both 0 to 255, and returns a tuple
    in the order of `OUTPUTS`.
    """
    from torch import nn

    class DriveNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unit = _BYTE
            layers: list[nn.Module] = []
            before = 3
            for width, depth in zip(spec.widths, spec.depths, strict=True):
                layers.append(_conv(before, width, stride=2))
                layers += [_residual(width) for _ in range(depth)]
                before = width
            self.backbone = nn.Sequential(*layers)
            self.neck = _conv(before, spec.neck, kernel=1)
            places = spec.cameras * (spec.height // STRIDE) * (spec.width // STRIDE)
            self.fuse = nn.Linear(places * spec.neck, spec.hidden)
            self.know = nn.Linear(STATE_BYTES, spec.hidden)
            self.think = nn.Linear(spec.hidden, spec.hidden)
            sizes = {
                LEFT: len(PATH_DISTANCES_M),
                AHEAD: len(PATH_DISTANCES_M),
                SPREAD: len(PATH_DISTANCES_M),
                OCCUPANCY: GRID_ROWS * GRID_COLUMNS,
                SPEED: 1,
            }
            self.heads = nn.ModuleList(nn.Linear(spec.hidden, size) for size in sizes.values())

        def forward(self, images: "Tensor", state: "Tensor") -> "tuple[Tensor, ...]":
            if self.unit != 1:
                images, state = images / self.unit, state / self.unit
            seen = self.neck(self.backbone(images))
            met = (self.fuse(seen.flatten(1)) + self.know(state)).relu()
            thought = self.think(met).relu()
            return tuple(head(thought) for head in self.heads)

    return DriveNet()


def _conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> "nn.Module":
    from torch import nn

    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def _residual(width: int) -> "nn.Module":
    from torch import Tensor, nn

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = _conv(width, width)
            self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

        def forward(self, x: Tensor) -> Tensor:
            return (x + self.second(self.first(x))).relu()

    return Residual()


def folded(net: "nn.Module") -> "nn.Module":
    """Return a copy for inference: normalization and the division of bytes folded into the weights before or after."""
    import torch
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    plain = copy.deepcopy(net).eval()

    def fold(module: nn.Module) -> None:
        children = list(module.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
        for child in module.children():
            fold(child)

    fold(plain)
    with torch.no_grad():
        first = next(module for module in plain.modules() if isinstance(module, nn.Conv2d))
        for module in (first, plain.know):
            module.weight /= plain.unit
    plain.unit = 1
    return plain
