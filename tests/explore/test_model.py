"""The fast model against what it stands for: the timing rules to the cycle, programs closely, events exactly."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.chip.chip import Chip, Core, Dram, Scratchpad
from chanzi.compiler import compile_graph, overlap, schedule, tile
from chanzi.cost import events
from chanzi.cost.events import count_events
from chanzi.errors import CompileError
from chanzi.explore import fields as f
from chanzi.explore import model
from chanzi.explore.sketch import INPUT_STRIPES, Shape, sketch
from chanzi.frontend import load
from chanzi.graph.plan import ChipPiece
from chanzi.isa import cycles, vector_cycles
from chanzi.isa.fields import DotFlag, Engine, VecFlag, VecKind
from chanzi.isa.instruction import Dot, Vec
from chanzi.program.program import Options
from chanzi.sim.timing import simulate
from chanzi.zoo import digits

sys.path.insert(0, str(Path(__file__).parents[1] / "graph"))
from random_graphs import random_graph


@pytest.fixture(scope="module")
def durations():
    from chanzi.explore.kernels import load_kernels

    load_kernels()
    return importlib.import_module("chanzi.explore.durations")


def make_chip(dim=8, port=0, lanes=0, taps=3, banks=256, bank=1024, cores=1, bytes_per_s=32 * 10**9, beat=0, row=0):
    pad = Scratchpad(bytes=banks * bank, banks=banks)
    core = Core(dim=dim, port_bytes=port, lanes=lanes, taps_per_lane=taps, epilogue_lanes=row, scratchpad=pad)
    dram = Dram(bytes_per_s=bytes_per_s, beat_bytes=beat)
    return Chip(name="t", clock_hz=10**9, cores=cores, core=core, dram=dram)


CORES = st.builds(
    lambda dim, wide, part, taps, rows: make_chip(
        dim,
        wide * max(4, 1 << (dim - 1).bit_length()),
        -(-part * dim // 4 // min(dim, 16)) * min(dim, 16),
        taps,
        bank=2048,
        row=dim // rows,
    ),
    st.sampled_from([4, 8, 16, 32, 48, 96]),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 4),
    st.integers(1, 12),
    st.sampled_from([1, 2, 4]),
)


def test_constants_are_those_of_the_originals():
    assert tuple(Engine) == (f.LOAD, f.STORE, f.ARRAY, f.VECTOR)
    own = (f.BIAS, f.COLUMN_SCALE, f.TABLE, f.ADD, f.MUL, f.HOLD, f.RAW)
    d = DotFlag
    assert own == (d.BIAS, d.COLUMN_SCALE, d.TABLE, d.ADD, d.MUL, d.HOLD, d.RAW)
    assert (f.BIAS, f.COLUMN_SCALE, f.TABLE) == (VecFlag.BIAS, VecFlag.CHANNEL_SCALE, VecFlag.TABLE)
    assert f.CLAMP_EDGE == VecFlag.CLAMP_EDGE
    assert tuple(VecKind) == (f.V_COPY, f.V_MAX, f.V_SUM, f.V_MAC, f.V_ADD, f.V_MUL, f.V_SOFTMAX)
    assert vector_cycles.MAX_SHARE == f.MAX_SHARE
    for name in (
        "ARRAY_PIPELINE_CYCLES", "START_CYCLES", "REQUEST_CYCLES", "FETCH_CYCLES", "TURN_CYCLES", "ARRIVAL_CYCLES",
        "RESPONSE_CYCLES",
    ):  # fmt: skip
        assert getattr(f, name) == getattr(cycles, name, None), name
    assert events._SOFTMAX_FLOPS == f.SOFTMAX_FLOPS
    assert tile.MIN_STRIPE_CYCLES == f.MIN_STRIPE_CYCLES
    assert (overlap.WINDOW, overlap.SLACK_NODES, schedule._WINDOW) == (
        f.OVERLAP_WINDOW,
        f.SLACK_NODES,
        f.PIPELINE_WINDOW,
    )
    from chanzi.compiler import boundary, pipeline
    from chanzi.explore.kernels import load_kernels

    load_kernels()
    walk = importlib.import_module("chanzi.explore.walk")
    assert tuple(walk.STRIPE_CYCLES) == pipeline.STRIPE_CYCLES
    assert boundary.INPUT_STRIPES == INPUT_STRIPES
    assert list(events.EVENTS)[f.E_READS] == "reads"
    assert [n for n in vars(f) if n.startswith("E_") and getattr(f, n) == len(events.EVENTS) - 1] == ["E_ARRAY_CYCLES"]


@given(
    chip=CORES,
    rows=st.integers(1, 700),
    columns=st.integers(1, 300),
    run=st.integers(1, 300),
    taps=st.tuples(st.integers(1, 5), st.integers(1, 3)),
    flags=st.sampled_from([0, f.BIAS, f.BIAS | f.COLUMN_SCALE | f.TABLE, f.COLUMN_SCALE | f.ADD, f.RAW, f.HOLD, f.MUL]),
)
@settings(max_examples=150, deadline=None)
def test_dot_takes_the_cycles_and_events_of_the_rules(durations, chip, rows, columns, run, taps, flags):
    k = run * taps[0] * taps[1]
    stream = {"a_count": rows, "a_run": run, "a_taps_y": taps[0], "a_taps_x": taps[1]}
    ins = Dot(flags=flags, b_count=columns, b_run=k, b_taps_y=1, b_taps_x=1, **stream)
    p = np.zeros(f.PART_FIELDS, np.int64)
    p[f.P_A_RUN], p[f.P_TAPS_Y], p[f.P_TAPS_X], p[f.P_B_RUN], p[f.P_B_TAPS] = run, *taps, k, 1
    p[f.P_FLAGS], p[f.P_COUNT] = flags, columns
    out = np.zeros(4, np.int64)
    core = model.figures(chip)
    durations.dot_cycles(core, p, rows, columns, out)
    t = cycles.dot_timing(chip.core, ins)
    assert out.tolist() == [t.first, t.rest, t.last_drain, t.last_spacing]
    counted, wanted = np.zeros(f.EVENT_COUNT), [0.0] * f.EVENT_COUNT
    durations.dot_events(core, p, rows, columns, counted)
    events._count(chip.core, ins, wanted)
    assert counted.tolist() == wanted


@given(
    chip=CORES,
    kind=st.sampled_from(list(VecKind)),
    flags=st.sampled_from([0, f.TABLE, f.BIAS | f.COLUMN_SCALE, f.CLAMP_EDGE]),
    size=st.tuples(st.integers(1, 12), st.integers(1, 20), st.integers(1, 130)),
    taps=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    steps=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)),
    pads=st.tuples(st.integers(-2, 4), st.integers(-2, 4)),
    height=st.integers(1, 20),
    width=st.integers(1, 30),
)
@settings(max_examples=200, deadline=None)
def test_vec_takes_the_cycles_and_events_of_the_rules(
    durations, chip, kind, flags, size, taps, steps, pads, height, width
):
    rows, columns, channels = size
    pixel = channels
    fields = {
        "kind": int(kind), "flags": flags, "columns": columns, "channels": channels, "taps_y": taps[0],
        "taps_x": taps[1], "y_step": steps[0], "x_step": steps[1] * pixel, "tap_y_step": steps[2],
        "tap_x_step": steps[3] * pixel, "pad_x": pads[1] * pixel, "width_bytes": width * pixel,
    }  # fmt: skip
    ins = Vec(rows=rows, height=height, pad_y=pads[0], **fields)
    p = np.zeros(f.PART_FIELDS, np.int64)
    p[f.P_KIND], p[f.P_FLAGS], p[f.P_WIDTH], p[f.P_COUNT] = int(kind), flags, columns, channels
    p[f.P_TAPS_Y], p[f.P_TAPS_X], p[f.P_Y_STEP], p[f.P_TAP_Y] = *taps, steps[0], steps[2]
    p[f.P_X_STEP], p[f.P_TAP_X], p[f.P_PAD_X] = steps[1] * pixel, steps[3] * pixel, pads[1] * pixel
    p[f.P_WIDTH_BYTES] = width * pixel
    core = model.figures(chip)
    took = durations.vec_cycles(core, p, rows, height, pads[0], np.zeros(4, np.int64))
    assert took == cycles.vec_cycles(chip.core, ins)
    counted, wanted = np.zeros(f.EVENT_COUNT), [0.0] * f.EVENT_COUNT
    durations.vec_events(core, p, rows, took, counted)
    events._count(chip.core, ins, wanted)
    assert counted.tolist() == wanted


def compared(graph, chip):
    """Return (cycles of the model, of the compiled program) after holding events; None where there is nothing."""
    run = model.run([sketch(graph, Shape.of(chip.core))], chip)
    try:
        compiled = compile_graph(graph, chip, Options(mode="throughput"))
    except CompileError:
        return None
    if run is None:
        return None
    timing = simulate(chip, compiled.segment)
    real = count_events(chip, compiled.segment, timing)
    if run.plan == "resident" and chip.cores == 1:
        ours = {name: run.counts.total(name) for name in events.EVENTS if name != "array_cycles"}
        assert ours == {name: real.total(name) for name in ours}
        assert run.instructions == len(compiled.segment.cores[0].frame)
    return run.cycles, timing.cycles


CHIPS = (
    make_chip(8),
    make_chip(16, bank=64, banks=128),
    make_chip(32, port=64, lanes=48, taps=2, bank=2048, beat=16),
    make_chip(4, cores=3, bytes_per_s=2 * 10**9, row=1),
)


@pytest.mark.parametrize("chip", CHIPS, ids=["8", "16-tight", "32-wide", "4x3"])
def test_random_graphs_take_about_as_long_as_compiled_ones(chip):
    found = [compared(random_graph(seed), chip) for seed in range(24)]
    ratios = np.array([ours / real for ours, real in filter(None, found)])
    assert len(ratios) > 10
    assert np.median(np.abs(ratios - 1)) < (0.005 if chip.cores == 1 else 0.02)
    assert np.quantile(np.abs(ratios - 1), 0.75) < (0.03 if chip.cores == 1 else 0.05)


def test_a_real_network_takes_the_same_to_a_few_cycles():
    data = digits.load_data()
    feeds = [{digits.INPUT: image[None]} for image in data.calibration[:4]]
    pieces = load(digits.model_path(), calibration=feeds).pieces
    (graph,) = [piece.graph for piece in pieces if isinstance(piece, ChipPiece)]
    for dim in (8, 16, 64):
        ours, real = compared(graph, make_chip(dim, bank=4096))
        assert abs(ours - real) <= 0.002 * real


def test_maps_that_do_not_fit_are_beyond_the_model():
    graph = random_graph(7)
    chip = make_chip(8, banks=4, bank=256)
    assert model.run([sketch(graph, Shape.of(chip.core))], chip) is None
