"""What the compiler's passes hand to one another: nodes, views of storage, jobs and units of work.

fuse     Graph            -> tuple[Node]        one node = one or more instructions of one engine
layout   tuple[Node]      -> Layout             where every tensor lies inside which storage
lower    Node, Layout     -> tuple[Part]        instruction templates for the whole output
tile     Part             -> tuple[Unit]        stripes of output lines, with loads and stores where memory is short
schedule units            -> order              engines kept busy, deepest layer first
place    order            -> addresses
sync     instructions     -> waits
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from chanzi.graph.ops import (
    Binary,
    Concat,
    Const,
    Conv,
    Lookup,
    MatMul,
    Pad,
    Permute,
    Pool,
    Resize,
    Slice,
    Softmax,
    Tensor,
)
from chanzi.isa.fields import Engine
from chanzi.isa.instruction import Instruction

Fields = dict[str, Any]
"""Field values of one instruction: names are those of `chanzi.isa.fields`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One operator after fusion.

    `residual` joins a convolution's output in the second stage of DOT, as `join` (a Binary whose other operand is the
    convolution's own result) says. `y` is the tensor written, `ops` the names of the graph operators inside. `columns`:
    only these output columns of `op` are computed, and `y` holds just them. Nodes with the same `part_of` are one layer
    in reports.
    """

    name: str
    op: Conv | MatMul | Pool | Binary | Lookup | Pad | Resize | Softmax
    y: Tensor
    ops: tuple[str, ...]
    residual: Tensor | None = None
    join: Binary | None = None
    columns: tuple[int, int] | None = None
    part_of: str = ""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Tensors read."""
        own = tuple(self.op.inputs)
        return own if self.residual is None else (*own, self.residual)


Item = Node | Slice | Permute | Concat | Const


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A block of memory that holds one or more tensors as ``[line][pixel][byte]``."""

    key: str
    height: int
    width: int
    pixel_bytes: int

    @property
    def line_bytes(self) -> int:
        """Bytes from a line to the next."""
        return self.width * self.pixel_bytes

    @property
    def n_bytes(self) -> int:
        """Bytes of all lines."""
        return self.height * self.line_bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """Where a tensor lies in a storage: element (y, x, c) is byte ``channels[c]`` of pixel (y0 + y, x0 + x)."""

    storage: Storage
    channels: npt.NDArray[np.int64]
    y0: int = 0
    x0: int = 0

    def covering(self, atom: int) -> tuple[int, int]:
        """Return the atom-aligned byte range of a pixel that holds all channels."""
        low = int(self.channels.min()) // atom * atom
        high = -(-(int(self.channels.max()) + 1) // atom) * atom
        return low, min(high, self.storage.pixel_bytes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Lines of `leaf` (a tensor some node writes) that a tensor's lines come from: leaf line = line + shift."""

    leaf: str
    height: int
    shift: int = 0

    def lines(self, upto: int) -> int:
        """Return how many lines of the leaf must be there for the tensor's first `upto` lines."""
        return max(0, min(upto + self.shift, self.height))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Where everything lies. `sources[tensor]` are the written tensors that make it up."""

    views: dict[str, View]
    sources: dict[str, tuple[Source, ...]]
    nodes: tuple[Node, ...]
    constants: tuple[Const, ...]
    stem: dict[str, "Stem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stem:
    """How a graph input of few channels is packed for the only convolution that reads it."""

    lines: int
    groups: int
    pixel_bytes: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int]
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """One stream of a part: the view it reads and how output lines map to its lines.

    Output line y (of the part) reads lines ``y * y_step - pad_y`` to ``y * y_step + reach - pad_y`` (inclusive) of the
    storage, clipped to ``height`` lines from ``line0`` on; `offset` bytes are added to a line's address. `fields` are
    the names in the template that hold the address, the top padding and the height.
    """

    tensor: str
    storage: Storage
    line0: int
    offset: int
    height: int
    y_step: int
    reach: int
    pad_y: int
    address_field: str
    pad_field: str | None = None
    height_field: str | None = None
    clamp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where a part writes: output line y lies at storage line ``line0 + y * y_scale``, plus `offset` bytes."""

    tensor: str
    storage: Storage
    line0: int
    offset: int
    y_scale: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Constant:
    """Bytes an instruction reads through `address_field`; `bank` groups constants that one port reads.

    `per_column` bytes belong to each column of B, so a block of columns takes its share; 0: always whole.
    """

    address_field: str
    data: npt.NDArray[np.uint8]
    bank: Literal["weights", "dot-parameters", "vec-parameters"]
    per_column: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """An instruction template over the whole output of a node (or one phase or group of it).

    `template` holds every field but addresses; `height`, `width` are the output lines and pixels the part covers.
    """

    engine: Engine
    template: Fields
    height: int
    width: int
    operands: tuple[Operand, ...]
    output: Output
    constants: tuple[Constant, ...] = ()


@dataclass(frozen=True, slots=True)
class Ref:
    """`field` = address of `buffer` + `offset`, filled in when buffers have been placed."""

    field: str
    buffer: str
    offset: int


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One instruction without addresses and waits."""

    engine: Engine
    layer: int
    ins: Instruction
    refs: tuple[Ref, ...]
    cycles: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Unit:
    """Jobs that are issued together: one stripe of one node.

    `needs` are (leaf tensor, lines from the top that must be there); the unit completes `done_lines` lines of `leaf`.
    """

    node: int
    leaf: str
    done_lines: int
    needs: tuple[tuple[str, int], ...]
    loads: list[Job] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    stores: list[Job] = field(default_factory=list)
