"""The bound: below every program the compiler makes, exact where arithmetic on paper says so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.chip.chip import Chip, Core, Dram, Scratchpad
from chanzi.compiler import compile_graph
from chanzi.cost.bound import bound
from chanzi.graph.ops import (
    Binary,
    Concat,
    Const,
    Conv,
    Graph,
    Lookup,
    MatMul,
    Pad,
    Permute,
    Pool,
    Quant,
    Resize,
    Slice,
    Softmax,
    Tensor,
)
from chanzi.sim.timing import simulate

Q = Quant(scale=0.1, zero=0, dtype="int8")


def make_chip(dim=8, cores=1, port=0, lanes=0, scratchpad=1 << 20):
    return Chip(
        name="t",
        clock_hz=1_000_000_000,
        cores=cores,
        core=Core(dim=dim, port_bytes=port, lanes=lanes, scratchpad=Scratchpad(bytes=scratchpad, banks=128)),
        dram=Dram(bytes_per_s=64_000_000_000),
    )


def tensor(name, *shape):
    return Tensor(name=name, shape=shape, quant=Q)


def conv(name, x, filters, kernel=1, stride=1, pad=0, groups=1):
    h, w, c = x.shape
    out = [(n + 2 * pad - kernel) // stride + 1 for n in (h, w)]
    weight = np.random.default_rng(len(name)).integers(-9, 9, (filters, kernel, kernel, c // groups)).astype(np.int8)
    return Conv(
        name=name,
        x=x,
        y=tensor(f"{name}.y", *out, filters),
        weight=weight,
        weight_scale=np.full(filters, 0.01, np.float32),
        strides=(stride, stride),
        pads=(pad,) * 4,
        groups=groups,
    )


def graph(*ops):
    return Graph(name="g", inputs=(ops[0].inputs[0],), outputs=(ops[-1].y,), ops=ops)


@st.composite
def networks(draw):
    x = tensor("x", draw(st.integers(3, 12)), draw(st.integers(3, 12)), draw(st.sampled_from([1, 3, 8, 16, 24])))
    ops = []
    for i in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["1x1", "3x3", "depthwise", "max", "avg", "add"]))
        stride = draw(st.integers(1, 2)) if min(x.shape[:2]) > 2 else 1
        filters = draw(st.sampled_from([1, 5, 8, 17, 40]))
        match kind:
            case "1x1":
                op = conv(f"c{i}", x, filters, 1, stride)
            case "3x3":
                op = conv(f"c{i}", x, filters, 3, stride, 1)
            case "depthwise":
                op = conv(f"c{i}", x, x.shape[2], 3, stride, 1, groups=x.shape[2])
            case "add":
                op = Binary(name=f"c{i}", kind="add", a=x, b=x, y=tensor(f"c{i}.y", *x.shape))
            case _:
                out = [(n - 1) // stride + 1 for n in x.shape[:2]]
                y = tensor(f"c{i}.y", *out, x.shape[2])
                op = Pool(name=f"c{i}", kind=kind, x=x, y=y, kernel=(3, 3), strides=(stride,) * 2, pads=(1,) * 4)
        ops.append(op)
        x = op.y
    return graph(*ops)


@settings(max_examples=40)
@given(networks(), st.sampled_from([(8, 8, 8), (16, 16, 16), (16, 32, 32), (48, 64, 48)]))
def test_no_program_of_the_compiler_beats_it(g, sizes):
    chip = make_chip(*sizes[:1], port=sizes[1], lanes=sizes[2])
    compiled = compile_graph(g, chip)
    assert simulate(chip, compiled.segment).cycles >= bound(chip, g).cycles
    cold = simulate(chip, compiled.segment, part="cold").cycles
    assert cold >= bound(chip, g, resident=False).cycles


def test_a_full_array_needs_macs_over_cells():
    b = bound(make_chip(8), graph(conv("c", tensor("x", 8, 8, 64), 16)))
    assert b.array == 64 * 64 * 16 / 64
    assert b.engine == "array"


def test_few_pixels_and_few_filters_cannot_fill_it():
    """49 pixels take one tile of 96 rows; 64 filters of a 1x1 convolution take 2/3 of 96 columns."""
    chip = make_chip(96, port=128)
    assert bound(chip, graph(conv("c", tensor("x", 7, 7, 512), 96))).array == 512
    few = bound(chip, graph(conv("c", tensor("x", 96, 96, 512), 64))).layers[0]
    assert few.array == pytest.approx(96 * 512)


def test_neighbours_in_one_row_fill_columns_that_filters_leave_empty():
    """Two 3x3 windows side by side are 12 positions: 96 columns x 9 / 12 products a row, against 64."""
    chip = make_chip(96, port=128)
    x = tensor("x", 98, 98, 512)
    b = bound(chip, graph(conv("c", x, 64, 3))).layers[0]
    assert b.array == pytest.approx(96 * 96 * 64 * 9 * 512 / (96 * 72))


def test_a_matrix_vector_product_streams_one_word_a_cycle():
    b = bound(make_chip(8), graph(conv("fc", tensor("x", 1, 1, 800), 80)))
    assert b.array == 800 * 80 / 8


def test_ports_bind_short_windows():
    """A word for every row of every tile, however short: 96 rows of 16 channels cost 96 cycles."""
    chip = make_chip(96, port=128)
    layer = bound(chip, graph(conv("c", tensor("x", 96, 96, 16), 96))).layers[0]
    assert layer.array == pytest.approx(96 * 16)
    assert layer.scratchpad == pytest.approx(96 * 96)


def test_filters_of_a_sibling_may_fill_the_columns():
    chip = make_chip(96, port=128)
    x = tensor("x", 96, 96, 512)
    a, b = conv("a", x, 64), conv("b", x, 32)
    g = Graph(name="g", inputs=(x,), outputs=(a.y, b.y), ops=(a, b))
    assert bound(chip, g).array == pytest.approx(96 * 512)


def test_depthwise_is_shared_between_engines():
    chip = make_chip(96, port=128)
    b = bound(chip, graph(conv("d", tensor("x", 56, 56, 192), 192, 3, 1, 1, groups=192)))
    assert b.array == pytest.approx(b.vector)
    assert 0 < b.array < b.layers[0].vector
    assert b.layers[0].cycles == pytest.approx(b.array)


def test_an_addition_rides_on_a_convolution_or_costs_words():
    chip = make_chip(8)
    x = tensor("x", 8, 8, 64)
    c = conv("c", x, 64)
    add = Binary(name="add", kind="add", a=c.y, b=x, y=tensor("add.y", 8, 8, 64))
    assert bound(chip, graph(c, add)).vector == 0
    alone = Binary(name="add", kind="add", a=x, b=x, y=tensor("add.y", 8, 8, 64))
    assert bound(chip, graph(alone)).vector == 8 * 8 * 64 / 8


def test_dram_cold_resident_and_too_large():
    x = tensor("x", 8, 8, 64)
    g = graph(conv("c", x, 1024))
    ends, weights = 8 * 8 * (64 + 1024), 64 * 1024
    assert bound(make_chip(8), g).dram == ends / 64
    assert bound(make_chip(8), g, resident=False).dram == (ends + weights) / 64
    small = make_chip(8, scratchpad=1 << 14)
    assert bound(small, g).dram == (ends + weights - (1 << 14)) / 64


def test_cores_and_frames():
    g = graph(conv("c", tensor("x", 8, 8, 64), 16))
    chip = make_chip(8, cores=4)
    one = bound(chip, g)
    assert bound(chip, g, cores=4).array == one.array / 4
    both = bound(chip, g, cores=4, frames=4)
    assert (both.array, both.dram) == (one.array, 4 * one.dram)


def transposed(x, y, kernel, stride):
    weight = np.ones((y.shape[2], kernel, kernel, x.shape[2]), np.int8)
    scale = np.full(y.shape[2], 0.01, np.float32)
    return Conv(name="t", x=x, y=y, weight=weight, weight_scale=scale, strides=(stride,) * 2, transposed=True)


def every_operator():
    x = tensor("x", 8, 8, 16)
    table = np.arange(256, dtype=np.uint8)
    return [
        transposed(x, tensor("y", 16, 16, 24), 2, 2),
        conv("huge", tensor("h", 40, 40, 3), 5, 31, 1, 15),
        conv("grouped", x, 32, 3, 1, 1, groups=4),
        Lookup(name="l", kind="sigmoid", x=x, y=tensor("y", 8, 8, 16), table=table),
        Concat(name="c", xs=(x, x), y=tensor("y", 8, 8, 32), axis=2, tables=(None, table)),
        Slice(name="s", x=x, y=tensor("y", 4, 8, 16), starts=(0, 0, 0), ends=(4, 8, 16)),
        Permute(name="p", x=x, y=tensor("y", 8, 8, 16), order=np.arange(16)[::-1]),
        Pad(name="pad", x=x, y=tensor("y", 10, 10, 16), pads=(1, 1, 1, 1), value=0),
        Resize(name="r", kind="nearest", x=x, y=tensor("y", 16, 16, 16), factors=(2, 2)),
        Softmax(name="sm", x=x, y=tensor("y", 8, 8, 16)),
        Pool(name="g", kind="avg", x=x, y=tensor("y", 1, 1, 16), kernel=(8, 8)),
        Const(name="k", y=tensor("y", 1, 1, 16), value=np.zeros((1, 1, 16), np.int8)),
    ]


@pytest.mark.parametrize("op", every_operator(), ids=lambda op: f"{type(op).__name__} {op.name}")
def test_every_operator_has_one(op):
    for chip in (make_chip(8), make_chip(96, port=128)):
        g = Graph(name="g", inputs=op.inputs[:1], outputs=(op.y,), ops=(op,))
        b = bound(chip, g)
        layer = b.layers[0]
        assert 0 <= layer.cycles < 1e7
        assert layer.cycles >= layer.macs / chip.core.macs_per_cycle * 0.5, "half of it may be padding, not more"
        assert b.cycles > 0


def test_transposed_convolution_is_its_products_over_cells():
    op = transposed(tensor("x", 8, 8, 16), tensor("y", 16, 16, 24), 2, 2)
    assert bound(make_chip(8), graph(op)).array == 64 * 16 * 24 * 4 / 64


def test_matmul_of_activations():
    a, b = tensor("a", 1, 20, 64), tensor("b", 1, 64, 9)
    op = MatMul(name="m", a=a, b=b, y=tensor("y", 1, 20, 9))
    g = Graph(name="g", inputs=(a, b), outputs=(op.y,), ops=(op,))
    assert bound(make_chip(8), g).array == max(20 * 2, 9 * 3) / 8 * 64
