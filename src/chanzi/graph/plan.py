"""The cut of a network into pieces for the chip and pieces for the host: what the frontend hands on.

Pieces run in order; each reads ONNX values that the network's inputs or earlier pieces provide. Values keep their names
in the QDQ network, so the same network under ONNX Runtime is the judge of every one of them.
"""

from dataclasses import dataclass
from typing import Literal

from chanzi.graph.ops import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """An ONNX input or output.

    `type` is as ONNX Runtime words it (``"tensor(float)"``), `shape` as declared (names and None allowed), `frame` has
    every dimension fixed and a batch of 1.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...] | None
    frame: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """An ONNX value at the edge of a chip piece, and the graph tensor that carries it.

    The ONNX value of shape `shape`, transposed by `perm` and reshaped to the tensor's (height, width, channels), is the
    map. `quantized`: the ONNX value holds the tensor's bytes; otherwise it is float32, quantized on the way in
    (QuantizeLinear) and dequantized on the way out.
    """

    value: str
    tensor: str
    shape: tuple[int, ...]
    perm: tuple[int, ...]
    quantized: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChipPiece:
    """A graph for the compiler. Boundaries are in the order of the graph's inputs and outputs."""

    graph: Graph
    inputs: tuple[Boundary, ...]
    outputs: tuple[Boundary, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HostPiece:
    """A serialized ONNX model that ONNX Runtime runs, the values it reads and writes, its operators and why."""

    name: str
    model: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops: tuple[str, ...] = ()
    reason: str = ""
    macs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A row of the report: where one ONNX node runs, and why there."""

    node: str
    op_type: str
    where: Literal["chip", "host", "folded"]
    reason: str = ""
    macs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partition:
    """The whole network, cut. `qdq_model` is the quantized network itself: ONNX Runtime runs it as the judge."""

    name: str
    pieces: tuple[ChipPiece | HostPiece, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    report: tuple[Placement, ...]
    qdq_model: bytes
    quantization: dict[str, str]

    @property
    def macs_share(self) -> float:
        """Share of the multiply-accumulates that run on the chip (1.0 where there are none)."""
        chip = sum(row.macs for row in self.report if row.where == "chip")
        total = sum(row.macs for row in self.report)
        return chip / total if total else 1.0
