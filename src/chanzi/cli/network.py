"""What a person names on the command line, made into a session and the feeds to run: a file, a .chz, a zoo network."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chanzi.chip import DEFAULT_CHIP, Chip, load_chip
from chanzi.cli.console import note, working
from chanzi.cli.inputs import PHOTO_SUFFIXES, Feed, Preprocessing, list_files, read_feeds
from chanzi.errors import ChanziError, ModelError, did_you_mean
from chanzi.program.model import TensorInfo
from chanzi.runtime.build import Method, Mode, Scheme
from chanzi.runtime.execute import Sim
from chanzi.runtime.session import Session
from chanzi.runtime.source import Source, read_source

if TYPE_CHECKING:
    from chanzi.runtime.hardware import Waveform

DEFAULT_MODEL = "digits"
CALIBRATION_FRAMES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """How to quantize and compile."""

    mode: Mode = "single"
    scheme: Scheme = "u8s8"
    method: Method = "minmax"
    resident: bool = True
    calibrate: Path | None = None
    pre: Preprocessing = Preprocessing()  # noqa: RUF009 - frozen, so it may be shared


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A named network: where its file is, and the zoo's entry of that name."""

    path: Path
    zoo: str | None = None

    @property
    def name(self) -> str:
        """What to call it in tables."""
        return self.zoo or self.path.stem


def find(model: str) -> Model:
    """Return the network of that path or zoo name; one of the zoo is fetched the first time.

    Raises
    ------
    ModelError
        There is no such file and no such name.
    """
    path = Path(model)
    if path.is_file() or path.suffix in (".onnx", ".chz"):
        return Model(path=path)
    from chanzi import zoo

    if model in zoo.NETWORKS:
        return Model(path=zoo.fetch(model, note), zoo=model)
    raise ModelError(f"no file and no network '{model}'", hint=did_you_mean(model, zoo.NETWORKS))


@contextmanager
def opened(
    model: Model,
    chip: str | None,
    choices: Choices,
    inputs: Sequence[Path],
    sim: Sim,
    waveform: "Waveform | None" = None,
) -> Iterator[Session]:
    """Yield a compiled session of `model`."""
    with working(f"compiling {model.name}"):
        session = _session(model, chip, choices, inputs, sim, waveform)
    yield session


def _session(
    model: Model,
    chip: str | None,
    choices: Choices,
    inputs: Sequence[Path],
    sim: Sim,
    waveform: "Waveform | None",
) -> Session:
    source = read_source(model.path)
    if source.is_program:
        from chanzi.program.verify import verify

        session = Session(model.path, chip, sim=sim, waveform=waveform)
        verify(session.model)
        return session
    return Session(
        model.path,
        described(chip),
        calibration=calibration(model, source, choices, inputs),
        sim=sim,
        mode=choices.mode,
        scheme=choices.scheme,
        method=choices.method,
        resident=choices.resident,
        waveform=waveform,
    )


def described(chip: str | None) -> Chip:
    """Return the chip of that name or path, or the default."""
    return load_chip(DEFAULT_CHIP if chip is None else chip)


def calibration(model: Model, source: Source, choices: Choices, inputs: Sequence[Path]) -> list[Feed] | None:
    """Return what a float network is calibrated with; None for one that needs nothing.

    The folder that was named, else the zoo's own photos, else the inputs of this run, else noise (and a note).
    """
    if source.quantized or choices.scheme == "none":
        return None
    from chanzi.runtime.declared import declared

    infos, _ = declared(source)
    if choices.calibrate is not None:
        return list(read_feeds([choices.calibrate], infos, choices.pre))
    if model.zoo is not None:
        from chanzi import zoo

        return zoo.calibration(model.zoo, CALIBRATION_FRAMES)
    if inputs:
        note("calibrating with the inputs of this run; --calibrate DIR names better ones")
        return list(read_feeds(inputs, infos, choices.pre))
    note("calibrating with noise: cycles are right, outputs mean little; --calibrate DIR names photos")
    return [noise(infos, seed) for seed in range(2)]


def feeds(model: Model, session: Session, inputs: Sequence[Path], pre: Preprocessing) -> list[tuple[str, Feed]]:
    """Return (what it is, feed) for each frame to run: the files named, else an example of the zoo's, else noise."""
    infos = session.input_infos
    if not inputs:
        if model.zoo == DEFAULT_MODEL:
            from chanzi.zoo import digits

            data = digits.load_data()
            return [(f"a held-out image of {data.test_labels[0]}", {digits.INPUT: data.test_images[:1]})]
        if model.zoo is not None:
            from chanzi import zoo

            return [("a photo of the zoo", zoo.calibration(model.zoo, 1, seed=7)[0])]
        return [("noise", noise(infos, 0))]
    found: list[tuple[str, Feed]] = []
    for path in list_files(inputs):
        if model.zoo is not None and path.suffix.lower() in PHOTO_SUFFIXES:
            found.append((path.name, _zoo_photo(model.zoo, path)))
        else:
            found += [(path.name, feed) for feed in read_feeds([path], infos, pre)]
    return found


def _zoo_photo(name: str, path: Path) -> Feed:
    from PIL import Image

    from chanzi import zoo

    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ChanziError(f"cannot read the photo {path}: {error}", hint="is it whole?") from None
    return dict(zoo.feed(name, pixels))


def noise(infos: Sequence[TensorInfo], seed: int) -> dict[str, Any]:
    """Return seeded inputs of the declared shapes, open axes 1.

    Raises
    ------
    ModelError
        A shape or type that cannot be made up.
    """
    rng = np.random.default_rng(seed)
    feed = {}
    for info in infos:
        shape = [dim if isinstance(dim, int) and dim > 0 else 1 for dim in (info.frame or info.shape or ())]
        open_axes = info.frame is None and any(not isinstance(dim, int) for dim in (info.shape or (None,))[1:])
        if info.dtype is None or open_axes:
            raise ModelError(
                f"input '{info.name}' ({info.type} {info.shown_shape}) cannot be made up", hint="give an .npy or .npz"
            )
        values = rng.normal(0, 1, shape) if info.dtype.kind == "f" else rng.integers(0, 2, shape)
        feed[info.name] = values.astype(info.dtype)
    return feed
