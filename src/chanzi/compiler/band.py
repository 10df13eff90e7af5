"""Banding: narrow depthwise convolutions made as wide as the vector unit.

A depthwise convolution of 32 channels uses 32 of 96 lanes. Cut the map into three bands of columns and lay the bands
side by side as channels, and all lanes work: the same instruction over a third of the columns, its weights repeated.

    columns   0 .. 37 | 38 .. 75 | 76 .. 111        pixel x' of the banded map: [band 0 | band 1 | band 2]

Nothing is copied for it. The convolution that makes the map computes each band's columns (with the neighbours that the
kernel reaches over) straight into its place; a 1x1 convolution that reads the result is banded too, its filters
repeated along the diagonal, which also fills the array; the 1x1 convolutions after that each take one band as a slice
of channels and write their columns of a plain map.

1. producer -> depthwise -> one 1x1 convolution -> 1x1 convolutions: banded up to the last.
2. producer -> depthwise -> 1x1 convolutions: banded up to the depthwise.

Refused: maps with other readers, dilation, residuals inside, channels that are no whole number of atoms, fewer than
two bands.
"""

import dataclasses
from typing import Any

import numpy as np

from chanzi.chip.chip import Core
from chanzi.compiler.fuse import is_depthwise
from chanzi.compiler.ir import Item, Node
from chanzi.graph.ops import Concat, Const, Conv, Graph, Quant, Slice, Tensor


@dataclasses.dataclass(frozen=True, slots=True)
class _Bands:
    """`count` bands of `width` output columns; band i has the columns from ``i * width`` on."""

    count: int
    width: int
    total: int

    def columns(self, i: int) -> int:
        return min(self.width, self.total - i * self.width)


def band(graph: Graph, items: tuple[Item, ...], core: Core) -> tuple[Item, ...]:
    """Return the items with narrow depthwise convolutions banded where everything around them allows it."""
    for item in items:
        if isinstance(item, Node) and isinstance(item.op, Conv) and is_depthwise(item.op):
            changed = _try(graph, items, item, core)
            if changed is not None:
                return band(graph, changed, core)
    return items


def _readers(graph: Graph, items: tuple[Item, ...], tensor: Tensor) -> list[Item | None]:
    found: list[Item | None] = [item for item in items for x in item.inputs if x.name == tensor.name]
    return found + [None for y in graph.outputs if y.name == tensor.name]


def _pointwise(item: Item | None, x: Tensor) -> bool:
    if not isinstance(item, Node) or not isinstance(item.op, Conv) or item.op.x.name != x.name:
        return False
    op = item.op
    plain = op.groups == 1 and op.strides == (1, 1) and op.pads == (0, 0, 0, 0) and not op.transposed
    return plain and op.weight.shape[1:3] == (1, 1) and (item.residual is None or item.residual.name != x.name)


def _try(graph: Graph, items: tuple[Item, ...], node: Node, core: Core) -> tuple[Item, ...] | None:
    op = node.op
    assert isinstance(op, Conv)
    channels = op.x.shape[2]
    count = core.lanes // channels
    width = op.y.shape[1]
    if count < 2 or channels % core.atom_bytes or op.dilations != (1, 1) or width < 8 * count:
        return None
    made = next((item for item in items if item.y.name == op.x.name), None)
    if not isinstance(made, Node) or not isinstance(made.op, Conv) or is_depthwise(made.op) or made.op.groups != 1:
        return None
    if made.op.transposed or made.residual is not None or len(_readers(graph, items, op.x)) != 1:
        return None
    readers = _readers(graph, items, node.y)
    if not readers or not all(_pointwise(r, node.y) for r in readers):
        return None
    bands = _Bands(count, -(-width // count), width)
    wide = _banded_depthwise(node, made, bands)
    replaced: dict[str, list[Item]] = {made.y.name: wide[:-1], node.y.name: [wide[-1]]}
    result = wide[-1].y
    first = readers[0]
    after: list[Item | None] = readers
    inner = channels
    if len(readers) == 1 and isinstance(first, Node) and first.residual is None:
        assert isinstance(first.op, Conv)
        later = _readers(graph, items, first.y)
        narrow = first.op.weight.shape[0]
        if later and narrow % core.atom_bytes == 0 and all(_pointwise(r, first.y) for r in later):
            diagonal = _banded_pointwise(first, result, bands)
            replaced[first.y.name] = [diagonal]
            result, after, inner = diagonal.y, later, narrow
    for reader in after:
        assert isinstance(reader, Node)
        replaced[reader.y.name] = _unbanded(reader, result, bands, inner)
    return tuple(new for item in items for new in replaced.get(item.y.name, [item]))


def _zeros(name: str, height: int, width: int, channels: int, quant: Quant) -> Const:
    kind = np.int8 if quant.dtype == "int8" else np.uint8
    value = np.full((height, width, channels), quant.zero, kind)
    return Const(name=name, y=Tensor(name=name, shape=(height, width, channels), quant=quant), value=value)


def _concat(name: str, xs: list[Tensor], axis: int) -> Concat:
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    y = Tensor(name=name, shape=(shape[0], shape[1], shape[2]), quant=xs[0].quant)
    return Concat(name=name, xs=tuple(xs), y=y, axis=axis, tables=(None,) * len(xs))


def _part(node: Node, y: Tensor, op: Conv, **changes: Any) -> Node:
    return dataclasses.replace(node, name=y.name, y=y, op=op, part_of=node.part_of or node.name, **changes)


def _tiled(op: Conv, count: int) -> dict[str, Any]:
    return {
        "weight_scale": np.tile(op.weight_scale, count),
        "bias": None if op.bias is None else np.tile(op.bias, count),
    }


def _banded_depthwise(node: Node, made: Node, bands: _Bands) -> list[Item]:
    """Return the producer once for each band, what joins them, and the depthwise convolution over all lanes."""
    op, producer = node.op, made.op
    assert isinstance(op, Conv)
    assert isinstance(producer, Conv)
    height, width, channels = op.x.shape
    kw = op.weight.shape[2]
    step, left = op.strides[1], op.pads[1]
    reach = (bands.width - 1) * step + kw
    items: list[Item] = []
    joined: list[Tensor] = []
    for i in range(bands.count):
        start = i * bands.width * step - left
        first, last = max(start, 0), min(start + reach, width)
        pieces: list[Tensor] = []
        if first > start:
            zeros = _zeros(f"{op.x.name}#left{i}", height, first - start, channels, op.x.quant)
            items.append(zeros)
            pieces.append(zeros.y)
        y = dataclasses.replace(made.y, name=f"{made.y.name}#band{i}", shape=(height, last - first, channels))
        items.append(_part(made, y, dataclasses.replace(producer, y=y), columns=(first, last)))
        pieces.append(y)
        if start + reach > last:
            zeros = _zeros(f"{op.x.name}#right{i}", height, start + reach - last, channels, op.x.quant)
            items.append(zeros)
            pieces.append(zeros.y)
        if len(pieces) > 1:
            items.append(_concat(f"{op.x.name}#columns{i}", pieces, 1))
            joined.append(items[-1].y)
        else:
            joined.append(y)
    bundle = _concat(f"{op.x.name}#bands", joined, 2)
    items.append(bundle)
    shape = (op.y.shape[0], bands.width, bands.count * channels)
    y = dataclasses.replace(op.y, name=f"{op.y.name}#bands", shape=shape)
    wide = dataclasses.replace(
        op,
        x=bundle.y,
        y=y,
        weight=np.tile(op.weight, (bands.count, 1, 1, 1)),
        pads=(op.pads[0], 0, op.pads[2], 0),
        groups=bands.count * channels,
        **_tiled(op, bands.count),
    )
    items.append(_part(node, y, wide))
    return items


def _banded_pointwise(node: Node, x: Tensor, bands: _Bands) -> Node:
    """Return the 1x1 convolution with its filters repeated along the diagonal."""
    op = node.op
    assert isinstance(op, Conv)
    out, _, _, inside = op.weight.shape
    weight = np.full((bands.count * out, 1, 1, bands.count * inside), op.weight_zero, op.weight.dtype)
    for i in range(bands.count):
        weight[i * out : (i + 1) * out, :, :, i * inside : (i + 1) * inside] = op.weight
    y = dataclasses.replace(op.y, name=f"{op.y.name}#bands", shape=(op.y.shape[0], bands.width, bands.count * out))
    return _part(node, y, dataclasses.replace(op, x=x, y=y, weight=weight, **_tiled(op, bands.count)))


def _unbanded(node: Node, x: Tensor, bands: _Bands, channels: int) -> list[Item]:
    """Return a 1x1 convolution for each band, reading its channels, writing its columns."""
    op = node.op
    assert isinstance(op, Conv)
    height = op.y.shape[0]
    items: list[Item] = []
    parts: list[Tensor] = []
    for i in range(bands.count):
        n = bands.columns(i)
        if n <= 0:
            continue
        source = Tensor(name=f"{x.name}#{node.y.name}{i}", shape=(height, n, channels), quant=x.quant)
        items.append(
            Slice(
                name=source.name,
                x=x,
                y=source,
                starts=(0, 0, i * channels),
                ends=(height, n, (i + 1) * channels),
            )
        )
        y = dataclasses.replace(node.y, name=f"{node.y.name}#columns{i}", shape=(height, n, node.y.shape[2]))
        mine = dataclasses.replace(op.y, name=y.name, shape=y.shape)
        changes: dict[str, Any] = {}
        if node.residual is not None:
            r = node.residual
            residual = dataclasses.replace(r, name=f"{r.name}#{node.y.name}{i}", shape=y.shape)
            at = i * bands.width
            items.append(
                Slice(name=residual.name, x=r, y=residual, starts=(0, at, 0), ends=(height, at + n, r.shape[2]))
            )
            changes["residual"] = residual
        items.append(_part(node, y, dataclasses.replace(op, x=source, y=mine), **changes))
        parts.append(y)
    joined = _concat(node.y.name, parts, 1)
    items.append(dataclasses.replace(joined, y=node.y))
    return items
