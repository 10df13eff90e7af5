"""The five networks that `chanzi-one` is searched and measured on, quantized once and kept in the cache folder.

Cycles, events and so joules do not depend on weights, so a frame of seeded noise calibrates those of the zoo; the
driving network is the one that ships. Needs the extra [torch] the first time.
"""

from pathlib import Path

from noise import noise_frame

from chanzi import zoo
from chanzi.drive.network.files import shipped
from chanzi.explore.networks import Quantized, quantized
from chanzi.settings import cache_dir

TITLES = {
    "drive": "driving network",
    "resnet50": "ResNet-50",
    "mobilenet_v2": "MobileNetV2",
    "pedestrian": "pedestrian detector",
    "efficientnet_lite0": "EfficientNet-Lite0",
}
RECIPE = 1
"""Raised whenever a network here becomes another one."""


def five() -> tuple[Quantized, ...]:
    """Return the networks, all of the same weight."""
    return tuple(Quantized(name=name, weight=1 / len(TITLES), data=_data(name)) for name in TITLES)


def _data(name: str) -> bytes:
    if name != "drive":
        return _kept(name).read_bytes()
    network = shipped()
    assert network is not None
    return quantized(name, 1.0, network.int8, None).data


def _kept(name: str) -> Path:
    path = cache_dir() / "bench" / f"{name}-r{RECIPE}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(_noise(name))
        part.replace(path)
    return path


def _noise(name: str) -> bytes:
    """Return a network of the zoo, calibrated with a frame of noise."""
    path = zoo.fetch(name)
    return quantized(name, 1.0, path, [noise_frame(path)]).data
