"""Energy of this project's own RTL as yosys and ABC map it: every flip-flop clocked always, no datapath compiler.

`chanzi.cost.energy` prices what designers of published chips built. Here the same events cost what gate level says of
the hardware as it stands (docs/results/energy.md): clock pins by the count of flip-flops, data by flip-flops and gates.
"""

from dataclasses import dataclass, replace

from chanzi.chip.chip import Chip, Core
from chanzi.cost.area import Area, area_of, logic
from chanzi.cost.energy import EventCosts, event_costs
from chanzi.cost.figure import Figures, between, figures, sources, table
from chanzi.cost.tech import constant, known_node, supply, wire_pj_per_bit_mm
from chanzi.errors import CostError


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """pJ at a node: a flip-flop's clock in a cycle, its data where they are new, a gate of logic on random operands."""

    flop_clock: float
    flop_data: float
    gate: float

    def of(self, gates: float, flops: float, *, activity: float = 1.0) -> float:
        """Return the pJ of a cycle of a block of so many gates, flip-flops among them, all of it at work."""
        return self.flop_clock * flops + self.data(gates, flops) * activity

    def data(self, gates: float, flops: float) -> float:
        """Return the same without clock pins."""
        logic_gates = max(gates - flops * logic("gates")["register_bit"].value, 0.0)
        return self.flop_data * flops + self.gate * logic_gates


def prices(node_nm: float) -> Prices:
    """Return the prices at a node, between those of the two libraries."""
    nm = known_node(node_nm)
    known = {float(n): _figures(f"mapped.{n}") for n in table("energy")["mapped"]}
    names = ("flop_clock", "flop_data", "gate")
    return Prices(**{name: between({n: f[name].value for n, f in known.items()}, nm) for name in names})


def _figures(part: str) -> Figures:
    entries = table("energy")
    for key in part.split("."):
        entries = entries[key]
    return figures(entries, sources("energy"), f"energy.toml, {part}")


def flops_of(core: Core) -> dict[str, float]:
    """Return the flip-flops of a core by block of the area model, as synthesis counts them."""
    n = {name: f.value for name, f in _figures("flops").items()}
    D, W = core.dim, core.port_bytes
    return {
        "MACs": n["cell"] * D * D,
        "shadow registers": 32.0 * D * D,
        "feeders": 2 * D * (18 * W + 1) + n["feeder_byte"] * W,
        "array control": n["array_control"],
        "epilogue lanes": n["epilogue"] + n["lane"] * core.row_lanes,
        "vector lanes": n["vector"] + n["vector_lane"] * core.lanes,
        "scratchpad ports": n["port_byte"] * W,
        "sequencer": n["sequencer"],
        "DMA": n["dma"],
    }


def mapped_costs(
    chip: Chip, *, node_nm: float = 0.0, volt: float | None = None, gated: float = 0.0, area: Area | None = None
) -> EventCosts:
    """Return what an event costs on `chip` if it is this project's RTL, mapped by yosys and ABC.

    Memories, wires, DRAM and leakage cost what `event_costs` says.

    Parameters
    ----------
    chip : Chip
    node_nm, volt : float, optional
        Instead of the chip's own.
    gated : float, optional
        The share of clock energy that gating would save; the RTL has none.
    area : Area, optional
        The chip's area, if it is known already.

    Raises
    ------
    CostError
        Unknown node, a voltage far from nominal, a share that is none.
    """
    if not 0 <= gated <= 1:
        raise CostError(f"clock gating that saves {gated:g} of the clock", hint="a share from 0 to 1")
    nm = known_node(node_nm or chip.node_nm)
    area = area or area_of(chip, node_nm=nm)
    base = event_costs(chip, node_nm=nm, volt=volt, area=area)
    energy = supply(nm, base.volt).energy
    at, activity = prices(nm), constant("mapped_activity").value
    gates = {name: f.value for name, f in logic("gates").items()}
    counted = {name: f.value for name, f in _figures("flops").items()}
    cell = at.data(gates["mac"] + 32 * gates["register_bit"], counted["cell"] + 32)
    lane = at.data(gates["epilogue_lane"], counted["lane"]) / 6  # float operations: scale, convert, two fused pairs
    tap = at.data(gates["tap"], 0.0)
    wire = 8 * wire_pj_per_bit_mm(nm) * constant("toggle").value
    cells_mm = (sum(b.mm2.value for b in area.blocks if b.name in ("MACs", "shadow registers")) / chip.cores) ** 0.5
    own = {
        "macs": cell * activity,
        "zero_macs": cell * constant("zero_operand_share").value,
        # a row's two words of nine-bit numbers, of which one moves on by a number in every cycle
        "operand_bytes": at.flop_data * 18 * chip.core.port_bytes * activity + wire * cells_mm,
        "epilogue_flops": lane * activity,
        "vector_flops": lane * activity,
        "vector_macs": tap * activity,
        "array_cycles": 0.0,
    }
    clock = at.flop_clock * sum(flops_of(chip.core).values()) * (1 - gated)
    return replace(base, pj=base.pj | {name: pj * energy for name, pj in own.items()}, clock_pj=clock * energy)
