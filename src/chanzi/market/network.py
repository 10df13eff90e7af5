"""What a network asks of any chip, and what our own chips do with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.cost.area import area_of
from chanzi.cost.energy import energy_of, event_costs
from chanzi.cost.events import count_events
from chanzi.cost.lost import lost_cycles
from chanzi.errors import CostError, ModelError
from chanzi.program.model import CompiledModel, TensorInfo
from chanzi.runtime.build import JUDGE, Mode, Recipe, build
from chanzi.runtime.source import read_source
from chanzi.runtime.timing import time_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network to be run: its name, its file, what a float one is calibrated with."""

    name: str
    path: Path
    calibration: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one frame asks of any chip: products, bytes of weights, bytes in and out, one byte an element."""

    name: str
    macs: float
    weight_bytes: float
    frame_bytes: float

    def __post_init__(self) -> None:
        for what in ("macs", "weight_bytes", "frame_bytes"):
            value = getattr(self, what)
            if not (np.isfinite(value) and value >= 0):
                raise CostError(f"{what} of '{self.name}' is {value:g}", hint="a positive number")
        if not self.macs:
            raise CostError(f"'{self.name}' multiplies nothing", hint="a network with convolutions or products")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What one of our chips does with a network, simulated: frames a second, the time of one, watts with DRAM.

    `on_chip` is the share of the network's products that the chip computes; the host's time is not in the rest.
    `watts` is None where the chip's node is not among the known ones.
    """

    work: Work
    frames_per_s: float
    latency_s: float
    watts: float | None
    on_chip: float


def compiled(network: Network, chip: Chip, mode: Mode) -> CompiledModel:
    """Return the network's program for a chip, from the cache where it has been compiled before."""
    source = read_source(network.path)
    if source.is_program:
        raise ModelError(f"'{network.name}' is a program for one chip", hint="give the .onnx it was compiled from")
    feeds = None if source.quantized else network.calibration
    return build(source, Recipe(chip=chip, mode=mode), calibration=feeds)


def deliver(network: Network, chip: Chip, mode: Mode = "throughput") -> Delivery:
    """Return what `chip` does with a network, on the timing simulator, weights in place.

    Raises
    ------
    ModelError
        Nothing of the network runs on the chip.
    """
    model = compiled(network, chip, mode)
    timing = time_model(model)
    if not timing.cycles:
        raise ModelError(f"nothing of '{network.name}' runs on {chip.name}", hint="`chanzi run` says why")
    work = work_of(network.name, model)
    on_chip = sum(layer.macs for step in model.chip_steps for layer in step.segment.layers)
    return Delivery(
        work=work,
        frames_per_s=timing.frames_per_s,
        latency_s=timing.latency_s,
        watts=_watts(model, timing.segments),
        on_chip=on_chip / work.macs,
    )


def _watts(model: CompiledModel, segments: Iterable[Any]) -> float | None:
    chip = model.chip
    try:
        area = area_of(chip)
        costs = event_costs(chip, area=area)
    except CostError:
        return None
    joules = seconds = 0.0
    for step, at in zip(model.chip_steps, segments, strict=True):
        lost = lost_cycles(chip, step.segment, at.frame).cycles.sum(axis=(0, 2)).astype(np.float64)
        energy = energy_of(chip, count_events(chip, step.segment, at.frame), costs, layer_cycles=lost)
        joules += float(energy.layers.sum())
        seconds += energy.seconds
    return joules / seconds if seconds else None


def work_of(name: str, model: CompiledModel) -> Work:
    """Return what a network asks of any chip."""
    macs = sum(layer.macs for step in model.chip_steps for layer in step.segment.layers)
    macs += sum(step.macs for step in model.host_steps)
    edges = sum(_elements(info) for info in (*model.inputs, *model.outputs))
    return Work(name=name, macs=float(macs), weight_bytes=float(_weights(model)), frame_bytes=float(edges))


def _elements(info: TensorInfo) -> int:
    shape = info.frame or info.shape or ()
    return int(np.prod([dim if isinstance(dim, int) and dim > 0 else 1 for dim in shape], dtype=np.int64))


def _weights(model: CompiledModel) -> int:
    """Return the bytes of weights at int8: elements of every initializer with more than one axis."""
    judge = model.attachments.get(JUDGE)
    if judge is None:
        return sum(len(step.segment.image) for step in model.chip_steps)
    import onnx

    graph = onnx.load_model_from_string(bytes(judge)).graph
    return sum(int(np.prod(t.dims, dtype=np.int64)) for t in graph.initializer if len(t.dims) > 1)
