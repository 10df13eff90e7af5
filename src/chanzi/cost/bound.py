"""The least cycles any program could take, from layer shapes alone."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBound:
    """Least engine time of one operator, in cycles of one core (dram: of the chip's bus)."""

    name: str
    kind: str
    macs: int
    array: float
    scratchpad: float
    vector: float
    dram: float

    @property
    def cycles(self) -> float:
        """The largest of the four."""
        return max(self.array, self.scratchpad, self.vector, self.dram)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Least cycles of a run of `frames` frames on `cores` cores; no program can take fewer."""

    layers: tuple[LayerBound, ...]
    cores: int
    frames: int
    resident: bool
    array: float
    vector: float
    dram: float

    @property
    def cycles(self) -> float:
        """The busiest engine's."""
        return max(self.array, self.vector, self.dram)

    @property
    def engine(self) -> str:
        """Name of the busiest engine."""
        return max((("array", self.array), ("vector", self.vector), ("DRAM", self.dram)), key=lambda e: e[1])[0]
