"""How an ONNX value of any rank lies in a map of (height, width, channels), so that reshapes cost nothing.

A `View` splits the value's axes into the dimensions they consist of and remembers in which order the map holds them.
Reshape and Transpose only change the view; an operator asks for the map it wants and gets it where the order agrees.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from chanzi.graph.ops import Tensor

Shape = tuple[int, ...]
Form = tuple[int | None, int | None, int | None]
"""The axes of an ONNX value that are height, width and channels; all others have one element."""

NCHW: Form = (2, 3, 1)
NHWC: Form = (1, 2, 3)
TOKENS: Form = (0, 1, 2)
NCW: Form = (None, 2, 1)
ROWS: Form = (None, 0, 1)
_FORMS: dict[int, tuple[Form, ...]] = {
    4: (NCHW, NHWC),
    3: (TOKENS, NCW),
    2: (ROWS,),
    1: ((None, None, 0),),
    0: ((None, None, None),),
}


class Refused(Exception):  # noqa: N818 - no error: the operator goes to the host, and this says why
    """The chip cannot run this; the text is the reason for the report."""


def form_of_shape(form: Form, shape: Shape) -> tuple[int, int, int] | None:
    """Return (height, width, channels) of a value, None where an axis left over has more than one element."""
    if any(dim != 1 for axis, dim in enumerate(shape) if axis not in form):
        return None
    height, width, channels = (1 if axis is None else shape[axis] for axis in form)
    return height, width, channels


def default_form(shape: Shape) -> Form | None:
    """Return the first usual form that a value of this shape fits."""
    return next((form for form in _FORMS.get(len(shape), ()) if form_of_shape(form, shape)), None)


def refine(dims: Shape, order: Shape, shape: Shape) -> tuple[Shape, Shape, list[list[int]]] | None:
    """Split `dims` so that every axis of `shape` is a run of them; return (dims, order, run of each axis)."""
    if math.prod(dims) != math.prod(shape):
        return None
    cuts = {1}
    for sizes in (dims, shape):
        product = 1
        for size in sizes:
            product *= size
            cuts.add(product)
    ladder = sorted(cuts)
    if any(high % low for low, high in itertools.pairwise(ladder)):
        return None
    fine = tuple(high // low for low, high in itertools.pairwise(ladder))

    def runs(sizes: Shape) -> list[list[int]]:
        found, product = [], 1
        for size in sizes:
            start, product = ladder.index(product), product * size
            found.append(list(range(start, ladder.index(product))))
        return found

    old = runs(dims)
    return fine, tuple(i for d in order for i in old[d]), runs(shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """An ONNX value of `shape`, consisting of `dims`, that `tensor` holds in the order `order`."""

    tensor: Tensor
    shape: Shape
    dims: Shape
    order: Shape

    @classmethod
    def of(cls, tensor: Tensor, shape: Shape, form: Form) -> "View":
        """Return the view of a value in one of the usual forms."""
        axes = [axis for axis, dim in enumerate(shape) if dim != 1]
        place = {axis: i for i, axis in enumerate(axes)}
        order = tuple(place[axis] for axis in form if axis is not None and axis in place)
        return cls(tensor=tensor, shape=tuple(shape), dims=tuple(shape[axis] for axis in axes), order=order)

    def on(self, tensor: Tensor) -> "View":
        """Return the same view of another tensor of the same shape."""
        return replace(self, tensor=tensor)

    def reshaped(self, shape: Sequence[int]) -> "View":
        """Return the view after a Reshape."""
        if math.prod(shape) != math.prod(self.shape):
            raise Refused(f"its shape {list(shape)} does not fit its input")
        return replace(self, shape=tuple(shape))

    def refined(self) -> tuple[Shape, Shape, list[list[int]]]:
        """Return (dims, order, run of dims of each axis)."""
        found = refine(self.dims, self.order, self.shape)
        if found is None:
            raise Refused(f"a reshape to {list(self.shape)} across the map's dimensions moves bytes about")
        return found

    def transposed(self, perm: Sequence[int]) -> "View":
        """Return the view after a Transpose."""
        dims, order, runs = self.refined()
        moved = [i for axis in perm for i in runs[axis]]
        place = {old: new for new, old in enumerate(moved)}
        return View(
            tensor=self.tensor,
            shape=tuple(self.shape[axis] for axis in perm),
            dims=tuple(dims[i] for i in moved),
            order=tuple(place[i] for i in order),
        )

    def channel_order(self, form: Form) -> npt.NDArray[np.int64] | None:
        """Return None where the map in this form is the tensor as it is, else the order of its channels.

        Raises
        ------
        Refused
            The bytes would have to move otherwise.
        """
        wanted_shape = form_of_shape(form, self.shape)
        if wanted_shape is None:
            raise Refused(f"its shape {list(self.shape)} is no map of one frame")
        dims, order, runs = self.refined()
        wanted = tuple(i for axis in form if axis is not None for i in runs[axis])
        if wanted_shape != self.tensor.shape:
            raise Refused(f"its input would have to be moved from {self.tensor.shape} to {wanted_shape}")
        if wanted == order:
            return None
        run = len(runs[form[2]]) if form[2] is not None else 0
        here, there = order[len(order) - run :], wanted[len(wanted) - run :]
        if order[: len(order) - run] != wanted[: len(wanted) - run] or set(here) != set(there):
            raise Refused("a transpose moves bytes about")
        index = np.arange(self.tensor.shape[2], dtype=np.int64).reshape([dims[i] for i in here])
        return index.transpose([here.index(i) for i in there]).reshape(-1)

    def fits(self, form: Form) -> bool:
        """Tell whether the tensor is the map in this form as it is."""
        try:
            return self.channel_order(form) is None
        except Refused:
            return False

    def form(self) -> Form | None:
        """Return the usual form in which the tensor is the map as it is."""
        return next((form for form in _FORMS.get(len(self.shape), ()) if self.fits(form)), None)

    def permutation(self) -> Shape | None:
        """Return `perm` so that value.transpose(perm) in memory order is the tensor; None where there is none."""
        found = refine(self.dims, self.order, self.shape)
        if found is None:
            return None
        _, order, runs = found
        perm = [axis for axis, run in enumerate(runs) if not run]
        at = 0
        while at < len(order):
            axis = next(a for a, run in enumerate(runs) if order[at] in run)
            if list(order[at : at + len(runs[axis])]) != runs[axis]:
                return None
            perm.append(axis)
            at += len(runs[axis])
        return tuple(perm)
