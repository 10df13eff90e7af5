"""A small model of TPU v1: weights stay in the array a tile at a time and come over their own memory bus.

A tile is ``rows x cols`` bytes whatever the matrix fills of it, so a matrix of 600 x 600 on an array of 256 moves nine
whole tiles. While a tile is used the next one loads: a layer takes the longer of the two.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from chanzi.cost.dla import model_constant
from chanzi.cost.energy import array_mac_pj
from chanzi.cost.figure import table
from chanzi.cost.tech import at_node, constant, from_45, register_pj_per_bit, wide_pj_per_bit, wire_pj_per_bit_mm


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightStationary:
    """An array of rows x cols with its clock and the bandwidth of its weight memory."""

    rows: int = 256
    cols: int = 256
    clock_hz: float = 700e6
    weight_bytes_per_s: float = 34e9

    @property
    def peak_tops(self) -> float:
        """Peak in tera-operations a second."""
        return 2e-12 * self.rows * self.cols * self.clock_hz


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A network as its paper describes it.

    `macs_per_weight` multiply-accumulates for each byte of weights at the batch it ran at; `matrix` the shape of its
    weight matrices where it is published; `array_fill` the share of the array its convolutions fill; `fc_share` the
    share of weights in fully connected layers, which reuse a weight `batch` times.
    """

    weights: float
    macs_per_weight: float
    batch: float
    matrix: tuple[int, int] | None = None
    array_fill: float = 1.0
    fc_share: float = 0.0


@cache
def published() -> dict[str, dict[str, float | list[int]]]:
    """Return what the paper says of its workloads beside their table."""
    return table("tpu1")["work"]


def work_of(inputs: Mapping[str, float]) -> Work:
    """Return the workload of a case's inputs, with what is published of the one they describe."""
    weights, per, batch = (float(inputs[k]) for k in ("weights", "ops_per_weight_byte", "batch"))
    more: dict[str, float | list[int]] = {}
    for entry in published().values():
        if (entry["weights"], entry["ops_per_weight_byte"]) == (weights, per):
            more = entry
    matrix = more.get("matrix")
    fill, share = more.get("array_fill", 1.0), more.get("fc_share", 0.0)
    return Work(
        weights=weights,
        macs_per_weight=per,
        batch=batch,
        matrix=(matrix[0], matrix[1]) if isinstance(matrix, list) else None,
        array_fill=float(fill) if not isinstance(fill, list) else 1.0,
        fc_share=float(share) if not isinstance(share, list) else 0.0,
    )


def tiles(array: WeightStationary, rows: int, cols: int) -> int:
    """Return the tiles of a matrix."""
    return math.ceil(rows / array.rows) * math.ceil(cols / array.cols)


def load_seconds(array: WeightStationary, rows: int, cols: int) -> float:
    """Return the time to bring a matrix's tiles, whole ones, over the weight bus."""
    return tiles(array, rows, cols) * array.rows * array.cols / array.weight_bytes_per_s


def delivered_tops(array: WeightStationary, work: Work) -> float:
    """Return operations a second, in tera."""
    waste = 1.0
    if work.matrix:
        rows, cols = work.matrix
        waste = tiles(array, rows, cols) * array.rows * array.cols / (rows * cols)
    bus = array.weight_bytes_per_s * model_constant("tpu1_memory").value
    cells = array.rows * array.cols * array.clock_hz * model_constant("tpu1_array").value
    macs = work.weights * work.macs_per_weight
    fc_macs = work.weights * work.fc_share * work.batch
    fc = max(work.weights * work.fc_share * waste / bus, fc_macs / cells)
    rest = max(work.weights * (1 - work.fc_share) * waste / bus, (macs - fc_macs) / (cells * work.array_fill))
    return 2e-12 * macs / (fc + rest)


def power_w(array: WeightStationary, utilization: float, *, node_nm: float, die_mm2: float) -> float:
    """Return the power at a utilization, DRAM devices not counted; 0: idle. The clock is not gated."""
    rate = array.clock_hz * utilization
    transport = wire_pj_per_bit_mm(node_nm) * constant("toggle").value * math.sqrt(die_mm2) / 2
    words = 8 * array.rows * (wide_pj_per_bit(65536, node_nm) + transport)
    sums = 2 * 32 * array.cols * wide_pj_per_bit(16384, node_nm)
    activity = constant("data_activity").value
    moving = (
        16 * activity * register_pj_per_bit(node_nm) * array.rows * array.cols
    )  # activations and partial sums step on
    cells = array.rows * array.cols
    dynamic = rate * (cells * array_mac_pj(node_nm) * activity + words + sums + moving)
    clock = array.clock_hz * cells * from_45(constant("array_clock_ungated_45").value, node_nm)
    leak = 0.75 * die_mm2 * at_node(node_nm, "leakage_mw_per_mm2").value * 1e-3
    return 1e-12 * (dynamic + clock) + leak + constant("io_w").value
