"""Static timing of a mapped module: NLDM tables, both edges, flip-flops' clock-to-output and setup; no wires.

Modules are analysed one by one, from the leaves up: a child is seen by its parent as the latest arrival of each output
after the clock, the longest way from each input to a register within, and the ways straight through. A net whose load
is more than its driver should carry gets the delay of an ideal tree of buffers instead.

A library without tables gives levels: every cell but a flip-flop counts one.
"""

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from chanzi.flow.liberty import Arc, Cell, Library

FANOUT = 8
"""Branches of an ideal buffer."""
_EDGES = ("rise", "fall")
_NEVER = -math.inf


@dataclass(slots=True)
class Model:
    """A module as its parents see it, in ns (or levels); bits are (port, index)."""

    arrival: dict[tuple[str, int], float] = field(default_factory=dict)
    required: dict[tuple[str, int], float] = field(default_factory=dict)
    through: dict[str, dict[tuple[str, int], float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The longest way between registers, or into or out of a module."""

    delay: float
    start: str
    end: str
    cells: int
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Longest paths of a module by kind (``inside``, ``in``, ``out``, ``across``) and its model."""

    routes: dict[str, Route]
    model: Model


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a library's typical gates do: for ports, nets of high fan-out and memories."""

    slew: float
    load: float
    buffer: float
    clock_to_q: float
    setup: float
    mux: float


def defaults(library: Library) -> Defaults:
    """Return a library's typical figures; without tables, levels."""
    inverters = [c for c in library.cells.values() if _single(c, "!")]
    buffers = [c for c in library.cells.values() if _single(c, "")]
    if not any(a.tables for c in inverters for arcs in c.arcs.values() for a in arcs):
        return Defaults(0.0, 1.0, 1.0, 0.0, 0.0, 1.0)
    inverter = min(inverters, key=lambda c: c.area_um2)
    load = 4 * next(iter(inverter.loads_ff.values()))
    arc = next(a for arcs in inverter.arcs.values() for a in arcs)
    rows = arc.tables["cell_rise"].rows
    slew = rows[min(2, len(rows) - 1)]
    middle = sorted(buffers, key=lambda c: c.area_um2)[len(buffers) // 3]
    pin = next(iter(middle.loads_ff))
    buffer = max(_lookup(middle, pin, slew, FANOUT * middle.loads_ff[pin]))
    flop = min((c for c in library.cells.values() if c.state and _plain_flop(c)), key=lambda c: c.area_um2)
    output = next(iter(flop.functions))
    clock_to_q = max(_lookup(flop, output, slew, load, output=True))
    return Defaults(slew, load, buffer, clock_to_q, _setup(flop, slew), 1.2 * buffer)


def _single(cell: Cell, sign: str) -> bool:
    if cell.state or len(cell.loads_ff) != 1 or len(cell.functions) != 1:
        return False
    pin, text = next(iter(cell.loads_ff)), re.sub(r'[\s()"]', "", next(iter(cell.functions.values())))
    return text == sign + pin and not re.search(r"dly|dlclk|lpflow|probe", cell.name)


def _plain_flop(cell: Cell) -> bool:
    return bool(cell.clock) and len(cell.loads_ff) == 2


def _lookup(cell: Cell, pin: str, slew: float, load: float, *, output: bool = False) -> list[float]:
    arcs = cell.arcs[pin] if output else next(a for a in cell.arcs.values() if a)
    return [a.tables[f"cell_{e}"].at(slew, load) for a in arcs for e in _EDGES if f"cell_{e}" in a.tables] or [0.0]


def _setup(cell: Cell, slew: float) -> float:
    found = [0.0]
    for arcs in cell.arcs.values():
        for arc in arcs:
            if arc.kind.startswith("setup"):
                found += [t.at(slew, slew) for t in arc.tables.values()]
    return max(found)


class _Module:
    """One module's graph; nodes are (net, edge) as ``2 * net + edge``."""

    def __init__(self, netlist: dict[str, Any], library: Library, models: dict[str, Model], known: Defaults) -> None:
        self.netlist, self.library, self.models, self.known = netlist, library, models, known
        self.levels = known.clock_to_q == 0.0
        self.virtual = 1 + max(
            [b for n in netlist["netnames"].values() for b in n["bits"] if isinstance(b, int)]
            + [b for c in netlist["cells"].values() for bits in c["connections"].values() for b in bits
               if isinstance(b, int)]
            + [1]
        )  # fmt: skip
        self.load: dict[int, float] = defaultdict(float)
        self.starts: dict[int, float] = {}
        self.ends: dict[int, float] = {}
        self.arcs: list[tuple[int, int, float]] = []
        self.slew: dict[int, float] = {}
        self.outside_in: dict[int, tuple[str, int]] = {}
        self.outside_out: list[tuple[int, tuple[str, int]]] = []
        self._fixed: list[tuple[int, list[tuple[int, float]]]] = []
        self.names: dict[int, str] = {}
        self.registers: dict[int, str] = {}
        self._gather()

    def _gather(self) -> None:
        for name, net in sorted(self.netlist["netnames"].items(), key=lambda item: item[1].get("hide_name", 0)):
            for i, bit in enumerate(net["bits"]):
                if isinstance(bit, int):
                    self.names.setdefault(bit, f"{name}[{i}]" if len(net["bits"]) > 1 else name)
        for name, port in self.netlist["ports"].items():
            for i, bit in enumerate(port["bits"]):
                if isinstance(bit, int):
                    if port["direction"] == "input":
                        self.outside_in[bit] = (name, i)
                    else:
                        self.load[bit] += self.known.load
                        self.outside_out.append((bit, (name, i)))
        self.gates: list[tuple[Cell, dict[str, Any]]] = []
        for cell in self.netlist["cells"].values():
            pins, kind = cell["connections"], cell["type"]
            if kind in self.library.cells:
                known = self.library.cells[kind]
                for pin, load in known.loads_ff.items():
                    for bit in pins.get(pin, ()):
                        if isinstance(bit, int):
                            self.load[bit] += load
                self.gates.append((known, {p: b[0] for p, b in pins.items() if b}))
            else:
                self._block(cell, kind, pins)

    def _block(self, cell: dict[str, Any], kind: str, pins: dict[str, list]) -> None:
        """Take a child, an SRAM or a small memory as starts, ends and ways through."""
        model = self.models.get(kind)
        if model is None:
            model = _memory_model(kind, cell, self.known)
        for port, bits in pins.items():
            ways = model.through.get(port)
            if ways:
                self.virtual += 1
                port_net = self.virtual
                for bit in bits:
                    if isinstance(bit, int):
                        self._fixed.append((bit, [(port_net, 0.0)]))
                out = [
                    (pins[q][i], delay)
                    for (q, i), delay in ways.items()
                    if q in pins and i < len(pins[q]) and isinstance(pins[q][i], int)
                ]
                self._fixed.append((port_net, out))
            for i, bit in enumerate(bits):
                if not isinstance(bit, int):
                    continue
                if (port, i) in model.required:
                    self._end(bit, model.required[(port, i)])
                if (port, i) in model.arrival:
                    self._start(bit, model.arrival[(port, i)])
                if (port, i) in model.required or ways:
                    self.load[bit] += self.known.load

    def _start(self, net: int, at: float, edge: int | None = None) -> None:
        for e in (0, 1) if edge is None else (edge,):
            self.starts[2 * net + e] = max(at, self.starts.get(2 * net + e, _NEVER))

    def _end(self, net: int, at: float) -> None:
        for e in (0, 1):
            self.ends[2 * net + e] = max(at, self.ends.get(2 * net + e, _NEVER))

    def _net(self, cell: Cell, net: int) -> tuple[float, float]:
        """Return (load the driver sees, delay of the buffers behind it)."""
        load = self.load[net]
        if self.levels:
            return load, 0.0
        most = min(cell.max_load_ff / 2 or math.inf, 4 * FANOUT * self.known.load / 4)
        if load <= most:
            return load, 0.0
        return most, self.known.buffer * math.ceil(math.log(load / most) / math.log(FANOUT) - 1e-9)

    def build(self) -> None:
        """Find the order of the gates and the delay of every arc, with the slews that reach it."""
        following: dict[int, list[int]] = defaultdict(list)
        waits: list[int] = []
        jobs: list[tuple] = []
        for cell, pins in self.gates:
            if cell.state:
                self._flop(cell, pins)
                continue
            inputs = [p for p in cell.loads_ff if isinstance(pins.get(p), int)]
            self._job(jobs, waits, following, [pins[p] for p in inputs], (cell, pins, inputs))
        for net, out in self._fixed:
            self._job(jobs, waits, following, [net], (None, net, out))
        gone: dict[int, int] = defaultdict(int)  # drivers of a net that are still to come
        for job in jobs:
            for out in _outputs(job):
                gone[out] += 1
        ready = [i for i, (job, inputs) in enumerate(jobs) if all(not gone[n] for n in inputs)]
        for i, (_, inputs) in enumerate(jobs):
            waits[i] = sum(1 for n in inputs if gone[n])
        while ready:
            job, _ = jobs[ready.pop()]
            self._evaluate(job)
            for out in _outputs((job, ())):
                gone[out] -= 1
                if not gone[out]:
                    for i in following[out]:
                        waits[i] -= 1
                        if not waits[i]:
                            ready.append(i)

    @staticmethod
    def _job(jobs: list, waits: list, following: dict, inputs: list[int], job: tuple) -> None:
        unique = list(dict.fromkeys(inputs))
        for net in unique:
            following[net].append(len(jobs))
        jobs.append((job, unique))
        waits.append(0)

    def _flop(self, cell: Cell, pins: dict[str, Any]) -> None:
        slew = self.known.slew
        for pin, net in pins.items():
            if not isinstance(net, int):
                continue
            if pin in cell.functions:
                load, extra = self._net(cell, net)
                for arc in cell.arcs.get(pin, ()):
                    for e, edge in enumerate(_EDGES):
                        if (table := arc.tables.get(f"cell_{edge}")) is not None:
                            self._start(net, table.at(slew, load) + extra, e)
                            self._slew(2 * net + e, arc, edge, slew, load)
                if self.levels:
                    self._start(net, 0.0)
            elif pin != cell.clock:
                self._end(net, max(0.0, _setup(cell, 2 * slew)))
                outputs = [pins[o] for o in cell.functions if isinstance(pins.get(o), int)]
                self.registers[net] = next((self.names[o] for o in outputs if o in self.names), "?")

    def _slew(self, node: int, arc: Arc, edge: str, slew: float, load: float) -> None:
        if (table := arc.tables.get(f"{edge}_transition")) is not None:
            self.slew[node] = max(self.slew.get(node, 0.0), table.at(slew, load))

    def _evaluate(self, job: tuple) -> None:
        cell, pins, inputs = job
        if cell is None:
            for out, delay in inputs:
                self.arcs += [(2 * pins + e, 2 * out + e, delay) for e in (0, 1)]
            return
        for out in cell.functions:
            net = pins.get(out)
            if not isinstance(net, int):
                continue
            if self.levels:
                self.arcs += [(2 * pins[p] + e, 2 * net + e, 1.0) for p in inputs for e in (0, 1)]
                continue
            load, extra = self._net(cell, net)
            found: dict[tuple[int, int], float] = {}
            for arc in cell.arcs.get(out, ()):
                source = pins.get(arc.source)
                if not isinstance(source, int):
                    continue
                for e, edge in enumerate(_EDGES):
                    table = arc.tables.get(f"cell_{edge}")
                    if table is None:
                        continue
                    for f in {"positive_unate": (e,), "negative_unate": (1 - e,)}.get(arc.sense, (0, 1)):
                        slew = self.slew.get(2 * source + f, self.known.slew)
                        key = (2 * source + f, 2 * net + e)
                        found[key] = max(found.get(key, 0.0), table.at(slew, load) + extra)
                        self._slew(2 * net + e, arc, edge, slew, load if not extra else self.known.load)
            self.arcs += [(a, b, d) for (a, b), d in found.items()]

    def forward(self, starts: dict[int, float]) -> tuple[dict[int, float], dict[int, int]]:
        """Return the latest arrival of each node and where it came from."""
        at, came = dict(starts), {}
        get = at.get
        for a, b, delay in self.arcs:
            there = get(a)
            if there is not None and there + delay > get(b, _NEVER):
                at[b] = there + delay
                came[b] = a
        return at, came

    def backward(self) -> dict[int, float]:
        """Return the longest way from each node to a register within."""
        left = dict(self.ends)
        get = left.get
        for a, b, delay in reversed(self.arcs):
            there = get(b)
            if there is not None and there + delay > get(a, _NEVER):
                left[a] = there + delay
        return left

    def ending(self, node: int) -> str:
        """Return a name for what a way ends at: the net's, or that of the register behind it."""
        name = self.names.get(node // 2, "$")
        return self.registers.get(node // 2, name) if name.startswith("$") else name

    def path(self, came: dict[int, int], node: int, delay: float, end: str) -> Route:
        """Return the way that leads to a node."""
        steps = [node]
        while steps[-1] in came and len(steps) < 10_000:
            steps.append(came[steps[-1]])
        names = [self.names[s // 2] for s in reversed(steps) if s // 2 in self.names]
        shown = tuple(dict.fromkeys(n for n in names if not n.startswith("$")))
        start = names[0] if names else "?"
        return Route(delay=delay, start=start, end=end, cells=len(steps) - 1, through=shown[:12])


def _outputs(job: tuple) -> list[int]:
    cell, pins, inputs = job[0]
    if cell is None:
        return [out for out, _ in inputs]
    return [pins[o] for o in cell.functions if isinstance(pins.get(o), int)]


def _memory_model(kind: str, cell: dict[str, Any], known: Defaults) -> Model:
    """Memories: an SRAM has registers at its ports, a small memory reads through a tree of multiplexers."""
    model = Model()
    for port, bits in cell["connections"].items():
        direction = cell.get("port_directions", {}).get(port, "output" if port in ("rdata", "RD_DATA") else "input")
        for i in range(len(bits)):
            if direction == "output":
                model.arrival[(port, i)] = known.clock_to_q * (4 if kind.startswith("chanzi_") else 1)
            else:
                model.required[(port, i)] = known.setup
    if kind.startswith("$mem"):
        depth = int(cell["parameters"]["SIZE"], 2)
        deep = math.ceil(math.log2(max(2, depth))) * known.mux
        read = {("RD_DATA", i): deep + known.buffer for i in range(len(cell["connections"]["RD_DATA"]))}
        for i in range(len(cell["connections"]["RD_DATA"])):
            model.arrival[("RD_DATA", i)] = known.clock_to_q + deep
        model.through["RD_ADDR"] = read
        for i in range(len(cell["connections"]["RD_ADDR"])):
            model.required.pop(("RD_ADDR", i), None)
    return model


def analyse(netlist: dict[str, Any], library: Library, models: dict[str, Model], known: Defaults) -> Timing:
    """Return the longest paths of a mapped module (as yosys writes it in JSON) and its model.

    `models` has the module's children.
    """
    module = _Module(netlist, library, models, known)
    module.build()
    paths: dict[str, Route] = {}
    at, came = module.forward(module.starts)
    model = Model()
    worst = max(module.ends, key=lambda n: at.get(n, _NEVER) + module.ends[n], default=None)
    if worst is not None and worst in at:
        name = module.ending(worst)
        paths["inside"] = module.path(came, worst, at[worst] + module.ends[worst], name)
    for net, bit in module.outside_out:
        found = [at[2 * net + e] for e in (0, 1) if 2 * net + e in at]
        if found:
            model.arrival[bit] = max(found)
            if model.arrival[bit] > paths.get("out", _NO_ROUTE).delay:
                node = max((2 * net, 2 * net + 1), key=lambda n: at.get(n, _NEVER))
                paths["out"] = module.path(came, node, at[node], f"{bit[0]}[{bit[1]}]")
    left = module.backward()
    for net, bit in module.outside_in.items():
        found = [left[2 * net + e] for e in (0, 1) if 2 * net + e in left]
        if found:
            model.required[bit] = max(found)
    entry: dict[int, float] = {2 * n + e: 0.0 for n in module.outside_in for e in (0, 1)}
    at_in, came_in = module.forward(entry)
    end = max(module.ends, key=lambda n: at_in.get(n, _NEVER) + module.ends[n], default=None)
    if end is not None and end in at_in:
        name = module.ending(end)
        paths["in"] = module.path(came_in, end, at_in[end] + module.ends[end], name)
    reached = [(at_in[n], n, bit) for net, bit in module.outside_out for n in (2 * net, 2 * net + 1) if n in at_in]
    if reached:
        delay, node, bit = max(reached)
        paths["across"] = module.path(came_in, node, delay, f"{bit[0]}[{bit[1]}]")
        ports: dict[str, list[int]] = defaultdict(list)
        for net, (port, _) in module.outside_in.items():
            ports[port].append(net)
        for port, nets in ports.items():
            there, _ = module.forward({2 * n + e: 0.0 for n in nets for e in (0, 1)})
            ways = {}
            for net, bit in module.outside_out:
                arrivals = [there[2 * net + e] for e in (0, 1) if 2 * net + e in there]
                if arrivals:
                    ways[bit] = max(arrivals)
            if ways:
                model.through[port] = ways
    return Timing(routes=paths, model=model)


_NO_ROUTE = Route(delay=_NEVER, start="", end="", cells=0)
