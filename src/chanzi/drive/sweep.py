"""A drive in many variants: other arithmetic, other chips, a figure that is swept; what each comes to, where it fails.

Latency and frame interval are parameters of the loop, so the question "how slow may the chip be" is asked with one
figure after another while seeds, roads and traffic stay the same.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from chanzi.chip.chip import Chip
from chanzi.drive.episode import Episode
from chanzi.drive.figures import ChipFigures
from chanzi.drive.metrics import Tally, tally
from chanzi.drive.runs import Backend, Drive, drive_all, figures_of
from chanzi.errors import DriveError, did_you_mean

LOOP_AXES = ("latency_ms", "fps", "pace", "traffic")
"""What may be swept beside the chip's own figures."""
MOST_VALUES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A figure that is swept, and its values."""

    key: str
    values: tuple[float, ...]


def axis_of(text: str) -> Axis:
    """Return the axis of `key=a,b,c` or of `key=low:high:count`, whose values are even in ratios.

    Raises
    ------
    DriveError
        It is neither.
    """
    key, equals, given = text.partition("=")
    hint = "such as latency_ms=10,50,100 or clock_hz=1e6:1e9:7"
    if not equals or not key:
        raise DriveError(f"cannot sweep '{text[:60]}'", hint=hint)
    try:
        if ":" in given:
            low, high, count = (float(part) for part in given.split(":"))
            values = _even(low, high, int(count))
        else:
            values = tuple(float(part) for part in given.split(","))
    except ValueError:
        raise DriveError(f"cannot sweep '{text[:60]}'", hint=hint) from None
    if not all(math.isfinite(value) for value in values):
        raise DriveError(f"cannot sweep '{text[:60]}'", hint="finite numbers")
    return Axis(key=key.strip(), values=values)


def _even(low: float, high: float, count: int) -> tuple[float, ...]:
    if not (0 < low < high and 2 <= count <= MOST_VALUES):
        raise ValueError(f"{low} to {high} in {count}")
    return tuple(low * (high / low) ** (i / (count - 1)) for i in range(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the drives that are compared.

    Parameters
    ----------
    at : tuple of (str, str or float)
        What is its own: backend, chip and swept figures, of which the first comes last.
    drive : Drive
    """

    at: tuple[tuple[str, str | float], ...]
    drive: Drive


def variants(
    base: Drive, *, backends: Sequence[Backend] = (), chips: Sequence[Chip] = (), axes: Sequence[Axis] = ()
) -> list[Variant]:
    """Return every combination of backends, chips and swept figures; what is not given stays as in `base`.

    Raises
    ------
    DriveError, ChipError
        Something that cannot be swept, or a chip that cannot be.
    """
    sides: list[list[tuple[str, Any]]] = [[("backend", name) for name in backends], [("chip", chip) for chip in chips]]
    sides += [[(axis.key, value) for value in axis.values] for axis in reversed(axes)]
    found = []
    for combination in itertools.product(*(side for side in sides if side)):
        drive = base
        for key, value in combination:  # the chip before its figures
            drive = changed(drive, key, value)
        shown = [(k, v.name if isinstance(v, Chip) else v) for k, v in combination]
        found.append(Variant(at=tuple(shown), drive=drive))
    return found


def changed(drive: Drive, key: str, value: Any) -> Drive:
    """Return the drive with one thing changed."""
    match key:
        case "backend":
            return replace(drive, backend=value)
        case "chip":
            return replace(drive, chip=value)
        case "latency_ms":
            _above_zero(key, value, or_zero=True)
            return replace(drive, chip_s=value / 1e3)
        case "fps":
            _above_zero(key, value)
            return _with_option(drive, "frame_s", 1 / value)
        case "traffic":
            return _with_option(drive, "traffic", int(value) if value == int(value) else value)
        case "pace":
            return replace(drive, pace=value)
        case _:
            if drive.chip is None:
                raise DriveError(f"there is no chip whose {key} could be swept", hint="--chip CHIP, or latency_ms=...")
            return replace(drive, chip=_changed_part(drive.chip, key, value, key))


def _above_zero(key: str, value: float, *, or_zero: bool = False) -> None:
    if value < 0 or (value == 0 and not or_zero):
        raise DriveError(f"{key} of {value:g}", hint="above 0")


def _with_option(drive: Drive, name: str, value: float) -> Drive:
    kept = tuple((key, old) for key, old in drive.course.options if key != name)
    return replace(drive, course=replace(drive.course, options=(*kept, (name, value))))


def _changed_part(part: Any, key: str, value: float, whole: str) -> Any:
    """Return a chip, or a part of one, with the figure at a dotted path changed."""
    name, _, rest = key.partition(".")
    known = [f.name for f in fields(part)]
    if name not in known:
        raise DriveError(f"cannot sweep '{whole}'", hint=did_you_mean(name, [*known, *LOOP_AXES]))
    old = getattr(part, name)
    if is_dataclass(old):
        if not rest:
            inner = ", ".join(f"{name}.{f.name}" for f in fields(old))
            raise DriveError(f"cannot sweep '{whole}' as a whole", hint=f"one of {inner}")
        return replace(part, **{name: _changed_part(old, rest, value, whole)})
    if rest or isinstance(old, str | dict):
        raise DriveError(f"cannot sweep '{whole}'", hint="a number of the chip, such as clock_hz or core.dim")
    return replace(part, **{name: round(value) if isinstance(old, int) else value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a variant comes to.

    Parameters
    ----------
    variant : Variant
    figures : ChipFigures or None
        What the chip does, where there is one.
    total : Tally
    unsafe : int
        Episodes in which something was hit or the road was left.
    """

    variant: Variant
    figures: ChipFigures | None
    total: Tally
    unsafe: int

    @property
    def frames_per_s(self) -> float:
        """Frames a second that were driven by."""
        return self.total.frames["used"] / self.total.time_s if self.total.time_s else 0.0

    def value(self, key: str) -> str | float | None:
        """Return what it has of its own under a key."""
        return dict(self.variant.at).get(key)


def compare(
    what: Sequence[Variant],
    seeds: Sequence[int],
    *,
    jobs: int = 1,
    done: Callable[[int], None] = lambda _: None,
) -> Iterator[Outcome]:
    """Yield what each variant comes to over the same seeds, in order."""
    orders = [(variant.drive, seed) for variant in what for seed in seeds]
    waiting: dict[int, dict[int, Episode]] = {n: {} for n in range(len(what))}
    due = 0
    for index, episode in drive_all(orders, jobs=jobs, done=done):
        waiting[index // len(seeds)][index] = episode
        while due < len(what) and len(waiting[due]) == len(seeds):
            found = [episode for _, episode in sorted(waiting.pop(due).items())]
            yield Outcome(
                variant=what[due],
                figures=figures_of(what[due].drive),
                total=tally(found, supervised=what[due].drive.supervised),
                unsafe=sum(not episode.safe for episode in found),
            )
            due += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Where driving ends along an axis, everything else being equal.

    Parameters
    ----------
    fixed : tuple of (str, str or float)
        What was equal.
    good : Outcome or None
        The slowest that drives as well and as safely as the fastest.
    unsafe : Outcome or None
        The fastest that is less safe than the fastest of all.
    """

    fixed: tuple[tuple[str, str | float], ...]
    good: Outcome | None
    unsafe: Outcome | None


SAME_COMPLETION = 0.02


def edges(found: Sequence[Outcome], axis: str) -> list[Edge]:
    """Return where driving ends along an axis, for each combination of the others.

    Outcomes are ordered by how long the chip takes. One is good if no more of its episodes end in a collision or off
    the road than the fastest's, and its mean route completion is within two points of the fastest's; good ones after
    one that is not do not count.
    """
    groups: dict[tuple[tuple[str, str | float], ...], list[Outcome]] = {}
    for one in found:
        fixed = tuple((key, value) for key, value in one.variant.at if key != axis)
        groups.setdefault(fixed, []).append(one)
    return [_edge(fixed, group) for fixed, group in groups.items()]


def _edge(fixed: tuple[tuple[str, str | float], ...], group: list[Outcome]) -> Edge:
    ordered = sorted(group, key=_slowness)
    best = ordered[0]
    good: Outcome | None = None
    unsafe = next((one for one in ordered if one.unsafe > best.unsafe), None)
    for one in ordered:
        kept = one.total.completion.value >= best.total.completion.value - SAME_COMPLETION
        if one.unsafe > best.unsafe or not kept:
            break
        good = one
    return Edge(fixed=fixed, good=good, unsafe=unsafe)


def _slowness(one: Outcome) -> tuple[float, float]:
    chip_s = one.figures.chip_s if one.figures is not None else one.variant.drive.chip_s or 0.0
    return chip_s, -one.frames_per_s
