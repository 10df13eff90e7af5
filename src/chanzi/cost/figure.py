"""Figures with a range, a source and a grade: what every number of the cost model is, and how its tables are read.

A table is TOML: ``[source.<key>]`` with title, year, address and grade, and figures as inline tables
``{ value = 3984, low = 2800, high = 4800, unit = "USD", source = "cset", how = "read" }``. Of all
figures of one kind, a tenth is believed to lie below `low` and a tenth above `high`; without a range a figure is taken
as it stands.
"""

import math
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

import msgspec

from chanzi.errors import CostError, did_you_mean

How = Literal["read", "unverified", "derived", "measured", "estimated", "calibrated"]
Grade = Literal["A", "B", "C", "D"]


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where figures come from; `grade` A (measured or exact) to D (not to be relied on)."""

    title: str
    grade: Grade
    year: int = 0
    url: str = ""


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number, the range it is believed to lie in, its unit and its source.

    `how`: read in the source; unverified (widely cited, not read again); derived by arithmetic from other figures;
    measured by this project's own runs; estimated; calibrated: fitted to validation cases marked `calibrate`.
    """

    value: float
    unit: str
    source: str
    how: How
    low: float | None = None
    high: float | None = None
    grade: Grade | None = None
    note: str = ""

    def __post_init__(self) -> None:
        low, high = self.bounds
        if not all(map(math.isfinite, (self.value, low, high))):
            raise ValueError("a figure is a finite number")
        if not low <= self.value <= high:
            raise ValueError(f"{self.value} lies outside its own range {low} to {high}")

    @property
    def bounds(self) -> tuple[float, float]:
        """The range; the value twice where none is given."""
        return (
            self.value if self.low is None else self.low,
            self.value if self.high is None else self.high,
        )

    def scaled(self, factor: float, *, unit: str = "", note: str = "") -> "Figure":
        """Return the figure and its range times `factor`, as a derived one."""
        low, high = sorted(bound * factor for bound in self.bounds)
        return Figure(
            value=self.value * factor,
            low=low,
            high=high,
            unit=unit or self.unit,
            source=self.source,
            how="derived",
            grade=self.grade,
            note=note or self.note,
        )


Figures = dict[str, Figure]


@cache
def table(name: str) -> dict[str, Any]:
    """Return a table that ships with the package, as plain TOML."""
    return tomllib.loads((resources.files("chanzi.cost") / "data" / f"{name}.toml").read_text("utf-8"))


@cache
def sources(name: str) -> dict[str, Source]:
    """Return the sources of a table."""
    return msgspec.convert(table(name).get("source", {}), dict[str, Source])


def figures(data: Mapping[str, Any], known: Mapping[str, Source], where: str) -> Figures:
    """Return the figures of a part of a table, each with its grade.

    Raises
    ------
    CostError
        An entry is no figure, or names no source.
    """
    found: Figures = {}
    for key, entry in data.items():
        try:
            figure = msgspec.convert(entry, Figure)
        except (msgspec.ValidationError, ValueError) as error:
            raise CostError(f"{where}: '{key}' is no figure: {error}", hint="value, unit, source, how") from None
        if figure.source not in known:
            raise CostError(
                f"{where}: '{key}' names the source '{figure.source}'", hint=did_you_mean(figure.source, known)
            )
        found[key] = figure if figure.grade else msgspec.structs.replace(figure, grade=known[figure.source].grade)
    return found


def between(points: Mapping[float, float], at: float) -> float:
    """Return the value at `at` on straight lines through `points` in log-log; the end lines go on beyond the ends."""
    if at in points:
        return points[at]
    xs = sorted(points)
    if len(xs) == 1:
        return points[xs[0]]
    upper = min(max(next((i for i, x in enumerate(xs) if x > at), len(xs) - 1), 1), len(xs) - 1)
    x0, x1 = xs[upper - 1], xs[upper]
    slope = math.log(points[x1] / points[x0]) / math.log(x1 / x0)
    return points[x0] * (at / x0) ** slope
