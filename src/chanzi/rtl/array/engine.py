"""The array engine: takes DOTs, feeds the grid, drains tiles; two instructions may be under way at once.

Time of a DOT that begins (handshake) in cycle B: its windows fill B + 1 .. E (E: last cycle of the last window; the
rules
call the cycle after it the feed's end). Bytes reach the grid 6 cycles after the cycle in which they stepped, a cell's
shadow holds its sum 2 cycles later, and the row is read D + DRAIN_OFFSET cycles after its window.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Core
from chanzi.errors import ChipError
from chanzi.isa.cycles import array_latency, epilogue_cycles
from chanzi.rtl.array.control import TileControl
from chanzi.rtl.array.drain import Drain
from chanzi.rtl.array.feeder import ARRIVE_LATENCY, Feeder
from chanzi.rtl.array.grid import Grid
from chanzi.rtl.descriptor import dot_layout
from chanzi.rtl.lane import delay
from chanzi.rtl.ports import READ_LATENCY, engine_port, read_port, write_port

STEP_LATENCY = READ_LATENCY + ARRIVE_LATENCY
"""From a word on the address port to the step that may take its first byte."""
DRAIN_OFFSET = STEP_LATENCY + 1


def refuse_unbuildable(core: Core) -> None:
    """Raise `ChipError` where the array is smaller, or the port wider, than what is drawn."""
    if core.dim < 4 or core.port_bytes > 256:
        raise ChipError(
            f"an array of {core.dim} x {core.dim} with ports of {core.port_bytes} bytes has no hardware",
            hint="use dim >= 4 and port_bytes <= 256",
        )


class ArrayEngine(Component):
    """Ports: `engine` (the sequencer's side), read ports `a`, `b`, `params`, `residual`, write port `result`."""

    def __init__(self, core: Core) -> None:
        refuse_unbuildable(core)
        self.core = core
        reads = {name: Out(read_port(core)) for name in ("a", "b", "params", "residual")}
        super().__init__({"engine": In(engine_port(dot_layout(core))), **reads, "result": Out(write_port(core))})

    def elaborate(self, platform: object) -> Module:
        """Return control, feeders, grid and drain."""
        del platform
        m, core, D = Module(), self.core, self.core.dim
        control, grid, drain = TileControl(core), Grid(core), Drain(core)
        feeders = {"a": Feeder(core), "b": Feeder(core)}
        m.submodules.control, m.submodules.grid, m.submodules.drain = control, grid, drain
        m.submodules.feeder_a, m.submodules.feeder_b = feeders["a"], feeders["b"]
        layout = dot_layout(core)
        descs = [Signal(layout, name=f"desc{slot}", reset_less=True) for slot in (0, 1)]
        slot = self._slots(m, control, drain, descs)
        feeding = Signal(layout, name="feeding")
        m.d.comb += [feeding.eq(Mux(slot, descs[1].as_value(), descs[0].as_value())), control.desc.eq(feeding)]
        m.d.comb += [control.next.eq(self.engine.desc), control.slot.eq(slot)]
        for side, feeder in feeders.items():
            walk, port = control.walks[side], getattr(self, side)
            m.d.comb += [port.addr.eq(walk.addr), port.en.eq(walk.touches), feeder.word.eq(port.data)]
            m.d.comb += [port.need.eq(walk.need), port.skip.eq(walk.skip)]
            known = Cat(walk.start_byte, feeding[f"{side}_width_bytes"], feeding[f"{side}_zero"])
            known = Cat(known, walk.busy, walk.row, walk.exists, feeding[f"{side}_signed"][0])
            then = delay(m, known, READ_LATENCY, f"known_{side}")
            at = 0
            names = (feeder.byte, feeder.width, feeder.zero, feeder.arrive, feeder.row, feeder.exists, feeder.signed)
            widths = (
                walk.start_byte,
                feeding[f"{side}_width_bytes"],
                feeding[f"{side}_zero"],
                walk.busy,
                walk.row,
                walk.exists,
            )
            sizes = [len(w) for w in widths] + [1]
            for target, size in zip(names, sizes, strict=True):
                m.d.comb += target.eq(then[at : at + size])
                at += size
            m.d.comb += feeder.step.eq(delay(m, control.step, STEP_LATENCY, f"step_{side}"))
            m.d.comb += feeder.pop.eq(delay(m, getattr(control, f"pop_{side}"), STEP_LATENCY, f"pop_{side}"))
        m.d.comb += [grid.a.eq(feeders["a"].out), grid.b.eq(feeders["b"].out), grid.row.eq(drain.row)]
        m.d.comb += drain.sums.eq(grid.sums)
        for name in ("clear", "shift", "capture"):
            token = delay(m, getattr(control, name), STEP_LATENCY + 1, name)
            rows = [token]
            for r in range(1, D):
                rows.append(delay(m, rows[-1], 1, f"{name}_row{r}"))
            m.d.comb += getattr(grid, name).eq(Cat(rows))
        # a tile's job reaches the drain in the cycle before its first row is whole
        wait = D + DRAIN_OFFSET
        m.d.comb += drain.go.eq(delay(m, control.capture, wait, "go"))
        m.d.comb += drain.job.as_value().eq(delay(m, control.job.as_value(), wait, "job"))
        self._parameters(m, control, drain)
        m.d.comb += [drain.desc0.eq(descs[0]), drain.desc1.eq(descs[1])]
        for name in ("addr", "en", "need"):
            m.d.comb += getattr(self.residual, name).eq(getattr(drain.residual, name))
        m.d.comb += drain.residual.data.eq(self.residual.data)
        for name in ("addr", "en", "data", "mask"):
            m.d.comb += getattr(self.result, name).eq(getattr(drain.result, name))
        return m

    def _slots(self, m: Module, control: TileControl, drain: Drain, descs: list) -> Signal:
        """Hand out the two slots, report completions in order; return the slot that feeds."""
        core = self.core
        slot, oldest = Signal(), Signal()  # of the newest DOT, of the oldest under way
        level = Signal(2)
        begin = Signal()
        m.d.comb += self.engine.ready.eq((~control.busy | control.last) & (level != 2))
        m.d.comb += [begin.eq(self.engine.valid & self.engine.ready), control.begin.eq(begin)]
        with m.If(begin):
            m.d.sync += slot.eq(~slot)
            for i, desc in enumerate(descs):
                with m.If(slot != i):
                    m.d.sync += desc.eq(self.engine.desc)
                    m.d.comb += drain.begins[i].eq(1)
        # own times of completion; a DOT that holds its sums may be ready before the one before it
        latency = array_latency(core)
        held = delay(m, Cat(control.held, slot), latency - 1, "held")  # windows lie a cycle behind the rules' time
        last_read = Cat(drain.finishes, Mux(drain.finishes, self._draining(m, drain), 0))
        from_read = latency - (core.dim + DRAIN_OFFSET) + epilogue_cycles(core) - 1
        drained = delay(m, last_read, from_read, "drained")
        ready, now = Signal(2), Signal(2)
        for i in (0, 1):
            m.d.comb += now[i].eq(ready[i] | (held[0] & (held[1] == i)) | (drained[0] & (drained[1] == i)))
        first = now.bit_select(oldest, 1) & (level != 0)
        second = first & (level == 2) & now.bit_select(~oldest, 1)
        m.d.comb += self.engine.done.eq(first + second)
        m.d.sync += level.eq(level + begin - first - second)
        for i in (0, 1):
            m.d.sync += ready[i].eq(now[i] & ~((first & (oldest == i)) | second))
        m.d.sync += oldest.eq(oldest ^ (first & ~second))
        with m.If((level == 0) & begin):
            m.d.sync += oldest.eq(~slot)
        return slot

    @staticmethod
    def _draining(m: Module, drain: Drain) -> Signal:
        slot = Signal(name="draining_slot")
        with m.If(drain.go):
            m.d.sync += slot.eq(drain.job.slot)
        return slot

    def _parameters(self, m: Module, control: TileControl, drain: Drain) -> None:
        """Bring tables to the lanes; biases and scales in four steps, each tile's in time for its drain."""
        core = self.core
        D, W = core.dim, core.port_bytes
        m.d.comb += [self.params.addr.eq(control.ask_addr), self.params.en.eq(control.asks)]
        m.d.comb += self.params.need.eq(control.ask_need)
        then = delay(m, Cat(control.asks, control.ask_kind, control.ask_index, control.slot), READ_LATENCY, "asked")
        asked, kind, index, slot = then[0], then[1:3], then[3:11], then[11]
        m.d.comb += [drain.table_en.eq(asked & (kind == 0)), drain.table_index.eq(index), drain.table_slot.eq(slot)]
        m.d.comb += drain.table_word.eq(self.params.data)
        moves = [delay(m, control.capture, n, f"move{n}") for n in (4, D + 3, D + DRAIN_OFFSET)]
        for number, name in ((1, "bias"), (2, "scale")):
            words = -(-4 * D // W)
            stages = [Signal(8 * W * words, name=f"{name}_stage{i}", reset_less=True) for i in range(4)]
            for i in range(words):
                with m.If(asked & (kind == number) & (index == i)):
                    m.d.sync += stages[0][8 * W * i : 8 * W * (i + 1)].eq(self.params.data)
            for move, before, after in zip(moves, stages, stages[1:], strict=False):
                with m.If(move):
                    m.d.sync += after.eq(before)
            m.d.comb += getattr(drain, name).eq(stages[3][: 32 * D])
