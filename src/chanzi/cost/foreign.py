"""Chips one can buy or read about: peak by type, memory, power, price, what MLPerf measured, and their roofline."""

from dataclasses import dataclass
from functools import cache

from chanzi.cost.dollars import gross_dies, yield_of
from chanzi.cost.figure import Figure, Figures, Source, figures, sources, table
from chanzi.cost.tech import at_node
from chanzi.errors import CostError, did_you_mean

PEAKS = ("peak_int8", "peak_bf16", "peak_fp16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A published result: samples a second (Offline) or the 90th percentile of latency (SingleStream)."""

    network: str
    scenario: str
    system: str
    round: str
    samples_per_s: Figure | None = None
    latency_ms_p90: Figure | None = None
    wall_w: Figure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignChip:
    """A chip of others: figures under peak_int8, peak_bf16, peak_fp16 (dense), memory_bytes_per_s, die_mm2, power_w...

    What nobody published is missing.
    """

    key: str
    name: str
    node_nm: float
    figures: Figures
    measured: tuple[Measured, ...] = ()

    def peak(self, kind: str = "int8") -> Figure | None:
        """Return the dense peak in operations a second for a type; int8 falls back to bf16, which such chips run at."""
        order = {"int8": PEAKS, "bf16": PEAKS[1:], "fp16": PEAKS[:0:-1]}.get(kind)
        if order is None:
            raise CostError(f"no peak of type '{kind}'", hint="int8, bf16 or fp16")
        return next((self.figures[name] for name in order if name in self.figures), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """The most a chip could do: frames a second, and what limits it ('compute' or 'memory')."""

    frames_per_s: float
    limit: str
    compute_fps: float
    memory_fps: float


@cache
def foreign_chips() -> dict[str, ForeignChip]:
    """Return all records: key -> chip."""
    data, known = table("foreign"), sources("foreign")
    results: dict[str, list[Measured]] = {}
    for i, entry in enumerate(data["measured"]):
        results.setdefault(entry["chip"], []).append(_measured(entry, known, f"foreign.toml, measured {i + 1}"))
    found = {}
    for key, entry in data["chip"].items():
        plain = {k: v for k, v in entry.items() if k not in ("name", "node_nm")}
        found[key] = ForeignChip(
            key=key,
            name=entry["name"],
            node_nm=entry["node_nm"],
            figures=figures(plain, known, f"foreign.toml, {key}"),
            measured=tuple(results.get(key, ())),
        )
    return found


def _measured(entry: dict[str, object], known: dict[str, Source], where: str) -> Measured:
    numbers = figures({k: v for k, v in entry.items() if isinstance(v, dict)}, known, where)
    return Measured(
        network=str(entry["network"]),
        scenario=str(entry["scenario"]),
        system=str(entry["system"]),
        round=str(entry["round"]),
        samples_per_s=numbers.get("samples_per_s"),
        latency_ms_p90=numbers.get("latency_ms_p90"),
        wall_w=numbers.get("wall_w"),
    )


def foreign_chip(name: str) -> ForeignChip:
    """Return the record of a chip by key, or by a part of its key or name, or words of its key, that no other has.

    Raises
    ------
    CostError
        None, or several, are called so.
    """
    chips = foreign_chips()
    if name in chips:
        return chips[name]
    words = name.lower().replace("-", "_").strip()
    hits = [c for c in chips.values() if words and (words in c.key or words in c.name.lower().replace("-", "_"))]
    parts = [part for part in words.replace(" ", "_").split("_") if part]
    hits = hits or [c for c in chips.values() if parts and set(parts) <= set(c.key.split("_"))]
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise CostError(f"'{name}' may be several chips", hint=", ".join(c.key for c in hits))
    raise CostError(f"no record of a chip '{name}'", hint=did_you_mean(name, chips))


@cache
def work_macs() -> dict[str, float]:
    """Return multiply-accumulates of a frame of networks whose layers are not listed."""
    known = sources("foreign")
    return {
        name: figures({"macs": entry["macs"]}, known, f"foreign.toml, work {name}")["macs"].value
        for name, entry in table("foreign")["work"].items()
    }


def roofline(chip: ForeignChip, *, macs: float, bytes_moved: float, kind: str = "int8") -> Roofline:
    """Return an upper bound of frames a second: peak, or memory with every byte moved once, whichever is lower.

    Raises
    ------
    CostError
        No peak is published, or the work is not positive.
    """
    peak = chip.peak(kind)
    if peak is None:
        raise CostError(f"no peak of {chip.name} is published", hint="its record has none")
    if not macs > 0 or not bytes_moved >= 0:
        raise CostError(f"a network of {macs:g} MACs and {bytes_moved:g} bytes", hint="both are positive")
    compute = peak.value / (2 * macs)
    memory = chip.figures["memory_bytes_per_s"].value / bytes_moved if bytes_moved else float("inf")
    limit = "compute" if compute <= memory else "memory"
    return Roofline(frames_per_s=min(compute, memory), limit=limit, compute_fps=compute, memory_fps=memory)


def silicon_usd(chip: ForeignChip) -> float | None:
    """Return what a good die of it costs at its node's wafer price; None where its area is not published."""
    if "die_mm2" not in chip.figures:
        return None
    area = chip.figures["die_mm2"].value
    share = float(yield_of(area, at_node(chip.node_nm, "defects_per_cm2").value, "negative-binomial"))
    return at_node(chip.node_nm, "wafer_usd").value / (gross_dies(area) * share)
