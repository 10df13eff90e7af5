"""``chanzi make-or-buy``: a chip of one's own against one that is bought, over years."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from chanzi.cli.console import note, say, say_json, working
from chanzi.cli.cost import number
from chanzi.cli.network import DEFAULT_MODEL
from chanzi.errors import CostError

if TYPE_CHECKING:
    from chanzi.market.assumptions import Given


def make_or_buy(
    *,
    chip: Annotated[str, Parameter(name=["--chip", "-c"])] = "tesla-fsd-hw3",
    model: Annotated[str, Parameter(name=["--model", "-m"])] = DEFAULT_MODEL,
    fps: float = 36,
    cameras: int = 8,
    units: Annotated[str, Parameter(allow_leading_hyphen=True)] = "500000/yr",
    years: float = 7,
    versus: str = "orin",
    assumptions: Path | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    node: str = "",
    dram_gb: float | None = None,
    block: tuple[str, ...] = (),
    calibrate: Path | None = None,
    draws: int = 4000,
    write: Path | None = None,
    page: Path | None = None,
    json: bool = False,
) -> None:
    """Say whether to make a chip or to buy one: totals, break-even, payback, what it hangs on, what supply may do.

    Parameters
    ----------
    chip
        A preset's name or a .toml file: the chip that would be made.
    model
        An .onnx file, or the name of a network of the zoo.
    fps
        Frames a second of each camera.
    cameras
        Cameras of a car.
    units
        Cars a year: 500000/yr, 0.5M.
    years
        Years in which the cars are built.
    versus
        Chips that may be bought, with commas between: orin,a100.
    assumptions
        A TOML file of figures: name = value, or name = [low, value, high]. --write makes one with all of them.
    set_
        One figure, name=value or name=low:value:high: --set nvidia_orin.price_usd=300.
    node
        Process node instead of the chip's own: 14nm.
    dram_gb
        DRAM beside each of our chips in GB; the chip's capacity by default.
    block
        A further block on our die, name=mm2: --block cpu=12.
    calibrate
        A folder of photos, or an .npz, to quantize a float network with.
    draws
        Random worlds behind the bands.
    write
        Write all assumptions of this question to a TOML file to edit, and stop.
    page
        Also write a page with plots.
    json
        Write JSON.
    """
    from chanzi.chip import load_chip
    from chanzi.cli.cost import block_of, node_of, override_of
    from chanzi.cli.rank import named
    from chanzi.cost.dollars import Terms
    from chanzi.market import assumptions as figures
    from chanzi.market.make_or_buy import decide, plan_of, rival_of
    from chanzi.market.network import deliver
    from chanzi.report import make_or_buy as report

    given: dict[str, Given] = figures.read(assumptions) if assumptions else {}
    given |= dict(override_of(text) for text in set_)
    _, silicon, bought = figures.split(given)
    cars = number(units.removesuffix("/yr").removesuffix("/y"), "units")
    ours = load_chip(chip)
    terms = Terms(
        volume=1,  # the streams ask for silicon by the year
        node_nm=node_of(node) if node else 0.0,
        dram_gb=dram_gb,
        given=dict(block_of(text) for text in block),
        overrides=silicon,
    )
    with working("simulating"):
        delivery = deliver(named(model, calibrate), ours)
    if delivery.on_chip < 1 - 1e-9:
        note(f"{100 * (1 - delivery.on_chip):.2g} % of the products are the host's, whose time is not counted")
    plan = plan_of(ours, delivery, fps=fps, cameras=cameras, units=cars, years=years, terms=terms, given=given)
    rivals = [
        rival_of(name, delivery.work, _mine(name, bought), plan.frames_needed) for name in _names(versus)
    ]  # fmt: skip
    unused = set(bought) - {n for n in bought if any(_same(n, r.key) for r in rivals)}
    if unused:
        raise CostError(f"'{min(unused)}' has figures but is not in --versus", hint=f"--versus {min(unused)}")
    if write is not None:
        from chanzi.market.make_or_buy import silicon_figures

        text = figures.document(silicon_figures(plan), {r.key: r.figures for r in rivals})
        write.write_text(text, encoding="utf-8")
        note(f"wrote {write}")
        return
    answers = [decide(plan, rival, draws=draws) for rival in rivals]
    if page is not None:
        report.write_page(page, answers)
        note(f"wrote {page}")
    if json:
        say_json([report.to_dict(a) for a in answers])
        return
    from chanzi.cli.tables import show

    show(*report.tables(answers))
    for a in answers:
        say(report.chips_line(a))
        say(report.sentence(a))
    say(report.SCOPE)


def _names(versus: str) -> list[str]:
    names = [name.strip() for name in versus.split(",") if name.strip()]
    if not names:
        raise CostError("no chip to buy", hint="--versus orin")
    if len(set(names)) < len(names):
        raise CostError("a chip is there twice in --versus", hint="each once")
    return names


def _same(name: str, key: str) -> bool:
    plain, other = (text.lower().replace("-", "_") for text in (name, key))
    return plain == other or plain in other


def _mine(name: str, bought: "dict[str, dict[str, Given]]") -> "dict[str, Given]":
    """Return the figures given for a chip, whether by its key or by the name it is called here."""
    return {
        what: value
        for key, items in bought.items()
        if _same(key, name) or _same(name, key)
        for what, value in items.items()
    }
