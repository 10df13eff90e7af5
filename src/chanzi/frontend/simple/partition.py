"""Cut a QDQ network into pieces for the chip and pieces for the host.

Every operator is tried on the chip first: its converter either turns the whole group (DequantizeLinear, operator,
QuantizeLinear) into graph operators, or says why not. The groups are then given stages: a stage ends where the side
changes, and everything of one stage is one piece, so there are as few pieces as the dependencies allow.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx

from chanzi.frontend.simple import operators_linear as linear
from chanzi.frontend.simple import operators_map as maps
from chanzi.frontend.simple import operators_point as point
from chanzi.frontend.simple.mapping import Context, Mapped, default_map, named
from chanzi.frontend.simple.prepare import infer_shapes
from chanzi.frontend.simple.qdq import Network, Unsupported
from chanzi.graph.ops import Graph, Op, Tensor, macs
from chanzi.graph.plan import Boundary, ChipPiece, HostPiece, Partition, Placement, Value

Converter = Callable[[Context, onnx.NodeProto], None]

CONVERTERS: dict[str, Converter] = {
    "Conv": linear.convert_conv,
    "ConvTranspose": linear.convert_conv_transpose,
    "Gemm": linear.convert_dense,
    "MatMul": linear.convert_dense,
    "MaxPool": maps.convert_pool,
    "AveragePool": maps.convert_pool,
    "GlobalAveragePool": maps.convert_global_pool,
    "GlobalMaxPool": maps.convert_global_pool,
    "ReduceMean": maps.convert_global_pool,
    "ReduceMax": maps.convert_global_pool,
    "Concat": maps.convert_concat,
    "Slice": maps.convert_slice,
    "Split": maps.convert_split,
    "Pad": maps.convert_pad,
    "Resize": maps.convert_resize,
    "Upsample": maps.convert_resize,
    "Softmax": maps.convert_softmax,
    "Transpose": maps.convert_transpose,
    "Reshape": maps.convert_reshape,
    "Flatten": maps.convert_reshape,
    "Squeeze": maps.convert_reshape,
    "Unsqueeze": maps.convert_reshape,
    **dict.fromkeys(("Add", "Mul", "Sub", "Div", "Max", "Min", "Pow"), point.convert_binary),
    **dict.fromkeys(point.UNARY, point.convert_unary),
}
_TYPE = {
    onnx.TensorProto.FLOAT: "float",
    onnx.TensorProto.DOUBLE: "double",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT16: "int16",
    onnx.TensorProto.UINT16: "uint16",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.UINT32: "uint32",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.UINT64: "uint64",
    onnx.TensorProto.BOOL: "bool",
    onnx.TensorProto.STRING: "string",
}


@dataclass(slots=True)
class _Group:
    """Nodes that run together on one side: reads and writes are value names (stored on the chip, any on the host)."""

    chip: bool
    nodes: list[onnx.NodeProto]
    ops: list[Op] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    reason: str = ""
    stage: int = 0


def partition(
    proto: onnx.ModelProto, *, name: str, declared: dict[str, tuple], quantization: dict[str, str]
) -> Partition:
    """Return the cut of a QDQ model with fixed input shapes.

    `declared` holds the shapes of inputs and outputs as the user's model declares them.
    """
    if _incomplete(proto):
        proto = infer_shapes(proto)
    network = Network(proto)
    groups, values = _groups(network)
    _stages(groups, network)
    pieces = _pieces(groups, values, network, name)
    report = tuple(row for group in groups for row in _rows(group, network))
    return Partition(
        name=name,
        pieces=pieces,
        inputs=tuple(_value(network, i, declared) for i in network.inputs),
        outputs=tuple(_value(network, o, declared) for o in network.outputs),
        report=report,
        qdq_model=proto.SerializeToString(),
        quantization=quantization,
    )


def _incomplete(proto: onnx.ModelProto) -> bool:
    known = {v.name for v in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output)}
    known_outputs = all(
        o.type.HasField("tensor_type") and o.type.tensor_type.HasField("shape") for o in proto.graph.output
    )
    return not known_outputs or any(o not in known for n in proto.graph.node for o in n.output if o)


def _value(network: Network, name: str, declared: dict[str, tuple]) -> Value:
    kind = f"tensor({_TYPE.get(network.types.get(name, 1), 'float')})"
    shape = network.shapes.get(name)
    return Value(name=name, type=kind, shape=declared.get(name, shape), frame=shape)


def _constants(network: Network) -> set[str]:
    """Return the real and stored names of everything that is constant."""
    names = set(network.initializers)
    for node in network.nodes:
        if node.op_type == "DequantizeLinear" and node.input[0] in network.initializers:
            names.add(node.output[0])
    return names


def _groups(network: Network) -> tuple[list[_Group], dict[str, Mapped]]:
    values: dict[str, Mapped] = {}
    groups: list[_Group] = []
    done: set[int] = set()
    # the inputs and what is quantized right away
    for node in network.nodes:
        if node.op_type == "QuantizeLinear" and node.input[0] in network.inputs:
            _outside(network, node, values)
        if node.op_type == "DequantizeLinear" and node.input[0] in network.inputs:
            _outside_stored(network, node, values)
    for node in network.nodes:
        if id(node) in done or node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        context = Context(network, values)
        reason = ""
        converter = CONVERTERS.get(node.op_type) if node.domain in ("", "ai.onnx", "com.microsoft") else None
        if converter is None:
            reason = f"the chip has no {node.op_type}"
        else:
            try:
                converter(context, node)
            except Unsupported as why:
                reason = str(why)
            except (KeyError, IndexError, TypeError, ValueError, AssertionError, OverflowError) as error:
                reason = f"attributes or shapes that are not understood ({type(error).__name__})"
        if not reason and any(t <= 0 for op in context.ops for t in op.y.shape):
            reason = "an empty result"
        if reason:
            groups.append(_Group(chip=False, nodes=[node], reason=reason))
            done.add(id(node))
            for real in node.output:  # what the host quantizes can go back to the chip
                for q in network.consumers.get(real, []):
                    if q.op_type == "QuantizeLinear":
                        _outside(network, q, values)
            continue
        values.update(context.made)
        reads = [network.stored_name(x) for x in node.input if x and _is_activation(network, x)]
        groups.append(
            _Group(
                chip=True,
                nodes=context.covered,
                ops=context.ops,
                reads=reads,
                writes=list(context.made),
            )
        )
        done.update(id(n) for n in context.covered)
    return groups, values


def _is_activation(network: Network, real: str) -> bool:
    node = network.producer.get(real)
    return node is not None and node.op_type == "DequantizeLinear" and node.input[0] not in network.initializers


def _outside(network: Network, q: onnx.NodeProto, values: dict[str, Mapped]) -> None:
    """Note the map of a value that the host or the user provides in float and `q` quantizes."""
    try:
        shape = network.shape(q.input[0])
        map_shape, perm = default_map(shape)
        tensor = Tensor(name=q.output[0], shape=map_shape, quant=network.quant(q))
        values[q.output[0]] = Mapped(tensor=tensor, shape=shape, perm=perm)
    except Unsupported:
        return


def _outside_stored(network: Network, dq: onnx.NodeProto, values: dict[str, Mapped]) -> None:
    try:
        shape = network.shape(dq.input[0])
        map_shape, perm = default_map(shape)
        tensor = Tensor(name=dq.input[0], shape=map_shape, quant=network.quant(dq))
        values[dq.input[0]] = Mapped(tensor=tensor, shape=shape, perm=perm)
    except Unsupported:
        return


def _host_reads(network: Network, group: _Group, on_chip: set[str]) -> list[str]:
    """Return what a host group reads, looking through Q and DQ between host nodes: stored names made on the chip and
    real names made elsewhere.
    """
    found: list[str] = []
    todo = [name for node in group.nodes for name in _all_inputs(node)]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if not name or name in seen or name in network.initializers:
            continue
        seen.add(name)
        if name in on_chip or name in network.inputs:
            found.append(name)
            continue
        producer = network.producer.get(name)
        if producer is not None and producer.op_type in ("QuantizeLinear", "DequantizeLinear"):
            todo.append(producer.input[0])
        else:
            found.append(name)
    return found


def _all_inputs(node: onnx.NodeProto) -> Iterable[str]:
    """Return a node's inputs and what its subgraphs read from outside."""
    yield from node.input
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
            inner = {o for n in graph.node for o in n.output} | {i.name for i in graph.input}
            inner |= {t.name for t in graph.initializer}
            for n in graph.node:
                yield from (name for name in _all_inputs(n) if name not in inner)
            yield from (o.name for o in graph.output if o.name not in inner)


def _real_source(network: Network, stored: str) -> str:
    """Return the real value that a stored one quantizes (itself where it is an input)."""
    node = network.producer.get(stored)
    return stored if node is None else node.input[0]


def _stages(groups: list[_Group], network: Network) -> None:
    """Give each group the earliest stage: chip on even, host on odd ones."""
    made_by: dict[str, _Group] = {}
    on_chip = {name for g in groups if g.chip for name in g.writes}
    for group in groups:
        if group.chip:
            made_by.update(dict.fromkeys(group.writes, group))
        else:
            made_by.update({o: group for node in group.nodes for o in node.output})
    for group in groups:
        stage = 0 if group.chip else -1
        if group.chip:
            names = [n if n in on_chip else _real_source(network, n) for n in group.reads]
        else:
            names = _host_reads(network, group, on_chip)
        for name in names:
            before = made_by.get(name)
            if before is not None and before is not group:
                stage = max(stage, before.stage + (before.chip != group.chip))
        group.stage = stage


def _pieces(
    groups: list[_Group], values: dict[str, Mapped], network: Network, name: str
) -> tuple[ChipPiece | HostPiece, ...]:
    on_chip = {w for g in groups if g.chip for w in g.writes}
    stages: dict[int, list[_Group]] = {}
    for group in groups:
        stages.setdefault(group.stage, []).append(group)
    wanted = _wanted(groups, network, on_chip)
    made: dict[int, ChipPiece | HostPiece] = {}
    for stage, mine in sorted(stages.items()):
        if mine[0].chip:
            piece = _chip_piece(mine, values, network, f"{name}.{stage // 2}" if stage else name, wanted)
            if piece is not None:
                made[stage] = piece
        else:
            made[stage] = _host_piece(mine, network, on_chip, f"{name}.host{(stage + 1) // 2}", groups)
    passing = _passing(network, on_chip, made)
    return (*(made[s] for s in sorted(made)), *passing)


def _wanted(groups: list[_Group], network: Network, on_chip: set[str]) -> dict[str, set[int]]:
    """Return, for each stored value on the chip, the stages that read it from outside their own (-1: an output)."""
    wanted: dict[str, set[int]] = {}
    for group in groups:
        names = group.reads if group.chip else _host_reads(network, group, on_chip)
        for n in names:
            if n in on_chip:
                wanted.setdefault(n, set()).add(group.stage)
    for out in network.outputs:
        if out in on_chip:
            wanted.setdefault(out, set()).add(-2)
        else:
            node = network.producer.get(out)
            if node is not None and node.op_type == "DequantizeLinear" and node.input[0] in on_chip:
                wanted.setdefault(node.input[0], set()).add(-2)
    return wanted


def _boundary(network: Network, stored: str, mapped: Mapped, *, inward: bool) -> list[Boundary]:
    """Return the ONNX values by which a stored tensor crosses the edge of the chip."""
    if inward:
        source = _real_source(network, stored)
        quantized = source == stored
        return [_bound(source, stored, mapped, quantized)]
    found = []
    for dq in network.consumers.get(stored, []):
        if dq.op_type == "DequantizeLinear":
            found.append(_bound(dq.output[0], stored, mapped, False))
    if stored in network.outputs or not found:
        found.append(_bound(stored, stored, mapped, True))
    return found


def _bound(value: str, stored: str, mapped: Mapped, quantized: bool) -> Boundary:
    h, w, c = mapped.tensor.shape
    shape, perm = mapped.shape, mapped.perm
    if mapped.flat:
        shape, perm = (1, c, h, w), (0, 2, 3, 1)
    return Boundary(value=value, tensor=mapped.tensor.name, shape=shape, perm=perm, quantized=quantized)


def _chip_piece(
    groups: list[_Group], values: dict[str, Mapped], network: Network, name: str, wanted: dict[str, set[int]]
) -> ChipPiece | None:
    stage = groups[0].stage
    ops = tuple(op for g in groups for op in g.ops)
    written = {w for g in groups for w in g.writes}
    made = {op.y.name for op in ops}
    inputs: dict[str, Boundary] = {}
    tensors: dict[str, Tensor] = {}
    for group in groups:
        for stored in group.reads:
            if stored not in written and stored not in inputs:
                mapped = values[stored]
                inputs[stored] = _boundary(network, stored, mapped, inward=True)[0]
                tensors[stored] = mapped.tensor
    needed = [w for g in groups for w in g.writes if wanted.get(w, set()) - {stage}]
    outputs: list[Boundary] = []
    out_tensors: dict[str, Tensor] = {}
    for stored in needed:
        mapped = values[stored]
        if mapped.split:
            continue
        outputs += _boundary(network, stored, mapped, inward=False)
        out_tensors.setdefault(mapped.tensor.name, mapped.tensor)
    ops = _live(ops, set(out_tensors))
    if not ops:
        return None
    used = {x.name for op in ops for x in op.inputs}
    # an alias of an input that goes straight out has to be made by something
    kept = {s: t for s, t in tensors.items() if t.name in used}
    extra = [t for n, t in out_tensors.items() if n not in made]
    return ChipPiece(
        graph=Graph(
            name=name,
            inputs=tuple({t.name: t for t in (*kept.values(), *extra)}.values()),
            outputs=tuple(out_tensors.values()),
            ops=ops,
        ),
        inputs=tuple({tensors[s].name: b for s, b in inputs.items() if s in kept or tensors[s] in extra}.values()),
        outputs=tuple(outputs),
    )


def _live(ops: tuple[Op, ...], outputs: set[str]) -> tuple[Op, ...]:
    """Return the operators whose results are used."""
    needed = set(outputs)
    kept = []
    for op in reversed(ops):
        if op.y.name in needed:
            needed |= {x.name for x in op.inputs}
            kept.append(op)
    return tuple(reversed(kept))


def _host_piece(
    groups: list[_Group], network: Network, on_chip: set[str], name: str, all_groups: list[_Group]
) -> HostPiece:
    stage = groups[0].stage
    mine = {id(n) for g in groups for n in g.nodes}
    made_here = {o for g in groups for n in g.nodes for o in n.output}
    needed: list[onnx.NodeProto] = []
    added: set[int] = set()
    inputs: list[str] = []

    def need(value: str) -> None:
        if not value or value in network.initializers or value in inputs or value in made_here:
            return
        producer = network.producer.get(value)
        if producer is None:
            inputs.append(value)
        elif producer.op_type == "DequantizeLinear" and producer.input[0] not in on_chip:
            take(producer)
        elif producer.op_type == "QuantizeLinear" and value not in on_chip:
            take(producer)
        else:
            inputs.append(value)

    def take(node: onnx.NodeProto) -> None:
        if id(node) in added:
            return
        added.add(id(node))
        for value in _all_inputs(node):
            need(value)
        needed.append(node)

    for node in network.nodes:
        if id(node) in mine:
            take(node)
    outputs = []
    inside = {id(n) for n in needed}
    for node in needed:
        for o in node.output:
            readers = network.consumers.get(o, [])
            outside = any(id(r) not in inside for r in readers)
            if o and (o in network.outputs or (outside and _read_elsewhere(network, o, stage, all_groups))):
                outputs.append(o)
    for out in network.outputs:  # outputs that are only quantized and dequantized again
        producer = network.producer.get(out)
        if producer is not None and producer.op_type in ("QuantizeLinear", "DequantizeLinear") and out not in outputs:
            chain = _chain_to(network, producer, made_here, on_chip)
            for node in chain:
                if id(node) not in inside:
                    needed.append(node)
                    inside.add(id(node))
            if chain:
                outputs.append(out)
    model = _model(network, needed, inputs, outputs, name)
    reasons = list(dict.fromkeys(g.reason for g in groups if g.reason))
    return HostPiece(
        name=name,
        model=model,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        ops=tuple(n.op_type for g in groups for n in g.nodes),
        reason="; ".join(reasons[:4]),
        macs=sum(_macs(n, network) for g in groups for n in g.nodes),
    )


def _chain_to(network: Network, node: onnx.NodeProto, made_here: set[str], on_chip: set[str]) -> list[onnx.NodeProto]:
    """Return the Q and DQ nodes from a host result to `node`, or [] where they do not start at one."""
    chain = [node]
    while True:
        source = chain[0].input[0]
        if source in made_here:
            return chain
        before = network.producer.get(source)
        if source in on_chip or before is None or before.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            return []
        chain.insert(0, before)


def _read_elsewhere(network: Network, value: str, stage: int, groups: list[_Group]) -> bool:
    """Tell whether another stage reads a host value, directly or quantized."""
    for group in groups:
        if group.stage == stage:
            continue
        if group.chip:
            if any(_real_source(network, r) == value or r == value for r in group.reads):
                return True
        else:
            todo = [name for n in group.nodes for name in _all_inputs(n)]
            seen: set[str] = set()
            while todo:
                name = todo.pop()
                if name == value:
                    return True
                producer = network.producer.get(name)
                fresh = producer is not None and name not in seen
                if fresh and producer.op_type in ("QuantizeLinear", "DequantizeLinear"):
                    seen.add(name)
                    todo.append(producer.input[0])
    return False


def _model(network: Network, nodes: list[onnx.NodeProto], inputs: list[str], outputs: list[str], name: str) -> bytes:
    order = {id(n): i for i, n in enumerate(network.nodes)}
    nodes = sorted(nodes, key=lambda n: order[id(n)])
    used = {name for n in nodes for name in _all_inputs(n)} | set(outputs)

    def info(value: str) -> onnx.ValueInfoProto:
        shape = network.shapes.get(value)
        return onnx.helper.make_tensor_value_info(value, network.types.get(value, onnx.TensorProto.FLOAT), shape)

    graph = onnx.helper.make_graph(
        nodes,
        name,
        [info(i) for i in inputs],
        [info(o) for o in outputs],
        [t for n, t in network.initializers.items() if n in used],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=list(network.proto.opset_import), functions=network.proto.functions
    )
    model.ir_version = min(network.proto.ir_version or 8, 10)
    return model.SerializeToString()


def _passing(network: Network, on_chip: set[str], made: dict[int, ChipPiece | HostPiece]) -> tuple[HostPiece, ...]:
    """Return a host piece for outputs that no node computes (inputs handed through, constants, bare Q and DQ)."""
    have = {v for p in made.values() if isinstance(p, HostPiece) for v in p.outputs}
    have |= {b.value for p in made.values() if isinstance(p, ChipPiece) for b in p.outputs}
    missing = [o for o in network.outputs if o not in have and o not in network.inputs]
    if not missing:
        return ()
    needed: list[onnx.NodeProto] = []
    inputs: list[str] = []
    todo = list(missing)
    seen: set[str] = set()
    while todo:
        value = todo.pop()
        if value in seen or value in network.initializers:
            continue
        seen.add(value)
        producer = network.producer.get(value)
        if producer is None or (value in have and value not in missing):
            inputs.append(value)
            continue
        if producer not in needed:
            needed.append(producer)
            todo += [v for v in producer.input if v]
    model = _model(network, needed, inputs, missing, "outputs")
    return (
        HostPiece(name="outputs", model=model, inputs=tuple(inputs), outputs=tuple(missing), reason="no computation"),
    )


def _macs(node: onnx.NodeProto, network: Network) -> int:
    """Return the multiply-accumulates of a node that stays on the host."""
    try:
        out = int(np.prod(network.shape(node.output[0])))
        if node.op_type in ("Conv", "ConvTranspose"):
            weight = network.shape(node.input[1])
            if node.op_type == "ConvTranspose":
                return int(np.prod(network.shape(node.input[0]))) * int(np.prod(weight[1:]))
            return out * int(np.prod(weight[1:]))
        if node.op_type in ("MatMul", "Gemm"):
            return out * network.shape(node.input[0])[-1]
    except (Unsupported, IndexError):
        return 0
    return 0


def _rows(group: _Group, network: Network) -> list[Placement]:
    compute = [n for n in group.nodes if n.op_type not in ("QuantizeLinear", "DequantizeLinear")]
    if not group.chip:
        return [
            Placement(node=named(n), op_type=n.op_type, where="host", reason=group.reason, macs=_macs(n, network))
            for n in compute
        ]
    work = sum(macs(op) for op in group.ops)
    rows = []
    for i, n in enumerate(compute):
        folded = i > 0 or not group.ops
        rows.append(
            Placement(
                node=named(n), op_type=n.op_type, where="folded" if folded else "chip", macs=0 if folded else work
            )
        )
    return rows
