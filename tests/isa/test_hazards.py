"""The spans that hazards are judged by cover every byte an instruction reads or writes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chanzi.chip.chip import Core, Scratchpad
from chanzi.conform.shapes import Draw, Region, dot, vec
from chanzi.isa.fields import VecFlag
from chanzi.isa.hazards import streams
from chanzi.isa.instruction import Dot

CORE = Core(dim=4, scratchpad=Scratchpad(bytes=1 << 16, banks=16))
REGIONS = [Region(i * 4096, (i + 1) * 4096) for i in range(5)]


def stream_bytes(ins, side):
    """Every address a stream of DOT reads, by its definition."""

    def get(name):
        return getattr(ins, f"{side}_{name}")

    for row in range(get("first"), get("first") + get("count")):
        y, x = divmod(row, get("row_width"))
        for ty in range(get("taps_y")):
            line = y * get("y_step") + ty * get("tap_y_step") - get("pad_y")
            for tx in range(get("taps_x")):
                start = x * get("x_step") + tx * get("tap_x_step") - get("pad_x")
                for byte in (start, start + get("run") - 1, 0, get("width_bytes") - 1):
                    inside = start <= byte < start + get("run")
                    if inside and 0 <= line < get("height") and 0 <= byte < get("width_bytes"):
                        yield get("base") + line * get("line_stride") + byte


def operand_bytes(ins):
    """Every address VEC's operand reads, at the ends of each run of channels."""
    for y in range(ins.rows):
        for ty in range(ins.taps_y):
            line = y * ins.y_step + ty * ins.tap_y_step - ins.pad_y
            for x in range(ins.columns):
                for tx in range(ins.taps_x):
                    start = x * ins.x_step + tx * ins.tap_x_step - ins.pad_x
                    if ins.flags & VecFlag.CLAMP_EDGE:
                        line = min(max(line, 0), ins.height - 1)
                        start = min(max(start, 0), ins.width_bytes - ins.channels)
                    for c in (0, ins.channels - 1):
                        if 0 <= line < ins.height and 0 <= start + c < ins.width_bytes:
                            yield ins.base + line * ins.line_stride + start + c


def covered(stream, addresses):
    return all(any(low <= at < high for low, high in stream.spans) for at in addresses)


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_spans_cover_what_dot_reads(seed):
    ins = dot(Draw(np.random.default_rng(seed)), CORE, REGIONS[4], REGIONS[:4], None)
    found = {stream.name: stream for stream in streams(ins)}
    assert covered(found["A"], stream_bytes(ins, "a"))
    assert covered(found["B"], stream_bytes(ins, "b"))


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_spans_cover_what_vec_reads(seed):
    ins = vec(Draw(np.random.default_rng(seed)), CORE, REGIONS[4], REGIONS[:3])
    assert covered(streams(ins)[0], operand_bytes(ins))


def test_pixels_of_several_lines_on_one_line_of_bytes():
    """With y_step 0 every line of pixels reads the same line, all of its windows."""
    shape = {"count": 12, "row_width": 8, "x_step": 4, "run": 4, "taps_y": 1, "taps_x": 1}
    common = {"height": 1, "width_bytes": 100, "line_stride": 100}
    fields = {f"{side}_{name}": value for side in "ab" for name, value in (shape | common).items()}
    assert streams(Dot(**fields))[0].spans == ((0, 100),)


def test_a_window_beside_the_map_reads_nothing():
    shape = {"count": 1, "row_width": 1, "pad_x": 40, "run": 4, "taps_y": 1, "taps_x": 1}
    fields = {
        f"{side}_{name}": value for side in "ab" for name, value in (shape | {"height": 1, "width_bytes": 9}).items()
    }
    (low, high), *_ = streams(Dot(**fields))[0].spans
    assert low == high
