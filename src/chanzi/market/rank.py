"""TOPS on paper beside frames delivered: our chips simulated, other people's measured or bounded.

Of a chip that others make there are two kinds of figures: what MLPerf measured, and the roofline, which no program can
pass. They are never mixed: every entry says which it has, and a comparison that rests on a bound says so.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from chanzi.chip.chip import Chip
from chanzi.cost.area import area_of
from chanzi.cost.dollars import Terms, cost_of
from chanzi.cost.foreign import ForeignChip, Measured, foreign_chips, work_macs
from chanzi.errors import CostError, did_you_mean
from chanzi.market.network import Delivery, Network, Work, deliver

Known = Literal["simulated", "measured", "upper bound"]
Mode = Literal["throughput", "latency"]
Key = Literal["fps", "tops", "watt", "mm2", "dollar", "name"]
KEYS: tuple[Key, ...] = ("fps", "tops", "watt", "mm2", "dollar", "name")
VOLUME = 1_000_000
"""Chips of ours over which design is spread for dollars."""
_SAME_WORK = 0.1
"""A network is taken for MLPerf's of that name if its work differs by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One chip with one network.

    `paper_tops` is what is advertised, `peak_tops` the dense peak of one chip at the type it computes in. An upper
    bound has `likely` beside it: the range it would fall in if the chip reached the share of its bound that measured
    chips do on ResNet-50. `watts` are modelled for simulated chips (with DRAM), published for others; `usd` is a unit
    cost at `VOLUME` for ours, a price for others, None where the chip is not sold.
    """

    chip: str
    key: str
    known: Known
    paper_tops: float
    peak_tops: float
    fps: float
    work: Work
    watts: float | None = None
    mm2: float | None = None
    usd: float | None = None
    likely: tuple[float, float] | None = None
    note: str = ""

    @property
    def label(self) -> str:
        """The chip in one word, for tables; another for each of its power modes."""
        return self.key + (" (MaxQ)" if self.chip.endswith(", MaxQ") else "")

    @property
    def share(self) -> float:
        """Of the peak that arrives: 2 x products x frames a second / peak."""
        return 2e-12 * self.work.macs * self.fps / self.peak_tops

    @property
    def per_watt(self) -> float | None:
        """Frames a joule."""
        return self.fps / self.watts if self.watts else None

    @property
    def per_mm2(self) -> float | None:
        """Frames a second for each mm2 of die."""
        return self.fps / self.mm2 if self.mm2 else None

    @property
    def per_dollar(self) -> float | None:
        """Frames a second for each dollar."""
        return self.fps / self.usd if self.usd else None


_VALUE: dict[str, Callable[[Entry], float | None]] = {
    "fps": lambda e: e.fps,
    "tops": lambda e: e.paper_tops,
    "watt": lambda e: e.per_watt,
    "mm2": lambda e: e.per_mm2,
    "dollar": lambda e: e.per_dollar,
}
MEASURES = {"fps": "frames a second", "watt": "frames a joule", "mm2": "frames/s a mm²", "dollar": "frames/s a dollar"}


def value_of(entry: Entry, key: str) -> float | None:
    """Return what an entry is ranked by."""
    if key not in _VALUE:
        raise CostError(f"nothing to sort by called '{key}'", hint=did_you_mean(key, KEYS))
    return _VALUE[key](entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The chips with one network, in order."""

    work: Work
    mode: Mode
    entries: tuple[Entry, ...]


def rank(network: Network, chips: Sequence[Chip], *, mode: Mode = "throughput", sort: Key = "fps") -> Ranking:
    """Return a network on our `chips` (simulated) and on all that others make.

    Parameters
    ----------
    network : Network
    chips : sequence of Chip
    mode : {'throughput', 'latency'}
        A frame of its own for each core and MLPerf's Offline; or one frame over all cores and SingleStream.
    sort : str
        A key of `KEYS`.

    Raises
    ------
    ChanziError
        No chip, or the network does not run.
    """
    if not chips:
        raise CostError("no chip to simulate", hint="name a preset or a .toml file")
    found = [(chip, deliver(network, chip, mode)) for chip in chips]
    work = found[0][1].work
    entries = [_simulated(chip, at) for chip, at in found] + foreign_entries(work, mode)
    return Ranking(work=work, mode=mode, entries=ordered(entries, sort))


def ordered(entries: Iterable[Entry], sort: Key) -> tuple[Entry, ...]:
    """Return entries by falling value, those without one last; by name for 'name'."""
    if sort == "name":
        return tuple(sorted(entries, key=lambda e: e.chip.lower()))
    found = [(value_of(e, sort), e) for e in entries]
    return tuple(e for _, e in sorted(found, key=lambda pair: (pair[0] is None, -(pair[0] or 0.0), pair[1].chip)))


def _simulated(chip: Chip, at: Delivery) -> Entry:
    try:
        die, usd = area_of(chip).die.value, cost_of(chip, Terms(volume=VOLUME)).unit_usd.value
    except CostError:  # a node that is not known, or a die beyond the reticle: no area and no price
        die = usd = None
    host = "" if at.on_chip > 1 - 1e-9 else f"{100 * (1 - at.on_chip):.2g} % of the products are the host's"
    return Entry(
        chip=chip.name, key=chip.name, known="simulated", paper_tops=chip.peak_tops, peak_tops=chip.peak_tops,
        fps=at.frames_per_s, work=at.work, watts=at.watts, mm2=die, usd=usd, note=host,
    )  # fmt: skip


def foreign_entries(work: Work, mode: Mode) -> list[Entry]:
    """Return what is known of a network on the chips of others: measured where MLPerf has it, else a bound."""
    found = []
    for chip in foreign_chips().values():
        measured = [_measured(chip, work, result) for result in results(chip, work, mode)]
        found += measured or [_bounded(chip, work, mode)]
    return found


def _number(chip: ForeignChip, name: str) -> float | None:
    return chip.figures[name].value if name in chip.figures else None


def _base(chip: ForeignChip, work: Work) -> Entry:
    peak, paper = chip.peak(), chip.figures.get("paper_int8")
    assert peak is not None  # every record has one, and a test holds that
    power = chip.figures.get("power_w")
    return Entry(
        chip=chip.name, key=chip.key, known="upper bound", paper_tops=(paper or peak).value * 1e-12,
        peak_tops=peak.value * 1e-12, fps=0.0, work=work, watts=power.bounds[1] if power else None,
        mm2=_number(chip, "die_mm2"), usd=_number(chip, "price_usd"),
    )  # fmt: skip


def known_as(work: Work) -> str | None:
    """Return MLPerf's name of a network: by its own name, and only where the work is the same; None for others."""
    plain = re.sub(r"[^a-z0-9]", "", work.name.lower())
    for name, macs in work_macs().items():
        if plain.startswith(re.sub(r"[^a-z0-9]", "", name)) and abs(work.macs / macs - 1) < _SAME_WORK:
            return name
    return None


def results(chip: ForeignChip, work: Work, mode: Mode) -> list[Measured]:
    """Return the newest result of each system."""
    name = known_as(work)
    wanted = "Offline" if mode == "throughput" else "SingleStream"
    newest: dict[str, Measured] = {}
    for result in sorted(chip.measured, key=lambda m: m.round):
        if result.network == name and result.scenario == wanted:
            newest[result.system] = result
    return list(newest.values())


def _measured(chip: ForeignChip, work: Work, result: Measured) -> Entry:
    rate, delay = result.samples_per_s, result.latency_ms_p90
    fps = rate.value if rate is not None else 1e3 / delay.value if delay is not None else 0.0
    low_power = result.wall_w is not None
    base = _base(chip, work)
    return replace(
        base,
        chip=f"{chip.name}, MaxQ" if low_power else chip.name,
        known="measured",
        fps=fps,
        watts=result.wall_w.value if result.wall_w is not None else base.watts,
        note=f"MLPerf {result.round} {result.scenario}" + (", watts at the wall" if low_power else ""),
    )


def _bounded(chip: ForeignChip, work: Work, mode: Mode) -> Entry:
    base = _base(chip, work)
    low, value, high = bound_fps(chip, work, mode)
    least, most = measured_shares(mode)
    peak = chip.peak()
    notes = [] if "peak_int8" in chip.figures or peak is None else [f"computes in {peak.unit.split()[1].rstrip(',')}"]
    if low < high:
        notes.append(f"{low:,.0f} to {high:,.0f}: what is published of it disagrees")
    return replace(base, fps=value, likely=(low * least, high * most), note="; ".join(notes))


def bound_fps(chip: ForeignChip, work: Work, mode: Mode) -> tuple[float, float, float]:
    """Return (low, value, high) of the roofline: peak, or memory, whichever gives fewer frames.

    Memory moves each frame's input and output, and with 'latency' the weights of every frame too unless the chip can
    hold them; with 'throughput' a batch as large as one likes shares them.
    """
    moved = work.frame_bytes
    sram = _number(chip, "sram_bytes") or 0.0
    if mode == "latency" and sram < work.weight_bytes:
        moved += work.weight_bytes
    peak, memory = chip.peak(), chip.figures["memory_bytes_per_s"]
    assert peak is not None

    def least(ops: float, bytes_per_s: float) -> float:
        return min(ops / (2 * work.macs), bytes_per_s / moved if moved else float("inf"))

    ends = [least(o, b) for o, b in zip(peak.bounds, memory.bounds, strict=True)]
    return ends[0], least(peak.value, memory.value), ends[1]


@cache
def measured_shares(mode: Mode) -> tuple[float, float]:
    """Return the least and the largest share of its bound that a chip reached on MLPerf's ResNet-50."""
    work = Work(name="resnet50", macs=work_macs()["resnet50"], weight_bytes=25.6e6, frame_bytes=151_528)
    shares = [
        entry.fps / bound_fps(chip, work, mode)[1]
        for chip in foreign_chips().values()
        for result in results(chip, work, mode)
        if result.wall_w is None
        for entry in [_measured(chip, work, result)]
    ]
    return min(shares), max(shares)
