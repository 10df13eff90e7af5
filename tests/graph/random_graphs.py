"""Random sound graphs: every operator, every attribute, tensors read more than once, several outputs."""

import numpy as np

from chanzi.graph.ops import (
    Binary,
    Concat,
    Const,
    Conv,
    Graph,
    Lookup,
    MatMul,
    Op,
    Pad,
    Permute,
    Pool,
    Quant,
    Resize,
    Slice,
    Softmax,
    Tensor,
)

LARGEST_SIDE = 24
LARGEST_DEPTH = 64


class Builder:
    """Grows a graph from one input; each method named after a kind returns the operator it made, or None."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.ops: list[Op] = []
        self.count = 0
        shape = (self.pick(3, 14), self.pick(3, 14), self.of(1, 3, 4, 5, 8, 16, 20))
        self.x = self.tensor(shape)
        self.tensors = [self.x]

    def pick(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def of(self, *choices):
        return choices[int(self.rng.integers(len(choices)))]

    def quant(self, low=-6.0, high=-2.0) -> Quant:
        dtype = self.of("int8", "uint8")
        zero = self.of(0, self.pick(-128, 127)) + (128 if dtype == "uint8" else 0)
        return Quant(scale=float(np.float32(2 ** self.rng.uniform(low, high))), zero=zero, dtype=dtype)

    def tensor(self, shape, quant=None) -> Tensor:
        self.count += 1
        return Tensor(name=f"t{self.count}", shape=shape, quant=quant or self.quant())

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.ops)}"

    def table(self):
        return self.rng.integers(0, 256, 256).astype(np.uint8)

    def like(self, keep) -> Tensor | None:
        found = [t for t in self.tensors if keep(t)]
        return self.of(*found) if found else None

    def conv(self, x: Tensor) -> Conv | None:
        c = x.shape[2]
        kind = self.of("dense", "dense", "depthwise", "groups", "multiplied")
        groups = {"dense": 1, "groups": 2, "depthwise": c, "multiplied": c}[kind]
        if c % groups:
            return None
        outputs = {
            "dense": self.of(4, 10, 16, 24, 40),
            "groups": 2 * self.pick(1, 9),
            "depthwise": c,
            "multiplied": 2 * c,
        }
        out = outputs[kind]
        kernel, strides = (self.pick(1, 3), self.pick(1, 3)), (self.pick(1, 2), self.pick(1, 2))
        dilations = (self.pick(1, 2), self.pick(1, 2))
        pads = tuple(int(p) for p in self.rng.integers(0, 3, 4))
        size = [
            (x.shape[i] + pads[i] + pads[i + 2] - (kernel[i] - 1) * dilations[i] - 1) // strides[i] + 1 for i in (0, 1)
        ]
        if min(size) < 1 or out > LARGEST_DEPTH:
            return None
        return self._finished_conv(x, (*size, out), kernel, strides, pads, dilations, groups)

    def deconv(self, x: Tensor) -> Conv | None:
        kernel, strides = (self.pick(1, 4), self.pick(1, 4)), (self.pick(1, 3), self.pick(1, 3))
        pads = tuple(int(p) for p in self.rng.integers(0, 2, 4))
        size = [(x.shape[i] - 1) * strides[i] + kernel[i] - pads[i] - pads[i + 2] for i in (0, 1)]
        if min(size) < 1 or max(size) > LARGEST_SIDE:
            return None
        return self._finished_conv(x, (*size, self.of(5, 16)), kernel, strides, pads, (1, 1), 1, transposed=True)

    def _finished_conv(self, x, shape, kernel, strides, pads, dilations, groups, transposed=False) -> Conv:
        out, inner = shape[2], x.shape[2] // groups
        signed = self.rng.random() < 0.8
        weight = self.rng.integers(-127, 128, (out, *kernel, inner)).astype(np.int8)
        if not signed:
            weight = self.rng.integers(0, 256, weight.shape).astype(np.uint8)
        tabled = self.rng.random() < 0.3
        return Conv(
            name=self.name("conv"),
            x=x,
            y=self.tensor(shape),
            weight=weight,
            weight_scale=(2 ** self.rng.uniform(-9, -6, out)).astype(np.float32),
            weight_zero=0 if signed else 128,
            bias=self.of(None, self.rng.integers(-3000, 3000, out).astype(np.int32)),
            strides=strides,
            pads=pads,
            dilations=dilations,
            groups=groups,
            transposed=transposed,
            table=self.table() if tabled else None,
            mid=self.quant() if tabled and self.rng.random() < 0.7 else None,
        )

    def matmul(self, x: Tensor) -> MatMul | None:
        batch, m, k = x.shape
        turned = bool(self.pick(0, 1))
        b = self.like(lambda t: t.shape[0] == batch and t.shape[2 if turned else 1] == k)
        if b is None:
            return None
        y = self.tensor((batch, m, b.shape[1 if turned else 2]), self.quant(-2, 2))
        return MatMul(name=self.name("matmul"), a=x, b=b, y=y, b_transposed=turned)

    def pool(self, x: Tensor) -> Pool | None:
        kind = self.of("max", "avg")
        if self.rng.random() < 0.3:
            y = self.tensor((1, 1, x.shape[2]), x.quant if kind == "max" else None)
            return Pool(name=self.name("pool"), kind=kind, x=x, y=y, kernel=x.shape[:2])
        kernel, strides = (self.pick(1, 3), self.pick(1, 3)), (self.pick(1, 2), self.pick(1, 2))
        pads = tuple(self.pick(0, kernel[i % 2] - 1) for i in range(4))
        size = [(x.shape[i] + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i in (0, 1)]
        if min(size) < 1 or any((size[i] - 1) * strides[i] - pads[i] >= x.shape[i] for i in (0, 1)):
            return None
        return Pool(
            name=self.name("pool"),
            kind=kind,
            x=x,
            y=self.tensor((*size, x.shape[2]), x.quant if kind == "max" else None),
            kernel=kernel,
            strides=strides,
            pads=pads,
            count_include_pad=bool(self.pick(0, 1)) and kind == "avg",
        )

    def binary(self, x: Tensor) -> Binary | None:
        b = self.like(lambda t: all(n in (1, m) for n, m in zip(t.shape, x.shape, strict=True)))
        if b is None:
            return None
        tabled = self.rng.random() < 0.2
        return Binary(
            name=self.name("binary"),
            kind=self.of("add", "mul"),
            a=x,
            b=b,
            y=self.tensor(x.shape),
            table=self.table() if tabled else None,
            mid=self.quant() if tabled else None,
        )

    def const(self, x: Tensor) -> Const:
        shape = self.of(x.shape, (1, 1, x.shape[2]), (1, 1, 1))
        y = self.tensor(shape)
        value = self.rng.integers(y.quant.qmin, y.quant.qmax + 1, shape).astype(y.quant.dtype)
        return Const(name=self.name("const"), y=y, value=value)

    def lookup(self, x: Tensor) -> Lookup:
        return Lookup(name=self.name("lookup"), kind="any", x=x, y=self.tensor(x.shape), table=self.table())

    def concat(self, x: Tensor) -> Concat | None:
        axis = self.pick(0, 2)
        others = [axis_ for axis_ in range(3) if axis_ != axis]
        xs = [x]
        for _ in range(self.pick(1, 2)):
            found = self.like(lambda t: all(t.shape[i] == x.shape[i] for i in others))
            xs += [found] if found is not None else []
        shape = list(x.shape)
        shape[axis] = sum(t.shape[axis] for t in xs)
        if shape[axis] > LARGEST_DEPTH:
            return None
        y = self.tensor(tuple(shape))
        return Concat(name=self.name("concat"), xs=tuple(xs), y=y, axis=axis, tables=tuple(self.table() for _ in xs))

    def slice(self, x: Tensor) -> Slice:
        starts = tuple(self.pick(0, d - 1) for d in x.shape)
        ends = tuple(self.pick(s + 1, d) for s, d in zip(starts, x.shape, strict=True))
        y = self.tensor(tuple(e - s for s, e in zip(starts, ends, strict=True)), x.quant)
        return Slice(name=self.name("slice"), x=x, y=y, starts=starts, ends=ends)

    def permute(self, x: Tensor) -> Permute:
        order = self.rng.permutation(x.shape[2]).astype(np.int64)
        return Permute(name=self.name("permute"), x=x, y=self.tensor(x.shape, x.quant), order=order)

    def pad(self, x: Tensor) -> Pad:
        top, left, bottom, right = pads = tuple(self.pick(0, 2) for _ in range(4))
        h, w, c = x.shape
        y = self.tensor((h + top + bottom, w + left + right, c), x.quant)
        return Pad(name=self.name("pad"), x=x, y=y, pads=pads, value=self.pick(x.quant.qmin, x.quant.qmax))

    def resize(self, x: Tensor) -> Resize | None:
        kind = self.of("nearest", "linear")
        factors = (self.pick(1, 3), self.pick(1, 3))
        h, w, c = x.shape
        if h * factors[0] > LARGEST_SIDE or w * factors[1] > LARGEST_SIDE:
            return None
        table = self.table() if kind == "nearest" and self.rng.random() < 0.5 else None
        y = self.tensor((h * factors[0], w * factors[1], c), None if table is not None or kind == "linear" else x.quant)
        half = bool(self.pick(0, 1))
        return Resize(name=self.name("resize"), kind=kind, x=x, y=y, factors=factors, half_pixel=half, table=table)

    def softmax(self, x: Tensor) -> Softmax:
        quant = self.quant()
        y = Quant(scale=1 / 256, zero=quant.qmin, dtype=quant.dtype)
        return Softmax(name=self.name("softmax"), x=x, y=self.tensor(x.shape, y))


KINDS = (
    *("conv",) * 5,
    *("deconv", "matmul", "pool", "pool", "binary", "binary", "const", "lookup", "concat", "concat"),
    *("slice", "permute", "pad", "resize", "softmax"),
)


def random_graph(seed: int, most: int = 8) -> Graph:
    """Return a sound graph of up to `most` operators."""
    builder = Builder(seed)
    for _ in range(4 * most):
        recent = builder.tensors[-3:]
        op = getattr(builder, builder.of(*KINDS))(builder.of(*recent))
        if op is None:
            continue
        builder.ops.append(op)
        builder.tensors.append(op.y)
        if len(builder.ops) >= builder.pick(1, most):
            break
    ops = _without_loose_constants(builder.ops) or [builder.lookup(builder.x)]
    read = {x.name for op in ops for x in op.inputs}
    outputs = [op.y for op in ops if op.y.name not in read and not isinstance(op, Const)]
    made = [op.y for op in ops if not isinstance(op, Const)]
    if builder.rng.random() < 0.3:
        extra = made[builder.pick(0, len(made) - 1)]
        outputs += [extra] if extra not in outputs else []
    return Graph(name=f"random{seed}", inputs=(builder.x,), outputs=tuple(outputs), ops=tuple(ops))


def _without_loose_constants(ops: list[Op]) -> list[Op]:
    read = {x.name for op in ops for x in op.inputs}
    kept = [op for op in ops if not isinstance(op, Const) or op.y.name in read]
    return kept if any(not isinstance(op, Const) for op in kept) else []


def random_inputs(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Return random bytes for every input."""
    rng = np.random.default_rng(seed)
    return {t.name: rng.integers(t.quant.qmin, t.quant.qmax + 1, t.shape).astype(t.quant.dtype) for t in graph.inputs}
