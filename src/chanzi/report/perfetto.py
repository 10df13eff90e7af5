"""A run as a trace that https://ui.perfetto.dev opens: cores as processes, engines as threads, waits as arrows.

Times are the chip's own (a cycle at 2 GHz is half a nanosecond, and the format counts in nanoseconds); exact cycles are
in each slice's arguments. Format: the Trace Event Format's JSON array of 'X' (slices), 's'/'f' (arrows), 'C' (counters)
and 'M' (names).
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chanzi.isa.fields import WAITS, Engine
from chanzi.program.trace import Cause, Timing
from chanzi.report.summary import ChipRun

Event = dict[str, Any]

_BUS = 1000
"""Process of what all cores share; after the cores."""
_DRAIN = 4
_THREADS = {
    Engine.LOAD: "load",
    Engine.STORE: "store",
    Engine.ARRAY: "array: feed",
    Engine.VECTOR: "vector",
    _DRAIN: "array: drain and epilogue",
}


def write(path: Path, runs: Sequence[ChipRun]) -> None:
    """Write the runs, each segment's setup first, one after the other, to `path`.

    The file is written beside its place and then renamed, so a half-written trace is never found.
    """
    document = {"displayTimeUnit": "ns", "traceEvents": list(events(runs))}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
    temporary.replace(path)


def events(runs: Sequence[ChipRun]) -> Iterator[Event]:
    """Yield every event of the trace."""
    chip = runs[0].compiled.chip
    cores = max(len(run.compiled.segment.cores) for run in runs)
    for core in range(cores):
        yield _name("process_name", core + 1, 0, f"{chip.name} core {core}")
        yield {"ph": "M", "name": "process_sort_index", "pid": core + 1, "tid": 0, "args": {"sort_index": core}}
        for thread, name in _THREADS.items():
            yield _name("thread_name", core + 1, int(thread) + 1, name)
    yield _name("process_name", _BUS, 0, f"{chip.name} shared")
    offset, arrow = 0, 0
    for run in runs:
        for timing in (run.setup, run.frame):
            if timing is not None and len(timing):
                yield from _slices(run, timing, offset)
                yield from _arrows(run, timing, offset, arrow)
                yield from _counters(run, timing, offset)
                arrow += len(timing)
            offset += timing.cycles if timing is not None else 0


def _name(what: str, pid: int, tid: int, name: str) -> Event:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}


def _clock(run: ChipRun, offset: int) -> Any:
    """Return a function from cycles to the format's microseconds, in whole nanoseconds."""
    ns = 1e9 / run.compiled.chip.clock_hz
    return lambda cycle: round((offset + int(cycle)) * ns) / 1000


def _slices(run: ChipRun, t: Timing, offset: int) -> Iterator[Event]:
    at, segment = _clock(run, offset), run.compiled.segment
    codes = [core.setup if t.part == "setup" else core.frame for core in segment.cores]
    names = [layer.name for layer in segment.layers]
    for row in range(len(t)):
        core, layer = int(t.core[row]), int(t.layer[row])
        ins = codes[core][int(t.index[row])]
        name = names[layer] if layer < len(names) else f"layer {layer}"
        waits = {w: n for w in WAITS if (n := getattr(ins, w))}
        if ins.wait_peer:
            waits["wait_peer"] = f"{ins.wait_peer} of core {ins.peer_core}"
        times = ("dispatched", "ready", "start", "busy_begin", "busy_end", "complete")
        args = {
            "instruction": int(t.index[row]),
            "opcode": ins.opcode.name,
            "layer": layer,
            **{name: int(getattr(t, name)[row]) for name in times},
            **waits,
            "waited last for": Cause(int(t.cause[row])).name,
        }
        if t.dram_bytes[row]:
            args["bytes"] = int(t.dram_bytes[row])
        common = {"ph": "X", "cat": t.part, "name": name, "pid": core + 1}
        begin, end = at(t.busy_begin[row]), at(t.busy_end[row])
        yield {**common, "tid": int(t.engine[row]) + 1, "ts": begin, "dur": round(end - begin, 3), "args": args}
        if t.engine[row] == Engine.ARRAY:
            begin, end = at(t.busy_end[row]), at(t.complete[row])
            before = _previous(t, row)
            begin = max(begin, at(t.complete[before])) if before is not None else begin
            if end > begin:
                yield {**common, "tid": _DRAIN + 1, "ts": begin, "dur": round(end - begin, 3), "args": {}}


def _previous(t: Timing, row: int) -> int | None:
    """Return the DOT before `row` on the same core: its drain occupies the lane until it is complete."""
    for before in range(row - 1, -1, -1):
        if t.core[before] != t.core[row]:
            return None
        if t.engine[before] == Engine.ARRAY:
            return before
    return None


def _arrows(run: ChipRun, t: Timing, offset: int, first: int) -> Iterator[Event]:
    """Yield an arrow from what each instruction waited for last, where that was in another engine."""
    at = _clock(run, offset)
    for row in range(len(t)):
        by = int(t.cause_row[row])
        if by < 0 or t.cause[row] in (Cause.ENGINE, Cause.BUS):
            continue
        common = {"name": "wait", "cat": "wait", "id": first + row}
        source = {"pid": int(t.core[by]) + 1, "tid": int(t.engine[by]) + 1, "ts": at(t.busy_begin[by])}
        target = {"pid": int(t.core[row]) + 1, "tid": int(t.engine[row]) + 1, "ts": at(t.busy_begin[row])}
        yield {"ph": "s", **common, **source}
        yield {"ph": "f", "bp": "e", **common, **target}


def _counters(run: ChipRun, t: Timing, offset: int) -> Iterator[Event]:
    """Yield DRAM bytes per cycle of the bus and the share of multiply-accumulate cells in use on each core."""
    at, segment, square = _clock(run, offset), run.compiled.segment, run.compiled.chip.core.macs_per_cycle
    for row in np.argsort(t.busy_begin, kind="stable").tolist():
        length = int(t.busy_end[row] - t.busy_begin[row])
        if t.dram_bytes[row] and length:
            yield _count(_BUS, "DRAM bytes per cycle", at(t.busy_begin[row]), round(int(t.dram_bytes[row]) / length, 2))
            if not _joins(t, row):
                yield _count(_BUS, "DRAM bytes per cycle", at(t.busy_end[row]), 0)
    codes = [core.setup if t.part == "setup" else core.frame for core in segment.cores]
    for row in range(len(t)):
        if t.engine[row] == Engine.ARRAY:
            core, ins = int(t.core[row]), codes[int(t.core[row])][int(t.index[row])]
            macs = ins.a_count * ins.b_count * ins.a_run * ins.a_taps_y * ins.a_taps_x
            share = 100 * macs / square / max(int(t.busy_end[row] - t.busy_begin[row]), 1)
            yield _count(core + 1, "array cells in use, %", at(t.busy_begin[row]), round(share, 1))
            if not _joins(t, row):
                yield _count(core + 1, "array cells in use, %", at(t.busy_end[row]), 0)


def _joins(t: Timing, row: int) -> bool:
    """Whether another instruction begins in the cycle in which `row` ends: on the bus, or in the same array."""
    if t.engine[row] == Engine.ARRAY:
        like = (t.engine == Engine.ARRAY) & (t.core == t.core[row])
    else:
        like = t.engine <= Engine.STORE
    return bool((like & (t.busy_begin == t.busy_end[row])).any())


def _count(pid: int, name: str, ts: float, value: float) -> Event:
    return {"ph": "C", "name": name, "pid": pid, "tid": 0, "ts": ts, "args": {"value": value}}
