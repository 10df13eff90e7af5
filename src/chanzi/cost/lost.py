"""Where the cycles went: every cycle of every core in use, laid to one layer and one cause.

The array's timeline is the measure, for it does the multiply-accumulates. While a DOT is fed, its cycles split as
`chanzi.isa.cycles.dot_timing` says. Each gap before a DOT, and the tail after the last one, is followed back along what
held it up: the instruction whose completion the DOT waited for last, what that instruction in turn had waited for, and
so on until the gap is explained. Work that went on under a busy array never appears, however long it took.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Chip
from chanzi.isa.cycles import DotTiming, dot_timing
from chanzi.isa.fields import WAITS, Engine
from chanzi.isa.instruction import Instruction
from chanzi.program.program import Segment
from chanzi.program.trace import Timing

CAUSES = {
    "useful": "multiply-accumulates of the layer, at full rate",
    "padding": "multiplying zeros: channels filled up to an atom, weights spread to pack small maps",
    "edge": "tiles with fewer rows or columns than the array has",
    "feed": "the scratchpad ports bring rows more slowly than the array takes them",
    "drain": "results leave the array more slowly than new ones are made",
    "fill": "waiting until sums have run through array and epilogue",
    "vector": "waiting for the vector unit",
    "banks": "waiting only because two streams would have met in one bank",
    "dram": "waiting for DRAM",
    "dispatch": "the sequencer: start of a run, one instruction after the other",
    "cores": "waiting for another core",
}
"""Every cause with what it means; keys are in the order in which tables and bars show them."""

_AT = {name: i for i, name in enumerate(CAUSES)}
_PEER = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lost:
    """``cycles[core][layer][cause]`` (causes in the order of `CAUSES`) and the run's length.

    For each core in use the entries sum to `total`; idle cores have only zeros.
    """

    cycles: npt.NDArray[np.int64]
    total: int
    used: tuple[int, ...]

    def of_layer(self, layer: int) -> dict[str, int]:
        """Return the core-cycles of a layer by cause."""
        return dict(zip(CAUSES, self.cycles[:, layer].sum(axis=0).tolist(), strict=True))

    def totals(self) -> dict[str, int]:
        """Return all core-cycles by cause; they sum to ``total * len(used)``."""
        return dict(zip(CAUSES, self.cycles.sum(axis=(0, 1)).tolist(), strict=True))


class _Walk:
    """The timeline of one run, with what each instruction could have waited for."""

    def __init__(self, chip: Chip, codes: list[tuple[Instruction, ...]], n_layers: int, timing: Timing) -> None:
        self.config = chip.core
        self.start, self.begin = timing.start.tolist(), timing.busy_begin.tolist()
        self.end, self.complete = timing.busy_end.tolist(), timing.complete.tolist()
        self.dispatched, self.layer = timing.dispatched.tolist(), timing.layer.tolist()
        self.engine, self.core = timing.engine.tolist(), timing.core.tolist()
        self.ins = [codes[c][i] for c, i in zip(self.core, timing.index.tolist(), strict=True)]
        self.rows: list[tuple[list[int], ...]] = [([], [], [], []) for _ in codes]
        self.place: list[int] = []
        for row, (c, e) in enumerate(zip(self.core, self.engine, strict=True)):
            self.place.append(len(self.rows[c][e]))
            self.rows[c][e].append(row)
        layers = max([n_layers, *(layer + 1 for layer in self.layer)])
        self.cycles = np.zeros((len(codes), layers, len(CAUSES)), np.int64)
        self.on = 0
        """The core whose cycles are being laid."""

    def add(self, layer: int, cause: str, n: int) -> None:
        """Lay `n` cycles (none if negative) of the present core to a layer and a cause."""
        if n > 0:
            self.cycles[self.on, layer, _AT[cause]] += n

    def reasons(self, row: int) -> list[tuple[int, str, int, bool]]:
        """Return (when, 'own' | 'wait' | 'peer' | 'dispatch', row, for banks only) of all that `row` waited for."""
        c, e, ins = self.core[row], self.engine[row], self.ins[row]
        found: list[tuple[int, str, int, bool]] = []
        if self.place[row]:
            before = self.rows[c][e][self.place[row] - 1]
            when = self.complete if e == Engine.VECTOR else self.end if e == Engine.ARRAY else self.begin
            found.append((when[before], "own", before, False))
        if e == Engine.ARRAY and self.place[row] > 1:  # two DOTs at most are under way
            by = self.rows[c][e][self.place[row] - 2]
            found.append((self.complete[by], "wait", by, False))
        for engine, name in enumerate(WAITS):
            n = getattr(ins, name)
            if n:
                by = self.rows[c][engine][n - 1]
                found.append((self.complete[by], "wait", by, bool(ins.note >> engine & 1)))
        if ins.wait_peer:
            by = self.rows[ins.peer_core][Engine.STORE][ins.wait_peer - 1]
            found.append((self.complete[by], "peer", by, False))
        found.append((self.dispatched[row], "dispatch", row, False))
        return found

    def explain(self, row: int, until: int, since: int) -> None:
        """Lay the cycles from `since` to `until`, at which `row` starts, to their causes."""
        while until > since:
            reasons = self.reasons(row)
            data = max((r for r in reasons if not r[3]), key=lambda r: r[0])
            if data[0] < until:
                held = until - max(data[0], since)
                only_banks = any(r[3] and r[0] >= until for r in reasons)
                self.add(self.layer[row], "banks" if only_banks else "dispatch", held)
                until = data[0]
                continue
            _, kind, by, _ = data
            if kind == "dispatch":
                row, until = self.sequencer(row, until, since)
            elif kind == "peer":
                self.add(self.layer[by], "dram", until - max(self.start[by], since))
                self.add(self.layer[row], "cores", max(min(self.start[by], until) - since, 0))
                return
            else:
                until = self.through(by, until, since)
                row = by

    def through(self, by: int, until: int, since: int) -> int:
        """Lay the cycles before `until` that passed inside instruction `by`; return when it had started."""
        e = self.engine[by]
        if e == Engine.ARRAY:
            self.add(self.layer[by], "fill", until - max(self.end[by], since))
            return self.end[by] if self.end[by] <= since else self.start[by]
        begun = min(self.start[by], until)
        self.add(self.layer[by], "vector" if e == Engine.VECTOR else "dram", until - max(begun, since))
        return begun

    def sequencer(self, row: int, until: int, since: int) -> tuple[int, int]:
        """Follow the sequencer back from `row`, which left at `until`; return the row and time to go on from."""
        c, layer = self.core[row], self.layer[row]
        while until > since:
            first = row == 0 or self.core[row - 1] != c
            left = 0 if first else self.dispatched[row - 1] + self.config.issue_cycles
            if not first and left < until:  # its queue was full: until the one `queue_depth` before it had started
                place = self.place[row] - self.config.queue_depth
                if place >= 0:
                    return self.rows[c][self.engine[row]][place], until
            begun = 0 if first else self.dispatched[row - 1]
            self.add(layer, "dispatch", until - max(begun, since))
            if first:
                return row, since
            row, until = row - 1, begun
        return row, until


def _feeding(
    walk: _Walk, chip: Chip, rows: list[int], known: dict[tuple[int, ...], DotTiming]
) -> dict[int, list[float]]:
    """Return layer -> [cycles of K over tiles, multiply-accumulates] and lay the rest of feeding to its causes."""
    done: dict[int, list[float]] = {}
    for row in rows:
        ins = walk.ins[row]
        a = (ins.a_count, ins.a_run, ins.a_taps_y, ins.a_taps_x)
        key = (*a, ins.b_count, ins.b_run, ins.b_taps_y, ins.b_taps_x, ins.flags)
        if key not in known:
            known[key] = dot_timing(chip.core, ins)
        t = known[key]
        layer = walk.layer[row]
        walk.add(layer, "feed", t.feed)
        walk.add(layer, "drain", t.drain + walk.end[row] - walk.start[row] - t.first - t.rest)
        sums = done.setdefault(layer, [0, 0])
        sums[0] += t.first + t.rest - t.feed - t.drain
        sums[1] += ins.a_count * ins.b_count * ins.a_run * ins.a_taps_y * ins.a_taps_x
    return done


def lost_cycles(chip: Chip, segment: Segment, timing: Timing) -> Lost:
    """Return where the cycles of `timing`, a 'frame' or a 'setup' of `segment`, went.

    Raises
    ------
    ValueError
        `timing` is of a cold run: ask for its two parts.
    """
    if timing.part == "cold":
        raise ValueError("a cold run is setup and frame; ask for each")
    codes = [core.setup if timing.part == "setup" else core.frame for core in segment.cores]
    walk = _Walk(chip, codes, len(segment.layers), timing)
    used = tuple(c for c, by_engine in enumerate(walk.rows) if any(by_engine))
    known: dict[tuple[int, ...], DotTiming] = {}
    feeding: list[dict[int, list[float]]] = []
    for c in used:
        walk.on = c
        dots = walk.rows[c][Engine.ARRAY]
        since = 0
        for row in dots:
            walk.explain(row, walk.start[row], since)
            since = walk.end[row]
        _tail(walk, c, timing.core_cycles[c], since)
        own = max(row for by_engine in walk.rows[c] for row in by_engine)
        walk.add(walk.layer[own], "cores", timing.cycles - timing.core_cycles[c])
        feeding.append(_feeding(walk, chip, dots, known))
    _share_useful(chip, segment, walk.cycles, dict(zip(used, feeding, strict=True)))
    return Lost(cycles=walk.cycles, total=timing.cycles, used=used)


def _tail(walk: _Walk, c: int, end: int, since: int) -> None:
    """Lay the cycles after the last DOT of core `c` to their causes."""
    last = [rows[-1] for rows in walk.rows[c] if rows]
    by = max(last, key=lambda row: walk.complete[row])
    done = max(walk.complete[by], since)
    final = max(last)
    if done < end:  # HALT left the sequencer after everything was complete
        walk.add(walk.layer[final], "dispatch", end - done)
    if done > since:
        walk.explain(by, walk.through(by, done, since), since)


def _share_useful(
    chip: Chip, segment: Segment, cycles: npt.NDArray[np.int64], feeding: dict[int, dict[int, list[float]]]
) -> None:
    """Split the cycles of K into useful, padding and edge, in whole cycles that keep their sum."""
    square = chip.core.macs_per_cycle
    done: dict[int, float] = {}
    for layers in feeding.values():
        for layer, (_, macs) in layers.items():
            done[layer] = done.get(layer, 0) + macs
    for c, layers in feeding.items():
        for layer, (k_cycles, macs) in layers.items():
            wanted = segment.layers[layer].macs * segment.frames if layer < len(segment.layers) else done[layer]
            real = macs * min(wanted, done[layer]) / done[layer]
            useful = int(real / square)
            padding = int(macs / square) - useful
            cycles[c, layer, _AT["useful"]] += useful
            cycles[c, layer, _AT["padding"]] += padding
            cycles[c, layer, _AT["edge"]] += int(k_cycles) - useful - padding
