"""Frames go into ports and come out again as the layouts' docstrings say, byte by byte."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanzi.errors import RunError
from chanzi.graph.ops import Quant
from chanzi.program.layout import pack, read_outputs, unpack, write_inputs
from chanzi.program.program import MapLayout, Port, Segment, StemLayout


def port(shape, layout, dtype="uint8", zero=3, addresses=(0,)):
    quant = Quant(scale=1.0, zero=zero, dtype=dtype)
    return Port(name="x", shape=shape, quant=quant, addresses=addresses, layout=layout)


def frame(rng, shape, dtype):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


@given(st.integers(0, 2**32 - 1))
def test_map_layout(seed):
    rng = np.random.default_rng(seed)
    h, w, c = rng.integers(1, 6, 3).tolist()
    dtype = str(rng.choice(["int8", "uint8"]))
    pixel = c + int(rng.integers(0, 5))
    offsets = np.arange(c) if rng.random() < 0.5 else rng.permutation(pixel)[:c]
    layout = MapLayout(line_bytes=w * pixel + 3, pixel_bytes=pixel, channel_offset=offsets.astype(np.int64))
    zero = int(rng.integers(-128, 128)) if dtype == "int8" else int(rng.integers(0, 256))
    p = port((h, w, c), layout, dtype, zero)
    x = frame(rng, (h, w, c), dtype)
    data = pack(p, x)
    want = np.full(p.n_bytes, zero & 0xFF, np.uint8)
    for y in range(h):
        for column in range(w):
            for channel in range(c):
                at = y * layout.line_bytes + column * pixel + offsets[channel]
                want[at] = int(x[y, column, channel]) & 0xFF
    np.testing.assert_array_equal(data, want)
    back = unpack(p, data)
    assert back.dtype == x.dtype
    np.testing.assert_array_equal(back, x)


@given(st.integers(0, 2**32 - 1))
def test_stem_layout(seed):
    rng = np.random.default_rng(seed)
    h, w = rng.integers(1, 9, 2).tolist()
    c, kernel, sy, sx, top, left = (int(rng.integers(1, n)) for n in (4, 5, 4, 4, 3, 3))
    pixel = kernel * sx * c + int(rng.integers(0, 4))
    groups = int(rng.integers(1, 6))
    layout = StemLayout(
        lines=int(rng.integers(1, 6)),
        groups=groups,
        line_bytes=groups * pixel + 5,
        pixel_bytes=pixel,
        kernel_y=kernel,
        stride_y=sy,
        stride_x=sx,
        pad_top=top,
        pad_left=left,
    )
    p = port((h, w, c), layout)
    x = frame(rng, (h, w, c), "uint8")
    want = np.full(p.n_bytes, 3, np.uint8)
    for oy in range(layout.lines):
        for g in range(groups):
            for ky in range(kernel):
                for j in range(sx):
                    line, column = oy * sy + ky - top, g * sx + j - left
                    if 0 <= line < h and 0 <= column < w:
                        at = oy * layout.line_bytes + g * pixel + (ky * sx + j) * c
                        want[at : at + c] = x[line, column]
    np.testing.assert_array_equal(pack(p, x), want)
    with pytest.raises(RunError, match="packed input"):
        unpack(p, want)


def test_wrong_frames_are_refused():
    p = port((2, 2, 1), MapLayout(line_bytes=2, pixel_bytes=1, channel_offset=np.zeros(1, np.int64)))
    with pytest.raises(RunError, match=r"must be uint8 \(2, 2, 1\)"):
        pack(p, np.zeros((2, 2, 1), np.int8))
    with pytest.raises(RunError, match=r"must be uint8 \(2, 2, 1\)"):
        pack(p, np.zeros((2, 1, 2), np.uint8))
    with pytest.raises(RunError, match="4 bytes, not 5"):
        unpack(p, np.zeros(5, np.uint8))


def test_frames_of_a_run_go_to_their_own_addresses():
    layout = MapLayout(line_bytes=2, pixel_bytes=1, channel_offset=np.zeros(1, np.int64))
    p = port((2, 2, 1), layout, addresses=(4, 12))
    segment = Segment(
        name="s",
        cores=(),
        image=np.zeros(0, np.uint8),
        dram_bytes=16,
        inputs=(p,),
        outputs=(p,),
        layers=(),
        frames=2,
    )
    dram = np.zeros(16, np.uint8)
    frames = [{"x": np.full((2, 2, 1), i, np.uint8)} for i in (7, 9)]
    write_inputs(dram, segment, frames)
    assert dram.tolist() == [0] * 4 + [7] * 4 + [0] * 4 + [9] * 4
    assert [f["x"].max() for f in read_outputs(dram, segment)] == [7, 9]
    with pytest.raises(RunError, match="takes x"):
        write_inputs(dram, segment, [{"y": frames[0]["x"]}])
