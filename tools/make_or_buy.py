"""Write docs/results/make-or-buy.md and its plot: a carmaker of four sizes, and what it would check before betting.

    python tools/make_or_buy.py [--write]

Without --write the page goes to stdout. Everything on it but the words is computed here; simulation takes seconds.
"""

import argparse
import math
import textwrap
from pathlib import Path

from chanzi import zoo
from chanzi.chip import load_chip
from chanzi.cost.dollars import Terms
from chanzi.market.assumptions import split
from chanzi.market.make_or_buy import Answer, decide, plan_of, rival_of
from chanzi.market.network import Network, deliver
from chanzi.report.make_or_buy import OWNING, SCOPE, cars, ends, money

PAGE = Path(__file__).parent.parent / "docs" / "results" / "make-or-buy.md"
CHIP, MODEL, RIVAL = "tesla-fsd-hw3", "resnet50", "nvidia_orin"
SIZES = (10_000, 100_000, 500_000, 2_000_000)
FPS, CAMERAS, YEARS = 36, 8, 7

LESSER = "a lesser chip is enough: 150 USD, 15 W"
VARIANTS: tuple[tuple[str, dict, dict], ...] = (
    ("as above", {}, {}),
    ("the supplier sells at 250 USD", {f"{RIVAL}.price_usd": 250.0}, {}),
    ("at 250 USD, and a watt is worth nothing", {f"{RIVAL}.price_usd": 250.0, "watt_usd": 0.0}, {}),
    (LESSER, {f"{RIVAL}.price_usd": 150.0, f"{RIVAL}.watts": 15.0}, {}),
    ("the supplier asks 600 USD", {f"{RIVAL}.price_usd": 600.0}, {}),
    ("the module at NVIDIA's list price, 1,699 USD", {f"{RIVAL}.price_usd": 1699.0}, {}),
    ("CPUs and cameras beside our chip cost 150 USD", {"host_usd": 150.0}, {}),
    ("our software team costs 40 M USD a year", {"software_usd_per_year": 40e6}, {}),
    ("design costs what all-in headlines say (share 1)", {"design_share": 1.0}, {}),
    ("three respins for certain", {"respin_probability": 1.0}, {}),
    ("two in five such projects fail", {"failure_probability": 0.4}, {}),
    ("cars start five years from now, the chip is not late", {"start_years": 5.0}, {}),
    ("a second foundry from the start", {"second_source_share": 1.0}, {}),
    ("money costs 20 % a year", {"discount_rate": 0.2}, {}),
    ("two sets of chips in a car, on both sides", {"redundancy": 2.0}, {}),
    ("a network 20 times as heavy", {}, {"fps": 20.0 * FPS}),
)

WORDS = f"""\
A carmaker decides whether to make the `{CHIP}` accelerator (14 nm) or to buy NVIDIA's Orin. It runs ResNet-50, the
one network of which Orin's speed is measured (MLPerf), on {CAMERAS} cameras at {FPS} frames a second, in cars that are
built for {YEARS} years from the third year after the decision on. All sums are present values in USD. This page is
written by `python tools/make_or_buy.py --write`; ask your own question with [`chanzi make-or-buy`](../make-or-buy.md).

No price here is a quotation. What NVIDIA asks of carmakers is not public: 300 to 500 USD a chip is what analysts guess
(grade D); the list price of a Jetson module, DRAM and all, is 1,699 USD, which is what `chanzi rank` divides by. Most
other figures of the business are this project's estimates (grade D, each with a range)."""

SUPPLY = """\
Present value of an event if it happens, two years after the first car: the price rises to 1.5 times for two years;
60 % of the chips arrive for two years; none comes any more. The buyer and the maker are hit by their supplier, the
maker as far as bought chips are still in the cars; the last column is the maker's own foundry doing the same."""

REVIEW = """\
## Before you bet on it

- **Your own price list decides, not this page.** The price of the chip that is bought, how it falls, and how many cars
  are really built come first in the tornado; two of them are in contracts and plans that you have and we have not. Put
  them in (`--write`, edit, `--assumptions`) before you read a break-even.
- **The chip here is an accelerator, not a computer.** CPUs, image pipeline and safety island are bought beside it; they
  are in as `host_usd` and `host_watts`, which are guesses. A carmaker that must design those too has a larger project
  than this one: add the area (`--block cpu=40`) and the cost of design (`--set design_share=...`).
- **Neither side is loaded.** Eight cameras of ResNet-50 at 224 × 224 use five percent of either chip. Who needs no more
  buys a lesser chip: at 150 USD and 15 W it takes all of the case for making at 500,000 cars away (the table of
  variants). So first ask what the car will compute in its last year, and hold our chip against the cheapest that can.
  Beyond that what counts is whether each side needs one chip in a car or two; the last row of that table shows the
  step.
- **Speeds are not known alike.** Ours are simulated to the cycle with a compiler that exists, but silicon of it does
  not, and the hardware as it stands [does not reach](silicon.md) the clock of 2 GHz that is simulated; at this load it
  need not, but a heavier one asks for it. Orin's is measured, with large batches; at one frame at a time it delivers a
  quarter of that. Watts are modelled on our side and published for the whole module, CPUs included, on the other; so
  `host_watts` is added to ours.
- **Failure is in, and it is the lower end of the band.** In about one world in six the project ends without a chip;
  its money is lost and chips are bought after all. That a failure shows early and is stopped early is not in.
- **Delay costs little here because chips are bought meanwhile**, with a port to them that
  the maker pays as well. If no supplier sells you a short bridge, it costs cars instead: see what a stop costs.
- **What a plan does to a price is out, and may be worth most.** Who can credibly make its own chip is asked less for
  those of others. Each 100 USD off an Orin is worth @OFF@ at 500,000 cars a year to a buyer who never tapes out;
  the design and its software are @SUNK@ before the first chip.
- **The maker swaps one supplier for another.** A foundry that cuts allocation hurts the maker as the supplier's cut
  hurts the buyer; only a second foundry or stock takes that away, and the table shows what a second one costs.
- **At ten thousand cars a year nothing here argues for a chip of one's own**, unless supply is a matter of life or
  death; a shuttle, an FPGA or a shared chip are not modelled.
- **Not in at all:** tax, inventory, exchange rates, inflation, resale of the design to others, use of it in the next
  programme (which would favour making), the better chip that the supplier sells in year five (which would favour
  buying), and what else the engineers would have done.
"""


def question(units: float, given: dict, more: dict, delivery: object) -> Answer:
    """Return the answer at so many cars a year, with some figures replaced."""
    _, silicon, bought = split(given)
    asked = {"fps": FPS, "cameras": CAMERAS, "years": YEARS} | more
    terms = Terms(volume=1, overrides=silicon)
    plan = plan_of(load_chip(CHIP), delivery, units=units, terms=terms, given=given, **asked)  # type: ignore[arg-type]
    rival = rival_of(RIVAL, delivery.work, bought.get(RIVAL, {}), plan.frames_needed)  # type: ignore[attr-defined]
    return decide(plan, rival)


def rows(heads: list[str], body: list[list[str]]) -> list[str]:
    """Return a table in Markdown."""
    return ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"] + [
        "| " + " | ".join(row) + " |" for row in body
    ]


def band(b: object, show: object = money) -> str:
    """Return a best guess with its band."""
    return f"{show(b.value)} ({show(b.p10)} to {show(b.p90)})"  # type: ignore[attr-defined,operator]


def page(answers: dict[int, Answer], variants: list[tuple[str, Answer]], off: float) -> str:
    """Return the page."""
    a = answers[500_000]
    be = a.break_even
    headline = (
        f"**Break-even: {cars(be.value)} cars a year, half of the worlds below {cars(be.p50)}, 10 to 90 %: "
        f"{cars(be.p10)} to {cars(be.p90)}** "
        f"(over {YEARS} years {cars((be.value or 0) * YEARS)} cars)."
    )
    less = dict(variants)[LESSER].break_even
    caution = (
        "This is against an Orin, of which the work here takes five percent. If a lesser chip of 150 USD and 15 W is "
        f"enough, the break-even is at {cars(less.value)} cars a year ({cars(less.p10)} to {cars(less.p90)})."
    )
    year = [
        [
            f"{n:,}", band(x.make), band(x.buy), band(x.saving), money(x.saving.p50), f"{100 * x.wins:.0f} %",
            "never" if x.payback_years.value is None else f"{x.payback_years.value:.1f}", f"**{x.better}**",
        ]
        for n, x in answers.items()
    ]  # fmt: skip
    items = [
        [name, *(band(side[name]) if name in side else "" for side in (a.make_items, a.buy_items))]
        for name in dict.fromkeys([*a.make_items, *a.buy_items])
    ]
    events = [
        [f"{n:,}", e.name, f"{100 * e.probability:.2g} %", band(e.buyer), band(e.maker), band(e.foundry)]
        for n, x in answers.items()
        for e in x.events
    ]
    swings = [
        [
            f"`{s.name}`",
            "" if math.isnan(s.low) else " to ".join(ends(s)),
            money(s.low_usd),
            money(s.high_usd),
        ]
        for s in a.tornado[:12]
    ]
    checks = [
        [name, f"{x.own_chips:g} / {x.rival_chips.value:g}", money(x.saving.value), f"{100 * x.wins:.0f} %",
         f"{cars(x.break_even.value)} ({cars(x.break_even.p10)} to {cars(x.break_even.p90)})"]
        for name, x in variants
    ]  # fmt: skip
    return "\n".join(
        [
            "# Make or buy: a carmaker of four sizes",
            "",
            WORDS,
            "",
            headline,
            "",
            *textwrap.wrap(caution, 118),
            "",
            "![what making saves a car over cars a year](make-or-buy.svg)",
            "",
            "Each sum is the best guess with where 10 and 90 % of four thousand worlds lie.",
            "",
            *rows(["cars a year", "make", "buy", "making saves", "median", "wins", "payback, years", ""], year),
            "",
            "## Where the money goes, at 500,000 cars a year",
            "",
            *rows(["item", "make", "buy"], items),
            "",
            "Making buys as well: until its own chip is ready, and for good in the worlds where the project fails. So",
            "the lower end of its own chips is nothing and the upper end of its bought ones almost all.",
            "",
            SCOPE,
            "",
            "## What it hangs on, at 500,000 cars a year",
            "",
            "One figure at its end, all others at their best guess.",
            "",
            "![what making saves with one figure at its low and at its high end](make-or-buy-tornado.svg)",
            "",
            *rows(["figure", "range", "making saves at low", "at high"], swings),
            "",
            "## If you do not believe us",
            "",
            "The same question at 500,000 cars a year with one thing changed. Chips are those of a car, ours / theirs.",
            "",
            *rows(["changed", "chips", "making saves", "wins", "break-even, cars a year"], checks),
            "",
            "## If supply fails",
            "",
            SUPPLY,
            "",
            *rows(["cars a year", "event", "chance", "the buyer", "the maker", "the maker's foundry"], events),
            "",
            "What owning the design is worth:",
            "",
            *rows(
                ["", *(f"{n:,}" for n in answers)],
                [[text, *(band(x.owning[name]) for x in answers.values())] for name, text in OWNING.items()],
            ),
            "",
            REVIEW.replace("@OFF@", money(off)).replace("@SUNK@", money(a.owning["sunk"].value)),
        ]
    )


def svg(a: Answer) -> str:
    """Return what making saves a car over cars a year, with its band and the four sizes."""
    left, top, width, height = 70, 20, 620, 300
    shown = [(v, b) for v, b in a.saving_by_volume if 5e3 <= v <= 5e6]
    life = a.plan.years
    most = max(b.p90 / (v * life) for v, b in shown) * 1.15
    least = -most * 1.4

    def x(v: float) -> float:
        return left + width * math.log(v / 5e3) / math.log(1e3)

    def y(usd: float) -> float:
        return top + height * (most - min(max(usd, least), most)) / (most - least)

    def line(key: str, points: list) -> list[str]:
        return [f"{x(v):.1f},{y(getattr(b, key) / (v * life)):.1f}" for v, b in points]

    view = f'viewBox="0 0 {left + width + 20} {top + height + 50}" font-family="sans-serif" font-size="11"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {view}>',
        f'<rect width="100%" height="{top + height + 50}" fill="#ffffff"/>',
    ]
    be = a.break_even
    if be.p10 is not None:
        right = x(min(be.p90 or 5e6, 5e6))
        parts.append(
            f'<rect x="{x(be.p10):.1f}" y="{top}" width="{right - x(be.p10):.1f}" height="{height}" fill="#f6f1dd"/>'
        )
    band = " ".join(line("p90", shown) + line("p10", shown[::-1]))
    parts.append(f'<polygon points="{band}" fill="#2a9d5c" fill-opacity="0.2"/>')
    step = 10 ** math.floor(math.log10(most))
    for mark in range(math.ceil(least / step), math.floor(most / step) + 1):
        at = y(mark * step)
        ink = "#555555" if mark == 0 else "#e3e6eb"
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{at:.1f}" y2="{at:.1f}" stroke="{ink}"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end" fill="#333">{mark * step:,.0f}</text>')
    for n in SIZES:
        parts.append(
            f'<line x1="{x(n):.1f}" x2="{x(n):.1f}" y1="{top}" y2="{top + height}" stroke="#8f9bb3" '
            'stroke-dasharray="3 3"/>'
        )
        parts.append(f'<text x="{x(n):.1f}" y="{top + height + 16}" text-anchor="middle" fill="#333">{n:,}</text>')
    inside = [(v, b) for v, b in shown if b.value / (v * life) > least]
    parts.append(
        f'<polyline points="{" ".join(line("value", inside))}" fill="none" stroke="#2a9d5c" stroke-width="2.5"/>'
    )
    parts.append(
        f'<text x="{left}" y="{top + height + 36}" fill="#333">cars a year; USD that making saves a car, 10 to 90 %; '
        "yellow: the band of the break-even</text>"
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def tornado_svg(a: Answer) -> str:
    """Return what making saves with each figure at its low (blue) and its high end (red), the widest first."""
    left, top, width, row = 190, 10, 490, 22
    shown = a.tornado[:12]
    ends_usd = [usd for s in shown for usd in (s.low_usd, s.high_usd)]
    least, most = min(0.0, *ends_usd), max(ends_usd)
    height = row * len(shown)

    view = f'viewBox="0 0 {left + width + 30} {top + height + 45}"'

    def x(usd: float) -> float:
        return left + width * (usd - least) / (most - least)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {view} font-family="sans-serif" font-size="11">',
        f'<rect width="100%" height="{top + height + 45}" fill="#ffffff"/>',
    ]
    step = 10 ** math.floor(math.log10(most - least))
    for mark in range(math.ceil(least / step), math.floor(most / step) + 1):
        at = x(mark * step)
        ink = "#555555" if mark == 0 else "#e3e6eb"
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{top + height}" stroke="{ink}"/>')
        parts.append(f'<text x="{at:.1f}" y="{top + height + 15}" text-anchor="middle">{money(mark * step)}</text>')
    for i, s in enumerate(shown):
        y = top + row * i + 4
        for usd, colour in ((s.low_usd, "#4e79a7"), (s.high_usd, "#d1495b")):
            begin, end = sorted((x(usd), x(a.saving.value)))
            bar = f'x="{begin:.1f}" y="{y}" width="{end - begin:.1f}" height="{row - 8}"'
            parts.append(f'<rect {bar} fill="{colour}" fill-opacity="0.8"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 11}" text-anchor="end" fill="#333">{s.name}</text>')
    at = x(a.saving.value)
    parts.append(
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{top + height}" stroke="#2a9d5c" stroke-width="2"/>'
    )
    parts.append(
        f'<text x="{left}" y="{top + height + 35}" fill="#333">what making saves; blue: the figure at its low end, '
        "red: at its high; green: the best guess</text>"
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Compute and write."""
    parser = argparse.ArgumentParser(description="Write docs/results/make-or-buy.md")
    parser.add_argument("--write", action="store_true", help="write the page and its plot")
    arguments = parser.parse_args()
    feeds = tuple(zoo.calibration(MODEL, 16))
    delivery = deliver(Network(name=MODEL, path=zoo.fetch(MODEL), calibration=feeds), load_chip(CHIP))
    answers = {n: question(n, {}, {}, delivery) for n in SIZES}
    variants = [(name, question(500_000, given, more, delivery)) for name, given, more in VARIANTS]
    cheaper = question(500_000, {f"{RIVAL}.price_usd": 300.0}, {}, delivery)
    text = page(answers, variants, answers[500_000].buy.value - cheaper.buy.value)
    if not arguments.write:
        print(text)
        return
    PAGE.write_text(text, encoding="utf-8")
    PAGE.with_suffix(".svg").write_text(svg(answers[500_000]), encoding="utf-8")
    PAGE.with_name("make-or-buy-tornado.svg").write_text(tornado_svg(answers[500_000]), encoding="utf-8")
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
