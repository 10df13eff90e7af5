"""A core's sequencer: fetches instructions, forms their products, queues them, starts each when its waits are over.

``cycle`` counts from 0 in the cycle after `start`. An instruction that leaves at cycle L is at the head of its engine's
queue, if that is empty, in cycle L. A completion at cycle C is counted from cycle C on; so the cycles of
`chanzi.sim.timing` are literally those of `cycle`.
"""

from enum import IntEnum

from amaranth import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Chip
from chanzi.isa.cycles import START_CYCLES
from chanzi.isa.fields import ENGINE_OF, WAITS, Engine, Opcode
from chanzi.rtl.decode import ProductUnit, complaint, layouts, product_steps, raw_field
from chanzi.rtl.ports import engine_port

COUNT_BITS = 20
"""Instructions of an engine that a run can count."""


class ErrorCode(IntEnum):
    """Why a core stopped without reaching HALT."""

    NONE = 0
    ILLEGAL = 1  # unknown opcode, flag or kind, or a loop without a turn
    FUTURE_WAIT = 2  # waits for an instruction of its own core that does not come before it
    NO_HALT = 3  # ran past the end of the instruction memory
    PEER_ENDED = 4  # waits for a STORE of a peer that has ended without it


_OPCODE_OF = {engine: opcode for opcode, engine in ENGINE_OF.items()}


def _wait_layout(cores: int) -> data.StructLayout:
    waits = {name: unsigned(COUNT_BITS) for name in (*WAITS, "wait_peer")}
    return data.StructLayout({**waits, "peer_core": unsigned(max(1, (cores - 1).bit_length()))})


class Sequencer(Component):
    """Fetch, decode, queues and the end of the run.

    Ports: `code_index`, `code` (instruction of the index given a cycle earlier), one engine port for each engine,
    `stores` (STOREs done) and `ended` for the peers, status and counters for the control registers.
    """

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.layouts = layouts(chip)
        self.index_bits = max(1, (chip.core.code_instructions - 1).bit_length())
        engines = {f"engine_{e.name.lower()}": Out(engine_port(self.layouts[_OPCODE_OF[e]])) for e in Engine}
        counters = {f"{what}_{e.name.lower()}": Out(32) for e in Engine for what in ("waited", "completed")}
        super().__init__(
            {
                "start": In(1),
                "code_index": Out(self.index_bits),
                "code": In(2048),
                "peer_stores": In(COUNT_BITS * chip.cores),
                "peer_ended": In(chip.cores),
                "stores": Out(COUNT_BITS),
                "running": Out(1),
                "ended": Out(1),
                "error": Out(8),
                "error_index": Out(self.index_bits),
                "cycles": Out(48),
                **engines,
                **counters,
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: PLR0915 - the order of these assignments is the machine
        """Return fetch, decode, queues and the end of the run."""
        del platform
        m = Module()
        core = self.chip.core
        raw, index = Signal(2048, reset_less=True), Signal(self.index_bits)
        have, following, stopping = Signal(), Signal(), Signal()
        cycle, leave_at = Signal(48), Signal(48)
        steps = product_steps(core.issue_cycles)
        step = Signal(range(steps + 1))
        push, full = Signal(), Signal()
        # ``raw`` is decoded and pushed; the code memory already shows the one after it
        unit = ProductUnit(self.chip, m, raw, step)
        opcode = raw[:8]
        decoded = step >= steps - 1
        in_time = cycle + 1 >= leave_at
        bad = Signal()
        with m.If(self.running):
            m.d.sync += cycle.eq(cycle + 1)
        with m.If(have & ~decoded):
            m.d.sync += step.eq(step + 1)
        take = Signal()
        m.d.comb += take.eq(self.running & following & (~have | push) & ~stopping)
        m.d.comb += self.code_index.eq(Mux(take, index + 1, index))
        m.d.sync += following.eq(self.running)  # the code memory answers a cycle later
        fetched = Signal(self.index_bits + 1)
        number = Signal(self.index_bits)
        with m.If(take):
            m.d.sync += [raw.eq(self.code), have.eq(1), step.eq(0), number.eq(index), index.eq(index + 1)]
            m.d.sync += fetched.eq(fetched + 1)
        with m.Elif(push):
            m.d.sync += have.eq(0)
        counts = self._queues(m, unit, raw, opcode, push, full)
        waits_ahead = self._waits_ahead(raw, counts)
        is_halt = opcode == int(Opcode.HALT)
        ready = have & decoded & in_time & self.running & ~stopping
        m.d.comb += bad.eq(complaint(self.chip, raw) | waits_ahead)
        m.d.comb += push.eq(ready & ~bad & ~is_halt & ~full)
        with m.If(push):
            m.d.sync += leave_at.eq(cycle + 1 + core.issue_cycles)
        past = fetched > core.code_instructions - 1
        with m.If(ready & is_halt):
            m.d.sync += [stopping.eq(1), have.eq(0)]
        with m.Elif(ready & bad):
            m.d.sync += [stopping.eq(1), have.eq(0), self.error_index.eq(number)]
            m.d.sync += self.error.eq(Mux(waits_ahead, int(ErrorCode.FUTURE_WAIT), int(ErrorCode.ILLEGAL)))
        with m.Elif(push & past):
            m.d.sync += [stopping.eq(1), self.error.eq(int(ErrorCode.NO_HALT)), self.error_index.eq(number)]
        self._finish(m, counts, cycle, stopping)
        with m.If(self.start & ~self.running):
            m.d.sync += [self.running.eq(1), self.ended.eq(0), self.error.eq(0), self.error_index.eq(0), stopping.eq(0)]
            m.d.sync += [cycle.eq(0), leave_at.eq(START_CYCLES), index.eq(0), have.eq(0), following.eq(0)]
            m.d.sync += [fetched.eq(0), step.eq(0)]
            for sent, done, _ in counts.values():
                m.d.sync += [sent.eq(0), done.eq(0)]
        return m

    def _waits_ahead(self, raw: Value, counts: dict) -> Value:
        ahead: Value = Value.cast(0)
        for e, name in zip(Engine, WAITS, strict=True):
            ahead = ahead | (raw_field(raw, Opcode.HALT, name) > counts[e][0])
        return ahead & (raw[:8] != int(Opcode.HALT))

    def _queues(self, m: Module, unit: ProductUnit, raw: Value, opcode: Value, push: Value, full: Signal) -> dict:
        """Build one queue for each engine; return engine -> (sent, done, stuck on a peer)."""
        counts: dict[Engine, tuple[Signal, Signal, Signal]] = {}
        for e in Engine:
            low = e.name.lower()
            counts[e] = (Signal(COUNT_BITS, name=f"sent_{low}"), Signal(COUNT_BITS, name=f"done_{low}"), Signal())
        for e in Engine:
            self._queue(
                m, e, unit, raw, push & (opcode == int(_OPCODE_OF[e])), opcode == int(_OPCODE_OF[e]), full, counts
            )
        m.d.comb += self.stores.eq(counts[Engine.STORE][1])
        return counts

    def _queue(
        self, m: Module, e: Engine, unit: ProductUnit, raw: Value, push: Value, mine: Value, full: Signal, counts: dict
    ) -> None:
        low, depth = e.name.lower(), self.chip.core.queue_depth
        waits = _wait_layout(self.chip.cores)
        shape = data.StructLayout({"desc": self.layouts[_OPCODE_OF[e]], "waits": waits})
        port = getattr(self, f"engine_{low}")
        sent, done, stuck = counts[e]
        memory = m.submodules[f"queue_{low}"] = Memory(shape=shape, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        level = Signal(range(depth + 1), name=f"level_{low}")
        pop = Signal(name=f"pop_{low}")
        unit.connect(m, raw, _OPCODE_OF[e], write.data.desc)
        for name in waits.members:
            m.d.comb += write.data.waits[name].eq(raw_field(raw, Opcode.HALT, name))
        m.d.comb += [write.en.eq(push), port.desc.eq(read.data.desc), pop.eq(port.valid & port.ready)]
        with m.If(mine & (level == depth) & ~pop):
            m.d.comb += full.eq(1)
        for enable, pointer in ((push, write.addr), (pop, read.addr)):
            at = Signal(range(depth), name=f"at_{low}")
            m.d.comb += pointer.eq(at)
            with m.If(enable):
                m.d.sync += at.eq(Mux(at == depth - 1, 0, at + 1))
        m.d.sync += level.eq(level + push - pop)
        over = level != 0
        for other, name in zip(Engine, WAITS, strict=True):
            over = over & (counts[other][1] >= read.data.waits[name])
        theirs = self.peer_stores.word_select(read.data.waits.peer_core, COUNT_BITS)
        peer_over = theirs >= read.data.waits.wait_peer
        m.d.comb += port.valid.eq(over & peer_over & self.running)
        m.d.comb += stuck.eq((level != 0) & ~peer_over & self.peer_ended.bit_select(read.data.waits.peer_core, 1))
        with m.If(push):
            m.d.sync += sent.eq(sent + 1)
        with m.If(port.done != 0):
            m.d.sync += done.eq(done + port.done)
        waited, completed = getattr(self, f"waited_{low}"), getattr(self, f"completed_{low}")
        m.d.comb += completed.eq(done)
        with m.If(self.start & ~self.running):
            m.d.sync += waited.eq(0)
        with m.Elif((level != 0) & ~port.valid):
            m.d.sync += waited.eq(waited + 1)

    def _finish(self, m: Module, counts: dict, cycle: Value, stopping: Value) -> None:
        """End the run when HALT's time has come and everything sent is complete."""
        all_done: Value = Value.cast(1)
        stuck: Value = Value.cast(0)
        for sent, done, peer in counts.values():
            all_done = all_done & (sent == done)
            stuck = stuck | peer
        with m.If(self.running & stopping & all_done):
            m.d.sync += [self.running.eq(0), self.ended.eq(1), self.cycles.eq(cycle)]
        with m.Elif(self.running & stuck):
            m.d.sync += [self.running.eq(0), self.ended.eq(1), self.cycles.eq(cycle)]
            m.d.sync += self.error.eq(int(ErrorCode.PEER_ENDED))
