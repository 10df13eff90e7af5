"""The drain: rows of finished tiles, through the epilogue lanes, to the scratchpad.

A job names a tile. Its rows are read from the shadow registers one after another, each for as many turns as the
`epilogue_lanes` need for its columns (RAW: as it has words). With P for the cycle of a turn: biases and scales are
added in P, a byte is there in P + `requantize`, the table answers in the next cycle, the residual is combined from
then on, and the bytes are on the write port in P + `write_latency`.
"""

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from chanzi.chip.chip import Core
from chanzi.isa.fields import DotFlag
from chanzi.isa.pipeline import pipeline
from chanzi.rtl.array.control import epilogue_turns, job_layout
from chanzi.rtl.descriptor import address_bits, dot_layout
from chanzi.rtl.lane import Combine, CombineConstants, Requantize, combine_inputs, combine_times, delay
from chanzi.rtl.ports import READ_LATENCY, read_port, write_port
from chanzi.rtl.shared import Shared

TABLE_LATENCY = 1


def write_latency(core: Core) -> int:
    """Return the cycles from a turn to its bytes on the write port."""
    depth = pipeline(core.float_stages)
    return depth.requantize + TABLE_LATENCY + depth.combine


class Table(Component):
    """A lane's tables, one for each slot: `byte` is, a cycle later, the table's at `index`, or `index` if not `on`.

    A word of a table is written at word `to` of slot `to_slot`.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        write = {"en": In(1), "to": In(8), "to_slot": In(1), "word": In(8 * width)}
        super().__init__(write | {"on": In(1), "slot": In(1), "index": In(8), "byte": Out(8)})

    def elaborate(self, platform: object) -> Module:
        """Return the memory, a word of the port wide, and the choice of a byte."""
        del platform
        m, W = Module(), self.width
        byte = Signal(8, name="found", reset_less=True)
        memory = m.submodules.memory = Memory(shape=8 * W, depth=2 * max(1, 256 // W), init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        bits = W.bit_length() - 1
        rows = max(0, 8 - bits)
        m.d.comb += [write.en.eq(self.en), write.data.eq(self.word), write.addr.eq(Cat(self.to[:rows], self.to_slot))]
        m.d.comb += read.addr.eq(Cat(self.index[bits:], self.slot) if rows else self.slot)
        m.d.sync += byte.eq(Mux(self.on, read.data.word_select(self.index[: min(bits, 8)], 8), self.index))
        m.d.comb += self.byte.eq(byte)
        return m


class Drain(Component):
    """Row counter, addresses and lanes.

    Ports: `job` with `go` in the cycle before its first row is read; `desc0`, `desc1` of the two slots, each new in the
    cycle after its bit of `begins`; `sums` of the
    shadow `row`; `bias`, `scale` of the tile; table writes; `residual`, `result` of the scratchpad; `finishes` in the
    cycle in which a DOT's last row is read.
    """

    def __init__(self, core: Core) -> None:
        self.core, self.depth, self.late = core, pipeline(core.float_stages), write_latency(core)
        self.combine_at = self.depth.requantize + TABLE_LATENCY
        D, W = core.dim, core.port_bytes
        super().__init__(
            {
                "begins": In(2),
                "go": In(1),
                "job": In(job_layout(core)),
                "desc0": In(dot_layout(core)),
                "desc1": In(dot_layout(core)),
                "row": Out(range(D)),
                "sums": In(32 * D),
                "bias": In(32 * D),
                "scale": In(32 * D),
                "table_en": In(1),
                "table_slot": In(1),
                "table_index": In(8),
                "table_word": In(8 * W),
                "residual": Out(read_port(core)),
                "result": Out(write_port(core)),
                "finishes": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Return the row counter, the addresses, the lanes."""
        del platform
        m, core = Module(), self.core
        job = Signal(job_layout(core), reset_less=True)
        # the turn: a word of int32 sums, or a part of the row as wide as the lanes
        busy, word = Signal(), Signal(range(max(4, core.dim // core.row_lanes)))
        left = Signal(range(core.dim + 1))
        desc = Mux(job.slot, self.desc1.as_value(), self.desc0.as_value())
        desc = _view(dot_layout(core), desc, m, "desc")
        flags = desc.flags
        raw = (flags & int(DotFlag.RAW)) != 0
        words = 4 * job.columns + (core.port_bytes - 1) >> core.port_bytes.bit_length() - 1
        last_word = word + 1 >= Mux(raw, words, epilogue_turns(core, job.columns))
        with m.If(busy):
            m.d.sync += word.eq(Mux(last_word, 0, word + 1))
            with m.If(last_word):
                m.d.sync += [self.row.eq(self.row + 1), left.eq(left - 1)]
                with m.If(left == 1):
                    m.d.sync += busy.eq(0)
        m.d.comb += self.finishes.eq(busy & last_word & (left == 1) & job.ends_dot)
        with m.If(self.go):
            m.d.sync += [job.eq(self.job), busy.eq(1), word.eq(0), left.eq(self.job.rows), self.row.eq(0)]
        out, res = self._places(m, desc, busy & last_word)
        ab = address_bits(core)
        at = Signal(ab)
        m.d.comb += at.eq(out + Mux(raw, word << (core.port_bytes.bit_length() - 1), 0))
        m.d.comb += self.residual.addr.eq(delay(m, res, self.combine_at - READ_LATENCY, "residual_addr"))
        second = (flags & int(DotFlag.ADD | DotFlag.MUL)) != 0
        m.d.comb += self.residual.need.eq(delay(m, job.columns, self.combine_at - READ_LATENCY, "residual_need"))
        m.d.comb += self.residual.en.eq(delay(m, (busy & second), self.combine_at - READ_LATENCY, "residual_en"))
        self._lanes(m, desc, job, busy, (raw, word, at))
        return m

    def _places(self, m: Module, desc: Value, moves: Value) -> tuple[Value, Value]:
        """Return the addresses of this row's output and residual."""
        core = self.core
        ab = address_bits(core)
        x = Signal(desc.a_row_width.shape())
        sides = []
        raw = (self.job_desc(m).flags & int(DotFlag.RAW)) != 0
        coming = self.job_desc(m)
        wrap = x + 1 >= desc.a_row_width
        for side in ("out", "res"):
            pixel, line, column = (Signal(ab, name=f"{side}_{n}", reset_less=True) for n in ("pixel", "line", "column"))
            step = Mux(raw, 4 * core.dim, core.dim) if side == "out" else core.dim
            base = Signal(ab, name=f"{side}_line0")
            m.d.comb += base.eq(coming[f"{side}_start"])
            with m.If(moves):
                with m.If(wrap):
                    m.d.sync += [line.eq(line + desc[f"{side}_y"]), pixel.eq(line + desc[f"{side}_y"])]
                with m.Else():
                    m.d.sync += pixel.eq(pixel + desc[f"{side}_x"])
            with m.If(self.go & self.job.starts_column):
                m.d.sync += [pixel.eq(base), line.eq(coming[f"{side}_base"])]
                m.d.sync += column.eq(Mux(self.job.starts_dot, 0, column + step))
            sides.append(pixel + column)
        with m.If(moves):
            m.d.sync += x.eq(Mux(wrap, 0, x + 1))
        with m.If(self.go & self.job.starts_column):
            m.d.sync += x.eq(coming.a_first)
        return sides[0], sides[1]

    def job_desc(self, m: Module) -> Value:
        """Return the descriptor of the job that comes in."""
        if not hasattr(self, "_coming"):
            bits = Mux(self.job.slot, self.desc1.as_value(), self.desc0.as_value())
            self._coming = _view(dot_layout(self.core), bits, m, "coming")
        return self._coming

    def _lanes(self, m: Module, desc: Value, job: Value, busy: Value, where: tuple) -> None:
        core, depth = self.core, self.depth
        lanes, parts = core.row_lanes, core.dim // core.row_lanes
        raw, word, at = where
        flags = desc.flags
        has = {flag: (flags & int(DotFlag[flag])) != 0 for flag in ("BIAS", "COLUMN_SCALE")}
        slots = [job.slot]  # all that travels: a DOT's descriptor stands still until its last byte is written
        for n in range(self.late):
            slots.append(delay(m, slots[n], 1, f"slot{n + 1}"))

        def then(time: int, name: str, values: Sequence[Value]) -> Signal:
            """Return what a row has, so many cycles after it is read, of a value for each slot."""
            found = Signal(values[0].shape(), name=f"then_{name}")
            m.d.comb += found.eq(Mux(slots[time], values[1], values[0]))
            return found

        def field(time: int, name: str) -> Signal:
            return then(time, name, [self.desc0[name], self.desc1[name]])

        late = {name: field(depth.requantize - depth.to_byte, name) for name in ("zero", "low", "high")}
        lookup = [(d.flags & int(DotFlag.TABLE)) != 0 for d in (self.desc0, self.desc1)]
        table_now = Cat(then(depth.requantize, "table", lookup), slots[depth.requantize])
        signs = {name: field(self.combine_at, name)[0] for name in ("mid_signed", "res_signed")}
        both = [combine_inputs(given) for given in self._constants(m)]
        times = combine_times(depth)
        constants = {n: then(self.combine_at + times[n], n, [given[n] for given in both]) for n in both[0]}
        seconds = [(d.flags & int(DotFlag.ADD | DotFlag.MUL)) != 0 for d in (self.desc0, self.desc1)]
        firsts: list[Value] = []
        outs: list[Value] = []
        part, part_later = word, delay(m, word, self.combine_at, "part")
        sums, biases, scales = (self._part(m, part, 32 * lanes, name) for name in ("sums", "bias", "scale"))
        residual = Signal(8 * lanes, name="residual_part")
        m.d.comb += residual.eq(self.residual.data[: 8 * core.dim].word_select(part_later, 8 * lanes))
        for c in range(lanes):
            lane = m.submodules[f"requantize{c}"] = Shared("chanzi_requantize", Requantize(core.float_stages))
            bias = Mux(has["BIAS"], biases[32 * c : 32 * c + 32], 0)
            scale = Mux(has["COLUMN_SCALE"], scales[32 * c : 32 * c + 32], desc.scale)
            m.d.comb += [lane.acc.eq(sums[32 * c : 32 * c + 32].as_signed()), lane.bias.eq(bias.as_signed())]
            m.d.comb += lane.scale.eq(scale)
            m.d.comb += [getattr(lane, name).eq(value) for name, value in late.items()]
            byte = self._table(m, c, lane.out, table_now)
            firsts.append(byte)
            combine = m.submodules[f"combine{c}"] = Shared("chanzi_combine", Combine(core.float_stages))
            r = residual[8 * c : 8 * c + 8]
            m.d.comb += combine.x.eq(Mux(signs["mid_signed"], byte.as_signed(), byte.as_unsigned()))
            m.d.comb += combine.r.eq(Mux(signs["res_signed"], r.as_signed(), r.as_unsigned()))
            m.d.comb += [getattr(combine, name).eq(value) for name, value in constants.items()]
            outs.append(combine.out)
        plain = delay(m, Cat(firsts), depth.combine, "plain")
        result = Mux(then(self.late, "second", seconds), Cat(outs), plain)
        self._write(m, (raw, word, at), (busy, job.columns), has["BIAS"], Cat(*[result] * parts))

    def _part(self, m: Module, part: Value, bits: int, name: str) -> Signal:
        """Return the columns of a row whose turn it is."""
        found = Signal(bits, name=f"{name}_part")
        m.d.comb += found.eq(getattr(self, name).word_select(part, bits))
        return found

    def _constants(self, m: Module) -> list[dict[str, Value]]:
        """Return what `combine_inputs` takes, of each slot; each has its own unit, for its inputs must stand still."""
        found = []
        for slot, desc in enumerate((self.desc0, self.desc1)):
            unit = m.submodules[f"constants{slot}"] = Shared(
                "chanzi_combine_constants", CombineConstants(self.core.float_stages)
            )
            m.d.comb += [
                unit.begin.eq(self.begins[slot]),
                unit.first_is_r.eq(desc.res_first),
                unit.scale_x.eq(desc.mid_scale),
                unit.scale_r.eq(desc.res_scale),
                unit.x_zero.eq(desc.mid_zero),
                unit.r_zero.eq(desc.res_zero),
                unit.out_zero.eq(desc.out_zero),
            ]
            given = {"mul": (desc.flags & int(DotFlag.MUL)) != 0, "first_is_r": desc.res_first[0]}
            given |= {"x_zero": desc.mid_zero, "r_zero": desc.res_zero, "low": desc.out_low, "high": desc.out_high}
            given |= {"scale_x": desc.mid_scale, "scale_r": desc.res_scale, "mul_scale": desc.mid_scale}
            found.append(given | {"offset": unit.offset, "zero": unit.zero})
        return found

    def _table(self, m: Module, c: int, index: Value, now: Value) -> Value:
        W = self.core.port_bytes
        table = m.submodules[f"table{c}"] = Shared(f"chanzi_array_table_{W}", Table(W))
        m.d.comb += [table.en.eq(self.table_en), table.to.eq(self.table_index), table.to_slot.eq(self.table_slot)]
        m.d.comb += [table.word.eq(self.table_word), table.index.eq(index), table.on.eq(now[0]), table.slot.eq(now[1])]
        return table.byte

    def _write(self, m: Module, where: tuple, row: tuple, has_bias: Value, result: Value) -> None:
        core = self.core
        D, W, lanes = core.dim, core.port_bytes, core.row_lanes
        raw, word, at = where
        busy, columns = row
        chosen, sums, biases = Signal(8 * W), Signal(8 * W, name="raw_sums"), Signal(8 * W, name="raw_biases")
        for found, given in ((sums, self.sums), (biases, self.bias)):
            padded = Cat(given, Const(0, max(1, 4 * 8 * W - len(given))))
            m.d.comb += found.eq(padded.word_select(word[:2], 8 * W))
        for i in range(0, 8 * W, 32):
            m.d.comb += chosen[i : i + 32].eq(sums[i : i + 32] + Mux(has_bias, biases[i : i + 32], 0))
        # int32 rows wait in a small memory, for the write port is the bytes' in their order
        bits = self.late.bit_length()
        store = m.submodules.raw_words = Memory(shape=8 * W, depth=1 << bits, init=[])
        write, read = store.write_port(), store.read_port(domain="comb")
        pointer = Signal(bits)
        m.d.sync += pointer.eq(pointer + 1)
        m.d.comb += [write.addr.eq(pointer), write.data.eq(chosen), write.en.eq(raw & busy)]
        m.d.comb += read.addr.eq(pointer - self.late)
        then = delay(m, Cat(raw, busy), self.late, "write_now")
        n_bytes = Signal(range(4 * D + W + 1))
        shift = W.bit_length() - 1
        m.d.comb += n_bytes.eq(Mux(raw, 4 * columns - (word << shift), columns))
        late_bytes = delay(m, n_bytes, self.late, "write_bytes")
        part = delay(m, word, self.late, "write_part")
        mine = [then[0] | (part == j // lanes) for j in range(W)]
        m.d.comb += [
            self.result.en.eq(then[1]),
            self.result.addr.eq(delay(m, at, self.late, "write_addr")),
            self.result.data.eq(Mux(then[0], read.data, result)),
            self.result.mask.eq(Cat((late_bytes > j) & mine[j] for j in range(W))),
        ]


def _view(layout: object, bits: Value, m: Module, name: str) -> Value:
    found = Signal(layout, name=name)
    m.d.comb += found.eq(bits)
    return found
