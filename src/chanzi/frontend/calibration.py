"""Frames to calibrate with: a folder of images, an .npz, or any iterable of feeds."""

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from chanzi.errors import ModelError

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MAX_FRAMES = 512
MAX_BYTES = 1 << 32
Feed = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """From an 8-bit RGB image to a network's input: ``(pixel * scale - mean) / std``.

    `layout` is 'auto' (channels first unless only the last axis has 1 or 3 entries), 'nchw' or 'nhwc'.
    """

    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    layout: str = "auto"


def feeds_of(
    calibration: "str | Path | Iterable[Feed]", proto: onnx.ModelProto, preprocessing: Preprocessing | None = None
) -> Iterable[Feed]:
    """Return the feeds of a folder of images, an .npz file, or the iterable itself.

    Raises
    ------
    ModelError
        No such file or folder, nothing usable in it, or arrays that do not fit the inputs.
    """
    if not isinstance(calibration, str | Path):
        return calibration
    path = Path(calibration)
    if path.is_dir():
        return _folder(path, proto, preprocessing or Preprocessing())
    if path.suffix == ".npz":
        return _npz(path, proto)
    if not path.exists():
        raise ModelError(f"no such file or folder: {path}", hint="give a folder of images or an .npz")
    raise ModelError(f"cannot calibrate with {path}", hint="give a folder of images or an .npz")


def _inputs(proto: onnx.ModelProto) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    constant = {t.name for t in proto.graph.initializer}
    found = {}
    for value in proto.graph.input:
        if value.name not in constant:
            kind = value.type.tensor_type
            shape = tuple(max(d.dim_value, 1) for d in kind.shape.dim)
            found[value.name] = (shape, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return found


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            promised = sum(entry.file_size for entry in archive.zip.infolist()) if archive.zip is not None else 0
            if promised > MAX_BYTES:
                raise ModelError(f"{path} unpacks to {promised >> 20} MiB", hint=f"at most {MAX_BYTES >> 20}")
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"cannot read {path}: {error}", hint="write it with numpy.savez") from None


def _npz(path: Path, proto: onnx.ModelProto) -> list[dict[str, np.ndarray]]:
    arrays = _arrays(path)
    inputs = _inputs(proto)
    if len(inputs) == 1 and len(arrays) == 1:
        arrays = {next(iter(inputs)): next(iter(arrays.values()))}
    missing = set(inputs) - set(arrays)
    if missing:
        raise ModelError(
            f"{path} has no array '{sorted(missing)[0]}'", hint="one array for each input: " + ", ".join(inputs)
        )
    feeds = []
    count = min(len(arrays[name]) for name in inputs)
    for i in range(min(count, MAX_FRAMES)):
        feed = {}
        for name, (shape, dtype) in inputs.items():
            frame = np.asarray(arrays[name][i])
            if frame.size != int(np.prod(shape)):
                raise ModelError(f"{path}: '{name}' has frames of {frame.shape}, the network wants {shape[1:]}")
            feed[name] = frame.reshape(shape).astype(dtype)
        feeds.append(feed)
    if not feeds:
        raise ModelError(f"{path} holds no frame", hint="the first axis of each array counts frames")
    return feeds


def image_feed(path: Path, shape: tuple[int, ...], dtype: Any, how: Preprocessing) -> np.ndarray:
    """Return one image, resized to the input's height and width and normalised.

    Raises
    ------
    ModelError
        The file is no image, or the input is no image's.
    """
    from PIL import Image, UnidentifiedImageError

    if len(shape) != 4 or shape[0] != 1:
        raise ModelError(f"an input of shape {shape} is no image", hint="calibrate with an .npz")
    last = shape[3] in (1, 3) and shape[1] not in (1, 3)
    nhwc = how.layout == "nhwc" or (how.layout == "auto" and last)
    height, width, channels = shape[1:] if nhwc else (shape[2], shape[3], shape[1])
    if channels not in (1, 3):
        raise ModelError(f"an input of {channels} channels is no image", hint="calibrate with an .npz")
    try:
        with Image.open(path) as image:
            mode = "RGB" if channels == 3 else "L"
            pixels = np.asarray(image.convert(mode).resize((width, height), Image.Resampling.BILINEAR))
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
        raise ModelError(f"cannot read {path}: {error}", hint="JPEG and PNG are understood") from None
    pixels = pixels.reshape(height, width, channels)
    if np.dtype(dtype).kind != "f":
        values = pixels.astype(dtype)
    else:
        mean = np.asarray((how.mean * channels)[:channels], np.float32)
        std = np.asarray((how.std * channels)[:channels], np.float32)
        values = ((pixels.astype(np.float32) * np.float32(how.scale) - mean) / std).astype(dtype)
    return values[None] if nhwc else np.ascontiguousarray(values.transpose(2, 0, 1))[None]


def _folder(path: Path, proto: onnx.ModelProto, how: Preprocessing) -> list[dict[str, np.ndarray]]:
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in IMAGES)[:MAX_FRAMES]
    if not files:
        raise ModelError(f"no image in {path}", hint="put some " + ", ".join(IMAGES) + " there")
    inputs = _inputs(proto)
    if len(inputs) != 1:
        raise ModelError(f"the network has {len(inputs)} inputs", hint="calibrate with an .npz, an array for each")
    name, (shape, dtype) = next(iter(inputs.items()))
    return [{name: image_feed(f, shape, dtype, how)} for f in files]
