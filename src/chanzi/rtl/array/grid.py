"""D x D multiply-accumulators, output stationary, with a shadow register behind each accumulator.

A enters at column 0 and moves right, B at row 0 and moves down, a cell a cycle; both are 9-bit numbers, 0 where
there is
nothing to do. Tokens travel with A: `clear` with the first byte of a sum that starts at zero, `shift` with the first
byte of one that goes on from a sum 256 times as large, `capture` when a tile is over.
"""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Core

CAPTURE_LATENCY = 3
"""Cycles from a capture token entering row 0 to cell (0, 0)'s shadow register holding the sum."""


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
        """Return the cells, flat."""
        del platform
        m, D = Module(), self.dim
        above = [self.b[9 * c : 9 * c + 9].as_signed() for c in range(D)]
        rows: list[list[Signal]] = []
        for r in range(D):
            left = self.a[9 * r : 9 * r + 9].as_signed()
            tokens = Cat(self.clear[r], self.shift[r], self.capture[r])
            shadows = []
            for c in range(D):
                tag = f"{r}_{c}"
                product = Signal(signed(18), name=f"product_{tag}", reset_less=True)
                total = Signal(signed(32), name=f"sum_{tag}", reset_less=True)
                shadow = Signal(32, name=f"shadow_{tag}", reset_less=True)
                then = Signal(3, name=f"then_{tag}")
                after = Signal(signed(32), name=f"after_{tag}")
                m.d.sync += [product.eq(left * above[c]), then.eq(tokens)]
                m.d.comb += after.eq(Mux(then[0], 0, Mux(then[1], total << 8, total)) + product)
                m.d.sync += total.eq(after)
                with m.If(then[2]):
                    m.d.sync += shadow.eq(after)
                shadows.append(shadow)
                if c < D - 1:
                    right = Signal(signed(9), name=f"a_{tag}", reset_less=True)
                    passed = Signal(3, name=f"token_{tag}")
                    m.d.sync += [right.eq(left), passed.eq(tokens)]
                    left, tokens = right, passed
                if r < D - 1:
                    down = Signal(signed(9), name=f"b_{tag}", reset_less=True)
                    m.d.sync += down.eq(above[c])
                    above[c] = down
            rows.append(shadows)
        with m.Switch(self.row):
            for r, shadows in enumerate(rows):
                with m.Case(r):
                    m.d.comb += self.sums.eq(Cat(shadows))
        return m
