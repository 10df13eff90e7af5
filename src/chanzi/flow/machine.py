"""The chip's RTL as a machine: its AXI4 port at a memory, its register port at the host, all cycles in C++.

`flow.verilator` compiles the top module that `rtl` gives with `axi_memory.h`; nothing here knows an instruction.
"""

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.errors import FlowError
from chanzi.flow.verilator import Model, Ports, build

CROSSING_BYTES = 4096
"""No burst may cross a multiple of this (AMBA AXI4, A3.4.1)."""

_CHUNK_CYCLES = 1 << 20  # between two of them, Ctrl-C gets through
_TRAFFIC = ("cycles", "read_bursts", "read_beats", "write_bursts", "write_beats")
_RULES = (
    "a burst crosses 4 KiB",
    "AR changed before it was taken",
    "AW changed before it was taken",
    "W changed before it was taken",
    "WLAST is not with the last beat, or is with another",
    "an address outside of memory",
    "a burst is not INCR, or not of whole beats",
)
_REQUIRED = (
    *("clk", "halted", "ctl_addr", "ctl_write", "ctl_wdata", "ctl_rdata"),
    *("axi_arvalid", "axi_arready", "axi_araddr", "axi_arlen", "axi_rvalid", "axi_rready", "axi_rdata", "axi_rlast"),
    *("axi_awvalid", "axi_awready", "axi_awaddr", "axi_awlen", "axi_wvalid", "axi_wready", "axi_wdata", "axi_wstrb"),
    *("axi_wlast", "axi_bvalid", "axi_bready"),
)
_OPTIONAL = ("rst", "axi_arsize", "axi_arburst", "axi_awsize", "axi_awburst", "axi_rresp", "axi_bresp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What crossed the memory port since the machine was made."""

    cycles: int
    read_bursts: int
    read_beats: int
    write_bursts: int
    write_beats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A rule of AXI4 that the chip broke: how often, and in which cycle first."""

    rule: str
    times: int
    first_cycle: int


def build_machine(verilog: str, *, top: str, ports: Ports, optimize: str = "-O2", trace: bool = False) -> Path:
    """Return the shared object of a chip with its memory and host, built unless it was before.

    Parameters
    ----------
    verilog : str
    top : str
        Name of the top module.
    ports : mapping of str to int
        Bits of its ports. `rst` and AXI's size, burst and resp may be missing; every other name of the machine must be
        there.
    optimize : str
        The C++ compiler's level.
    trace : bool
        Make a machine that can write waveforms.

    Raises
    ------
    FlowError
        A port is missing or of a wrong width, or a tool refuses the design.
    """
    missing = [name for name in _REQUIRED if name not in ports]
    if missing:
        raise FlowError(
            f"module {top} has no port {', '.join(missing)}", hint="a machine has one AXI4 and one ctl port"
        )
    beat = ports["axi_rdata"] // 8
    if beat < 1 or beat & (beat - 1) or ports["axi_rdata"] != 8 * beat or ports["axi_wdata"] != 8 * beat:
        raise FlowError(f"module {top}: axi_rdata and axi_wdata are not one power of two of bytes")
    if ports["axi_wstrb"] != beat:
        raise FlowError(f"module {top}: axi_wstrb has {ports['axi_wstrb']} bits for {beat} bytes")
    macros = [f"#define BEAT {beat}ull", f"#define LIMIT {CROSSING_BYTES}ull"]
    macros += [f"#define HAS_{name.upper()} 1" for name in _OPTIONAL if name in ports]
    text = Path(__file__).with_name("axi_memory.h").read_text()
    extra = "\n".join([*macros, text])
    return build(verilog, top=top, ports=ports, extra=extra, optimize=optimize, trace=trace)


class Machine:
    """A chip with memory, reset and ready for its host.

    Parameters
    ----------
    library : Path
        What `build_machine` returned.
    ports : mapping of str to int
        The same as for `build_machine`.
    memory : ndarray
        uint8, contiguous and writable; the chip's address 0 is its first byte. The chip reads and writes this very
        array.
    read_latency : int
        A burst's first beat is offered no earlier than so many cycles after the cycle that follows its AR handshake.
    write_latency : int
        The same for the response, after the last beat of data.
    stall : float
        Probability that a channel pauses in a cycle.
    seed : int
        Of the pauses.
    """

    def __init__(
        self,
        library: Path,
        ports: Ports,
        memory: npt.NDArray[np.uint8],
        *,
        read_latency: int = 0,
        write_latency: int = 0,
        stall: float = 0.0,
        seed: int = 0,
    ) -> None:
        if memory.dtype != np.uint8 or not memory.flags.c_contiguous or not memory.flags.writeable:
            raise FlowError("a machine's memory is a contiguous, writable array of uint8")
        if not 0 <= stall < 1:
            raise FlowError(f"a channel cannot pause with probability {stall}", hint="0 <= stall < 1")
        self.memory = memory
        self.model = Model(library, ports)
        self._library = _declare(self.model.library)
        self._handle: int | None = self._library.machine_new(
            self.model.handle, memory.ctypes.data, memory.size, read_latency, write_latency, int(stall * 2**32), seed
        )
        self._counters = self._library.machine_counters(self._handle)
        self._first = self._library.machine_first(self._handle)

    def run(self, max_cycles: int) -> int:
        """Return the cycles until `halted`; the one in which it is first seen is not counted.

        Raises
        ------
        FlowError
            It did not halt within `max_cycles`.
        """
        done = 0
        while done < max_cycles:
            chunk = min(_CHUNK_CYCLES, max_cycles - done)
            given = self._library.machine_run(self._handle, chunk, 1)
            done += given
            if given < chunk:
                return done
        if self.model.get("halted"):
            return done
        raise FlowError(f"the chip did not halt within {max_cycles} cycles")

    def step(self, cycles: int = 1) -> None:
        """Let so many cycles pass, halted or not."""
        self._library.machine_run(self._handle, cycles, 0)

    def write_block(self, address: int, words: npt.ArrayLike, *, stride: int = 4) -> None:
        """Write 32-bit words to registers, one a cycle, `stride` apart (0: all to one register)."""
        data = np.ascontiguousarray(words, np.uint32).reshape(-1)
        self._library.machine_write(self._handle, address, stride, data.ctypes.data, data.size)

    def read_block(self, address: int, count: int, *, stride: int = 4) -> npt.NDArray[np.uint32]:
        """Return 32-bit registers, one a cycle, `stride` apart."""
        data = np.zeros(count, np.uint32)
        self._library.machine_read(self._handle, address, stride, data.ctypes.data, count)
        return data

    def write(self, address: int, word: int) -> None:
        """Write one register."""
        self.write_block(address, [word])

    def read(self, address: int) -> int:
        """Return one register."""
        return int(self.read_block(address, 1)[0])

    def trace(self, path: Path, *, after: int = 0, cycles: int = 10_000) -> None:
        """Write a VCD waveform of a window that begins `after` cycles from now; time is two units a cycle.

        Raises
        ------
        FlowError
            The machine was built without waveforms, or the file cannot be written.
        """
        if not self._library.machine_trace(self._handle, str(path).encode(), after, cycles):
            raise FlowError(f"no waveform can be written to {path}", hint="build_machine(..., trace=True)")

    def traffic(self) -> Traffic:
        """Return what crossed the memory port so far."""
        return Traffic(**dict(zip(_TRAFFIC, self._counters[: len(_TRAFFIC)], strict=True)))

    def violations(self) -> tuple[Violation, ...]:
        """Return the rules of AXI4 that were broken; none for a right chip."""
        at = range(len(_TRAFFIC), len(_TRAFFIC) + len(_RULES))
        found = [(rule, self._counters[i], self._first[i]) for i, rule in zip(at, _RULES, strict=True)]
        return tuple(Violation(rule=rule, times=n, first_cycle=first) for rule, n, first in found if n)

    def outstanding(self) -> int:
        """Return how many bursts and responses are under way: 0 once a right chip has halted."""
        return int(self._library.machine_outstanding(self._handle))

    def close(self) -> None:
        """Free the machine and end its waveform."""
        if self._handle is not None:
            self._library.machine_free(self._handle)
            self._handle = None
            self.model.close()


def _declare(library: ctypes.CDLL) -> Any:
    """Return the library, its functions' types set: without them 64-bit pointers would be cut."""
    handle, u64, u32, i32 = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_int
    numbers = ctypes.POINTER(ctypes.c_uint64)
    for name, result, arguments in (
        ("new", handle, [handle, handle, u64, u64, u64, u32, u64]),
        ("free", None, [handle]),
        ("counters", numbers, [handle]),
        ("first", numbers, [handle]),
        ("outstanding", u64, [handle]),
        ("run", u64, [handle, u64, i32]),
        ("write", None, [handle, u32, u32, handle, u64]),
        ("read", None, [handle, u32, u32, handle, u64]),
        ("trace", i32, [handle, ctypes.c_char_p, u64, u64]),
    ):
        function = getattr(library, f"machine_{name}")
        function.restype, function.argtypes = result, arguments
    return library
