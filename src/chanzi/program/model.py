"""A whole compiled network: pieces on the chip and pieces on the host, in the order in which they run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from chanzi.chip.chip import Chip
from chanzi.graph.plan import Placement
from chanzi.program.program import Compiled, Options, Segment

_DTYPE_OF = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
    "bool": "bool",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """An input or output of the network, with the attributes of ONNX Runtime's NodeArg.

    Attributes
    ----------
    name : str
    type : str
        ``"tensor(float)"``, ``"tensor(uint8)"``, ``"seq(tensor(float))"``, ...
    shape : tuple or None
        As the network declares it: an int, a name, or None for each axis; None where even the rank is open.
    frame : tuple of int or None
        The shape the network was compiled for, with a batch of 1; None where it follows from the data.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...] | None
    frame: tuple[int, ...] | None = None

    @property
    def dtype(self) -> np.dtype | None:
        """The NumPy type; None for what is no array of numbers."""
        inner = self.type.removeprefix("tensor(").removesuffix(")")
        found = _DTYPE_OF.get(inner) if self.type.startswith("tensor(") else None
        return np.dtype(found) if found else None

    @property
    def batched(self) -> bool:
        """Whether the first axis is open and compiled as 1: a batch is then cut into frames along it."""
        open_axis = bool(self.shape) and not isinstance(self.shape[0], int)  # type: ignore[index]
        return open_axis and (self.frame is None or self.frame[:1] == (1,))

    @property
    def shown_shape(self) -> str:
        """The declared shape for messages, such as ``[N, 3, 224, 224]``."""
        if self.shape is None:
            return "[...]"
        return "[" + ", ".join("?" if dim is None else str(dim) for dim in self.shape) + "]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """An ONNX tensor at the edge of a piece on the chip, and the port that carries it.

    One frame of the ONNX tensor has the shape `shape`; transposed by `perm` and reshaped to the port's
    (height, width, channels) it is the port's map. `quantized`: the ONNX tensor holds the port's bytes; otherwise it is
    float32, quantized on the way in and dequantized on the way out.
    """

    tensor: str
    port: str
    shape: tuple[int, ...]
    perm: tuple[int, ...]
    quantized: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChipStep:
    """A piece on the chip. `segment.inputs` and `outputs` are named by the bindings' `port`."""

    segment: Segment
    inputs: tuple[Binding, ...]
    outputs: tuple[Binding, ...]

    @property
    def name(self) -> str:
        """The segment's name."""
        return self.segment.name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HostStep:
    """A piece that ONNX Runtime runs: a serialized ONNX model, the tensors it reads and writes, and why it is here."""

    name: str
    model: bytes | memoryview
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops: tuple[str, ...] = ()
    reason: str = ""
    macs: int = 0


Step = ChipStep | HostStep


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledModel:
    """A network compiled for a chip.

    Attributes
    ----------
    name : str
    chip, options
        What it was compiled for, and how.
    inputs, outputs : tuple of TensorInfo
        Of the ONNX network, in its order.
    steps : tuple of ChipStep or HostStep
    source_sha256 : str
        Hash of the ONNX bytes that were compiled, hexadecimal ("" where unknown).
    quantization : dict
        How the network came to its integers: scheme, method, frames of calibration; empty for QDQ networks taken as
        they are.
    placement : tuple of Placement
        Where each ONNX node runs, and why there.
    attachments : mapping of str to bytes
        What other parts of Chanzi keep with a program ("judge.onnx": the QDQ network); no meaning here.
    """

    name: str
    chip: Chip
    options: Options
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    steps: tuple[Step, ...]
    source_sha256: str = ""
    quantization: Mapping[str, str] = field(default_factory=dict)
    placement: tuple[Placement, ...] = ()
    attachments: Mapping[str, bytes | memoryview] = field(default_factory=dict)

    def compiled(self, step: ChipStep) -> Compiled:
        """Return what a simulator takes for `step`."""
        return Compiled(chip=self.chip, segment=step.segment, options=self.options)

    @property
    def macs_share(self) -> float:
        """Share of the multiply-accumulates that run on the chip (1.0 where there are none)."""
        chip = sum(row.macs for row in self.placement if row.where == "chip")
        total = sum(row.macs for row in self.placement)
        return chip / total if total else 1.0

    @property
    def chip_steps(self) -> tuple[ChipStep, ...]:
        """The pieces on the chip."""
        return tuple(step for step in self.steps if isinstance(step, ChipStep))

    @property
    def host_steps(self) -> tuple[HostStep, ...]:
        """The pieces on the host."""
        return tuple(step for step in self.steps if isinstance(step, HostStep))
