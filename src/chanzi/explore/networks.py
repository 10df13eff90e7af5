"""The networks of a search: each quantized once, kept as one file, and read by every process that tries chips."""

import functools
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chanzi.chip.chip import Core
from chanzi.cost.bound import Least, least
from chanzi.errors import ExploreError, ModelError
from chanzi.explore.sketch import Shape, Sketch, hollow, sketch
from chanzi.graph.ops import Graph, macs
from chanzi.graph.plan import ChipPiece


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """A network as its quantized ONNX file: `weight` is its share of what counts, `data` the file's bytes."""

    name: str
    weight: float
    data: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """Of the file."""
        return _sha256(self.data)


@functools.cache
def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def quantized(
    name: str, weight: float, model: "str | Path | bytes", feeds: Iterable[Mapping[str, Any]] | None
) -> Quantized:
    """Return a network quantized as `chanzi run` would do it.

    Raises
    ------
    ModelError
        It cannot be read, or nothing of it runs on a chip.
    """
    from chanzi.frontend import load

    partition = load(model, name=name, calibration=None if feeds is None else list(feeds))
    if not any(isinstance(piece, ChipPiece) for piece in partition.pieces):
        raise ModelError(f"nothing of '{name}' runs on a chip", hint="`chanzi run` says why")
    return Quantized(name=name, weight=weight, data=bytes(partition.qdq_model))


class Network:
    """A network that chips are tried on: the graphs of its pieces, and what was worked out for cores met before."""

    def __init__(self, name: str, weight: float, graphs: Sequence[Graph], sha256: str = "") -> None:
        self.name = name
        self.weight = weight
        self.graphs = tuple(graphs)
        self.sha256 = sha256
        self.macs = sum(macs(op) for graph in graphs for op in graph.ops)
        """Multiply-accumulates of a frame on the chip."""
        ends = [t for graph in graphs for t in (*graph.inputs, *graph.outputs)]
        self.ends_bytes = sum(math.prod(t.shape) for t in ends)
        """Bytes in and out of a frame."""
        self._hollow = tuple(hollow(graph) for graph in graphs)
        self._sketches: dict[Shape, tuple[Sketch, ...]] = {}
        self._least: dict[tuple[Shape, int], tuple[Least, ...]] = {}

    @staticmethod
    def read(source: Quantized) -> "Network":
        """Return the network of a quantized file."""
        from chanzi.frontend import load

        pieces = load(source.data, name=source.name).pieces
        graphs = [piece.graph for piece in pieces if isinstance(piece, ChipPiece)]
        return Network(source.name, source.weight, graphs, source.sha256)

    def sketches(self, core: Core) -> tuple[Sketch, ...]:
        """Return the sketches of its pieces for a core."""
        shape = Shape.of(core)
        if shape not in self._sketches:
            self._sketches[shape] = tuple(sketch(graph, shape) for graph in self._hollow)
        return self._sketches[shape]

    def least(self, core: Core) -> tuple[Least, ...]:
        """Return what its pieces ask of a core at the least, whatever the program."""
        key = (Shape.of(core), core.taps_per_lane)
        if key not in self._least:
            self._least[key] = tuple(least(core, graph) for graph in self.graphs)
        return self._least[key]


def weights_of(given: Mapping[str, float]) -> dict[str, float]:
    """Return the weights scaled to a sum of one.

    Raises
    ------
    ExploreError
        There is none, or one that is not positive.
    """
    if not given:
        raise ExploreError("there is no network to try chips on", hint="--models resnet50:0.7,mobilenet_v2:0.3")
    for name, weight in given.items():
        if not (math.isfinite(weight) and weight > 0):
            raise ExploreError(f"the weight of '{name}' is {weight:g}", hint="weights are positive: net.onnx:0.7")
    total = sum(given.values())
    return {name: weight / total for name, weight in given.items()}
