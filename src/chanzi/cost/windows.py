"""What a sliding window costs at least: products inside the map, bytes that neighbours share, tiles that skip padding.

Everything here counts in *taps* of one channel; `cost.bound` multiplies by channels and divides by the array.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis of a window that slides over a map: `size` elements in, `out` outputs, `kernel` taps."""

    size: int
    out: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    pad: int = 0

    def ranges(self) -> dict[tuple[int, int], int]:
        """Return (first, last) tap inside the map -> outputs that have it; a window wholly outside counts as (0, 0)."""
        return _ranges(self)

    def products(self) -> int:
        """Return the taps inside the map, over all outputs."""
        return sum((last - first + 1) * n for (first, last), n in self.ranges().items())

    def touched(self) -> int:
        """Return how many elements of the map at least one window covers."""
        at = np.arange(self.out)[:, None] * self.stride - self.pad + np.arange(self.kernel) * self.dilation
        return len(np.unique(at[(at >= 0) & (at < self.size)]))

    @property
    def step(self) -> int:
        """New elements that each further window brings at the least."""
        return min(self.stride, self.kernel) if self.dilation == 1 else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window over both axes."""

    y: Axis
    x: Axis

    @property
    def taps(self) -> int:
        """Taps of the whole window."""
        return self.y.kernel * self.x.kernel

    @property
    def outputs(self) -> int:
        """Outputs of one channel."""
        return self.y.out * self.x.out

    @property
    def many_regions(self) -> bool:
        """Whether the window is too large to look at every way of skipping taps."""
        return len(_spans(self.y.ranges())) * len(_spans(self.x.ranges())) > 1000

    def products(self) -> int:
        """Return the taps inside the map, over all outputs."""
        return self.y.products() * self.x.products()

    def union(self, count: int) -> int:
        """Return the least elements that any `count` windows cover together.

        `count` windows occupy w columns and h rows of outputs, w·h >= count. In each column the windows together cover
        at least ``count·step`` + (kernel - step) elements down; the same argument then runs along the rows.
        """
        return _union(count, self.y.kernel, self.x.kernel, self.y.step, self.x.step)

    def regions(self) -> list[tuple[int, int, int]]:
        """Return (taps, outputs, outputs that need no fewer) of all groups of outputs that can skip the same taps.

        A group is all outputs whose taps inside the map lie within one range of rows and one of columns. Windows so
        large that there would be thousands of groups have none.
        """
        ys, xs = self.y.ranges(), self.x.ranges()
        if self.many_regions:
            return []
        groups = []
        for a, b in _spans(ys):
            for c, d in _spans(xs):
                inside = sum(n for (f, g), n in ys.items() if a <= f and g <= b)
                inside *= sum(n for (f, g), n in xs.items() if c <= f and g <= d)
                if inside:
                    groups.append(((b - a + 1) * (d - c + 1), inside, ys.get((a, b), 0) * xs.get((c, d), 0)))
        return groups

    def cover(self, capacity: int) -> int:
        """Return the least taps that must run past one filter, where a tile holds `capacity` outputs of it.

        A tile takes as long as the box of its outputs' taps: an instruction names rows and columns, it leaves out no
        corner. Outputs that need the whole window need whole tiles; what still has no place is covered at the least
        cost by any tiles, overlaps forgiven.
        """
        groups = self.regions()
        if not groups:
            return -(-self.products() // capacity)
        whole = sum(exact for taps, _, exact in groups if taps == self.taps)
        tiles = -(-whole // capacity)
        rest = max(self.outputs - tiles * capacity, 0)
        items = {(taps, min(capacity, inside)) for taps, inside, _ in groups}
        if rest > 2 * capacity:  # long borders: whole tiles hardly matter, the best price does
            return tiles * self.taps + math.ceil(rest * min(taps / size for taps, size in items) - 1e-9)
        best = [0] * (rest + 1)
        for n in range(1, rest + 1):
            best[n] = min(taps + best[max(n - size, 0)] for taps, size in items)
        return tiles * self.taps + best[rest]

    def prices(self, rows: int) -> list[tuple[int, float, float]]:
        """Return (outputs, taps of a row's time, taps inside the map) for each kind of output.

        A row of a tile with full height (`rows`) costs a whole window divided by `rows`; a tile that skips taps holds
        only the outputs of its group, and costs less only if there are enough of them.
        """
        ys, xs = self.y.ranges(), self.x.ranges()
        if self.many_regions:
            return [(self.outputs, self.products() / self.outputs / rows, self.products() / self.outputs)]
        spans = [(a, b, c, d, (b - a + 1) * (d - c + 1)) for a, b in _spans(ys) for c, d in _spans(xs)]
        inside = {
            (a, b, c, d): sum(n for (f, g), n in ys.items() if a <= f and g <= b)
            * sum(n for (f, g), n in xs.items() if c <= f and g <= d)
            for a, b, c, d, _ in spans
        }
        found: list[tuple[int, float, float]] = []
        for (f, g), m in ys.items():
            for (h, i), n in xs.items():
                fits = [
                    taps / min(rows, inside[a, b, c, d])
                    for a, b, c, d, taps in spans
                    if a <= f and g <= b and c <= h and i <= d
                ]
                found.append((m * n, min(fits), (g - f + 1) * (i - h + 1)))
        return found


def _spans(ranges: dict[tuple[int, int], int]) -> list[tuple[int, int]]:
    """Return every (first, last) that can be made of the ends that occur."""
    firsts, lasts = {a for a, _ in ranges}, {b for _, b in ranges}
    return [(a, b) for a in firsts for b in lasts if a <= b]


@cache
def _ranges(axis: Axis) -> dict[tuple[int, int], int]:
    at = np.arange(axis.out) * axis.stride - axis.pad
    first = np.clip(-(at // axis.dilation), 0, axis.kernel - 1)
    last = np.clip((axis.size - 1 - at) // axis.dilation, 0, axis.kernel - 1)
    pairs, counts = np.unique(np.stack([first, np.maximum(first, last)]), axis=1, return_counts=True)
    return {(int(a), int(b)): int(n) for a, b, n in zip(*pairs, counts, strict=True)}


@cache
def _union(count: int, ky: int, kx: int, step_y: int, step_x: int) -> int:
    least = None
    for w in range(1, count + 1):
        h = -(-count // w)
        down = count * step_y + (ky - step_y) * w
        both = down * step_x + (kx - step_x) * (h * step_y + ky - step_y)
        least = both if least is None else min(least, both)
    return least or 0
