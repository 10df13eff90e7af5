"""What happened in a run, counted: the events that cost energy, for each layer.

Counts follow from the instructions that the timing simulator (or the hardware) ran and from its times; nothing here is
estimated. Tiles are taken as `chanzi.isa.cycles.dot_timing` takes them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Chip, Core
from chanzi.isa.cycles import vec_cycles
from chanzi.isa.fields import DotFlag, Engine, Opcode, VecFlag, VecKind
from chanzi.isa.instruction import Instruction
from chanzi.program.program import Segment
from chanzi.program.trace import Timing

EVENTS = {
    "macs": "multiply-accumulates in the array whose operands are data",
    "zero_macs": "multiply-accumulates with padding, whose operands hardly change",
    "operand_bytes": "bytes that enter the array at an edge and pass along a row or column of cells",
    "sums": "32-bit sums that leave the array",
    "epilogue_flops": "float32 operations on sums: scale, residual, convert",
    "vector_macs": "byte products in the vector unit",
    "vector_flops": "float32 operations in the vector unit",
    "reads": "words read from the scratchpad",
    "writes": "words written to the scratchpad",
    "dram_bytes": "bytes moved between DRAM and scratchpad",
    "instructions": "instructions fetched and started",
    "array_cycles": "cycles in which an array is fed",
}
"""Every event with its meaning, in the order of `Counts.layers`."""

_AT = {name: i for i, name in enumerate(EVENTS)}
_BIAS, _SCALE, _TABLE = int(DotFlag.BIAS), int(DotFlag.COLUMN_SCALE), int(DotFlag.TABLE)
_HOLD, _RAW, _RESIDUAL = int(DotFlag.HOLD), int(DotFlag.RAW), int(DotFlag.ADD | DotFlag.MUL)
"""Plain integers: testing an enumeration's flags took most of the time of counting."""
_SOFTMAX_FLOPS = 24
"""Float operations of one element of a softmax: exponential, sum, reciprocal, product."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """``layers[layer][event]`` over all cores (events in the order of `EVENTS`), cycles of the run, cores in use."""

    layers: npt.NDArray[np.float64]
    cycles: int
    cores_used: int

    def total(self, event: str) -> float:
        """Return an event's count over all layers."""
        return float(self.layers[:, _AT[event]].sum())


def count_events(chip: Chip, segment: Segment, timing: Timing) -> Counts:
    """Return the events of a run of `segment` whose times are `timing`.

    Raises
    ------
    ValueError
        `timing` is of a cold run: ask for its two parts.
    """
    if timing.part == "cold":
        raise ValueError("a cold run is setup and frame; ask for each")
    codes = [core.setup if timing.part == "setup" else core.frame for core in segment.cores]
    n_layers = max(len(segment.layers), int(timing.layer.max(initial=-1)) + 1)
    rows = [[0.0] * len(EVENTS) for _ in range(n_layers)]
    for core, index, layer in zip(timing.core.tolist(), timing.index.tolist(), timing.layer.tolist(), strict=True):
        _count(chip.core, codes[core][index], rows[layer])
    counts = np.array(rows).reshape(n_layers, len(EVENTS))
    array = timing.engine == Engine.ARRAY
    busy = (timing.busy_end - timing.busy_begin)[array]
    np.add.at(counts[:, _AT["array_cycles"]], timing.layer[array], busy)
    np.add.at(counts[:, _AT["dram_bytes"]], timing.layer, timing.dram_bytes)
    _split_padding(counts, segment)
    return Counts(layers=counts, cycles=timing.cycles, cores_used=len(set(timing.core.tolist())))


def _split_padding(counts: npt.NDArray[np.float64], segment: Segment) -> None:
    """Move the products beyond a layer's own to the padding."""
    for i, layer in enumerate(segment.layers):
        wanted = layer.macs * segment.frames
        done = counts[i, _AT["macs"]]
        if wanted and done > wanted:
            counts[i, _AT["macs"]], counts[i, _AT["zero_macs"]] = wanted, done - wanted


def _count(core: Core, ins: Instruction, row: list[float]) -> None:
    """Add an instruction's events to a layer's row."""

    def add(event: str, n: float) -> None:
        row[_AT[event]] += n

    add("instructions", 1)
    if ins.opcode == Opcode.DOT:
        _dot(core, ins, add)
    elif ins.opcode == Opcode.VEC:
        _vec(core, ins, add)
    elif ins.opcode in (Opcode.LOAD, Opcode.STORE):
        words = ins.count1 * ins.count2 * -(-ins.run // core.port_bytes)
        add("writes" if ins.opcode == Opcode.LOAD else "reads", words)


def _dot(core: Core, ins: Instruction, add: Callable[[str, float], None]) -> None:
    D, W = core.dim, core.port_bytes
    K = ins.a_run * ins.a_taps_y * ins.a_taps_x
    m_tiles, n_tiles = -(-ins.a_count // D), -(-ins.b_count // D)
    a_words = ins.a_taps_y * ins.a_taps_x * -(-ins.a_run // W)
    b_words = ins.b_taps_y * ins.b_taps_x * -(-ins.b_run // W)
    add("macs", ins.a_count * ins.b_count * K)
    add("operand_bytes", K * (ins.a_count * n_tiles + ins.b_count * m_tiles))
    add("reads", ins.a_count * n_tiles * a_words + ins.b_count * m_tiles * b_words)
    flags = int(ins.flags)
    if flags & _HOLD:
        return
    per_column = bool(flags & _BIAS) + bool(flags & _SCALE)
    add("reads", per_column * -(-4 * ins.b_count // W) + (-(-256 // W) if flags & _TABLE else 0))
    outputs = ins.a_count * ins.b_count
    add("sums", outputs)
    if flags & _RAW:
        add("writes", ins.a_count * n_tiles * -(-4 * min(D, ins.b_count) // W))
        return
    residual = bool(flags & _RESIDUAL)
    add("writes", ins.a_count * n_tiles)
    add("reads", ins.a_count * n_tiles * residual)
    add("epilogue_flops", outputs * (2 + 4 * residual))


def _vec(core: Core, ins: Instruction, add: Callable[[str, float], None]) -> None:
    outputs = ins.rows * ins.columns * ins.channels
    words = ins.rows * ins.columns * -(-ins.channels // core.lanes)
    two = ins.kind in (VecKind.ADD, VecKind.MUL)
    # A word comes from the operand's port in every cycle of work, one more where there is a second operand.
    add(
        "reads",
        vec_cycles(core, ins)
        + (words if two else 0)
        + (-(-256 // core.port_bytes) if ins.flags & VecFlag.TABLE else 0),
    )
    add("writes", words)
    taps = ins.taps_y * ins.taps_x
    if ins.kind in (VecKind.MAC, VecKind.SUM, VecKind.MAX):
        add("vector_macs", outputs * taps)
    flops = {VecKind.MAC: 2, VecKind.SUM: 2, VecKind.ADD: 6, VecKind.MUL: 6, VecKind.SOFTMAX: _SOFTMAX_FLOPS}
    add("vector_flops", outputs * flops.get(VecKind(ins.kind), 0))
