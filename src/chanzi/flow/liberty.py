"""Liberty files: what of a cell library synthesis and timing need, and nothing else.

Areas, pin capacitances, functions, delay and transition tables, setup tables. Units are um2, ns and fF, whatever the
file's are.
"""

import gzip
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chanzi.errors import FlowError

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s(){};:,"]+|[(){};:,]', re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_PLAIN = re.compile(r'"|-?[\d.]')
_WANTED = {
    "library", "cell", "pin", "timing", "ff", "latch", "lu_table_template",
    "cell_rise", "cell_fall", "rise_transition", "fall_transition", "rise_constraint", "fall_constraint",
}  # fmt: skip
_TABLES = ("cell_rise", "cell_fall", "rise_transition", "fall_transition", "rise_constraint", "fall_constraint")
_TIME_NS = {"ns": 1.0, "ps": 1e-3, "us": 1e3}
_LOAD_FF = {"ff": 1.0, "pf": 1e3}


@dataclass(slots=True)
class Group:
    """A group of a Liberty file: its name, arguments, attributes and the groups in it."""

    kind: str
    arguments: list[str]
    values: dict[str, list[str]] = field(default_factory=dict)
    groups: list["Group"] = field(default_factory=list)

    def all(self, kind: str) -> Iterator["Group"]:
        """Yield the groups of a kind."""
        return (g for g in self.groups if g.kind == kind)

    def text(self, name: str, default: str = "") -> str:
        """Return an attribute's first value."""
        return self.values.get(name, [default])[0]


@dataclass(frozen=True, slots=True)
class Table:
    """A table over one or two axes; beyond its ends the last slope goes on."""

    rows: tuple[float, ...]
    columns: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, row: float, column: float) -> float:
        """Return the value between the entries."""
        i, u = _between(self.rows, row)
        j, v = _between(self.columns, column)
        low = self.values[i]
        first = low[j] + v * (low[j + 1] - low[j]) if v else low[j]
        if not u:
            return first
        high = self.values[i + 1]
        second = high[j] + v * (high[j + 1] - high[j]) if v else high[j]
        return first + u * (second - first)


def _between(axis: tuple[float, ...], at: float) -> tuple[int, float]:
    if len(axis) < 2:
        return 0, 0.0
    i = min(max(bisect_right(axis, at) - 1, 0), len(axis) - 2)
    return i, (at - axis[i]) / (axis[i + 1] - axis[i])


@dataclass(frozen=True, slots=True)
class Arc:
    """From one pin to another: ``tables["cell_rise"]`` and so on, `sense` as Liberty writes it."""

    source: str
    sense: str
    kind: str
    tables: dict[str, Table]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: `functions` of its outputs, `loads_ff` of its inputs, arcs by the pin they end at."""

    name: str
    area_um2: float
    loads_ff: dict[str, float]
    functions: dict[str, str]
    arcs: dict[str, tuple[Arc, ...]]
    clock: str = ""
    state: bool = False
    max_load_ff: float = 0.0


@dataclass(frozen=True, slots=True)
class Library:
    """Cells by name."""

    name: str
    cells: dict[str, Cell]

    @property
    def nand2_um2(self) -> float:
        """Area of the smallest two-input NAND: the unit that gates are counted in."""
        found = [c.area_um2 for c in self.cells.values() if _is_nand2(c)]
        if not found:
            raise FlowError(f"library {self.name} has no two-input NAND", hint="name the file that has the plain gates")
        return min(found)


def _is_nand2(cell: Cell) -> bool:
    if len(cell.loads_ff) != 2 or len(cell.functions) != 1 or cell.state:
        return False
    text = re.sub(r'[\s"]', "", next(iter(cell.functions.values())))
    text = re.sub(r"\((!?\w+)\)", r"\1", text)
    a, b = sorted(cell.loads_ff)
    return text.removeprefix("(") in {
        form + end for x, y in ((a, b), (b, a)) for form in (f"!({x}&{y})", f"!({x}*{y})", f"!{x}|!{y}", f"!{x}+!{y}")
        for end in ("", ")")
    }  # fmt: skip


def read_text(path: Path) -> str:
    """Return a Liberty file's text; ``.gz`` is unpacked.

    Raises
    ------
    FlowError
        There is no such file, or it is not text.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        return data.decode("utf-8", errors="strict")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise FlowError(
            f"{path} cannot be read: {error}", hint="--liberty names a Liberty file, .lib or .lib.gz"
        ) from None


def parse(text: str, *, name: str = "library") -> Library:
    """Return the cells of a Liberty file.

    Raises
    ------
    FlowError
        The text is not Liberty.
    """
    try:
        top = group_tree(text)
        found = _library(top, name) if top is not None and top.kind == "library" else None
    except (IndexError, KeyError, ValueError):
        found = None
    if found is None:
        raise FlowError(f"{name} is no Liberty file", hint='library ("...") { cells } with matching braces')
    return found


def _library(top: Group, name: str) -> Library:
    time, load = units_of(top)
    templates = {t.arguments[0]: t for t in top.all("lu_table_template") if t.arguments}
    found = (_cell(group, templates, time, load) for group in top.all("cell"))
    return Library(name=top.arguments[0] if top.arguments else name, cells={cell.name: cell for cell in found})


def units_of(top: Group) -> tuple[float, float]:
    """Return a library's units of time and capacitance in ns and fF."""
    time = _unit(top.text("time_unit", "1ns"), _TIME_NS)
    load_values = top.values.get("capacitive_load_unit", ["1", "pf"])
    return time, float(load_values[0]) * _LOAD_FF.get(load_values[-1].lower(), 1e3)


def _unit(text: str, units: dict[str, float]) -> float:
    found = re.fullmatch(r"([\d.eE+-]*)\s*([a-zA-Z]+)", text)
    return (float(found[1] or 1) * units.get(found[2].lower(), 1.0)) if found else 1.0


def group_tree(text: str, wanted: Collection[str] = _WANTED) -> Group | None:
    """Return the outermost group of a text with those inside it that are `wanted`; None where braces do not match."""
    tokens = _TOKEN.findall(_COMMENT.sub(" ", text).replace("\\\n", " ").replace("\\\r\n", " "))
    stack: list[Group] = []
    at, n = 0, len(tokens)
    while at < n:
        token = tokens[at]
        if token == "}":
            done = stack.pop()
            if not stack:
                return done
            at += 1
        elif token in (";", ","):
            at += 1
        elif tokens[at + 1] == ":":
            end = at + 3  # some files end a line without a semicolon: then the value is one token
            while not _PLAIN.match(tokens[at + 2]) and tokens[end] not in (";", "}"):
                end += 1
            stack[-1].values[token] = [" ".join(tokens[at + 2 : end]).strip('"')]
            at = end
        elif tokens[at + 1] == "(":
            end = tokens.index(")", at + 2)
            arguments = [t.strip('"') for t in tokens[at + 2 : end] if t != ","]
            if end + 1 < n and tokens[end + 1] == "{":
                if token not in wanted:
                    at = _skip(tokens, end + 1)
                    continue
                group = Group(token, arguments)
                if stack:
                    stack[-1].groups.append(group)
                stack.append(group)
                at = end + 2
            else:
                if stack:
                    stack[-1].values[token] = arguments
                at = end + 1
        else:
            at += 1
    return None


def _skip(tokens: list[str], at: int) -> int:
    depth = 0
    while True:
        if tokens[at] == "{":
            depth += 1
        elif tokens[at] == "}":
            depth -= 1
            if not depth:
                return at + 1
        at += 1


def _numbers(values: list[str]) -> list[float]:
    return [float(part) for value in values for part in value.replace(",", " ").split()]


def table_of(group: Group, templates: dict[str, Group], time: float, load: float, scale: float) -> Table | None:
    """Return a table over (ns, fF), its values times `scale`; None where it is not whole."""
    template = templates.get(group.arguments[0]) if group.arguments else None
    axes = []
    for i in (1, 2):
        values = group.values.get(f"index_{i}") or (template.values.get(f"index_{i}") if template else None)
        what = template.text(f"variable_{i}") if template else ""
        axes.append((what, [x * (load if "capacitance" in what else time) for x in _numbers(values or [])]))
    if "values" not in group.values:
        return None
    flat = [scale * x for x in _numbers(group.values["values"])]
    (first, rows), (_, columns) = axes
    columns, rows = columns or [0.0], rows or [0.0]
    if len(flat) != len(rows) * len(columns):
        return None
    grid = [tuple(flat[i * len(columns) : (i + 1) * len(columns)]) for i in range(len(rows))]
    if "capacitance" in first:  # rows are transitions
        grid = [tuple(row[j] for row in grid) for j in range(len(columns))]
        rows, columns = columns, rows
    return Table(tuple(rows), tuple(columns), tuple(grid))


def _cell(group: Group, templates: dict[str, Group], time: float, load: float) -> Cell:
    loads, functions, arcs, clock, most = {}, {}, {}, "", []
    state = any(g.kind in ("ff", "latch") for g in group.groups)
    for pin in group.all("pin"):
        direction, name = pin.text("direction"), pin.arguments[0]
        found = []
        for timing in pin.all("timing"):
            tables = {}
            for table in timing.groups:
                if table.kind in _TABLES and (made := table_of(table, templates, time, load, time)):
                    tables[table.kind] = made
            for source in timing.text("related_pin").split():
                found.append(Arc(source, timing.text("timing_sense"), timing.text("timing_type"), tables))
        arcs[name] = tuple(found)
        if direction == "input":
            loads[name] = load * float(pin.text("capacitance", "0") or 0)
            if pin.text("clock") == "true":
                clock = name
        elif direction == "output":
            functions[name] = pin.text("function")
            if pin.text("max_capacitance"):
                most.append(load * float(pin.text("max_capacitance")))
    if not clock:
        clock = next((re.sub(r"[!()'\s]", "", g.text("clocked_on")) for g in group.all("ff")), "")
    return Cell(
        name=group.arguments[0], area_um2=float(group.text("area", "0")), loads_ff=loads, functions=functions,
        arcs=arcs, clock=clock, state=state, max_load_ff=min(most, default=0.0),
    )  # fmt: skip
