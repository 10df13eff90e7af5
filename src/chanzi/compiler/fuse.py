"""Fusion: fewer, larger nodes.

1. Lookup after Conv, Binary, Pool or Lookup whose result nothing else reads: becomes the producer's table.
2. Binary whose operand is a dense convolution's result that nothing else reads, and whose operands have equal shapes:
   becomes the convolution's second stage (residual add or gate).
3. Concat's requantizing tables whose input nothing else reads: as 1.

Refused: depthwise convolutions take no residual (the vector unit has one operand port left over, not two); an average
pool with padding that does not count takes a table as any other.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from chanzi.compiler.ir import Item, Node
from chanzi.graph.ops import Binary, Concat, Const, Conv, Graph, Lookup, Op, Permute, Slice, Tensor
from chanzi.isa.legality import MAX_WEIGHT_TAPS

Table = npt.NDArray[np.uint8]


def is_depthwise(op: Conv) -> bool:
    """Tell whether the vector unit computes it: every output channel reads just the input channel of the same index.

    Larger windows than it has weights for go to the array, as any grouped convolution.
    """
    taps = op.weight.shape[1] * op.weight.shape[2]
    alike = op.groups > 1 and op.groups == op.x.shape[2] == op.weight.shape[0]
    return alike and taps <= MAX_WEIGHT_TAPS and not op.transposed


def _readers(graph: Graph) -> dict[str, int]:
    count: dict[str, int] = {}
    for op in graph.ops:
        for x in op.inputs:
            count[x.name] = count.get(x.name, 0) + 1
    for y in graph.outputs:
        count[y.name] = count.get(y.name, 0) + 1
    return count


def _with_table(op: Op, table: Table, y: Tensor) -> Op | None:
    """Return `op` with `table` applied last, writing `y`; None where the op has no place for it."""
    match op:
        case Lookup():
            return dataclasses.replace(op, table=table[op.table], y=y)
        case Conv() | Binary():
            whole = table if op.table is None else table[op.table]
            return dataclasses.replace(op, table=whole, mid=op.mid or op.y.quant, y=y)
        case _:
            return None


def fuse_tables(graph: Graph) -> Graph:
    """Fold Lookups and Concat tables into the operator that produces their input (cases 1 and 3)."""
    readers = _readers(graph)
    producer: dict[str, int] = {}
    ops: list[Op | None] = []
    for op in graph.ops:
        if isinstance(op, Lookup) and readers[op.x.name] == 1 and op.x.name in producer:
            at = producer[op.x.name]
            before = ops[at]
            folded = _with_table(before, op.table, op.y) if before is not None else None
            if folded is not None:
                ops[at] = dataclasses.replace(folded, name=f"{folded.name}+{op.name}")
                producer[op.y.name] = at
                continue
        if isinstance(op, Concat):
            op = _fold_concat_tables(op, ops, producer, readers)
        producer[op.y.name] = len(ops)
        ops.append(op)
    return dataclasses.replace(graph, ops=tuple(op for op in ops if op is not None))


def _fold_concat_tables(op: Concat, ops: list[Op | None], producer: dict[str, int], readers: dict[str, int]) -> Concat:
    xs, tables = list(op.xs), list(op.tables)
    for i, (x, table) in enumerate(zip(op.xs, op.tables, strict=True)):
        at = producer.get(x.name)
        before = ops[at] if at is not None else None
        if table is None or before is None or at is None or readers[x.name] != 1:
            continue
        y = dataclasses.replace(x, quant=op.y.quant)
        folded = _with_table(before, table, y)
        if folded is not None:
            ops[at] = folded
            xs[i], tables[i] = y, None
    return dataclasses.replace(op, xs=tuple(xs), tables=tuple(tables))


def fuse(graph: Graph) -> tuple[Item, ...]:
    """Return nodes, and the operators that only say where data lies (Slice, Permute, Concat, Const), in order."""
    graph = fuse_tables(graph)
    readers = _readers(graph)
    nodes: list[Item | None] = []
    written: dict[str, int] = {}
    for op in graph.ops:
        if isinstance(op, Slice | Permute | Concat | Const):
            nodes.append(op)
            continue
        if isinstance(op, Binary) and op.table is None:
            joined = _join(op, nodes, written, readers)
            if joined is not None:
                at, node = joined
                # the residual may have been written after the convolution: the node moves to where both are there
                nodes[at] = None
                written[node.y.name] = len(nodes)
                nodes.append(node)
                continue
        written[op.y.name] = len(nodes)
        nodes.append(Node(name=op.name, op=op, y=op.y, ops=tuple(op.name.split("+"))))
    return tuple(node for node in nodes if node is not None)


def _join(
    op: Binary, nodes: list[Item | None], written: dict[str, int], readers: dict[str, int]
) -> tuple[int, Node] | None:
    if op.a.shape != op.b.shape or op.a.name == op.b.name:
        return None
    candidates = []
    for mine, other in ((op.a, op.b), (op.b, op.a)):
        at = written.get(mine.name)
        if at is None or readers[mine.name] != 1:
            continue
        node = nodes[at]
        if not isinstance(node, Node) or node.residual is not None:
            continue
        if node.op.inputs[0].name == other.name:  # both would be read from one bank at once
            continue
        if isinstance(node.op, Conv) and not is_depthwise(node.op) and not node.op.transposed:
            candidates.append((at, node, other))
    if not candidates:
        return None
    at, node, other = max(candidates, key=lambda c: c[0])  # the later one: its operand is surely there
    fused = Node(name=node.name, op=node.op, y=op.y, ops=(*node.ops, op.name), residual=other, join=op)
    return at, fused
