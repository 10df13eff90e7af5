"""Compiled loops: what one part of a sketch costs, by the timing rules of `chanzi.isa.cycles` and the events' rules.

A second writing of `dot_timing`, `vec_cycles` and of `chanzi.cost.events` in integers, for speed alone; tests hold each
to the original, number for number.
"""

import numpy as np
from numba import njit

from chanzi.explore import fields as f


@njit(cache=True, nogil=True)
def up(n, d):
    """Return n / d, rounded up."""
    return -(-n // d)


@njit(cache=True, nogil=True)
def _feed(k, m, n, a_words, b_words, parameters):
    return max(max(k, parameters), max(m * a_words, n * b_words))


@njit(cache=True, nogil=True)
def _drain(m, turns, dim):
    return m * turns + max(0, dim - m - turns + 1)


@njit(cache=True, nogil=True)
def dot_cycles(core, p, rows, columns, out):
    """Write (first, rest, last drain, last spacing) of a DOT of `rows` by `columns` into `out`."""
    dim, word = core[f.C_DIM], core[f.C_PORT]
    flags = p[f.P_FLAGS]
    k = p[f.P_A_RUN] * p[f.P_TAPS_Y] * p[f.P_TAPS_X]
    a_words = p[f.P_TAPS_Y] * p[f.P_TAPS_X] * up(p[f.P_A_RUN], word)
    b_words = p[f.P_B_TAPS] * up(p[f.P_B_RUN], word)
    drains = (flags & f.HOLD) == 0
    table_words = up(256, word) if flags & f.TABLE else 0
    per_column = (1 if flags & f.BIAS else 0) + (1 if flags & f.COLUMN_SCALE else 0)
    m_full, m_part = rows // dim, rows % dim
    n_full, n_part = columns // dim, columns % dim
    m_first = dim if m_full else m_part
    m_first_count = m_full if m_full else 1
    m_last = m_part if m_part else dim
    total = first = previous = 0
    turns = 1
    for width in range(2):
        n = dim if width == 0 else n_part
        count = n_full if width == 0 else (1 if n_part else 0)
        if not count:
            continue
        parameters = per_column * up(4 * n, word)
        turns = up(4 * n, word) if flags & f.RAW else up(n, core[f.C_ROW])
        for turn in range(2):
            repeat = 1 if turn == 0 else count - 1
            if not repeat:
                continue
            enter = _feed(k, m_first, n, a_words, b_words, parameters)
            if turn == 0 and total == 0:
                enter = max(enter, table_words + parameters)
                first = enter
                spacing = enter
            else:
                spacing = max(enter, previous)
            gap = _drain(m_first, turns, dim) if drains else 0
            feed = enter if turn else _feed(k, m_first, n, a_words, b_words, parameters)
            column = spacing + (m_first_count - 1) * max(feed, gap)
            if m_last != m_first:
                column += max(_feed(k, m_last, n, a_words, b_words, parameters), gap)
            previous = _drain(m_last, turns, dim) if drains else 0
            total += repeat * column
    out[0] = first
    out[1] = total - first
    out[2] = m_last * turns if drains else 0
    out[3] = previous


@njit(cache=True, nogil=True)
def _between(first, step, taps, low, high):
    """Return how many of ``first + step * t``, t < taps, lie in low .. high."""
    if step == 0:
        return taps if low <= first <= high else 0
    below = min(max(-((first - low) // step), 0), taps)
    upto = min(max((high - first) // step + 1, 0), taps)
    return max(upto - below, 0)


@njit(cache=True, nogil=True)
def _positions(p, columns, taps_x, out):
    """Write (positions of a line, how many touch the map, outputs that share a word) into `out`."""
    x_step, tap_x, pad_x, width = p[f.P_X_STEP], p[f.P_TAP_X], p[f.P_PAD_X], p[f.P_WIDTH_BYTES]
    channels = p[f.P_COUNT]
    share = 1
    if taps_x > 1 and columns > 1 and tap_x and x_step and x_step % tap_x == 0:
        step = x_step // tap_x
        if step < taps_x and up(taps_x, step) <= f.MAX_SHARE:
            count = (columns - 1) * step + taps_x
            low = max(up(pad_x - channels + 1, tap_x), 0)
            high = min((pad_x + width - 1) // tap_x, count - 1)
            out[0], out[1], out[2] = count, max(high - low + 1, 0), up(taps_x, step)
            return
    inside = 0
    for c in range(columns):
        inside += _between(c * x_step - pad_x, tap_x, taps_x, 1 - channels, width - 1)
    out[0], out[1], out[2] = columns * taps_x, inside, share


@njit(cache=True, nogil=True)
def vec_cycles(core, p, rows, height, pad_y, out):
    """Return the cycles of a VEC of `rows` lines over a map of `height` lines whose first lies `pad_y` further down."""
    word, lanes = core[f.C_PORT], core[f.C_LANES]
    kind, flags, channels, columns = p[f.P_KIND], p[f.P_FLAGS], p[f.P_COUNT], p[f.P_WIDTH]
    if kind == f.V_SOFTMAX:
        bits = 0
        while (word - 1) >> bits:
            bits += 1
        pixel = up(channels, word) + bits + (core[f.C_ADD] + 1) * channels
        return up(1024, word) + rows * columns * pixel + core[f.C_SOFTMAX]
    windowed = kind in (f.V_MAX, f.V_SUM, f.V_MAC)
    taps_y = p[f.P_TAPS_Y] if windowed else 1
    taps_x = p[f.P_TAPS_X] if windowed else 1
    parameters = 0
    if kind in (f.V_SUM, f.V_MAC):
        parameters = up(4 * lanes, word) * ((1 if flags & f.BIAS else 0) + (1 if flags & f.COLUMN_SCALE else 0))
    if kind == f.V_MAC:
        parameters += taps_y * taps_x
    divide = taps_x + 2 if taps_x > 1 else 1
    _positions(p, columns, taps_x, out)
    positions, inside, share = out[0], out[1], out[2]
    turns = up(share, core[f.C_TAPS])
    lines = 0
    if flags & f.CLAMP_EDGE:
        lines = rows * max(positions * taps_y * turns, taps_y)
    else:
        for r in range(rows):
            found = _between(r * p[f.P_Y_STEP] - pad_y, p[f.P_TAP_Y], taps_y, 0, height - 1)
            lines += max(positions - inside + inside * max(found * turns, 1), taps_y)
    table = up(256, word) if flags & f.TABLE else 0
    return table + up(channels, lanes) * (max(max(parameters, taps_y), divide) + lines)


@njit(cache=True, nogil=True)
def dot_events(core, p, rows, columns, row):
    """Add the events of a DOT to `row`."""
    dim, word = core[f.C_DIM], core[f.C_PORT]
    flags = p[f.P_FLAGS]
    k = p[f.P_A_RUN] * p[f.P_TAPS_Y] * p[f.P_TAPS_X]
    m_tiles, n_tiles = up(rows, dim), up(columns, dim)
    a_words = p[f.P_TAPS_Y] * p[f.P_TAPS_X] * up(p[f.P_A_RUN], word)
    b_words = p[f.P_B_TAPS] * up(p[f.P_B_RUN], word)
    row[f.E_INSTRUCTIONS] += 1
    row[f.E_MACS] += rows * columns * k
    row[f.E_OPERAND_BYTES] += k * (rows * n_tiles + columns * m_tiles)
    row[f.E_READS] += rows * n_tiles * a_words + columns * m_tiles * b_words
    if flags & f.HOLD:
        return
    per_column = (1 if flags & f.BIAS else 0) + (1 if flags & f.COLUMN_SCALE else 0)
    row[f.E_READS] += per_column * up(4 * columns, word) + (up(256, word) if flags & f.TABLE else 0)
    outputs = rows * columns
    row[f.E_SUMS] += outputs
    if flags & f.RAW:
        row[f.E_WRITES] += rows * n_tiles * up(4 * min(dim, columns), word)
        return
    residual = 1 if flags & (f.ADD | f.MUL) else 0
    row[f.E_WRITES] += rows * n_tiles
    row[f.E_READS] += rows * n_tiles * residual
    row[f.E_EPILOGUE_FLOPS] += outputs * (2 + 4 * residual)


@njit(cache=True, nogil=True)
def vec_events(core, p, rows, cycles, row):
    """Add the events of a VEC that takes `cycles` to `row`."""
    kind = p[f.P_KIND]
    outputs = rows * p[f.P_WIDTH] * p[f.P_COUNT]
    words = rows * p[f.P_WIDTH] * up(p[f.P_COUNT], core[f.C_LANES])
    row[f.E_INSTRUCTIONS] += 1
    row[f.E_READS] += cycles + (up(256, core[f.C_PORT]) if p[f.P_FLAGS] & f.TABLE else 0)
    row[f.E_WRITES] += words
    if kind in (f.V_ADD, f.V_MUL):
        row[f.E_READS] += words
        row[f.E_VECTOR_FLOPS] += 6 * outputs
    elif kind in (f.V_MAC, f.V_SUM):
        row[f.E_VECTOR_FLOPS] += 2 * outputs
    elif kind == f.V_SOFTMAX:
        row[f.E_VECTOR_FLOPS] += f.SOFTMAX_FLOPS * outputs
    if kind in (f.V_MAC, f.V_SUM, f.V_MAX):
        row[f.E_VECTOR_MACS] += outputs * p[f.P_TAPS_Y] * p[f.P_TAPS_X]


@njit(cache=True, nogil=True)
def dma_cycles(core, load, offset, run, runs):
    """Return (cycles of the bus, span) of `runs` runs that follow each other in DRAM, the first `offset` bytes in."""
    beat = core[f.C_BEAT]
    slots = 0
    period = beat // np.gcd(run, beat)
    for i in range(min(runs, period)):
        into = (offset + i * run) % beat
        beats = up(into + run, beat)
        spills = load and into and beats > 1 and up(run, beat) == beats
        slots += (beats + (1 if spills else 0)) * (1 + (runs - 1 - i) // period)
    pace = core[f.C_PACE]
    span = ((slots - 1) * pace >> 16) + 1
    return max(span + 1, slots * pace >> 16), span
