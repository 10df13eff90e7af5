"""The full path: a network compiled for a chip and simulated, its cycles and events kept for the next time."""

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from chanzi.chip.chip import Chip
from chanzi.compiler import compile_graph
from chanzi.cost.events import EVENTS, Counts, count_events
from chanzi.explore import model
from chanzi.explore.model import Run
from chanzi.explore.networks import Network
from chanzi.explore.space import MOST_CODE
from chanzi.program.program import Options
from chanzi.runtime import cache
from chanzi.settings import cache_dir
from chanzi.sim.timing import simulate


def run(network: Network, chip: Chip) -> Run:
    """Return a frame on each core of `chip`, compiled and simulated.

    Kept in the cache folder by what decides cycles: of the chip its cores, ports and memories and the bus in bytes a
    cycle, but not clock, voltage, node, nor the size of the instruction memory.

    Raises
    ------
    CompileError
        It cannot be made to fit.
    """
    path = _kept(network, chip)
    if path is not None and (known := _read(path)) is not None:
        return known
    roomy = replace(chip, core=replace(chip.core, code_instructions=MOST_CODE))  # what is needed is known afterwards
    cycles = longest = 0
    total = np.zeros(len(EVENTS))
    plan = "resident"
    for graph in network.graphs:
        segment = compile_graph(graph, roomy, Options(mode="throughput")).segment
        timing = simulate(roomy, segment)
        cycles += timing.cycles
        total += count_events(chip, segment, timing).layers.sum(axis=0)
        longest = max(longest, *(max(len(core.frame), len(core.setup)) for core in segment.cores))
        if not any(buffer.kind == "weights" for buffer in segment.buffers if buffer.name == "weights"):
            plan = "streamed"
    counts = Counts(layers=total[None, :], cycles=cycles, cores_used=chip.cores)
    found = Run(plan=plan, cycles=cycles, frames=chip.cores, counts=counts, instructions=longest)
    if path is not None:
        _write(path, found)
    return found


def _kept(network: Network, chip: Chip) -> Path | None:
    if not network.sha256 or not cache.enabled():
        return None
    key = cache.key_of({"network": network.sha256.encode(), "chip": json.dumps(model.figures(chip).tolist()).encode()})
    return cache_dir() / "explore" / f"{key}.json"


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    plan: model.Plan
    cycles: int
    frames: int
    instructions: int
    events: list[float]


def _read(path: Path) -> Run | None:
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None
    if len(kept.events) != len(EVENTS):
        return None
    counts = Counts(layers=np.array(kept.events)[None, :], cycles=kept.cycles, cores_used=kept.frames)
    return Run(plan=kept.plan, cycles=kept.cycles, frames=kept.frames, counts=counts, instructions=kept.instructions)


def _write(path: Path, found: Run) -> None:
    kept = _Kept(
        plan=found.plan,
        cycles=found.cycles,
        frames=found.frames,
        instructions=found.instructions,
        events=found.counts.layers[0].tolist(),
    )
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(msgspec.json.encode(kept))
        part.replace(path)
