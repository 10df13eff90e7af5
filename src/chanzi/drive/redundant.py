"""Two chips, one decision: both run the frame, their outputs are compared byte by byte, the car acts on agreement.

The policy, in full:

1. Both chips say the same: act on it.
2. They differ, or one of them has stopped with an error: nothing is acted on. Both load program and weights anew from
   the host's copy, whose hash is checked, and run the same frame again. Do they say the same now, the car acts on it;
   it comes later by the loading and the second run, and frames that arrive meanwhile are let go.
3. They still differ: the car stops in its lane. A chip that lies twice is not trusted a third time.

A fault in one chip cannot pass: whatever it changes in an output differs from what the other chip says. What both
chips share is outside: cameras (`chanzi.drive.watch` looks after those), the comparison, planner and controller, a
mistake in the program itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from chanzi.drive.episode import Answer
from chanzi.drive.messages import Frame
from chanzi.drive.network.spec import OUTPUTS, FloatArray, NetSpec, feed, perception
from chanzi.drive.world.world import World
from chanzi.errors import ChanziError
from chanzi.program.model import CompiledModel
from chanzi.runtime.execute import Executor

Outputs = Mapping[str, npt.NDArray[Any]]


class Unit(Protocol):
    """A chip with its program."""

    def outputs(self, inputs: Mapping[str, FloatArray]) -> Outputs:
        """Return the network's outputs.

        Raises
        ------
        ChanziError
            The chip has stopped with an error.
        """
        ...

    def reload(self) -> None:
        """Load program and weights anew."""
        ...


class ChipUnit:
    """A simulated chip.

    Parameters
    ----------
    model : CompiledModel
    """

    def __init__(self, model: CompiledModel) -> None:
        self._model = model
        self._executor = Executor(model)

    def outputs(self, inputs: Mapping[str, FloatArray]) -> Outputs:
        """Return the network's outputs."""
        return next(self._executor.run([inputs], OUTPUTS))

    def reload(self) -> None:
        """Load program and weights anew."""
        self._executor = Executor(self._model)


class RedundantPilot:
    """Two chips that look at every frame.

    Parameters
    ----------
    spec : NetSpec
    units : two of Unit
    chip_s, reload_s : float
        A run of the frame; loading anew.
    """

    def __init__(self, spec: NetSpec, units: Sequence[Unit], *, chip_s: float, reload_s: float) -> None:
        self.spec, self.chip_s, self.reload_s = spec, chip_s, reload_s
        self.units = tuple(units)

    def begin(self, world: World) -> None:
        """Begin an episode."""
        del world
        for unit in self.units:
            unit.reload()

    def look(self, frame: Frame) -> Answer:
        """Return what both say of a frame."""
        inputs = feed(frame, self.spec)
        said, why = self._both(inputs)
        if said is not None:
            return Answer(perception=perception(frame.number, said), chip_s=self.chip_s, busy_s=self.chip_s)
        for unit in self.units:
            unit.reload()
        said, still = self._both(inputs)
        twice = 2 * self.chip_s + self.reload_s
        if said is None:
            return Answer(perception=None, chip_s=twice, busy_s=twice, trouble=still)
        note = f"frame {frame.number}: {why}; loaded anew, they agree"
        return Answer(perception=perception(frame.number, said), chip_s=twice, busy_s=twice, note=note)

    def _both(self, inputs: Mapping[str, FloatArray]) -> tuple[Outputs | None, str]:
        """Return what both chips say, or None and why there is nothing to act on."""
        found: list[Outputs] = []
        for number, unit in enumerate(self.units):
            try:
                found.append(unit.outputs(inputs))
            except ChanziError as error:
                return None, f"chip {number} stopped ({error})"
        differ = differing(*found)
        return (found[0], "") if not differ else (None, f"the two chips differ in {differ}")


def differing(a: Outputs, b: Outputs) -> str:
    """Return the first output in which two chips differ by a bit, or nothing."""
    for name in a:
        x, y = np.ascontiguousarray(a[name]), np.ascontiguousarray(b[name])
        if x.shape != y.shape or x.tobytes() != y.tobytes():
            return name
    return ""
