"""The addresses of one side: rows of a tile, again for each word of each tap, tile after tile."""

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Core
from chanzi.rtl.descriptor import address_bits, coordinate_bits, dot_layout
from chanzi.rtl.ports import least

_PLACE = ("x", "line", "addr", "byte")


class Walk(Component):
    """Rounds, rows and words of one side.

    Ports: `desc`; `load` (a DOT, `next`, begins: go to its first row), `open` (a tile's window begins in the next
    cycle; `move`
    says whether with the rows after this tile's, else with the same, `back` with the first ones); `rows` of the tile;
    `issue` allowed. Out: `starts` (a round starts now), `busy` (a word is asked for now), `over` (all of the tile's
    words are asked for after this cycle), the word's `addr`, `row`, `exists`, `start_byte`; whether it `touches` the
    memory, for it has bytes of the run inside the map, and then which, `skip` to before `need`; `pop_bytes`: bytes of
    the word that is popped next.
    """

    def __init__(self, core: Core, side: str) -> None:
        self.core, self.side = core, side
        wide = coordinate_bits(core)
        super().__init__(
            {
                "desc": In(dot_layout(core)),
                "next": In(dot_layout(core)),
                "load": In(1),
                "open": In(1),
                "move": In(1),
                "back": In(1),
                "rows": In(range(core.dim + 1)),
                "allow": In(1),
                "popped": In(1),
                "starts": Out(1),
                "busy": Out(1),
                "over": Out(1),
                "addr": Out(address_bits(core)),
                "row": Out(range(core.dim)),
                "exists": Out(1),
                "start_byte": Out(signed(wide)),
                "touches": Out(1),
                "need": Out(range(core.port_bytes + 1)),
                "skip": Out(range(core.port_bytes)),
                "pop_bytes": Out(range(core.port_bytes + 1)),
            }
        )

    def _field(self, name: str) -> Value:
        return self.desc[f"{self.side}_{name}"]

    def elaborate(self, platform: object) -> Module:
        """Return rounds, rows and the words' lengths."""
        del platform
        m, core, f = Module(), self.core, self._field
        wide, W = coordinate_bits(core), core.port_bytes
        left = Signal(range(core.dim + 1))  # rows of this round still to come
        ty, tx = Signal(16), Signal(16)
        at = Signal(21)  # bytes of the run before this word
        off_line, off_addr = Signal(wide), Signal(address_bits(core))
        tap_byte = Signal(wide)
        ended = Signal()
        m.d.comb += [self.starts.eq((left == 0) & ~ended & self.allow), self.busy.eq(self.starts | (left != 0))]
        last_row = Mux(self.starts, self.rows == 1, left == 1) & self.busy
        last_word = at + W >= f("run")
        last_tx, last_ty = tx + 1 >= f("taps_x"), ty + 1 >= f("taps_y")
        last_round = last_word & last_tx & last_ty
        with m.If(self.starts):
            m.d.sync += left.eq(self.rows - 1)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(last_row):
            with m.If(~last_word):
                m.d.sync += at.eq(at + W)
            with m.Else():
                m.d.sync += at.eq(0)
                with m.If(~last_tx):
                    m.d.sync += [tx.eq(tx + 1), tap_byte.eq(tap_byte + f("tap_x_step"))]
                with m.Else():
                    m.d.sync += [tx.eq(0), tap_byte.eq(0), ty.eq(ty + 1)]
                    m.d.sync += [off_line.eq(off_line + f("tap_y_step")), off_addr.eq(off_addr + f("tap_line"))]
            with m.If(last_round):
                m.d.sync += ended.eq(1)
        m.d.comb += self.over.eq(ended | (last_row & last_round))
        self._rows(m, last_row, (ty == 0) & (tx == 0) & (at == 0), (at, off_line, off_addr, tap_byte))
        self._pops(m)
        with m.If(self.open | self.load):
            m.d.sync += [left.eq(0), ty.eq(0), tx.eq(0), at.eq(0), off_line.eq(0), off_addr.eq(0), tap_byte.eq(0)]
            m.d.sync += ended.eq(0)
        return m

    def _rows(self, m: Module, last_row: Value, first_round: Value, offsets: tuple) -> None:
        core, f = self.core, self._field
        wide, ab = coordinate_bits(core), address_bits(core)
        shapes = {"x": wide, "line": signed(wide), "addr": ab, "byte": signed(wide)}
        tile, run, after, kept, now = (
            {n: Signal(shapes[n], name=f"{group}_{n}", reset_less=True) for n in _PLACE}
            for group in ("tile", "run", "after", "kept", "now")
        )
        row = Signal(range(core.dim))
        m.d.comb += self.row.eq(Mux(self.starts, 0, row))
        with m.If(self.busy):
            m.d.sync += row.eq(self.row + 1)
        for n in _PLACE:
            m.d.comb += now[n].eq(Mux(self.starts, tile[n], run[n]))
        wrap = now["x"] + 1 >= f("row_width")
        names = {"x": "first", "addr": "start", "byte": "first_byte"}
        first, coming = (
            {n: desc[f"{self.side}_{names[n]}"] if n in names else -desc[f"{self.side}_pad_y"] for n in _PLACE}
            for desc in (self.desc, self.next)
        )
        m.d.comb += [
            after["x"].eq(Mux(wrap, 0, now["x"] + 1)),
            after["line"].eq(Mux(wrap, now["line"] + f("y_step"), now["line"])),
            after["addr"].eq(Mux(wrap, now["addr"] + f("line_step"), now["addr"])),
            after["byte"].eq(Mux(wrap, -f("pad_x"), now["byte"] + f("x_step"))),
        ]
        captures = last_row & first_round
        for n in _PLACE:
            with m.If(self.busy):
                m.d.sync += run[n].eq(after[n])
            with m.If(captures):
                m.d.sync += kept[n].eq(after[n])
            with m.If(self.load):
                m.d.sync += tile[n].eq(coming[n])
            with m.Elif(self.open & self.back):
                m.d.sync += tile[n].eq(first[n])
            with m.Elif(self.open & self.move):
                m.d.sync += tile[n].eq(Mux(captures, after[n], kept[n]))
        at, off_line, off_addr, tap_byte = offsets
        line = Signal(signed(wide + 1))
        m.d.comb += [
            line.eq(now["line"] + off_line),
            self.start_byte.eq(now["byte"] + tap_byte + at),
            self.addr.eq(now["addr"] + off_addr + self.start_byte),
            self.exists.eq((line >= 0) & (line < f("height"))),
        ]
        of_run, _ = least(core.port_bytes, f("run") - at)
        inside = Signal(signed(wide + 2))
        before = Signal(signed(wide + 1))
        m.d.comb += [inside.eq(f("width_bytes") - self.start_byte), before.eq(-self.start_byte)]
        m.d.comb += [
            self.need.eq(Mux(inside < of_run, inside[: len(self.need)], of_run)),
            self.skip.eq(Mux(before > 0, before[: len(self.skip)], 0)),
            self.touches.eq(self.busy & self.exists & (inside > 0) & (before < of_run)),
        ]

    def _pops(self, m: Module) -> None:
        f, W = self._field, self.core.port_bytes
        left = Signal(21)
        m.d.comb += self.pop_bytes.eq(Mux(left > W, W, left))
        with m.If(self.load):
            m.d.sync += left.eq(self.next[f"{self.side}_run"])
        with m.Elif(self.open):
            m.d.sync += left.eq(f("run"))
        with m.Elif(self.popped):
            m.d.sync += left.eq(Mux(left > W, left - W, f("run")))
