"""Compiled loops: when each job starts on one core, and in which order; memory placed as the compiler places it.

`overlap` is `chanzi.compiler.overlap`, addresses known beforehand; `pipelined`, `sequence` and `place` are
`chanzi.compiler.schedule` and `place`, for what is too tight for that.
"""

import numpy as np
from numba import njit

from chanzi.explore import fields as f


@njit(cache=True, nogil=True)
def _before(a, b, sizes, first, last, pinned):
    """Return whether buffer a is placed before buffer b."""
    a_free, b_free = not pinned - 3 <= a < pinned, not pinned - 3 <= b < pinned
    if a_free != b_free:
        return b_free
    if sizes[a] != sizes[b]:
        return sizes[a] > sizes[b]
    if first[a] != first[b]:
        return first[a] < first[b]
    return last[a] < last[b]


@njit(cache=True, nogil=True)
def _first_fit(sizes, first, last, slack_before, slack_after, pinned, bank, capacity, base):
    """Write the first bank of each buffer that is in use (first >= 0) into `base`; return whether all fit.

    Buffers are placed by falling size, pinned ones (three before `pinned`) first; those in use within slack of each
    other share no bank.
    """
    n = len(sizes)
    order = np.zeros(n, np.int64)
    for b in range(n):
        at = b
        while at > 0 and _before(b, order[at - 1], sizes, first, last, pinned):
            order[at] = order[at - 1]
            at -= 1
        order[at] = b
    taken = np.zeros((n, 4), np.int64)
    count = 0
    starts = np.zeros(n, np.int64)
    for i in range(n):
        b = order[i]
        if first[b] < 0 or not sizes[b]:
            continue
        banks = -(-sizes[b] // bank)
        hits = 0
        for j in range(count):
            if taken[j, 2] <= last[b] + slack_after and first[b] - slack_before <= taken[j, 3]:
                at = hits  # kept sorted by the first bank
                while at > 0 and taken[starts[at - 1], 0] > taken[j, 0]:
                    starts[at] = starts[at - 1]
                    at -= 1
                starts[at] = j
                hits += 1
        at = 0
        for j in range(hits):
            row = taken[starts[j]]
            if row[0] - at >= banks:
                break
            at = max(at, row[1])
        if at + banks > capacity:
            return False
        base[b] = at
        taken[count, 0], taken[count, 1], taken[count, 2], taken[count, 3] = at, at + banks, first[b], last[b]
        count += 1
    return True


@njit(cache=True, nogil=True)
def _follow(core, first, last, uses, sizes, base, after):
    """Mark in `after` the nodes that use a buffer after all those that use an older one in the same banks."""
    bank = core[f.C_BANK]
    for a in range(len(sizes)):
        for b in range(len(sizes)):
            if first[a] < 0 or first[b] < 0 or last[a] >= first[b]:
                continue
            if base[a] < base[b] + -(-sizes[b] // bank) and base[b] < base[a] + -(-sizes[a] // bank):
                for late in range(len(after)):
                    if uses[b, late]:
                        for early in range(len(after)):
                            after[late, early] |= uses[a, early]


@njit(cache=True, nogil=True)
def place_by_node(core, n_nodes, units, jobs, sizes, n_maps, base, after):
    """Place buffers for as long as nodes use them; return whether they fit.

    `after[n, m]`: node n waits for all of node m, whose buffers lay in the same banks.
    """
    n = len(sizes)
    first = np.zeros(n, np.int64) - 1
    last = np.zeros(n, np.int64) - 1
    uses = np.zeros((n, n_nodes), np.uint8)
    for u in range(len(units)):
        node = units[u, f.U_NODE]
        stop = units[u + 1, f.U_JOB] if u + 1 < len(units) else len(jobs)
        for j in range(units[u, f.U_JOB], stop):
            for s in range(jobs[j, f.J_SPANS]):
                b = jobs[j, f.J_SPANS + 1 + f.SPAN_FIELDS * s]
                if first[b] < 0:
                    first[b] = node
                last[b] = node
                uses[b, node] = 1
    for b in range(n_maps, n_maps + 3):
        if sizes[b]:
            first[b], last[b] = 0, n_nodes
    bank, banks = core[f.C_BANK], core[f.C_BANKS]
    if not _first_fit(sizes, first, last, f.SLACK_NODES, f.SLACK_NODES, n_maps + 3, bank, banks, base):
        return False
    _follow(core, first, last, uses, sizes, base, after)
    return True


@njit(cache=True, nogil=True)
def _free_at(job, base, at, rivals, late):
    """Return `at`, or when the banks of a job's spans are free if that is later."""
    e = job[f.J_ENGINE]
    for s in range(job[f.J_SPANS]):
        i = f.J_SPANS + 1 + f.SPAN_FIELDS * s
        low = base[job[i]]
        for b in range(low + job[i + 1], low + job[i + 2]):
            at = max(at, rivals[e, b])
            if e == f.ARRAY and not job[i + 3]:
                at = max(at, late[b])
    return at


@njit(cache=True, nogil=True)
def _start(job, base, free, rivals, late, dots):
    """Return when a job can start: its engine, and the banks of its spans, free."""
    e = job[f.J_ENGINE]
    at = max(free[e], dots[0]) if e == f.ARRAY else free[e]
    return _free_at(job, base, at, rivals, late)


@njit(cache=True, nogil=True)
def _issue(core, job, base, free, rivals, late, dots):
    """Advance the clocks and return when the job is complete.

    `dots`: when the last DOT but one and the last are complete, and before when no next first tile ends.
    """
    start = _start(job, base, free, rivals, late, dots)
    e = job[f.J_ENGINE]
    if e == f.ARRAY:
        end = max(start + job[f.J_CYCLES], dots[2]) + job[f.J_REST]
        latency = core[f.C_DIM] + f.ARRAY_PIPELINE_CYCLES
        done = max(end + latency + job[f.J_DRAIN] + core[f.C_EPILOGUE], dots[1])
        dots[2] = end + job[f.J_SPACING]
        dots[0], dots[1] = dots[1], done
        free[e] = end
    elif e == f.VECTOR:
        done = start + job[f.J_CYCLES] + core[f.C_VECTOR]
        free[e] = done
    else:
        if start > free[e] or e == f.STORE:
            start += core[f.C_LATENCY]
        done = start + job[f.J_CYCLES]
        free[e] = done
    for s in range(job[f.J_SPANS]):
        i = f.J_SPANS + 1 + f.SPAN_FIELDS * s
        low = base[job[i]]
        for other in range(4):
            if other != e:
                for b in range(low + job[i + 1], low + job[i + 2]):
                    rivals[other, b] = max(rivals[other, b], done)
        if job[i + 3]:
            for b in range(low + job[i + 1], low + job[i + 2]):
                late[b] = done
    return done


@njit(cache=True, nogil=True)
def _ready(units, u, needs, lines):
    """Return whether all lines that a unit needs have been issued."""
    stop = units[u + 1, f.U_NEED] if u + 1 < len(units) else len(needs)
    for i in range(units[u, f.U_NEED], stop):  # noqa: SIM110 - numba compiles no generator
        if lines[needs[i, 0]] < needs[i, 1]:
            return False
    return True


@njit(cache=True, nogil=True)
def _held(node, after, first_open, heads, node_unit):
    """Return whether a node waits for others that used its banks."""
    for m in range(first_open, len(heads)):  # noqa: SIM110 - numba compiles no generator
        if after[node, m] and heads[m] < node_unit[m + 1] - node_unit[m]:
            return True
    return False


@njit(cache=True, nogil=True)
def overlap(core, nodes, units, node_unit, jobs, needs, base, after, line):
    """Return when the last job is complete, units taken as the compiler's list schedule takes them; -1: never.

    `line` learns the jobs in the order of issue.
    """
    n_nodes = len(nodes)
    heads = np.zeros(n_nodes, np.int64)
    lines = np.zeros(n_nodes, np.int64)
    free = np.zeros(4, np.int64)
    dots = np.zeros(3, np.int64)
    rivals = np.zeros((4, core[f.C_BANKS]), np.int64)
    late = np.zeros(core[f.C_BANKS], np.int64)
    first_open = end = count = 0
    while first_open < n_nodes:
        if heads[first_open] == node_unit[first_open + 1] - node_unit[first_open]:
            first_open += 1
            continue
        choice = -1
        best_start = best_layer = 0
        best_share = 0.0
        seen = 0
        for node in range(first_open, n_nodes):
            if seen == f.OVERLAP_WINDOW:
                break
            size = node_unit[node + 1] - node_unit[node]
            if heads[node] == size:
                continue
            seen += 1
            u = node_unit[node] + heads[node]
            if not _ready(units, u, needs, lines) or _held(node, after, first_open, heads, node_unit):
                continue
            start = _start(jobs[units[u, f.U_JOB]], base, free, rivals, late, dots)
            layer = nodes[node, f.N_LAYER]
            share = heads[node] / size
            better = choice < 0 or start < best_start
            if not better and start == best_start:
                better = layer > best_layer or (layer == best_layer and share < best_share)
            if better:
                choice, best_start, best_layer, best_share = node, start, layer, share
        if choice < 0:
            return -1
        u = node_unit[choice] + heads[choice]
        heads[choice] += 1
        stop = units[u + 1, f.U_JOB] if u + 1 < len(units) else len(jobs)
        for j in range(units[u, f.U_JOB], stop):
            end = max(end, _issue(core, jobs[j], base, free, rivals, late, dots))
            line[count] = j
            count += 1
        if units[u, f.U_DONE]:
            lines[choice] = units[u, f.U_DONE]
    return end


@njit(cache=True, nogil=True)
def _when(units, node_unit, heads, times, leaf, lines):
    """Return when so many lines of a leaf are there, -1 where they have not been issued."""
    for u in range(node_unit[leaf], node_unit[leaf] + heads[leaf]):
        if units[u, f.U_DONE] >= lines:
            return times[u]
    return -1


@njit(cache=True, nogil=True)
def pipelined(core, nodes, units, node_unit, jobs, needs):
    """Return the units in the order of the compiler's schedule without addresses (none where it stands still)."""
    n_nodes = len(nodes)
    heads = np.zeros(n_nodes, np.int64)
    free = np.zeros(4, np.int64)
    times = np.zeros(len(units), np.int64)
    order = np.zeros(len(units), np.int64)
    latency = np.zeros(4, np.int64)
    latency[f.ARRAY] = 2 * core[f.C_DIM] + f.ARRAY_PIPELINE_CYCLES + core[f.C_EPILOGUE]
    latency[f.VECTOR], latency[f.LOAD] = core[f.C_VECTOR], core[f.C_LATENCY]
    first_open = count = 0
    while first_open < n_nodes:
        if heads[first_open] == node_unit[first_open + 1] - node_unit[first_open]:
            first_open += 1
            continue
        choice, best, seen = -1, 0, 0
        for node in range(first_open, n_nodes):
            if seen == f.PIPELINE_WINDOW:
                break
            if heads[node] == node_unit[node + 1] - node_unit[node]:
                continue
            seen += 1
            u = node_unit[node] + heads[node]
            stop = units[u + 1, f.U_NEED] if u + 1 < len(units) else len(needs)
            at = 0
            for i in range(units[u, f.U_NEED], stop):
                if needs[i, 1] > 0:
                    then = _when(units, node_unit, heads, times, needs[i, 0], needs[i, 1])
                    if then < 0:
                        at = -1
                        break
                    at = max(at, then)
            if at < 0:
                continue
            at = max(at, free[jobs[units[u, f.U_WORK], f.J_ENGINE]])
            if choice < 0 or at <= best:
                choice, best = node, at
        if choice < 0:
            return order[:0]
        u = node_unit[choice] + heads[choice]
        heads[choice] += 1
        order[count] = u
        count += 1
        stop = units[u + 1, f.U_JOB] if u + 1 < len(units) else len(jobs)
        start = best
        for j in range(units[u, f.U_JOB], stop):
            e = jobs[j, f.J_ENGINE]
            begin = max(start, free[e])
            free[e] = begin + jobs[j, f.J_CYCLES] + jobs[j, f.J_REST]
            if j < units[u, f.U_WORK]:
                start = begin
        e = jobs[units[u, f.U_WORK], f.J_ENGINE]
        times[u] = free[e] + latency[e]
    return order


@njit(cache=True, nogil=True)
def sequence(units, order, n_jobs, ahead):
    """Return jobs in program order, loads of weights `ahead` units early."""
    found = np.zeros(n_jobs, np.int64)
    n = loaded = 0
    for i in range(len(order)):
        while loaded < len(order) and loaded <= i + ahead:
            u = order[loaded]
            for j in range(units[u, f.U_JOB], units[u, f.U_WORK]):
                found[n] = j
                n += 1
            loaded += 1
        u = order[i]
        stop = units[u + 1, f.U_JOB] if u + 1 < len(units) else n_jobs
        for j in range(units[u, f.U_WORK], stop):
            found[n] = j
            n += 1
    return found


@njit(cache=True, nogil=True)
def place(core, jobs, order, sizes, n_maps, slack, base):
    """Place buffers for as long as jobs use them; return whether they fit."""
    first = np.zeros(len(sizes), np.int64) - 1
    last = np.zeros(len(sizes), np.int64) - 1
    for i in range(len(order)):
        for s in range(jobs[order[i], f.J_SPANS]):
            b = jobs[order[i], f.J_SPANS + 1 + f.SPAN_FIELDS * s]
            if first[b] < 0:
                first[b] = i
            last[b] = i
    for b in range(n_maps, n_maps + 3):
        if sizes[b]:
            first[b], last[b] = 0, len(order)
    for b in range(len(sizes)):
        if first[b] >= 0:
            last[b] += slack
    return _first_fit(sizes, first, last, 0, 0, n_maps + 3, core[f.C_BANK], core[f.C_BANKS], base)


@njit(cache=True, nogil=True)
def play(core, jobs, order, base):
    """Return (cycles, cycles in which the array is fed) of `jobs` in program order, as `chanzi.sim.timing` has them.

    Left out: that a LOAD may overtake a STORE on the bus that comes before it in the program, and how cores that share
    the bus meet on it: a transfer takes as long as those of all of them.
    """
    n = len(order)
    left = f.START_CYCLES - core[f.C_ISSUE]
    began = np.zeros((4, n), np.int64)  # starts of each engine's jobs, in order
    count = np.zeros(4, np.int64)
    free = np.zeros(4, np.int64)
    last = np.zeros(4, np.int64)
    dots = np.zeros(3, np.int64)
    rivals = np.zeros((4, core[f.C_BANKS]), np.int64)
    late = np.zeros(core[f.C_BANKS], np.int64)
    bus = busy = 0
    for k in range(n):
        job = jobs[order[k]]
        e = job[f.J_ENGINE]
        left += core[f.C_ISSUE]
        if count[e] >= core[f.C_QUEUE]:
            left = max(left, began[e, count[e] - core[f.C_QUEUE]] + 1)
        start = _free_at(job, base, max(left, free[e]), rivals, late)
        if e == f.ARRAY:
            start = max(start, dots[0])
            end = max(start + job[f.J_CYCLES], dots[2]) + job[f.J_REST]
            done = end + core[f.C_DIM] + f.ARRAY_PIPELINE_CYCLES + job[f.J_DRAIN] + core[f.C_EPILOGUE]
            done = max(done, last[e])
            dots[2] = end + job[f.J_SPACING]
            dots[0], dots[1] = dots[1], done
            free[e] = end
            busy += end - start
        elif e == f.VECTOR:
            done = start + job[f.J_CYCLES] + core[f.C_VECTOR]
            free[e] = done
        else:
            there = start + f.FETCH_CYCLES + f.TURN_CYCLES
            if e == f.LOAD:
                there = start + f.REQUEST_CYCLES + core[f.C_LATENCY]
            begin = max(there, bus)
            bus = begin + job[f.J_CYCLES] * core[f.C_SHARERS]
            free[e] = begin
            end = bus - job[f.J_CYCLES] + job[f.J_DRAIN]
            done = max(end + (f.ARRIVAL_CYCLES if e == f.LOAD else f.RESPONSE_CYCLES + core[f.C_LATENCY]), last[e])
        began[e, count[e]] = start
        count[e] += 1
        last[e] = done
        for s in range(job[f.J_SPANS]):
            i = f.J_SPANS + 1 + f.SPAN_FIELDS * s
            low = base[job[i]]
            for other in range(4):
                if other != e:
                    for b in range(low + job[i + 1], low + job[i + 2]):
                        rivals[other, b] = max(rivals[other, b], done)
            if job[i + 3]:
                for b in range(low + job[i + 1], low + job[i + 2]):
                    late[b] = done
    end = left + core[f.C_ISSUE]
    for e in range(4):
        end = max(end, last[e])
    return end, busy
