"""VEC for the fast simulator: loops over lines, pixels, taps and channels; the innermost runs over channels."""

import numpy as np
from numba import njit

from chanzi.sim.fast import micro
from chanzi.sim.fast.dot import requantize

# Where an instruction's numbers lie in its int64 array.
KIND, BASE, LINE_STRIDE, HEIGHT, WIDTH, X_STEP, TAP_X, PAD_X, PAD_Y, Y_STEP, TAP_Y, TAPS_Y, TAPS_X = range(13)
ROWS, COLUMNS, CHANNELS, OUT_BASE, OUT_Y, OUT_X, SECOND_BASE, SECOND_Y, SECOND_X = range(13, 22)
FLIP, ZERO_IN, SECOND_FLIP, SECOND_ZERO, ZERO, USE_TABLE, CLAMP, SCALAR = range(22, 30)
VEC_INTS = 30
SCALE_A, SCALE_B, SCALE, LOW, HIGH = range(5)
VEC_FLOATS = 5

COPY, MAX, SUM, MAC, ADD, MUL, SOFTMAX = range(7)


@njit(cache=True, nogil=True)
def _taps_sum(mem, v, y, x, weight, total):
    """Add up one pixel's taps, all channels: minus zero point, times weight."""
    n = v[CHANNELS]
    flip = np.uint8(v[FLIP])
    zero = np.int32(v[ZERO_IN])
    weighted = v[KIND] == MAC
    for c in range(n):
        total[c] = 0
    for ty in range(v[TAPS_Y]):
        line = y * v[Y_STEP] + ty * v[TAP_Y] - v[PAD_Y]
        if v[CLAMP]:
            line = min(max(line, 0), v[HEIGHT] - 1)
        if line < 0 or line >= v[HEIGHT]:
            continue
        base = v[BASE] + line * v[LINE_STRIDE]
        for tx in range(v[TAPS_X]):
            start = x * v[X_STEP] + tx * v[TAP_X] - v[PAD_X]
            if v[CLAMP]:
                start = min(max(start, 0), v[WIDTH] - n)
            low = min(max(0, -start), n)
            high = max(min(n, v[WIDTH] - start), low)
            x_bytes = mem[base + start + low : base + start + high]
            sums = total[low:high]
            if weighted:
                w_at = (ty * v[TAPS_X] + tx) * n
                factors = weight[w_at + low : w_at + high]
                for c in range(high - low):
                    sums[c] += (np.int32(x_bytes[c] ^ flip) - zero) * np.int32(factors[c])
            else:
                for c in range(high - low):
                    sums[c] += np.int32(x_bytes[c] ^ flip) - zero


@njit(cache=True, nogil=True)
def _taps_max(mem, v, y, x, out):
    """Take the largest of one pixel's taps, all channels; out holds bytes turned to unsigned order."""
    n = v[CHANNELS]
    flip = np.uint8(v[FLIP])
    for c in range(n):
        out[c] = 0
    for ty in range(v[TAPS_Y]):
        line = y * v[Y_STEP] + ty * v[TAP_Y] - v[PAD_Y]
        if v[CLAMP]:
            line = min(max(line, 0), v[HEIGHT] - 1)
        if line < 0 or line >= v[HEIGHT]:
            continue
        base = v[BASE] + line * v[LINE_STRIDE]
        for tx in range(v[TAPS_X]):
            start = x * v[X_STEP] + tx * v[TAP_X] - v[PAD_X]
            if v[CLAMP]:
                start = min(max(start, 0), v[WIDTH] - n)
            low = min(max(0, -start), n)
            high = max(min(n, v[WIDTH] - start), low)
            x_bytes = mem[base + start + low : base + start + high]
            best = out[low:high]
            for c in range(high - low):
                best[c] = max(best[c], np.uint8(x_bytes[c] ^ flip))


@njit(cache=True, nogil=True)
def _operand(mem, v, y, x, out):
    """Read one pixel's only tap, turned to unsigned order; what lies outside is the zero point."""
    n = v[CHANNELS]
    flip = np.uint8(v[FLIP])
    zero = np.uint8(v[ZERO_IN])
    line = y * v[Y_STEP] - v[PAD_Y]
    start = x * v[X_STEP] - v[PAD_X]
    if v[CLAMP]:
        line = min(max(line, 0), v[HEIGHT] - 1)
        start = min(max(start, 0), v[WIDTH] - n)
    low = min(max(0, -start), n)
    high = max(min(n, v[WIDTH] - start), low)
    if line < 0 or line >= v[HEIGHT]:
        low = n
        high = n
    at = v[BASE] + line * v[LINE_STRIDE] + start
    out[:low] = zero
    out[high:n] = zero
    x_bytes = mem[at + low : at + high]
    inside = out[low:high]
    for c in range(high - low):
        inside[c] = x_bytes[c] ^ flip


@njit(cache=True, nogil=True)
def _two_operands(mem, v, f, y, x, value, out):
    """Add or multiply one pixel's operands; out holds the first. The value includes the result's zero point."""
    n = v[CHANNELS]
    flip_byte = np.uint8(v[SECOND_FLIP])
    flip_a = np.int32(v[FLIP])
    flip_b = np.int32(v[SECOND_FLIP])
    zero_a = np.int32(v[ZERO_IN])
    zero_b = np.int32(v[SECOND_ZERO])
    scale_a = f[SCALE_A]
    scale_b = f[SCALE_B]
    scale = f[SCALE]
    zero = np.float32(v[ZERO])
    offset = zero - micro.fma(scale_a, np.float32(zero_a - flip_a), scale_b * np.float32(zero_b - flip_b))
    at = v[SECOND_BASE] + y * v[SECOND_Y] + x * v[SECOND_X]
    if v[SCALAR]:
        stored = np.int32(mem[at] ^ flip_byte)
        if v[KIND] == ADD:
            rest = micro.fma(scale_b, np.float32(stored - flip_b), offset)
            for c in range(n):
                value[c] = micro.fma(scale_a, np.float32(np.int32(out[c]) - flip_a), rest)
        else:
            b = np.float32(stored - zero_b)
            for c in range(n):
                value[c] = (np.float32(np.int32(out[c]) - zero_a) * b) * scale + zero
        return
    second = mem[at : at + n]
    if v[KIND] == ADD:
        for c in range(n):
            rest = micro.fma(scale_b, np.float32(np.int32(second[c] ^ flip_byte) - flip_b), offset)
            value[c] = micro.fma(scale_a, np.float32(np.int32(out[c]) - flip_a), rest)
    else:
        for c in range(n):
            b = np.float32(np.int32(second[c] ^ flip_byte) - zero_b)
            value[c] = (np.float32(np.int32(out[c]) - zero_a) * b) * scale + zero


@njit(cache=True, nogil=True)
def _pixel(mem, v, f, y, x, weight, bias, scale, table, total, value, out):
    """Compute one output pixel."""
    kind = v[KIND]
    n = v[CHANNELS]
    zero = np.int32(v[ZERO])
    if kind in (SUM, MAC):
        _taps_sum(mem, v, y, x, weight, total)
        for c in range(n):
            value[c] = np.float32(np.int32(total[c] + bias[c])) * scale[c]
        requantize(value, n, f[LOW], f[HIGH], zero, out)
    elif kind == MAX:
        _taps_max(mem, v, y, x, out)
        flip = np.uint8(v[FLIP])
        for c in range(n):
            out[c] ^= flip
    else:
        _operand(mem, v, y, x, out)
        if kind == COPY:
            flip = np.uint8(v[FLIP])
            for c in range(n):
                out[c] ^= flip
        else:
            _two_operands(mem, v, f, y, x, value, out)
            requantize(value, n, f[LOW], f[HIGH], np.int32(0), out)
    if v[USE_TABLE]:
        for c in range(n):
            out[c] = table[out[c]]
    at = v[OUT_BASE] + y * v[OUT_Y] + x * v[OUT_X]
    mem[at : at + n] = out


@njit(cache=True, nogil=True)
def pixels(mem, v, f, first, last, weight, bias, scale, table):
    """Compute output pixels first .. last - 1, counted along the lines."""
    n = v[CHANNELS]
    total = np.empty(n, np.int32)
    value = np.empty(n, np.float32)
    out = np.empty(n, np.uint8)
    for p in range(first, last):
        y, x = divmod(p, v[COLUMNS])
        _pixel(mem, v, f, y, x, weight, bias, scale, table, total, value, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _softmax_pixel(mem, v, f, y, x, table, value, out):
    """Compute one pixel's softmax; the sum runs over the channels in order."""
    n = v[CHANNELS]
    _operand(mem, v, y, x, out)
    most = np.uint8(0)
    for c in range(n):
        most = max(most, out[c])
    raise_by = np.uint8(255) - most
    flip = np.uint8(v[FLIP])
    total = np.float32(0)
    for c in range(n):
        entry = table[np.uint8(np.uint8(out[c] + raise_by) ^ flip)]
        value[c] = entry
        total += entry
    scale = f[SCALE]
    for c in range(n):
        value[c] = (value[c] * scale) / total
    requantize(value, n, f[LOW], f[HIGH], np.int32(v[ZERO]), out)
    at = v[OUT_BASE] + y * v[OUT_Y] + x * v[OUT_X]
    mem[at : at + n] = out


@njit(cache=True, nogil=True, error_model="numpy")
def softmax(mem, v, f, first, last, table):
    """Compute softmax of output pixels first .. last - 1."""
    value = np.empty(v[CHANNELS], np.float32)
    out = np.empty(v[CHANNELS], np.uint8)
    for p in range(first, last):
        y, x = divmod(p, v[COLUMNS])
        _softmax_pixel(mem, v, f, y, x, table, value, out)
