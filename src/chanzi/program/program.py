"""A compiled network: code for every core, the DRAM image, and what the host must do before, between and after.

The file format that holds it is in `program.container`; nothing here knows about bytes on disk.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Chip
from chanzi.graph.ops import Quant
from chanzi.isa.instruction import Instruction


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapLayout:
    """A feature map in memory: element (y, x, c) at ``y * line_bytes + x * pixel_bytes + channel_offset[c]``.

    Bytes that no element names hold the tensor's zero point on input and anything on output.
    """

    line_bytes: int
    pixel_bytes: int
    channel_offset: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StemLayout:
    """An input map of few channels, packed so that a stem convolution's window is one run of bytes.

    Line oy holds, for each group g of `stride_x` columns, the window's rows one after another: byte
    ``oy * line_bytes + g * pixel_bytes + (ky * stride_x + j) * C + c`` is element
    ``(oy * stride_y + ky - pad_top, g * stride_x + j - pad_left, c)``, the zero point where that lies outside the map
    (and in the bytes that pad a pixel).
    """

    lines: int
    groups: int
    line_bytes: int
    pixel_bytes: int
    kernel_y: int
    stride_y: int
    stride_x: int
    pad_top: int
    pad_left: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Port:
    """Where the host puts an input or finds an output of a segment: one DRAM address for each frame of a run."""

    name: str
    shape: tuple[int, int, int]
    quant: Quant
    addresses: tuple[int, ...]
    layout: MapLayout | StemLayout

    @property
    def n_bytes(self) -> int:
        """Bytes of one frame in DRAM."""
        layout = self.layout
        if isinstance(layout, StemLayout):
            return layout.lines * layout.line_bytes
        return self.shape[0] * layout.line_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A row of the reports; instructions name it by index in their field `layer`.

    `kind` is 'conv', 'depthwise', 'matmul', 'pool', ...; `shape` the output map; `macs` of one frame; `ops` the graph
    operators fused into it.
    """

    name: str
    kind: str
    shape: tuple[int, int, int]
    macs: int
    ops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """A piece of a core's scratchpad and the frame instructions (indices, inclusive) between which it is in use."""

    name: str
    core: int
    kind: Literal["weights", "activations", "staging"]
    base: int
    n_bytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoreCode:
    """One core's code: `setup` runs once (weights that stay resident), `frame` for every frame; both end in HALT."""

    setup: tuple[Instruction, ...]
    frame: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """One uninterrupted piece of the network on the chip.

    DRAM holds `image` (weights and parameters, never written) from address 0, then ports and spilled maps up to
    `dram_bytes`. A run of the segment takes `frames` frames (one for each core in throughput mode, else 1).
    """

    name: str
    cores: tuple[CoreCode, ...]
    image: npt.NDArray[np.uint8]
    dram_bytes: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[Layer, ...]
    buffers: tuple[Buffer, ...] = ()
    frames: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Choices of a compilation.

    `cores`: how many cores share the work (0: all). `mode`: 'latency' splits a frame over the cores, 'throughput'
    gives each core a frame of its own, 'single' uses one core. `resident`: keep weights in the scratchpad between
    frames where they fit.
    """

    mode: Literal["latency", "throughput", "single"] = "single"
    resident: bool = True
    pipeline: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compiled:
    """A segment with the chip and the options it was compiled for: what the simulators run."""

    chip: Chip
    segment: Segment
    options: Options = field(default_factory=Options)
