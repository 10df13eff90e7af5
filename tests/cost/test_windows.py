"""Window geometry against sets of elements written out."""

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.cost.windows import Axis, Window

axes = st.builds(
    Axis,
    size=st.integers(1, 12),
    out=st.integers(1, 9),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    pad=st.integers(0, 3),
)
"""Any axis, also with windows that lie outside the map altogether."""
inside_axes = axes.filter(lambda axis: all(taps_inside(axis, o) for o in range(axis.out)))


def taps_inside(axis, o):
    return {t for t in range(axis.kernel) if 0 <= o * axis.stride - axis.pad + t * axis.dilation < axis.size}


def elements(window, outputs):
    """All positions (padding too) that the windows of `outputs` cover."""
    return {
        (oy * window.y.stride + ty * window.y.dilation, ox * window.x.stride + tx * window.x.dilation)
        for oy, ox in outputs
        for ty in range(window.y.kernel)
        for tx in range(window.x.kernel)
    }


@given(axes)
def test_products_and_touched(axis):
    if all(taps_inside(axis, o) for o in range(axis.out)):
        assert axis.products() == sum(len(taps_inside(axis, o)) for o in range(axis.out))
    assert sum(axis.ranges().values()) == axis.out
    hit = {o * axis.stride - axis.pad + t * axis.dilation for o in range(axis.out) for t in taps_inside(axis, o)}
    assert axis.touched() == len(hit)


@settings(max_examples=40)
@given(axes, axes, st.integers(1, 4))
def test_no_set_of_windows_covers_less_than_union(y, x, count):
    window = Window(y=y, x=x)
    grid = list(itertools.product(range(4), range(4)))
    least = min(len(elements(window, outputs)) for outputs in itertools.combinations(grid, count))
    assert window.union(count) <= least


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_union_of_a_box_of_windows_is_reached(ky, kx, h, w):
    window = Window(y=Axis(size=9, out=9, kernel=ky), x=Axis(size=9, out=9, kernel=kx))
    box = list(itertools.product(range(h), range(w)))
    assert window.union(h * w) <= len(elements(window, box)) == (h + ky - 1) * (w + kx - 1)
    if h == w and ky == kx:
        assert window.union(h * w) == len(elements(window, box))


@settings(max_examples=60)
@given(inside_axes, inside_axes, st.integers(1, 12), st.randoms(use_true_random=False))
def test_no_tiling_of_one_filter_beats_cover_or_prices(y, x, capacity, rng):
    """Pixels in any order, cut into tiles of any size up to `capacity`.

    A tile lasts as long as the box of its taps, for a DOT names a range of rows and one of columns: it cannot leave out
    a corner that none of its pixels has.
    """
    window = Window(y=y, x=x)
    inside = {
        (oy, ox): {(a, b) for a in taps_inside(y, oy) for b in taps_inside(x, ox)}
        for oy in range(y.out)
        for ox in range(x.out)
    }
    price = sum(n * p for n, p, _ in window.prices(capacity))
    for key in (None, lambda o: (len(inside[o]), o), lambda o: sorted(inside[o])):
        order = list(inside)
        if key is None:
            rng.shuffle(order)
        else:
            order.sort(key=key)
        total = at = 0
        while at < len(order):
            n = rng.randint(max(1, capacity - 2), capacity)
            taps = set().union(*(inside[o] for o in order[at : at + n]))
            total += math.prod(max(side) - min(side) + 1 for side in zip(*taps, strict=True)) if taps else 0
            at += n
        assert total >= window.cover(capacity)
        assert total >= price - 1e-9


def test_plain_numbers():
    """3x3 over 7x7, padded: 361 of 441 products are inside the map, and 49 pixels still need one whole tile."""
    axis = Axis(size=7, out=7, kernel=3, pad=1)
    window = Window(y=axis, x=axis)
    assert window.products() == 361
    assert window.cover(96) == 9
    assert window.union(2) == 12


def test_fourteen_by_fourteen_takes_two_tiles_and_an_edge():
    axis = Axis(size=14, out=14, kernel=3, pad=1)
    assert Window(y=axis, x=axis).cover(96) == 9 + 9 + 6, (
        "the last four pixels may lie in the top line: 2 of 3 tap rows"
    )
