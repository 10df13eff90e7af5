"""Area of a chip from its description: blocks of gates and memories, placed at a node.

Logic is counted in NAND2 equivalents and costs ``gates * gate_um2(node) / utilization``; memories cost
``bits * bitcell_um2(node) / (share of the macro that is cells) * placement``; DRAM interfaces hardly shrink and cost
the same everywhere. Ranges of the figures go through as they are: all low, all high.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from chanzi.chip.chip import Chip, Core
from chanzi.cost.figure import Figure, Figures, figures, sources, table
from chanzi.cost.tech import at_node, known_node
from chanzi.errors import CostError

READ_PORTS = 8
"""Of a scratchpad: A, B, parameters, residual, operand, second operand, constants, STORE."""
WRITE_PORTS = 3
"""Of a scratchpad: drain, vector unit, LOAD."""
INSTRUCTION_BYTES = 256


@cache
def logic(part: str) -> Figures:
    """Return a part of the table of logic: 'gates', 'place' or 'channel'."""
    return figures(table("logic")[part], sources("logic"), f"logic.toml, {part}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A value and the range it is believed to lie in."""

    value: float
    low: float
    high: float

    @staticmethod
    def of(figure: Figure) -> "Range":
        """Return a figure's value and bounds."""
        low, high = figure.bounds
        return Range(value=figure.value, low=low, high=high)

    @staticmethod
    def exactly(value: float) -> "Range":
        """Return a range of one value."""
        return Range(value=value, low=value, high=value)

    def __add__(self, other: "Range") -> "Range":
        return Range(value=self.value + other.value, low=self.low + other.low, high=self.high + other.high)

    def __mul__(self, factor: "float | Range") -> "Range":
        by = factor if isinstance(factor, Range) else Range.exactly(factor)
        return Range(value=self.value * by.value, low=self.low * by.low, high=self.high * by.high)

    def __truediv__(self, other: "Range") -> "Range":
        return Range(value=self.value / other.value, low=self.low / other.high, high=self.high / other.low)


ZERO = Range.exactly(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of the die: `gates` of one copy, placed area of all `count` copies, the share of it that is memory."""

    name: str
    count: int
    gates: Range
    logic_mm2: Range
    memory_mm2: Range = ZERO
    fixed_mm2: Range = ZERO

    @property
    def mm2(self) -> Range:
        """Area of all copies."""
        return self.logic_mm2 + self.memory_mm2 + self.fixed_mm2


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A chip's blocks and its die."""

    node_nm: float
    blocks: tuple[Block, ...]
    core_blocks: tuple[str, ...]
    white: Range
    ring: Range

    @property
    def core(self) -> Range:
        """Area of one core: array, lanes, memories, sequencer and DMA."""
        parts = [b.mm2 * (1 / b.count) for b in self.blocks if b.name in self.core_blocks]
        return total(parts)

    @property
    def die(self) -> Range:
        """Area of the die, white space and the ring of pads included."""
        return total([b.mm2 for b in self.blocks]) + self.white + self.ring

    @property
    def unique_gates(self) -> float:
        """Gates that somebody has to design and lay out: each kind of block once, an array's cell once."""
        return sum(_unique(b) for b in self.blocks)

    @property
    def logic_mm2(self) -> float:
        """Area of logic."""
        return sum(b.logic_mm2.value for b in self.blocks)

    @property
    def memory_mm2(self) -> float:
        """Area of memories."""
        return sum(b.memory_mm2.value for b in self.blocks)


def total(parts: Iterable[Range]) -> Range:
    """Return the sum."""
    result = ZERO
    for part in parts:
        result = result + part
    return result


_REPEATED = {
    "MACs": 0.02,
    "shadow registers": 0.02,
    "feeders": 0.05,
    "array control": 0.5,
    "epilogue lanes": 0.1,
    "vector lanes": 0.1,
    "scratchpad ports": 0.05,
}


def _unique(block: Block) -> float:
    return block.gates.value * _REPEATED.get(block.name, 1.0)


def placed_mm2(gates: Range, node_nm: float) -> Range:
    """Return the placed area of so many gates."""
    return gates * Range.of(at_node(node_nm, "gate_um2")) * 1e-6 / Range.of(logic("place")["utilization"])


def macro_mm2(n_bytes: float, bank_bytes: float, node_nm: float) -> Range:
    """Return the area of `n_bytes` of single-ported SRAM in macros of `bank_bytes`, nothing around them."""
    best, half = Range.of(logic("place")["macro_best"]), logic("place")["macro_half_bytes"]
    share = Range(
        value=best.value / (1 + math.sqrt(half.value / bank_bytes)),
        low=best.low / (1 + math.sqrt(half.bounds[1] / bank_bytes)),
        high=best.high / (1 + math.sqrt(half.bounds[0] / bank_bytes)),
    )
    return Range.of(at_node(node_nm, "bitcell_um2")) * (8e-6 * n_bytes) / share


def level_mm2(n_bytes: float, node_nm: float, *, kind: str = "level", bank_bytes: float = 32768) -> Range:
    """Return the area of a memory level of a published chip: 'level' (a buffer) or 'cache', ports and transport too."""
    return macro_mm2(n_bytes, bank_bytes, node_nm) * Range.of(logic("place")[kind])


def channels(bytes_per_s: float, node_nm: float) -> int:
    """Return the 32-bit DRAM channels that carry so much: LPDDR5 from 10 nm on, LPDDR4 before."""
    each = logic("channel")["lpddr5" if node_nm <= 10 else "lpddr4"].value
    return max(1, math.ceil(bytes_per_s / each - 0.02))


def area_of(chip: Chip, *, node_nm: float = 0.0, given: Mapping[str, float] | None = None) -> Area:
    """Return a chip's area by block.

    Parameters
    ----------
    chip : Chip
    node_nm : float, optional
        Instead of the chip's own.
    given : mapping, optional
        Further blocks by name, in mm2: CPUs, an image pipeline.

    Raises
    ------
    CostError
        The node is unknown, a given block has no sensible area.
    """
    nm = known_node(node_nm or chip.node_nm)
    core_blocks = _core(chip.core, chip.cores, chip.dram.beat_bytes, nm)
    blocks = [*core_blocks, *_uncore(chip, nm)]
    for name, mm2 in (given or {}).items():
        if not (math.isfinite(mm2) and 0 < mm2 < 1e5):
            raise CostError(f"block '{name}' of {mm2:g} mm2", hint="give a positive area in mm2")
        blocks.append(
            Block(name=name, count=1, gates=ZERO, logic_mm2=ZERO, fixed_mm2=Range(value=mm2, low=mm2, high=mm2))
        )
    inside = total([b.mm2 for b in blocks])
    white_share, seal = logic("place")["white"], logic("place")["seal_um"]
    whites = [s / (1 - s) for s in (white_share.value, *white_share.bounds)]
    white = inside * Range(value=whites[0], low=whites[1], high=whites[2])
    body = inside + white
    ring = Range(
        value=_ring(body.value, seal.value), low=_ring(body.low, seal.bounds[0]), high=_ring(body.high, seal.bounds[1])
    )
    names = tuple(b.name for b in core_blocks)
    return Area(node_nm=nm, blocks=tuple(blocks), core_blocks=names, white=white, ring=ring)


def _ring(body_mm2: float, seal_um: float) -> float:
    side = math.sqrt(body_mm2)
    return (side + 2e-3 * seal_um) ** 2 - body_mm2


def check_reticle(area: Area) -> None:
    """Raise `CostError` where the die is larger than what a scanner exposes at once."""
    limit = logic("place")["reticle_mm2"].value
    if area.die.value > limit:
        raise CostError(
            f"a die of {area.die.value:,.0f} mm2 is larger than the reticle's {limit:.0f} mm2",
            hint="fewer cores, less scratchpad, or a smaller node",
        )


def _gates(name: str) -> Range:
    return Range.of(logic("gates")[name])


def _core(core: Core, cores: int, beat_bytes: int, nm: int) -> list[Block]:
    D, W, pad = core.dim, core.port_bytes, core.scratchpad
    wiring = Range.of(logic("place")["array_wiring"])
    placement = Range.of(logic("place")["macro_placement"])
    register = _gates("register_bit")
    port_bits = 8.0 * W * pad.banks
    address = max(math.log2(pad.bytes) - 16, 0.0)
    queues = (_gates("queue_bits") + _gates("queue_address_bits") * address) * float(core.queue_depth)
    bit = _gates("memory_bit")
    epilogue = _gates("epilogue_lane") + bit * _gates("epilogue_lane_bits")
    lane = _gates("vector_lane") + bit * _gates("vector_lane_bits") + _gates("tap") * float(core.taps_per_lane)
    code_bytes = float(core.code_instructions * INSTRUCTION_BYTES)

    def block(name: str, gates: Range, factor: "float | Range" = 1.0, memory: Range = ZERO) -> Block:
        return Block(
            name=name,
            count=cores,
            gates=gates,
            logic_mm2=placed_mm2(gates, nm) * factor * float(cores),
            memory_mm2=memory * float(cores),
        )

    return [
        block("MACs", _gates("mac") * float(D * D), wiring),
        block("shadow registers", register * (32.0 * D * D), wiring),
        block("feeders", _gates("feeder_byte") * float(W) + _gates("shift_bit") * (2.0 * D * 2 * W * 8)),
        block("array control", _gates("array_control") + _gates("array_row") * float(D)),
        block("epilogue lanes", _gates("epilogue") + epilogue * float(core.row_lanes)),
        block("vector lanes", _gates("vector") + bit * _gates("softmax_bits") + lane * float(core.lanes)),
        block("scratchpad", ZERO, 1.0, macro_mm2(pad.bytes, pad.bank_bytes / 2, nm) * placement),
        block(
            "scratchpad ports",
            _gates("read_leg") * (port_bits * READ_PORTS)
            + _gates("write_leg") * (port_bits * WRITE_PORTS)
            + _gates("bank_control") * float(pad.banks * (W // core.atom_bytes))
            + _gates("port_bit") * (8.0 * W),
        ),
        block("sequencer", _gates("sequencer") + queues * bit),
        block("instruction memory", ZERO, 1.0, macro_mm2(code_bytes, 16384, nm) * placement),
        block("DMA", _gates("dma") + _gates("dma_byte") * float(beat_bytes)),
    ]


def _uncore(chip: Chip, nm: int) -> list[Block]:
    noc = _gates("bus") + _gates("noc_byte") * float(chip.cores * chip.dram.beat_bytes)
    n = channels(chip.dram.bytes_per_s, nm)
    gate_ratio = at_node(nm, "gate_um2").value / at_node(16, "gate_um2").value
    controller = Range.of(logic("place")["phy_controller"]) * (gate_ratio * n)
    phy = Range.of(logic("place")["phy_mm2"]) * float(n)
    misc = Range.of(logic("place")["misc_mm2"])
    return [
        Block(name="NoC", count=1, gates=noc, logic_mm2=placed_mm2(noc, nm)),
        Block(name="DRAM controller", count=n, gates=ZERO, logic_mm2=controller),
        Block(name="DRAM PHY", count=n, gates=ZERO, logic_mm2=ZERO, fixed_mm2=phy),
        Block(name="clocks, fuses, test", count=1, gates=ZERO, logic_mm2=ZERO, fixed_mm2=misc),
    ]
