"""Answers that hold for any chip: energy of operations and memories, area of buffers, dies and yields."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from chanzi.cost.area import Range, level_mm2, logic, placed_mm2
from chanzi.cost.cases import Question
from chanzi.cost.dollars import YieldModel, economics, gross_dies, yield_of
from chanzi.cost.energy import array_mac_pj
from chanzi.cost.figure import between, figures, sources, table
from chanzi.cost.tech import at_node, constant, dram_pj_per_bit, from_45, known_node, mac_pj, op_pj, sram_pj_per_bit
from chanzi.errors import CostError

MIB = 1 << 20
_PRICES = {"wafer": "wafer_usd", "mask": "mask_usd", "design": "design_usd"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A value in the question's unit; for speeds also peak and roofline in the same unit."""

    value: float
    model: str
    peak: float | None = None
    roofline: float | None = None


Predictor = Callable[[Question], Prediction]


def only(value: float, model: str) -> Prediction:
    """Return a prediction that no baseline of speed competes with."""
    return Prediction(value=value, model=model)


def node_of(question: Question) -> int:
    """Return the node of a question: `node` or `node_nm`, 14 or "14nm". Raises `CostError` where it is unknown."""
    name = "node" if "node" in question.inputs else "node_nm"
    if name not in question.inputs:
        return known_node(question.number("node"))
    try:
        return known_node(float(question.text(name).lower().removesuffix("nm")))
    except ValueError:
        raise CostError(
            f"input '{name}' = {question.text(name)!r} is no number", hint="a node is 14, or 14nm"
        ) from None


def _buffer_bytes(q: Question) -> float:
    for name, scale in (("sram_MiB", MIB), ("sram_MB", 1e6), ("sram_KB", 1024), ("sram_bytes", 1)):
        if name in q.inputs:
            return q.number(name) * scale
    raise CostError("input 'sram_MiB' is missing", hint=f"needed for '{q.predict}'; or sram_MB, sram_KB, sram_bytes")


def _die(q: Question) -> Prediction:
    """Return a die's area from its transistors, or from its buffers."""
    nm = node_of(q)
    if "transistors" in q.inputs:
        return only(q.number("transistors") * 1e-6 / _million_transistors_per_mm2(nm), "transistor density")
    return only(level_mm2(_buffer_bytes(q), nm).value / logic("place")["buffer_share"].value, "area from buffers")


def _million_transistors_per_mm2(nm: int) -> float:
    """Return the density of whole dies: between published ones, beyond the ends of these as logic shrinks."""
    known = figures(table("models")["density"], sources("models"), "models.toml, density")
    listed = {float(n): f.value for n, f in known.items()}
    end = min(max(nm, min(listed)), max(listed))
    return between(listed, end) * at_node(int(end), "gate_um2").value / at_node(nm, "gate_um2").value


def _buffer_area(q: Question) -> Prediction:
    return only(level_mm2(_buffer_bytes(q), node_of(q)).value, "area of a buffer")


def _accelerator_area(q: Question) -> Prediction:
    """Return the area of MACs and buffers of an accelerator of which no more is known."""
    nm = node_of(q)
    cells = Range.of(logic("gates")["mac"]) * q.number("macs") * Range.of(logic("place")["array_wiring"])
    return only((placed_mm2(cells, nm) + level_mm2(_buffer_bytes(q), nm)).value, "area of MACs and buffers alone")


def _accelerator_power(q: Question) -> Prediction:
    """Return the power of MACs alone, clock included, of an accelerator of which no more is known."""
    nm = node_of(q)
    rate = q.number("macs") * q.number("clock_Hz")
    share = q.number("utilisation") if "utilisation" in q.inputs else 1.0
    watts = 1e-12 * rate * (share * array_mac_pj(nm) + from_45(constant("array_clock_45").value, nm))
    return only(watts * (1e3 if q.unit.startswith("mW") else 1.0), "power of the MACs alone")


def _operation(q: Question) -> str:
    found = re.search(r"(int|fp|bf)(8|16|32)\W+(add|mul)", q.predict.lower())
    if not found:
        raise CostError(f"'{q.predict}' names no operation", hint="int8 mul, int32 add, fp32 mul, ...")
    return f"{found[1]}{found[2]}_{found[3]}"


def _energy_of(name: str, node_nm: int) -> float:
    listed = table("energy")["op"].get(str(node_nm), {})
    if name in listed:
        return float(listed[name]["value"])
    try:
        return op_pj(name, node_nm)
    except KeyError:
        raise CostError(f"no energy of '{name}' at two nodes", hint="int8_mul, int32_add, fp32_mul, ...") from None


def _operation_energy(q: Question) -> Prediction:
    nm, asked = node_of(q), q.predict.lower()
    if "mac" in asked or "+" in asked:
        wide = "32-bit" in asked or "int32" in asked
        value = mac_pj(nm) if wide else op_pj("int8_mul", nm) + op_pj("int8_add", nm)
        return only(value, "energy per operation")
    return only(_energy_of(_operation(q), nm), "energy per operation")


def _ratio(q: Question) -> Prediction:
    old, new = (known_node(q.number(name)) for name in ("from_node", "to_node"))
    if "sram" in q.inputs:
        bits = _memory(q)[0]
        return only(sram_pj_per_bit(bits, old) / sram_pj_per_bit(bits, new), "energy per access")
    name = _operation(q)
    return only(_energy_of(name, old) / _energy_of(name, new), "energy per operation")


def _memory(q: Question) -> tuple[int, int]:
    """Return bytes and width in bits of a memory written '1 MB, 64 bit'."""
    found = re.match(r"\s*(\d+)\s*([kM])i?B\s*(?:,\s*(\d+)\s*bit)?", q.text("sram"), re.IGNORECASE)
    if not found:
        raise CostError(f"'{q.text('sram')}' is no memory", hint="1 MB, 64 bit")
    return int(found[1]) * (1 << 10 if found[2].lower() == "k" else MIB), int(found[3] or 64)


def _sram_access(q: Question) -> Prediction:
    size, bits = _memory(q)
    return only(bits * sram_pj_per_bit(size, node_of(q)), "energy per access")


def _dram_energy(q: Question) -> Prediction:
    kind = q.text("dram").lower()
    if kind not in dram_pj_per_bit():
        raise CostError(f"no DRAM of kind '{kind}'", hint="known: " + ", ".join(dram_pj_per_bit()))
    return only(dram_pj_per_bit()[kind].value, "energy per access")


def _gross(q: Question) -> Prediction:
    diameter = q.number("diameter_mm") if "diameter_mm" in q.inputs else 300.0
    return only(gross_dies(q.number("area_mm2"), wafer_mm=diameter), "dollars")


def _yield(q: Question) -> Prediction:
    name = (q.text("model") or q.predict).lower()
    known: tuple[YieldModel, ...] = ("poisson", "murphy", "seeds")
    model: YieldModel = next((m for m in known if m in name), "negative-binomial")
    alpha = q.number("alpha") if "alpha" in q.inputs else economics()["cluster"].value
    share = float(yield_of(q.number("area_mm2"), q.defects, model, cluster=alpha))
    return only(share * (100 if "%" in q.unit else 1), "dollars")


def _price(q: Question) -> Prediction:
    key = next(key for word, key in _PRICES.items() if word in q.predict.lower())
    return only(at_node(node_of(q), key).value, "table of nodes")


def _bill(q: Question) -> Prediction:
    return only(sum(q.number(name) for name in q.inputs), "dollars")


GENERAL: tuple[tuple[str, str, Predictor], ...] = (
    (r"", r"^die area", _die),
    (r"", r"(cmem|buffer|sram) area", _buffer_area),
    (r"", r"energy ratio", _ratio),
    (r"", r"access energy", _sram_access),
    (r"", r"dram energy", _dram_energy),
    (r"", r"int8 mac|(int|fp|bf)(8|16|32)\W+(mul|add)", _operation_energy),
    (r"", r"gross dies", _gross),
    (r"", r"yield", _yield),
    (r"", r"unit cost", _bill),
    (r"", r"(wafer|mask).*(price|cost)|design cost", _price),
    (r"", r"area$", _accelerator_area),
    (r"", r"power$", _accelerator_power),
)
"""(chip, question) as patterns -> predictor, for any chip."""
