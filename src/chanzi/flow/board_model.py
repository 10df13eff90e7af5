"""A board that is a model: `chanzi.rtl.host.BoardTop` under Verilator behind its serial line, bit by bit.

It is a `Stream`, so whatever talks to a board talks to it: before synthesis, or from the netlist after it.
"""

import ctypes
from typing import Any

from chanzi.chip.chip import Chip
from chanzi.flow.chip_model import memory_models
from chanzi.flow.module import ports_of
from chanzi.flow.verilator import Model, build
from chanzi.flow.verilog import to_verilog

TOP = "chanzi_board"
"""Name of the top module."""
DIVISOR = 4
"""Cycles of a bit: the fastest that the bridge takes."""
IDLE_BITS = 400
"""A model that has not begun an answer after so many bits is silent."""

_LINE = """
struct Line { int phase; int bits; unsigned got; };
extern "C" Line* line_new() { return new Line{0, 0, 0}; }
extern "C" void line_free(Line* line) { delete line; }
// Sends n bytes, then waits for answers until there are `room` or the line has been still for `idle` cycles; returns
// how many there are. What answers is read all the time.
extern "C" uint64_t line_talk(Model* m, Line* line, int divisor, const uint8_t* out, uint64_t n, uint8_t* in,
                              uint64_t room, uint64_t idle) {
  uint64_t found = 0, still = 0;
  const uint64_t sending = n * 10 * divisor;
  for (uint64_t t = 0; t < sending || (found < room && still < idle); t++) {
    unsigned level = 1;
    if (t < sending) {
      const unsigned bit = t / divisor % 10;
      level = bit == 0 ? 0 : bit == 9 ? 1 : out[t / divisor / 10] >> (bit - 1) & 1;
    }
    m->top->rx = level;
    m->top->clk = 0; m->top->eval();
    const unsigned answer = m->top->tx;
    m->top->clk = 1; m->top->eval();
    still = t < sending || line->phase ? 0 : still + 1;
    if (line->phase == 0) {
      if (!answer) { line->phase = 1; line->bits = 0; line->got = 0; }
      continue;
    }
    if (line->phase++ % divisor != divisor / 2) continue;
    if (line->bits > 0 && line->bits < 9) line->got |= answer << (line->bits - 1);
    if (line->bits++ == 9) {
      line->phase = 0;
      if (found < room) in[found++] = line->got;
    }
  }
  m->top->clk = 0; m->top->eval();
  return found;
}
"""


class ModelLine:
    """The serial line of a running model.

    Parameters
    ----------
    made : Model
        Of `BoardTop`, built with `extra=LINE`.
    divisor : int
        Cycles of a bit, as the model has them.

    Attributes
    ----------
    cycles : int
        Of the clock, at least, so far: those in which bytes were sent.
    """

    def __init__(self, made: Model, divisor: int = DIVISOR) -> None:
        self.made, self.divisor = made, divisor
        library = made.library
        library.line_new.restype = ctypes.c_void_p
        library.line_talk.restype = ctypes.c_uint64
        self._line = ctypes.c_void_p(library.line_new())
        self._waiting = bytearray()
        made.set("rst", 1)
        made.step(4)
        made.set("rst", 0)
        made.set("rx", 1)
        made.step(4 * divisor)

    def write(self, data: bytes) -> int:
        """Send bytes; answers that come meanwhile wait to be read."""
        self._talk(data, len(data))
        return len(data)

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer if the model falls silent."""
        if len(self._waiting) < size:
            self._talk(b"", size - len(self._waiting))
        out, self._waiting = bytes(self._waiting[:size]), self._waiting[size:]
        return out

    def _talk(self, data: bytes, room: int) -> None:
        answers = (ctypes.c_uint8 * max(room, 1))()
        u64 = ctypes.c_uint64
        idle = IDLE_BITS * self.divisor if not data else 0
        found = self.made.library.line_talk(
            self.made.handle, self._line, self.divisor, data, u64(len(data)), answers, u64(room), u64(idle)
        )
        self._waiting += bytes(answers[:found])


def board_line(chip: Chip, *, memory_bytes: int, compute: bool = True) -> ModelLine:
    """Return the serial line of a model of the chip on a board, before synthesis.

    Raises
    ------
    FlowError
        A tool of the RTL flow is missing.
    ChipError
        The chip has no hardware.
    """
    top = board_top(chip, memory_bytes=memory_bytes, compute=compute, model=True)
    verilog = to_verilog(top, name=TOP, flatten=True) + memory_models(banks=False)
    ports = ports_of(top)
    return ModelLine(Model(build(verilog, top=TOP, ports=ports, extra=_LINE), ports))


def netlist_line(chip: Chip, *, memory_bytes: int, compute: bool = True) -> ModelLine:
    """Return the serial line of a model of the chip's netlist in ECP5 cells.

    Raises
    ------
    FlowError
        A tool of the FPGA flow is missing.
    """
    from chanzi.flow.ecp5_cells import cell_models
    from chanzi.flow.fpga import synthesize_top

    top = board_top(chip, memory_bytes=memory_bytes, compute=compute, model=False)
    folder = synthesize_top(top, name=TOP)
    ports = ports_of(top)
    verilog = (folder / "netlist.v").read_text() + cell_models()
    return ModelLine(Model(build(verilog, top=TOP, ports=ports, extra=_LINE), ports))


def board_top(chip: Chip, *, memory_bytes: int, model: bool, compute: bool = True) -> Any:
    """Return the board without its PLL as an Amaranth component."""
    from chanzi.errors import FlowError

    try:
        from chanzi.rtl.host import BoardTop
    except ModuleNotFoundError as error:
        raise FlowError(f"{error.name} is not installed", hint="pip install 'chanzi[fpga]'") from None
    return BoardTop(chip, memory_bytes=memory_bytes, divisor=DIVISOR, model=model, compute=compute)
