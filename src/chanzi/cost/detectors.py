"""Layer shapes of detectors that NVIDIA measured on Orin's DLA; the last step, choosing boxes, runs elsewhere."""

import math
from collections.abc import Iterator

from chanzi.cost.shapes import ConvShape, Shapes, conv, resnet34, stem

_ANCHORS, _BOX = 9, 4


def resnext50(height: int = 224, width: int = 224) -> Shapes:
    """Return the convolutions of ResNeXt-50 32x4d (a backbone): 4.2 GMAC at 224 x 224."""
    first, y, x = stem(height, width)
    layers, cin = [first], 64
    for stage, (inner, blocks) in enumerate(((128, 3), (256, 4), (512, 6), (1024, 3))):
        for block in range(blocks):
            s = 2 if stage and not block else 1
            yo, xo = math.ceil(y / s), math.ceil(x / s)
            name = f"res{stage + 2}{'abcdef'[block]}"
            layers.append(conv(f"{name}_1", cin, inner, 1, y, x))
            layers.append(conv(f"{name}_2", inner, inner, 3, yo, xo, s, groups=32))
            if not block:
                layers.append(conv(f"{name}_0", cin, 2 * inner, 1, yo, xo, s))
            layers.append(conv(f"{name}_3", inner, 2 * inner, 1, yo, xo, residual=True))
            cin, y, x = 2 * inner, yo, xo
    return tuple(layers)


def _retina(height: int, width: int, channels: tuple[int, int, int], *, classes: int, top: int) -> Iterator[ConvShape]:
    """Yield the pyramid over maps of a backbone at 8, 16 and 32, then both heads of four convolutions at five sizes."""
    sizes = [(math.ceil(height / s), math.ceil(width / s)) for s in (8, 16, 32, 64, 128)]
    for i, (cin, (y, x)) in enumerate(zip(channels, sizes[:3], strict=True)):
        yield conv(f"lateral{i + 3}", cin, 256, 1, y, x, residual=i < 2)
        yield conv(f"smooth{i + 3}", 256, 256, 3, y, x)
    yield conv("p6", top, 256, 3, *sizes[3], 2)
    yield conv("p7", 256, 256, 3, *sizes[4], 2)
    for level, (y, x) in enumerate(sizes):
        for head, cout in (("class", _ANCHORS * classes), ("box", _ANCHORS * _BOX)):
            for i in range(4):
                yield conv(f"{head}{level + 3}_{i}", 256, 256, 3, y, x)
            yield conv(f"{head}{level + 3}", 256, cout, 3, y, x)


def retinanet_resnet34(height: int = 768, width: int = 1280) -> Shapes:
    """Return RetinaNet on ResNet-34, 80 classes, the sixth map made from the backbone's last."""
    heads = _retina(height, width, (128, 256, 512), classes=80, top=512)
    return (*resnet34(height, width), *heads)


def retinanet_resnext50(height: int = 800, width: int = 800) -> Shapes:
    """Return MLPerf's RetinaNet on ResNeXt-50 32x4d, 264 classes."""
    heads = _retina(height, width, (512, 1024, 2048), classes=264, top=256)
    return (*resnext50(height, width), *heads)


def ssd_mobilenet_v1(height: int = 300, width: int = 300) -> Shapes:
    """Return MLPerf's SSD on MobileNetV1, 91 classes: 1.2 GMAC at 300 x 300."""

    def at(step: int) -> tuple[int, int]:
        return math.ceil(height / step), math.ceil(width / step)

    layers, cin, step = [conv("conv0", 3, 32, 3, *at(2), 2)], 32, 2
    blocks = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
    maps = []
    for i, (cout, s) in enumerate(blocks):
        step *= s
        layers.append(conv(f"depth{i + 1}", cin, cin, 3, *at(step), s, groups=cin))
        layers.append(conv(f"point{i + 1}", cin, cout, 1, *at(step)))
        cin = cout
        if i in (10, 12):
            maps.append((cout, *at(step)))
    for inner, cout in ((256, 512), (128, 256), (128, 256), (64, 128)):
        y, x = maps[-1][1:]
        layers.append(conv(f"extra{cout}_{step}_1", cin, inner, 1, y, x))
        y, x, step = math.ceil(y / 2), math.ceil(x / 2), 2 * step
        layers.append(conv(f"extra{cout}_{step}_2", inner, cout, 3, y, x, 2))
        maps.append((cout, y, x))
        cin = cout
    for i, (c, y, x) in enumerate(maps):
        boxes = 6 if i else 3
        layers.append(conv(f"classes{i}", c, 91 * boxes, 1, y, x))
        layers.append(conv(f"boxes{i}", c, _BOX * boxes, 1, y, x))
    return tuple(layers)
