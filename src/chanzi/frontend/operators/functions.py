"""Functions of one number, by their ONNX operator, in float32: what goes into a table of 256 bytes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.frontend.context import Context
from chanzi.frontend.layout import Refused, View
from chanzi.frontend.network import Node
from chanzi.graph.ops import Lookup, Quant
from chanzi.numerics import tables

Floats = npt.NDArray[np.float32]
Function = Callable[[Floats], Floats]
_IDENTITY = np.arange(256, dtype=np.uint8)
_ONE, _HALF = np.float32(1), np.float32(0.5)


def _sigmoid(x: Floats) -> Floats:
    return (_ONE / (_ONE + np.exp(-x))).astype(np.float32)


def _erf(x: Floats) -> Floats:
    return np.array([math.erf(float(v)) for v in x.reshape(-1)], np.float32).reshape(x.shape)


def _gelu(x: Floats) -> Floats:
    return (_HALF * x * (_ONE + _erf(x * np.float32(math.sqrt(0.5))))).astype(np.float32)


def _gelu_tanh(x: Floats) -> Floats:
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    return _HALF * x * (_ONE + np.tanh(inner))


def _hard_swish(x: Floats) -> Floats:
    return (x * np.clip(x / np.float32(6) + _HALF, np.float32(0), _ONE)).astype(np.float32)


def _softplus(x: Floats) -> Floats:
    return np.logaddexp(np.float32(0), x)


PLAIN: dict[str, Function] = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Erf": _erf,
    "Exp": np.exp,
    "Floor": np.floor,
    "HardSwish": _hard_swish,
    "Log": np.log,
    "Mish": lambda x: x * np.tanh(_softplus(x)),
    "Neg": np.negative,
    "Reciprocal": lambda x: _ONE / x,
    "Relu": lambda x: np.maximum(x, np.float32(0)),
    "Round": np.rint,
    "Sigmoid": _sigmoid,
    "Sign": np.sign,
    "Sin": np.sin,
    "Softplus": _softplus,
    "Softsign": lambda x: x / (_ONE + np.abs(x)),
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
}


def _number(node: Node, name: str, default: float) -> np.float32:
    return np.float32(node.get(name, default))


def _elu(node: Node) -> Function:
    alpha = _number(node, "alpha", 1.0)
    return lambda x: np.where(x < 0, alpha * np.expm1(x), x)


def _celu(node: Node) -> Function:
    alpha = _number(node, "alpha", 1.0)
    return lambda x: np.where(x < 0, alpha * np.expm1(x / alpha), x)


def _selu(node: Node) -> Function:
    alpha, gamma = _number(node, "alpha", 1.6732632), _number(node, "gamma", 1.050701)
    return lambda x: np.where(x > 0, gamma * x, gamma * (alpha * np.expm1(x)))


def _leaky(node: Node) -> Function:
    alpha = _number(node, "alpha", 0.01)
    return lambda x: np.where(x >= 0, x, alpha * x)


def _thresholded(node: Node) -> Function:
    alpha = _number(node, "alpha", 1.0)
    return lambda x: np.where(x > alpha, x, np.float32(0))


def _hard_sigmoid(node: Node) -> Function:
    alpha, beta = _number(node, "alpha", 0.2), _number(node, "beta", 0.5)
    return lambda x: np.clip(alpha * x + beta, 0, 1)


def _swish(node: Node) -> Function:
    alpha = _number(node, "alpha", 1.702 if node.op_type == "QuickGelu" else 1.0)
    return lambda x: x * _sigmoid(alpha * x)


SHAPED: dict[str, Callable[[Node], Function]] = {
    "Celu": _celu,
    "Elu": _elu,
    "Gelu": lambda node: _gelu_tanh if node.get("approximate", "none") == "tanh" else _gelu,
    "FastGelu": lambda _: _gelu_tanh,
    "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": _leaky,
    "QuickGelu": _swish,
    "Selu": _selu,
    "Swish": _swish,
    "ThresholdedRelu": _thresholded,
}
"""Those with attributes."""


def _limits(ctx: Context, node: Node) -> tuple[float, float]:
    limits = []
    for index, (name, default) in enumerate((("min", -math.inf), ("max", math.inf)), start=1):
        value: Any = node.get(name, default)
        if node.input(index):
            found = np.asarray(ctx.constant(node.input(index))).reshape(-1)
            if found.size != 1:
                raise Refused("limits that are no numbers")
            value = found[0]
        limits.append(float(value))
    return limits[0], limits[1]


def function_of(ctx: Context, node: Node) -> Function:
    """Return the float32 function that a node with one activation computes."""
    kind = node.op_type
    if kind in PLAIN:
        return PLAIN[kind]
    if kind in SHAPED:
        return SHAPED[kind](node)
    if kind == "Clip":
        low, high = _limits(ctx, node)
        return lambda x: np.minimum(np.maximum(x, np.float32(low)), np.float32(high))
    if kind == "PRelu":
        slope = np.asarray(ctx.constant(node.input(1))).reshape(-1)
        if slope.size != 1:
            raise Refused("a slope for each channel")
        return lambda x: np.where(x < 0, slope[0].astype(np.float32) * x, x)
    raise Refused("an operator the chip has no instruction for")


def with_number(kind: str, number: np.float32, *, first: bool) -> Function | None:
    """Return x -> x (op) number, or number (op) x where the number comes `first`; None where it is no function."""
    functions: dict[str, Function] = {
        "Add": lambda x: x + number,
        "Mul": lambda x: x * number,
        "Max": lambda x: np.maximum(x, number),
        "Min": lambda x: np.minimum(x, number),
        "Sub": (lambda x: number - x) if first else (lambda x: x - number),
        "Div": (lambda x: number / x) if first else (lambda x: x / number),
        "Pow": (lambda x: number**x) if first else (lambda x: x**number),
    }
    return functions.get(kind)


def apply_table(ctx: Context, name: str, view: View, quant: Quant, table: tables.Table, kind: str) -> None:
    """Make `name` the view through a table; the view itself where the table changes nothing."""
    if quant == view.tensor.quant and np.array_equal(table, _IDENTITY):
        ctx.views[name] = View(tensor=view.tensor, shape=ctx.shape(name), dims=view.dims, order=view.order)
        return
    y = ctx.tensor(name, view.tensor.shape, quant)
    op = Lookup(name=ctx.unique(f"{name}/{kind.lower()}"), kind=kind.lower(), x=view.tensor, y=y, table=table)
    ctx.emit(op)
    ctx.views[name] = view.on(y).reshaped(ctx.shape(name))


def translate(ctx: Context, node: Node) -> None:
    """Translate a function of one activation into a table."""
    view = ctx.view(node.input(0))
    quant = ctx.target(node.outputs[0])
    table = tables.function_table(function_of(ctx, node), view.tensor.quant, quant)
    apply_table(ctx, node.outputs[0], view, quant, table, node.op_type)
