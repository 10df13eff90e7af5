"""Published cases: what a chip does according to its makers or to measurements, and what may be done with each.

A case is an ``[[case]]`` of a TOML table (or an object of a JSON list): `id`, `chip`, `inputs`, `predict`, `expected`
(a number, or [low, high]), `unit`, `tolerance_percent`, `kind`, `basis`, `split`.
"""

import json
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from chanzi.cost.figure import Grade, table
from chanzi.errors import CostError

Split = Literal["identity", "calibrate", "test"]
Input = float | str | bool | list[float]
_MAX_BYTES = 1 << 20


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is asked: everything of a case but the answer."""

    id: str
    chip: str
    predict: str
    unit: str
    inputs: dict[str, Input]

    def number(self, name: str) -> float:
        """Return a numeric input.

        Raises
        ------
        CostError
            It is missing or no number.
        """
        value = self.inputs.get(name)
        try:
            return float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            what = "is missing" if value is None else f"= {value!r} is no number"
            raise CostError(f"input '{name}' {what}", hint=f"needed for '{self.predict}'") from None

    def first(self, *names: str) -> float:
        """Return the first of several inputs that is there, for one that goes by several names.

        Raises
        ------
        CostError
            None of them is there, or it is no number.
        """
        return self.number(next((name for name in names if name in self.inputs), names[0]))

    @property
    def defects(self) -> float:
        """Defects a cm2, `D0` or `D0_per_cm2`."""
        return self.first("D0", "D0_per_cm2")

    def numbers(self, name: str) -> list[float]:
        """Return an input that is a list of numbers.

        Raises
        ------
        CostError
            It is missing or no list.
        """
        value = self.inputs.get(name)
        if not isinstance(value, list):
            raise CostError(f"input '{name}' is no list of numbers", hint=f"needed for '{self.predict}'")
        return value

    def text(self, name: str, default: str = "") -> str:
        """Return a text input."""
        value = self.inputs.get(name, default)
        return value if isinstance(value, str) else str(value)


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One published figure with the range in which a prediction passes.

    `expected` of two numbers is a range; a unit with 'lower bound' or 'upper bound' in it is met on that side.
    `must_not_exceed` is a bound that physics sets.
    """

    id: str
    chip: str
    inputs: dict[str, Input]
    predict: str
    expected: float | list[float]
    unit: str
    tolerance_percent: float
    kind: str
    basis: str
    split: Split
    source: str = ""
    grade: Grade = "C"
    must_not_exceed: float | None = None
    implied_utilisation: float | None = None

    def __post_init__(self) -> None:
        ends = self.expected if isinstance(self.expected, list) else [self.expected]
        if len(ends) not in (1, 2) or sorted(ends) != ends or ends[-1] <= 0:
            raise ValueError(f"expected {self.expected!r} is neither a positive number nor [low, high]")
        if not 0 <= self.tolerance_percent <= 1000:
            raise ValueError(f"tolerance of {self.tolerance_percent:g} %")

    @property
    def question(self) -> Question:
        """The case without its answer."""
        return Question(id=self.id, chip=self.chip, predict=self.predict, unit=self.unit, inputs=self.inputs)

    def error(self, predicted: float) -> float:
        """Return the relative error; 0 inside a range, and on the right side of a bound."""
        low, high = (self.expected[0], self.expected[-1]) if isinstance(self.expected, list) else (self.expected,) * 2
        if predicted < low:
            return 0.0 if "upper bound" in self.unit else predicted / low - 1
        if predicted > high:
            return 0.0 if "lower bound" in self.unit else predicted / high - 1
        return 0.0

    def passes(self, predicted: float) -> bool:
        """Tell whether a prediction is inside the tolerance and under the bound."""
        under = self.must_not_exceed is None or predicted <= self.must_not_exceed * (1 + 1e-9)
        return under and abs(self.error(predicted)) <= self.tolerance_percent / 100 + 1e-12


def decode(entries: Any, origin: str) -> tuple[Case, ...]:
    """Return the cases of a decoded file.

    Raises
    ------
    CostError
        Not a list of cases, or one of them, which is named, is not well formed.
    """
    if not isinstance(entries, list):
        raise CostError(f"{origin} has no list of cases", hint="[[case]] in TOML, a list of objects in JSON")
    found: list[Case] = []
    for i, entry in enumerate(entries):
        name = entry.get("id", f"number {i + 1}") if isinstance(entry, dict) else f"number {i + 1}"
        try:
            found.append(msgspec.convert(entry, Case))
        except (msgspec.ValidationError, ValueError) as error:
            raise CostError(f"{origin}: case {str(name)[:60]}: {error}", hint="docs/results/validate.md") from None
    twice = [name for name, n in Counter(c.id for c in found).items() if n > 1]
    if twice:
        raise CostError(f"{origin}: case {twice[0]} is there twice", hint="each id once")
    return tuple(found)


@cache
def published() -> tuple[Case, ...]:
    """Return the cases that ship with the package."""
    return decode(table("cases")["case"], "cases.toml")


def load(path: Path) -> tuple[Case, ...]:
    """Return the cases of a TOML or JSON file.

    Raises
    ------
    CostError
        The file cannot be read as cases.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise CostError(f"{path} is longer than {_MAX_BYTES} bytes", hint="cases are a page of TOML")
        if path.suffix in (".yaml", ".yml"):
            raise CostError(f"{path} is YAML, which is not read", hint="cases are TOML or JSON")
        text = data.decode("utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except UnicodeDecodeError:
        raise CostError(f"{path} is not UTF-8 text", hint="cases are TOML or JSON") from None
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CostError(f"{path} is not valid: {str(error)[:200]}", hint="cases are TOML or JSON") from None
    if isinstance(content, dict):
        content = content.get("case", content.get("validation_cases"))
    return decode(content, str(path))
