"""A version at the wheel: `chanzi.drive.pilot` for artefacts of a run, whose program is compiled and timed already."""

from typing import Any

import numpy as np

from chanzi.drive.episode import Answer
from chanzi.drive.messages import Frame
from chanzi.drive.network.export import spec_of
from chanzi.drive.network.spec import OUTPUTS, feed, perception
from chanzi.drive.pilot import BACKENDS
from chanzi.drive.world.world import World
from chanzi.errors import LoopError, did_you_mean


class NetworkPilot:
    """See `chanzi.drive.episode.Pilot`.

    Parameters
    ----------
    network : bytes
        Float ONNX, QDQ ONNX or a .chz, as the backend wants it.
    backend : str
        One of `BACKENDS`.
    latency_s : float
        Of the chip, and until it takes the next frame.
    """

    def __init__(self, network: bytes, backend: str, latency_s: float) -> None:
        if backend not in BACKENDS:
            raise LoopError(f"no backend '{backend}'", hint=did_you_mean(backend, BACKENDS))
        self._latency_s = latency_s
        if backend == "chip":
            from chanzi.program.container import parse
            from chanzi.runtime.build import JUDGE
            from chanzi.runtime.session import Session

            model = parse(network)
            self._spec = spec_of(bytes(model.attachments[JUDGE]))
            self._session: Any = Session(model)
        else:
            import onnxruntime

            from chanzi.runtime.host import session_options

            self._spec = spec_of(network)
            options = session_options(threads=1)
            self._session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])

    def begin(self, world: World) -> None:
        """See `Pilot`."""

    def look(self, frame: Frame) -> Answer:
        """See `Pilot`."""
        outputs = self._session.run(list(OUTPUTS), feed(frame, self._spec))
        named = {name: np.asarray(array) for name, array in zip(OUTPUTS, outputs, strict=True)}
        return Answer(perception=perception(frame.number, named), chip_s=self._latency_s, busy_s=self._latency_s)
