"""Files a person has at hand, made into feeds: .npy, .npz, photos, and folders of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from chanzi.errors import RunError
from chanzi.program.model import TensorInfo

Array = npt.NDArray[Any]
Feed = dict[str, Array]
Layout = Literal["auto", "nchw", "nhwc"]

PHOTO_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
ARRAY_SUFFIXES = (".npy", ".npz")
MAX_PIXELS = 1 << 27
MAX_ARRAY_BYTES = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """From a photo to a network's input: resize, divide by 255, subtract `mean`, divide by `std`.

    `mean` and `std` are one figure or one for each channel, in units of the range 0 to 1. Networks with integer inputs
    get the pixels 0 to 255 as they are. `layout` 'auto' takes the axis of 1, 3 or 4 for the channels.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Layout = "auto"

    def __post_init__(self) -> None:
        if not all(np.isfinite(self.mean)) or not all(np.isfinite(s) and s > 0 for s in self.std):
            raise RunError(
                f"mean {list(self.mean)} and std {list(self.std)} must be finite, std above zero",
                hint="--mean 0.485 --mean 0.456 --mean 0.406",
            )


def list_files(paths: Sequence[Path]) -> list[Path]:
    """Return `paths` with each folder replaced by the photos and arrays in it, by name.

    Raises
    ------
    RunError
        A path does not exist, is of a kind that is not read, or is a folder with nothing to read.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES + ARRAY_SUFFIXES)
            if not inside:
                raise RunError(f"no photo and no array in the folder {path}", hint=_kinds())
            found += inside
        elif not path.exists():
            raise RunError(f"no file {path}", hint="check the path")
        elif path.suffix.lower() not in PHOTO_SUFFIXES + ARRAY_SUFFIXES:
            network = path.suffix.lower() in (".onnx", ".chz")
            raise RunError(f"{path} is no kind of input", hint=f"--model {path}" if network else _kinds())
        else:
            found.append(path)
    return found


def _kinds() -> str:
    return "inputs are " + " ".join(ARRAY_SUFFIXES + PHOTO_SUFFIXES)


def read_feeds(paths: Sequence[Path], infos: Sequence[TensorInfo], pre: Preprocessing) -> Iterator[Feed]:
    """Yield one feed for each file (an .npz holds all inputs; the others are for networks of one input).

    Raises
    ------
    RunError
        A file cannot be read or does not fit the network's inputs.
    """
    for path in list_files(paths):
        suffix = path.suffix.lower()
        if suffix == ".npz":
            yield _from_npz(path, infos)
            continue
        if len(infos) != 1:
            raise RunError(
                f"the network has {len(infos)} inputs, {path.name} is one array",
                hint=f"give an .npz with the names {', '.join(info.name for info in infos)}",
            )
        info = infos[0]
        yield {info.name: fit(_from_npy(path), info) if suffix == ".npy" else photo(path, info, pre)}


def _from_npy(path: Path) -> Array:
    try:
        if path.stat().st_size > MAX_ARRAY_BYTES:
            raise RunError(f"{path} is larger than {MAX_ARRAY_BYTES >> 30} GiB", hint="give fewer frames")
        # mapped, so that a header that promises more than the file holds is refused before memory is taken
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}", hint="check the path") from None
    except (ValueError, EOFError, SyntaxError, TypeError, OverflowError) as error:
        raise RunError(f"{path} is not a sound .npy file: {_short(error)}", hint="write it with numpy.save") from None
    if not isinstance(array, np.ndarray):
        raise RunError(f"{path} is not an .npy file", hint="write it with numpy.save")
    return array


def _from_npz(path: Path, infos: Sequence[TensorInfo]) -> Feed:
    import zipfile
    import zlib

    try:
        with np.load(path, allow_pickle=False) as file:
            names = file.files
            wanted = {info.name: info.name for info in infos}
            if len(infos) == 1 and len(names) == 1:
                wanted = {infos[0].name: names[0]}
            missing = [name for name, key in wanted.items() if key not in names]
            if missing:
                raise RunError(f"{path} has no array '{missing[0]}'", hint=f"it has {', '.join(names) or 'nothing'}")
            promised = sum(entry.file_size for entry in file.zip.infolist())
            if promised > MAX_ARRAY_BYTES:
                raise RunError(f"{path} unpacks to more than {MAX_ARRAY_BYTES >> 30} GiB", hint="give fewer frames")
            arrays = {name: file[key] for name, key in wanted.items()}
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}", hint="check the path") from None
    except (
        ValueError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
        AttributeError,
        TypeError,  # an .npy under the other name is an array, no archive
        NotImplementedError,
    ) as error:
        raise RunError(f"{path} is not a sound .npz file: {_short(error)}", hint="write it with numpy.savez") from None
    by_name = {info.name: info for info in infos}
    return {name: fit(array, by_name[name]) for name, array in arrays.items()}


def fit(array: Array, info: TensorInfo) -> Array:
    """Return `array` with the batch axis it may lack, and as the input's type where no value changes by that.

    What still does not fit is left to the session's own words.
    """
    frame = info.frame or info.shape
    if frame is not None and array.ndim == len(frame) - 1 and frame[0] == 1:
        array = array[None]
    if (
        info.dtype is None
        or array.dtype == info.dtype
        or array.dtype.kind not in "fiub"
        or info.dtype.kind not in "fiu"
    ):
        return array
    with np.errstate(all="ignore"):
        cast = array.astype(info.dtype)
    same = np.array_equal(cast.astype(array.dtype), array, equal_nan=array.dtype.kind == "f")
    # float64 to float32 rounds, and that is what everyone means
    both_float = array.dtype.kind == "f" and info.dtype.kind == "f"
    return cast if same or both_float else array


def photo(path: Path, info: TensorInfo, pre: Preprocessing) -> Array:
    """Return the photo at `path` as the input `info`: resized (bilinear), in its layout and type."""
    height, width, channels, first = _photo_shape(info, pre.layout)
    pixels = _pixels(path, height, width, channels)
    assert info.dtype is not None  # _photo_shape refuses the others
    if info.dtype.kind == "f":
        for name, figures in (("mean", pre.mean), ("std", pre.std)):
            if len(figures) not in (1, channels):
                raise RunError(f"--{name} has {len(figures)} figures", hint=f"give 1 or {channels}, one a channel")
        scaled = pixels.astype(np.float32) / np.float32(255)
        values = (scaled - np.array(pre.mean, np.float32)) / np.array(pre.std, np.float32)
    else:
        values = pixels
    if first:
        values = values.transpose(2, 0, 1)
    rank = len(info.frame or info.shape or ())
    return np.ascontiguousarray(values.reshape((1,) * (rank - 3) + values.shape), info.dtype)


def _photo_shape(info: TensorInfo, layout: Layout) -> tuple[int, int, int, bool]:
    """Return (height, width, channels, channels first)."""
    frame = info.frame or info.shape
    dims = tuple(frame or ())
    if (
        info.dtype is None
        or info.dtype.kind not in "fu"
        or len(dims) not in (3, 4)
        or (len(dims) == 4 and dims[0] != 1)
    ):
        raise RunError(
            f"input {info.name} ({info.type} {info.shown_shape}) takes no photo", hint="give an .npy or .npz"
        )
    shape = dims[-3:]
    if not all(isinstance(size, int) and size > 0 for size in shape):
        raise RunError(f"input {info.name} has no fixed size ({info.shown_shape})", hint="give an .npy or .npz")
    first = shape[0] in (1, 3, 4) if layout == "auto" else layout == "nchw"
    sizes = [int(size) for size in shape if isinstance(size, int)]  # all of them are, as was asked above
    channels, height, width = sizes if first else (sizes[2], sizes[0], sizes[1])
    if channels not in (1, 3, 4):
        raise RunError(
            f"input {info.name} has {channels} channels, a photo 1, 3 or 4",
            hint="--layout nchw or nhwc, or give an .npy",
        )
    return height, width, channels, first


def _pixels(path: Path, height: int, width: int, channels: int) -> npt.NDArray[np.uint8]:
    import warnings

    from PIL import Image, ImageOps

    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                _refuse_giants(path, image.width, image.height)
                upright = ImageOps.exif_transpose(image)
                resized = upright.convert(mode).resize((width, height), Image.Resampling.BILINEAR)
    except RunError:
        raise
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError, EOFError, IndexError) as error:
        raise RunError(f"cannot read the photo {path}: {_short(error)}", hint="is it whole?") from None
    return np.asarray(resized, np.uint8).reshape(height, width, channels)


def _refuse_giants(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise RunError(f"{path} has {width}x{height} pixels", hint="make it smaller")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
