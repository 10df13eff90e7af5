"""The chip's AXI4 port, and the links between a DMA engine and the bus that serves it.

AXI4: INCR bursts of whole beats, no IDs, responses in order.
"""

from amaranth.lib.wiring import In, Member, Out, Signature

from chanzi.chip.chip import Chip

ADDRESS_BITS = 40
"""Bits of a DRAM address: `chanzi.chip.chip.Dram` allows up to 1 TiB."""


def axi_master(chip: Chip) -> dict[str, Member]:
    """Return the members of the AXI4 port, seen from the master."""
    beat = chip.dram.beat_bytes
    address = {
        "valid": Out(1),
        "ready": In(1),
        "addr": Out(ADDRESS_BITS),
        "len": Out(8),
        "size": Out(3),
        "burst": Out(2),
    }
    return {
        **{f"axi_ar{name}": member for name, member in address.items()},
        "axi_rvalid": In(1), "axi_rready": Out(1), "axi_rdata": In(8 * beat), "axi_rresp": In(2), "axi_rlast": In(1),
        **{f"axi_aw{name}": member for name, member in address.items()},
        "axi_wvalid": Out(1), "axi_wready": In(1), "axi_wdata": Out(8 * beat), "axi_wstrb": Out(beat),
        "axi_wlast": Out(1), "axi_bvalid": In(1), "axi_bready": Out(1), "axi_bresp": In(2),
    }  # fmt: skip


_LINK = {
    "ask": Out(1), "taken": In(1),
    "avalid": Out(1), "aready": In(1), "aaddr": Out(ADDRESS_BITS), "alen": Out(8), "alast": Out(1),
    "able": Out(1), "go": In(1), "pace": In(1), "slot": Out(1), "end": Out(1),
}  # fmt: skip
"""Of both engines, seen from them.

`ask`, `taken`: a transfer waits to be put in line; it is. `a...`: its bursts, `alast` with its last. `able`, `go`: it
can begin; it does, its first slot is the next cycle. `pace`: this cycle may be a slot; `slot`: it is, `end` the last.
"""


def load_link(chip: Chip) -> Signature:
    """Return the link of a LOAD engine: `rvalid` with the beat of this slot, `rtake` where the slot takes it."""
    return Signature(_LINK | {"rvalid": In(1), "rtake": Out(1), "rdata": In(8 * chip.dram.beat_bytes)})


def store_link(chip: Chip) -> Signature:
    """Return the link of a STORE engine: the beat of this slot; `answered` when the oldest transfer is written."""
    beat = chip.dram.beat_bytes
    return Signature(_LINK | {"wdata": Out(8 * beat), "wstrb": Out(beat), "wlast": Out(1), "answered": In(1)})
