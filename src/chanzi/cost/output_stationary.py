"""How well convolutions fill an array of the kind this project builds: its own timing rules, layer by layer."""

from chanzi.chip.chip import Core
from chanzi.cost.shapes import Shapes, total_macs
from chanzi.isa.cycles import dot_timing
from chanzi.isa.instruction import Dot

_IMAGE_CHANNELS = 4


def utilization(core: Core, shapes: Shapes) -> float:
    """Return the share of the array's cells that multiply something useful while the layers run one after the other.

    Weights are taken to be in the scratchpad; pooling and whatever else the vector unit does goes on meanwhile. No
    layer is packed or split to fill the array better, which a compiler may do.
    """
    cycles = 0
    for s in shapes:
        atom = core.atom_bytes
        channels = _IMAGE_CHANNELS if s.cin <= _IMAGE_CHANNELS else -(-s.cin // s.groups // atom) * atom
        dot = Dot(
            a_count=s.out_y * s.out_x,
            b_count=s.cout // s.groups,
            a_run=s.kernel_x * channels,
            a_taps_y=s.kernel_y,
            a_taps_x=1,
            b_run=s.kernel_x * channels * s.kernel_y,
            b_taps_y=1,
            b_taps_x=1,
        )
        timing = dot_timing(core, dot)
        cycles += s.groups * (timing.first + timing.rest)
    return total_macs(shapes) / (cycles * core.macs_per_cycle)
