"""The way into a chip on a board: a serial line (8 data bits, no parity), an AXI4 memory on the chip, and a bridge.

A message is a command byte, an address of 4 bytes and a word of 4, least significant byte first. The bridge answers a
read with 4 bytes and a write with the command's byte. The commands are those of `Command`.
"""

from enum import IntEnum

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Chip
from chanzi.rtl.top import ChipTop


class Command(IntEnum):
    """First byte of a message."""

    WRITE_REGISTER = 0x57
    READ_REGISTER = 0x52
    WRITE_MEMORY = 0x77
    READ_MEMORY = 0x72


ANSWERS_READ = (Command.READ_REGISTER, Command.READ_MEMORY)
MESSAGE_BYTES = 9
WORD_BYTES = 4


class Receiver(Component):
    """`valid` for a cycle with each byte from `line`; `divisor` cycles a bit. A byte without stop bit is dropped."""

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"line": In(1, init=1), "valid": Out(1), "byte": Out(8)})

    def elaborate(self, platform: object) -> Module:
        """Return two registers against metastability, and a shift register that samples bits in their middle."""
        del platform
        m = Module()
        first, level = Signal(init=1), Signal(init=1)
        wait, left = Signal(range(2 * self.divisor)), Signal(range(11))
        m.d.sync += [first.eq(self.line), level.eq(first), self.valid.eq(0)]
        with m.If(left == 0), m.If(~level):
            m.d.sync += [left.eq(10), wait.eq(self.divisor // 2 - 1)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [wait.eq(self.divisor - 1), left.eq(left - 1)]
            with m.If((left == 10) & level):  # no start bit after all
                m.d.sync += left.eq(0)
            with m.Elif(left == 1):
                m.d.sync += self.valid.eq(level)
            with m.Else():
                m.d.sync += self.byte.eq(Cat(self.byte[1:], level))
        return m


class Sender(Component):
    """Sends `byte` where `valid` and `ready`; `line` rests at 1."""

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"line": Out(1, init=1), "valid": In(1), "byte": In(8), "ready": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Return a shift register of start bit, byte and stop bit."""
        del platform
        m = Module()
        wait, left, bits = Signal(range(self.divisor)), Signal(range(11)), Signal(9, init=0x1FF)
        m.d.comb += self.ready.eq(left == 0)
        with m.If(left == 0), m.If(self.valid):
            m.d.sync += [left.eq(10), wait.eq(self.divisor - 1), bits.eq(Cat(self.byte, 1)), self.line.eq(0)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [wait.eq(self.divisor - 1), left.eq(left - 1)]
            m.d.sync += [self.line.eq(bits[0]), bits.eq(Cat(bits[1:], 1))]
        return m


class BoardTop(Component):
    """Ports: `rx`, `tx`, and `busy`, high while the chip's cores run.

    Parameters
    ----------
    chip : Chip
    memory_bytes : int
        Of the memory that stands where the chip's DRAM would; a power of two. Addresses wrap around in it. The host
        has it while no core runs: it must leave it alone during a run.
    divisor : int
        Cycles a bit of the serial line, 4 or more.
    model, compute : bool
        As `chanzi.rtl.top.ChipTop` has them.
    """

    def __init__(self, chip: Chip, *, memory_bytes: int, divisor: int, model: bool, compute: bool = True) -> None:
        self.chip, self.memory_bytes, self.divisor = chip, memory_bytes, divisor
        self.top = ChipTop(chip, model=model, compute=compute)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Return chip, memory and bridge."""
        del platform
        m, top = Module(), self.top
        m.submodules.chip = top
        m.submodules.receiver = receiver = Receiver(self.divisor)
        m.submodules.sender = sender = Sender(self.divisor)
        m.d.comb += [receiver.line.eq(self.rx), self.tx.eq(sender.line), self.busy.eq(~top.halted)]

        message = Signal(8 * MESSAGE_BYTES)  # the first byte ends up lowest
        command, address, word = message[:8], message[8:40], message[40:]
        got, left, answer = Signal(range(MESSAGE_BYTES + 1)), Signal(range(5)), Signal(32)
        wait = Signal(2)
        known: Value = Value.cast(0)
        for each in Command:
            known = known | (receiver.byte == each)
        act, host_write, host_word = Signal(), Signal(), Signal(32)
        m.d.comb += act.eq((got == MESSAGE_BYTES) & (wait == 0))
        # anything else between messages is passed over
        with m.If(receiver.valid & (got != MESSAGE_BYTES) & ((got != 0) | known)):
            m.d.sync += [message.eq(Cat(message[8:], receiver.byte)), got.eq(got + 1)]
        with m.If((got == MESSAGE_BYTES) & (left == 0)):
            m.d.sync += wait.eq(wait + 1)
            with m.If(wait == 3):  # registers and memory answer a cycle after they are asked
                m.d.sync += got.eq(0)
                with m.Switch(command):
                    with m.Case(Command.READ_REGISTER):
                        m.d.sync += [answer.eq(top.ctl_rdata), left.eq(4)]
                    with m.Case(Command.READ_MEMORY):
                        m.d.sync += [answer.eq(host_word), left.eq(4)]
                    with m.Default():
                        m.d.sync += [answer.eq(command), left.eq(1)]
        m.d.comb += [sender.valid.eq(left != 0), sender.byte.eq(answer[:8])]
        with m.If(sender.valid & sender.ready):
            m.d.sync += [left.eq(left - 1), answer.eq(answer[8:])]
        m.d.comb += [top.ctl_addr.eq(address), top.ctl_wdata.eq(word)]
        m.d.comb += top.ctl_write.eq(act & (left == 0) & (command == Command.WRITE_REGISTER))
        m.d.comb += host_write.eq(act & (left == 0) & (command == Command.WRITE_MEMORY))
        self._memory(m, host_write, address, word, host_word)
        return m

    def _memory(self, m: Module, host_write: Signal, address: Signal, word: Signal, host_word: Signal) -> None:
        """Build the AXI4 memory: one burst of reads and one of writes at a time, a beat every other cycle for reads."""
        top, beat = self.top, self.chip.dram.beat_bytes
        shift, lanes = (beat - 1).bit_length(), beat // WORD_BYTES
        memory = m.submodules.memory = Memory(shape=8 * beat, depth=self.memory_bytes // beat, init=[])
        read, write = memory.read_port(), memory.write_port(granularity=8)
        rows = len(read.addr)
        lane = address[2:shift] if lanes > 1 else Signal()
        r_at, r_left, r_state = Signal(rows), Signal(9), Signal(2)
        m.d.comb += top.axi_arready.eq(r_left == 0)
        m.d.comb += [top.axi_rvalid.eq(r_state == 2), top.axi_rdata.eq(read.data), top.axi_rlast.eq(r_left == 1)]
        m.d.comb += read.addr.eq(Mux(r_left != 0, r_at, address[shift : shift + rows]))
        m.d.comb += host_word.eq(read.data.word_select(lane, 32))
        with m.If(r_left == 0), m.If(top.axi_arvalid):
            m.d.sync += [r_at.eq(top.axi_araddr[shift : shift + rows]), r_left.eq(top.axi_arlen + 1)]
            m.d.sync += r_state.eq(1)
        with m.Elif(r_state == 1):
            m.d.sync += r_state.eq(2)
        with m.Elif(top.axi_rready):
            m.d.sync += [r_at.eq(r_at + 1), r_left.eq(r_left - 1), r_state.eq(1)]

        w_at, w_open, answers = Signal(rows), Signal(), Signal()
        taken = Signal()
        m.d.comb += [top.axi_awready.eq(~w_open & ~answers), top.axi_wready.eq(w_open)]
        m.d.comb += [taken.eq(w_open & top.axi_wvalid), top.axi_bvalid.eq(answers)]
        with m.If(top.axi_awvalid & top.axi_awready):
            m.d.sync += [w_at.eq(top.axi_awaddr[shift : shift + rows]), w_open.eq(1)]
        with m.If(taken):
            m.d.sync += w_at.eq(w_at + 1)
            with m.If(top.axi_wlast):
                m.d.sync += [w_open.eq(0), answers.eq(1)]
        with m.If(answers & top.axi_bready):
            m.d.sync += answers.eq(0)
        with m.If(w_open):
            m.d.comb += [write.addr.eq(w_at), write.data.eq(top.axi_wdata)]
            m.d.comb += write.en.eq(Mux(taken, top.axi_wstrb, 0))
        with m.Else():
            m.d.comb += [write.addr.eq(address[shift : shift + rows]), write.data.eq(Cat(word for _ in range(lanes)))]
            m.d.comb += write.en.eq(Mux(host_write, 0xF << (WORD_BYTES * lane), 0))
