"""Tables of the data engine: its turns, its versions and what each fixed, its triggers."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from rich import box
from rich.table import Table

from chanzi.drive.engine.history import History, Turn
from chanzi.drive.engine.journal import Provenance
from chanzi.drive.engine.stages.held_out import HeldOut
from chanzi.drive.statistics import Interval, bootstrap_mean, wilson

_MOST_SHOWN = 3


def rate(found: Interval | None) -> str:
    """Return a rate in per cent with its interval: '83 % (72-91)'."""
    if found is None:
        return ""
    if found.low == 0.0 and found.high == 1.0:
        return "none"
    return f"{100 * found.value:.0f} % ({100 * found.low:.0f}-{100 * found.high:.0f})"


def _table(title: str) -> Table:
    return Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)


def turns_table(history: History) -> Table:
    """Return a row for each turn: how well its network drives, what the gate said, what the fleet met."""
    table = _table("Turns")
    table.add_column("turn")
    for name in (
        "frames kept",
        "frames",
        "suite",
        "gate",
        "fleet has",
        "road",
        "mined",
        "fixed by next",
        "CPU minutes",
    ):
        table.add_column(name, justify="right")
    for turn, later in zip(history.turns, [*history.turns[1:], None], strict=True):
        table.add_row(
            str(turn.number),
            "" if turn.collected is None else f"{turn.collected.kept_frames:,}",
            "" if turn.candidate is None else f"{turn.candidate.frames:,}",
            rate(turn.suite),
            gate_word(turn),
            "" if turn.deployed is None else f"v{turn.deployed.version.number}",
            rate(turn.road),
            "" if turn.mined is None else f"{len(turn.mined.failures)} of {turn.mined.drives}",
            "" if later is None or later.gated is None else f"{later.gated.answered} of {later.gated.asked}",
            f"{sum(turn.cpu_s.values()) / 60:.1f}",
        )
    return table


def gate_word(turn: Turn) -> str:
    """Return what became of a turn's candidate, in a word or two."""
    if turn.gated is None:
        return ""
    if turn.deployed is None:
        return "passed" if turn.gated.verdict.deploy else "refused"
    if turn.deployed.rollout is not None and turn.deployed.rollout.alarm is not None:
        return "forced, rolled back" if turn.deployed.forced else "rolled back"
    if turn.accepted:
        return "forced" if turn.deployed.forced else "deployed"
    return "refused"


def versions_table(history: History) -> Table:
    """Return a row for each version: parent, size, chip, how it spread, what it fixed and broke."""
    table = _table("Versions")
    for name in ("version", "from", "loss", "ms on chip", "int8 moves path", "waves", "fixed", "broke"):
        table.add_column(name)
    for turn in history.turns:
        if turn.candidate is None:
            continue
        table.add_row(
            f"v{turn.number}" + ("" if turn.accepted or turn.deployed is None else " (not deployed)"),
            "outside" if turn.candidate.adopted else _version(turn.candidate.parent),
            f"{turn.candidate.loss_before:.3g} → {turn.candidate.loss_after:.3g}",
            "" if turn.programmed is None else f"{1000 * turn.programmed.compiled.latency_s:.3g}",
            "" if turn.integer is None else f"{100 * turn.integer.path_change_m:.2g} cm",
            _waves(turn),
            "" if turn.gated is None else _most(turn.gated.fixed),
            "" if turn.gated is None else _most(turn.gated.broken),
        )
    return table


def _version(number: int | None) -> str:
    return "nothing" if number is None else f"v{number}"


def _waves(turn: Turn) -> str:
    if turn.deployed is None:
        return ""
    rollout = turn.deployed.rollout
    if rollout is None:
        return "all at once" if turn.accepted else "none"
    text = " ".join(f"{wave.cars}" for wave in rollout.waves) + " cars"
    return text if rollout.alarm is None else f"{text}, back after {rollout.alarm} drives"


def _most(things: tuple[str, ...]) -> str:
    counted = Counter(things).most_common()
    shown = ", ".join(f"{count}× {thing}" for thing, count in counted[:_MOST_SHOWN])
    rest = sum(count for _, count in counted[_MOST_SHOWN:])
    return shown + (f", {rest} more" if rest else "")


def triggers_table(history: History) -> Table:
    """Return what each trigger did in each turn."""
    table = _table("Triggers")
    table.add_column("turn")
    table.add_column("trigger")
    for name in ("fired", "per 1000 frames", "events kept", "frames kept", "budget"):
        table.add_column(name, justify="right")
    for turn in history.turns:
        for one in () if turn.collected is None else turn.collected.rates:
            table.add_row(
                str(turn.number),
                one.name,
                f"{one.events:,}",
                f"{one.per_1000_frames:.3g}",
                f"{one.kept_events:,}",
                f"{one.kept_frames:,}",
                f"{one.budget_frames:,}",
            )
    return table


def reasons(history: History) -> list[str]:
    """Return why each candidate that is not deployed is not, a line each."""
    lines = []
    for turn in history.turns:
        if turn.gated is not None and not turn.gated.verdict.deploy:
            lines.append(f"v{turn.number} refused: {'; '.join(turn.gated.verdict.reasons)}")
        if turn.deployed is not None and turn.deployed.rollout is not None and turn.deployed.rollout.alarm is not None:
            wave = turn.deployed.rollout.waves[-1]
            lines.append(
                f"v{turn.number} rolled back: {wave.failures} of {wave.drives} drives failed with it, where"
                f" {turn.deployed.rollout.usual_rate:.0%} was usual"
            )
    return lines


def to_dict(history: History) -> dict[str, Any]:
    """Return a history for scripts."""
    found = msgspec.to_builtins(history)
    for row, turn in zip(found["turns"], history.turns, strict=True):
        row["suite_rate"] = msgspec.to_builtins(turn.suite)
        row["road_rate"] = msgspec.to_builtins(turn.road)
        row["gate_word"] = gate_word(turn)
    return found


def held_out_rows(found: Sequence[HeldOut]) -> list[dict[str, Any]]:
    """Return pass rate and completion of each version with their intervals, for scripts."""
    return [
        {
            "version": one.version,
            "drives": len(one.quality.passed),
            "passed": msgspec.to_builtins(wilson(sum(one.quality.passed), len(one.quality.passed))),
            "progress": msgspec.to_builtins(bootstrap_mean(one.quality.progress)),
        }
        for one in found
    ]


def held_out_table(found: Sequence[HeldOut]) -> Table:
    """Return a row for each version."""
    table = _table("Held out")
    table.add_column("version")
    for name in ("drives", "passed", "progress"):
        table.add_column(name, justify="right")
    for one in found:
        passed = wilson(sum(one.quality.passed), len(one.quality.passed))
        progress = bootstrap_mean(one.quality.progress)
        table.add_row(
            f"v{one.version}",
            str(len(one.quality.passed)),
            rate(passed),
            f"{progress.value:.3f} ({progress.low:.3f}-{progress.high:.3f})",
        )
    return table


def provenance_lines(found: Provenance) -> list[str]:
    """Return how an artefact came to be: a line each, nearest first, what is met again only named; drives counted."""
    lines: list[str] = []
    met: set[str] = set()

    def tell(one: Provenance, depth: int) -> None:
        entry = one.entry
        head = f"{'  ' * depth}{one.file} {one.sha256[:12]}: {entry.kind} of turn {entry.turn} ({entry.name})"
        if one.sha256 in met:
            lines.append(f"{head}, as above")
            return
        met.add(one.sha256)
        lines.append(f"{head}, code {entry.code}")
        many = Counter((i.entry.kind, i.entry.turn) for i in one.inputs)
        for kind_turn, count in many.items():
            same = [i for i in one.inputs if (i.entry.kind, i.entry.turn) == kind_turn]
            for inner in same if count <= _MOST_SHOWN else same[:1]:
                tell(inner, depth + 1)
            if count > _MOST_SHOWN:
                met.update(i.sha256 for i in same)
                lines.append(f"{'  ' * (depth + 1)}and {count - 1} more by {kind_turn[0]} of turn {kind_turn[1]}")

    tell(found, 0)
    return lines
