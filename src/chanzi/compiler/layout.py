"""Layout: where every tensor lies inside which storage.

1. Channel maps. A tensor's channels need not be contiguous: a channel shuffle permutes the map, a slice keeps part of
   it, a concatenation appends maps at atom boundaries. Convolutions gather through their weights, so none of these
   costs a cycle; operators that work channel by channel hand the map on.
2. Repacking. Where two operands' maps differ, or an operator needs contiguous channels, an identity convolution on the
   array brings the channels in order.
3. Concatenation without copies. An input that some node writes is written straight into the result's storage, unless
   that node also reads from that storage (its ports would meet in one bank) or the tensor lies elsewhere already.
4. Stem. A graph input of few channels, read by one convolution alone, is packed so that a window is one run of bytes.
"""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.compiler.fuse import is_depthwise
from chanzi.compiler.ir import Item, Layout, Node, Source, Stem, Storage, View
from chanzi.graph.ops import (
    Binary,
    Concat,
    Const,
    Conv,
    Graph,
    Lookup,
    MatMul,
    Pad,
    Permute,
    Pool,
    Resize,
    Slice,
    Softmax,
    Tensor,
)

Map = npt.NDArray[np.int64]
IDENTITY_TABLE = np.arange(256, dtype=np.uint8)


def round_up(n: int, to: int) -> int:
    """Return the smallest multiple of `to` that is at least n."""
    return -(-n // to) * to


@dataclasses.dataclass(frozen=True, slots=True)
class _Map:
    """Channel offsets inside a slice of `width` bytes that starts at an atom boundary."""

    offsets: Map
    width: int

    def cut(self, atom: int) -> "_Map":
        """Return the map of a new tensor that holds these channels and no more atoms than they touch."""
        low = int(self.offsets.min()) // atom * atom
        return _Map(self.offsets - low, round_up(int(self.offsets.max()) + 1, atom) - low)

    def same(self, other: "_Map") -> bool:
        return self.width == other.width and np.array_equal(self.offsets, other.offsets)

    @property
    def canonical(self) -> bool:
        """True where channel c is byte c."""
        return np.array_equal(self.offsets, np.arange(len(self.offsets)))


def _canonical(channels: int, atom: int) -> _Map:
    return _Map(np.arange(channels, dtype=np.int64), round_up(channels, atom))


def plan_layout(graph: Graph, items: tuple[Item, ...], atom: int) -> Layout:
    """Return where every tensor lies, and the nodes with the repacks and copies that this needs."""
    stems = _stems(graph, items, atom)
    items, maps = _relate(graph, items, atom)
    refused: set[str] = set()
    while True:
        placed_items, places = _join_concats(items, maps, refused, atom)
        clash = _self_reading(placed_items, places)
        if clash is None:
            twice = _reading_twice(placed_items, places)
            if twice is None:
                break
            items = _copy_operand(items, *twice, maps, atom)
        else:
            refused.add(clash)
    return _views(graph, placed_items, maps, places, stems)


def _stems(graph: Graph, items: tuple[Item, ...], atom: int) -> dict[str, Stem]:
    readers: dict[str, list[Item]] = {}
    for item in items:
        for x in item.inputs:
            readers.setdefault(x.name, []).append(item)
    outputs = {y.name for y in graph.outputs}
    stems: dict[str, Stem] = {}
    for tensor in graph.inputs:
        mine = readers.get(tensor.name, [])
        # the bands of one convolution read the same windows
        layers = {item.part_of or item.name if isinstance(item, Node) else item.name for item in mine}
        if len(layers) != 1 or tensor.name in outputs:
            continue
        node = mine[0]
        if not isinstance(node, Node) or not isinstance(node.op, Conv) or node.op.x.name != tensor.name:
            continue
        op = node.op
        _, kh, kw, c = op.weight.shape
        if op.groups != 1 or op.transposed or op.dilations != (1, 1) or 2 * c > atom or kh * kw == 1:
            continue
        sx = op.strides[1]
        stems[tensor.name] = Stem(
            lines=op.y.shape[0],
            groups=(op.x.shape[1] + op.pads[1] + op.pads[3] - kw) // sx + -(-kw // sx),
            pixel_bytes=round_up(kh * sx * c, atom),
            kernel=(kh, kw),
            strides=op.strides,
            pads=op.pads[:2],
            channels=c,
        )
    return stems


def _repack(x: Tensor, count: int) -> Node:
    """Return an identity convolution that writes x's channels in order."""
    c = x.shape[2]
    y = dataclasses.replace(x, name=f"{x.name}#packed{count}")
    weight = np.eye(c, dtype=np.int8).reshape(c, 1, 1, c)
    op = Conv(name=f"repack {x.name}", x=x, y=y, weight=weight, weight_scale=np.ones(c, np.float32))
    return Node(name=op.name, op=op, y=y, ops=(op.name,))


def _swap(node: Node, old: Tensor, new: Tensor) -> Node:
    """Return the node reading `new` where it read `old`."""
    changes: dict[str, Any] = {
        f.name: new
        for f in dataclasses.fields(node.op)
        if f.name != "y" and isinstance(getattr(node.op, f.name), Tensor) and getattr(node.op, f.name).name == old.name
    }
    residual = new if node.residual is not None and node.residual.name == old.name else node.residual
    return dataclasses.replace(node, op=dataclasses.replace(node.op, **changes), residual=residual)


def _must_match(node: Node, maps: dict[str, _Map], atom: int) -> list[Tensor]:
    """Return the operands that have to be repacked before the node can run."""
    op = node.op
    need: list[Tensor] = []
    if node.residual is not None and not maps[node.residual.name].cut(atom).canonical:
        need.append(node.residual)
    if isinstance(op, MatMul | Softmax):
        need += [x for x in op.inputs if not maps[x.name].cut(atom).canonical]
    if isinstance(op, Binary) and (op.b.shape[2] > 1 or op.a.shape[2] == 1):
        mine, other = (maps[t.name].cut(atom) for t in (op.a, op.b))
        if not mine.same(other):
            need += [t for t in (op.a, op.b) if not maps[t.name].cut(atom).canonical]
    return need


def _relate(graph: Graph, items: tuple[Item, ...], atom: int) -> tuple[tuple[Item, ...], dict[str, _Map]]:
    """Follow the channel maps through the network, inserting repacks (cases 1 and 2)."""
    maps = {t.name: _canonical(t.shape[2], atom) for t in graph.inputs}
    out: list[Item] = []

    def pack(x: Tensor) -> Tensor:
        node = _repack(x, len(out))
        out.append(node)
        maps[node.y.name] = _canonical(x.shape[2], atom)
        return node.y

    for item in items:
        current = item
        if isinstance(current, Node):
            for x in _must_match(current, maps, atom):
                current = _swap(current, x, pack(x))
            op = current.op
            inherits = isinstance(op, Pool | Lookup | Pad | Resize) or (isinstance(op, Conv) and is_depthwise(op))
            if inherits or isinstance(op, Binary):
                maps[current.y.name] = maps[op.inputs[0].name].cut(atom)
            else:
                maps[current.y.name] = _canonical(current.y.shape[2], atom)
        elif isinstance(current, Const):
            maps[current.y.name] = _canonical(current.y.shape[2], atom)
        elif isinstance(current, Slice):
            whole = maps[current.x.name]
            maps[current.y.name] = _Map(whole.offsets[current.starts[2] : current.ends[2]], whole.width)
        elif isinstance(current, Permute):
            whole = maps[current.x.name]
            maps[current.y.name] = _Map(whole.offsets[current.order], whole.width)
        elif current.axis == 2:
            cuts = [maps[x.name].cut(atom) for x in current.xs]
            at = np.cumsum([0] + [m.width for m in cuts])
            joined = np.concatenate([m.offsets + base for m, base in zip(cuts, at[:-1], strict=True)])
            maps[current.y.name] = _Map(joined, int(at[-1]))
        else:
            first = maps[current.xs[0].name].cut(atom)
            if not all(maps[x.name].cut(atom).same(first) for x in current.xs):
                xs = tuple(x if maps[x.name].cut(atom).canonical else pack(x) for x in current.xs)
                current = dataclasses.replace(current, xs=xs)
            maps[current.y.name] = maps[current.xs[0].name].cut(atom)
        out.append(current)
    return tuple(out), maps


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """Inside the storage of tensor `root`, from pixel (y0, x0) and byte `byte` of each pixel on."""

    root: str
    y0: int = 0
    x0: int = 0
    byte: int = 0


def _join_concats(
    items: tuple[Item, ...], maps: dict[str, _Map], refused: set[str], atom: int
) -> tuple[tuple[Item, ...], dict[str, _Place]]:
    """Give the inputs of each Concat their place in its result; copy those that cannot be written there (case 3)."""
    producer = {item.y.name: item for item in items}
    places: dict[str, _Place] = {}
    out: list[Item] = []
    for item in reversed(items):
        if not isinstance(item, Concat):
            out.append(item)
            continue
        copies: list[Item] = []
        base = places.setdefault(item.y.name, _Place(item.y.name))
        xs: list[Tensor] = []
        at = [0, 0, 0]
        for i, (x, table) in enumerate(zip(item.xs, item.tables, strict=True)):
            place = _Place(base.root, base.y0 + at[0], base.x0 + at[1], base.byte + at[2])
            source = producer.get(x.name)
            writable = isinstance(source, Node | Concat) and base.root not in refused
            if table is None and writable and x.name not in places:
                places[x.name] = place
                xs.append(x)
            else:
                y = dataclasses.replace(x, name=f"{x.name}@{item.y.name}.{i}", quant=item.y.quant)
                copy = Lookup(
                    name=f"copy {x.name}", kind="copy", x=x, y=y, table=IDENTITY_TABLE if table is None else table
                )
                copies.append(Node(name=copy.name, op=copy, y=y, ops=(item.name,)))
                places[y.name] = place
                maps[y.name] = maps[x.name].cut(atom)
                xs.append(y)
            at[item.axis] += maps[x.name].cut(atom).width if item.axis == 2 else x.shape[item.axis]
        out += [dataclasses.replace(item, xs=tuple(xs), tables=(None,) * len(xs)), *copies]
    return tuple(reversed(out)), places


def _self_reading(items: tuple[Item, ...], places: dict[str, _Place]) -> str | None:
    """Return the storage root that some node both reads and writes, or None."""
    root: dict[str, str] = {}
    for item in items:
        y = item.y.name
        if isinstance(item, Slice | Permute):
            root[y] = root.get(item.x.name, item.x.name)
            continue
        root[y] = places[y].root if y in places else y
        if isinstance(item, Node) and any(root.get(x.name, x.name) == root[y] for x in item.inputs):
            return root[y]
    return None


def _roots(items: tuple[Item, ...], places: dict[str, _Place]) -> dict[str, str]:
    root: dict[str, str] = {}
    for item in items:
        y = item.y.name
        if isinstance(item, Slice | Permute):
            root[y] = root.get(item.x.name, item.x.name)
        else:
            root[y] = places[y].root if y in places else y
    return root


def _reading_twice(items: tuple[Item, ...], places: dict[str, _Place]) -> tuple[str, Tensor] | None:
    """Return (node, operand) where a node's second operand lies in the storage of its first: two ports, one bank."""
    root = _roots(items, places)
    for item in items:
        if isinstance(item, Node) and len(item.inputs) == 2:
            first, second = (root.get(x.name, x.name) for x in item.inputs)
            if first == second:
                return item.y.name, item.inputs[1]
    return None


def _copy_operand(
    items: tuple[Item, ...], reader: str, operand: Tensor, maps: dict[str, _Map], atom: int
) -> tuple[Item, ...]:
    """Insert a copy of `operand` for the node that writes `reader`."""
    out: list[Item] = []
    for item in items:
        if isinstance(item, Node) and item.y.name == reader:
            y = dataclasses.replace(operand, name=f"{operand.name}#copy for {reader}")
            copy = Lookup(name=f"copy {operand.name}", kind="copy", x=operand, y=y, table=IDENTITY_TABLE)
            maps[y.name] = maps[operand.name].cut(atom)
            out.append(Node(name=copy.name, op=copy, y=y, ops=(copy.name,)))
            out.append(_swap_second(item, y))
        else:
            out.append(item)
    return tuple(out)


def _swap_second(node: Node, new: Tensor) -> Node:
    if node.residual is not None:
        return dataclasses.replace(node, residual=new)
    assert isinstance(node.op, Binary | MatMul)
    return dataclasses.replace(node, op=dataclasses.replace(node.op, b=new))


def _views(
    graph: Graph,
    items: tuple[Item, ...],
    maps: dict[str, _Map],
    places: dict[str, _Place],
    stems: dict[str, Stem],
) -> Layout:
    shapes: dict[str, tuple[int, int, int]] = {t.name: t.shape for t in graph.inputs}
    shapes |= {item.y.name: item.y.shape for item in items}
    storages: dict[str, Storage] = {}
    base: dict[str, _Place] = {t.name: _Place(t.name) for t in graph.inputs}
    views: dict[str, View] = {}
    sources: dict[str, tuple[Source, ...]] = {t.name: (Source(leaf=t.name, height=t.shape[0]),) for t in graph.inputs}

    def storage(root: str) -> Storage:
        if root not in storages:
            h, w, _ = shapes[root]
            pixel = maps[root].width
            if root in stems:
                stem = stems[root]
                h, w, pixel = stem.lines, stem.groups, stem.pixel_bytes
            storages[root] = Storage(key=root, height=h, width=w, pixel_bytes=pixel)
        return storages[root]

    for item in items:
        y = item.y.name
        if isinstance(item, Slice | Permute):
            start = item.starts if isinstance(item, Slice) else (0, 0, 0)
            of = base[item.x.name]
            base[y] = _Place(of.root, of.y0 + start[0], of.x0 + start[1], of.byte)
            sources[y] = tuple(dataclasses.replace(s, shift=s.shift + start[0]) for s in sources[item.x.name])
            continue
        base[y] = places.get(y, _Place(y))
        if isinstance(item, Concat):
            parts: list[Source] = []
            line = 0
            for x in item.xs:
                parts += [dataclasses.replace(s, shift=s.shift - line) for s in sources[x.name]]
                line += x.shape[0] if item.axis == 0 else 0
            sources[y] = tuple(parts)
        else:
            sources[y] = (Source(leaf=y, height=item.y.shape[0]),)
    for name, place in base.items():
        channels = maps[name].offsets + place.byte
        views[name] = View(storage=storage(place.root), channels=channels, y0=place.y0, x0=place.x0)
    nodes = tuple(item for item in items if isinstance(item, Node))
    constants = tuple(item for item in items if isinstance(item, Const))
    return Layout(views=views, sources=sources, nodes=nodes, constants=constants, stem=stems)
