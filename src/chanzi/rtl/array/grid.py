"""D x D multiply-accumulators, output stationary, with a shadow register behind each accumulator.

A enters at column 0 and moves right, B at row 0 and moves down, a cell a cycle; both are 9-bit numbers, 0 where
there is
nothing to do. Tokens travel with A: `clear` with the first byte of a sum that starts at zero, `shift` with the first
byte of one that goes on from a sum 256 times as large, `capture` when a tile is over.
"""

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Core
from chanzi.rtl.shared import Shared

CAPTURE_LATENCY = 3
"""Cycles from a capture token entering row 0 to cell (0, 0)'s shadow register holding the sum."""


class Row(Component):
    """The cells of a row: `a` and tokens come in at the left, `above` from the row before, `below` goes to the next."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        tokens = {name: In(1) for name in ("clear", "shift", "capture")}
        super().__init__({"a": In(9), **tokens, "above": In(9 * dim), "below": Out(9 * dim), "sums": Out(32 * dim)})

    def elaborate(self, platform: object) -> Module:
        """Return the cells, flat."""
        del platform
        m = Module()
        left, tokens = self.a.as_signed(), Cat(self.clear, self.shift, self.capture)
        for c in range(self.dim):
            above = self.above[9 * c : 9 * c + 9].as_signed()
            product = Signal(signed(18), name=f"product_{c}", reset_less=True)
            total = Signal(signed(32), name=f"sum_{c}", reset_less=True)
            shadow = Signal(32, name=f"shadow_{c}", reset_less=True)
            then = Signal(3, name=f"then_{c}")
            after = Signal(signed(32), name=f"after_{c}")
            m.d.sync += [product.eq(left * above), then.eq(tokens)]
            m.d.comb += after.eq(Mux(then[0], 0, Mux(then[1], total << 8, total)) + product)
            m.d.sync += total.eq(after)
            with m.If(then[2]):
                m.d.sync += shadow.eq(after)
            right = Signal(signed(9), name=f"a_{c}", reset_less=True)
            passed = Signal(3, name=f"token_{c}")
            down = Signal(signed(9), name=f"b_{c}", reset_less=True)
            m.d.sync += [right.eq(left), passed.eq(tokens), down.eq(above)]
            m.d.comb += [self.below[9 * c : 9 * c + 9].eq(down), self.sums[32 * c : 32 * c + 32].eq(shadow)]
            left, tokens = right, passed
        return m


class Grid(Component):
    """The cells.

    Ports: `a` (9 bits a row), `b` (9 bits a column), `clear`, `shift`, `capture` (a bit a row), all skewed by row or
    column; `row` chooses the shadow row that is on `sums` (int32 a column) in the same cycle.
    """

    def __init__(self, core: Core) -> None:
        self.dim = core.dim
        D = self.dim
        tokens = {name: In(D) for name in ("clear", "shift", "capture")}
        super().__init__({"a": In(9 * D), "b": In(9 * D), **tokens, "row": In(range(D)), "sums": Out(32 * D)})

    def elaborate(self, platform: object) -> Module:
        """Return the rows."""
        del platform
        m, D = Module(), self.dim
        above: Value = self.b
        rows = []
        for r in range(D):
            row = m.submodules[f"row{r}"] = Shared(f"chanzi_array_row_{D}", Row(D))
            m.d.comb += [row.a.eq(self.a[9 * r : 9 * r + 9]), row.above.eq(above)]
            m.d.comb += [getattr(row, name).eq(getattr(self, name)[r]) for name in ("clear", "shift", "capture")]
            above = row.below
            rows.append(row.sums)
        with m.Switch(self.row):
            for r, sums in enumerate(rows):
                with m.Case(r):
                    m.d.comb += self.sums.eq(sums)
        return m
