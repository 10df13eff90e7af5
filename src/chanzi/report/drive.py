"""Tables of drives: what a set of episodes comes to, and how each went."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table

from chanzi.drive.episode import Episode
from chanzi.drive.figures import ChipFigures
from chanzi.drive.metrics import Tally
from chanzi.drive.statistics import Interval
from chanzi.drive.timeline import Fate, counted, latency_of
from chanzi.report.tables import rate, seconds


def drive_table(title: str, found: Tally, chip: ChipFigures | None = None) -> Table:
    """Return the figures of a set of episodes, each between its bounds, and what the chip had to do for it."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    few = found.episodes < 2

    def row(name: str, interval: Interval, form: str) -> None:
        bounds = "" if few else f"{format(interval.low, form)} .. {format(interval.high, form)}"
        table.add_row(name, format(interval.value, form), bounds)

    table.add_row("ended", ", ".join(f"{word} {count}" for word, count in found.ended.items()), "")
    row("arrived", found.arrived, ".1%")
    row("route completion", found.completion, ".1%")
    row("collisions an episode", found.crashes, ".3f")
    row("off road, of episodes", found.off_road, ".1%")
    if found.interventions_per_km is not None:
        row("interventions per km", found.interventions_per_km, ".2f")
    if found.reward.high or found.reward.low:
        row("reward", found.reward, ".1f")
    row("speed, m/s", found.speed_m_s, ".2f")
    row("off the lane's centre, m rms", found.lateral_rms_m, ".3f")
    late = found.latency
    table.add_row("light to steering, ms mean (p99)", f"{1e3 * late.mean_s:.1f} ({1e3 * late.p99_s:.1f})", "")
    frames = found.frames
    table.add_row("frames used, dropped, refused", f"{frames['used']}, {frames['dropped']}, {frames['refused']}", "")
    if chip is not None:
        for name, value in _chip_rows(chip, found):
            table.add_row(name, value, "")
    for why, count in found.stops.items():
        table.add_row(f"stopped: {why}", str(count), "")
    return table


def _chip_rows(chip: ChipFigures, found: Tally) -> list[tuple[str, str]]:
    rows = [
        ("chip", f"{f'{chip.chips} x ' if chip.chips > 1 else ''}{chip.chip.name}, {chip.chip.clock_hz / 1e6:g} MHz"),
        ("a frame on the chip", f"{chip.cycles:,} cycles, {seconds(chip.chip_s)}"),
        ("frames/s it could take", rate(chip.frames_per_s)),
    ]
    watts = chip.watts(used_per_s(found))
    if watts is not None and chip.joules is not None:
        rows += [("joules a frame", f"{chip.chips * chip.joules:.3g}"), ("watts while driving", f"{watts:.3g}")]
    return rows


def used_per_s(found: Tally) -> float:
    """Return the frames a second that the chip ran."""
    ran = sum(found.frames[fate.value] for fate in (Fate.USED, Fate.FAILED, Fate.UNFINISHED))
    return ran / found.time_s if found.time_s else 0.0


def chip_json(chip: ChipFigures, found: Tally) -> dict[str, Any]:
    """Return what the chip does as JSON takes it."""
    return {
        "name": chip.chip.name,
        "chips": chip.chips,
        "clock_hz": chip.chip.clock_hz,
        "peak_tops": chip.chip.peak_tops,
        "cycles": chip.cycles,
        "frame_s": chip.chip_s,
        "frames_per_s": chip.frames_per_s,
        "joules_a_frame": None if chip.joules is None else chip.chips * chip.joules,
        "watts": chip.watts(used_per_s(found)),
    }


def episodes_table(episodes: Sequence[Episode]) -> Table:
    """Return a row for each episode."""
    table = Table(title="Episodes", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (
        "seed",
        "ended",
        "seconds",
        "metres",
        "done",
        "crashes",
        "taken over",
        "nearest m",
        "ms, light to steering",
    ):
        table.add_column(name, justify="right")
    for e in episodes:
        table.add_row(
            str(e.seed),
            e.ended,
            f"{e.time_s:.1f}",
            f"{e.distance_m:.0f}",
            f"{e.progress:.1%}",
            str(e.crashes),
            str(len(e.takeovers)),
            f"{e.nearest_m:.1f}",
            f"{1e3 * latency_of(e.passages).mean_s:.1f}",
        )
    return table


def tally_json(found: Tally) -> dict[str, Any]:
    """Return a tally as JSON takes it; what is not a number is null."""
    return _finite(asdict(found))


def episode_json(episode: Episode) -> dict[str, Any]:
    """Return an episode as JSON takes it, its frames only counted."""
    return _finite(
        {
            **{name: value for name, value in asdict(episode).items() if name != "passages"},
            "frames": {fate.value: count for fate, count in counted(episode.passages).items()},
            "latency": asdict(latency_of(episode.passages)),
        }
    )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and (value != value or abs(value) == float("inf")) else value
