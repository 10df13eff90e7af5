"""Program files: damage is found by the hashes; a file resealed with right hashes must be legal or refused."""

import random

import mutate
import numpy as np

from chanzi.chip import load_chip
from chanzi.compiler.pipeline import compile_graph
from chanzi.graph.ops import Binary, Conv, Graph, Pool, Quant, Tensor
from chanzi.program import container
from chanzi.program.model import Binding, ChipStep, CompiledModel, TensorInfo
from chanzi.program.sections import pack
from chanzi.program.verify import verify
from chanzi.sim.timing import simulate

_MAX_CYCLES = 300_000


def _graph() -> Graph:
    rng = np.random.default_rng(5)
    q = [Quant(scale=0.02 + 0.01 * i, zero=3 * i, dtype="uint8") for i in range(5)]
    shapes = [(8, 8, 3), (8, 8, 16), (8, 8, 16), (8, 8, 16), (4, 4, 16)]
    t = [Tensor(name=f"t{i}", shape=shape, quant=q[i]) for i, shape in enumerate(shapes)]
    t[4] = Tensor(name="t4", shape=(4, 4, 16), quant=q[3])

    def conv(name: str, x: Tensor, y: Tensor, kernel: int, groups: int) -> Conv:
        shape = (y.shape[2], kernel, kernel, x.shape[2] // groups)
        return Conv(
            name=name,
            x=x,
            y=y,
            weight=rng.integers(-127, 128, shape).astype(np.int8),
            weight_scale=rng.uniform(0.001, 0.01, y.shape[2]).astype(np.float32),
            bias=rng.integers(-500, 500, y.shape[2]).astype(np.int32),
            pads=(kernel // 2,) * 4,
            groups=groups,
        )

    ops = (
        conv("first", t[0], t[1], 3, 1),
        conv("depthwise", t[1], t[2], 3, 16),
        Binary(name="sum", kind="add", a=t[1], b=t[2], y=t[3]),
        Pool(name="pool", kind="max", x=t[3], y=t[4], kernel=(2, 2), strides=(2, 2)),
    )
    return Graph(name="small", inputs=(t[0],), outputs=(t[4],), ops=ops)


def _model() -> CompiledModel:
    compiled = compile_graph(_graph(), load_chip("chanzi-16"))
    step = ChipStep(
        segment=compiled.segment,
        inputs=(Binding(tensor="x", port="t0", shape=(1, 3, 8, 8), perm=(0, 2, 3, 1)),),
        outputs=(Binding(tensor="y", port="t4", shape=(1, 16, 4, 4), perm=(0, 2, 3, 1)),),
    )
    return CompiledModel(
        name="small",
        chip=compiled.chip,
        options=compiled.options,
        inputs=(TensorInfo(name="x", type="tensor(float)", shape=(1, 3, 8, 8), frame=(1, 3, 8, 8)),),
        outputs=(TensorInfo(name="y", type="tensor(float)", shape=(1, 16, 4, 4), frame=(1, 16, 4, 4)),),
        steps=(step,),
    )


def sealed(sections: dict[str, bytes]) -> bytes:
    """Return a whole file with right hashes over these sections."""
    head, offsets = pack(sections)
    out = bytearray(head)
    for offset, data in zip(offsets, sections.values(), strict=True):
        out += bytes(offset - len(out)) + data
    return bytes(out)


_SECTIONS = {name: bytes(data) for name, data in container.to_sections(_model()).items()}
_GOOD = sealed(_SECTIONS)
_INPUT = np.random.default_rng(6).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
_CODE = [name for name in _SECTIONS if "/core" in name]


def make(rng: random.Random) -> bytes:
    """Return a damaged file, or one whose sections were spoiled and sealed again."""
    if rng.random() < 0.25:
        return mutate.spoil(_GOOD, rng, text=False)
    sections = dict(_SECTIONS)
    name = rng.choice((*_CODE, *_CODE, *_CODE, "meta.json", "meta.json", "chip.toml", "s0/image", *sections))
    if name in _CODE and rng.random() < 0.8:
        sections[name] = _spoiled_code(sections[name], rng)
    else:
        sections[name] = mutate.spoil(sections[name], rng, text=name.endswith((".json", ".toml")))
    if rng.random() < 0.05:
        del sections[rng.choice(list(sections))]
    return sealed(sections)


def _spoiled_code(code: bytes, rng: random.Random) -> bytes:
    """Change a few fields of a few instructions, where the decoder will take what stands there."""
    out = bytearray(code)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out) // 256) * 256 + rng.choice((1, 2, 3, *range(4, 240, 2)))
        size = rng.choice((1, 2, 4))
        value = rng.choice((0, 1, 2, 255, 2 ** (8 * size - 1), 2 ** (8 * size) - 1, rng.getrandbits(8 * size)))
        if rng.random() < 0.3:  # near what was there
            value = max(0, int.from_bytes(out[at : at + size], "little") + rng.choice((-1, 1, 16, -16)))
        out[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")
    return bytes(out)


def check(data: bytes) -> None:
    """Read, verify and run; both simulators must agree on whatever is accepted."""
    from chanzi.runtime.execute import Executor

    model = container.parse(data)
    verify(model)
    cycles = sum(simulate(model.chip, step.segment).cycles for step in model.chip_steps)
    if cycles > _MAX_CYCLES:
        return  # legal, and longer than a fuzzer waits
    info = model.inputs[0]
    feed = {info.name: np.resize(_INPUT, info.frame or _INPUT.shape)} if model.inputs else {}
    names = [output.name for output in model.outputs]
    results = [next(iter(Executor(model, sim).run([feed], names))) for sim in ("reference", "fast")]
    for name in names:
        np.testing.assert_array_equal(results[0][name], results[1][name])
