"""An edge feeder: words arrive for one row after another, bytes leave for all, each row a cycle after the last.

A row has a word in use and a word that waits. Words hold 9-bit numbers, zero point already subtracted; what lies
outside
the map is 0, and so is everything of a row that no word came for.
"""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Core
from chanzi.rtl.descriptor import coordinate_bits
from chanzi.rtl.shared import Shared

ARRIVE_LATENCY = 2
"""Cycles from a word on the port to a row that waits with it."""


class FeederRow(Component):
    """A row's words: `word` is taken to wait if it is `mine`; `pop` begins with the one that waits, or with zeros."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__({"word": In(9 * width), "mine": In(1), "step": In(1), "pop": In(1), "out": Out(9)})

    def elaborate(self, platform: object) -> Module:
        """Return the two words and the way out."""
        del platform
        m = Module()
        waiting, active = (Signal(9 * self.width, name=name, reset_less=True) for name in ("waiting", "active"))
        have, out = Signal(), Signal(9, name="byte")
        with m.If(self.mine):
            m.d.sync += [waiting.eq(self.word), have.eq(1)]
        with m.Elif(self.pop):
            m.d.sync += have.eq(0)
        source = Mux(self.pop, Mux(have, waiting, 0), active)
        with m.If(self.step):
            m.d.sync += [active.eq(Cat(source[9:], Const(0, 9))), out.eq(source[:9])]
        with m.Else():
            m.d.sync += out.eq(0)
        m.d.comb += self.out.eq(out)
        return m


class Feeder(Component):
    """Waiting and active words of all rows.

    Ports: a word of the port with what is to know of it (`arrive`, `row`, `exists`, `byte`, `width`, `signed`,
    `zero`); for row 0, in the cycle in which the word must be waiting, `step` and `pop`; `out`, 9 bits a row, a cycle
    after `step`, row r r cycles later.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        wide = coordinate_bits(core)
        super().__init__(
            {
                "word": In(8 * core.port_bytes),
                "arrive": In(1),
                "row": In(range(core.dim)),
                "exists": In(1),
                "byte": In(signed(wide)),
                "width": In(wide),
                "signed": In(1),
                "zero": In(signed(16)),
                "step": In(1),
                "pop": In(1),
                "out": Out(9 * core.dim),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Convert the word, then hand it to its row."""
        del platform
        m, D, W = Module(), self.core.dim, self.core.port_bytes
        numbers = []
        for j in range(W):
            byte = self.word[8 * j : 8 * j + 8]
            value = Mux(self.signed, byte.as_signed(), byte.as_unsigned())
            at = Signal(signed(coordinate_bits(self.core) + 1), name=f"at_{j}")
            m.d.comb += at.eq(self.byte + j)
            number = Signal(9, name=f"number_{j}", reset_less=True)
            inside = self.exists & (at >= 0) & (at < self.width)
            m.d.sync += number.eq(Mux(inside, value - self.zero, 0))
            numbers.append(number)
        word = Cat(numbers)
        arrived, row = Signal(), Signal(range(D), reset_less=True)
        m.d.sync += [arrived.eq(self.arrive), row.eq(self.row)]
        step, pop = self.step, self.pop
        outs = []
        for r in range(D):
            lane = m.submodules[f"row{r}"] = Shared(f"chanzi_array_feed_{W}", FeederRow(W))
            m.d.comb += [lane.word.eq(word), lane.mine.eq(arrived & (row == r)), lane.step.eq(step), lane.pop.eq(pop)]
            outs.append(lane.out)
            if r < D - 1:
                step_next, pop_next = Signal(name=f"step_{r}"), Signal(name=f"pop_{r}")
                m.d.sync += [step_next.eq(step), pop_next.eq(pop)]
                step, pop = step_next, pop_next
        m.d.comb += self.out.eq(Cat(outs))
        return m
