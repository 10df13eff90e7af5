"""DOT for the fast simulator: gather rows of A, multiply them with packed B, drain through the epilogue.

Bytes are turned so that A is unsigned and B signed, without subtracting zero points; the exact correction
``-zero_a * sum(b) - zero_b * sum(a) + K * zero_a * zero_b`` follows per column and row. Everything wraps around in 32
bits, so that is the same int32.
"""

import numpy as np
from numba import njit

from chanzi.sim.fast import micro

ROWS = micro.ROWS
LANES = micro.LANES
BLOCK = micro.LANES * micro.VECTORS

# Where a stream's numbers lie in its int64 array.
BASE, FIRST, COUNT, ROW_WIDTH, LINE_STRIDE, HEIGHT, WIDTH, X_STEP, TAP_X, RUN, PAD_X = range(11)
Y_STEP, TAP_Y, TAPS_Y, TAPS_X, PAD_Y, FLIP, FILL, ROW_BYTES = range(11, 19)
STREAM_INTS = 19

# Where the epilogue's numbers lie.
OUT_BASE, OUT_Y, OUT_X, RES_BASE, RES_Y, RES_X, MODE, USE_TABLE, N, ZERO_B = range(10)
MID_SIGNED, MID_ZERO, RES_SIGNED, RES_ZERO, ZERO, OUT_ZERO, CONTINUES, KEPT_ROW, RES_FIRST, CARRY_SHIFT = range(10, 20)
DRAIN_INTS = 20
LOW, HIGH, MID_SCALE, RES_SCALE, OUT_LOW, OUT_HIGH = range(6)
DRAIN_FLOATS = 6

BYTES, RAW, HOLD, ADD, MUL = range(5)


@njit(cache=True, nogil=True)
def _gather_row(mem, s, row, out, at):
    """Write one row of a stream to out[at:]; return the sum of its bytes."""
    y, x = divmod(row, s[ROW_WIDTH])
    flip = np.uint8(s[FLIP])
    fill = np.uint8(s[FILL])
    run = s[RUN]
    o = at
    for ty in range(s[TAPS_Y]):
        line = y * s[Y_STEP] + ty * s[TAP_Y] - s[PAD_Y]
        if line < 0 or line >= s[HEIGHT]:
            end = o + s[TAPS_X] * run
            out[o:end] = fill
            o = end
            continue
        base = s[BASE] + line * s[LINE_STRIDE]
        for tx in range(s[TAPS_X]):
            start = x * s[X_STEP] + tx * s[TAP_X] - s[PAD_X]
            low = min(max(0, -start), run)
            high = max(min(run, s[WIDTH] - start), low)
            if high - low < run:
                out[o : o + run] = fill
            source = mem[base + start + low : base + start + high]
            target = out[o + low : o + high]
            for j in range(high - low):
                target[j] = source[j] ^ flip
            o += run
    out[o : at + s[ROW_BYTES]] = 0


@njit(cache=True, nogil=True)
def _gather(mem, s, first, count, out):
    """Write `count` rows of a stream from row `first` on."""
    for r in range(count):
        _gather_row(mem, s, first + r, out, r * s[ROW_BYTES])


@njit(cache=True, nogil=True)
def _sum_row(data, at, n, signed):
    """Return the sum of n bytes."""
    total = np.int32(0)
    row = data[at : at + n]
    if signed:
        for j in range(n):
            total += np.int32(np.int8(row[j]))
    else:
        for j in range(n):
            total += np.int32(row[j])
    return total


@njit(cache=True, nogil=True)
def pack(mem, s, first, last, packed, sums):
    """Gather rows first .. last - 1 of B and pack them for the inner loop, 64 at a time (`first` is a multiple of 64).

    Fours of k of 16 columns lie side by side; columns past the last are zero. `sums` takes each row's sum.
    """
    row_bytes = s[ROW_BYTES]
    rows = np.empty(BLOCK * row_bytes, np.uint8)
    for start in range(first, last, BLOCK):
        n = min(BLOCK, last - start)
        _gather(mem, s, s[FIRST] + start, n, rows)
        at = start * row_bytes
        for g in range(row_bytes // 4):
            for c in range((n + LANES - 1) // LANES * LANES):
                if c < n:
                    source = c * row_bytes + g * 4
                    packed[at : at + 4] = rows[source : source + 4]
                else:
                    packed[at : at + 4] = 0
                at += 4
        for c in range(n):
            sums[start + c] = _sum_row(rows, c * row_bytes, row_bytes, True)


@njit(cache=True, nogil=True)
def _multiply(A, row, row_bytes, packed, first, vectors, total):
    """Sum six rows times up to 64 columns."""
    a_at = row * row_bytes
    b_at = first * row_bytes
    groups = row_bytes // 4
    if vectors == 4:
        micro.dot_rows_4(A, a_at, row_bytes, packed, b_at, groups, total, 0, BLOCK)
    elif vectors == 3:
        micro.dot_rows_3(A, a_at, row_bytes, packed, b_at, groups, total, 0, BLOCK)
    elif vectors == 2:
        micro.dot_rows_2(A, a_at, row_bytes, packed, b_at, groups, total, 0, BLOCK)
    else:
        micro.dot_rows_1(A, a_at, row_bytes, packed, b_at, groups, total, 0, BLOCK)


@njit(cache=True, nogil=True)
def requantize(value, n, low, high, zero, out):
    """Round n float32 to bytes: clamp, round half to even, add the zero point; NaN gives the lowest."""
    for c in range(n):
        v = value[c]
        v = v if v > low else low
        v = v if v < high else high
        out[c] = np.uint8(np.int32(np.rint(v)) + zero)


@njit(cache=True, nogil=True)
def _second_stage(mem, residual, n, d, f, value, out):
    """Add or multiply the residual: out holds the requantized bytes, value is work space.

    The value that is rounded includes the result's zero point.
    """
    mid_flip = np.int32(128) if d[MID_SIGNED] else np.int32(0)
    res_flip = np.int32(128) if d[RES_SIGNED] else np.int32(0)
    mid_zero = np.int32(d[MID_ZERO]) + mid_flip
    res_zero = np.int32(d[RES_ZERO]) + res_flip
    mid_flip_byte = np.uint8(mid_flip)
    res_flip_byte = np.uint8(res_flip)
    mid_scale = f[MID_SCALE]
    res_scale = f[RES_SCALE]
    zero = np.float32(d[OUT_ZERO])
    other = mem[residual : residual + n]
    if d[MODE] == ADD and d[RES_FIRST]:
        offset = zero - micro.fma(res_scale, np.float32(d[RES_ZERO]), mid_scale * np.float32(d[MID_ZERO]))
        for c in range(n):
            mine = np.float32(np.int32(out[c] ^ mid_flip_byte) - mid_flip)
            theirs = np.float32(np.int32(other[c] ^ res_flip_byte) - res_flip)
            value[c] = micro.fma(res_scale, theirs, micro.fma(mid_scale, mine, offset))
    elif d[MODE] == ADD:
        offset = zero - micro.fma(mid_scale, np.float32(d[MID_ZERO]), res_scale * np.float32(d[RES_ZERO]))
        for c in range(n):
            mine = np.float32(np.int32(out[c] ^ mid_flip_byte) - mid_flip)
            theirs = np.float32(np.int32(other[c] ^ res_flip_byte) - res_flip)
            value[c] = micro.fma(mid_scale, mine, micro.fma(res_scale, theirs, offset))
    else:
        for c in range(n):
            mine = np.float32(np.int32(out[c] ^ mid_flip_byte) - mid_zero)
            theirs = np.float32(np.int32(other[c] ^ res_flip_byte) - res_zero)
            value[c] = (mine * theirs) * mid_scale + zero
    requantize(value, n, f[OUT_LOW], f[OUT_HIGH], np.int32(0), out)


@njit(cache=True, nogil=True)
def _drain_row(mem, row, width, total, t_at, first, n, extra, correction, scale, table, d, f, kept, k_row, value, out):
    """Write one row of a block: n columns from column `first` on."""
    mode = d[MODE]
    shift = np.int32(extra)
    sums = total[t_at : t_at + n]
    fixed = correction[first : first + n]
    for c in range(n):
        sums[c] = np.int32(sums[c] + fixed[c] + shift)
    held = kept[k_row * d[KEPT_ROW] + first :]
    if d[CONTINUES]:
        carry = np.int64(d[CARRY_SHIFT])
        for c in range(n):
            sums[c] += np.int32(np.int64(held[c]) << carry)
    if mode == HOLD:
        for c in range(n):
            held[c] = sums[c]
        return
    y, x = divmod(row, width)
    if mode == RAW:
        at = d[OUT_BASE] + y * d[OUT_Y] + x * d[OUT_X] + 4 * first
        for c in range(n):
            word = np.uint32(sums[c])
            for i in range(4):
                mem[at + 4 * c + i] = np.uint8((word >> np.uint32(8 * i)) & np.uint32(255))
        return
    factor = scale[first : first + n]
    for c in range(n):
        value[c] = np.float32(sums[c]) * factor[c]
    requantize(value, n, f[LOW], f[HIGH], np.int32(d[ZERO]), out)
    if d[USE_TABLE]:
        for c in range(n):
            out[c] = table[out[c]]
    if mode >= ADD:
        residual = d[RES_BASE] + y * d[RES_Y] + x * d[RES_X] + first
        _second_stage(mem, residual, n, d, f, value, out)
    at = d[OUT_BASE] + y * d[OUT_Y] + x * d[OUT_X] + first
    mem[at : at + n] = out[:n]


@njit(cache=True, nogil=True)
def _tile(mem, s, A, first_row, rows, packed, column, correction, scale, table, d, f, kept):
    """Compute and drain `rows` rows (from A's row 0 = row `first_row` of the stream) of up to 64 columns."""
    n = min(BLOCK, d[N] - column)
    vectors = (n + LANES - 1) // LANES
    total = np.empty(ROWS * BLOCK, np.int32)
    value = np.empty(BLOCK, np.float32)
    out = np.empty(BLOCK, np.uint8)
    k = s[TAPS_Y] * s[TAPS_X] * s[RUN]
    row_bytes = s[ROW_BYTES]
    row0 = first_row - s[FIRST]
    for r in range(0, rows, ROWS):
        at = row0 + r
        _multiply(A, r, row_bytes, packed, column, vectors, total)
        for i in range(min(ROWS, rows - r)):
            extra = np.int64(0)
            if d[ZERO_B]:
                extra = -d[ZERO_B] * np.int64(_sum_row(A, (r + i) * row_bytes, k, False))
            _drain_row(
                mem,
                first_row + r + i,
                s[ROW_WIDTH],
                total,
                i * BLOCK,
                column,
                n,
                extra,
                correction,
                scale,
                table,
                d,
                f,
                kept,
                at + i,
                value,
                out,
            )


@njit(cache=True, nogil=True)
def dot(mem, s, first, last, column, end, chunk, packed, correction, scale, table, d, f, kept):
    """Compute rows first .. last - 1 times columns column .. end - 1, gathering `chunk` rows at a time."""
    A = np.empty((min(chunk, last - first) + ROWS - 1) // ROWS * ROWS * s[ROW_BYTES], np.uint8)
    for start in range(first, last, chunk):
        rows = min(chunk, last - start)
        _gather(mem, s, s[FIRST] + start, rows, A)
        for c in range(column, end, BLOCK):
            _tile(mem, s, A, s[FIRST] + start, rows, packed, c, correction, scale, table, d, f, kept)
