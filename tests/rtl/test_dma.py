"""LOAD and STORE against arrays of bytes: random transfers, a memory and a scratchpad in Python, random stalls."""

import dataclasses
from collections import deque
from typing import Any

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.sim import Simulator

from chanzi.chip import load_chip
from chanzi.chip.chip import Chip
from chanzi.errors import ChipError
from chanzi.rtl.dma import LoadEngine, StoreEngine, refuse_unbuildable
from chanzi.rtl.ports import READ_LATENCY

SIZE = 1024
DRAM = 1 << 14


def _chip(dim: int, port: int, beat: int) -> Chip:
    chip = load_chip("chanzi-8")
    pad = dataclasses.replace(chip.core.scratchpad, bytes=SIZE, banks=16)
    core = dataclasses.replace(chip.core, dim=dim, port_bytes=port, lanes=dim, scratchpad=pad)
    return dataclasses.replace(chip, core=core, dram=dataclasses.replace(chip.dram, beat_bytes=beat))


def _transfers(rng: np.random.Generator, atom: int, n: int) -> list[dict[str, int]]:
    """Return transfers that write no byte twice on either side."""
    found = []
    for _ in range(n):
        run, count1, count2 = int(rng.integers(1, 71)), int(rng.integers(1, 4)), int(rng.integers(1, 3))
        step = -(-run // atom) * atom + atom * int(rng.integers(0, 2))
        dram_step = run + int(rng.integers(0, 9))
        if rng.random() < 0.2:
            run, count1, count2, step, dram_step = int(rng.integers(300, 900)), 1, 1, 0, 0
        room = (SIZE - count1 * count2 * max(step, run) - atom) // atom
        dram = int(rng.integers(0, DRAM - 4096)) if rng.random() < 0.5 else 4096 - int(rng.integers(0, 200))
        found.append({
            "dram": dram, "base": atom * int(rng.integers(0, max(room, 1))), "run": run, "count1": count1,
            "count2": count2, "dram_step1": dram_step, "dram_step2": count1 * dram_step + int(rng.integers(0, 9)),
            "base_step1": step, "base_step2": count1 * step,
        })  # fmt: skip
    return found


def _runs(t: dict[str, int]) -> list[tuple[int, int]]:
    return [
        (t["dram"] + j * t["dram_step2"] + i * t["dram_step1"], t["base"] + j * t["base_step2"] + i * t["base_step1"])
        for j in range(t["count2"])
        for i in range(t["count1"])
    ]


class _Watch:
    """A channel's payload may not change, nor its valid fall, while it waits."""

    def __init__(self) -> None:
        self.held: Any = None

    def see(self, valid: int, ready: int, payload: tuple[int, ...]) -> bool:
        if self.held is not None:
            assert valid
            assert payload == self.held
        self.held = payload if valid and not ready else None
        return bool(valid and ready)


def _burst_is_legal(addr: int, length: int, beat: int) -> None:
    assert addr % beat == 0
    assert addr // 4096 == (addr + (length + 1) * beat - 1) // 4096


async def _load(ctx: Any, dut: Any, todo: deque[dict[str, int]], memory: Any, pad: Any, rng: Any, stall: float) -> None:
    beat, W = dut.chip.dram.beat_bytes, dut.chip.core.port_bytes
    beats: deque[tuple[int, int]] = deque()
    watch, done, n = _Watch(), 0, len(todo)
    axi, write, offered, busy = dut.axi, dut.write, False, 0
    while done < n:
        ctx.set(dut.port.valid, bool(todo))
        if todo:
            ctx.set(dut.port.desc, {"flags": 0} | todo[0])
        ctx.set(axi.arready, int(rng.random() >= stall))
        offered = bool(beats) and (offered or rng.random() >= stall)
        ctx.set(axi.rvalid, offered)
        if offered:
            data, last = beats[0]
            ctx.set(axi.rdata, data)
            ctx.set(axi.rlast, last)
        if ctx.get(write.en):
            at, mask, data = ctx.get(write.addr), ctx.get(write.mask), ctx.get(write.data)
            assert at % dut.chip.core.atom_bytes == 0
            for j in range(W):
                if mask >> j & 1:
                    pad[at + j] = data >> (8 * j) & 255
        done += ctx.get(dut.port.done)
        if todo and ctx.get(dut.port.ready):
            todo.popleft()
        if offered and ctx.get(axi.rready):
            beats.popleft()
            offered = False
        addr, length = ctx.get(axi.araddr), ctx.get(axi.arlen)
        if watch.see(ctx.get(axi.arvalid), ctx.get(axi.arready), (addr, length)):
            _burst_is_legal(addr, length, beat)
            for i in range(length + 1):
                word = memory[addr + i * beat : addr + (i + 1) * beat].tobytes()
                beats.append((int.from_bytes(word, "little"), int(i == length)))
        busy += 1
        assert busy < 60_000, "the engine stands still"
        await ctx.tick()
    assert not beats


async def _store(
    ctx: Any, dut: Any, todo: deque[dict[str, int]], memory: Any, pad: Any, rng: Any, stall: float
) -> None:
    beat, W = dut.chip.dram.beat_bytes, dut.chip.core.port_bytes
    addresses: deque[tuple[int, int]] = deque()
    reads: deque[bytes] = deque([bytes(W)] * READ_LATENCY)
    see_aw, see_w, done, n, answers, offered, moved, busy = _Watch(), _Watch(), 0, len(todo), 0, False, 0, 0
    axi = dut.axi
    while done < n:
        ctx.set(dut.port.valid, bool(todo))
        if todo:
            ctx.set(dut.port.desc, {"flags": 0} | todo[0])
        ctx.set(axi.awready, int(rng.random() >= stall))
        ctx.set(axi.wready, int(rng.random() >= stall))
        offered = answers > 0 and (offered or rng.random() >= stall)
        ctx.set(axi.bvalid, offered)
        ctx.set(dut.read.data, int.from_bytes(reads.popleft(), "little"))
        at = ctx.get(dut.read.addr)
        reads.append(np.resize(pad[at : at + W], W).tobytes() if ctx.get(dut.read.en) else rng.bytes(W))
        done += ctx.get(dut.port.done)
        if todo and ctx.get(dut.port.ready):
            todo.popleft()
        if offered and ctx.get(axi.bready):
            answers, offered = answers - 1, False
        data, strobe, last = ctx.get(axi.wdata), ctx.get(axi.wstrb), ctx.get(axi.wlast)
        if see_w.see(ctx.get(axi.wvalid), ctx.get(axi.wready), (data, strobe, last)):
            addr, length = addresses[0]
            for j in range(beat):
                if strobe >> j & 1:
                    memory[addr + moved * beat + j] = data >> (8 * j) & 255
            assert last == (moved == length)
            moved += 1
            if last:
                addresses.popleft()
                moved, answers = 0, answers + 1
        addr, length = ctx.get(axi.awaddr), ctx.get(axi.awlen)
        if see_aw.see(ctx.get(axi.awvalid), ctx.get(axi.awready), (addr, length)):
            _burst_is_legal(addr, length, beat)
            addresses.append((addr, length))
        busy += 1
        assert busy < 60_000, "the engine stands still"
        await ctx.tick()
    assert not addresses


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize(("dim", "port", "beat"), [(8, 8, 8), (16, 32, 4), (4, 16, 8), (16, 16, 16)])
@pytest.mark.parametrize("engine", [LoadEngine, StoreEngine])
def test_bytes_arrive_under_any_stalls(engine: Any, dim: int, port: int, beat: int, stall: float) -> None:
    rng = np.random.default_rng(dim + beat)
    dut = engine(_chip(dim, port, beat))
    memory, pad = rng.integers(0, 256, DRAM, dtype=np.uint8), rng.integers(0, 256, SIZE, dtype=np.uint8)
    want_memory, want_pad = memory.copy(), pad.copy()
    transfers = _transfers(rng, dut.chip.core.atom_bytes, 12)
    for t in transfers:
        for dram, base in _runs(t):
            if engine is LoadEngine:
                want_pad[base : base + t["run"]] = want_memory[dram : dram + t["run"]]
            else:
                want_memory[dram : dram + t["run"]] = want_pad[base : base + t["run"]]
    drive = _load if engine is LoadEngine else _store
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)

    async def bench(ctx: Any) -> None:
        await drive(ctx, dut, deque(transfers), memory, pad, rng, stall)

    simulator.add_testbench(bench)
    simulator.run()
    assert np.array_equal(pad, want_pad)
    assert np.array_equal(memory, want_memory)


def test_a_bus_wider_than_the_port_is_refused() -> None:
    with pytest.raises(ChipError, match="port_bytes"):
        refuse_unbuildable(_chip(8, 8, 16))
