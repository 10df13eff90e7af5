"""Layer shapes of networks that published figures were measured on: what the small models of foreign chips run over."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from chanzi.errors import CostError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvShape:
    """One convolution (a fully connected layer is one of 1 x 1 on one pixel) with what follows it on its way out.

    `residual`: a map of the output's size is read and added. `pooled`: outputs written after pooling, 0 for all.
    """

    name: str
    cin: int
    cout: int
    kernel_y: int
    kernel_x: int
    out_y: int
    out_x: int
    stride: int = 1
    groups: int = 1
    residual: bool = False
    pooled: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one frame."""
        return self.cout * self.out_y * self.out_x * self.kernel_y * self.kernel_x * self.cin // self.groups

    @property
    def weights(self) -> int:
        """Weights, a byte each at int8."""
        return self.cout * self.kernel_y * self.kernel_x * self.cin // self.groups

    @property
    def inputs(self) -> int:
        """Elements of the map it reads."""
        return self.cin * self.out_y * self.stride * self.out_x * self.stride

    @property
    def outputs(self) -> int:
        """Elements of the map it writes."""
        return self.cout * (self.pooled or self.out_y * self.out_x)


Shapes = tuple[ConvShape, ...]


def conv(name: str, cin: int, cout: int, k: int, y: int, x: int, stride: int = 1, **more: object) -> ConvShape:
    """Return a square convolution by its output's size; `more` are further fields."""
    shape = ConvShape(name=name, cin=cin, cout=cout, kernel_y=k, kernel_x=k, out_y=y, out_x=x, stride=stride)
    return replace(shape, **more)  # type: ignore[arg-type]


def stem(height: int, width: int) -> tuple[ConvShape, int, int]:
    """Return a ResNet's first convolution, and the size of the map after its pooling."""
    y, x = math.ceil(height / 2), math.ceil(width / 2)
    py, px = math.ceil(y / 2), math.ceil(x / 2)
    return conv("conv1", 3, 64, 7, y, x, 2, pooled=py * px), py, px


def resnet50(height: int = 224, width: int = 224, *, stride_in_3x3: bool = False) -> Shapes:
    """Return ResNet-50: v1 (3.86 GMAC, stride in the first 1 x 1) or v1.5 (4.09 GMAC, stride in the 3 x 3)."""
    first, y, x = stem(height, width)
    layers, cin = [first], 64
    for stage, (width_, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            s = 2 if stage and not block else 1
            yo, xo = math.ceil(y / s), math.ceil(x / s)
            name = f"res{stage + 2}{'abcdef'[block]}"
            y1, x1, s1 = (y, x, 1) if stride_in_3x3 else (yo, xo, s)
            layers.append(conv(f"{name}_1", cin, width_, 1, y1, x1, s1))
            layers.append(conv(f"{name}_2", width_, width_, 3, yo, xo, s if stride_in_3x3 else 1))
            if not block:
                layers.append(conv(f"{name}_0", cin, 4 * width_, 1, yo, xo, s))
            layers.append(conv(f"{name}_3", width_, 4 * width_, 1, yo, xo, residual=True))
            cin, y, x = 4 * width_, yo, xo
    layers.append(conv("fc", 2048, 1000, 1, 1, 1))
    return tuple(layers)


def resnet34(height: int = 224, width: int = 224) -> Shapes:
    """Return the convolutions of ResNet-34 (a backbone: no classifier)."""
    first, y, x = stem(height, width)
    layers, cin = [first], 64
    for stage, (cout, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            s = 2 if stage and not block else 1
            y, x = math.ceil(y / s), math.ceil(x / s)
            name = f"res{stage + 2}{'abcdef'[block]}"
            layers.append(conv(f"{name}_1", cin, cout, 3, y, x, s))
            if s == 2:
                layers.append(conv(f"{name}_0", cin, cout, 1, y, x, s))
            layers.append(conv(f"{name}_2", cout, cout, 3, y, x, residual=True))
            cin = cout
    return tuple(layers)


_INCEPTION = {
    "3a": (192, 64, 96, 128, 16, 32, 32, 8),
    "3b": (256, 128, 128, 192, 32, 96, 64, 8),
    "4a": (480, 192, 96, 208, 16, 48, 64, 16),
    "4b": (512, 160, 112, 224, 24, 64, 64, 16),
    "4c": (512, 128, 128, 256, 24, 64, 64, 16),
    "4d": (512, 112, 144, 288, 32, 64, 64, 16),
    "4e": (528, 256, 160, 320, 32, 128, 128, 16),
    "5a": (832, 256, 160, 320, 32, 128, 128, 32),
    "5b": (832, 384, 192, 384, 48, 128, 128, 32),
}


def googlenet(height: int = 224, width: int = 224) -> Shapes:
    """Return GoogLeNet (Inception v1): 1.58 GMAC at 224 x 224."""

    def at(step: int) -> tuple[int, int]:
        return math.ceil(height / step), math.ceil(width / step)

    first, y, x = stem(height, width)
    py, px = at(8)
    layers = [first, conv("conv2r", 64, 64, 1, y, x), conv("conv2", 64, 192, 3, y, x, pooled=py * px)]
    for name, (cin, one, r3, three, r5, five, proj, step) in _INCEPTION.items():
        y, x = at(step)
        layers.append(conv(f"{name}_1x1", cin, one, 1, y, x))
        layers.append(conv(f"{name}_3x3r", cin, r3, 1, y, x))
        layers.append(conv(f"{name}_3x3", r3, three, 3, y, x))
        layers.append(conv(f"{name}_5x5r", cin, r5, 1, y, x))
        layers.append(conv(f"{name}_5x5", r5, five, 5, y, x))
        layers.append(conv(f"{name}_proj", cin, proj, 1, y, x))
    layers.append(conv("fc", 1024, 1000, 1, 1, 1))
    return tuple(layers)


def _inception_a(cin: int, pool: int, size: tuple[int, int], name: str) -> Iterator[ConvShape]:
    y, x = size
    for branch in (((64, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3)), ((pool, 1),)):
        c = cin
        for i, (cout, k) in enumerate(branch):
            yield conv(f"{name}_{len(branch)}{i}", c, cout, k, y, x)
            c = cout


def _chain(name: str, cin: int, steps: tuple[tuple[int, int, int], ...], y: int, x: int) -> Iterator[ConvShape]:
    for i, (cout, ky, kx) in enumerate(steps):
        yield ConvShape(name=f"{name}{i}", cin=cin, cout=cout, kernel_y=ky, kernel_x=kx, out_y=y, out_x=x)
        cin = cout


def inception_v3(height: int = 299, width: int = 299) -> Shapes:
    """Return Inception v3: 5.71 GMAC at 299 x 299."""

    def at(n: int) -> tuple[int, int, int, int, int]:
        half = (n - 3) // 2 + 1
        pool = (half - 2 - 3) // 2 + 1
        third = (pool - 2 - 3) // 2 + 1
        fourth = (third - 3) // 2 + 1
        return half, pool, third, fourth, (fourth - 3) // 2 + 1

    (h1, h2, h3, h4, h5), (w1, w2, w3, w4, w5) = at(height), at(width)
    layers = [conv("1a", 3, 32, 3, h1, w1, 2), conv("2a", 32, 32, 3, h1 - 2, w1 - 2)]
    layers.append(conv("2b", 32, 64, 3, h1 - 2, w1 - 2, pooled=h2 * w2))
    layers.append(conv("3b", 64, 80, 1, h2, w2))
    layers.append(conv("4a", 80, 192, 3, h2 - 2, w2 - 2, pooled=h3 * w3))
    for name, cin, pool in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        layers += _inception_a(cin, pool, (h3, w3), name)
    layers += [conv("6a_3", 288, 384, 3, h4, w4, 2), *_chain("6a_d", 288, ((64, 1, 1), (96, 3, 3)), h3, w3)]
    layers.append(conv("6a_d2", 96, 96, 3, h4, w4, 2))
    for name, c in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        layers += _chain(f"{name}_1", 768, ((192, 1, 1),), h4, w4)
        layers += _chain(f"{name}_7", 768, ((c, 1, 1), (c, 1, 7), (192, 7, 1)), h4, w4)
        layers += _chain(f"{name}_d", 768, ((c, 1, 1), (c, 7, 1), (c, 1, 7), (c, 7, 1), (192, 1, 7)), h4, w4)
        layers += _chain(f"{name}_p", 768, ((192, 1, 1),), h4, w4)
    layers += [conv("7a_1", 768, 192, 1, h4, w4), conv("7a_2", 192, 320, 3, h5, w5, 2)]
    layers += [
        *_chain("7a_7", 768, ((192, 1, 1), (192, 1, 7), (192, 7, 1)), h4, w4),
        conv("7a_4", 192, 192, 3, h5, w5, 2),
    ]
    for name, cin in (("7b", 1280), ("7c", 2048)):
        layers += _chain(f"{name}_1", cin, ((320, 1, 1),), h5, w5)
        layers += _chain(f"{name}_3", cin, ((384, 1, 1), (384, 1, 3)), h5, w5)
        layers += _chain(f"{name}_3b", 384, ((384, 3, 1),), h5, w5)
        layers += _chain(f"{name}_d", cin, ((448, 1, 1), (384, 3, 3), (384, 1, 3)), h5, w5)
        layers += _chain(f"{name}_db", 384, ((384, 3, 1),), h5, w5)
        layers += _chain(f"{name}_p", cin, ((192, 1, 1),), h5, w5)
    layers.append(conv("fc", 2048, 1000, 1, 1, 1))
    return tuple(layers)


def alexnet(height: int = 227, width: int = 227) -> Shapes:
    """Return the five convolutions of AlexNet: 0.666 GMAC at 227 x 227."""
    y1, x1 = (height - 11) // 4 + 1, (width - 11) // 4 + 1
    y2, x2 = (y1 - 3) // 2 + 1, (x1 - 3) // 2 + 1
    y3, x3 = (y2 - 3) // 2 + 1, (x2 - 3) // 2 + 1
    return (
        conv("conv1", 3, 96, 11, y1, x1, 4, pooled=y2 * x2),
        conv("conv2", 96, 256, 5, y2, x2, groups=2, pooled=y3 * x3),
        conv("conv3", 256, 384, 3, y3, x3),
        conv("conv4", 384, 384, 3, y3, x3, groups=2),
        conv("conv5", 384, 256, 3, y3, x3, groups=2),
    )


def vgg16(height: int = 224, width: int = 224) -> Shapes:
    """Return the thirteen convolutions of VGG-16: 15.3 GMAC at 224 x 224."""

    def layers() -> Iterator[ConvShape]:
        cin, y, x = 3, height, width
        for stage, (cout, n) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
            for i in range(n):
                pooled = (y // 2) * (x // 2) if i == n - 1 else 0
                yield conv(f"conv{stage + 1}_{i + 1}", cin, cout, 3, y, x, pooled=pooled)
                cin = cout
            y, x = y // 2, x // 2

    return tuple(layers())


NETWORKS = {
    "resnet50": resnet50,
    "resnet34": resnet34,
    "googlenet": googlenet,
    "inception_v3": inception_v3,
    "alexnet": alexnet,
    "vgg16": vgg16,
}


def shapes_of(network: str, height: int, width: int) -> Shapes:
    """Return a network's layers at an input size.

    Raises
    ------
    CostError
        No such network.
    """
    if network not in NETWORKS:
        raise CostError(f"no layer shapes of '{network}'", hint=did_you_mean(network, NETWORKS))
    return NETWORKS[network](height, width)


def total_macs(shapes: Shapes) -> int:
    """Return multiply-accumulates of a frame."""
    return sum(s.macs for s in shapes)
