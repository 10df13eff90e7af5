"""Compiled loops: the instructions of each unit, the bytes they touch, what they wait for, and the events they make."""

import numpy as np
from numba import njit

from chanzi.explore import fields as f
from chanzi.explore.durations import dma_cycles, dot_cycles, dot_events, up, vec_cycles, vec_events
from chanzi.explore.stripes import block_columns, grown


@njit(cache=True, nogil=True)
def _add_span(job, buffer, first, end, bank, late):
    """Append the banks of a buffer in which bytes first .. end lie."""
    if end <= first:
        return
    at = f.J_SPANS + 1 + f.SPAN_FIELDS * job[f.J_SPANS]
    job[at], job[at + 1], job[at + 2], job[at + 3] = buffer, first // bank, (end - 1) // bank + 1, late
    job[f.J_SPANS] += 1


@njit(cache=True, nogil=True)
def lines_read(o, y0, y1):
    """Return the lines [first, end) of an operand that output lines y0 .. y1 read."""
    first = y0 * o[f.O_Y_STEP] - o[f.O_PAD_Y]
    end = y1 * o[f.O_Y_STEP] + o[f.O_REACH] - o[f.O_PAD_Y] + 1
    low = min(max(first, 0), o[f.O_HEIGHT] - 1)
    return low, max(min(end, o[f.O_HEIGHT]), low + 1)


@njit(cache=True, nogil=True)
def _pixels(start, y_step, x_step, first, count, width, n_bytes):
    """Return the bytes [first, end) of `count` pixels."""
    y0, x0 = first // width, first % width
    last = first + count - 1
    y1, x1 = last // width, last % width
    if y0 == y1:
        return start + y0 * y_step + x0 * x_step, start + y0 * y_step + x1 * x_step + n_bytes
    return start + y0 * y_step, start + y1 * y_step + (width - 1) * x_step + n_bytes


@njit(cache=True, nogil=True)
def _dot_spans(job, p, operands, bank, first, count, column, columns):
    """Append the spans of a DOT over `count` pixels from `first` on, `columns` columns from `column` on."""
    width = p[f.P_WIDTH]
    y0, y1 = first // width, (first + count - 1) // width
    inside = first - y0 * width
    for at in range(p[f.P_OPERAND], p[f.P_OPERANDS]):
        o = operands[at]
        low, end = lines_read(o, y0, y1)
        start = (o[f.O_LINE0] + low) * o[f.O_LINE_BYTES] + o[f.O_OFFSET]
        if o[f.O_ROLE] == f.RESIDUAL:
            a, b = _pixels(start + column, o[f.O_LINE_BYTES], p[f.P_RES_X], inside, count, width, columns)
            _add_span(job, o[f.O_BUFFER], a, b, bank, 1)
        elif o[f.O_ROLE] == f.WINDOW and end - low == 1 and y0 == y1:
            x0 = max(inside * o[f.O_X_STEP] - o[f.O_PAD_X], 0)
            x1 = min((inside + count - 1) * o[f.O_X_STEP] - o[f.O_PAD_X] + o[f.O_X_REACH], o[f.O_WIDTH_BYTES])
            _add_span(job, o[f.O_BUFFER], start + x0, start + x1, bank, 0)
        else:
            stop = start + (end - 1 - low) * o[f.O_LINE_BYTES] + o[f.O_WIDTH_BYTES]
            _add_span(job, o[f.O_BUFFER], start, stop, bank, 0)
    start = (p[f.P_OUT_LINE] + y0 * p[f.P_SCALE]) * p[f.P_OUT_LINE_BYTES] + p[f.P_OUT_OFFSET] + column
    a, b = _pixels(start, p[f.P_OUT_Y], p[f.P_OUT_X], inside, count, width, columns)
    _add_span(job, p[f.P_OUT], a, b, bank, 1)


@njit(cache=True, nogil=True)
def _vec_spans(job, p, operands, bank, y0, y1):
    """Append the spans of a VEC over lines y0 .. y1."""
    rows, width = y1 - y0 + 1, p[f.P_WIDTH]
    for at in range(p[f.P_OPERAND], p[f.P_OPERANDS]):
        o = operands[at]
        low, end = lines_read(o, y0, y1)
        start = (o[f.O_LINE0] + low) * o[f.O_LINE_BYTES] + o[f.O_OFFSET]
        if o[f.O_ROLE] == f.SECOND:
            n = 1 if p[f.P_SCALAR] else p[f.P_COUNT]
            stop = start + (rows - 1) * p[f.P_SECOND_Y] + (width - 1) * p[f.P_SECOND_X] + n
        else:
            stop = start + (end - 1 - low) * o[f.O_LINE_BYTES] + o[f.O_WIDTH_BYTES]
        _add_span(job, o[f.O_BUFFER], start, stop, bank, 0)
    start = (p[f.P_OUT_LINE] + y0 * p[f.P_SCALE]) * p[f.P_OUT_LINE_BYTES] + p[f.P_OUT_OFFSET]
    stop = start + (rows - 1) * p[f.P_OUT_Y] + (width - 1) * p[f.P_OUT_X] + p[f.P_COUNT]
    _add_span(job, p[f.P_OUT], start, stop, bank, 0)


@njit(cache=True, nogil=True)
def _transfer(core, row, unit, job, events):
    """Fill the job of a LOAD or STORE over the edge of the network."""
    lines = unit[f.U_END] - unit[f.U_FIRST]
    whole = row[f.N_WHOLE] or (row[f.N_RUNS] == 1 and lines == 1)
    run = lines * row[f.N_RUN] if whole else row[f.N_RUN]
    runs = 1 if whole else lines * row[f.N_RUNS]
    load = row[f.N_ENGINE] == f.LOAD
    offset = unit[f.U_FIRST] * row[f.N_RUN] * row[f.N_RUNS]
    job[f.J_ENGINE] = row[f.N_ENGINE]
    job[f.J_CYCLES], job[f.J_DRAIN] = dma_cycles(core, load, offset, run, runs)
    start = row[f.N_START] + unit[f.U_FIRST] * row[f.N_LINE]
    _add_span(job, row[f.N_BUFFER], start, start + lines * row[f.N_LINE], core[f.C_BANK], 0)
    events[f.E_INSTRUCTIONS] += 1
    events[f.E_DRAM_BYTES] += run * runs
    events[f.E_WRITES if load else f.E_READS] += runs * up(run, core[f.C_PORT])


@njit(cache=True, nogil=True)
def _work(core, p, operands, unit, columns, job, events):
    """Fill the job of a part in a unit; return the last output line."""
    width = p[f.P_WIDTH]
    first = max(unit[f.U_FIRST], 0)
    end = unit[f.U_END] if unit[f.U_FIRST] >= 0 else p[f.P_HEIGHT] * width
    y0, y1 = first // width, (end - 1) // width
    out = np.zeros(4, np.int64)
    job[f.J_ENGINE] = p[f.P_ENGINE]
    if p[f.P_ENGINE] == f.ARRAY:
        column = unit[f.U_BLOCK] * columns
        columns = min(columns, p[f.P_COUNT] - column)
        dot_cycles(core, p, end - first, columns, out)
        job[f.J_CYCLES], job[f.J_REST], job[f.J_DRAIN], job[f.J_SPACING] = out[0], out[1], out[2], out[3]
        _dot_spans(job, p, operands, core[f.C_BANK], first, end - first, column, columns)
        dot_events(core, p, end - first, columns, events)
        return y1
    o = operands[p[f.P_OPERAND]]
    low, stop = lines_read(o, y0, y1)
    pad = low - (y0 * o[f.O_Y_STEP] - o[f.O_PAD_Y])
    cycles = vec_cycles(core, p, y1 - y0 + 1, stop - low, pad, out)
    job[f.J_CYCLES] = cycles
    _vec_spans(job, p, operands, core[f.C_BANK], y0, y1)
    vec_events(core, p, y1 - y0 + 1, cycles, events)
    return y1


@njit(cache=True, nogil=True)
def _add_need(needs, n, node, lines):
    """Append a need; return the table and its length."""
    needs = grown(needs, n)
    needs[n, 0], needs[n, 1] = node, lines
    return needs, n + 1


@njit(cache=True, nogil=True)
def _needs_of_store(row, unit, operands, sources, needs, n):
    """Append what a unit over the edge of the network waits for."""
    for at in range(row[f.N_OPERAND], row[f.N_OPERANDS]):
        for s in range(operands[at, f.O_SOURCE], operands[at, f.O_SOURCES]):
            lines = max(0, min(unit[f.U_END] + sources[s, f.S_SHIFT], sources[s, f.S_HEIGHT]))
            needs, n = _add_need(needs, n, sources[s, f.S_NODE], lines)
    return needs, n


@njit(cache=True, nogil=True)
def _needs_of_part(p, y1, operands, sources, needs, n):
    """Append what a part waits for to compute its lines up to y1."""
    for at in range(p[f.P_OPERAND], p[f.P_OPERANDS]):
        o = operands[at]
        if not o[f.O_NEEDED]:
            continue
        _, stop = lines_read(o, y1, y1)
        for s in range(o[f.O_SOURCE], o[f.O_SOURCES]):
            lines = max(0, min(o[f.O_BASE] + stop + sources[s, f.S_SHIFT], sources[s, f.S_HEIGHT]))
            if o[f.O_STEM]:
                lines = min(stop, o[f.O_HEIGHT])
            needs, n = _add_need(needs, n, sources[s, f.S_NODE], lines)
    return needs, n


@njit(cache=True, nogil=True)
def _load_constants(core, p, held, columns, block, jobs, n, sizes, n_buffers, events):
    """Append the loads of a block's weights and parameters into buffers of their own, which `held` learns."""
    held[0] = block
    share = min(columns, p[f.P_COUNT] - block * columns)
    for kind in range(2):
        own = p[f.P_WEIGHT_BYTES if kind == 0 else f.P_PARAMETER_BYTES]
        each = p[f.P_COLUMN_BYTES if kind == 0 else f.P_COLUMN_PARAMETER_BYTES]
        size = up(own - (p[f.P_COUNT] - share) * each, 16) * 16
        held[1 + kind] = -1
        if not size:
            continue
        held[1 + kind] = n_buffers
        sizes[n_buffers] = size
        jobs = grown(jobs, n)
        jobs[n, f.J_ENGINE] = f.LOAD
        jobs[n, f.J_CYCLES], jobs[n, f.J_DRAIN] = dma_cycles(core, True, 0, size, 1)
        _add_span(jobs[n], n_buffers, 0, size, core[f.C_BANK], 0)
        events[f.E_INSTRUCTIONS] += 1
        events[f.E_DRAM_BYTES] += size
        events[f.E_WRITES] += up(size, core[f.C_PORT])
        n += 1
        n_buffers += 1
    return jobs, n, n_buffers


@njit(cache=True, nogil=True)
def _sizes(parts, buffers, n_units, staging_bytes):
    """Return the bytes of each buffer: maps, three for constants that stay, room for those that are loaded."""
    sizes = np.zeros(len(buffers) + 3 + 2 * n_units + 2 * len(parts), np.int64)
    for b in range(len(buffers)):
        sizes[b] = buffers[b]
    if not staging_bytes:
        for i in range(len(parts)):
            sizes[len(buffers)] += parts[i, f.P_WEIGHT_BYTES]
            own = 1 if parts[i, f.P_ENGINE] == f.ARRAY else 2
            sizes[len(buffers) + own] += parts[i, f.P_PARAMETER_BYTES]
    return sizes


@njit(cache=True, nogil=True)
def make_jobs(core, nodes, parts, operands, sources, buffers, units, staging_bytes, events):
    """Return (jobs, (leaf, lines) that units need, sizes of all buffers); add events by layer.

    Units learn where their jobs begin (loads of weights first), where work begins and where their needs do. Where
    weights stay, three buffers more hold them; else each block of each part has two of its own.
    """
    jobs = np.zeros((3 * len(units) + 16, f.JOB_FIELDS), np.int64)
    needs = np.zeros((4 * len(units) + 16, 2), np.int64)
    sizes = _sizes(parts, buffers, len(units), staging_bytes)
    n_buffers = len(buffers) + 3
    held = np.zeros((len(parts), 3), np.int64) - 1  # of each part: the block that is loaded, its buffers
    n = n_needs = 0
    for u in range(len(units)):
        unit = units[u]
        row = nodes[unit[f.U_NODE]]
        layer = events[row[f.N_LAYER]]
        unit[f.U_JOB] = unit[f.U_WORK] = n
        unit[f.U_NEED] = n_needs
        if row[f.N_ENGINE] <= f.STORE:
            jobs = grown(jobs, n)
            _transfer(core, row, unit, jobs[n], layer)
            n += 1
            needs, n_needs = _needs_of_store(row, unit, operands, sources, needs, n_needs)
            continue
        block = unit[f.U_BLOCK]
        for i in range(row[f.N_PART], row[f.N_PARTS]):
            columns = block_columns(core, parts[i], staging_bytes)
            if staging_bytes and held[i, 0] != block and block * columns < parts[i, f.P_COUNT]:
                jobs, n, n_buffers = _load_constants(
                    core, parts[i], held[i], columns, block, jobs, n, sizes, n_buffers, layer
                )
        unit[f.U_WORK] = n
        for i in range(row[f.N_PART], row[f.N_PARTS]):
            columns = block_columns(core, parts[i], staging_bytes)
            if block * columns >= parts[i, f.P_COUNT]:
                continue
            jobs = grown(jobs, n)
            y1 = _work(core, parts[i], operands, unit, columns, jobs[n], layer)
            for kind in range(1, 3):
                if held[i, kind] >= 0:
                    _add_span(jobs[n], held[i, kind], 0, sizes[held[i, kind]], core[f.C_BANK], 0)
            n += 1
            needs, n_needs = _needs_of_part(parts[i], y1, operands, sources, needs, n_needs)
    return jobs[:n], needs[:n_needs], sizes[:n_buffers]
