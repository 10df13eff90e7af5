"""AXI4 channels as the DMA engines use them: INCR bursts of whole beats, one ID, responses in order."""

from amaranth.lib.wiring import In, Out, Signature

from chanzi.chip.chip import Chip

ADDRESS_BITS = 40
"""Bits of a DRAM address: `chanzi.chip.chip.Dram` allows up to 1 TiB."""


def read_side(chip: Chip) -> Signature:
    """Return the AR and R channels, seen from the master."""
    return Signature({
        "arvalid": Out(1), "arready": In(1), "araddr": Out(ADDRESS_BITS), "arlen": Out(8),
        "rvalid": In(1), "rready": Out(1), "rdata": In(8 * chip.dram.beat_bytes), "rlast": In(1),
    })  # fmt: skip


def write_side(chip: Chip) -> Signature:
    """Return the AW, W and B channels, seen from the master."""
    beat = chip.dram.beat_bytes
    return Signature({
        "awvalid": Out(1), "awready": In(1), "awaddr": Out(ADDRESS_BITS), "awlen": Out(8),
        "wvalid": Out(1), "wready": In(1), "wdata": Out(8 * beat), "wstrb": Out(beat), "wlast": Out(1),
        "bvalid": In(1), "bready": Out(1),
    })  # fmt: skip
