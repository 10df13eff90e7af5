"""How many operands the hardware's float32 blocks were given, and how many results differ from NumPy's.

python bench/float_lanes.py [--pairs 10000000] [--stages 2]     prints a table; several minutes
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from chanzi.flow.module import model
from chanzi.isa.pipeline import pipeline
from chanzi.numerics.fused import fma
from chanzi.rtl import float32

Bits = npt.NDArray[np.uint32]
CHUNK = 1 << 20


def operands(rng: np.random.Generator, n: int) -> Bits:
    """Return bits of floats: any; of similar size; with few bits of mantissa; subnormal."""
    anything = rng.integers(0, 1 << 32, n, dtype=np.uint32)
    near = (rng.integers(110, 145, n) << 23).astype(np.uint32) | (anything & np.uint32(0x807FFFFF))
    choices = [anything, near, anything & np.uint32(0xFFFF0000), anything & np.uint32(0x807FFFFF)]
    return np.choose(rng.integers(0, 4, n), choices).astype(np.uint32)


def differences(got: Bits, wanted: npt.NDArray[np.float32]) -> int:
    """Return how many bits patterns differ; any NaN equals any other."""
    same = (got == wanted.view(np.uint32)) | (np.isnan(wanted) & np.isnan(got.view(np.float32)))
    return int((~same).sum())


def as_float(bits: Bits) -> npt.NDArray[np.float32]:
    """Return the floats of these bits."""
    return bits.view(np.float32)


def integers(rng: np.random.Generator, n: int, bits: int) -> npt.NDArray[np.int64]:
    """Return signed integers of so many bits, of all sizes."""
    return rng.integers(-(1 << bits - 1), 1 << bits - 1, n) >> rng.integers(0, bits, n)


def cases(stages: int) -> dict[str, tuple[Callable[[], object], int, Callable]]:
    """Return name -> (block, latency, function that draws inputs and the expected result)."""

    def two(function: Callable) -> Callable:
        def draw(rng: np.random.Generator, n: int) -> tuple[dict, npt.NDArray[np.float32]]:
            x, y = operands(rng, n), operands(rng, n)
            return {"x": x, "y": y}, function(as_float(x), as_float(y))

        return draw

    def added(rng: np.random.Generator, n: int) -> tuple[dict, npt.NDArray[np.float32]]:
        x, z = operands(rng, n), operands(rng, n)
        return {"x": x, "y": np.ones(n, np.uint8), "z": z}, as_float(x) + as_float(z)

    def fused(bits: int) -> Callable:
        def draw(rng: np.random.Generator, n: int) -> tuple[dict, npt.NDArray[np.float32]]:
            x, y, z = operands(rng, n), integers(rng, n, bits), operands(rng, n)
            near = rng.random(n) < 0.3
            opposite = (-(as_float(x) * y.astype(np.float32))).view(np.uint32) + rng.integers(0, 3, n).astype(np.uint32)
            z = np.where(near, opposite, z).astype(np.uint32)
            return {"x": x, "y": y & ((1 << bits) - 1), "z": z}, fma(as_float(x), y.astype(np.float32), as_float(z))

        return draw

    def converted(rng: np.random.Generator, n: int) -> tuple[dict, npt.NDArray[np.float32]]:
        value = integers(rng, n, 32)
        return {"value": value & 0xFFFFFFFF}, value.astype(np.float32)

    depth = pipeline(stages)
    return {
        "multiply": (lambda: float32.Multiply(stages), depth.multiply, two(np.multiply)),
        "divide": (lambda: float32.Divide(stages), depth.divide, two(np.divide)),
        "add": (lambda: float32.MultiplyAdd(2, stages), depth.multiply_add, added),
        "multiply-add, 9-bit factor": (lambda: float32.MultiplyAdd(9, stages), depth.multiply_add, fused(9)),
        "multiply-add, 19-bit factor": (lambda: float32.MultiplyAdd(19, stages), depth.multiply_add, fused(19)),
        "from int32": (lambda: float32.FromInt(32, stages), depth.from_int, converted),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--stages", type=int, default=1, choices=(1, 2), help="cycles of each step")
    given = parser.parse_args()
    pairs = given.pairs
    print(f"{'block':30} {'operands':>12} {'differences':>12} {'seconds':>8}")
    for name, (block, latency, draw) in cases(given.stages).items():
        dut, rng, wrong, done, start = model(block()), np.random.default_rng(2026), 0, 0, time.perf_counter()
        while done < pairs:
            n = min(CHUNK, pairs - done)
            with np.errstate(all="ignore"):
                inputs, wanted = draw(rng, n)
            padded = {k: np.concatenate([v, np.zeros(latency, v.dtype)]) for k, v in inputs.items()}
            got = dut.stream(padded, ["bits"])["bits"][latency:].astype(np.uint32)
            wrong, done = wrong + differences(got, wanted), done + n
        print(f"{name:30} {done:12,} {wrong:12,} {time.perf_counter() - start:8.1f}", flush=True)


if __name__ == "__main__":
    main()
