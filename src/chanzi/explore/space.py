"""The space of chips: axes with ranges, and the legal chip of any point in it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from chanzi.chip.chip import Chip, Core, Dram, Scratchpad
from chanzi.cost.tech import at_node, supply_for_clock
from chanzi.errors import ExploreError, did_you_mean

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Point = Mapping[str, float]
"""A value for each axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One figure of a chip: a range (`step` 0: any value in it; `log`: even in ratios), or `choices`."""

    name: str
    meaning: str
    low: float = 0.0
    high: float = 0.0
    step: float = 0.0
    log: bool = False
    choices: tuple[float, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.step == int(self.step) != 0

    def narrowed(self, text: str) -> "Axis":
        """Return the axis restricted to ``low:high``, to ``a,b,c`` or to one value.

        Raises
        ------
        ExploreError
            It is no such thing, or lies outside what makes sense.
        """
        parts = text.split(":") if ":" in text else text.split(",")
        try:
            values = [float(part) for part in parts]
        except ValueError:
            raise ExploreError(f"{self.name}={text[:40]} is no range", hint=f"{self.name}=low:high, or a,b,c") from None
        low, high = LIMITS[self.name]
        for value in values:
            if not (math.isfinite(value) and low <= value <= high):
                raise ExploreError(f"{self.name} = {value:g}", hint=f"{self.meaning}: {low:g} to {high:g}")
            if self.step and abs(value / self.step - round(value / self.step)) > 1e-9 and not self.choices:
                raise ExploreError(f"{self.name} = {value:g}", hint=f"{self.meaning}: in steps of {self.step:g}")
            if self.choices and value not in ALLOWED.get(self.name, self.choices):
                raise ExploreError(
                    f"{self.name} = {value:g}",
                    hint=f"{self.meaning}: " + ", ".join(f"{c:g}" for c in ALLOWED.get(self.name, self.choices)),
                )
        if ":" not in text:
            return replace(self, choices=tuple(dict.fromkeys(values)))
        if len(values) != 2 or values[0] > values[1]:
            raise ExploreError(f"{self.name}={text[:40]} is no range", hint=f"{self.name}=low:high")
        if self.choices:
            inside = tuple(c for c in self.choices if values[0] <= c <= values[1])
            if not inside:
                raise ExploreError(f"{self.name}={text[:40]} holds none of its choices", hint=f"{self.name}=a,b,c")
            return replace(self, choices=inside)
        return replace(self, low=values[0], high=values[1])

    def distribution(self) -> "BaseDistribution":
        """Return the axis as Optuna knows it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), step=int(self.step), log=self.log)
        return FloatDistribution(self.low, self.high, step=self.step or None, log=self.log)


AXES = (
    Axis(name="dim", meaning="side of the array, rounded to 16", low=16, high=256, log=True),
    Axis(name="cores", meaning="cores, each running frames of its own", low=1, high=16, step=1, log=True),
    Axis(name="port_factor", meaning="port width over the least that the array needs", choices=(1, 2, 4)),
    Axis(name="lanes_share", meaning="lanes of the vector unit over dim", low=0.25, high=4, step=0.25),
    Axis(name="epilogue_turns", meaning="cycles in which the epilogue takes a row", choices=(1, 2, 4)),
    Axis(name="taps_per_lane", meaning="products of a lane in a cycle", low=1, high=12, step=1),
    Axis(name="scratchpad_kib", meaning="KiB of scratchpad of a core", low=256, high=32768, log=True),
    Axis(name="bank_kib", meaning="KiB of a bank of the scratchpad", choices=(8, 16, 32, 64)),
    Axis(name="clock", meaning="clock over the fastest at nominal voltage", low=0.1, high=1.2),
    Axis(name="dram_gb_s", meaning="GB/s of DRAM", low=4, high=256, log=True),
)
"""Voltage is no axis: it is the lowest at which the clock is reached, and any other would only cost energy."""

ALLOWED: dict[str, tuple[float, ...]] = {"bank_kib": (2, 4, 8, 16, 32, 64, 128)}
LIMITS: dict[str, tuple[float, float]] = {
    "dim": (16, 512),
    "cores": (1, 64),
    "port_factor": (1, 4),
    "lanes_share": (0.25, 8),
    "epilogue_turns": (1, 4),
    "taps_per_lane": (1, 64),
    "scratchpad_kib": (16, 1 << 20),
    "bank_kib": (2, 128),
    "clock": (0.01, 1.25),
    "dram_gb_s": (0.1, 4000),
}
"""What may be asked of an axis; the space searched by default is narrower."""

_LATENCY_NS = 100.0
_WIDEST_BEAT = 128
_WIDEST_PORT = 256
"""Bytes; wider ones have no hardware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Axes, the node, and the fastest clock at its nominal voltage."""

    node_nm: float
    max_clock_hz: float
    axes: tuple[Axis, ...] = AXES

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_clock_hz) and 1e6 <= self.max_clock_hz <= 1e10):
            raise ExploreError(f"--max-clock is {self.max_clock_hz:g} Hz", hint="1e6 to 1e10, at nominal voltage")

    def distributions(self) -> "dict[str, BaseDistribution]":
        """Return the axes as Optuna knows them."""
        return {axis.name: axis.distribution() for axis in self.axes}

    def chip(self, point: Point, name: str) -> Chip:
        """Return the chip of a point; every point has one.

        Ports are powers of two, lanes whole atoms no wider than a port, banks whole words; the AXI bus is the narrowest
        that keeps up with the DRAM; voltage is the lowest that reaches the clock. The instruction memory is left at its
        least: how much is needed is known when the networks have been walked.
        """
        dim = max(round(point["dim"] / 16), 1) * 16
        least = 1 << (dim - 1).bit_length()
        port = max(least, min(least * int(point["port_factor"]), _WIDEST_PORT))
        atom = min(16, dim)
        lanes = min(max(round(point["lanes_share"] * dim / atom), 1) * atom, port)
        bank = max(int(point["bank_kib"]) * 1024, port)
        banks = max(4, round(point["scratchpad_kib"] * 1024 / bank))
        share = point["clock"]
        clock = int(share * self.max_clock_hz)
        bytes_per_s = int(point["dram_gb_s"] * 1e9)
        beat = 16
        while beat < min(port, _WIDEST_BEAT) and beat * clock < bytes_per_s:
            beat *= 2
        return Chip(
            name=name,
            clock_hz=clock,
            cores=int(point["cores"]),
            node_nm=self.node_nm,
            volt=lowest_volt(self.node_nm, share),
            core=Core(
                dim=dim,
                port_bytes=port,
                lanes=lanes,
                epilogue_lanes=dim // int(point["epilogue_turns"]),
                taps_per_lane=int(point["taps_per_lane"]),
                code_instructions=LEAST_CODE,
                scratchpad=Scratchpad(bytes=banks * bank, banks=banks),
            ),
            dram=Dram(bytes_per_s=bytes_per_s, latency_ns=_LATENCY_NS, beat_bytes=min(beat, port)),
        )


LEAST_CODE, MOST_CODE = 256, 65536
"""Sizes of an instruction memory: what any network needs, about; what there can be."""


def with_code(chip: Chip, instructions: int) -> Chip:
    """Return the chip with an instruction memory for so many instructions, a tenth to spare, a power of two."""
    needed = max(LEAST_CODE, math.ceil(1.1 * instructions))
    return replace(chip, core=replace(chip.core, code_instructions=min(1 << (needed - 1).bit_length(), MOST_CODE)))


def lowest_volt(node_nm: float, share: float) -> float:
    """Return the lowest supply, in whole millivolts, that reaches `share` of the clock at nominal voltage."""
    return math.ceil(1000 * supply_for_clock(node_nm, share).volt - 1e-6) / 1000


@cache
def default_clock_hz(node_nm: float) -> float:
    """Return the clock that an array's cells reach at a node's nominal voltage, as synthesized by this project."""
    return at_node(node_nm, "clock_hz").value


def narrowed(axes: tuple[Axis, ...], given: Mapping[str, str]) -> tuple[Axis, ...]:
    """Return the axes, some restricted as `given` says.

    Raises
    ------
    ExploreError
        No such axis, or a range that makes no sense.
    """
    known = {axis.name: axis for axis in axes}
    for name in given:
        if name not in known:
            raise ExploreError(f"no axis '{name[:40]}'", hint=did_you_mean(name[:40], known))
    return tuple(axis.narrowed(given[axis.name]) if axis.name in given else axis for axis in axes)
