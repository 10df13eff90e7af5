"""LOAD and STORE against arrays of bytes: random transfers, a memory and a scratchpad in Python, random stalls."""

import dataclasses
from collections import deque
from typing import Any

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth import Module
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from chanzi.chip import load_chip
from chanzi.chip.chip import Chip
from chanzi.errors import ChipError
from chanzi.rtl.bus import Bus
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


async def _cores(ctx: Any, loads: Any, stores: Any, jobs: Any, pads: Any) -> None:
    """Hand each core its two transfers and keep its scratchpad, until all four are done."""
    reads = [deque([bytes(8)] * READ_LATENCY) for _ in range(2)]
    waiting, done = [[True, True] for _ in range(2)], 0
    for _ in range(20_000):
        for i in range(2):
            for k, engine in enumerate((loads[i], stores[i])):
                ctx.set(engine.port.valid, waiting[i][k])
                ctx.set(engine.port.desc, {"flags": 0} | jobs[i][k])
                waiting[i][k] = waiting[i][k] and not ctx.get(engine.port.ready)
                done += ctx.get(engine.port.done)
            write, read = loads[i].write, stores[i].read
            if ctx.get(write.en):
                at, mask, data = ctx.get(write.addr), ctx.get(write.mask), ctx.get(write.data)
                for j in range(8):
                    if mask >> j & 1:
                        pads[i, at + j] = data >> (8 * j) & 255
            ctx.set(read.data, int.from_bytes(reads[i].popleft(), "little"))
            at = ctx.get(read.addr)
            reads[i].append(np.resize(pads[i, at : at + 8], 8).tobytes())
        await ctx.tick()
        if done == 4:
            return
    raise AssertionError("the bus stands still")


async def _memory(ctx: Any, bus: Any, source: Any, target: Any, rng: Any, stall: float) -> None:
    beats: deque[tuple[int, int]] = deque()
    addresses: deque[int] = deque()
    read, write, answers, r_on, b_on = bus.read, bus.write, 0, False, False
    see_ar, see_aw, see_w = _Watch(), _Watch(), _Watch()
    while True:
        for ready in (read.arready, write.awready, write.wready):
            ctx.set(ready, int(rng.random() >= stall))
        r_on = bool(beats) and (r_on or rng.random() >= stall)
        b_on = answers > 0 and (b_on or rng.random() >= stall)
        ctx.set(read.rvalid, r_on)
        ctx.set(write.bvalid, b_on)
        if r_on:
            ctx.set(read.rdata, beats[0][0])
            ctx.set(read.rlast, beats[0][1])
        if r_on and ctx.get(read.rready):
            beats.popleft()
            r_on = False
        if b_on and ctx.get(write.bready):
            answers, b_on = answers - 1, False
        data, strobe, last = ctx.get(write.wdata), ctx.get(write.wstrb), ctx.get(write.wlast)
        taken = see_w.see(ctx.get(write.wvalid), ctx.get(write.wready), (data, strobe, last))
        addr, length = ctx.get(write.awaddr), ctx.get(write.awlen)
        if see_aw.see(ctx.get(write.awvalid), ctx.get(write.awready), (addr, length)):
            addresses.extend(addr + 8 * j for j in range(length + 1))
        if taken:
            addr = addresses.popleft()
            for j in range(8):
                if strobe >> j & 1:
                    target[addr + j] = data >> (8 * j) & 255
            answers += last
        addr, length = ctx.get(read.araddr), ctx.get(read.arlen)
        if see_ar.see(ctx.get(read.arvalid), ctx.get(read.arready), (addr, length)):
            for j in range(length + 1):
                word = source[addr + 8 * j : addr + 8 * j + 8].tobytes()
                beats.append((int.from_bytes(word, "little"), int(j == length)))
        await ctx.tick()


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_engines_of_two_cores_share_the_bus(stall: float) -> None:
    chip = dataclasses.replace(_chip(8, 8, 8), cores=2)
    rng = np.random.default_rng(5)
    m, bus = Module(), Bus(chip)
    m.submodules.bus = bus
    loads, stores = [LoadEngine(chip) for _ in range(2)], [StoreEngine(chip) for _ in range(2)]
    for i in range(2):
        m.submodules[f"load{i}"], m.submodules[f"store{i}"] = loads[i], stores[i]
        connect(m, loads[i].axi, getattr(bus, f"load{i}"))
        connect(m, stores[i].axi, getattr(bus, f"store{i}"))
    source, target = rng.integers(0, 256, DRAM, dtype=np.uint8), np.zeros(2 * DRAM, np.uint8)
    pads = rng.integers(0, 256, (2, SIZE), dtype=np.uint8)
    kept, want = pads.copy(), target.copy()
    jobs = []
    for i in range(2):
        t = {"base": 0, "run": 100, "count1": 2, "count2": 2, "dram_step1": 107, "dram_step2": 300}
        t |= {"base_step1": 104, "base_step2": 208}
        inward, outward = t | {"dram": 4000 + 13 * i}, t | {"dram": 4001 + DRAM * i, "base": 512}
        jobs.append((inward, outward))
        for dram, base in _runs(outward):
            want[dram : dram + 100] = kept[i, base : base + 100]
        for dram, base in _runs(inward):
            kept[i, base : base + 100] = source[dram : dram + 100]
    simulator = Simulator(m)
    simulator.add_clock(1e-6)

    async def cores(ctx: Any) -> None:
        await _cores(ctx, loads, stores, jobs, pads)

    async def memory(ctx: Any) -> None:
        await _memory(ctx, bus, source, target, rng, stall)

    simulator.add_testbench(cores)
    simulator.add_testbench(memory, background=True)
    simulator.run()
    assert np.array_equal(pads, kept)
    assert np.array_equal(target, want)
