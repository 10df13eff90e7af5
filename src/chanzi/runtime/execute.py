"""A `CompiledModel` run step by step: bytes to a simulated chip, floats to ONNX Runtime, frames kept apart."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from chanzi.errors import RunError
from chanzi.graph.ops import ByteArray
from chanzi.program.model import Binding, ChipStep, CompiledModel, HostStep
from chanzi.program.program import Compiled, Port
from chanzi.runtime.host import HostRunner
from chanzi.runtime.quantize import dequantize, quantize

if TYPE_CHECKING:
    from chanzi.runtime.hardware import HardwareCheck, Waveform

Sim = Literal["fast", "reference", "rtl"]
Values = dict[str, Any]

SIMULATORS = {"fast": "chanzi.sim.fast", "reference": "chanzi.sim.reference", "rtl": "chanzi.runtime.hardware"}


class Executor:
    """Runs frames of a compiled network; simulators and host sessions are made on the first run and kept.

    Parameters
    ----------
    model : CompiledModel
    sim : {'fast', 'reference', 'rtl'}
    waveform : Waveform, optional
    machine : callable, optional
        Makes the machine of a compiled segment, in the place of a simulator: a board.

    Attributes
    ----------
    host_seconds : dict of str to float
        Of each host step, for all frames of the last run.
    """

    def __init__(
        self,
        model: CompiledModel,
        sim: Sim = "fast",
        waveform: "Waveform | None" = None,
        machine: Callable[[Compiled], Any] | None = None,
    ) -> None:
        if sim not in SIMULATORS:
            raise RunError(f"no simulator '{sim}'", hint="known: " + ", ".join(SIMULATORS))
        self.model = model
        self.host_seconds: dict[str, float] = {}
        self._sim = sim
        self._options = {"waveform": waveform} if sim == "rtl" else {}
        self._machine = machine
        self._machines: dict[int, Any] = {}
        self._hosts: dict[int, HostRunner] = {}

    @property
    def hardware_checks(self) -> "tuple[HardwareCheck, ...]":
        """What the RTL did beside what the simulators say, of each piece that ran on it; none for other simulators."""
        return tuple(self._machines[i].check for i in sorted(self._machines)) if self._sim == "rtl" else ()

    @property
    def frames_at_once(self) -> int:
        """Frames that one run of the chip takes."""
        return max((step.segment.frames for step in self.model.chip_steps), default=1)

    def run(self, feeds: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> Iterator[Values]:
        """Yield the named outputs of each of `feeds`, in order; as many frames are in flight as the chip takes.

        Raises
        ------
        RunError
            The host refuses its part, or there is not enough memory.
        """
        self.host_seconds = {step.name: 0.0 for step in self.model.host_steps}
        last_use = self._last_use(outputs)
        for first in range(0, len(feeds), self.frames_at_once):
            frames = [dict(feed) for feed in feeds[first : first + self.frames_at_once]]
            try:
                for i, step in enumerate(self.model.steps):
                    if isinstance(step, ChipStep):
                        self._on_chip(i, step, frames)
                    else:
                        self._on_host(i, step, frames)
                    for frame in frames:
                        for name in last_use[i]:
                            frame.pop(name, None)
            except MemoryError:
                raise RunError(
                    "not enough memory for the memories of this chip", hint="a chip with smaller ones, or fewer cores"
                ) from None
            for frame in frames:
                yield {name: frame[name] for name in outputs}

    def _last_use(self, outputs: Sequence[str]) -> list[list[str]]:
        """Return, for each step, the tensors that nothing needs after it."""
        seen = set(outputs)
        result: list[list[str]] = []
        for step in reversed(self.model.steps):
            if isinstance(step, ChipStep):
                names = [binding.tensor for binding in (*step.inputs, *step.outputs)]
            else:
                names = [*step.inputs, *step.outputs]
            result.append([name for name in dict.fromkeys(names) if name not in seen])
            seen.update(names)
        return result[::-1]

    def _on_chip(self, i: int, step: ChipStep, frames: list[Values]) -> None:
        if i not in self._machines:
            make = self._machine or partial(import_module(SIMULATORS[self._sim]).Simulator, **self._options)
            self._machines[i] = make(self.model.compiled(step))
        ports = {port.name: port for port in (*step.segment.inputs, *step.segment.outputs)}
        maps = [{b.port: to_port(frame[b.tensor], b, ports[b.port]) for b in step.inputs} for frame in frames]
        for frame, result in zip(frames, self._machines[i].run(maps), strict=True):
            for b in step.outputs:
                frame[b.tensor] = from_port(result[b.port], b, ports[b.port])

    def _on_host(self, i: int, step: HostStep, frames: list[Values]) -> None:
        if i not in self._hosts:
            self._hosts[i] = HostRunner(step.model, what=f"'{step.name}'")
        start = time.perf_counter()
        for frame in frames:
            values = self._hosts[i].run(step.outputs, {name: frame[name] for name in step.inputs})
            frame.update(zip(step.outputs, values, strict=True))
        self.host_seconds[step.name] += time.perf_counter() - start


def to_port(value: npt.NDArray[Any], binding: Binding, port: Port) -> ByteArray:
    """Return one frame of an ONNX tensor as the bytes ``(height, width, channels)`` of its port.

    Raises
    ------
    RunError
        The tensor has not the size the program was compiled for.
    """
    array = np.asarray(value)
    if array.size != int(np.prod(binding.shape)):
        raise RunError(
            f"'{binding.tensor}' has the shape {list(array.shape)} in this run",
            hint=f"the program was compiled for {list(binding.shape)}",
        )
    data = array.reshape(binding.shape)
    stored = data.astype(port.quant.dtype, copy=False) if binding.quantized else quantize(data, port.quant)
    return np.ascontiguousarray(stored.transpose(binding.perm)).reshape(port.shape)


def from_port(stored: ByteArray, binding: Binding, port: Port) -> npt.NDArray[Any]:
    """Return the bytes ``(height, width, channels)`` of a port as one frame of its ONNX tensor."""
    moved = stored.reshape([binding.shape[axis] for axis in binding.perm]).transpose(np.argsort(binding.perm))
    return np.ascontiguousarray(moved) if binding.quantized else dequantize(np.ascontiguousarray(moved), port.quant)
