"""The integration page: ports, bus, registers and how to start a program, from the same tables as the hardware."""

from amaranth import Shape
from amaranth.lib.wiring import Out

from chanzi.chip.chip import Chip
from chanzi.isa.cycles import START_CYCLES
from chanzi.isa.fields import INSTRUCTION_BYTES
from chanzi.rtl.control import CODE_BASE, CODE_STEP, CORE_BASE, CORE_REGISTERS, CORE_STEP, REGISTERS
from chanzi.rtl.sequencer import ErrorCode
from chanzi.rtl.top import top_ports

_MEANING = {
    "clk": "clock; everything happens at its rising edge",
    "rst": "synchronous reset, high for at least a cycle",
    "halted": "high while all cores have ended",
    "ctl_addr": "register address in bytes, a multiple of 4",
    "ctl_write": "high for one cycle: write `ctl_wdata` to `ctl_addr`",
    "ctl_wdata": "what is written",
    "ctl_rdata": "what `ctl_addr` of the cycle before names",
}
_ERRORS = {
    ErrorCode.NONE: "none",
    ErrorCode.ILLEGAL: "unknown opcode, flag, kind or peer, or a loop without a turn",
    ErrorCode.FUTURE_WAIT: "waits for an instruction of its own core that does not come before it",
    ErrorCode.NO_HALT: "ran past the end of the instruction memory",
    ErrorCode.PEER_ENDED: "waits for a STORE of a core that has ended without it",
}


def integration_page(chip: Chip) -> str:
    """Return the page as Markdown.

    Parameters
    ----------
    chip : Chip
    """
    core = chip.core
    lines = [
        f"# {chip.name}: integration",
        "",
        (
            f"{chip.cores} core(s), each {core.dim} x {core.dim} multiply-accumulators, {core.lanes} vector lanes and "
            f"{core.scratchpad.bytes:,} bytes of scratchpad in {core.scratchpad.banks} banks; ports of "
            f"{core.port_bytes} bytes. One clock, synchronous reset. Top module: `chanzi_top`."
        ),
        "",
        "## Ports",
        "",
        "| port | bits | direction | |",
        "|---|---|---|---|",
        f"| `clk` | 1 | in | {_MEANING['clk']} |",
        f"| `rst` | 1 | in | {_MEANING['rst']} |",
    ]
    for name, member in top_ports(chip).items():
        bits = Shape.cast(member.shape).width
        side = "out" if member.flow is Out else "in"
        lines.append(f"| `{name}` | {bits} | {side} | {_MEANING.get(name, 'AXI4')} |")
    lines += [
        "",
        "## Memory",
        "",
        (
            f"The AXI4 port is a master of {8 * chip.dram.beat_bytes} data bits without IDs: transactions stay in "
            "order. Bursts are INCR, at most 256 beats, and never cross 4 KiB. Reads and writes move whole beats; "
            "write strobes name the bytes. Every channel may be held back at any time: that costs cycles and never "
            "changes bytes."
        ),
        "",
        (
            f"The cycles that Chanzi predicts hold for a memory that answers {chip.dram_latency_cycles} cycles after a "
            f"request and takes or gives a beat a cycle; the chip itself paces transfers to "
            f"{chip.dram.bytes_per_s:,} bytes a second at {chip.clock_hz:,} Hz."
        ),
        "",
        "## Registers",
        "",
        "| address | name | |",
        "|---|---|---|",
        *(f"| 0x{address:03X} | {name} | {doc} |" for address, name, doc in REGISTERS),
        "",
        f"Those of core n lie at 0x{CORE_BASE:X} + n x 0x{CORE_STEP:X}:",
        "",
        "| offset | name | |",
        "|---|---|---|",
        *(f"| 0x{offset:02X} | {name} | {doc} |" for offset, name, doc in CORE_REGISTERS),
        "",
        "Error codes:",
        "",
        "| code | |",
        "|---|---|",
        *(f"| {int(code)} | {text} |" for code, text in _ERRORS.items()),
        "",
        "## Starting a program",
        "",
        "1. Put the program's image into DRAM at address 0, the frame's inputs where the program's ports say.",
        (
            f"2. Write each core's code, {INSTRUCTION_BYTES} bytes an instruction, to 0x{CODE_BASE:08X} + core x "
            f"0x{CODE_STEP:08X}, in words of 32 bits. The memory holds {core.code_instructions} instructions."
        ),
        f"3. Write 1 to CONTROL. The first instruction leaves the sequencer {START_CYCLES} cycles later.",
        "4. Wait until `halted` is high, or bit 1 of STATUS. Bit 2 says that a core stopped with an error.",
        (
            "5. Read the outputs from DRAM. The scratchpad keeps what it holds: setup code runs once, frame code for "
            "every frame."
        ),
        "",
    ]
    return "\n".join(lines)
