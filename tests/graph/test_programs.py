"""Compiled programs leave the bytes that the graph says: random graphs, several chips, every way to share the work."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.chip import load_chip
from chanzi.chip.chip import Chip, Core, Dram, Scratchpad
from chanzi.compiler import compile_graph
from chanzi.cost.bound import bound
from chanzi.errors import CompileError
from chanzi.graph.evaluate import evaluate
from chanzi.graph.ops import Binary, Conv, Graph, Lookup, Pad, Pool, Quant, Tensor
from chanzi.graph.verify import verify
from chanzi.isa.fields import Opcode
from chanzi.isa.ordering import check_program
from chanzi.program.program import Options
from chanzi.sim import fast, reference
from chanzi.sim.timing import simulate

sys.path.insert(0, str(Path(__file__).parent))
from random_graphs import random_graph, random_inputs

SEEDS = st.integers(0, 2**32 - 1)


def small_chip(dim: int, bank_words: int, banks: int, cores: int = 1) -> Chip:
    """A chip that fits little, so that maps and weights have to move."""
    word = 1 << (dim - 1).bit_length()
    core = Core(dim=dim, scratchpad=Scratchpad(bytes=max(word * bank_words, 64) * banks, banks=banks))
    return Chip(name="small", cores=cores, clock_hz=10**8, core=core, dram=Dram(bytes_per_s=10**9))


def held_against_graph(seed, chip, simulator, options):
    graph = random_graph(seed)
    verify(graph)
    frames = [random_inputs(graph, seed + i) for i in range(2)]
    try:
        compiled = compile_graph(graph, chip, options)
    except CompileError:
        return
    segment = compiled.segment
    for codes in ([core.setup for core in segment.cores], [core.frame for core in segment.cores]):
        check_program(chip, codes, dram_bytes=segment.dram_bytes, image_bytes=len(segment.image))
    for frame, got in zip(frames, simulator(compiled).run(frames), strict=True):
        for name, want in evaluate(graph, frame).items():
            np.testing.assert_array_equal(got[name], want, err_msg=f"{name} of seed {seed}")


@given(seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_random_graphs_are_sound(seed):
    graph = random_graph(seed)
    verify(graph)
    for tensor in graph.outputs:
        assert evaluate(graph, random_inputs(graph, seed))[tensor.name].shape == tensor.shape


@pytest.mark.parametrize("name", ["chanzi-8", "chanzi-16"])
@given(seed=SEEDS)
@settings(max_examples=12, deadline=None)
def test_reference_runs_what_the_graph_says(name, seed):
    held_against_graph(seed, load_chip(name), reference.Simulator, Options())


@pytest.mark.parametrize("mode", ["single", "throughput", "latency"])
@given(seed=SEEDS)
@settings(max_examples=12, deadline=None)
def test_fast_runs_what_the_graph_says_on_many_cores(mode, seed):
    held_against_graph(seed, load_chip("chanzi-64x4"), fast.Simulator, Options(mode=mode))


@given(seed=SEEDS, dim=st.sampled_from([4, 8, 16, 48]), words=st.sampled_from([4, 16, 64]), resident=st.booleans())
@settings(max_examples=25, deadline=None)
def test_little_memory_changes_no_byte(seed, dim, words, resident):
    chip = small_chip(dim, words, 48)
    held_against_graph(seed, chip, fast.Simulator, Options(resident=resident, pipeline=bool(seed % 2)))


@pytest.mark.slow
@given(seed=SEEDS, dim=st.sampled_from([4, 8, 16, 32, 48]), words=st.sampled_from([4, 16, 64]), cores=st.integers(1, 4))
@settings(max_examples=1500, deadline=None)
def test_many_graphs(seed, dim, words, cores):
    mode = ("single", "throughput", "latency")[seed % 3]
    held_against_graph(seed, small_chip(dim, words, 96, cores), fast.Simulator, Options(mode=mode))


@pytest.mark.parametrize("kind", [Conv, Binary])
def test_a_table_after_a_table_keeps_the_first_rounding(kind):
    """A second table folded into an operator once made it requantize with the second table's scale."""
    x = Tensor(name="x", shape=(4, 4, 8), quant=Quant(scale=0.03125, zero=3, dtype="int8"))
    middle = Tensor(name="m", shape=x.shape, quant=Quant(scale=0.125, zero=90, dtype="uint8"))
    y = Tensor(name="y", shape=x.shape, quant=Quant(scale=0.0625, zero=-5, dtype="int8"))
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 256)).astype(np.uint8)
    if kind is Conv:
        weight = rng.integers(-127, 128, (8, 1, 1, 8)).astype(np.int8)
        scale = np.full(8, 0.01, np.float32)
        op = Conv(name="op", x=x, y=middle, weight=weight, weight_scale=scale, table=first)
    else:
        op = Binary(name="op", kind="add", a=x, b=x, y=middle, table=first)
    lookup = Lookup(name="lookup", kind="any", x=middle, y=y, table=second)
    graph = Graph(name="two", inputs=(x,), outputs=(y,), ops=(op, lookup))
    verify(graph)
    frame = random_inputs(graph, 1)
    got = reference.Simulator(compile_graph(graph, load_chip("chanzi-8"))).run([frame])[0]
    np.testing.assert_array_equal(got["y"], evaluate(graph, frame)["y"])


def test_a_frame_keeps_its_result():
    """Results were once views of the simulator's DRAM, which the next frame overwrites."""
    x = Tensor(name="x", shape=(3, 4, 16), quant=Quant(scale=0.25, zero=0, dtype="int8"))
    y = Tensor(name="y", shape=x.shape, quant=x.quant)
    lookup = Lookup(name="l", kind="any", x=x, y=y, table=np.arange(256, dtype=np.uint8)[::-1].copy())
    graph = Graph(name="one", inputs=(x,), outputs=(y,), ops=(lookup,))
    frames = [random_inputs(graph, seed) for seed in (1, 2)]
    for simulator in (reference.Simulator, fast.Simulator):
        results = simulator(compile_graph(graph, load_chip("chanzi-8"))).run(frames)
        for frame, got in zip(frames, results, strict=True):
            np.testing.assert_array_equal(got["y"], evaluate(graph, frame)["y"])


def test_lines_that_see_only_padding_are_legal():
    """A stripe whose window lies wholly outside its map once had a height of zero, which no program may have."""
    x = Tensor(name="x", shape=(2, 6, 16), quant=Quant(scale=0.25, zero=7, dtype="int8"))
    y = Tensor(name="y", shape=(26, 6, 16), quant=x.quant)
    graph = Graph(name="pad", inputs=(x,), outputs=(y,), ops=(Pad(name="p", x=x, y=y, pads=(12, 0, 12, 0), value=7),))
    chip, frame = small_chip(8, 16, 96, cores=4), random_inputs(graph, 3)
    compiled = compile_graph(graph, chip, Options(mode="latency"))
    codes = [core.frame for core in compiled.segment.cores]
    check_program(chip, codes, dram_bytes=compiled.segment.dram_bytes, image_bytes=len(compiled.segment.image))
    for simulator in (reference.Simulator, fast.Simulator):
        np.testing.assert_array_equal(simulator(compiled).run([frame])[0]["y"], evaluate(graph, frame)["y"])


@pytest.mark.parametrize("kernel", [(8, 16), (11, 12), (3, 43)])
def test_depthwise_windows_larger_than_the_lanes_hold_run_on_the_array(kernel):
    """The vector unit holds 128 weights a channel; larger windows once were illegal programs."""
    x = Tensor(name="x", shape=(12, 44, 24), quant=Quant(scale=0.25, zero=7, dtype="int8"))
    size = tuple(x.shape[i] + 4 - kernel[i] + 1 for i in (0, 1))
    y = Tensor(name="y", shape=(*size, 24), quant=Quant(scale=1.5, zero=-3, dtype="int8"))
    rng = np.random.default_rng(1)
    weight = rng.integers(-127, 128, (24, *kernel, 1)).astype(np.int8)
    scale = np.full(24, 0.01, np.float32)
    conv = Conv(name="c", x=x, y=y, weight=weight, weight_scale=scale, pads=(2, 2, 2, 2), groups=24)
    graph = Graph(name="wide", inputs=(x,), outputs=(y,), ops=(conv,))
    verify(graph)
    chip, frame = load_chip("chanzi-16"), random_inputs(graph, 3)
    compiled = compile_graph(graph, chip)
    segment = compiled.segment
    kinds = {ins.opcode for ins in segment.cores[0].frame}
    assert (Opcode.VEC in kinds) == (kernel == (8, 16))
    codes = [core.frame for core in segment.cores]
    check_program(chip, codes, dram_bytes=segment.dram_bytes, image_bytes=len(segment.image))
    np.testing.assert_array_equal(fast.Simulator(compiled).run([frame])[0]["y"], evaluate(graph, frame)["y"])
    assert bound(chip, graph).cycles <= simulate(chip, segment).cycles


def test_a_stride_that_no_engine_counts_is_refused_in_one_line():
    x = Tensor(name="x", shape=(1, 1, 16), quant=Quant(scale=0.25, zero=7, dtype="int8"))
    pool = Pool(name="far", kind="max", x=x, y=Tensor(name="y", shape=x.shape, quant=x.quant), kernel=(1, 1))
    pool = dataclasses.replace(pool, strides=(1, 65535))
    graph = Graph(name="far", inputs=(x,), outputs=(pool.y,), ops=(pool,))
    with pytest.raises(CompileError, match="layer 'far' is out of reach"):
        compile_graph(graph, small_chip(8, 16, 96))


def test_a_network_that_outgrows_the_instruction_memory_is_refused_with_a_way_out():
    chip = load_chip("chanzi-8")
    graph = random_graph(3)
    longest = max(len(core.frame) for core in compile_graph(graph, chip).segment.cores)
    fits = dataclasses.replace(chip, core=dataclasses.replace(chip.core, code_instructions=longest))
    compile_graph(graph, fits)
    tight = dataclasses.replace(chip, core=dataclasses.replace(chip.core, code_instructions=longest - 1))
    with pytest.raises(CompileError, match=f"takes {longest} instructions") as caught:
        compile_graph(graph, tight)
    assert "core.code_instructions" in str(caught.value.hint)
