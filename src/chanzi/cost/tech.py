"""Process nodes: areas, prices and energies of a node, looked up or interpolated between its neighbours."""

from dataclasses import dataclass
from functools import cache

from chanzi.cost.figure import Figure, Figures, Source, between, figures, sources, table
from chanzi.errors import CostError

_ANCHORS = (45, 7)
"""Nodes at which energies of operations and memories were published, in nm."""


@cache
def _nodes() -> dict[int, Figures]:
    known = sources("nodes")
    return {
        int(nm): figures({k: v for k, v in entry.items() if k != "name"}, known, f"nodes.toml, {nm} nm")
        for nm, entry in table("nodes")["node"].items()
    }


def node_names() -> dict[int, str]:
    """Return the known nodes: nanometres -> name."""
    return {int(nm): entry["name"] for nm, entry in table("nodes")["node"].items()}


def known_node(node_nm: float) -> int:
    """Return the node as the tables know it.

    Raises
    ------
    CostError
        There is no such node.
    """
    if node_nm in _nodes():
        return int(node_nm)
    if not node_nm:
        raise CostError("the chip names no process node", hint="set node_nm in the chip, or pass --node 14nm")
    nearest = min(_nodes(), key=lambda nm: abs(nm - node_nm))
    known = ", ".join(str(nm) for nm in sorted(_nodes(), reverse=True))
    raise CostError(f"no process node of {node_nm:g} nm", hint=f"nearest is {nearest}; known: {known}")


@cache
def at_node(node_nm: float, key: str) -> Figure:
    """Return a figure of a node: listed, or on a log-log line between the nearest nodes that list it.

    Raises
    ------
    CostError
        There is no such node.
    """
    nodes = _nodes()
    nm = known_node(node_nm)
    if key in nodes[nm]:
        return nodes[nm][key]
    listed = {float(n): entry[key] for n, entry in nodes.items() if key in entry}
    if not listed:
        raise KeyError(key)
    first = min(listed, key=lambda n: abs(n - nm))
    parts = [between({n: pick(f) for n, f in listed.items()}, nm) for pick in (_low, _value, _high)]
    low, value, high = sorted(parts)
    like = listed[first]
    note = f"interpolated between {', '.join(f'{n:g}' for n in _neighbours(listed, nm))} nm"
    return Figure(
        value=value, low=low, high=high, unit=like.unit, source=like.source, how="derived", grade=like.grade, note=note
    )


def _low(figure: Figure) -> float:
    return figure.bounds[0]


def _value(figure: Figure) -> float:
    return figure.value


def _high(figure: Figure) -> float:
    return figure.bounds[1]


def _neighbours(listed: dict[float, Figure], nm: float) -> list[float]:
    below, above = [n for n in listed if n < nm], [n for n in listed if n > nm]
    return [*([min(above)] if above else []), *([max(below)] if below else [])]


@cache
def constant(name: str) -> Figure:
    """Return a constant of the energy model."""
    return figures(table("energy")["constant"], _energy_sources(), "energy.toml, constant")[name]


@cache
def dram_pj_per_bit() -> Figures:
    """Return energy per bit by kind of DRAM."""
    return figures(table("energy")["dram"], _energy_sources(), "energy.toml, dram")


def _energy_sources() -> dict[str, Source]:
    return sources("energy")


@cache
def _anchored(part: str) -> dict[int, Figures]:
    return {nm: figures(table("energy")[part][str(nm)], _energy_sources(), f"energy.toml, {part}") for nm in _ANCHORS}


def _between_anchors(at_45: float, at_7: float, node_nm: float) -> float:
    """Return an energy between its anchors; above 45 nm, where supplies still fell with sizes, by size and voltage.

    The line between the anchors, carried on to 130 nm, is a tenth of what gates there spend (docs/results/energy.md).
    """
    nm = known_node(node_nm)
    if nm > _ANCHORS[0]:
        volts = at_node(nm, "volt").value / at_node(_ANCHORS[0], "volt").value
        return at_45 * nm / _ANCHORS[0] * volts**2
    return between({45.0: at_45, 7.0: at_7}, nm)


@cache
def op_pj(name: str, node_nm: float) -> float:
    """Return the energy of one operation (``int8_mul``, ``int32_add``, ``fp32_mul``, ...) at a node."""
    at = _anchored("op")
    return _between_anchors(at[45][name].value, at[7][name].value, node_nm)


def mac_pj(node_nm: float) -> float:
    """Return the energy of an int8 multiplication and a 32-bit addition."""
    return op_pj("int8_mul", node_nm) + op_pj("int32_add", node_nm)


@cache
def sram_pj_per_bit(n_bytes: int, node_nm: float) -> float:
    """Return the energy of a bit read from, or written to, a memory of so many bytes, its own periphery included.

    Below 7 nm it goes with the side of the bit cell, for nothing has been published and cells hardly shrink.
    """
    at = _anchored("sram")
    ends = [between({float(size): f.value for size, f in at[nm].items()}, n_bytes) for nm in _ANCHORS]
    # Towards small sizes the 7 nm line falls more slowly than the 45 nm one; never let them cross.
    if node_nm < _ANCHORS[1]:
        shrink = at_node(node_nm, "bitcell_um2").value / at_node(_ANCHORS[1], "bitcell_um2").value
        return ends[1] * shrink**0.5 / 64
    return _between_anchors(max(ends[0], ends[1]), ends[1], node_nm) / 64


def wide_pj_per_bit(n_bytes: int, node_nm: float) -> float:
    """Return the energy of a bit of a wide word: row decoding and timing are shared by many bits."""
    return sram_pj_per_bit(n_bytes, node_nm) * constant("wide_access").value


@cache
def _wire() -> dict[float, float]:
    known = figures(table("energy")["wire"], _energy_sources(), "energy.toml, wire")
    return {float(nm): f.value for nm, f in known.items()}


def wire_pj_per_bit_mm(node_nm: float) -> float:
    """Return the energy of a bit that changes over a millimetre of wire."""
    return between(_wire(), known_node(node_nm))


def from_45(value: float, node_nm: float) -> float:
    """Return an energy given at 45 nm as it is at a node, scaled as an int8 multiply-accumulate is."""
    return value * mac_pj(node_nm) / mac_pj(45)


def register_pj_per_bit(node_nm: float) -> float:
    """Return the energy of writing a flip-flop."""
    entry = figures(table("energy")["register"], _energy_sources(), "energy.toml, register")["40"]
    return entry.value * mac_pj(node_nm) / mac_pj(40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """A supply voltage beside the node's nominal one: what it does to energy, leakage and clock.

    Dynamic energy goes with the square of the voltage, leakage with its cube (current and drain-induced lowering), the
    fastest clock with ``(V - Vt)**1.3 / V`` (alpha-power law), Vt = 0.4 of nominal.
    """

    volt: float
    nominal: float

    @property
    def energy(self) -> float:
        """Dynamic energy relative to nominal."""
        return (self.volt / self.nominal) ** 2

    @property
    def leakage(self) -> float:
        """Leakage power relative to nominal."""
        return (self.volt / self.nominal) ** 3

    @property
    def clock(self) -> float:
        """Fastest clock relative to nominal."""
        return _speed(self.volt / self.nominal) / _speed(1.0)


_THRESHOLD = 0.4
_LOWEST, _HIGHEST = 0.6, 1.25


def _speed(share: float) -> float:
    return (share - _THRESHOLD) ** 1.3 / share


def supply(node_nm: float, volt: float | None = None) -> Supply:
    """Return a supply of a node, at its nominal voltage unless told otherwise.

    Raises
    ------
    CostError
        The voltage is far from what the node's transistors work at.
    """
    nominal = at_node(node_nm, "volt").value
    at = nominal if volt is None else volt
    if not _LOWEST * nominal <= at <= _HIGHEST * nominal:
        raise CostError(
            f"{at:g} V at {node_nm:g} nm, whose nominal voltage is {nominal:.2f} V",
            hint=f"use {_LOWEST * nominal:.2f} to {_HIGHEST * nominal:.2f} V",
        )
    return Supply(volt=at, nominal=nominal)


def supply_for_clock(node_nm: float, share: float) -> Supply:
    """Return the lowest supply at which the clock reaches `share` of what it reaches at the nominal voltage.

    Raises
    ------
    CostError
        No allowed voltage is fast enough.
    """
    nominal = at_node(node_nm, "volt").value
    low, high = _LOWEST, _HIGHEST
    if _speed(high) / _speed(1.0) < share:
        raise CostError(
            f"{share:.2f} times the clock of nominal voltage",
            hint=f"the fastest is {_speed(high) / _speed(1.0):.2f} times, at {_HIGHEST * nominal:.2f} V",
        )
    if _speed(low) / _speed(1.0) >= share:
        return Supply(volt=low * nominal, nominal=nominal)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _speed(middle) / _speed(1.0) >= share else (middle, high)
    return Supply(volt=high * nominal, nominal=nominal)
