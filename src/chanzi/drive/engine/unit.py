"""A unit of work: what is to be done, told so completely that its name can be computed from it.

The same unit gives the same bytes wherever and whenever it is performed; that is what lets a killed run go on, and a
worker's loss cost nothing but time.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec

Read = Callable[[str], bytes]
"""Gives the bytes of an artefact by its sha256."""

T = TypeVar("T")


def canonical(value: Any) -> bytes:
    """Return the JSON of a value of frozen dataclasses: the same value, the same bytes."""
    return msgspec.json.encode(value, order="sorted")


def sha256(data: bytes) -> str:
    """Return the name of an artefact."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a unit made.

    Parameters
    ----------
    values : bytes
        Canonical JSON of what others decide by: small.
    files : tuple of (name, bytes)
        Artefacts.
    """

    values: bytes
    files: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A unit as the journal has it."""

    unit: str
    values: bytes
    files: dict[str, str]

    def as_(self, kind: type[T]) -> T:
        """Return the values as the dataclass they were written from."""
        return msgspec.json.decode(self.values, type=kind)


class Unit(ABC):
    """A unit of work; its kinds are frozen dataclasses whose fields say all that its result depends on.

    The version of the code is not among them: a run that outlives an upgrade goes on, and the journal says which code
    made what.
    """

    __slots__ = ()

    kind: ClassVar[str]
    """Names it in the journal."""

    patience_s: ClassVar[float] = 3600.0
    """A worker that takes longer is taken for dead."""

    @property
    def id(self) -> str:
        """Its identity: a hash of what it is and of all that it depends on."""
        return sha256(self.kind.encode() + b"\n" + canonical(self))

    @property
    @abstractmethod
    def name(self) -> str:
        """For people: short, of the turn's own words."""

    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """Return the artefacts that it reads, by sha256."""

    @abstractmethod
    def perform(self, read: Read) -> Made:
        """Do it. Reads nothing but its fields and its inputs, draws at random from its seed alone."""


def code_version() -> str:
    """Return the package's version and a hash of its source files: which code made something."""
    import chanzi

    root = Path(chanzi.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{chanzi.__version__}+{digest.hexdigest()[:12]}"
