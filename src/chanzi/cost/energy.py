"""Joules of a run: counted events times what each costs at a node, plus clock and leakage over its time."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from chanzi.chip.chip import Chip
from chanzi.cost.area import INSTRUCTION_BYTES, Area, area_of
from chanzi.cost.events import EVENTS, Counts
from chanzi.cost.tech import (
    at_node,
    constant,
    dram_pj_per_bit,
    from_45,
    known_node,
    op_pj,
    register_pj_per_bit,
    supply,
    wide_pj_per_bit,
    wire_pj_per_bit_mm,
)
from chanzi.errors import CostError

SPENDERS = {
    "array": ("macs", "zero_macs", "array_cycles"),
    "feeders": ("operand_bytes",),
    "epilogue": ("sums", "epilogue_flops"),
    "vector unit": ("vector_macs", "vector_flops"),
    "scratchpad": ("reads", "writes"),
    "DMA": (),
    "DRAM": ("dram_bytes",),
    "sequencer": ("instructions",),
}
"""Blocks that spend, with the events laid to each; DMA and DRAM share `dram_bytes`. Clock and leakage come beside."""

_ACCUMULATOR_BITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCosts:
    """pJ of one event at a node and voltage, on one chip: `pj` by event, `dma_pj_per_byte` inside the chip.

    `clock_pj` is spent by a core in each cycle of the run, `leakage_w` by the whole chip all the time.
    """

    node_nm: float
    volt: float
    pj: dict[str, float]
    dma_pj_per_byte: float
    dram_pj_per_byte: float
    clock_pj: float
    leakage_w: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Energy:
    """Joules of one run: ``layers[layer][block]`` in the order of `blocks`; DRAM devices are outside the chip.

    The rows sum to `joules`; clock and leakage are laid to layers by their share of the run's cycles.
    """

    layers: npt.NDArray[np.float64]
    blocks: tuple[str, ...]
    seconds: float
    costs: EventCosts

    @property
    def joules(self) -> float:
        """Of the run, DRAM included."""
        return float(self.layers.sum())

    @property
    def chip_joules(self) -> float:
        """Of the run, without the DRAM devices."""
        return self.joules - self.of_block("DRAM")

    @property
    def watts(self) -> float:
        """Mean power while it runs, DRAM included."""
        return self.joules / self.seconds if self.seconds else 0.0

    def of_block(self, block: str) -> float:
        """Return the joules a block spent."""
        return float(self.layers[:, self.blocks.index(block)].sum())

    def by_block(self) -> dict[str, float]:
        """Return the joules of every block."""
        return dict(zip(self.blocks, self.layers.sum(axis=0).tolist(), strict=True))


def dram_kind(node_nm: float) -> str:
    """Return the DRAM a chip of that node is taken to use where it does not say."""
    return "lpddr5" if node_nm <= 10 else "lpddr4" if node_nm <= 28 else "ddr3"


def event_costs(
    chip: Chip, *, node_nm: float = 0.0, volt: float | None = None, dram: str = "", area: Area | None = None
) -> EventCosts:
    """Return what an event costs on `chip`.

    Parameters
    ----------
    chip : Chip
    node_nm, volt : float, optional
        Instead of the chip's own; the voltage of a chip that names none is its node's nominal one.
    dram : str, optional
        A kind of DRAM: lpddr4, lpddr5, ddr4, gddr6, hbm2, ...
    area : Area, optional
        The chip's area, if it is known already.

    Raises
    ------
    CostError
        Unknown node or DRAM, or a voltage far from nominal.
    """
    nm = known_node(node_nm or chip.node_nm)
    kind = dram or dram_kind(nm)
    if kind not in dram_pj_per_bit():
        raise CostError(f"no DRAM of kind '{kind}'", hint="known: " + ", ".join(dram_pj_per_bit()))
    area = area or area_of(chip, node_nm=nm)
    at = supply(nm, chip.volt if volt is None else volt)
    core = chip.core
    W, D = core.port_bytes, core.dim
    toggle = constant("toggle").value
    register = register_pj_per_bit(nm)
    wire = wire_pj_per_bit_mm(nm) * toggle
    core_mm = math.sqrt(area.core.value)
    cells_mm = math.sqrt(sum(b.mm2.value for b in area.blocks if b.name in ("MACs", "shadow registers")) / chip.cores)
    word = 8 * W * (wide_pj_per_bit(core.scratchpad.bank_bytes // 2, nm) + wire * core_mm / 2)
    activity = constant("data_activity").value
    mac = array_mac_pj(nm)
    flop = (op_pj("fp32_mul", nm) + op_pj("fp32_add", nm)) / 2
    gated = from_45(constant("array_clock_45").value, nm)
    pj = {
        "macs": mac * activity,
        "zero_macs": mac * constant("zero_operand_share").value,
        # through the double-buffered edge cell, then over a row or column of cells
        "operand_bytes": 8 * (2 * register + wire * cells_mm),
        "sums": 2 * _ACCUMULATOR_BITS * register,
        "epilogue_flops": flop,
        "vector_macs": mac * activity,
        "vector_flops": flop,
        "reads": word,
        "writes": word,
        "dram_bytes": 0.0,  # in dma_pj_per_byte and dram_pj_per_byte
        "instructions": 8 * INSTRUCTION_BYTES * (wide_pj_per_bit(16384, nm) + 2 * register),
        "array_cycles": gated * D * D,
    }
    dma = 8 * (2 * register + wire * core_mm)
    return EventCosts(
        node_nm=nm,
        volt=at.volt,
        pj={name: pj[name] * at.energy for name in EVENTS},
        dma_pj_per_byte=dma * at.energy,
        dram_pj_per_byte=8 * dram_pj_per_bit()[kind].value,
        clock_pj=from_45(constant("core_clock_45").value, nm) * at.energy * _core_size(D),
        leakage_w=leakage_w(area) * at.leakage,
    )


def _core_size(dim: int) -> float:
    """Return the part of a core beside the array, relative to the one `core_clock_45` was fitted on."""
    return max(dim, 8) / 16


def leakage_w(area: Area) -> float:
    """Return the leakage of a chip at its node's nominal voltage: all logic, and memories at half its density."""
    density = at_node(area.node_nm, "leakage_mw_per_mm2").value * 1e-3
    return density * (area.logic_mm2 + 0.5 * area.memory_mm2)


def energy_of(
    chip: Chip, counts: Counts, costs: EventCosts, *, layer_cycles: npt.NDArray[np.float64] | None = None
) -> Energy:
    """Return the energy of a run.

    Parameters
    ----------
    chip : Chip
    counts : Counts
    costs : EventCosts
    layer_cycles : ndarray, optional
        Cycles laid to each layer (`chanzi.cost.lost.Lost`), by which clock and leakage are shared out; by array cycles
        where it is missing.
    """
    events = list(EVENTS)
    per_event = counts.layers * np.array([costs.pj[name] for name in events])
    n_layers = len(counts.layers)
    blocks = (*SPENDERS, "clock", "leakage")
    spent = np.zeros((n_layers, len(blocks)))
    for column, own in enumerate(SPENDERS.values()):
        for event in own:
            spent[:, column] += per_event[:, events.index(event)]
    dram_bytes = counts.layers[:, events.index("dram_bytes")]
    spent[:, blocks.index("DMA")] = dram_bytes * costs.dma_pj_per_byte
    spent[:, blocks.index("DRAM")] = dram_bytes * costs.dram_pj_per_byte
    seconds = counts.cycles / chip.clock_hz
    weight = counts.layers[:, events.index("array_cycles")] if layer_cycles is None else layer_cycles
    share = weight / weight.sum() if weight.sum() else np.full(n_layers, 1 / max(n_layers, 1))
    spent[:, blocks.index("clock")] = share * counts.cycles * counts.cores_used * costs.clock_pj
    spent[:, blocks.index("leakage")] = share * seconds * costs.leakage_w * 1e12
    return Energy(layers=spent * 1e-12, blocks=blocks, seconds=seconds, costs=costs)


@cache
def array_mac_pj(node_nm: float, bits: int = 8) -> float:
    """Return the energy of a multiply-accumulate with its sum's register, for operands of so many bits.

    A multiplier's energy goes with the square of its operands' length.
    """
    toggle = constant("toggle").value
    adder = op_pj("int32_add", node_nm)
    return op_pj("int8_mul", node_nm) * (bits / 8) ** 2 + adder + 32 * register_pj_per_bit(node_nm) * toggle
