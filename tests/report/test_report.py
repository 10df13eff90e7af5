"""Summary, tables, page and trace of one compiled network, and of hand-made ones."""

import itertools
import json
import math
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from rich.console import Console

from chanzi.chip.load import load_chip
from chanzi.compiler import compile_graph
from chanzi.cost.bound import bound, bound_of, decode, encode
from chanzi.cost.lost import CAUSES
from chanzi.graph.ops import Binary, Conv, Graph, Pool, Quant, Tensor
from chanzi.program.program import Options
from chanzi.report import figures, html, perfetto, tables
from chanzi.report.summary import ChipRun, HostStep, summarize, to_dict
from chanzi.sim.timing import simulate

Q = Quant(scale=0.1, zero=0, dtype="int8")


def tensor(name, *shape):
    return Tensor(name=name, shape=shape, quant=Q)


def conv(name, x, filters, kernel, groups=1):
    weight = np.ones((filters, kernel, kernel, x.shape[2] // groups), np.int8)
    return Conv(
        name=name,
        x=x,
        y=tensor(f"{name}.y", *x.shape[:2], filters),
        weight=weight,
        weight_scale=np.full(filters, 0.01, np.float32),
        pads=(kernel // 2,) * 4,
        groups=groups,
    )


def small_graph():
    x = tensor("x", 14, 14, 32)
    a = conv("first </script>", x, 48, 3)
    b = conv("depth<b>wise", a.y, 48, 3, groups=48)
    c = conv("last", b.y, 48, 1)
    add = Binary(name="add", kind="add", a=c.y, b=a.y, y=tensor("add.y", 14, 14, 48))
    pool = Pool(name="pool", kind="max", x=add.y, y=tensor("y", 7, 7, 48), kernel=(2, 2), strides=(2, 2))
    return Graph(name="g", inputs=(x,), outputs=(pool.y,), ops=(a, b, c, add, pool))


def run_on(name, mode="single"):
    graph, chip = small_graph(), load_chip(name)
    compiled = compile_graph(graph, chip, Options(mode=mode))
    parts = {part: simulate(chip, compiled.segment, part=part) for part in ("frame", "setup")}
    return ChipRun(compiled=compiled, bound=bound_of(compiled, graph), **parts)


@pytest.fixture(scope="module")
def run():
    return run_on("chanzi-16")


@pytest.fixture(scope="module")
def summary(run):
    host = HostStep(name="after", ops=("Softmax",), reason="the output is float", seconds=2e-4, macs=10)
    return summarize("small & <odd>", [run, host])


def test_rows_sum_to_the_totals(run, summary):
    assert sum(row.core_cycles for row in summary.layers) == summary.cycles * summary.cores_used
    assert sum(summary.lost.values()) == summary.cycles * summary.cores_used
    for row in summary.layers:
        assert sum(row.lost.values()) == row.core_cycles
        assert set(row.lost) == set(CAUSES)
        assert row.near_bound is None or 0 <= row.near_bound <= 1
        assert 0 <= row.utilization <= 1
        assert row.taken >= row.cycles
    assert sum(row.dram_bytes for row in summary.layers) == summary.dram_bytes == run.frame.dram_bytes.sum()


def test_totals_agree_with_one_another(summary):
    chip = summary.chip
    assert summary.cold_cycles == summary.cycles + summary.setup_cycles
    assert summary.latency_s == summary.cycles / chip.clock_hz
    assert math.isclose(summary.tops / summary.tops_peak, summary.utilization * summary.cores_used / chip.cores)
    assert summary.achieved is not None
    assert 0 < summary.achieved <= 1
    assert summary.host_seconds == 2e-4
    assert summary.order == (summary.segments[0].name, "after")


@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_many_cores(mode):
    run = run_on("chanzi-64x4", mode)
    summary = summarize("g", [run])
    assert sum(row.core_cycles for row in summary.layers) == summary.cycles * summary.cores_used
    assert summary.achieved is not None
    assert summary.achieved <= 1
    assert summary.frames_per_s == pytest.approx(summary.frames / summary.latency_s)
    for figure in (figures.layer_bars(summary), figures.timeline([run]), figures.scratchpad_map(run, 0)):
        go.Figure(figure)


def test_several_segments_and_chips(run, summary):
    both = summarize("twice", [run, HostStep(name="between", ops=("Gather",)), run])
    assert both.cycles == 2 * run.frame.cycles
    assert both.host_seconds is None
    other = run_on("chanzi-64x4")
    with pytest.raises(ValueError, match="same chip"):
        summarize("mixed", [run, other])
    with pytest.raises(ValueError, match="chip segments"):
        summarize("none", [HostStep(name="all", ops=("Add",))])
    go.Figure(figures.compare([summary, summarize("g", [other])]))


def test_summary_is_json(summary):
    found = json.loads(json.dumps(to_dict(summary)))
    assert found["cycles"] == summary.cycles
    assert found["chip"]["name"] == "chanzi-16"
    assert len(found["layers"]) == len(summary.layers)
    assert found["layers"][0]["lost"] == summary.layers[0].lost


def test_tables_print_every_layer(summary):
    console = Console(width=200, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    for table in (
        tables.layer_table(summary),
        tables.lost_table(summary),
        tables.totals_table(summary),
        tables.steps_table(summary),
        tables.compare_table([summary, summary]),
    ):
        console.print(table)
    text = console.export_text()
    console.file.close()
    for row in summary.layers:
        assert row.name in text
    assert f"{summary.cycles:,}" in text
    assert "Softmax" in text


def test_figures_are_what_plotly_takes(run, summary):
    for figure in (
        figures.layer_bars(summary),
        figures.lost_bar(summary),
        figures.roofline(summary),
        figures.timeline([run, run]),
        figures.scratchpad_map(run),
        figures.compare([summary, summary]),
    ):
        go.Figure(figure)
        assert figure["data"]
        json.dumps(figure)


def test_layer_bars_stack_to_the_layers_cycles(summary):
    figure = figures.layer_bars(summary)
    bars = np.array([trace["y"] for trace in figure["data"] if trace["type"] == "bar"])
    np.testing.assert_allclose(bars.sum(axis=0), [row.cycles for row in summary.layers])


def test_page_is_one_file_and_escapes_names(run, summary, tmp_path):
    path = tmp_path / "report.html"
    html.write(path, summary, [run], others=[summary])
    page = path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path], "no temporary file is left"
    own = page.replace(html.plotly_js(), "")
    assert len(own) < len(page) / 2, "plotly.js is inside, once"
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", own), "nothing is fetched"
    assert "<odd>" not in own
    assert "first </script>" not in own
    assert "depth<b>wise" not in own
    for name in ("lost", "layers", "roofline", "timeline", "map", "energy", "compare"):
        assert f'<div id="{name}">' in own
    data = json.loads(re.search(r'id="figures">(.*?)</script>', own, re.DOTALL)[1])
    assert set(data) == {"lost", "layers", "roofline", "timeline", "map", "energy", "compare"}


def test_trace_is_well_formed(run, tmp_path):
    path = tmp_path / "trace.json"
    perfetto.write(path, [run, run])
    assert list(tmp_path.iterdir()) == [path]
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    lanes = {}
    for event in events:
        assert event["ph"] in "XMCsf"
        if event["ph"] == "X":
            assert event["dur"] >= 0
            lanes.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    for slices in lanes.values():
        slices.sort()
        for (_, end), (begin, _) in itertools.pairwise(slices):
            assert begin >= end - 1e-6, "slices of a thread do not overlap"
    busy = [e for e in events if e["ph"] == "X" and "instruction" in e["args"]]
    assert len(busy) == 2 * (len(run.frame) + len(run.setup))
    starts, ends = ([e["id"] for e in events if e["ph"] == ph] for ph in "sf")
    assert sorted(starts) == sorted(ends)
    assert len(set(starts)) == len(starts)
    named = {e["pid"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}
    assert {e["pid"] for e in events} <= named


def test_bounds_travel_as_json(run):
    graph = small_graph()
    bounds = {"a": bound(run.compiled.chip, graph), "b": bound(run.compiled.chip, graph, resident=False)}
    assert decode(encode(bounds)) == bounds
    for broken in (b"", b"[]", b"{", b'{"a": 1}', b'{"a": {"layers": []}}', b"\xff"):
        assert decode(broken) == {}


def test_numbers_are_short():
    assert tables.number(3_858_000_000, "MAC") == "3.858 GMAC"
    assert tables.number(12) == "12"
    assert tables.seconds(0.000377) == "377 µs"
    assert tables.rate(11740.2) == "11,740"
