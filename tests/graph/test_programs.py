"""Compiled programs leave the bytes that the graph says: random graphs, several chips, every way to share the work."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.chip import load_chip
from chanzi.chip.chip import Chip, Core, Dram, Scratchpad
from chanzi.compiler import compile_graph
from chanzi.errors import CompileError
from chanzi.graph.evaluate import evaluate
from chanzi.graph.verify import verify
from chanzi.program.program import Options
from chanzi.sim import fast, reference

sys.path.insert(0, str(Path(__file__).parent))
from random_graphs import random_graph, random_inputs

SEEDS = st.integers(0, 2**32 - 1)


def small_chip(dim: int, bank_words: int, banks: int, cores: int = 1) -> Chip:
    """A chip that fits little, so that maps and weights have to move."""
    word = 1 << (dim - 1).bit_length()
    core = Core(dim=dim, scratchpad=Scratchpad(bytes=max(word * bank_words, 64) * banks, banks=banks))
    return Chip(name="small", cores=cores, clock_hz=10**8, core=core, dram=Dram(bytes_per_s=10**9, beat_bytes=8))


def held_against_graph(seed, chip, simulator, options):
    graph = random_graph(seed)
    verify(graph)
    frames = [random_inputs(graph, seed + i) for i in range(2)]
    try:
        compiled = compile_graph(graph, chip, options)
    except CompileError:
        return
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
