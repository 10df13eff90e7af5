"""A chip's hardware through synthesis, module by module: each distinct one once, then counted by its instances.

Amaranth's RTLIL is cut into modules; a module sees its children as black boxes. Equal modules, such as the lanes of
the vector unit, are recognized by their text. The grid, whose cells are one flat module, is synthesized with 2 x 2 and
4 x 4 cells; cells of a type then grow as ``a D^2 + b D``. Mapped modules are kept by the hash of text and library.
"""

import hashlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from chanzi.errors import FlowError
from chanzi.flow.liberty import Library, parse, read_text
from chanzi.flow.synth_job import RECIPES
from chanzi.flow.synth_library import area_library, flop_liberty, genlib
from chanzi.flow.synth_timing import Defaults, Model, Route, analyse, defaults
from chanzi.settings import cache_dir

_MODULE = re.compile(r"(?:^attribute [^\n]*\n)*^module (\\\S+)\n(.*?)^end\n", re.MULTILINE | re.DOTALL)
_CHILD = re.compile(r"^  cell (\\\S+) (\S+)$", re.MULTILINE)
_WIRE = re.compile(r"^  wire[^\n]* (?:input|output) [^\n]*$", re.MULTILINE)
_SRC = re.compile(r"^ *attribute \\(?:src|generator|top) [^\n]*\n", re.MULTILINE)
_MACROS = ("\\chanzi_sram", "\\chanzi_code")
_UNWANTED = ("*lpflow*", "*dly*", "*probe*", "*macro*", "*bufinv*", "*TIE*")
_VERSION = "3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Technology:
    """A cell library with the files that yosys reads; without `files`, areas and levels only."""

    library: Library
    known: Defaults
    files: tuple[Path, ...]
    digest: str

    @property
    def timed(self) -> bool:
        """Whether delays are nanoseconds; else levels of logic."""
        return self.known.clock_to_q > 0


@dataclass(slots=True, kw_only=True)
class Block:
    """A mapped module without its children."""

    cells: Counter[str]
    memory_bits: int = 0
    memory_port_bits: int = 0
    macros: Counter[tuple[int, int]] = field(default_factory=Counter)
    children: list[tuple[str, str]] = field(default_factory=list)
    routes: dict[str, Route] = field(default_factory=dict)


def technology(liberty: tuple[Path, ...] = ()) -> Technology:
    """Return the library of Liberty files (several make one), or the wheel's areas.

    Raises
    ------
    FlowError
        A file is missing or no Liberty; it has no NAND, no flip-flop; the wheel is missing.
    """
    if not liberty:
        library = area_library()
        digest = hashlib.sha256(genlib(library).encode()).hexdigest()
        return Technology(library=library, known=defaults(library), files=(), digest=digest)
    texts = [read_text(path) for path in liberty]
    parts = [parse(text, name=path.name) for path, text in zip(liberty, texts, strict=True)]
    library = Library(name=parts[0].name, cells={n: c for part in parts for n, c in part.cells.items()})
    _ = library.nand2_um2
    if not any(c.state and c.clock and len(c.loads_ff) == 2 for c in library.cells.values()):
        raise FlowError(f"library {library.name} has no plain D flip-flop", hint="add the file of flip-flops")
    folder = cache_dir() / "liberty"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for text in texts:  # ABC reads no .gz
        plain = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.lib"
        if not plain.exists():
            _write(plain, text)
        files.append(plain)
    digest = hashlib.sha256("".join(p.name for p in files).encode()).hexdigest()
    return Technology(library=library, known=defaults(library), files=tuple(files), digest=digest)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


def rtlil_texts(design: Any, name: str) -> dict[str, str]:
    """Return the RTLIL of a component and of each block that it shares: module name -> text with all below it."""
    try:
        from amaranth.back import rtlil

        from chanzi.rtl.shared import collecting
    except ImportError as error:
        raise FlowError(f"{error.name} is not installed", hint="pip install 'chanzi[synth]'") from None
    with collecting() as blocks:
        texts = {name: rtlil.convert(design, name=name)}
        while missing := [block for block in blocks if block not in texts]:
            texts |= {block: rtlil.convert(blocks[block], name=block) for block in missing}
    return texts


def rtlil_of(design: Any, name: str) -> dict[str, str]:
    """Return the RTLIL of every module of a component, by its name."""
    texts = rtlil_texts(design, name)
    return {m[1][1:]: _SRC.sub("", m[0]) for text in texts.values() for m in _MODULE.finditer(text)}


@dataclass(frozen=True, slots=True)
class _Job:
    key: str
    text: str
    children: tuple[tuple[str, str, str], ...]  # instance, module, its name in the job


class Synthesis:
    """Maps modules to a technology, each distinct one once."""

    def __init__(self, modules: Mapping[str, str], tech: Technology, *, recipe: str, period_ns: float) -> None:
        self.modules, self.tech = modules, tech
        self.recipe = recipe if tech.files else "areas"
        if self.recipe not in RECIPES:
            raise FlowError(f"'{recipe}' is no aim of synthesis", hint="speed or area")
        self.period_ns = period_ns
        self._analysed: dict[str, tuple[Block, Model]] = {}
        self.jobs = {name: self._job(name) for name in modules}

    def _job(self, name: str) -> _Job:
        text = self.modules[name]
        children, stubs, renamed = [], [], text.replace(f"module \\{name}\n", "module \\top\n", 1)
        names: dict[str, str] = {}
        for kind, instance in _CHILD.findall(text):
            if kind in _MACROS or kind[1:] not in self.modules:
                continue
            if kind not in names:
                names[kind] = f"child{len(names)}"
                wires = "\n".join(_WIRE.findall(self.modules[kind[1:]]))
                stubs.append(f"attribute \\blackbox 1\nattribute \\keep 1\nmodule \\{names[kind]}\n{wires}\nend\n")
            children.append((instance, kind[1:], names[kind]))
        for kind, new in names.items():
            renamed = renamed.replace(f"  cell {kind} ", f"  cell \\{new} ")
        whole = renamed + "".join(stubs)
        parts = (whole, self.tech.digest, RECIPES[self.recipe], f"{self.period_ns:.4f}", _VERSION)
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return _Job(key, whole, tuple(children))

    def run(self, done: Callable[[int], None] = lambda _: None, *, leave: frozenset[str] = frozenset()) -> None:
        """Map every module that is not in the cache, except those to `leave` out."""
        wanted = {job.key: job for name, job in self.jobs.items() if name not in leave}
        missing = [job for job in wanted.values() if not self._kept(job.key).exists()]
        done(len(wanted) - len(missing))
        missing.sort(key=lambda job: -len(job.text))
        with ThreadPoolExecutor(max(1, min(4, (os.cpu_count() or 2)))) as pool:
            for _ in pool.map(self._map, missing):
                done(1)

    @property
    def distinct(self) -> int:
        """How many different modules there are."""
        return len({job.key for job in self.jobs.values()})

    def _kept(self, key: str) -> Path:
        return cache_dir() / "synth" / f"{key}.json"

    def _map(self, job: _Job) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "module.il").write_text(job.text)
            order = {
                "folder": name,
                "rtlil": f"{name}/module.il",
                "result": f"{name}/mapped.json",
                "recipe": self.recipe,
                "period_ps": 1e3 * self.period_ns,
                "liberty": [str(p) for p in self.tech.files],
                "flop_liberty": [str(p) for p in self._flop_files(folder)],
                "genlib": "",
                "driver": self._driver() if self.tech.files else "",
                "load_ff": round(self.tech.known.load, 3),
                "dont_use": list(_UNWANTED),
            }
            if not self.tech.files:
                (folder / "areas.genlib").write_text(genlib(self.tech.library))
                order["genlib"] = f"{name}/areas.genlib"
            (folder / "job.json").write_text(json.dumps(order))
            ran = subprocess.run(
                [sys.executable, "-m", "chanzi.flow.synth_job", f"{name}/job.json"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            result = folder / "mapped.json"
            if ran.returncode or not result.exists():
                if "No module named 'pyosys'" in ran.stderr:
                    raise FlowError("yosys is not installed", hint="pip install 'chanzi[synth]'")
                last = (ran.stderr.strip().splitlines() or ["no message"])[-1][:300]
                raise FlowError(f"yosys stopped: {last}", hint="is the library complete? it needs gates and flip-flops")
            mapped = json.loads(result.read_text())["modules"]["top"]
            _write(self._kept(job.key), json.dumps(_slim(mapped), separators=(",", ":")))

    def _flop_files(self, folder: Path) -> list[Path]:
        if not self.tech.files:
            (folder / "flop.lib").write_text(flop_liberty(self.tech.library))
            return [folder / "flop.lib"]
        return list(self.tech.files)

    def _driver(self) -> str:
        single = [
            c for c in self.tech.library.cells.values()
            if not c.state and len(c.loads_ff) == 1 and len(c.functions) == 1 and "buf" in c.name.lower()
        ]  # fmt: skip
        return sorted(single or self.tech.library.cells.values(), key=lambda c: c.area_um2)[len(single) // 3].name

    def netlist(self, name: str) -> dict[str, Any]:
        """Return a mapped module, its children under their own names."""
        job = self.jobs[name]
        mapped = json.loads(self._kept(job.key).read_text())
        own = {new: kind for _, kind, new in job.children}
        for cell in mapped["cells"].values():
            cell["type"] = own.get(cell["type"], cell["type"])
        return mapped

    def flat(self, name: str) -> dict[str, Any]:
        """Return a mapped module with its children's cells in their place: library cells and nothing else."""
        same: dict[Any, Any] = {}
        cells: dict[str, Any] = {}
        fresh = count(2)

        def root(bit: Any) -> Any:
            while bit in same:
                bit = same[bit]
            return bit

        def place(module: str, outside: Mapping[str, list[Any]], path: str) -> dict[str, Any]:
            mapped = self.netlist(module)
            own: dict[Any, Any] = {}

            def net(bit: Any) -> Any:
                return bit if isinstance(bit, str) else own.setdefault(bit, next(fresh))

            for port, bits in outside.items():
                for inner, outer in zip(mapped["ports"][port]["bits"], bits, strict=True):
                    a, b = root(net(inner)), root(outer)
                    if a != b:  # a constant stays, a net gives way
                        same.update({b: a} if isinstance(a, str) else {a: b})
            for instance, cell in mapped["cells"].items():
                pins = {pin: [net(bit) for bit in bits] for pin, bits in cell["connections"].items()}
                if cell["type"] in self.modules:
                    place(cell["type"], pins, f"{path}{instance}.")
                else:
                    cells[path + instance] = {"type": cell["type"], "connections": pins}
            return {
                port: {"direction": p["direction"], "bits": [net(bit) for bit in p["bits"]]}
                for port, p in mapped["ports"].items()
            }

        ports = place(name, {}, "")
        for port in ports.values():
            port["bits"] = [root(bit) for bit in port["bits"]]
        for cell in cells.values():
            cell["connections"] = {pin: [root(bit) for bit in bits] for pin, bits in cell["connections"].items()}
        return {"ports": ports, "cells": cells}

    def block(self, name: str) -> tuple[Block, Model]:
        """Return a module's cells and timing; its children's are found first."""
        if name not in self._analysed:
            models = {kind: self.block(kind)[1] for _, kind, _ in self.jobs[name].children}
            self._analysed[name] = self.examine(self.netlist(name), models)
        return self._analysed[name]

    def give(self, name: str, block: Block, model: Model) -> None:
        """Say what a module that was left out is."""
        self._analysed[name] = (block, model)

    def total(self, name: str) -> Block:
        """Return a module with all that is in it; its routes are the longest of each kind."""
        own, _ = self.block(name)
        whole = Block(
            cells=Counter(own.cells), memory_bits=own.memory_bits, memory_port_bits=own.memory_port_bits,
            macros=Counter(own.macros), routes=dict(own.routes),
        )  # fmt: skip
        for _, kind, _ in self.jobs[name].children:
            part = self.total(kind)
            whole.cells.update(part.cells)
            whole.macros.update(part.macros)
            whole.memory_bits += part.memory_bits
            whole.memory_port_bits += part.memory_port_bits
            for what, route in part.routes.items():
                if what not in whole.routes or route.delay >= whole.routes[what].delay:
                    whole.routes[what] = route
        return whole

    def knows(self, name: str) -> bool:
        """Return whether a module has been examined or given."""
        return name in self._analysed

    def examine(self, mapped: dict[str, Any], models: Mapping[str, Model]) -> tuple[Block, Model]:
        """Return what a mapped module holds, and its timing."""
        block = Block(cells=Counter())
        for instance, cell in mapped["cells"].items():
            kind = cell["type"]
            if kind in self.tech.library.cells or kind in ("ZERO", "ONE"):
                block.cells[kind] += 1
            elif kind in models:
                block.children.append((instance, kind))
            elif kind.startswith("$mem"):
                bits = int(cell["parameters"]["WIDTH"], 2) * int(cell["parameters"]["SIZE"], 2)
                block.memory_bits += bits
                block.memory_port_bits += bits * int(cell["parameters"]["RD_PORTS"], 2)
            elif f"\\{kind}" in _MACROS:
                size = {k: int(str(v), 2) for k, v in cell["parameters"].items()}
                block.macros[(size["DEPTH"], 8 * size["WORD"] if "WORD" in size else 2048)] += 1
            elif not kind.startswith("$scopeinfo"):
                raise FlowError(
                    f"synthesis left a cell of type {kind}", hint=f"{self.tech.library.name} lacks what it needs"
                )
        timing = analyse(mapped, self.tech.library, dict(models), self.tech.known)
        block.routes = timing.routes
        return block, timing.model


def _slim(mapped: dict[str, Any]) -> dict[str, Any]:
    """Return a netlist with what is used here."""
    cells = {
        name: {
            "type": c["type"],
            "connections": c["connections"],
            **({"port_directions": c["port_directions"]} if "port_directions" in c else {}),
            **({"parameters": c["parameters"]} if c.get("parameters") else {}),
        }
        for name, c in mapped["cells"].items()
    }
    nets = {n: {"hide_name": v["hide_name"], "bits": v["bits"]} for n, v in mapped["netnames"].items()}
    ports = {n: {"direction": v["direction"], "bits": v["bits"]} for n, v in mapped["ports"].items()}
    return {"ports": ports, "cells": cells, "netnames": nets}


def grow(two: Block, four: Block, dim: int) -> Counter[str]:
    """Return the cells of a grid of `dim` from those of 2 x 2 and 4 x 4: ``a D^2 + b D`` of each type."""
    grown: Counter[str] = Counter()
    for kind in two.cells | four.cells:
        n2, n4 = two.cells[kind], four.cells[kind]
        a = (n4 - 2 * n2) / 8  # 4a + 2b = n2, 16a + 4b = n4
        b = (n2 - 4 * a) / 2
        grown[kind] = max(0, round(a * dim * dim + b * dim))
    return grown


def widened(model: Model, text: str, dim: int, known: Defaults) -> Model:
    """Return a 4 x 4 grid's model for the ports of a larger one, whose read-out multiplexer is deeper."""
    more = known.mux * max(0.0, math.log2(dim / 4))
    worst_in: dict[str, float] = {}
    for (port, _), value in model.required.items():
        worst_in[port] = max(value, worst_in.get(port, 0.0))
    sums = max((v for (p, _), v in model.arrival.items() if p == "sums"), default=0.0) + more
    rows = max((v for ways in model.through.values() for v in ways.values()), default=0.0) + more
    made = Model()
    for direction, port, width in ports_of_text(text):
        for i in range(width):
            if direction == "input" and port in worst_in:
                made.required[(port, i)] = worst_in[port]
            if direction == "output":
                made.arrival[(port, i)] = sums
        if port == "row":
            made.through[port] = {("sums", i): rows for i in range(32 * dim)}
    return made


def ports_of_text(text: str) -> list[tuple[str, str, int]]:
    """Return (direction, name, width) of a module's ports."""
    found = []
    for line in _WIRE.findall(text):
        words = line.split()
        width = int(words[words.index("width") + 1]) if "width" in words else 1
        found.append(("input" if "input" in words else "output", words[-1][1:], width))
    return found
