"""Blocks of this project's hardware for tools/energy_check.py: what goes into their ports, and what they should spend.

Operands are random ones, or those of a layer of the digits network that ships: activations and weights less their zero
points, sums of its windows, bytes of its maps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.cost.energy import array_mac_pj
from chanzi.cost.tech import constant, from_45, op_pj, register_pj_per_bit
from chanzi.frontend import load
from chanzi.graph.evaluate import evaluate_all
from chanzi.graph.ops import Conv
from chanzi.graph.plan import ChipPiece
from chanzi.rtl.array.feeder import FeederRow
from chanzi.rtl.array.grid import Row
from chanzi.rtl.lane import Combine, Requantize
from chanzi.zoo import digits

DIM, STREAMS, SUM_LENGTH, WARM, COUNTED = 4, 64, 16, 24, 32
CYCLES = WARM + COUNTED
Numbers = npt.NDArray[np.int64]
Feeds = list[dict[str, list[int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operands:
    """Data of all streams: ``a[cycle][stream]``, ``b[cycle][column][stream]`` less zero points, `sums` and `biases`.

    `scale` takes a sum to a byte; ``x[cycle][stream]`` and `r` are stored bytes that are added.
    """

    a: Numbers
    b: Numbers
    sums: Numbers
    biases: Numbers
    scale: float
    x: Numbers
    r: Numbers


def random_operands(rng: np.random.Generator) -> Operands:
    """Return numbers as random as can be: bytes over their whole range, sums of 24 bits."""
    return Operands(
        a=rng.integers(0, 256, (CYCLES, STREAMS)),
        b=rng.integers(-128, 128, (CYCLES, DIM, STREAMS)),
        sums=rng.integers(-(1 << 23), 1 << 23, (CYCLES, STREAMS)),
        biases=rng.integers(-(1 << 15), 1 << 15, STREAMS),
        scale=1.3e-5,
        x=rng.integers(0, 256, (CYCLES, STREAMS)),
        r=rng.integers(0, 256, (CYCLES, STREAMS)),
    )


def network_operands(rng: np.random.Generator) -> Operands:
    """Return those of the digits network's second convolution, some digit's in each stream.

    Operands are a window and filters; sums and bytes are of one filter or channel, pixel after pixel.
    """
    data = digits.load_data()
    feeds = [{digits.INPUT: image[None]} for image in data.calibration[:32]]
    (graph,) = [p.graph for p in load(digits.model_path(), calibration=feeds).pieces if isinstance(p, ChipPiece)]
    conv = [op for op in graph.ops if isinstance(op, Conv) and op.weight.shape[1] > 1][1]
    tall, wide = conv.weight.shape[1:3]
    (source,) = graph.inputs
    a, b = np.zeros((CYCLES, STREAMS), np.int64), np.zeros((CYCLES, DIM, STREAMS), np.int64)
    sums, x, r = (np.zeros((CYCLES, STREAMS), np.int64) for _ in range(3))
    biases = np.zeros(STREAMS, np.int64)
    weights = conv.weight.astype(np.int64) - conv.weight_zero
    scale = float(conv.x.quant.scale) * float(conv.weight_scale[0]) / float(conv.y.quant.scale)
    for stream in range(STREAMS):
        image = data.calibration[rng.integers(len(data.calibration))]
        stored = np.clip(np.rint(image / source.quant.scale) + source.quant.zero, 0, 255).astype(np.int64)
        maps = evaluate_all(graph, {source.name: np.moveaxis(stored, 0, -1)})
        entered = maps[conv.x.name] - conv.x.quant.zero
        windows = np.lib.stride_tricks.sliding_window_view(entered, (tall, wide), (0, 1))
        windows = np.moveaxis(windows, 2, -1)  # row, column, tap row, tap column, channel
        y0, x0 = (int(rng.integers(0, n)) for n in windows.shape[:2])
        a[:, stream] = np.resize(windows[y0, x0].reshape(-1), CYCLES)
        filters = rng.choice(len(weights), DIM, replace=False)
        b[:, :, stream] = np.stack([np.resize(weights[f].reshape(-1), CYCLES) for f in filters], axis=1)
        every = np.tensordot(windows, weights[filters[0]], 3).reshape(-1)
        sums[:, stream] = np.resize(every, CYCLES)
        biases[stream] = 0 if conv.bias is None else int(conv.bias[filters[0]])
        leaving = maps[conv.y.name].reshape(-1, len(weights))
        x[:, stream], r[:, stream] = (np.resize(leaving[:, f], CYCLES) for f in filters[:2])
    return Operands(a=a, b=b, sums=sums, biases=biases, scale=scale, x=x, r=r)


def bits(values: Numbers, width: int) -> list[int]:
    """Return bits of two's complement, the lowest first, each an integer with a bit for every stream."""
    return [sum(int(v >> bit & 1) << i for i, v in enumerate(values.tolist())) for bit in range(width)]


def steady(value: int, width: int) -> list[int]:
    """Return the bits of one number in all streams."""
    return bits(np.full(STREAMS, value, np.int64), width)


def float_bits(value: float) -> int:
    """Return a float32's bits."""
    return int(np.float32(value).view(np.uint32))


EVERY = (1 << STREAMS) - 1


def row_feeds(o: Operands) -> Feeds:
    """Return sums of SUM_LENGTH products, one after the other."""
    found = []
    for cycle in range(CYCLES):
        first, last = cycle % SUM_LENGTH == 0, cycle % SUM_LENGTH == SUM_LENGTH - 1
        tokens = {"clear": [EVERY * first], "shift": [0], "capture": [EVERY * last]}
        above = [bit for column in o.b[cycle] for bit in bits(column, 9)]
        found.append({"a": bits(o.a[cycle], 9), "above": above, **tokens})
    return found


def feeder_feeds(o: Operands, width: int) -> Feeds:
    """Return a word for this row every `width` cycles, words for others in between, a byte going out in each cycle."""
    words = [bits(o.a[cycle], 9) for cycle in range(CYCLES)]
    found = []
    for cycle in range(CYCLES):
        mine, pop = cycle % width == width - 1, cycle % width == 0
        word = [bit for j in range(width) for bit in words[(cycle * 7 + j) % CYCLES]]
        found.append({"word": word, "mine": [EVERY * mine], "step": [EVERY], "pop": [EVERY * pop]})
    return found


def requantize_feeds(o: Operands) -> Feeds:
    """Return a sum in each cycle; bias and scale stand still, as down a column."""
    still = {"bias": bits(o.biases, 32), "scale": steady(float_bits(o.scale), 32), "zero": steady(0, 16)}
    still |= {"low": steady(0, 16), "high": steady(255, 16)}
    return [still | {"acc": bits(o.sums[cycle], 32)} for cycle in range(CYCLES)]


def combine_feeds(o: Operands) -> Feeds:
    """Return two bytes to be added in each cycle; all else stands still."""
    still = {"mul": [0], "first_is_r": [0], "x_zero": steady(0, 10), "r_zero": steady(0, 10)}
    still |= {name: steady(float_bits(v), 32) for name, v in (("inner_x", 0.43), ("inner_z", 3.1), ("outer_x", 0.61))}
    still |= {"low": steady(0, 16), "high": steady(255, 16)}
    return [still | {"x": bits(o.x[cycle], 9), "r": bits(o.r[cycle], 9)} for cycle in range(CYCLES)]


def row_pj(node_nm: float, activity: float) -> float:
    """Return what the energy model says of a cell and cycle: the product, the gated clock, the sum handed on."""
    sums = 2 * 32 * register_pj_per_bit(node_nm) / SUM_LENGTH
    return array_mac_pj(node_nm) * activity + from_45(constant("array_clock_45").value, node_nm) + sums


def _flops_pj(n: int) -> Callable[[float, float], float]:
    def pj(node_nm: float, activity: float) -> float:
        del activity
        return n * (op_pj("fp32_mul", node_nm) + op_pj("fp32_add", node_nm)) / 2

    return pj


def _feeder_pj(node_nm: float, activity: float) -> float:
    """Return what the energy model says of a byte that enters the array, its wire over the cells aside."""
    del activity
    return 8 * 2 * register_pj_per_bit(node_nm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A block: how it is made, how many units it does in a cycle, its ports' data, the model's pJ of a unit.

    `logic`: it has gates at work beside its flip-flops; a shift register has those that hold and load it only.
    """

    name: str
    unit: str
    make: Callable[[], Any]
    units: int
    feeds: Callable[[Operands], Feeds]
    model_pj: Callable[[float, float], float]
    logic: bool = True


SUBJECTS: Sequence[Subject] = (
    Subject(
        name="array, row of 4 cells",
        unit="product",
        make=lambda: Row(DIM),
        units=DIM,
        feeds=row_feeds,
        model_pj=row_pj,
    ),
    *(
        Subject(
            name=f"edge feeder, row of {width} bytes",
            unit="byte",
            make=lambda width=width: FeederRow(width),
            units=1,
            feeds=lambda o, width=width: feeder_feeds(o, width),
            model_pj=_feeder_pj,
            logic=False,
        )
        for width in (8, 16)
    ),
    Subject(
        name="requantize",
        unit="sum",
        make=Requantize,
        units=1,
        feeds=requantize_feeds,
        model_pj=_flops_pj(2),
    ),
    Subject(
        name="residual sum",
        unit="sum",
        make=Combine,
        units=1,
        feeds=combine_feeds,
        model_pj=_flops_pj(4),
    ),
)
KINDS: Mapping[str, Callable[[np.random.Generator], Operands]] = {
    "random": random_operands,
    "a network's": network_operands,
}
