"""What make or buy rests on: defaults with ranges, a file of one's own, and every figure checked before it is used."""

import math
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec

from chanzi.cost.dollars import NODE_FIGURES, economics
from chanzi.cost.figure import Figure, Figures, Source, figures
from chanzi.errors import CostError, did_you_mean

Given = float | tuple[float, float, float]
"""A value, or (low, value, high)."""

_MAX_BYTES = 1 << 16
_MAY_BE_NEGATIVE = ("make_price_change", "buy_price_change")
_SHARES = (
    "respin_probability", "failure_probability", "make_return_share", "buy_return_share", "recovered",
    "price_probability", "allocation", "allocation_probability", "stop_probability", "foundry_share",
)  # fmt: skip
_BELOW_ONE = ("discount_rate", "volume_discount")
BUY_FIGURES = {
    "price_usd": "USD a chip",
    "frames_per_s": "frames a second of the network",
    "watts": "W at that rate",
    "brings_dram": "1 where the price has DRAM in it, 0 where not",
}
"""What may be given of a chip that is bought, under its own name: ``[nvidia_orin]`` ``price_usd = 350``."""


@cache
def _data() -> dict[str, dict[str, dict[str, object]]]:
    text = (resources.files("chanzi.market") / "data" / "assumptions.toml").read_text("utf-8")
    return tomllib.loads(text)


@cache
def groups() -> dict[str, Figures]:
    """Return the default figures by group: time, risk, make, buy, car, shock."""
    known = msgspec.convert(_data()["source"], dict[str, Source])
    return {
        group: figures(items, known, f"assumptions.toml, {group}")  # type: ignore[arg-type]
        for group, items in _data()["item"].items()
    }


@cache
def defaults() -> Figures:
    """Return the default figures by name."""
    return {name: figure for items in groups().values() for name, figure in items.items()}


def checked(name: str, given: Given) -> tuple[float, float, float]:
    """Return (low, value, high) of a figure that makes sense.

    Raises
    ------
    CostError
        It is no number, out of order, negative where nothing can be, or a share above 1.
    """
    low, value, high = (given, given, given) if isinstance(given, int | float) else given
    if not all(map(math.isfinite, (low, value, high))):
        raise CostError(f"{name} = {given} is no number")
    if not low <= value <= high:
        raise CostError(f"{name} = {low:g}, {value:g}, {high:g} is not in order", hint="low, value, high")
    if name in _MAY_BE_NEGATIVE:
        if low <= -1 or high > 1:
            raise CostError(f"{name} is {low:g} to {high:g}", hint="-0.03 is three percent less a year")
    elif low < 0:
        raise CostError(f"{name} is {low:g}", hint="prices, times and amounts are not negative")
    if name in _SHARES and high > 1:
        raise CostError(f"{name} is {high:g}", hint="a share is at most 1")
    if name in _BELOW_ONE and high >= 1:
        raise CostError(f"{name} is {high:g}", hint="0.1 is ten percent")
    if name == "redundancy" and (low != high or value != int(value) or not 1 <= value <= 8):
        raise CostError(f"redundancy is {value:g}", hint="1 to 8 sets of chips")
    if name.endswith((".price_usd", ".frames_per_s")) and low <= 0:
        raise CostError(f"{name} is {low:g}", hint="more than nothing")
    if name.endswith("_years") and high > 50:
        raise CostError(f"{name} is {high:g}", hint="years, not months")
    return float(low), float(value), float(high)


def given_figure(name: str, unit: str, given: Given) -> Figure:
    """Return a figure that a user gave."""
    low, value, high = checked(name, given)
    return Figure(value=value, low=low, high=high, unit=unit, source="user", how="estimated", note="given")


def split(given: Mapping[str, Given]) -> tuple[dict[str, Given], dict[str, Given], dict[str, dict[str, Given]]]:
    """Return what was given, told apart: for the business, for the chip's own cost, for chips that are bought.

    Raises
    ------
    CostError
        A name that nothing is called.
    """
    business: dict[str, Given] = {}
    silicon: dict[str, Given] = {}
    bought: dict[str, dict[str, Given]] = {}
    own = {*NODE_FIGURES, *economics()}
    for name, value in given.items():
        chip, dot, what = name.rpartition(".")
        if dot:
            if what not in BUY_FIGURES:
                raise CostError(f"no figure '{what}' of a bought chip", hint=did_you_mean(what, BUY_FIGURES))
            checked(name, value)
            bought.setdefault(chip, {})[what] = value
        elif name in defaults():
            checked(name, value)
            business[name] = value
        elif name in own:
            silicon[name] = value
        else:
            raise CostError(f"no assumption '{name}'", hint=did_you_mean(name, {*defaults(), *own}))
    return business, silicon, bought


def replaced(business: Mapping[str, Given]) -> Figures:
    """Return the default figures with those that were given in their place."""
    return {
        name: given_figure(name, figure.unit, business[name]) if name in business else figure
        for name, figure in defaults().items()
    }


def read(path: Path) -> dict[str, Given]:
    """Return the assumptions of a TOML file: ``name = value`` or ``name = [low, value, high]``, tables joined by dots.

    Raises
    ------
    CostError
        The file is not TOML, or an entry is no number.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1).decode("utf-8")
    except UnicodeDecodeError:
        raise CostError(f"{path} is not UTF-8 text", hint="assumptions are a TOML file") from None
    if len(text) > _MAX_BYTES:
        raise CostError(f"{path} is longer than {_MAX_BYTES} bytes", hint="assumptions are a page of TOML")
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise CostError(f"{path} is not valid TOML: {str(error)[:200]}", hint="name = value") from None
    found: dict[str, Given] = {}
    for name, value in data.items():
        entries = {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
        for key, one in entries.items():
            found[key] = _given(path, key, one)
    return found


def _given(path: Path, name: str, value: object) -> Given:
    parts = value if isinstance(value, list) else [value]
    if len(parts) not in (1, 3) or any(isinstance(p, bool) or not isinstance(p, int | float) for p in parts):
        raise CostError(f"{path}: {name} is no number", hint="name = value, or name = [low, value, high]")
    return float(parts[0]) if len(parts) == 1 else (float(parts[0]), float(parts[1]), float(parts[2]))


def _line(name: str, figure: Figure) -> str:
    low, high = figure.bounds
    value = f"[{low:.12g}, {figure.value:.12g}, {high:.12g}]" if low != high else f"{figure.value:.12g}"
    note = f"; {figure.note}" if figure.note else ""
    return f"{name} = {value}  # {figure.unit} ({figure.how}, {figure.source}, grade {figure.grade}{note})"


def document(silicon: Figures, bought: Mapping[str, Figures]) -> str:
    """Return all assumptions as one TOML file that `read` takes: edit it and give it back."""
    lines = [
        "# Assumptions of chanzi make-or-buy. name = value, or name = [low, value, high]: a tenth of what is possible",
        "# lies below low, a tenth above high. Lines that are taken out are the defaults again.",
    ]
    titles = {
        "time": "Time and money", "risk": "What can go wrong in making", "make": "Making", "buy": "Buying",
        "car": "The car", "shock": "Supply",
    }  # fmt: skip
    for group, items in groups().items():
        lines += ["", f"# {titles.get(group, group)}", *(_line(name, figure) for name, figure in items.items())]
    lines += ["", "# The chip: wafers, yield, package, test, design at its node"]
    lines += [_line(name, figure) for name, figure in silicon.items()]
    for key, items in bought.items():
        lines += ["", f"[{key}]", *(_line(name, figure) for name, figure in items.items())]
    return "\n".join(lines) + "\n"
