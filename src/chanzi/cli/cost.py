"""``chanzi cost``: what a chip measures and costs."""

import math
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from chanzi.cli.console import note, say_json
from chanzi.errors import CostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    Overrides = Mapping[str, "float | tuple[float, float, float]"]

_MAX_BYTES = 1 << 16


def cost(
    *,
    chip: Annotated[str, Parameter(name=["--chip", "-c"])] = "tesla-fsd-hw3",
    volume: str = "1e6",
    node: str = "",
    dram_gb: float | None = None,
    yield_model: Literal["poisson", "murphy", "seeds", "negative-binomial"] = "negative-binomial",
    automotive: bool = True,
    block: tuple[str, ...] = (),
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    assume: Path | None = None,
    assumptions: bool = False,
    page: Path | None = None,
    json: bool = False,
) -> None:
    """Say what a chip measures and costs: area by block, yield, good die, package, test, memory, design, unit cost.

    Parameters
    ----------
    chip
        A preset's name or a .toml file.
    volume
        Chips over the product's life.
    node
        Process node instead of the chip's own: 14nm.
    dram_gb
        DRAM beside each chip in GB; the chip's capacity by default, 0 for none.
    yield_model
        How defects make bad dies.
    automotive
        Count AEC-Q100 screening and qualification.
    block
        A further block on the die, name=mm2: --block cpu=12 --block isp=4.
    set_
        An assumption, name=value or name=low:value:high: --set wafer_usd=3000.
    assume
        A TOML file of such assumptions: name = value, or name = [low, value, high].
    assumptions
        Also list every figure the answer stands on.
    page
        Also write a page with plots.
    json
        Write JSON.
    """
    from chanzi.chip import load_chip
    from chanzi.cost.dollars import Terms, cost_of

    overrides = {**(_read(assume) if assume else {}), **dict(override_of(text) for text in set_)}
    terms = Terms(
        volume=number(volume, "volume"),
        node_nm=node_of(node) if node else 0.0,
        dram_gb=dram_gb,
        yield_model=yield_model,
        automotive=automotive,
        given=dict(block_of(text) for text in block),
        overrides=overrides,
    )
    bill = cost_of(load_chip(chip), terms)
    from chanzi.report import costs

    if page is not None:
        costs.write_page(page, bill)
        note(f"wrote {page}")
    if json:
        say_json(costs.to_dict(bill))
        return
    from chanzi.cli.tables import show

    show(costs.area_table(bill), costs.wafer_table(bill), costs.nre_table(bill), costs.unit_table(bill))
    if assumptions:
        show(costs.assumptions_table(bill))


def number(text: str, what: str) -> float:
    """Return a number such as 500000, 5e5, 500_000 or 0.5M.

    Raises
    ------
    CostError
        It is none.
    """
    scale = {"k": 1e3, "m": 1e6, "b": 1e9}.get(text[-1:].lower(), 1.0)
    try:
        value = float(text[:-1] if scale != 1.0 else text) * scale
    except ValueError:
        raise CostError(f"{what} '{text[:40]}' is no number", hint="500000, 5e5 or 0.5M") from None
    if not math.isfinite(value):
        raise CostError(f"{what} '{text[:40]}' is no finite number", hint="500000, 5e5 or 0.5M")
    return value


def node_of(text: str) -> float:
    """Return the nanometres of '14nm', '14 nm' or '14'.

    Raises
    ------
    CostError
        It is no such thing, or no known node.
    """
    from chanzi.cost.tech import known_node

    found = re.fullmatch(r"\s*(\d{1,4}(?:\.\d+)?)\s*(?:nm)?\s*", text, re.IGNORECASE)
    if not found:
        raise CostError(f"'{text[:40]}' is no process node", hint="--node 14nm")
    return float(known_node(float(found[1])))


def _pair(text: str, hint: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise CostError(f"'{text[:60]}' is not name=value", hint=hint)
    return name.strip(), value.strip()


def block_of(text: str) -> tuple[str, float]:
    """Return the name and area of a block written cpu=12."""
    name, value = _pair(text, "--block cpu=12")
    return name, number(value, f"block {name}")


def override_of(text: str) -> "tuple[str, float | tuple[float, float, float]]":
    """Return the name and value, or (low, value, high), of a figure written name=1:2:3."""
    name, value = _pair(text, "--set wafer_usd=3000")
    parts = [number(part, name) for part in value.split(":")]
    if len(parts) == 1:
        return name, parts[0]
    if len(parts) == 3:
        return name, (parts[0], parts[1], parts[2])
    raise CostError(f"{name}={value[:40]} has {len(parts)} numbers", hint="one, or low:value:high")


def _read(path: Path) -> "dict[str, float | tuple[float, float, float]]":
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
    found: dict[str, float | tuple[float, float, float]] = {}
    for name, value in data.items():
        parts = value if isinstance(value, list) else [value]
        if len(parts) not in (1, 3) or any(isinstance(p, bool) or not isinstance(p, int | float) for p in parts):
            raise CostError(f"{path}: {name} is no number", hint="name = value, or name = [low, value, high]")
        found[name] = float(parts[0]) if len(parts) == 1 else (float(parts[0]), float(parts[1]), float(parts[2]))
    return found
