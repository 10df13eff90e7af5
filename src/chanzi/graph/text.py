"""A graph as text, one line for each operator: shapes, quantization, and every attribute that is not as usual."""

import dataclasses

import numpy as np

from chanzi.graph.ops import Graph, Op, Quant, Tensor

_SAID = ("name", "x", "y", "a", "b", "xs")


def graph_text(graph: Graph) -> str:
    """Return the graph's inputs, operators in order, and outputs."""
    lines = [f"graph {graph.name}"]
    lines += [f"  in  {_declared(tensor)}" for tensor in graph.inputs]
    lines += [f"  {op_text(op)}" for op in graph.ops]
    lines += [f"  out {tensor.name}" for tensor in graph.outputs]
    return "\n".join(lines)


def op_text(op: Op) -> str:
    """Return one operator: kind, result, operands, attributes, and the name it has."""
    reads = ", ".join(x.name for x in op.inputs)
    more = [said for f in dataclasses.fields(op) if f.name not in _SAID and (said := _attribute(op, f))]
    says = ", ".join(part for part in (reads, *more) if part)
    return f"{type(op).__name__:8} {_declared(op.y)} <- {says}   # {op.name}"


def _declared(tensor: Tensor) -> str:
    return f"{tensor.name} {_times(tensor.shape)} {_quant(tensor.quant)}"


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _quant(quant: Quant) -> str:
    return f"{quant.dtype}({quant.scale:.6g}, {quant.zero})"


def _attribute(op: Op, field: dataclasses.Field) -> str:  # type: ignore[type-arg]
    value = getattr(op, field.name)
    if value is None or (field.default is not dataclasses.MISSING and _plain(value) and value == field.default):
        return ""
    match value:
        case Quant():
            return f"{field.name} {_quant(value)}"
        case np.ndarray():
            return f"{field.name} {value.dtype} {_times(value.shape)}"
        case tuple() if any(isinstance(item, np.ndarray) for item in value):
            return f"{field.name} {sum(item is not None for item in value)}"
        case tuple() if all(item is None for item in value):
            return ""
        case _:
            return f"{field.name} {value}"


def _plain(value: object) -> bool:
    return isinstance(value, bool | int | float | str | tuple)
