"""The network at the wheel: a frame in, what it says of the road out, after as long as its chip takes.

Three ways to run the same network: `float` and `ort-int8` on ONNX Runtime, `chip` on the simulated chip. The last two
give the same bytes. All take the chip's time, so that what differs in a drive is the arithmetic alone.
"""

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from chanzi.chip import Chip
from chanzi.drive.episode import Answer
from chanzi.drive.messages import Frame, Perception
from chanzi.drive.network.export import spec_of
from chanzi.drive.network.spec import OUTPUTS, FloatArray, NetSpec, feed, perception
from chanzi.drive.world.world import World
from chanzi.errors import DriveError, did_you_mean
from chanzi.runtime.build import Mode
from chanzi.runtime.session import Session

Backend = Literal["float", "ort-int8", "chip"]
BACKENDS: tuple[str, ...] = get_args(Backend)


class Pilot:
    """A network that looks at frames.

    Parameters
    ----------
    int8 : Path or bytes
        The QDQ network: what the chip runs, and what tells its time.
    floating : Path or bytes, optional
        The float network, which `float` runs.
    backend : {'float', 'ort-int8', 'chip'}
    chip : Chip, str or Path, optional
        As `chanzi.Session` takes it.
    mode : {'single', 'latency', 'throughput'}, optional
        How a chip of several cores runs it.

    Raises
    ------
    ChanziError
        A network that does not drive or does not fit the chip, an unknown backend, `float` without a float network.
    """

    def __init__(
        self,
        int8: Path | bytes,
        *,
        floating: Path | bytes | None = None,
        backend: Backend = "chip",
        chip: "Chip | str | Path | None" = None,
        mode: Mode | None = None,
    ) -> None:
        if backend not in BACKENDS:
            raise DriveError(f"there is no backend '{backend}'", hint=did_you_mean(backend, BACKENDS))
        if backend == "float" and floating is None:
            raise DriveError("the float network is not there", hint="give its file, or another backend")
        self.backend = backend
        self.spec: NetSpec = spec_of(int8)
        self.session = Session(int8, chip, mode=mode)
        if any(step.macs for step in self.session.model.host_steps):
            raise DriveError(
                f"the chip '{self.session.model.chip.name}' leaves layers of the network to the host",
                hint="`chanzi compile` says which and why",
            )
        self.chip_s: float = self.session.timing().latency_s
        model = floating if backend == "float" else int8
        self._judge = None if backend == "chip" or model is None else _onnx_session(model)

    def begin(self, world: World) -> None:
        """Begin an episode.

        Raises
        ------
        DriveError
            The world's cameras are not the network's.
        """
        sizes = tuple((camera.height, camera.width) for camera in world.cameras)
        if sizes != ((self.spec.height, self.spec.width),) * self.spec.cameras:
            raise DriveError(
                f"the network takes {self.spec.cameras} pictures of {self.spec.width}x{self.spec.height},"
                f" the world gives {', '.join(f'{w}x{h}' for h, w in sizes)}",
                hint="another rig, or another network",
            )

    def outputs(self, inputs: dict[str, FloatArray]) -> dict[str, npt.NDArray[Any]]:
        """Return the network's outputs by name."""
        runner: Any = self.session if self._judge is None else self._judge
        return dict(zip(OUTPUTS, runner.run(list(OUTPUTS), inputs), strict=True))

    def perceive(self, frame: Frame) -> Perception:
        """Return what the network says of a frame."""
        return perception(frame.number, self.outputs(feed(frame, self.spec)))

    def look(self, frame: Frame) -> Answer:
        """Return what it says of a frame, and how long the chip takes for that."""
        return Answer(perception=self.perceive(frame), chip_s=self.chip_s, busy_s=self.chip_s)


def _onnx_session(model: Path | bytes) -> Any:
    import onnxruntime

    from chanzi.runtime.host import session_options

    # One thread: such a network is too small to be split, and drives run side by side.
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model),
        session_options(threads=1),
        providers=["CPUExecutionProvider"],
    )


def same(a: dict[str, npt.NDArray[Any]], b: dict[str, npt.NDArray[Any]]) -> bool:
    """Tell whether two networks' outputs are equal, bit for bit."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
