"""Channel blocks: small maps that array and vector unit work on at the same time.

A map of 7x7 or 14x14 pixels is one or two tiles tall, too few to pass it on line by line. It is passed on channel by
channel instead: the convolution before a depthwise one is cut into blocks of filters, each with a storage of its own,
so that the vector unit works on one block while the array makes the next. The blocks of the depthwise result lie side
by side in one map again (nothing is copied), for the convolution that reads all channels.

1. dense convolution -> depthwise convolution, nothing else reads the map between, at most `TILES` tiles of pixels.
Refused: grouped or transposed producers, residuals, channels that do not fill two blocks.
"""

import dataclasses
import itertools

from chanzi.chip.chip import Core
from chanzi.compiler.fuse import is_depthwise
from chanzi.compiler.ir import Item, Node
from chanzi.graph.ops import Concat, Conv, Graph, Tensor

TILES = 3
BLOCKS = 5


def channel_blocks(graph: Graph, items: tuple[Item, ...], core: Core) -> tuple[Item, ...]:
    """Return the items with such pairs cut into blocks of channels."""
    made = {item.y.name: item for item in items}
    readers: dict[str, int] = {y.name: 1 for y in graph.outputs}
    for item in items:
        for x in item.inputs:
            readers[x.name] = readers.get(x.name, 0) + 1
    dropped: set[str] = set()
    replaced: dict[str, list[Item]] = {}
    for item in items:
        if not isinstance(item, Node) or not isinstance(item.op, Conv) or not is_depthwise(item.op):
            continue
        producer = made.get(item.op.x.name)
        if isinstance(producer, Node) and _fits(producer, item, core) and readers[producer.y.name] == 1:
            dropped.add(producer.y.name)
            replaced[item.y.name] = _cut(producer, item, core)
    return tuple(new for item in items if item.y.name not in dropped for new in replaced.get(item.y.name, [item]))


def _fits(producer: Node, node: Node, core: Core) -> bool:
    op = producer.op
    if not isinstance(op, Conv) or op.groups != 1 or op.transposed or producer.residual is not None:
        return False
    if producer.part_of or node.part_of:  # banded already
        return False
    height, width, channels = producer.y.shape
    return height * width <= TILES * core.dim and channels >= 2 * core.lanes


def _bounds(channels: int, core: Core) -> list[tuple[int, int]]:
    """Return blocks of whole array widths."""
    tiles = -(-channels // core.dim)
    count = min(BLOCKS, tiles)
    cuts = [tiles * i // count * core.dim for i in range(count)] + [channels]
    return [(a, b) for a, b in itertools.pairwise(cuts) if a < b]


def _cut(producer: Node, node: Node, core: Core) -> list[Item]:
    dense, depthwise = producer.op, node.op
    assert isinstance(dense, Conv)
    assert isinstance(depthwise, Conv)
    items: list[Item] = []
    parts: list[Tensor] = []
    for first, end in _bounds(producer.y.shape[2], core):
        n = end - first
        middle = dataclasses.replace(producer.y, name=f"{producer.y.name}#{first}", shape=(*producer.y.shape[:2], n))
        y = dataclasses.replace(node.y, name=f"{node.y.name}#{first}", shape=(*node.y.shape[:2], n))
        items.append(_some(producer, dense, dense.x, middle, first, end))
        items.append(_some(node, depthwise, middle, y, first, end, groups=n))
        parts.append(y)
    items.append(Concat(name=node.y.name, xs=tuple(parts), y=node.y, axis=2, tables=(None,) * len(parts)))
    return items


def _some(node: Node, op: Conv, x: Tensor, y: Tensor, first: int, end: int, groups: int = 1) -> Node:
    """Return the node with filters first .. end only."""
    part = dataclasses.replace(
        op,
        x=x,
        y=y,
        weight=op.weight[first:end],
        weight_scale=op.weight_scale[first:end],
        bias=None if op.bias is None else op.bias[first:end],
        groups=groups,
    )
    return dataclasses.replace(node, name=y.name, y=y, op=part, part_of=node.name)
