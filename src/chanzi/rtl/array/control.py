"""The windows of a DOT's tiles: who asks for a word, when a byte steps into the grid, when a tile is over.

Side A and B bring words in rounds (a word for each row). A round may start when row 0's waiting place is empty; a byte
steps in when both sides have one. The window ends when all words were asked for, all bytes have stepped, the
parameters are asked for, and the shadow registers will have been read before the next tile's sums reach them.
"""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Core
from chanzi.isa.fields import DotFlag
from chanzi.rtl.array.walk import Walk
from chanzi.rtl.descriptor import address_bits, dot_layout
from chanzi.rtl.ports import least

JOB_FIELDS = ("rows", "columns", "slot", "starts_dot", "starts_column", "ends_dot")


def job_layout(core: Core) -> data.StructLayout:
    """Return what the drain is told of a tile."""
    count = range(core.dim + 1)
    return data.StructLayout(
        {"rows": count, "columns": count, "slot": 1, "starts_dot": 1, "starts_column": 1, "ends_dot": 1}
    )


def epilogue_turns(core: Core, columns: Any) -> Any:
    """Return in how many cycles the epilogue takes a row of so many columns: ``columns / row_lanes``, rounded up."""
    turns: Any = 1
    for full in range(core.row_lanes, core.dim, core.row_lanes):
        turns = turns + (columns > full)
    return turns


class TileControl(Component):
    """State of the windows.

    Ports: `begin` with `next` and `slot` in the cycle of the handshake; `desc` of the DOT that feeds; `last` in its
    last cycle. Row-0 controls `step`, `pop_a`, `pop_b`, `clear`, `shift`, `capture`; parameter words asked for
    (`asks`, `ask_addr`, `ask_need` bytes, `ask_kind` 0 table, 1 bias, 2 scale, `ask_index`); `held` in the last
    cycle of a DOT that drains nothing; a `job` for the drain, valid with `capture`.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        super().__init__(
            {
                "begin": In(1),
                "next": In(dot_layout(core)),
                "desc": In(dot_layout(core)),
                "slot": In(1),
                "busy": Out(1),
                "last": Out(1),
                "held": Out(1),
                **{name: Out(1) for name in ("step", "pop_a", "pop_b", "clear", "shift", "capture")},
                "asks": Out(1),
                "ask_addr": Out(address_bits(core)),
                "ask_need": Out(range(core.port_bytes + 1)),
                "ask_kind": Out(2),
                "ask_index": Out(8),
                "job": Out(job_layout(core)),
            }
        )
        self.walks = {side: Walk(core, side) for side in "ab"}

    def elaborate(self, platform: object) -> Module:
        """Return the window's state."""
        del platform
        m, core, D = Module(), self.core, self.core.dim
        desc = self.desc
        flags = desc.flags
        hold = (flags & int(DotFlag.HOLD)) != 0
        counts = {side: Signal(desc[f"{side}_count"].shape(), name=f"{side}_left") for side in "ab"}
        tile = {side: Mux(counts[side] > D, D, counts[side]) for side in "ab"}
        final = {side: counts[side] <= D for side in "ab"}
        first_tile, first_row_tile, fresh, over = Signal(), Signal(), Signal(), Signal()
        gate = Signal(range(max(4, D // core.row_lanes) * D + 1))
        ends = self._sides(m)
        asked = self._parameters(m, over, final["a"], tile["b"])
        m.d.comb += [
            over.eq(self.busy & ends["a"] & ends["b"] & asked & (hold | (gate <= 1))),
            self.last.eq(over & final["a"] & final["b"]),
            self.held.eq(self.last & hold),
            self.capture.eq(over & ~hold),
            self.clear.eq(self.step & fresh & ((flags & int(DotFlag.CONTINUE)) == 0)),
        ]
        m.d.comb += self.shift.eq(self.step & fresh & ~self.clear & (desc.carry_shift != 0))
        m.d.comb += [
            self.job.rows.eq(tile["a"]),
            self.job.columns.eq(tile["b"]),
            self.job.slot.eq(self.slot),
            self.job.starts_dot.eq(first_tile),
            self.job.starts_column.eq(first_row_tile),
            self.job.ends_dot.eq(self.last),
        ]
        with m.If(self.step):
            m.d.sync += fresh.eq(0)
        with m.If(over):
            m.d.sync += [fresh.eq(1), first_tile.eq(0), first_row_tile.eq(final["a"])]
            m.d.sync += counts["a"].eq(Mux(final["a"], desc.a_count, counts["a"] - D))
            with m.If(final["a"]):
                m.d.sync += counts["b"].eq(counts["b"] - D)
            with m.If(final["a"] & final["b"]):
                m.d.sync += self.busy.eq(0)
        words = 4 * tile["b"] + (core.port_bytes - 1) >> core.port_bytes.bit_length() - 1
        turns = Mux((flags & int(DotFlag.RAW)) != 0, words, epilogue_turns(core, tile["b"]))
        idle = D + 1 - tile["a"] - turns
        with m.If(self.capture):
            m.d.sync += gate.eq(tile["a"] * turns + Mux(idle > 0, idle, 0))
        with m.Elif(gate != 0):
            m.d.sync += gate.eq(gate - 1)
        for side, walk in self.walks.items():
            m.submodules[f"walk_{side}"] = walk
            m.d.comb += [
                walk.desc.eq(desc),
                walk.next.eq(self.next),
                walk.load.eq(self.begin),
                walk.rows.eq(tile[side]),
            ]
            m.d.comb += walk.open.eq(over & ~self.last)
        m.d.comb += [self.walks["a"].move.eq(~final["a"]), self.walks["a"].back.eq(final["a"])]
        m.d.comb += self.walks["b"].move.eq(final["a"])
        with m.If(self.begin):
            m.d.sync += [self.busy.eq(1), fresh.eq(1), first_tile.eq(1), first_row_tile.eq(1)]
            m.d.sync += [counts[side].eq(self.next[f"{side}_count"]) for side in "ab"]
        return m

    def _sides(self, m: Module) -> dict:
        """Return, for each side, whether all its bytes have stepped after this cycle."""
        has, ends, pops = {}, {}, {"a": self.pop_a, "b": self.pop_b}
        for side, walk in self.walks.items():
            waits = Signal(name=f"{side}_waits")
            left = Signal(range(self.core.port_bytes + 1), name=f"{side}_active")
            there = Signal(name=f"{side}_there")
            after = Signal(range(self.core.port_bytes + 1), name=f"{side}_after")
            pop = pops[side]
            m.d.comb += [walk.allow.eq(self.busy & ~waits), there.eq(waits | walk.starts), walk.popped.eq(pop)]
            m.d.comb += pop.eq(self.step & (left == 0))
            m.d.comb += after.eq(Mux(pop, walk.pop_bytes - 1, left - self.step))
            m.d.sync += [left.eq(after), waits.eq(there & ~pop)]
            has[side] = (left != 0) | there
            ends[side] = walk.over & (after == 0) & ~(there & ~pop)
        m.d.comb += self.step.eq(self.busy & has["a"] & has["b"])
        return ends

    def _parameters(self, m: Module, over: Signal, new_column: Any, columns: Any) -> Any:
        """Ask for table, biases and scales; return whether all are asked for after this cycle."""
        core, desc, W = self.core, self.desc, self.core.port_bytes
        bits = W.bit_length() - 1
        lefts = [Signal(9, name=f"left_{kind}") for kind in ("table", "bias", "scale")]
        index = Signal(8)
        column = Signal(address_bits(core))
        kind = Mux(lefts[0] != 0, 0, Mux(lefts[1] != 0, 1, 2))
        bases = (desc.table_base, desc.bias_base + column, desc.scale_base + column)
        total = lefts[0] + lefts[1] + lefts[2]
        m.d.comb += [self.asks.eq(total != 0), self.ask_kind.eq(kind), self.ask_index.eq(index)]
        m.d.comb += self.ask_addr.eq(Mux(kind == 0, bases[0], Mux(kind == 1, bases[1], bases[2])) + (index << bits))
        of_tile, _ = least(W, 4 * columns - (index << bits))
        m.d.comb += self.ask_need.eq(Mux(kind == 0, 0, of_tile))
        for i, left in enumerate(lefts):
            with m.If((kind == i) & (left != 0)):
                m.d.sync += [left.eq(left - 1), index.eq(Mux(left == 1, 0, index + 1))]

        def begin(source: Any, n: Any, table: int, next_column: Any) -> None:
            words = 4 * n + (W - 1) >> bits
            given = source.flags
            m.d.sync += [
                lefts[0].eq(Mux((given & int(DotFlag.TABLE)) != 0, -(-256 // W), 0) if table else 0),
                lefts[1].eq(Mux((given & int(DotFlag.BIAS)) != 0, words, 0)),
                lefts[2].eq(Mux((given & int(DotFlag.COLUMN_SCALE)) != 0, words, 0)),
                index.eq(0),
                column.eq(next_column),
            ]

        D = core.dim
        b_left = Signal(desc["b_count"].shape(), name="columns_after")  # of the DOT, after this column of tiles
        with m.If(over & ~self.last):
            following = Mux(new_column, Mux(b_left > D, D, b_left), columns)
            begin(desc, following, 0, Mux(new_column, column + 4 * D, column))
            with m.If(new_column):
                m.d.sync += b_left.eq(Mux(b_left > D, b_left - D, 0))
        with m.If(self.begin):
            count = self.next.b_count
            begin(self.next, Mux(count > D, D, count), 1, 0)
            m.d.sync += b_left.eq(Mux(count > D, count - D, 0))
        return total <= 1
