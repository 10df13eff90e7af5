"""Compiled loops: the cycles and events of a frame, plans tried as `chanzi.compiler.pipeline` tries them."""

import numpy as np
from numba import njit

from chanzi.explore import fields as f
from chanzi.explore.clock import overlap, pipelined, place, place_by_node, play, sequence
from chanzi.explore.jobs import make_jobs
from chanzi.explore.stripes import cut

RESIDENT, TIGHT, STREAMED, SPILLED = range(4)
"""Weights stay; stay, but memory decides the order; come from DRAM with each frame; maps do not fit either."""

STRIPE_CYCLES = np.array((450, 550, 750, 1100), np.int64)
STREAM_STRIPE_CYCLES = 16000


@njit(cache=True, nogil=True)
def _settle(by_layer, wanted, busy, events):
    """Write the sums of events over layers, products beyond a layer's own as padding."""
    events[:] = 0
    events[f.E_ARRAY_CYCLES] = busy
    for layer in range(len(wanted)):
        done = by_layer[layer, f.E_MACS]
        if wanted[layer] and done > wanted[layer]:
            by_layer[layer, f.E_MACS] = wanted[layer]
            by_layer[layer, f.E_ZERO_MACS] = done - wanted[layer]
        for e in range(f.EVENT_COUNT):
            events[e] += by_layer[layer, e]


def _tight(core, nodes, units, node_unit, jobs, needs, sizes, n_maps):
    """Return (cycles, array's) in the order of the schedule without addresses, -1 where memory is too small."""
    base = np.zeros(len(sizes), np.int64)
    order = pipelined(core, nodes, units, node_unit, jobs, needs)
    if not len(order):
        return -1, 0
    for ahead, slack in ((8, 64), (4, 8), (2, 0), (1, 0), (0, 0)):
        line = sequence(units, order, len(jobs), ahead)
        if place(core, jobs, line, sizes, n_maps, slack, base):
            return play(core, jobs, line, base)
    return -1, 0


def walk(core, nodes, parts, operands, sources, buffers, wanted, events):
    """Return (plan, cycles) of a frame on one core; write its events."""
    n_nodes, n_maps = len(nodes), len(buffers)
    best = cycles = -1
    weights = 0
    for i in range(len(parts)):
        weights += parts[i, f.P_WEIGHT_BYTES] + parts[i, f.P_PARAMETER_BYTES]
    if weights <= core[f.C_BANK] * core[f.C_BANKS]:
        for stripe_cycles in STRIPE_CYCLES:
            by_layer = np.zeros((len(wanted), f.EVENT_COUNT))
            units, node_unit = cut(core, nodes, parts, operands, sources, stripe_cycles, 0)
            jobs, needs, sizes = make_jobs(core, nodes, parts, operands, sources, buffers, units, 0, by_layer)
            base = np.zeros(len(sizes), np.int64)
            after = np.zeros((n_nodes, n_nodes), np.uint8)
            if not place_by_node(core, n_nodes, units, jobs, sizes, n_maps, base, after):
                if best < 0:
                    cycles, busy = _tight(core, nodes, units, node_unit, jobs, needs, sizes, n_maps)
                    if cycles >= 0:
                        _settle(by_layer, wanted, busy, events)
                        return TIGHT, cycles
                continue
            line = np.zeros(len(jobs), np.int64)
            planned = overlap(core, nodes, units, node_unit, jobs, needs, base, after, line)
            if planned >= 0 and (best < 0 or planned < best):
                best = planned
                cycles, busy = play(core, jobs, line, base)
                _settle(by_layer, wanted, busy, events)
        if best >= 0:
            return RESIDENT, cycles
    for share in (4, 8, 16):
        staging = core[f.C_BANK] * core[f.C_BANKS] // share
        by_layer = np.zeros((len(wanted), f.EVENT_COUNT))
        units, node_unit = cut(core, nodes, parts, operands, sources, STREAM_STRIPE_CYCLES, staging)
        jobs, needs, sizes = make_jobs(core, nodes, parts, operands, sources, buffers, units, staging, by_layer)
        cycles, busy = _tight(core, nodes, units, node_unit, jobs, needs, sizes, n_maps)
        if cycles >= 0:
            _settle(by_layer, wanted, busy, events)
            return STREAMED, cycles
    return SPILLED, -1
