"""Photographs that other packages ship: for calibration, and to look at.

Each is pinned by the SHA-256 of its file, taken from the installed package where there is one, else fetched.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from chanzi.errors import ModelError, did_you_mean
from chanzi.zoo.registry import Archive, Progress, fetch_archive, read_member, sha256_of, write_atomic, zoo_dir

Image = npt.NDArray[np.uint8]

SKIMAGE = Archive(registry="pypi", package="scikit-image", version="0.26.0", sha256=None)
SKLEARN = Archive(registry="pypi", package="scikit-learn", version="1.9.1", sha256=None)
STREET = Archive(
    registry="pypi",
    package="ultralytics",
    version="8.4.190",
    sha256="bd309728efa168af64d39040136828edd2dbcb4aeceb4510bdff4f3ca0ea01b8",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """One image file of a package; `shows` says what is on it."""

    name: str
    archive: Archive
    member: str
    sha256: str
    shows: str


def _photo(archive: Archive, member: str, sha256: str, shows: str) -> Photo:
    return Photo(name=Path(member).stem, archive=archive, member=member, sha256=sha256, shows=shows)


PHOTOS: tuple[Photo, ...] = (
    _photo(
        SKIMAGE,
        "skimage/data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "a woman, half length, one face",
    ),
    _photo(
        SKIMAGE, "skimage/data/chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb", "a cat"
    ),
    _photo(
        SKIMAGE,
        "skimage/data/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "a cup of coffee",
    ),
    _photo(
        SKIMAGE,
        "skimage/data/motorcycle_left.png",
        "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
        "a motorcycle in a garage",
    ),
    _photo(
        SKIMAGE,
        "skimage/data/motorcycle_right.png",
        "5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797",
        "the same, from the right camera",
    ),
    _photo(
        SKIMAGE,
        "skimage/data/rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "a rocket on its pad",
    ),
    _photo(
        SKIMAGE,
        "skimage/data/ihc.png",
        "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
        "a stained tissue",
    ),
    _photo(
        SKIMAGE,
        "skimage/data/retina.jpg",
        "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
        "a retina",
    ),
    _photo(
        SKIMAGE,
        "skimage/data/hubble_deep_field.jpg",
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        "galaxies",
    ),
    _photo(
        SKIMAGE,
        "skimage/data/page.png",
        "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3",
        "a printed page",
    ),
    _photo(
        SKIMAGE,
        "skimage/data/text.png",
        "bd84aa3a6e3c9887850d45d606c96b2e59433fbef50338570b63c319e668e6d1",
        "handwriting",
    ),
    _photo(
        SKLEARN,
        "sklearn/datasets/images/china.jpg",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        "a palace",
    ),
    _photo(
        SKLEARN,
        "sklearn/datasets/images/flower.jpg",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        "a flower",
    ),
    _photo(
        STREET,
        "ultralytics/assets/bus.jpg",
        "c02019c4979c191eb739ddd944445ef408dad5679acab6fd520ef9d434bfbc63",
        "a street with a bus and four pedestrians",
    ),
    _photo(
        STREET,
        "ultralytics/assets/zidane.jpg",
        "16d73869e3267a7d4ed00de8e860833bd1657c1b252e94c0c348277adc7b6edb",
        "two men at a football match, two faces",
    ),
)
PEOPLE = ("bus", "zidane", "astronaut")
PAGES = ("page", "text")


def _installed(member: str) -> Path | None:
    package, _, inside = member.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    file = Path(next(iter(spec.submodule_search_locations))) / inside
    return file if file.is_file() else None


def _bytes(entry: Photo, progress: Progress | None) -> bytes:
    kept = zoo_dir() / "photos" / Path(entry.member).name
    for file in (kept, _installed(entry.member)):
        if file is not None and file.is_file() and sha256_of(data := file.read_bytes()) == entry.sha256:
            return data
    data = read_member(fetch_archive(entry.archive, progress), entry.member)
    if sha256_of(data) != entry.sha256:
        raise ModelError(f"photo '{entry.name}' in {entry.archive.label} is not the pinned one")
    kept.parent.mkdir(exist_ok=True)
    write_atomic(kept, data)
    return data


@cache
def photo(name: str, progress: Progress | None = None) -> Image:
    """Return one photo as (height, width, 3) RGB bytes.

    Raises
    ------
    ModelError
        For a name that is not in the table, or a photo that can be neither found nor fetched.
    """
    import io

    import PIL.Image

    entry = next((entry for entry in PHOTOS if entry.name == name), None)
    if entry is None:
        raise ModelError(f"no photo '{name}'", hint=did_you_mean(name, [entry.name for entry in PHOTOS]))
    with PIL.Image.open(io.BytesIO(_bytes(entry, progress))) as image:
        array = np.array(image.convert("RGB"))
    array.flags.writeable = False
    return array


def photos(names: Sequence[str] | None = None, progress: Progress | None = None) -> list[Image]:
    """Return the photos of the given names, or all of them but the two pages of text."""
    chosen = [entry.name for entry in PHOTOS if entry.name not in PAGES] if names is None else names
    return [photo(name, progress) for name in chosen]


def crops(count: int, *, seed: int = 0, names: Sequence[str] | None = None, least: float = 0.4) -> list[Image]:
    """Return `count` random crops, half of them mirrored, taking the photos in turn.

    Parameters
    ----------
    count : int
        How many.
    seed : int
        Of the draw.
    names : sequence of str, optional
        The photos to cut from.
    least : float
        Least share of a photo's height and width that a crop keeps; between it and 1, uniformly, each side alike.
    """
    rng = np.random.default_rng(seed)
    sources, result = photos(names), []
    for index in range(count):
        image = sources[index % len(sources)]
        share = rng.uniform(least, 1)
        height, width = int(image.shape[0] * share), int(image.shape[1] * share)
        top, left = rng.integers(0, image.shape[0] - height + 1), rng.integers(0, image.shape[1] - width + 1)
        crop = image[top : top + height, left : left + width]
        result.append(np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop))
    return result
