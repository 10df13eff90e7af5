"""Compiled loops: a sketch cut into units of work, as `chanzi.compiler.tile` cuts a network whose maps fit the chip."""

import numpy as np
from numba import njit

from chanzi.explore import fields as f
from chanzi.explore.durations import dot_cycles, up, vec_cycles


@njit(cache=True, nogil=True)
def grown(table, row):
    """Return a table that has `row`."""
    if row < len(table):
        return table
    larger = np.zeros((2 * len(table), table.shape[1]), np.int64)
    for i in range(len(table)):  # a slice would do, and take numba seconds to compile
        for j in range(table.shape[1]):
            larger[i, j] = table[i, j]
    return larger


@njit(cache=True, nogil=True)
def whole_cycles(core, p, operands, out):
    """Return the cycles of a part that is not cut."""
    if p[f.P_ENGINE] == f.ARRAY:
        dot_cycles(core, p, p[f.P_HEIGHT] * p[f.P_WIDTH], p[f.P_COUNT], out)
        return out[0] + out[1]
    o = operands[p[f.P_OPERAND]]
    return vec_cycles(core, p, p[f.P_HEIGHT], o[f.O_HEIGHT], o[f.O_PAD_Y], out)


@njit(cache=True, nogil=True)
def _lines_made(p, o, sources, units, node_unit, nodes, bounds):
    """Write the output lines up to which a stripe more of the operand's makers allows; return how many."""
    height = p[f.P_HEIGHT]
    seen = np.zeros(height + 1, np.uint8)
    for s in range(o[f.O_SOURCE], o[f.O_SOURCES]):
        node = sources[s, f.S_NODE]
        if nodes[node, f.N_ENGINE] == f.LOAD:
            continue
        for u in range(node_unit[node], node_unit[node + 1]):
            done = units[u, f.U_DONE]
            if not done:
                continue
            there = done - sources[s, f.S_SHIFT] - o[f.O_BASE]
            last = (there + o[f.O_PAD_Y] - 1 - o[f.O_REACH]) // o[f.O_Y_STEP] + 1
            y = min(last, height) if done < sources[s, f.S_HEIGHT] else height
            if 0 < y < height:
                seen[y] = 1
    n = 0
    for y in range(1, height):
        if seen[y]:
            bounds[n] = y
            n += 1
    return n


@njit(cache=True, nogil=True)
def _lines_as_they_come(p, operands, sources, units, node_unit, nodes, count, bounds):
    """Write about `count` + 1 bounds of output lines into `bounds`; return how many."""
    height = p[f.P_HEIGHT]
    n = 0
    for at in range(p[f.P_OPERAND], p[f.P_OPERANDS]):
        if operands[at, f.O_NEEDED]:
            if operands[at, f.O_Y_STEP]:
                n = _lines_made(p, operands[at], sources, units, node_unit, nodes, bounds)
            break
    if n > count:
        kept = 0
        for i in range(count):
            y = bounds[int(np.rint(i * (n - 1) / max(count - 1, 1)))]
            if kept == 0 or bounds[kept - 1] != y:
                bounds[kept] = y
                kept += 1
        n = kept
    step = up(height, min(count, height))
    marks = np.zeros(height + 1, np.uint8)
    marks[0] = marks[height] = 1
    last = 0
    for i in range(n + 1):
        y = bounds[i] if i < n else height
        gap = y - last
        pieces = up(gap, step)
        for j in range(1, pieces + 1):
            marks[last + up(gap * j, pieces)] = 1
        last = y
    n = 0
    for y in range(height + 1):
        if marks[y]:
            bounds[n] = y
            n += 1
    return n


@njit(cache=True, nogil=True)
def _tiles(height, width, lines, dim):
    """Return the tiles of a map cut every so many lines."""
    full = height // lines
    rest = height - full * lines
    return full * up(lines * width, dim) + up(rest * width, dim)


@njit(cache=True, nogil=True)
def _array_stripes(height, width, dim, count, come, n_come, pairs):
    """Write the pixel ranges of an array's part into `pairs`; return how many."""
    total = height * width
    tiles = up(total, dim)
    if n_come - 1 >= min(count, 2):
        needed = 0
        for i in range(n_come - 1):
            needed += up((come[i + 1] - come[i]) * width, dim)
        if needed <= tiles:
            for i in range(n_come - 1):
                pairs[i, 0], pairs[i, 1] = come[i] * width, come[i + 1] * width
            return n_come - 1
    most = min(2 * count, height)
    for away in range(max(count, most)):
        for sign in range(2):
            wanted = count - away if sign == 0 else count + away
            if wanted < 1 or wanted > most or (sign and not away) or 2 * wanted < count:
                continue
            lines = up(height, wanted)
            if _tiles(height, width, lines, dim) <= tiles:
                n = 0
                for y in range(0, height, lines):
                    pairs[n, 0], pairs[n, 1] = y * width, min(y + lines, height) * width
                    n += 1
                return n
    step = up(tiles, min(count, tiles)) * dim
    n = 0
    for p in range(0, total, step):
        pairs[n, 0], pairs[n, 1] = p, min(p + step, total)
        n += 1
    return n


@njit(cache=True, nogil=True)
def _cut_part(core, row, nodes, parts, operands, sources, units, node_unit, stripe_cycles, bounds, pairs):
    """Write the pixel ranges of a node whose parts advance together into `pairs`; return how many."""
    p = parts[row[f.N_PART]]
    out = np.zeros(4, np.int64)
    cycles = 0
    for i in range(row[f.N_PART], row[f.N_PARTS]):
        cycles += whole_cycles(core, parts[i], operands, out)
    count = max(int(np.rint(cycles / stripe_cycles)), min(3, cycles // f.MIN_STRIPE_CYCLES), 1)
    by_vector = False
    for at in range(p[f.P_OPERAND], p[f.P_OPERANDS]):
        if operands[at, f.O_NEEDED]:
            made = operands[at, f.O_PRODUCER]
            by_vector = made >= 0 and nodes[made, f.N_ENGINE] == f.VECTOR
            break
    if p[f.P_ENGINE] == f.ARRAY:
        bounds[0], bounds[1], come = 0, p[f.P_HEIGHT], 2
        if by_vector:
            come = _lines_as_they_come(p, operands, sources, units, node_unit, nodes, count, bounds)
        return _array_stripes(p[f.P_HEIGHT], p[f.P_WIDTH], core[f.C_DIM], count, bounds, come, pairs)
    come = _lines_as_they_come(p, operands, sources, units, node_unit, nodes, count, bounds)
    for i in range(come - 1):
        pairs[i, 0], pairs[i, 1] = bounds[i] * p[f.P_WIDTH], bounds[i + 1] * p[f.P_WIDTH]
    return come - 1


@njit(cache=True, nogil=True)
def block_columns(core, p, staging_bytes):
    """Return the columns of B whose weights are loaded together; all where `staging_bytes` is 0 (weights stay)."""
    each = p[f.P_COLUMN_BYTES] + p[f.P_COLUMN_PARAMETER_BYTES]
    if not staging_bytes or p[f.P_ENGINE] != f.ARRAY or not each:
        return p[f.P_COUNT]
    budget = max(staging_bytes // 2, 1)
    fit = max(budget // each, 1)
    if p[f.P_WEIGHT_BYTES] + p[f.P_PARAMETER_BYTES] <= budget or fit >= p[f.P_COUNT]:
        return p[f.P_COUNT]
    dim, atom = core[f.C_DIM], min(16, core[f.C_DIM])
    return fit // dim * dim if fit >= dim else max(fit // atom * atom, atom)


@njit(cache=True, nogil=True)
def cut(core, nodes, parts, operands, sources, stripe_cycles, staging_bytes):
    """Return (units, first unit of each node): blocks of columns outermost, stripes inside."""
    n_nodes = len(nodes)
    node_unit = np.zeros(n_nodes + 1, np.int64)
    units = np.zeros((1024, f.UNIT_FIELDS), np.int64)
    n = 0
    longest = 2
    for i in range(len(parts)):
        tall = up(parts[i, f.P_HEIGHT] * parts[i, f.P_WIDTH], core[f.C_DIM])
        longest = max(longest, parts[i, f.P_HEIGHT] + 2, tall + 2)
    bounds = np.zeros(longest, np.int64)
    pairs = np.zeros((longest, 2), np.int64)
    for node in range(n_nodes):
        node_unit[node] = n
        row = nodes[node]
        if row[f.N_ENGINE] <= f.STORE:
            step = up(row[f.N_LINES], row[f.N_STRIPES])
            for y in range(0, row[f.N_LINES], step):
                units = grown(units, n)
                units[n, f.U_NODE], units[n, f.U_FIRST] = node, y
                units[n, f.U_END] = min(y + step, row[f.N_LINES])
                units[n, f.U_DONE] = units[n, f.U_END] if row[f.N_ENGINE] == f.LOAD else 0
                n += 1
            continue
        found = 1
        pairs[0, 0] = pairs[0, 1] = -1
        if row[f.N_UNIFORM]:
            found = _cut_part(
                core, row, nodes, parts, operands, sources, units, node_unit, stripe_cycles, bounds, pairs
            )
        blocks = 1
        for i in range(row[f.N_PART], row[f.N_PARTS]):
            blocks = max(blocks, up(parts[i, f.P_COUNT], block_columns(core, parts[i], staging_bytes)))
        width = parts[row[f.N_PART], f.P_WIDTH]
        for block in range(blocks):
            for i in range(found):
                units = grown(units, n)
                units[n, f.U_NODE], units[n, f.U_FIRST], units[n, f.U_END] = node, pairs[i, 0], pairs[i, 1]
                units[n, f.U_BLOCK] = block
                if block == blocks - 1:
                    done = min(row[f.N_LINES], pairs[i, 1] // width * row[f.N_SCALE])
                    units[n, f.U_DONE] = row[f.N_LINES] if i == found - 1 else done
                n += 1
    node_unit[n_nodes] = n
    return units[:n], node_unit
