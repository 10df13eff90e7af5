"""The area model beside the hardware after synthesis: cells of each block, measured and modelled."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from chanzi.chip.chip import Chip, Core, Dram, Scratchpad
from chanzi.cost.area import area_of
from chanzi.cost.figure import figures, sources, table
from chanzi.cost.tech import at_node

NODE_NM = {"sky130": 130.0, "asap7": 7.0}
"""Library -> the node whose gate the model takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What is compared: blocks of the synthesis, and the blocks of the model that stand for them."""

    title: str
    synthesized: tuple[str, ...]
    modelled: tuple[str, ...]


BLOCKS = {
    "array_cells": Block(title="array: cells", synthesized=("array: cells",), modelled=("MACs", "shadow registers")),
    "edge_feeders": Block(title="edge feeders", synthesized=("edge feeders",), modelled=("feeders",)),
    "array_control": Block(title="array: control", synthesized=("array: control",), modelled=("array control",)),
    "epilogue": Block(title="drain and epilogue", synthesized=("drain and epilogue",), modelled=("epilogue lanes",)),
    "vector_unit": Block(
        title="vector unit with softmax", synthesized=("vector unit", "softmax"), modelled=("vector lanes",)
    ),
    "sequencer": Block(title="sequencer", synthesized=("sequencer",), modelled=("sequencer",)),
    "dma": Block(title="DMA", synthesized=("DMA",), modelled=("DMA",)),
    "bus": Block(title="bus and registers", synthesized=("bus and registers",), modelled=("NoC",)),
    "scratchpad_ports": Block(
        title="scratchpad's glue", synthesized=("scratchpad's glue",), modelled=("scratchpad ports",)
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One block of one chip in one library, um2 of cells and small memories before placement."""

    chip: str
    split: str
    technology: str
    block: str
    measured_um2: float
    model_um2: float

    @property
    def error(self) -> float:
        """Of the model, relative to what was measured."""
        return self.model_um2 / self.measured_um2 - 1


def model_um2(chip: Chip, node_nm: float) -> dict[str, float]:
    """Return the cells of each block that the model gives: gates times a gate's area, nothing placed."""
    gates = {b.name: b.gates.value * b.count for b in area_of(chip, node_nm=node_nm).blocks}
    gate = at_node(node_nm, "gate_um2").value
    return {key: gate * sum(gates[name] for name in block.modelled) for key, block in BLOCKS.items()}


def _chip(name: str, entry: dict[str, Any]) -> Chip:
    core = Core(
        dim=entry["dim"],
        scratchpad=Scratchpad(bytes=entry["bytes"], banks=entry["banks"]),
        port_bytes=entry["port_bytes"],
        lanes=entry["lanes"],
        taps_per_lane=entry["taps_per_lane"],
        queue_depth=entry["queue_depth"],
        code_instructions=entry["code_instructions"],
    )
    dram = Dram(bytes_per_s=entry["dram_bytes_per_s"], beat_bytes=entry["beat_bytes"])
    return Chip(name=name, clock_hz=entry["clock_hz"], core=core, dram=dram)


@cache
def rows() -> tuple[Row, ...]:
    """Return every block of every chip that was synthesized, beside the model."""
    data, known = table("synthesized"), sources("synthesized")
    found: list[Row] = []
    for name, entry in data["chip"].items():
        chip = _chip(name, entry)
        for technology, node in NODE_NM.items():
            measured = data.get(technology, {}).get(name)
            if measured is None:
                continue
            model = model_um2(chip, node)
            for key, figure in figures(measured, known, f"synthesized.toml, {technology} {name}").items():
                found.append(
                    Row(
                        chip=name, split=entry["split"], technology=technology, block=key,
                        measured_um2=figure.value, model_um2=model[key],
                    )
                )  # fmt: skip
    return tuple(found)
