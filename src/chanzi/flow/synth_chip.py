"""A chip's gates, area by block and longest paths: what ``chanzi synth`` says.

SRAMs are black boxes with an area model of their own, small memories (tables, weights) are counted as latches with a
multiplexer for each read port. A core's blocks are counted once for each core.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any

from chanzi.chip.chip import Chip
from chanzi.cost.area import macro_mm2
from chanzi.errors import FlowError, did_you_mean
from chanzi.flow.chip_model import hardware_key
from chanzi.flow.liberty import Library
from chanzi.flow.synth import Block, Synthesis, Technology, grow, rtlil_of, widened
from chanzi.flow.synth_timing import Model
from chanzi.settings import cache_dir

TOP = "chanzi_top"
GRID = ".array.grid"
"""The module that is composed, not synthesized."""
LARGEST = 8
"""The largest array whose hardware is elaborated whole."""
OPENRAM_UM2 = (96_900.0, 11.45)
"""A sky130 SRAM macro: um2 before the first bit, and of a bit. Through OpenRAM's two 32-bit macros that ship with the
PDK: sky130_sram_1kbyte_1rw1r_32x256_8 is 479.78 x 397.5 um, sky130_sram_2kbyte_1rw1r_32x512_8 683.1 x 416.54 um."""
LATCH_OF_FLOP = 0.75
"""A latch's area in flip-flops: sky130's dlxtp_1 over its dfxtp_1 is 15.01 / 20.02."""

CODE_BITS = 2048
"""Bits of an instruction: the width of the code memory."""

BLOCKS = {
    "array: cells": ("core.array.grid",),
    "edge feeders": ("core.array.feeder_a", "core.array.feeder_b"),
    "array: control": ("core.array",),
    "drain and epilogue": ("core.array.drain",),
    "vector unit": ("core.vector",),
    "softmax": ("core.vector.softmax",),
    "sequencer": ("core.sequencer",),
    "DMA": ("core.load", "core.store"),
    "bus and registers": ("bus", "control"),
    "scratchpad's glue": ("core.scratchpad",),
    "wiring of core and chip": ("", "core"),
}
"""Block -> the parts of the hierarchy in it; the longest fitting name wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A block of the chip, all copies together; delays in ns, or levels without a timing library."""

    name: str
    cells: int
    flops: int
    gates: float
    logic_um2: float
    memory_bits: int
    memory_um2: float
    sram_bits: int
    sram_um2: float
    delay: float
    path: str

    @property
    def um2(self) -> float:
        """All of it."""
        return self.logic_um2 + self.memory_um2 + self.sram_um2


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One distinct module: its own cells without its children, how many copies, its longest paths by kind."""

    name: str
    part: str
    copies: int
    cells: int
    um2: float
    paths: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Silicon:
    """What synthesis says of a chip."""

    chip: str
    library: str
    timed: bool
    nand2_um2: float
    parts: tuple[Part, ...]
    units: tuple[Unit, ...]
    macs: int
    clock_hz: int
    note: str = ""

    @property
    def longest(self) -> Part:
        """The block with the longest path."""
        return max(self.parts, key=lambda part: part.delay)


def part_of(path: str) -> str:
    """Return the block that a module of the hierarchy belongs to; cores are ``core``."""
    fitting = [
        (len(prefix), name)
        for name, prefixes in BLOCKS.items()
        for prefix in prefixes
        if path == prefix or not prefix or path.startswith(prefix + ".")
    ]
    return max(fitting)[1]


def sram_um2(depth: int, bits: int, tech: Technology, node_nm: float) -> float:
    """Return the area of an SRAM macro: OpenRAM's line for sky130, else the cost model's for the node."""
    size = depth * bits
    if "sky130" in tech.library.name:
        return OPENRAM_UM2[0] + OPENRAM_UM2[1] * size
    return 1e6 * macro_mm2(size / 8, size / 8, node_nm).value


def latches_um2(bits: int, port_bits: int, library: Library) -> float:
    """Return the area of small memories: a latch a bit, a NAND a bit and read port for the multiplexer."""
    flop = min(c.area_um2 for c in library.cells.values() if c.state and c.clock and len(c.loads_ff) == 2)
    return bits * LATCH_OF_FLOP * flop + port_bits * library.nand2_um2


def hardware(chip: Chip) -> dict[str, str]:
    """Return the chip's modules as RTLIL, from the cache if made before."""
    path = cache_dir() / "rtlil" / f"{hardware_key(chip)}.json"
    if path.exists():
        return json.loads(path.read_text())
    try:
        from chanzi.rtl.top import ChipTop
    except ImportError as error:
        raise FlowError(f"{error.name} is not installed", hint="pip install 'chanzi[synth]'") from None
    modules = rtlil_of(ChipTop(chip, model=False), TOP)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".new").write_text(json.dumps(modules))
    path.with_suffix(".new").replace(path)
    return modules


def grid_of(
    dim: int, tech: Technology, recipe: str, period_ns: float, done: Callable[[int], None], text: str
) -> tuple[Block, Model]:
    """Return a grid of `dim` x `dim`, composed of what 2 x 2 and 4 x 4 cells are."""
    from chanzi.rtl.array.grid import Grid

    made: Any = Grid
    found = []
    for size in (2, 4):
        small = Synthesis(rtlil_of(made(SimpleNamespace(dim=size)), "grid"), tech, recipe=recipe, period_ns=period_ns)
        small.run(done)
        found.append((small.total("grid"), small.block("grid")[1]))
    (two, _), (four, model) = found
    if dim == 4:
        return four, model
    return Block(cells=grow(two, four, dim), routes=four.routes), widened(model, text, dim, tech.known)


def synthesize(
    chip: Chip,
    tech: Technology,
    *,
    recipe: str = "speed",
    node_nm: float = 0.0,
    block: str = "",
    done: Callable[[int], None] = lambda _: None,
) -> Silicon:
    """Return gates, area by block and longest paths of a chip whose array is at most LARGEST wide.

    Parameters
    ----------
    chip : Chip
    tech : Technology
    recipe : str
        "speed" or "area"; without a Liberty there is only area.
    node_nm : float
        For SRAMs of a library that is not sky130; the chip's own by default.
    block : str
        One of BLOCKS: nothing else is synthesized.
    done : callable
        Told of every module that is finished.

    Raises
    ------
    FlowError
        A tool is missing, or the block is unknown.
    """
    if block and block not in BLOCKS:
        raise FlowError(f"'{block}' is no block", hint=did_you_mean(block, BLOCKS) or ", ".join(BLOCKS))
    modules = hardware(chip)
    period_ns = 8 * tech.known.buffer if recipe == "speed" else 1e9 / chip.clock_hz
    if not tech.timed:
        period_ns = 1.0
    grids = [name for name in modules if name.endswith(GRID)]
    synthesis = Synthesis(modules, tech, recipe=recipe, period_ns=period_ns)
    tree = dict(_tree(synthesis))
    leave = {name for name in modules if name in grids or name not in tree}
    if block:
        leave |= {name for name in modules if block not in tree.get(name, ())}
    synthesis.run(done, leave=frozenset(leave))
    for name in grids:
        if not block or "array: cells" in tree[name]:
            synthesis.give(name, *grid_of(chip.core.dim, tech, recipe, period_ns, done, modules[name]))
    wanted = [name for name in tree if name not in leave or (name in grids and (not block or block in tree[name]))]
    if block:  # a child that is left out is seen as registers at its ports
        for name in modules:
            if name not in wanted:
                synthesis.give(name, Block(cells=Counter()), Model())
    units = _units(synthesis, tree, wanted, block)
    macro_node = node_nm or chip.node_nm or 130.0
    parts = [_part(name, synthesis, tree, tech) for name in BLOCKS if not block or name == block]
    if not block:
        parts += _memories(synthesis, tree, tech, macro_node)
    return Silicon(
        chip=chip.name, library=tech.library.name, timed=tech.timed, nand2_um2=tech.library.nand2_um2,
        parts=tuple(p for p in parts if p.cells or p.sram_bits), units=units,
        macs=chip.cores * chip.core.macs_per_cycle, clock_hz=chip.clock_hz,
    )  # fmt: skip


def _plain(path: str) -> str:
    """Return a module's place in the hierarchy, its core's number left out."""
    steps = path.split(".")
    return ".".join("core" if s.startswith("core") and s[4:].isdigit() else s for s in steps)


def _tree(synthesis: Synthesis) -> Iterator[tuple[str, Counter[str]]]:
    """Yield every module that is used, with how many copies of it are in each block."""
    counts: dict[str, Counter[str]] = {}

    def visit(module: str, path: str) -> None:
        part = part_of(_plain(path))
        counts.setdefault(module, Counter())[part] += 1
        for instance, kind, _ in () if module.endswith(GRID) else synthesis.jobs[module].children:
            step = instance[1:]
            visit(kind, f"{path}.{step}" if path else step)

    visit(TOP, "")
    yield from counts.items()


def _units(synthesis: Synthesis, tree: dict[str, Counter[str]], wanted: list[str], block: str) -> tuple[Unit, ...]:
    seen: dict[str, Unit] = {}
    for name in wanted:
        made, _ = synthesis.block(name)
        key = synthesis.jobs[name].key
        copies = sum(n for part, n in tree[name].items() if not block or part == block)
        if key in seen:
            copies += seen[key].copies
        seen[key] = Unit(
            name=seen[key].name if key in seen else _plain(name.removeprefix(TOP + ".")),
            part=max(tree[name], key=lambda part: tree[name][part]),
            copies=copies,
            cells=sum(made.cells.values()),
            um2=_logic(made, synthesis.tech.library),
            paths={kind: asdict(route) for kind, route in made.routes.items()},
        )
    return tuple(sorted(seen.values(), key=lambda unit: -unit.um2 * unit.copies))


def _logic(block: Block, library: Library) -> float:
    return sum(library.cells[kind].area_um2 * n for kind, n in block.cells.items() if kind in library.cells)


def _part(name: str, synthesis: Synthesis, tree: dict[str, Counter[str]], tech: Technology) -> Part:
    cells = flops = bits = 0
    logic = small = delay = 0.0
    path = ""
    library = tech.library
    for module, counts in tree.items():
        copies = counts[name]
        if not copies or not synthesis.knows(module):
            continue
        made, _ = synthesis.block(module)
        cells += copies * sum(made.cells.values())
        flops += copies * sum(n for k, n in made.cells.items() if k in library.cells and library.cells[k].state)
        logic += copies * _logic(made, library)
        bits += copies * made.memory_bits
        small += copies * latches_um2(made.memory_bits, made.memory_port_bits, library)
        worst = max(made.routes.values(), key=lambda route: route.delay, default=None)
        if worst is not None and worst.delay > delay:
            delay = worst.delay
            path = f"{_plain(module.removeprefix(TOP + '.'))}: {worst.start} to {worst.end}, {worst.cells} cells"
    return Part(
        name=name, cells=cells, flops=flops, gates=logic / library.nand2_um2, logic_um2=logic, memory_bits=bits,
        memory_um2=small, sram_bits=0, sram_um2=0.0, delay=delay, path=path,
    )  # fmt: skip


def _memories(synthesis: Synthesis, tree: dict[str, Counter[str]], tech: Technology, node_nm: float) -> Iterator[Part]:
    """Yield the scratchpad's banks and the code memory."""
    found: Counter[tuple[int, int]] = Counter()
    for module, counts in tree.items():
        for size, n in synthesis.block(module)[0].macros.items():
            found[size] += n * sum(counts.values())
    for name, code in (("scratchpad's banks", False), ("code memory", True)):
        these = {size: n for size, n in found.items() if (size[1] == CODE_BITS) == code}
        bits = sum(depth * wide * n for (depth, wide), n in these.items())
        yield memory_part(name, bits, sum(n * banks_um2(*size, tech, node_nm) for size, n in these.items()))


def banks_um2(depth: int, wide: int, tech: Technology, node_nm: float) -> float:
    """Return the area of a memory of so many words: macros of at most 64 bits side by side."""
    columns = max(1, math.ceil(wide / 64))
    return columns * sram_um2(depth, wide // columns, tech, node_nm)


def memory_part(name: str, bits: int, um2: float) -> Part:
    """Return a block of nothing but SRAM."""
    return Part(
        name=name, cells=0, flops=0, gates=0.0, logic_um2=0.0, memory_bits=0, memory_um2=0.0, sram_bits=bits,
        sram_um2=um2, delay=0.0, path="",
    )  # fmt: skip
