"""What comes of each stage: small, in the journal, and all that later stages and the tables go by."""

from dataclasses import dataclass

from chanzi.drive.engine.acceptance import Verdict
from chanzi.drive.engine.fleet import Rollout
from chanzi.drive.engine.interface import Compiled, Drove
from chanzi.drive.engine.scenario import Scenario
from chanzi.drive.engine.triggers import Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What is kept of a drive: its recording, and which frames of it."""

    recording: str
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Stage `collect`."""

    drives: int
    failures: int
    driven_frames: int
    driven_m: float
    interventions: int
    clips: tuple[Clip, ...]
    rates: tuple[Rate, ...]

    @property
    def kept_frames(self) -> int:
        """Over all drives."""
        return sum(len(clip.frames) for clip in self.clips)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """An artefact to train on: labelled frames of one drive."""

    sha256: str
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """Stage `label`."""

    shards: tuple[Shard, ...]

    @property
    def frames(self) -> int:
        """Of all."""
        return sum(shard.frames for shard in self.shards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Stage `train`: a network, and whether it came from outside; `parent` is the version it began as.

    One from outside may have no checkpoint: who trains after it begins anew.
    """

    checkpoint: str | None
    network: str
    parent: int | None
    adopted: bool
    frames: int
    loss_before: float
    loss_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    """Stage `quantize`."""

    int8: str
    path_change_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Programmed:
    """Stage `compile`."""

    program: str
    compiled: Compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A network that drives, or may: its number is that of the turn that made it."""

    number: int
    checkpoint: str | None
    network: str
    int8: str
    program: str
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How a version does on the suite, drive by drive in the suite's order."""

    passed: tuple[bool, ...]
    progress: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """Stage `gate`.

    Parameters
    ----------
    candidate : int
    deployed : int or None
        The version it was held against.
    verdict : Verdict
    suite : Quality
        Of the candidate.
    asked, answered : int
        Failures mined in the last turn that the deployed version still has, and how many of them the candidate passes.
    fixed : tuple of str
        Circumstances of mined failures that the candidate passes and the deployed version does not.
    broken : tuple of str
        Circumstances of those that it is the other way round with.
    """

    candidate: int
    deployed: int | None
    verdict: Verdict
    suite: Quality
    asked: int
    answered: int
    fixed: tuple[str, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A drive of a car of the fleet."""

    car: int
    version: int
    scenario: Scenario
    drove: Drove


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """Stage `deploy`.

    Parameters
    ----------
    version : Version
        That the fleet has when the turn is over.
    candidate : int
    forced : bool
        The gate had refused the candidate, and someone deployed it all the same.
    rollout : Rollout or None
        None where the candidate was not tried.
    trips : tuple of Trip
        All that the fleet drove in the turn, with whatever version.
    """

    version: Version
    candidate: int
    forced: bool
    rollout: Rollout | None
    trips: tuple[Trip, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failure of a car of the fleet, to be driven again."""

    scenario: Scenario
    version: int
    ended: str
    circumstances: str
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """Stage `mine`.

    Parameters
    ----------
    failures : tuple of Failure
    drives : int
        Of the fleet in the turn.
    replayed, exact : int
        Failures that were driven a second time, and those that came again to the last bit of the trajectory.
    """

    failures: tuple[Failure, ...]
    drives: int
    replayed: int
    exact: int
