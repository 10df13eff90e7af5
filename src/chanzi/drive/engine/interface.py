"""What stands between the engine and cars: orders of drives, results of units, and `UnitMaker`, who makes the units.

The engine knows nothing of worlds and networks. `UnitMaker` makes units of work out of orders; the shipped one is in
`car/units.py`, the tests have a small one of their own.
"""

from dataclasses import dataclass
from typing import Protocol

from chanzi.drive.engine.scenario import Scenario
from chanzi.drive.engine.unit import Unit

RECORDING, SIGNALS = "recording", "signals"
"""Files of a recorded drive: what the car saw and did, and what was so; a number a frame for each trigger."""
SHARD, CHECKPOINT, NETWORK, INT8, PROGRAM = "shard", "checkpoint", "network", "int8", "program"
"""Files of the other units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A network as it drives.

    Parameters
    ----------
    network : str
        The artefact that is executed.
    backend : str
        How: 'float', 'ort-int8' or 'chip'.
    latency_s : float
        Of the chip, from a frame to its result.
    """

    network: str
    backend: str
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """An expert beside the network.

    Parameters
    ----------
    share : float
        Of the time that the expert drives, in stretches; 1 is the expert alone.
    rescue : bool
        The expert takes over where the network is about to fail.
    noise_rad : float
        Most of the bursts on the expert's steering; 0 for a steady expert.
    seed : int
        Of the stretches and the bursts.
    """

    share: float
    rescue: bool
    noise_rad: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveOrder:
    """A drive to be made.

    Parameters
    ----------
    scenario : Scenario
    driver : Driver or None
        None for the expert alone.
    shadow : Driver or None
        Looks at the same frames and is not obeyed.
    mix : Mix or None
        None where the network is on its own.
    failure_s : float or None
        When a failure was mined in this scenario: the frames before are worth keeping.
    record : bool
        Keep what was seen.
    again : int
        Tells repetitions of a drive apart.
    """

    scenario: Scenario
    driver: Driver | None
    shadow: Driver | None = None
    mix: Mix | None = None
    failure_s: float | None = None
    record: bool = False
    again: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drove:
    """How a drive went.

    Parameters
    ----------
    passed : bool
        Neither crash nor off road nor stuck.
    ended : str
        As the world says it.
    circumstances : str
        Of a failure, in a few words, such as 'off road, left curve, rain'; failures alike have the same.
    time_s, distance_m, progress : float
    frames : int
    interventions : int
        How often the expert had to take over.
    digest : str
        Of the whole trajectory: the same drive has the same.
    """

    passed: bool
    ended: str
    circumstances: str
    time_s: float
    distance_m: float
    progress: float
    frames: int
    interventions: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What labelling gave."""

    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How training went: the loss on drives held out of training, before and after."""

    frames: int
    loss_before: float
    loss_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """What quantization did: the mean change of the path, in metres, on frames that were kept."""

    path_change_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What the network takes on its chip.

    Parameters
    ----------
    cycles : int
        A frame.
    latency_s : float
    frames : int
        That were run on the simulated chip and held against ONNX Runtime.
    exact : float
        Share of outputs' elements that were equal.
    broken : tuple of str
        Why it cannot drive; empty where it can.
    """

    cycles: int
    latency_s: float
    frames: int
    exact: float
    broken: tuple[str, ...] = ()


class UnitMaker(Protocol):
    """Makes units of work. Their values are the dataclasses above, their files those named above."""

    def drive(self, order: DriveOrder) -> Unit:
        """Return a drive: `Drove`; with `record`, files RECORDING and SIGNALS."""
        ...

    def label(self, recording: str, frames: tuple[int, ...]) -> Unit:
        """Return the making of a shard of those frames: `Labelled`; file SHARD, unless none of them can be labelled."""
        ...

    def train(self, shards: tuple[str, ...], parent: str | None, epochs: int, seed: int) -> Unit:
        """Return training, from a checkpoint where there is one: `Trained`; files CHECKPOINT and NETWORK."""
        ...

    def adopt(self, network: str) -> Unit:
        """Return the taking over of a network from outside: `Trained`; file NETWORK, and CHECKPOINT if it has one."""
        ...

    def quantize(self, network: str, shards: tuple[str, ...]) -> Unit:
        """Return quantization: `Quantized`; file INT8."""
        ...

    def compile(self, int8: str, shards: tuple[str, ...]) -> Unit:
        """Return compilation, with the shards' frames as a check: `Compiled`; file PROGRAM."""
        ...

    def executed(self, network: str, int8: str, program: str) -> str:
        """Return which of the three a car executes."""
        ...
