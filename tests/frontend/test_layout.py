"""Views against NumPy: whatever is reshaped and transposed, the map says where every element is."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chanzi.frontend.layout import NCHW, NHWC, Refused, View, form_of_shape, refine
from chanzi.graph.ops import Quant, Tensor

QUANT = Quant(scale=1.0, zero=0, dtype="uint8")
SIZES = st.sampled_from([1, 1, 2, 3, 4, 6])


def laid_out(value, form):
    axes = [axis for axis in form if axis is not None]
    rest = [axis for axis in range(value.ndim) if axis not in axes]
    return value.transpose(rest + axes).reshape(form_of_shape(form, value.shape))


@given(st.data())
def test_reshapes_and_transposes_keep_track_of_every_element(data):
    shape = (1, *(data.draw(SIZES) for _ in range(3)))
    form = data.draw(st.sampled_from([NCHW, NHWC]))
    value = np.arange(math.prod(shape)).reshape(shape)
    stored = laid_out(value, form)
    view = View.of(Tensor(name="t", shape=stored.shape, quant=QUANT), shape, form)
    try:
        for _ in range(data.draw(st.integers(0, 4))):
            if data.draw(st.booleans()):
                perm = data.draw(st.permutations(range(value.ndim)))
                value, view = value.transpose(perm), view.transposed(perm)
            else:
                new = data.draw(st.sampled_from(factorizations(value.size)))
                value, view = value.reshape(new), view.reshaped(new)
    except Refused:
        return
    assert view.shape == value.shape
    perm = view.permutation()
    if perm is not None:
        assert np.array_equal(value.transpose(perm).reshape(stored.shape), stored)
    for target in (NCHW, NHWC):
        if value.ndim != 4 or form_of_shape(target, value.shape) is None:
            continue
        try:
            order = view.channel_order(target)
        except Refused:
            continue
        moved = stored if order is None else stored[..., order]
        assert np.array_equal(laid_out(value, target), moved)


def factorizations(size):
    found = [(size,), (1, size), (1, 1, size)]
    for a in range(1, size + 1):
        if size % a == 0:
            found += [(a, size // a), (1, a, size // a), (1, a, 1, size // a)]
            found += [(1, a, b, size // a // b) for b in range(1, size // a + 1) if size // a % b == 0]
            found += [(1, a, b, 1, size // a // b) for b in range(1, size // a + 1) if size // a % b == 0]
    return found


@given(st.lists(SIZES, min_size=1, max_size=4), st.data())
def test_refining_keeps_the_elements_in_order(dims, data):
    order = tuple(data.draw(st.permutations(range(len(dims)))))
    shape = data.draw(st.sampled_from(factorizations(math.prod(dims))))
    found = refine(tuple(dims), order, shape)
    if found is None:
        return
    fine, fine_order, runs = found
    whole = np.arange(math.prod(dims))
    assert np.array_equal(
        whole.reshape(dims).transpose(order).reshape(-1), whole.reshape(fine).transpose(fine_order).reshape(-1)
    )
    assert [math.prod(fine[i] for i in run) for run in runs] == list(shape)
