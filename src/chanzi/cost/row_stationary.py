"""Power of an array whose cells hold their operands in register files of their own (Eyeriss)."""

from chanzi.cost.energy import array_mac_pj
from chanzi.cost.tech import constant, from_45, wide_pj_per_bit

_ACCESSES = 4
"""Of a cell's register file for one product: pixel, weight, sum read and written."""
_BUFFER_SHARE = 0.05
"""Products that fetch a word from the buffer: the register files catch the rest."""
_BUFFER_BYTES = 4096


def power_w(*, macs: float, clock_hz: float, macs_per_s: float, node_nm: float, bits: int = 16) -> float:
    """Return the power at so many products a second, DRAM not counted, leakage of a low-power process neglected."""
    cell = array_mac_pj(node_nm, bits) + _ACCESSES * bits / 16 * from_45(constant("rf_45").value, node_nm)
    buffer = 2 * _BUFFER_SHARE * bits * wide_pj_per_bit(_BUFFER_BYTES, node_nm)
    clock = macs * clock_hz * bits / 8 * from_45(constant("array_clock_ungated_45").value, node_nm)
    return 1e-12 * (macs_per_s * (cell + buffer) + clock)
