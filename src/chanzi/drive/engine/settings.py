"""What a run of the engine is set to: written into its journal when it begins, and fixed from then on."""

import dataclasses
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from chanzi.drive.engine.acceptance import Rule
from chanzi.drive.engine.fleet import Fleet
from chanzi.drive.engine.triggers import Trigger, Window
from chanzi.errors import LoopError, did_you_mean


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise LoopError(f"{name} is {value:g}", hint=f"{least:g} or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """How drives to learn from are made.

    Parameters
    ----------
    first_drives : int
        By the expert alone, for the first network.
    drives : int
        In each later turn, by the deployed network with the expert beside it.
    failures : int
        At most so many of the failures that were mined last are driven again, with the expert beside the network.
    expert_share : float
        Of the time that the expert drives in the second turn; it halves every turn after.
    noise_rad : float
        Most that bursts push the expert's steering about, so that there is something to recover from; 0 for a steady
        expert.
    triggers : tuple of Trigger
        In the order in which they are served.
    window : Window
        Of frames around an event.
    routine_frames : int
        Kept at random in a turn.
    first_frames : int
        Kept at random of the expert's drives for the first network: few make a weak one.
    """

    first_drives: int = 4
    drives: int = 16
    failures: int = 16
    expert_share: float = 0.3
    noise_rad: float = 0.25
    triggers: tuple[Trigger, ...] = (
        Trigger(name="failure", threshold=0.5, budget_frames=1200),
        Trigger(name="intervention", threshold=0.5, budget_frames=1200),
        Trigger(name="near_miss", threshold=0.5, budget_frames=600),
        Trigger(name="disagreement", threshold=1.0, budget_frames=600),
        Trigger(name="uncertainty", threshold=1.0, budget_frames=600),
    )
    window: Window = field(default_factory=lambda: Window(before=20, after=20, stride=2))
    routine_frames: int = 600
    first_frames: int = 300

    def __post_init__(self) -> None:
        for name in ("first_drives", "drives"):
            _at_least(name, getattr(self, name), 1)
        for name in ("failures", "routine_frames", "noise_rad"):
            _at_least(name, getattr(self, name), 0)
        _at_least("first_frames", self.first_frames, 1)
        if not 0 <= self.expert_share <= 1:
            raise LoopError(f"expert_share is {self.expert_share:g}", hint="0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """How networks are trained.

    Parameters
    ----------
    first_epochs, epochs : int
        For the first network, and for each later one from the one that is deployed.
    frames : int
        In a turn, about: all of the turn's own, and drives of earlier turns drawn at random until so many are together,
        so that nothing is forgotten and no turn takes longer than the last.
    threads : int
        Fixed, since the order of sums hangs on it.
    """

    first_epochs: int = 6
    epochs: int = 8
    frames: int = 6000
    threads: int = 2

    def __post_init__(self) -> None:
        for name in ("first_epochs", "epochs", "frames", "threads"):
            _at_least(name, getattr(self, name), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of a run.

    Parameters
    ----------
    worlds, weathers, seconds
        What is driven in: see `Scenario`.
    chip : str
        A preset's name or a file: what networks are compiled for.
    cameras : int
    backend : {'float', 'ort-int8', 'chip'}
        What runs the network in the fleet's cars: 'ort-int8' gives the chip's bytes in less time.
    seed : int
    suite : int
        Scenarios of the gate's suite.
    backlog : int
        At most so many failures of earlier turns are driven at the gate, besides all of the last one.
    replays : int
        So many of a turn's failures are driven a second time, to show that they come again exactly.
    keep_recordings : bool
        Keep all that collected drives recorded, not only the frames that triggers chose.
    """

    worlds: tuple[str, ...] = ("highway:racetrack",)
    weathers: tuple[str, ...] = ("clear",)
    seconds: float = 30.0
    chip: str = "chanzi-16"
    cameras: int = 1
    backend: str = "ort-int8"
    seed: int = 0
    suite: int = 60
    backlog: int = 20
    replays: int = 4
    keep_recordings: bool = False
    collect: Collect = field(default_factory=Collect)
    train: Train = field(default_factory=Train)
    gate: Rule = field(default_factory=Rule)
    fleet: Fleet = field(default_factory=Fleet)

    def __post_init__(self) -> None:
        _at_least("suite", self.suite, 1)
        _at_least("seed", self.seed, 0)
        for name in ("backlog", "replays"):
            _at_least(name, getattr(self, name), 0)
        if not self.seconds > 0:
            raise LoopError(f"drives of {self.seconds:g} seconds", hint="30 is usual")
        for name in ("worlds", "weathers"):
            if not getattr(self, name):
                raise LoopError(f"no {name}", hint="one or more")
        if max(self.suite, self.fleet.drives, self.collect.drives, self.collect.first_drives) > 1000:
            raise LoopError("more than 1000 drives of a kind in a turn", hint="seeds are made for 1000")


def read_settings(path: Path) -> Settings:
    """Return the settings of a TOML file; what it does not name has its default.

    Raises
    ------
    LoopError
        Not to be read, not TOML, an unknown key, a wrong type, or settings that make no sense.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise LoopError(f"cannot read {path}: {error.strerror}", hint="check the path") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise LoopError(f"{path} is not TOML: {str(error)[:200]}", hint="see docs/loop.md") from None

    _refuse_unknown(data, Settings, f"{path}: ")
    try:
        return msgspec.convert(data, Settings)
    except msgspec.ValidationError as error:
        cause = error.__cause__
        raise LoopError(f"{path}: {cause if isinstance(cause, LoopError) else error}") from None


def _refuse_unknown(given: object, kind: object, where: str) -> None:
    """Refuse keys that no dataclass of `kind` has, in tables and in arrays of tables."""
    if isinstance(given, list):
        for one in given:
            _refuse_unknown(one, next(iter(typing.get_args(kind)), None), where)
    if not isinstance(given, dict) or not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
        return
    known = {f.name: f.type for f in dataclasses.fields(kind)}
    for key, value in given.items():
        if key not in known:
            raise LoopError(f"{where}unknown key '{key}'", hint=did_you_mean(key, known))
        _refuse_unknown(value, known[key], f"{where}{key}.")
