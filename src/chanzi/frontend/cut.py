"""Cut a translated network into pieces: alternating chip and host, as few as the dependencies allow."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from chanzi.frontend.context import Context
from chanzi.frontend.network import FLOAT, Node, model_of
from chanzi.frontend.work import node_macs
from chanzi.graph.ops import Graph, Op, Tensor
from chanzi.graph.plan import Boundary, ChipPiece, HostPiece


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cut:
    """The pieces in order, the nodes behind each chip piece, and every node that runs on the host."""

    pieces: tuple[ChipPiece | HostPiece, ...]
    nodes_of: dict[str, set[str]]
    on_host: set[str]


@dataclass(slots=True, kw_only=True, eq=False)
class _Cutter:
    """Levels: even ones run on the chip, odd ones on the host; what is at a level needs only lower ones, or its own."""

    ctx: Context
    reasons: dict[str, str]
    op_level: dict[str, int] = field(default_factory=dict)
    node_level: dict[str, int] = field(default_factory=dict)
    host_made: dict[str, Node] = field(default_factory=dict)
    constant_nodes: dict[str, Node] = field(default_factory=dict)
    entry_level: dict[str, int] = field(default_factory=dict)
    exits: dict[str, str] = field(default_factory=dict)

    def run(self) -> Cut:
        """Return the pieces."""
        makers = {op.y.name: op for op in self.ctx.ops}
        live_ops: dict[str, Op] = {}
        for name in self.ctx.net.outputs:
            self._need_value(name, makers, live_ops)
        return self._pieces([op for op in self.ctx.ops if op.name in live_ops])

    # --- levels, found from the outputs backwards; an explicit stack, since networks are deep

    def _need_value(self, name: str, makers: dict[str, Op], live: dict[str, Op]) -> None:
        """Work out the level of a value that the host or the caller wants, and of all it needs."""
        stack: list[tuple[str, str, bool]] = [("value", name, False)]
        while stack:
            kind, key, ready = stack.pop()
            if kind == "value":
                self._visit_value(key, ready, stack)
            else:
                self._visit_tensor(key, ready, stack, makers, live)

    def _visit_value(self, name: str, ready: bool, stack: list[tuple[str, str, bool]]) -> None:
        net = self.ctx.net
        if name in self.exits or name in self.host_made or name in self.constant_nodes or net.is_constant(name):
            return
        view = self.ctx.views.get(name)
        producer = self.ctx.producers.get(name)
        here = view is not None and producer is not None and view.permutation() is not None
        if here and view.tensor.name not in self.ctx.entries:
            self.exits[name] = view.tensor.name
            stack.append(("tensor", view.tensor.name, False))
            return
        if producer is None:
            return
        if not ready:
            stack.append(("value", name, True))
            stack.extend(("value", read, False) for read in producer.reads)
            return
        reads = list(producer.reads)
        constant = all(net.is_constant(read) or read in self.constant_nodes for read in reads)
        for out in producer.outputs:
            if out:
                (self.constant_nodes if constant else self.host_made)[out] = producer
        if not constant:
            self.node_level[producer.name] = -1

    def _visit_tensor(
        self,
        name: str,
        ready: bool,
        stack: list[tuple[str, str, bool]],
        makers: dict[str, Op],
        live: dict[str, Op],
    ) -> None:
        if name in self.ctx.entries:
            if name not in self.entry_level:
                self.entry_level[name] = 0
                stack.append(("value", self.ctx.entries[name], False))
            return
        op = makers[name]
        if op.name in live and not ready:
            return
        live[op.name] = op
        stack.extend(("tensor", x.name, False) for x in op.inputs)

    def _assign(self, ops: list[Op]) -> None:
        """Give every needed node and operator its level, in the network's order."""
        makers = {op.y.name: op for op in ops}
        by_node: dict[str, list[Op]] = {}
        for op in ops:
            node = self.ctx.made_by.get(op.name)
            by_node.setdefault(node.name if node is not None else "", []).append(op)
        for op in by_node.get("", []):
            self._op_level(op, makers)
        for node in self.ctx.net.nodes:
            for op in by_node.get(node.name, []):
                self._op_level(op, makers)
            if node.name in self.node_level:
                self.node_level[node.name] = max((self._read_level(n, makers) for n in node.reads), default=-1)

    def _op_level(self, op: Op, makers: dict[str, Op]) -> None:
        level = 0
        for x in op.inputs:
            if x.name in self.ctx.entries:
                made = self.host_made.get(self.ctx.entries[x.name])
                found = 0 if made is None else self.node_level[made.name] + 1
            else:
                found = self.op_level[makers[x.name].name]
            level = max(level, found)
        self.op_level[op.name] = level

    def _read_level(self, name: str, makers: dict[str, Op]) -> int:
        """Return the lowest host level at which a value can be read."""
        if name in self.exits:
            tensor = self.exits[name]
            return self.op_level[makers[tensor].name] + 1
        made = self.host_made.get(name)
        return self.node_level[made.name] if made is not None else -1

    # --- pieces

    def _pieces(self, ops: list[Op]) -> Cut:
        self._assign(ops)
        levels = sorted({*self.op_level.values(), *self.node_level.values()})
        pieces: list[ChipPiece | HostPiece] = []
        nodes_of: dict[str, set[str]] = {}
        for level in levels:
            if level % 2 == 0:
                mine = [op for op in ops if self.op_level[op.name] == level]
                piece = self._chip_piece(len(pieces), mine, ops)
                nodes_of[piece.graph.name] = {
                    self.ctx.made_by[op.name].name for op in mine if op.name in self.ctx.made_by
                }
                pieces.append(piece)
            else:
                pieces.append(self._host_piece(len(pieces), level))
        loose = [n for n in self.ctx.net.outputs if self.ctx.net.is_constant(n) or n in self.constant_nodes]
        if loose:
            pieces.append(self._constants(loose))
        on_host = set(self.node_level)
        if loose:
            on_host |= {node.name for name, node in self.constant_nodes.items() if name in loose}
        return Cut(pieces=tuple(pieces), nodes_of=nodes_of, on_host=on_host)

    def _chip_piece(self, index: int, mine: list[Op], ops: list[Op]) -> ChipPiece:
        names = {op.name for op in mine}
        written = {op.y.name: op.y for op in mine}
        read: dict[str, Tensor] = {}
        for op in mine:
            for x in op.inputs:
                if x.name not in written:
                    read.setdefault(x.name, x)
        elsewhere = {x.name for op in ops if op.name not in names for x in op.inputs}
        inputs, outputs = [], []
        for tensor in read.values():
            if tensor.name in self.ctx.entries:
                inputs.append(self._entry(tensor))
            else:
                inputs.append(self._bytes(tensor))
        used: dict[str, Tensor] = {}
        for value, tensor_name in self.exits.items():
            if tensor_name in written:
                outputs.append(self._boundary(value, written[tensor_name]))
                used[tensor_name] = written[tensor_name]
        for tensor in written.values():
            if tensor.name in elsewhere:
                outputs.append(self._bytes(tensor))
                used[tensor.name] = tensor
        once = [b for i, b in enumerate(outputs) if b.value not in {other.value for other in outputs[:i]}]
        title = f"{self.ctx.net.name}-chip{index}"
        graph = Graph(
            name=title, inputs=tuple(read.values()), outputs=tuple(written[b.tensor] for b in once), ops=tuple(mine)
        )
        return ChipPiece(graph=graph, inputs=tuple(inputs), outputs=tuple(once))

    def _entry(self, tensor: Tensor) -> Boundary:
        value = self.ctx.entries[tensor.name]
        view = next(v for v in self.ctx.views.values() if v.tensor.name == tensor.name)
        return self._made(value, tensor, view.shape, view.permutation())

    def _boundary(self, value: str, tensor: Tensor) -> Boundary:
        view = self.ctx.views[value]
        return self._made(value, tensor, view.shape, view.permutation())

    def _bytes(self, tensor: Tensor) -> Boundary:
        """Return the boundary of a tensor that one chip piece writes and another reads."""
        held = [name for name, view in self.ctx.views.items() if view.tensor.name == tensor.name]
        held.sort(key=lambda name: (name not in self.exits, self.ctx.net.info(name).dtype in (FLOAT, None)))
        for value in held:
            view = self.ctx.views[value]
            if view.permutation() is not None:
                return self._made(value, tensor, view.shape, view.permutation())
        return Boundary(value=tensor.name, tensor=tensor.name, shape=tensor.shape, perm=(0, 1, 2), quantized=True)

    def _made(self, value: str, tensor: Tensor, shape: tuple[int, ...], perm: tuple[int, ...] | None) -> Boundary:
        assert perm is not None
        quantized = self.ctx.net.info(value).dtype not in (FLOAT, None)
        return Boundary(value=value, tensor=tensor.name, shape=shape, perm=perm, quantized=quantized)

    def _host_piece(self, index: int, level: int) -> HostPiece:
        net = self.ctx.net
        chosen = [n for n in net.nodes if self.node_level.get(n.name) == level]
        written = {out for node in chosen for out in node.outputs if out}
        constant = self._constant_nodes(name for node in chosen for name in node.reads)
        fixed = {out for node in constant for out in node.outputs}
        inputs = [
            name
            for name in dict.fromkeys(name for node in chosen for name in node.reads)
            if name not in written and name not in fixed and not net.is_constant(name)
        ]
        wanted = self._wanted(level)
        outputs = [name for name in dict.fromkeys(o for node in chosen for o in node.outputs) if name in wanted]
        name = f"{net.name}-host{index}"
        mine = {node.name for node in (*constant, *chosen)}
        ordered = [node for node in net.nodes if node.name in mine]
        model = model_of(net, ordered, inputs, outputs, name=name)
        why = [self.reasons[node.name] for node in chosen if node.name in self.reasons]
        return HostPiece(
            name=name,
            model=model.SerializeToString(),
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            ops=tuple(node.op_type for node in chosen),
            reason="; ".join(dict.fromkeys(why)),
            macs=sum(node_macs(net, node) for node in chosen),
        )

    def _wanted(self, level: int) -> set[str]:
        """Return the values that anything outside the host level reads."""
        wanted = set(self.ctx.net.outputs)
        wanted.update(self.ctx.entries[tensor] for tensor in self.entry_level)
        for node in self.ctx.net.nodes:
            if self.node_level.get(node.name, level) != level:
                wanted.update(node.reads)
        return wanted

    def _constant_nodes(self, names: Iterable[str]) -> list[Node]:
        """Return the nodes that only work on constants and that `names` need."""
        found: dict[str, Node] = {}
        stack = [name for name in names if name in self.constant_nodes]
        while stack:
            node = self.constant_nodes[stack.pop()]
            if node.name not in found:
                found[node.name] = node
                stack.extend(name for name in node.reads if name in self.constant_nodes)
        return list(found.values())

    def _constants(self, names: list[str]) -> HostPiece:
        net = self.ctx.net
        nodes = {node.name for node in self._constant_nodes(names)}
        ordered = [node for node in net.nodes if node.name in nodes]
        name = f"{net.name}-constants"
        model = model_of(net, ordered, [], names, name=name)
        return HostPiece(
            name=name, model=model.SerializeToString(), inputs=(), outputs=tuple(names), reason="constants"
        )


def cut_pieces(ctx: Context, reasons: dict[str, str]) -> Cut:
    """Return the pieces of a translated network."""
    return _Cutter(ctx=ctx, reasons=reasons).run()
