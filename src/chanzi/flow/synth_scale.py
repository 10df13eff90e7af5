"""Chips that are too large to elaborate: their blocks by count, from two small chips of the same make.

Cells of the array grow as they do in `synth.grow`; every other block on a straight line over the number that it has
copies of: columns for the drain, lanes for the vector unit, banks times the word for the scratchpad's glue.
"""

from collections.abc import Callable
from dataclasses import replace

from chanzi.chip.chip import Chip
from chanzi.flow.synth import Technology
from chanzi.flow.synth_chip import CODE_BITS, LARGEST, Part, Silicon, banks_um2, memory_part, synthesize

SIBLINGS = (4, 8)
"""Arrays of the small chips."""


def synthesize_any(
    chip: Chip,
    tech: Technology,
    *,
    recipe: str = "speed",
    node_nm: float = 0.0,
    block: str = "",
    done: Callable[[int], None] = lambda _: None,
) -> Silicon:
    """Return what `synth_chip.synthesize` does, of a chip of any size."""
    if chip.core.dim <= LARGEST:
        return synthesize(chip, tech, recipe=recipe, node_nm=node_nm, block=block, done=done)
    small, large = (
        synthesize(sibling(chip, dim), tech, recipe=recipe, node_nm=node_nm, block=block, done=done) for dim in SIBLINGS
    )
    return scaled(chip, small, large, tech, node_nm)


def sibling(chip: Chip, dim: int) -> Chip:
    """Return a chip of one core like the given one, with a smaller array, ports, lanes and banks to match.

    The scratchpad keeps its size, to a power of two, for its addresses are everywhere.
    """
    word = max(4, dim)
    banks = 4 * dim
    pad = replace(chip.core.scratchpad, bytes=1 << (chip.core.scratchpad.bytes - 1).bit_length(), banks=banks)
    core = replace(chip.core, dim=dim, port_bytes=word, lanes=dim, scratchpad=pad)
    return replace(chip, core=core, cores=1, dram=replace(chip.dram, beat_bytes=word))


_SQUARE = ("array: cells", "edge feeders")
"""Blocks that are a field, of columns or words a row: ``a D^2 + b D``."""


def sizes(chip: Chip) -> dict[str, float]:
    """Return block -> the number it grows with, for one core."""
    core = chip.core
    word = core.port_bytes
    return {
        "array: control": core.dim,
        "drain and epilogue": core.dim,
        "vector unit": core.lanes,
        "softmax": word,
        "sequencer": 1,
        "DMA": chip.dram.beat_bytes,
        "bus and registers": 1,
        "scratchpad's glue": core.scratchpad.banks * word,
        "wiring of core and chip": 1,
    }


def scaled(chip: Chip, small: Silicon, large: Silicon, tech: Technology, node_nm: float = 0.0) -> Silicon:
    """Return a chip's silicon from that of two of its siblings."""
    at = [sizes(sibling(chip, dim)) for dim in SIBLINGS]
    target, core = sizes(chip), chip.core
    before = {part.name: part for part in small.parts}
    parts = []
    for part in large.parts:
        if part.name in _SQUARE:
            wide = core.dim if part.name == "array: cells" else core.port_bytes
            parts.append(_area(before.get(part.name, part), part, core.dim * wide, core.dim, chip.cores))
        elif part.sram_bits:
            parts.append(_memory(chip, part.name, tech, node_nm))
        else:
            x0, x1 = (x[part.name] for x in at)
            share = (target[part.name] - x0) / (x1 - x0) if x1 != x0 else 1.0
            parts.append(_line(before.get(part.name, part), part, share, chip.cores))
    note = f"counted from arrays of {SIBLINGS[0]} and {SIBLINGS[1]}; paths are those of {SIBLINGS[1]}"
    return replace(
        large, chip=chip.name, parts=tuple(parts), clock_hz=chip.clock_hz, note=note,
        macs=chip.cores * chip.core.macs_per_cycle,
    )  # fmt: skip


def _area(low: Part, high: Part, square: float, line: float, cores: int) -> Part:
    m, n = SIBLINGS

    def at(name: str) -> float:
        a = (getattr(high, name) / n - getattr(low, name) / m) / (n - m)
        b = getattr(low, name) / m - m * a
        return cores * max(0.0, a * square + b * line)

    return _with(high, at)


def _line(low: Part, high: Part, share: float, cores: int) -> Part:
    def at(name: str) -> float:
        a, b = getattr(low, name), getattr(high, name)
        return cores * max(0.0, a + share * (b - a))

    return _with(high, at)


def _with(high: Part, at: Callable[[str], float]) -> Part:
    return replace(
        high, cells=round(at("cells")), flops=round(at("flops")), gates=at("gates"), logic_um2=at("logic_um2"),
        memory_bits=round(at("memory_bits")), memory_um2=at("memory_um2"),
    )  # fmt: skip


def _memory(chip: Chip, name: str, tech: Technology, node_nm: float) -> Part:
    core, node, n = chip.core, node_nm or chip.node_nm or 130.0, chip.cores
    if name == "code memory":
        area = banks_um2(core.code_instructions, CODE_BITS, tech, node)
        return memory_part(name, n * CODE_BITS * core.code_instructions, n * area)
    depth = core.scratchpad.bank_bytes // core.port_bytes
    area = core.scratchpad.banks * banks_um2(depth, 8 * core.port_bytes, tech, node)
    return memory_part(name, n * 8 * core.scratchpad.bytes, n * area)
