"""What the simulators share: ports, waits between cores, errors; and what the fast one remembers between frames."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from chanzi.errors import ProgramError
from chanzi.graph.ops import Quant
from chanzi.isa.fields import DotFlag
from chanzi.isa.instruction import Dot, Halt, Load, Store, Vec
from chanzi.program.program import CoreCode, MapLayout, Port
from chanzi.sim import fast, reference
from chanzi.sim.fast import micro
from chanzi.sim.fast.workers import Workers

sys.path.insert(0, str(Path(__file__).parent))
from single import Pad, compiled, plain

SIMULATORS = pytest.mark.parametrize("simulator", [reference.Simulator, fast.Simulator], ids=["reference", "fast"])


def copy(dram, base, n, kind=Load, **more):
    return kind(dram=dram, base=base, run=n, count1=1, count2=1, **more)


def with_cores(*codes, image, dram_bytes):
    one = compiled(image=image, dram_bytes=dram_bytes)
    cores = tuple(CoreCode(setup=(Halt(),), frame=(*code, Halt())) for code in codes)
    return dataclasses.replace(one, segment=dataclasses.replace(one.segment, cores=cores))


@SIMULATORS
def test_a_core_waits_for_its_peers_stores(simulator):
    """Core 0 reads what core 1 wrote, which read what core 0 wrote before: order by wait_peer alone."""
    first = [
        copy(0, 0, 16),
        copy(64, 0, 16, Store, wait_load=1),
        copy(80, 64, 16, wait_peer=1, peer_core=1),
        copy(96, 64, 16, Store, wait_load=2),
    ]
    second = [copy(64, 0, 16, wait_peer=1, peer_core=0), copy(80, 0, 16, Store, wait_load=1)]
    machine = simulator(with_cores(first, second, image=np.arange(64), dram_bytes=128))
    machine.step()
    np.testing.assert_array_equal(machine.dram[96:112], np.arange(16))


@SIMULATORS
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ([copy(0, 0, 16, wait_peer=2, peer_core=0)], "waits for a STORE of a peer that never comes"),
        ([copy(0, 0, 16, wait_peer=1, peer_core=9)], "core 9"),
        ([copy(0, 0, 16, wait_array=1)], "wait_array"),
        ([copy(200, 0, 16)], "LOAD"),
        ([copy(0, 1 << 20, 16)], "LOAD"),
        ([Vec(kind=0, rows=1, columns=1, channels=4, height=1, width_bytes=4, out_base=1 << 19)], "VEC"),
    ],
)
def test_what_cannot_run_is_named(simulator, code, says):
    machine = simulator(with_cores(code, image=np.arange(64), dram_bytes=128))
    with pytest.raises(ProgramError, match=rf"(?s).*{says}"):
        machine.step()


@SIMULATORS
def test_run_takes_frames_and_gives_frames(simulator):
    layout = MapLayout(line_bytes=8, pixel_bytes=4, channel_offset=np.array([0, 2]))
    quant = Quant(scale=1.0, zero=0, dtype="uint8")
    x = Port(name="x", shape=(2, 2, 2), quant=quant, addresses=(0, 32), layout=layout)
    y = dataclasses.replace(x, name="y", addresses=(64, 96))
    table = np.arange(256)[::-1].astype(np.uint8)
    vec = {
        "kind": 0,
        "flags": 4,
        "rows": 1,
        "columns": 1,
        "channels": 16,
        "height": 1,
        "width_bytes": 16,
        "out_base": 64,
    }

    def code(core):
        turn = Vec(**vec, table_base=256, wait_load=2)
        return (copy(128, 256, 256), copy(32 * core, 0, 16), turn, copy(64 + 32 * core, 64, 16, Store, wait_vector=1))

    image = np.concatenate([np.zeros(128), table])
    one = with_cores(code(0), code(1), image=image, dram_bytes=512)
    segment = dataclasses.replace(one.segment, inputs=(x,), outputs=(y,), frames=2)
    machine = simulator(dataclasses.replace(one, segment=segment))
    frames = [np.random.default_rng(i).integers(0, 256, (2, 2, 2)).astype(np.uint8) for i in range(3)]
    outputs = machine.run([{"x": f} for f in frames])
    assert len(outputs) == 3
    for given, got in zip(frames, outputs, strict=True):
        np.testing.assert_array_equal(got["y"], 255 - given)


def product(a_base, b_base, out, n=40, k=24, **more):
    return Dot(
        **plain("a", 20, k), **plain("b", n, k), a_base=a_base, b_base=b_base, b_signed=1, scale=0.01, low=-128,
        high=127, out_base=out, out_y=2048, out_x=64, **more,
    )  # fmt: skip


def test_weights_that_change_are_packed_again():
    """B comes from DRAM each frame, is overwritten between two products, and one stays from frame to frame."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, 8192).astype(np.uint8)
    weights = 40 * 24
    frame = (
        copy(0, 0, 480),
        copy(1024, 8192, weights),
        product(0, 8192, 16384),
        product(0, 8192, 20480),
        copy(2048, 8192, weights),
        product(0, 8192, 24576),
        product(0, 28672, 32768),
        # the last product's B is what the first one wrote
        product(0, 16384, 36864, n=30),
    )
    setup = (copy(4096, 28672, weights),)
    one = compiled(*frame, setup=setup, image=image)
    slow, quick = reference.Simulator(one), fast.Simulator(one)
    for turn in range(3):
        for machine in (slow, quick):
            machine.dram[:480] = np.roll(image[:480], turn)
            machine.dram[1024 : 1024 + weights] = np.roll(image[1024 : 1024 + weights], turn)
            machine.step()
        np.testing.assert_array_equal(slow.scratchpads[0], quick.scratchpads[0])


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_threads_do_not_change_a_byte(threads, monkeypatch):
    monkeypatch.setenv("CHANZI_THREADS", threads)
    rng = np.random.default_rng(1)
    for rows, n, k in ((500, 64, 100), (40, 300, 300)):
        pad = Pad()
        a, b = rng.integers(0, 256, (rows, k)).astype(np.uint8), rng.integers(-128, 128, (n, k)).astype(np.int8)
        fields = plain("a", rows, k) | plain("b", n, k)
        fields |= {"a_base": pad.put(a), "b_base": pad.put(b), "out_base": (out := pad.room(rows * n * 4))}
        ins = Dot(flags=int(DotFlag.RAW), **fields, b_signed=1, out_x=4 * n, out_y=4 * n * rows)
        got = pad.run(fast.Simulator, ins)[out : out + rows * n * 4].view("<i4").reshape(rows, n)
        np.testing.assert_array_equal(got, a.astype(np.int32) @ b.astype(np.int32).T)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize(("count", "unit"), [(1, 1), (7, 1), (100, 6), (5, 64), (64, 64), (129, 64)])
def test_workers_cover_the_range_once(threads, count, unit):
    seen = np.zeros(count, int)

    def part(first, last):
        assert first % unit == 0
        seen[first:last] += 1

    Workers(threads).run(part, count, unit)
    assert (seen == 1).all()


def test_a_workers_error_reaches_the_caller():
    def part(first, last):
        if last == 10:
            raise ProgramError("here")

    with pytest.raises(ProgramError, match="here"):
        Workers(2).run(part, 10)


@pytest.mark.parametrize("dot", [micro._dot_plain, micro._dot_instruction], ids=["plain", "instruction"])
@pytest.mark.parametrize("vectors", [1, 4])
def test_inner_loop_on_every_processor(dot, vectors):
    """The loop of processors without the dot instruction says the same as the one with it."""
    if dot is micro._dot_instruction and not micro.has_dot_instruction():
        pytest.skip("this processor has no four-byte dot product")
    kernel = micro.make(vectors, dot)

    @njit
    def run(A, B, C, k):
        kernel(A, 0, k, B, 0, k // 4, C, 0, 64)

    rng = np.random.default_rng(2)
    k, n = 44, 16 * vectors
    a, b = rng.integers(0, 256, (6, k)).astype(np.uint8), rng.integers(-128, 128, (n, k)).astype(np.int8)
    a[0], b[0] = 255, -128
    packed = np.ascontiguousarray(b.reshape(n, k // 4, 4).transpose(1, 0, 2)).view(np.uint8).reshape(-1)
    total = np.zeros((6, 64), np.int32)
    run(a.reshape(-1), packed, total.reshape(-1), k)
    np.testing.assert_array_equal(total[:, :n], a.astype(np.int32) @ b.astype(np.int32).T)
