"""Energy of a mapped module at gate level: its netlist simulated, every change of a net paid by the Liberty's tables.

Many independent streams of operands run at once, one in each bit of a Python integer. In a cycle nets change step by
step, all gates taking the same time, so that glitches are there; what a clock edge changes is counted as well.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any

from chanzi.errors import FlowError
from chanzi.flow.liberty import Cell, Group, Library, Table, group_tree, read_text, table_of, units_of

_WANTED = frozenset(
    {"library", "cell", "pin", "ff", "internal_power", "rise_power", "fall_power", "power_lut_template"}
)
_WIRE_FF_PER_UM, _UTILIZATION, _DETOUR = 0.2, 0.7, 1.5
"""Of a net: fF a micrometre whatever the node, and to each sink one and a half times the side of a placed cell."""
_ROUNDS, _MOST_STEPS = 4, 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Energy tables of a pin in pJ over (ns, fF): one change up, one down; `source` is the input it follows."""

    source: str
    rise: Table | None
    fall: Table | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLibrary:
    """Supply voltage, and what changes of a cell's pins cost inside it, by cell and pin.

    `states` are flip-flops: names of the state and of its opposite, and the next state as a function of pins.
    """

    volt: float
    powers: Mapping[str, Mapping[str, tuple[Power, ...]]]
    states: Mapping[str, tuple[str, str, str]]


def power_library(paths: Sequence[Path], *, rail: str = "VDD") -> PowerLibrary:
    """Return the power tables of Liberty files; of a cell that has them for each supply rail, those of `rail`.

    Raises
    ------
    FlowError
        A file is no Liberty, or has no power tables.
    """
    powers: dict[str, dict[str, tuple[Power, ...]]] = {}
    states: dict[str, tuple[str, str, str]] = {}
    volt = 0.0
    for path in paths:
        try:
            top = group_tree(read_text(path), _WANTED)
        except (IndexError, ValueError):
            top = None
        if top is None or top.kind != "library":
            raise FlowError(f"{path} is no Liberty file", hint='library ("...") { cells }')
        volt = float(top.text("nom_voltage", "0") or 0) or volt
        units = units_of(top)
        templates = {t.arguments[0]: t for t in top.all("power_lut_template") if t.arguments}
        for cell in top.all("cell"):
            powers[cell.arguments[0]] = {
                pin.arguments[0]: tuple(_powers(pin, templates, units, rail)) for pin in cell.all("pin")
            }
            for flop in cell.all("ff"):
                state, opposite = (*flop.arguments, "", "")[:2]
                states[cell.arguments[0]] = state, opposite, flop.text("next_state")
    if not volt or not any(p for pins in powers.values() for p in pins.values()):
        raise FlowError("the library has no tables of power", hint="a Liberty file with internal_power groups")
    return PowerLibrary(volt=volt, powers=powers, states=states)


def _powers(pin: Group, templates: dict[str, Group], units: tuple[float, float], rail: str) -> Iterator[Power]:
    time, load = units
    for group in pin.all("internal_power"):
        if group.text("related_pg_pin", rail) != rail:
            continue
        made: dict[str, Table | None] = {"rise_power": None, "fall_power": None}
        for table in group.groups:
            if table.kind in made:
                # a file's unit of energy is its unit of capacitance times a volt squared
                made[table.kind] = table_of(table, templates, time, load, 1e-3 * load)
        yield Power(source=group.text("related_pin"), rise=made["rise_power"], fall=made["fall_power"])


@dataclass(slots=True, kw_only=True)
class Spent:
    """What a run spent, pJ a cycle of one stream: inside cells, on nets, in flip-flops with their clock pins."""

    cells_pj: float = 0.0
    nets_pj: float = 0.0
    clock_pj: float = 0.0
    toggles: float = 0.0
    flops: int = 0

    @property
    def pj(self) -> float:
        """All of it."""
        return self.cells_pj + self.nets_pj + self.clock_pj


@dataclass(slots=True)
class _Net:
    load_ff: float = 0.0
    slew: float = 0.02
    driver: tuple[str, str] = ("", "")
    sinks: list[tuple[str, str]] = field(default_factory=list)


class GateLevel:
    """A mapped module, ready to run.

    Parameters
    ----------
    netlist : dict
        As `chanzi.flow.synth.Synthesis.netlist` returns it: cells of the library and nothing else.
    library : Library
    powers : PowerLibrary
    wires : bool
        Add an estimate of the nets' wires to the capacitance of the pins they drive.
    """

    def __init__(self, netlist: dict[str, Any], library: Library, powers: PowerLibrary, *, wires: bool = True) -> None:
        self.ports: dict[str, list[Any]] = {name: port["bits"] for name, port in netlist["ports"].items()}
        self._library, self._powers = library, powers
        self._nets: dict[int, _Net] = {}
        self._gates: list[tuple[Cell, dict[str, Any]]] = []
        self._flops: list[tuple[Cell, dict[str, Any]]] = []
        cells = list(netlist["cells"].values())
        kinds = [library.cells[c["type"]] for c in cells if c["type"] in library.cells]
        if len(kinds) != len([c for c in cells if not c["type"].startswith("$scopeinfo")]):
            strange = next(c["type"] for c in cells if c["type"] not in library.cells)
            raise FlowError(f"cannot simulate a cell of type {strange}", hint="a flat module of library cells")
        side = (sum(kind.area_um2 for kind in kinds) / max(len(kinds), 1) / _UTILIZATION) ** 0.5
        wire_ff = _WIRE_FF_PER_UM * _DETOUR * side if wires else 0.0
        for cell in cells:
            kind = library.cells.get(cell["type"])
            if kind is None:
                continue
            pins = {pin: bits[0] for pin, bits in cell["connections"].items() if bits}
            (self._flops if kind.state else self._gates).append((kind, pins))
            for pin, load in kind.loads_ff.items():
                if isinstance(pins.get(pin), int):
                    self._net(pins[pin]).load_ff += load + wire_ff
        self._settle_slews()
        self._price()
        self._code = self._compiled()

    def _net(self, number: int) -> _Net:
        return self._nets.setdefault(number, _Net())

    def _settle_slews(self) -> None:
        """Find each net's transition time from those before it, a few rounds over all gates."""
        for _ in range(_ROUNDS):
            for kind, pins in (*self._flops, *self._gates):
                for out in kind.functions:
                    net = pins.get(out)
                    if not isinstance(net, int):
                        continue
                    found = [
                        table.at(self._net(pins[arc.source]).slew, self._net(net).load_ff)
                        for arc in kind.arcs.get(out, ())
                        if isinstance(pins.get(arc.source), int)
                        for name, table in arc.tables.items()
                        if name.endswith("_transition")
                    ]
                    if found:
                        self._net(net).slew = sum(found) / len(found)

    def _price(self) -> None:
        """Work out what a change of each pin costs: pJ inside cells and on the net, up and down."""
        volt = self._powers.volt
        self._inside: dict[int, list[float]] = {}
        self._clock_pj = 0.0
        for kind, pins in (*self._gates, *self._flops):
            powers = self._powers.powers.get(kind.name, {})
            for pin, net in pins.items():
                if not isinstance(net, int) or not powers.get(pin):
                    continue
                up, down = (self._mean(powers[pin], which, pins, net) for which in ("rise", "fall"))
                if kind.state and pin == kind.clock:
                    self._clock_pj += up + down
                else:
                    priced = self._inside.setdefault(net, [0.0, 0.0])
                    priced[0] += up
                    priced[1] += down
            if kind.state:
                load = self._library.cells[kind.name].loads_ff.get(kind.clock, 0.0)
                self._clock_pj += 1e-3 * load * volt**2
        self._on_net = {number: 0.5e-3 * net.load_ff * volt**2 for number, net in self._nets.items()}

    def _mean(self, powers: Sequence[Power], which: str, pins: dict[str, Any], net: int) -> float:
        """Return the mean over what a pin's change may follow; a table of one axis asks for the pin's own slew."""
        found = []
        for power in powers:
            table = power.rise if which == "rise" else power.fall
            if table is None:
                continue
            source = pins.get(power.source, net) if power.source else net
            slew = self._net(source).slew if isinstance(source, int) else 0.02
            found.append(table.at(slew, self._net(net).load_ff))
        return sum(found) / len(found) if found else 0.0

    def _compiled(self) -> CodeType:
        """Return code of the gates, functions of the nets `v`, and of what flip-flops hold after an edge."""
        gates, edges = [], []
        self._follow: dict[int, list[int]] = {}
        for kind, pins in (*self._gates, *self._flops):
            for out, function in kind.functions.items():
                net = pins.get(out)
                if not isinstance(net, int):
                    continue
                self._net(net)
                if not kind.state:
                    for source in kind.loads_ff:
                        if isinstance(pins.get(source), int):
                            self._follow.setdefault(pins[source], []).append(len(gates))
                    gates.append(f"({net}, lambda v: {expression(function, pins)})")
                    continue
                state, opposite, following = self._powers.states[kind.name]
                inverted = function.strip(' "()') == opposite
                held = {state: net, opposite: net}
                text = expression(following, pins | held, inverted={state} if inverted else {opposite})
                edges.append(f"({net}, {f'F ^ ({text})' if inverted else text})")
        made = f"gates = [{', '.join(gates)}]\ndef edge(v):\n return [{', '.join(edges)}]"
        return compile(made, "netlist", "exec")

    def run(self, feeds: Sequence[Mapping[str, Sequence[int]]], streams: int, *, warm: int) -> tuple[Spent, Spent]:
        """Return what a cycle of a stream spends: with all glitches, and by what nets are when they have come to rest.

        Parameters
        ----------
        feeds : sequence of mapping
            For each cycle and port, its bits from the lowest on: integers whose bit i is that of stream i.
        streams : int
        warm : int
            First cycles that are not counted.
        """
        full = (1 << streams) - 1
        space: dict[str, Any] = {}
        v: dict[Any, int] = dict.fromkeys(self._nets, 0) | {"0": 0, "1": full, "x": 0}
        for bits in self.ports.values():
            v |= {b: 0 for b in bits if isinstance(b, int)}
        for _, pins in self._flops:
            v |= {net: 0 for net in pins.values() if isinstance(net, int)}
        space["F"] = full
        exec(self._code, space)  # noqa: S102 - code made from a netlist's own gates
        gates, edge, follow = space["gates"], space["edge"], self._follow
        ups, downs, rests, falls = (dict.fromkeys(v, 0) for _ in range(4))
        counting, moved = False, set(range(len(gates)))

        def change(net: int, value: int) -> None:
            old = v[net]
            if old != value:
                if counting:
                    ups[net] += (value & ~old).bit_count()
                    downs[net] += (old & ~value).bit_count()
                v[net] = value
                moved.update(follow.get(net, ()))

        for cycle, feed in enumerate(feeds):
            counting = cycle >= warm
            before = dict(v) if counting else {}
            for net, value in edge(v):
                change(net, value)
            for name, values in feed.items():
                for bit, value in zip(self.ports[name], values, strict=True):
                    if isinstance(bit, int):
                        change(bit, value)
            for _ in range(_MOST_STEPS):
                if not moved:
                    break
                found = [(gates[i][0], gates[i][1](v)) for i in moved]
                moved.clear()
                for net, value in found:
                    change(net, value)
            else:
                raise FlowError("the netlist does not come to rest", hint="is there a loop of gates in it?")
            for net, old in before.items():
                if old != v[net]:
                    rests[net] += (v[net] & ~old).bit_count()
                    falls[net] += (old & ~v[net]).bit_count()
        n = max(len(feeds) - warm, 1) * streams
        return self._spent(ups, downs, n), self._spent(rests, falls, n)

    def _spent(self, ups: Mapping[Any, int], downs: Mapping[Any, int], n: int) -> Spent:
        spent = Spent(clock_pj=self._clock_pj, flops=len(self._flops))
        for net, up in ups.items():
            down = downs[net]
            inside = self._inside.get(net, (0.0, 0.0))
            spent.cells_pj += (up * inside[0] + down * inside[1]) / n
            spent.nets_pj += (up + down) * self._on_net.get(net, 0.0) / n
            spent.toggles += (up + down) / n
        return spent


_WORD = re.compile(r"[A-Za-z_]\w*")


def expression(function: str, pins: Mapping[str, Any], *, inverted: Collection[str] = ()) -> str:
    """Return a Liberty function as Python on whole integers: ``v[...]`` the nets, ``F`` all ones.

    Names in `inverted` stand for the opposite of their net.
    """
    text = re.sub(r"(\w+)\s*'", r"!\1", function.replace("*", "&").replace("+", "|"))
    text = _WORD.sub(lambda m: f"{'~' if m[0] in inverted else ''}v[{pins[m[0]]!r}]", text)
    return f"F & ({text.replace('!', '~')})"
