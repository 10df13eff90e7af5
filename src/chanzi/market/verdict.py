"""Who is faster, in a sentence: only what the figures bear out, and what they leave open."""

import itertools
from collections.abc import Sequence

from chanzi.errors import CostError, did_you_mean
from chanzi.market.rank import MEASURES, Entry, Ranking, value_of

_OF = {"fps": "", "watt": " per watt", "mm2": " per mm²", "dollar": " per dollar"}


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _said(entry: Entry) -> str:
    return f"{entry.chip} ({entry.key}, {_short(entry.paper_tops)} TOPS on paper)"


def find(entries: Sequence[Entry], name: str) -> Entry:
    """Return the entry of that name or key, or of a part of it that only one chip has.

    Raises
    ------
    CostError
        None, or several, are called so.
    """
    exact = next((e for e in entries if name == e.key), None)
    if exact is not None:
        return exact
    words = name.lower().replace("-", "_").strip()
    plain = {e.key.lower().replace("-", "_"): e for e in reversed(entries)}
    if words in plain:
        return plain[words]
    hits = [e for key, e in plain.items() if words and (words in key or words in e.chip.lower().replace("-", "_"))]
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise CostError(f"'{name}' may be several chips", hint=", ".join(e.key for e in hits))
    raise CostError(f"no chip '{name}' in the ranking", hint=did_you_mean(name, [e.key for e in entries]))


def compare(a: Entry, b: Entry) -> str:
    """Return who of two is faster on the network, and per watt, mm2 and dollar, as far as the figures say."""
    parts = [f"On {a.work.name}, {_said(a)} against {_said(b)}"]
    for key in MEASURES:
        parts.append(_one(key, a, b))
    return ": ".join([parts[0], "; ".join(parts[1:])]) + "."


def _one(key: str, a: Entry, b: Entry) -> str:
    first, second = value_of(a, key), value_of(b, key)
    where = _OF[key]
    if first is None or second is None:
        missing = " and ".join(e.key for e, v in ((a, first), (b, second)) if v is None)
        return f"{where.strip()} nobody can say ({_WHY[key]} of {missing} is not published)"
    if first < second:
        a, b, first, second = b, a, second, first
    figures = f"{_figure(a, first)} to {_figure(b, second)} frames/s{where}"
    if a.known != "upper bound":
        kinds = (
            f"{a.known} against {'an ' if b.known == 'upper bound' else ''}{b.known}" if a.known != b.known else a.known
        )
        return f"{a.key} is {first / second:.2g} times as fast{where}, {figures} ({kinds})"
    if a.likely is not None and a.likely[0] / a.fps * first > _most(b, second):
        return f"{a.key} is likely faster{where}, {figures}"
    return f"open{where}: {figures}"


def _most(entry: Entry, value: float) -> float:
    """Return the most that is likely."""
    return value if entry.likely is None else entry.likely[1] / entry.fps * value


def _figure(entry: Entry, value: float) -> str:
    if entry.likely is None:
        return _short(value)
    low, high = (end / entry.fps * value for end in entry.likely)
    return f"at most {_short(value)} (likely {_short(low)} to {_short(high)})"


_WHY = {"fps": "the speed", "watt": "the power", "mm2": "the die", "dollar": "a price"}


def winners(ranking: Ranking) -> str:
    """Return who leads by each measure among what was simulated or measured, and which bounds lie above."""
    firm = [e for e in ranking.entries if e.known != "upper bound"]
    parts = []
    for key, of in _OF.items():
        known = [(v, e) for e in firm if (v := value_of(e, key)) is not None]
        if not known:
            continue
        value, best = max(known, key=lambda pair: pair[0])
        above = sum(1 for e in ranking.entries if e.known == "upper bound" and (value_of(e, key) or 0) > value)
        tail = f", {above} upper bound{'s' if above > 1 else ''} above it" if above else ""
        parts.append(f"{'most frames/s' if key == 'fps' else of.strip()}: {best.label} ({_short(value)}{tail})")
    return f"Simulated or measured on {ranking.work.name}, " + "; ".join(parts) + "."


def paper_wrong(ranking: Ranking) -> str:
    """Return how often TOPS on paper order two chips otherwise than the frames they deliver."""
    firm = {e.key: e for e in reversed(ranking.entries) if e.known != "upper bound"}
    pairs = [
        (a, b) for a, b in itertools.combinations(firm.values(), 2) if a.paper_tops != b.paper_tops and a.fps != b.fps
    ]
    wrong = sum((a.paper_tops > b.paper_tops) != (a.fps > b.fps) for a, b in pairs)
    shares = [2e-12 * e.work.macs * e.fps / e.paper_tops for e in firm.values()]
    spread = f"of its TOPS on paper a chip delivers {100 * min(shares):.2g} to {100 * max(shares):.2g} %"
    if not pairs:
        return f"Of its TOPS on paper {next(iter(firm.values())).label} delivers {100 * shares[0]:.2g} %."
    return f"In {wrong} of {len(pairs)} pairs the chip with more TOPS on paper is the slower one; {spread}."
