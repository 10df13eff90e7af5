"""Float32 blocks against NumPy: special values crossed, ties, subnormals, random operands; not a bit may differ."""

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from chanzi.flow.module import model
from chanzi.isa.pipeline import pipeline
from chanzi.numerics.fused import add_values, fma
from chanzi.numerics.requantize import mul_values, round_clip
from chanzi.rtl import float32, lane

Bits = npt.NDArray[np.uint32]
SPECIAL = np.array(
    [
        0,
        1,
        2,
        0x7FFFFF,
        0x800000,
        0x800001,
        0x3F000000,
        0x3F800000,
        0x3F800001,
        0x3FC00000,
        0x40200000,
        0x4B000000,
        0x4B7FFFFF,
        0x7F7FFFFF,
        0x7F800000,
        0x7FC00000,
        0x7F800001,
        0x00FFFFFF,
        0x33800000,
        0x34000000,
        0x41BC0000,
    ],
    np.uint32,
)
SPECIAL = np.concatenate([SPECIAL, SPECIAL | 0x80000000])
N = 60_000


def random_bits(rng: np.random.Generator, n: int) -> Bits:
    """Return bits of floats of all sizes: any, near one another, with few mantissa bits."""
    anything = rng.integers(0, 1 << 32, n, dtype=np.uint32)
    near = (rng.integers(110, 145, n) << 23 | rng.integers(0, 1 << 23, n) | rng.integers(0, 2, n) << 31).astype(
        np.uint32
    )
    short = anything & np.uint32(0xFFFF0000)
    kind = rng.integers(0, 3, n)
    return np.where(kind == 0, anything, np.where(kind == 1, near, short)).astype(np.uint32)


def pairs(rng: np.random.Generator, n: int) -> tuple[Bits, Bits]:
    """Return operands: all pairs of special values, then random ones."""
    x, y = (a.ravel() for a in np.meshgrid(SPECIAL, SPECIAL))
    return np.concatenate([x, random_bits(rng, n)]), np.concatenate([y, random_bits(rng, n)])


def same(got: Bits, wanted: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return where bits are equal; any NaN equals any other."""
    return (got == wanted.view(np.uint32)) | (np.isnan(wanted) & np.isnan(got.view(np.float32)))


def run(design: object, inputs: dict[str, np.ndarray], output: str, latency: int) -> np.ndarray:
    """Return what comes out for each row of the inputs."""
    n = len(next(iter(inputs.values())))
    padded = {name: np.concatenate([v, np.zeros(latency, v.dtype)]) for name, v in inputs.items()}
    return model(design).stream(padded, [output])[output][latency : latency + n]


@pytest.mark.parametrize("stages", [1, 2])
def test_multiply_and_divide(stages: int) -> None:
    x, y = pairs(np.random.default_rng(1), N)
    with np.errstate(all="ignore"):
        product, quotient = x.view(np.float32) * y.view(np.float32), x.view(np.float32) / y.view(np.float32)
    assert same(run(float32.Multiply(stages), {"x": x, "y": y}, "bits", pipeline(stages).multiply), product).all()
    assert same(run(float32.Divide(stages), {"x": x, "y": y}, "bits", pipeline(stages).divide), quotient).all()


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("bits", [9, 19])
def test_multiply_add(bits: int, stages: int) -> None:
    rng = np.random.default_rng(bits)
    x, z = pairs(rng, N)
    y = rng.integers(-(1 << bits - 1), 1 << bits - 1, len(x))
    y[::5] = 0
    near = rng.random(len(x)) < 0.3  # z close to -x y: cancellation
    with np.errstate(all="ignore"):
        opposite = (-(x.view(np.float32) * y.astype(np.float32))).view(np.uint32) + rng.integers(0, 3, len(x)).astype(
            np.uint32
        )
        z = np.where(near, opposite, z).astype(np.uint32)
        wanted = fma(x.view(np.float32), y.astype(np.float32), z.view(np.float32))
    got = run(
        float32.MultiplyAdd(bits, stages),
        {"x": x, "y": y & ((1 << bits) - 1), "z": z},
        "bits",
        pipeline(stages).multiply_add,
    )
    assert same(got, wanted).all()


@pytest.mark.parametrize("stages", [1, 2])
def test_addition_is_a_fused_multiplication_by_one(stages: int) -> None:
    x, z = pairs(np.random.default_rng(3), N)
    with np.errstate(all="ignore"):
        wanted = x.view(np.float32) + z.view(np.float32)
    got = run(
        float32.MultiplyAdd(2, stages),
        {"x": x, "y": np.ones(len(x), np.uint8), "z": z},
        "bits",
        pipeline(stages).multiply_add,
    )
    assert same(got, wanted).all()


@pytest.mark.parametrize("stages", [1, 2])
def test_from_int(stages: int) -> None:
    rng = np.random.default_rng(4)
    value = rng.integers(-(1 << 31), 1 << 31, N) >> rng.integers(0, 31, N)
    value[:4] = [0, -(1 << 31), (1 << 31) - 1, -1]
    got = run(float32.FromInt(32, stages), {"value": value & 0xFFFFFFFF}, "bits", pipeline(stages).from_int)
    assert same(got, value.astype(np.float32)).all()


@pytest.mark.parametrize("stages", [1, 2])
def test_requantize(stages: int) -> None:
    rng = np.random.default_rng(5)
    acc = rng.integers(-(1 << 31), 1 << 31, N) >> rng.integers(0, 28, N)
    bias = rng.integers(-(1 << 31), 1 << 31, N) >> rng.integers(0, 31, N)
    scale = np.exp2(rng.uniform(-20, 2, N)).astype(np.float32).view(np.uint32)
    scale[::7] = random_bits(rng, len(scale[::7]))
    scale[::3] = np.exp2(rng.integers(-9, 0, len(scale[::3]))).astype(np.float32).view(np.uint32)  # ties
    for zero, low, high in ((3, 0, 255), (-128, -128, 127), (-30000, -5, 100), (200, 7, 7)):
        limits = {k: np.full(N, v & 0xFFFF, np.uint16) for k, v in (("zero", zero), ("low", low), ("high", high))}
        inputs = {"acc": acc & 0xFFFFFFFF, "bias": bias & 0xFFFFFFFF, "scale": scale, **limits}
        dut = model(lane.Requantize(stages))
        for name, value in limits.items():
            dut.set(name, int(value[0]))
        padded = {k: np.concatenate([v, v[:32]]) for k, v in inputs.items()}
        got = dut.stream(padded, ["out"])["out"][pipeline(stages).requantize :][:N]
        total = ((acc + bias + (1 << 31)) % (1 << 32) - (1 << 31)).astype(np.int32)
        with np.errstate(all="ignore"):
            wanted = round_clip(total.astype(np.float32) * scale.view(np.float32), zero, low, high) & 0xFF
        assert (got == wanted).all()


@pytest.mark.parametrize("stages", [1, 2])
def test_combine(stages: int) -> None:
    rng = np.random.default_rng(6)
    dut, constants = model(lane.Combine(stages)), model(lane.CombineConstants(stages))
    for turn in range(24):
        mul, first = turn % 2, turn // 2 % 2
        signed = rng.integers(0, 2, 2)
        x, r = (rng.integers(-128, 128, 4000) if s else rng.integers(0, 256, 4000) for s in signed)
        zeros = [int(rng.integers(-128, 128) if s else rng.integers(0, 256)) for s in signed]
        scales = [np.float32(2.0 ** rng.integers(-4, 0) * (1 + rng.integers(-3, 4) * 2.0**-22)) for _ in range(2)]
        mul_scale, out_zero = np.float32(np.exp2(rng.uniform(-9, -3))), int(rng.integers(-300, 300))
        low, high = [(-128, 127), (0, 255), (5, 90)][turn % 3]
        bits = [int(s.view(np.uint32)) for s in scales]
        for name, value in zip(
            ("scale_x", "scale_r", "x_zero", "r_zero", "first_is_r"), (*bits, *zeros, first), strict=True
        ):
            constants.set(name, value)
        constants.set("out_zero", out_zero)
        constants.set("begin", 1)
        constants.step(1)
        constants.set("begin", 0)
        constants.step(pipeline(stages).constants + 7 * (turn % 5))  # what has come stays
        side = bits if first else bits[::-1]
        factor = int(mul_scale.view(np.uint32))
        given = {"mul": mul, "first_is_r": first, "x_zero": zeros[0], "r_zero": zeros[1], "low": low, "high": high}
        given |= {"inner_x": factor if mul else side[0], "inner_z": 0 if mul else constants.get("offset")}
        given["outer_x"] = constants.get("zero") if mul else side[1]
        for name, value in given.items():
            dut.set(name, value)
        got = dut.stream({k: np.concatenate([v, v[:32]]) & 0x1FF for k, v in (("x", x), ("r", r))}, ["out"])["out"]
        if mul:
            value = mul_values(x, r, scale=mul_scale, zeros=(zeros[0], zeros[1]), zero=out_zero)
        else:
            sides = [(x, scales[0], zeros[0]), (r, scales[1], zeros[1])][:: -1 if first else 1]
            (a, sa, za), (b, sb, zb) = sides
            value = add_values(a, b, scales=(sa, sb), zeros=(za, zb), zero=out_zero)
        wanted = round_clip(value, 0, low, high) & 0xFF
        assert (got[pipeline(stages).combine :][:4000] == wanted).all()
