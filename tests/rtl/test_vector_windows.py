"""The vector engine's walk where random programs seldom go: long windows, all shares of a word, all edges."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

sys.path.insert(0, str(Path(__file__).parent))

from vector_bench import run, small_core

from chanzi.chip import load_chip
from chanzi.errors import ProgramError
from chanzi.flow.module import model
from chanzi.isa.cycles import vec_cycles, vector_latency_cycles
from chanzi.isa.fields import VecFlag, VecKind
from chanzi.isa.instruction import Vec
from chanzi.isa.legality import check_instructions
from chanzi.rtl.vector.engine import VectorEngine
from chanzi.sim import reference

BANK = 4096
WINDOWED = (VecKind.MAX, VecKind.SUM, VecKind.MAC)


def window(rng: np.random.Generator, core, taps: tuple[int, int], outputs: tuple[int, int]) -> Vec | None:
    """Return a legal VEC with a window of so many taps over whole pixels; None where these draws are not legal."""
    atom = core.atom_bytes
    channels = atom * int(rng.integers(1, 4))
    pixel = channels + atom * int(rng.integers(0, 2))
    width, height = int(rng.integers(1, 9)), int(rng.integers(1, taps[0] + 4))
    ins = Vec(
        kind=int(rng.choice(WINDOWED)),
        flags=int(rng.choice([0, VecFlag.CLAMP_EDGE])),
        base=0,
        line_stride=width * pixel,
        height=height,
        width_bytes=(width - 1) * pixel + channels,
        x_step=pixel * int(rng.integers(0, 4)),
        tap_x_step=pixel * int(rng.integers(0, 3)),
        pad_x=pixel * int(rng.integers(-2, taps[1] + 1)),
        y_step=int(rng.integers(0, 4)),
        tap_y_step=int(rng.integers(0, 3)),
        pad_y=int(rng.integers(-2, taps[0] + 1)),
        taps_y=taps[0],
        taps_x=taps[1],
        rows=outputs[0],
        columns=outputs[1],
        channels=channels,
        signed=int(rng.integers(0, 2)),
        scale=float(np.float32(rng.uniform(0.001, 0.02))),
        low=-128,
        high=127,
        out_base=20 * BANK,
        out_x=pixel,
        out_y=pixel * outputs[1],
        weight_base=26 * BANK,
        weight_signed=1,
    )
    chip = load_chip("chanzi-8")
    chip = dataclasses.replace(chip, core=core, dram=dataclasses.replace(chip.dram, beat_bytes=0))
    try:
        check_instructions(chip, [ins], core=0, cores=1, dram=range(1))
    except ProgramError:
        return None
    return ins


def shapes(rng: np.random.Generator):
    """Yield (taps, outputs) without end."""
    while True:
        kind = rng.integers(0, 4)
        if kind == 0:  # long windows
            taps = (int(rng.integers(1, 200)), int(rng.integers(1, 3)))
        elif kind == 1:
            taps = (1, int(rng.integers(1, 150)))
        else:
            taps = (int(rng.integers(1, 4)), int(rng.integers(1, 20)))
        yield taps, (int(rng.integers(1, 4)), int(rng.integers(1, 5)))


def long_window(core, flags: int) -> Vec:
    """Return a window of more lines than a lane has weights, all inside the map, as global pooling has."""
    atom, lines = core.atom_bytes, 300
    size = {"height": lines, "line_stride": atom, "width_bytes": atom, "channels": atom, "taps_y": lines - 1}
    step = {"taps_x": 1, "tap_y_step": 1, "y_step": 1, "rows": 2, "columns": 1, "pad_y": int(flags != 0)}
    out = {"out_base": 20 * BANK, "out_y": atom, "out_x": atom, "scale": 1 / lines, "low": 0, "high": 255}
    return Vec(kind=int(VecKind.SUM), flags=int(flags), **size, **step, **out)


@pytest.mark.parametrize(
    ("dim", "port", "taps_per_lane", "count"),
    [(4, 4, 3, 25), pytest.param(8, 16, 2, 300, marks=pytest.mark.slow)],
)
def test_windows_of_all_shapes(dim: int, port: int, taps_per_lane: int, count: int) -> None:
    core = dataclasses.replace(small_core(dim, port), taps_per_lane=taps_per_lane)
    rng = np.random.default_rng(count)
    draws = shapes(rng)
    code: list[Vec] = []
    while len(code) < count:
        ins = window(rng, core, *next(draws))
        if ins is not None and ins.taps_y * ins.taps_x * ins.rows * ins.columns < 8 * count:
            code.append(ins)
    code += [long_window(core, flags) for flags in (0, VecFlag.CLAMP_EDGE)]
    dut = model(VectorEngine(core))
    memory = rng.integers(0, 256, core.scratchpad.bytes, np.uint8)
    state = reference.CoreState(scratchpad=memory.copy(), accumulators=np.zeros((dim, dim), np.int32))
    for ins in code:
        [(begin, complete)] = run(core, dut, memory, [ins])
        reference.vec(None, state, ins)
        differ = np.flatnonzero(memory != state.scratchpad)
        assert not differ.size, (ins, differ[:8])
        assert complete - begin == vec_cycles(core, ins) + vector_latency_cycles(core), ins
