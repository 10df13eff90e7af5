"""A small model of NVDLA and its descendants: layer by layer, the slower of the array and DRAM.

The array multiplies `atomic_c` channels of a pixel with `atomic_k` filters in a cycle. Half of the convolution buffer
holds a layer's pixels, half its weights, and each half again while the other is filled; what does not fit is fetched
once for every part of the other operand. Layers follow one another.
"""

import math
from dataclasses import dataclass
from functools import cache

from chanzi.cost.area import Range, macro_mm2
from chanzi.cost.energy import array_mac_pj
from chanzi.cost.figure import Figure, figures, sources, table
from chanzi.cost.shapes import ConvShape, Shapes, total_macs
from chanzi.cost.tech import at_node, constant, from_45, wide_pj_per_bit
from chanzi.errors import CostError

_ATOMS = {
    8192: (64, 128),
    2048: (64, 32),
    1024: (64, 16),
    512: (32, 16),
    256: (32, 8),
    128: (16, 8),
    64: (8, 8),
    32: (8, 4),
}
_BANK_BYTES = 16384
_IMAGE_CHANNELS = 4
"""Up to so many input channels the columns of the kernel are laid side by side."""


@cache
def model_constant(name: str) -> Figure:
    """Return a constant of models.toml."""
    return figures(table("models")["constant"], sources("models"), "models.toml, constant")[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dla:
    """One accelerator: `buffer_bytes` of convolution buffer, `dram_bytes_per_s` as it arrives."""

    atomic_c: int
    atomic_k: int
    clock_hz: float
    buffer_bytes: float
    dram_bytes_per_s: float

    @property
    def macs(self) -> int:
        """Multiply-accumulates a cycle."""
        return self.atomic_c * self.atomic_k


def atoms(macs: int) -> tuple[int, int]:
    """Return channels and filters a cycle of a configuration of so many MACs.

    Raises
    ------
    CostError
        Not a power of two between 32 and 8192.
    """
    if macs in _ATOMS:
        return _ATOMS[macs]
    if macs < 32 or macs > 8192 or macs & (macs - 1):
        raise CostError(f"a DLA of {macs} MACs", hint="a power of two from 32 to 8192")
    c = min(64, 1 << math.ceil(math.log2(macs) / 2))
    return c, macs // c


def layer_cycles(dla: Dla, shape: ConvShape, batch: int) -> float:
    """Return the array's cycles. Of a grouped convolution as many groups as fit run at once, zeros between them."""
    taps, cin, cout = shape.kernel_y * shape.kernel_x, shape.cin // shape.groups, shape.cout // shape.groups
    if cin <= _IMAGE_CHANNELS and shape.groups == 1:
        taps, cin = shape.kernel_y, cin * shape.kernel_x
    at_once = max(1, min(shape.groups, dla.atomic_c // cin, dla.atomic_k // cout))
    rounds = math.ceil(cin / dla.atomic_c) * math.ceil(cout / dla.atomic_k) * math.ceil(shape.groups / at_once)
    return float(batch * shape.out_y * shape.out_x * taps * rounds)


def layer_bytes(dla: Dla, shape: ConvShape, batch: int) -> float:
    """Return bytes to and from DRAM."""
    half = dla.buffer_bytes * model_constant("dla_buffer_use").value / 2
    weight_parts = max(1, math.ceil(shape.weights / half))
    map_parts = max(1, math.ceil(shape.inputs / half)) * batch
    inputs = shape.inputs * batch
    fetched = min(weight_parts * inputs + shape.weights, map_parts * shape.weights + inputs)
    return float(fetched + shape.outputs * batch * (2 if shape.residual else 1))


def frames_per_s(dla: Dla, shapes: Shapes, *, batch: int = 1) -> float:
    """Return frames a second."""
    seconds = sum(
        max(layer_cycles(dla, s, batch) / dla.clock_hz, layer_bytes(dla, s, batch) / dla.dram_bytes_per_s)
        for s in shapes
    )
    return batch / seconds


def area_mm2(macs: float, buffer_bytes: float, node_nm: float) -> Range:
    """Return the synthesized area (no placement) with memories."""
    gates = Range.of(model_constant("nvdla_fixed_gates")) + Range.of(model_constant("nvdla_mac_gates")) * float(macs)
    return gates * Range.of(at_node(node_nm, "gate_um2")) * 1e-6 + macro_mm2(buffer_bytes, _BANK_BYTES, node_nm)


def power_w(dla: Dla, shapes: Shapes, rate: float, node_nm: float) -> float:
    """Return the mean power at `rate` frames a second, DRAM not counted: MACs, buffer, clock, leakage.

    Leakage is half of a warm chip's: the published figures are synthesis at room temperature.
    """
    macs_per_s = rate * total_macs(shapes)
    cycles = rate * sum(layer_cycles(dla, s, 1) for s in shapes)
    buffer = cycles * 8 * dla.atomic_c * wide_pj_per_bit(_BANK_BYTES, node_nm)
    buffer += 2 * rate * 8 * sum(layer_bytes(dla, s, 1) for s in shapes) * wide_pj_per_bit(_BANK_BYTES, node_nm)
    clock = cycles * dla.macs * from_45(constant("array_clock_45").value, node_nm)
    clock += dla.clock_hz * from_45(constant("core_clock_45").value, node_nm)
    leak = area_mm2(dla.macs, dla.buffer_bytes, node_nm).value * at_node(node_nm, "leakage_mw_per_mm2").value * 5e-4
    return 1e-12 * (macs_per_s * array_mac_pj(node_nm) * constant("data_activity").value + buffer + clock) + leak
