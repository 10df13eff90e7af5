"""The scratchpad's banks: a column of them holds one atom of every word, so that a column may be at another row.

Columns are equal, and so are the groups of banks that one is made of: each is one module, however many there are.
"""

from amaranth import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value
from amaranth.lib.wiring import Component, In, Out

from chanzi.rtl.shared import Shared

GROUP = 32
"""Banks of a group, at most."""


def _ports(reads: int, writes: int, row_bits: int, atom: int) -> dict:
    return {
        "go": In(reads + writes),
        "rows": In((reads + writes) * row_bits),
        "mask": In(writes * atom),
        "data": In(writes * 8 * atom),
    }


def _word(value: Value, index: int, bits: int) -> Value:
    return value[bits * index : bits * index + bits]


class Group(Component):
    """Some banks, each an SRAM with the choice of the port that has it.

    Ports, for reads first, then writes: `go`, the bank as one of `count`, the row in it; `mask` and `data` of writes.
    `words`: a cycle later, what the bank of each read has read. Where several ports meet in a bank, which is against
    the law, the first has it; the other reads see its word, the other writes are lost.
    """

    def __init__(self, count: int, depth: int, atom: int, reads: int, writes: int) -> None:
        self.count, self.depth, self.atom, self.reads, self.writes = count, depth, atom, reads, writes
        self.row_bits, self.bank_bits = (depth - 1).bit_length(), max(1, (count - 1).bit_length())
        more = {"bank": In((reads + writes) * self.bank_bits), "words": Out(reads * 8 * atom)}
        super().__init__(_ports(reads, writes, self.row_bits, atom) | more)

    def elaborate(self, platform: object) -> Module:
        """Return the banks and each read's choice among them."""
        del platform
        m, width = Module(), 8 * self.atom
        ports = range(self.reads + self.writes)
        banks = [_word(self.bank, p, self.bank_bits) for p in ports]
        words = [self._bank(m, bank, banks) for bank in range(self.count)]
        for p in range(self.reads):
            then = Signal(self.bank_bits, name=f"bank_{p}", reset_less=True)
            m.d.sync += then.eq(banks[p])
            chosen = _word(self.words, p, width)
            with m.Switch(then):
                for bank, data in enumerate(words):
                    with m.Case(bank):
                        m.d.comb += chosen.eq(data)
        return m

    def _bank(self, m: Module, bank: int, banks: list[Value]) -> Signal:
        reads, writes, atom = self.reads, self.writes, self.atom
        hits, mine = Signal(reads + writes, name=f"hits{bank}"), Signal(reads + writes, name=f"mine{bank}")
        m.d.comb += hits.eq(Cat(self.go[p] & (which == bank) for p, which in enumerate(banks)))
        m.d.comb += mine.eq(hits & (~hits + 1))
        row, mask, data = (
            Signal(n, name=f"{name}{bank}") for n, name in ((self.row_bits, "row"), (atom, "mask"), (8 * atom, "data"))
        )
        rows, masks, datas = Const(0, len(row)), Const(0, len(mask)), Const(0, len(data))
        for p in range(reads + writes):
            rows |= Mux(mine[p], _word(self.rows, p, self.row_bits), 0)
        for w in range(writes):
            masks |= Mux(mine[reads + w], _word(self.mask, w, atom), 0)
            datas |= Mux(mine[reads + w], _word(self.data, w, 8 * atom), 0)
        m.d.comb += [row.eq(rows), mask.eq(masks), data.eq(datas)]
        found = Signal(8 * atom, name=f"read{bank}")
        m.submodules[f"bank{bank}"] = Instance(
            "chanzi_sram",
            p_DEPTH=self.depth,
            p_WORD=atom,
            p_ADDR=self.row_bits,
            i_clk=ClockSignal(),
            i_en=mine.any(),
            i_we=mine[reads:].any(),
            i_addr=row,
            i_mask=mask,
            i_wdata=data,
            o_rdata=found,
        )
        return found


class Column(Component):
    """One atom of every word: groups of banks, and each read's choice among the groups.

    Ports as a group's, but `bank` is one of all banks.
    """

    def __init__(self, banks: int, depth: int, atom: int, reads: int, writes: int) -> None:
        self.banks, self.depth, self.atom, self.reads, self.writes = banks, depth, atom, reads, writes
        self.row_bits, self.bank_bits = (depth - 1).bit_length(), (banks - 1).bit_length()
        more = {"bank": In((reads + writes) * self.bank_bits), "words": Out(reads * 8 * atom)}
        super().__init__(_ports(reads, writes, self.row_bits, atom) | more)

    def elaborate(self, platform: object) -> Module:
        """Return the groups."""
        del platform
        m, ports = Module(), range(self.reads + self.writes)
        low = (min(GROUP, self.banks) - 1).bit_length()
        banks = [_word(self.bank, p, self.bank_bits) for p in ports]
        groups = []
        for n, start in enumerate(range(0, self.banks, GROUP)):
            count = min(GROUP, self.banks - start)  # the last may be smaller
            block = Group(count, self.depth, self.atom, self.reads, self.writes)
            group = Shared(f"chanzi_scratchpad_group_{count}x{self.depth}x{self.atom}", block)
            m.submodules[f"group{n}"] = group
            m.d.comb += [
                group.go.eq(Cat(self.go[p] & (banks[p][low:] == n) for p in ports)),
                group.bank.eq(Cat(banks[p][: block.bank_bits] for p in ports)),
                group.rows.eq(self.rows),
                group.mask.eq(self.mask),
                group.data.eq(self.data),
            ]
            groups.append(group.words)
        for p in range(self.reads):
            then = Signal(max(1, self.bank_bits - low), name=f"group_{p}", reset_less=True)
            m.d.sync += then.eq(banks[p][low:])
            chosen = _word(self.words, p, 8 * self.atom)
            with m.Switch(then):
                for n, words in enumerate(groups):
                    with m.Case(n):
                        m.d.comb += chosen.eq(_word(words, p, 8 * self.atom))
        return m
