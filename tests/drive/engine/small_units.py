"""Units for tests of who performs them: some are well, some end or stop their worker until a file says otherwise."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from chanzi.drive.engine.unit import Made, Unit, canonical
from chanzi.errors import RunError


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Unit):
    """Adds what it reads to `n`; `how` may be 'well', 'dies once', 'dies', 'hangs once', 'mistake' or 'bug'."""

    kind: ClassVar[str] = "add"
    patience_s: ClassVar[float] = 12.0  # a worker's start counts, too, and may take seconds on a busy machine
    n: int
    reads: tuple[str, ...] = ()
    how: str = "well"
    mark: str = ""

    @property
    def name(self) -> str:
        return str(self.n)

    def inputs(self) -> tuple[str, ...]:
        return self.reads

    def perform(self, read) -> Made:
        first = False
        if self.mark:
            first = not Path(self.mark).exists()
            Path(self.mark).touch()
        if self.how == "dies" or (self.how == "dies once" and first):
            os._exit(9)
        if self.how == "hangs once" and first:
            time.sleep(600)
        if self.how == "mistake":
            raise RunError("nothing to add", hint="give it something")
        if self.how == "bug":
            raise KeyError("no such thing")
        total = self.n + sum(int(read(sha)) for sha in self.reads)
        return Made(values=canonical(total), files=(("sum", str(total).encode()),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign(Add):
    """A unit that no other process can unpack, as where the package is not installed."""

    def __reduce__(self):
        return _not_installed, ()


def _not_installed():
    raise ModuleNotFoundError("No module named 'chanzi'")
