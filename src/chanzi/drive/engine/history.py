"""What a run has come to so far, turn by turn, read off its journal: for tables, for JSON, for people."""

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from chanzi.drive.engine.journal import Journal
from chanzi.drive.engine.loop import STAGES, due
from chanzi.drive.engine.outcomes import Candidate, Collected, Deployed, Gated, Integer, Mined, Programmed, Shards
from chanzi.drive.statistics import Interval, wilson

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A turn, as far as it has come; what is not over is None.

    Parameters
    ----------
    number : int
    collected, labelled, candidate, integer, programmed, gated, deployed, mined
        What came of each stage.
    cpu_s : dict
        Processor seconds of each stage, added up over the workers.
    """

    number: int
    collected: Collected | None
    labelled: Shards | None
    candidate: Candidate | None
    integer: Integer | None
    programmed: Programmed | None
    gated: Gated | None
    deployed: Deployed | None
    mined: Mined | None
    cpu_s: dict[str, float]

    @property
    def suite(self) -> Interval | None:
        """Pass rate of this turn's candidate on the suite."""
        return None if self.gated is None else wilson(sum(self.gated.suite.passed), len(self.gated.suite.passed))

    @property
    def road(self) -> Interval | None:
        """Pass rate of the version that the fleet has after this turn, over what it drove in it."""
        if self.deployed is None:
            return None
        trips = [trip for trip in self.deployed.trips if trip.version == self.deployed.version.number]
        return wilson(sum(trip.drove.passed for trip in trips), len(trips))

    @property
    def answered(self) -> Interval | None:
        """Share of the last turn's mined failures that this turn's candidate passes."""
        return None if self.gated is None else wilson(self.gated.answered, self.gated.asked)

    @property
    def accepted(self) -> bool:
        """Whether the fleet has this turn's candidate when it is over."""
        return self.deployed is not None and self.deployed.version.number == self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All turns, and what comes next."""

    turns: tuple[Turn, ...]
    due: tuple[int, str]
    codes: tuple[str, ...]
    under_way: int


def history(journal: Journal) -> History:
    """Read what a run has come to."""
    turn, stage = due(journal)
    cpu_s = journal.stage_cpu_s()

    def outcome(number: int, name: str, kind: type[T]) -> T | None:
        found = journal.conclusion(number, name)
        return None if found is None else msgspec.json.decode(found, type=kind)

    last = turn if stage != STAGES[0] or turn == 0 else turn - 1
    turns = tuple(
        Turn(
            number=n,
            collected=outcome(n, "collect", Collected),
            labelled=outcome(n, "label", Shards),
            candidate=outcome(n, "train", Candidate),
            integer=outcome(n, "quantize", Integer),
            programmed=outcome(n, "compile", Programmed),
            gated=outcome(n, "gate", Gated),
            deployed=outcome(n, "deploy", Deployed),
            mined=outcome(n, "mine", Mined),
            cpu_s={s: cpu_s.get((n, s), 0.0) for s in STAGES},
        )
        for n in range(last + 1)
    )
    codes = tuple(dict.fromkeys(journal.sessions()))
    return History(turns=turns, due=(turn, stage), codes=codes, under_way=len(journal.open_units()))
