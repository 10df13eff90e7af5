"""The chip: the only place where dimensions, clocks, memories and node live.

Everything downstream (compiler, simulators, RTL, cost) derives from these frozen values; derived numbers are
properties and are stored nowhere.
"""

import math
from dataclasses import dataclass, field, replace

from chanzi.errors import ChipError

_NARROWEST_BEAT, _DEFAULT_BEAT = 4, 64


def _require(ok: bool, what: str, hint: str) -> None:
    if not ok:
        raise ChipError(what, hint=hint)


def _is_power_of_two(n: int) -> bool:
    return n > 0 and n & (n - 1) == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratchpad:
    """A core's on-chip memory: `banks` single-ported banks of equal size, addressed linearly.

    Bank of a byte address = address // `bank_bytes`. Each bank is split into even and odd words inside, so that an
    unaligned window of one port width is one access.
    """

    bytes: int
    banks: int

    def __post_init__(self) -> None:
        _require(
            4 <= self.banks <= 65536, f"scratchpad.banks is {self.banks}", "a core needs between 4 and 65536 banks"
        )
        _require(
            1024 <= self.bytes <= 1 << 31,
            f"scratchpad.bytes is {self.bytes}",
            "use between 1 KiB and 2 GiB for each core",
        )
        _require(
            self.bytes % self.banks == 0,
            f"scratchpad.bytes {self.bytes} is not a multiple of banks {self.banks}",
            "banks are equal in size",
        )

    @property
    def bank_bytes(self) -> int:
        """Bytes in one bank."""
        return self.bytes // self.banks


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One array with its vector unit, scratchpad and sequencer.

    Parameters
    ----------
    dim : int
        D: the array has D x D multiply-accumulate cells and the epilogue D lanes.
    scratchpad : Scratchpad
    port_bytes : int, optional
        W: bytes a scratchpad port moves in a cycle. A power of two >= D and >= 4; the smallest such by default.
    lanes : int, optional
        Lanes of the vector unit, <= W; D by default. A multiple of the atom, or a part of it.
    epilogue_lanes : int, optional
        Columns of a row that the array's epilogue takes in a cycle, a divisor of D; 0, by default, means D.
    taps_per_lane : int
        Multiply-accumulates a vector lane does a cycle in depthwise convolution.
    queue_depth : int
        Instructions that wait in front of each engine.
    issue_cycles : int
        Cycles between two instructions leaving the sequencer.
    code_instructions : int
        Instructions of 256 bytes that the core's instruction memory holds: the longest setup or frame code.
        The default holds ResNet-50 on a 16 x 16 array, whose small memory makes it 8,875; large cores need far less.
    float_stages : int
        Cycles of each step of float32 arithmetic, 1 or 2: with 2, a register cuts every step, for fabrics of look-up
        tables. Results come some cycles later (`chanzi.isa.pipeline`) and are the same.
    """

    dim: int
    scratchpad: Scratchpad
    port_bytes: int = 0
    lanes: int = 0
    epilogue_lanes: int = 0
    taps_per_lane: int = 3
    queue_depth: int = 16
    issue_cycles: int = 8
    code_instructions: int = 16384
    float_stages: int = 1

    def __post_init__(self) -> None:
        _require(2 <= self.dim <= 512, f"core.dim is {self.dim}", "the array side must be between 2 and 512")
        _require(
            self.dim < 16 or self.dim % 16 == 0,
            f"core.dim {self.dim} is not a multiple of 16",
            "above 16 the array side is a whole number of 16-byte atoms",
        )
        _require(
            self.dim >= 16 or _is_power_of_two(self.dim),
            f"core.dim {self.dim} is not a power of two",
            "below 16 the array side is the atom and must be 2, 4 or 8",
        )
        if self.port_bytes == 0:
            object.__setattr__(self, "port_bytes", max(_NARROWEST_BEAT, 1 << (self.dim - 1).bit_length()))
        if self.lanes == 0:
            object.__setattr__(self, "lanes", self.dim)
        _require(
            _is_power_of_two(self.port_bytes) and self.port_bytes >= max(self.dim, _NARROWEST_BEAT),
            f"core.port_bytes is {self.port_bytes}",
            f"use a power of two of at least dim = {self.dim}, and of at least {_NARROWEST_BEAT}",
        )
        atom = self.atom_bytes
        _require(
            0 < self.lanes <= self.port_bytes
            and (self.lanes % atom == 0 or (atom % self.lanes == 0 and 4 * self.lanes % atom == 0)),
            f"core.lanes is {self.lanes}",
            f"use a multiple of the atom ({atom}) up to port_bytes = {self.port_bytes}, or a half or quarter of it",
        )
        _require(
            0 < self.row_lanes <= self.dim and self.dim % self.row_lanes == 0,
            f"core.epilogue_lanes is {self.epilogue_lanes}",
            f"use a divisor of dim = {self.dim}",
        )
        _require(1 <= self.taps_per_lane <= 64, f"core.taps_per_lane is {self.taps_per_lane}", "use 1 to 64")
        _require(1 <= self.queue_depth <= 4096, f"core.queue_depth is {self.queue_depth}", "use 1 to 4096")
        _require(1 <= self.issue_cycles <= 4096, f"core.issue_cycles is {self.issue_cycles}", "use 1 to 4096")
        _require(self.float_stages in (1, 2), f"core.float_stages is {self.float_stages}", "use 1 or 2")
        _require(
            2 <= self.code_instructions <= 65536,
            f"core.code_instructions is {self.code_instructions}",
            "use 2 to 65536 instructions of 256 bytes",
        )
        _require(
            self.scratchpad.bank_bytes % self.port_bytes == 0,
            f"a bank of {self.scratchpad.bank_bytes} bytes is not a whole number of {self.port_bytes}-byte words",
            "choose scratchpad.bytes / banks as a multiple of port_bytes",
        )

    @property
    def atom_bytes(self) -> int:
        """Channel padding: 16 bytes, or D where the array is smaller."""
        return min(16, self.dim)

    @property
    def row_lanes(self) -> int:
        """Columns of a row that the array's epilogue takes in a cycle."""
        return self.epilogue_lanes or self.dim

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates the array does in a cycle."""
        return self.dim * self.dim


@dataclass(frozen=True, slots=True, kw_only=True)
class Dram:
    """External memory, shared by all cores, as the deterministic model sees it.

    Parameters
    ----------
    bytes_per_s : int
        Sustained bandwidth of the whole bus.
    latency_ns : float
        From a request to its first byte.
    beat_bytes : int
        Width of the chip's AXI data bus, at most `core.port_bytes`; transfers move whole beats. By default a port,
        but no more than 64.
    capacity_bytes : int
    """

    bytes_per_s: int
    latency_ns: float = 100.0
    beat_bytes: int = 0
    capacity_bytes: int = 1 << 32

    def __post_init__(self) -> None:
        _require(
            1_000_000 <= self.bytes_per_s <= 10**15,
            f"dram.bytes_per_s is {self.bytes_per_s}",
            "give the bus's bandwidth in bytes per second (LPDDR4-4266 x 128 bit is 68_000_000_000)",
        )
        _require(0 <= self.latency_ns <= 1e6, f"dram.latency_ns is {self.latency_ns}", "use 0 to 1e6 ns")
        _require(
            self.beat_bytes == 0 or (_is_power_of_two(self.beat_bytes) and _NARROWEST_BEAT <= self.beat_bytes <= 128),
            f"dram.beat_bytes is {self.beat_bytes}",
            "AXI4 data buses are 4 to 128 bytes, a power of two; leave it out for a port's width",
        )
        _require(
            1 << 16 <= self.capacity_bytes <= 1 << 40,
            f"dram.capacity_bytes is {self.capacity_bytes}",
            "use between 64 KiB and 1 TiB",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A chip: `cores` equal cores that share one DRAM.

    `volt` is the supply of the cores, the node's nominal one where it is left out; it changes watts, not cycles.
    `sources` maps dotted field names (``"core.dim"``) to where the figure comes from.
    """

    name: str
    clock_hz: int
    core: Core
    dram: Dram
    cores: int = 1
    node_nm: float = 0.0
    volt: float | None = None
    description: str = ""
    sources: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(bool(self.name.strip()), "the chip has no name", 'set name = "..."')
        _require(
            len(self.name) <= 80 and self.name.isprintable(),
            "the chip's name is longer than 80 characters or holds control characters",
            "a name is one short line",
        )
        _require(1 <= self.cores <= 64, f"cores is {self.cores}", "use 1 to 64 cores")
        _require(
            1_000_000 <= self.clock_hz <= 10_000_000_000,
            f"clock_hz is {self.clock_hz}",
            "use 1 MHz to 10 GHz, in hertz",
        )
        _require(
            0 <= self.node_nm <= 1000, f"node_nm is {self.node_nm}", "the process node in nanometres, 0 if unknown"
        )
        _require(
            self.volt is None or 0.1 <= self.volt <= 10,
            f"volt is {self.volt}",
            "the supply of the cores in volts, 0.1 to 10; leave it out for the node's nominal one",
        )
        port, beat = self.core.port_bytes, self.dram.beat_bytes
        _require(
            beat <= port,
            f"dram.beat_bytes {beat} is more than core.port_bytes {port}",
            f"DMA moves a word of the scratchpad a cycle: use dram.beat_bytes = {min(port, 128)}, or a wider port",
        )
        if beat == 0:
            object.__setattr__(self, "dram", replace(self.dram, beat_bytes=min(port, _DEFAULT_BEAT)))

    @property
    def peak_macs_per_s(self) -> float:
        """Multiply-accumulates a second of all arrays, every cell busy every cycle."""
        return float(self.cores * self.core.macs_per_cycle) * self.clock_hz

    @property
    def peak_tops(self) -> float:
        """Peak int8 tera-operations a second; a multiply and an add count as two."""
        return 2e-12 * self.peak_macs_per_s

    @property
    def dram_bytes_per_cycle(self) -> float:
        """Bytes the DRAM bus moves in one clock cycle of the chip."""
        return self.dram.bytes_per_s / self.clock_hz

    @property
    def dram_latency_cycles(self) -> int:
        """DRAM latency in whole clock cycles, rounded up."""
        return math.ceil(self.dram.latency_ns * 1e-9 * self.clock_hz - 1e-6)
