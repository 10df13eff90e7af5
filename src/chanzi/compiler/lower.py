"""Lowering: each node to the instruction templates that compute its whole output."""

from chanzi.chip.chip import Core
from chanzi.compiler.fuse import is_depthwise
from chanzi.compiler.ir import Layout, Node, Part
from chanzi.compiler.lower_dot import lower_conv, lower_matmul
from chanzi.compiler.lower_vec import (
    lower_binary,
    lower_depthwise,
    lower_lookup,
    lower_pad,
    lower_pool,
    lower_resize,
    lower_softmax,
)
from chanzi.graph.ops import Binary, Conv, Lookup, MatMul, Pad, Pool, Resize


def lower(node: Node, layout: Layout, core: Core) -> tuple[Part, ...]:
    """Return the parts of one node; together they write every byte of its output once."""
    match node.op:
        case Conv() if is_depthwise(node.op):
            return lower_depthwise(node, layout, core)
        case Conv():
            return lower_conv(node, layout, core)
        case MatMul():
            return lower_matmul(node, layout)
        case Pool():
            return lower_pool(node, layout, core)
        case Binary():
            return lower_binary(node, layout, core)
        case Lookup():
            return lower_lookup(node, layout, core)
        case Pad():
            return lower_pad(node, layout, core)
        case Resize():
            return lower_resize(node, layout, core)
        case _:
            return lower_softmax(node, layout, core)


def kind_of(node: Node) -> str:
    """Return the word for the node in reports."""
    match node.op:
        case Conv() if is_depthwise(node.op):
            return "depthwise"
        case Conv(transposed=True):
            return "deconv"
        case Conv():
            dense = node.op.weight.shape[1:3] == (1, 1) and node.op.x.shape[:2] == (1, 1)
            return "dense" if dense else "conv"
        case Lookup():
            return node.op.kind
        case Pool():
            return f"{node.op.kind} pool"
        case _:
            return type(node.op).__name__.lower()
