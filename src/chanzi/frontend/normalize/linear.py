"""A factor or summand for each channel after a convolution or dense layer becomes part of its weights."""

import numpy as np
import numpy.typing as npt

from chanzi.frontend.network import Network, Node

Floats = npt.NDArray[np.float32]
_KINDS = ("Conv", "ConvTranspose", "Gemm")


def scale_weights(net: Network, node: Node, factor: Floats, shift: Floats) -> bool:
    """Let a linear node give ``factor * result + shift`` of each output channel; False where it cannot."""
    weight = net.constant(node.input(1))
    old = net.constant(node.input(2)) if node.input(2) else None
    if weight is None or weight.dtype != np.float32 or (node.input(2) and old is None):
        return False
    if node.op_type == "Gemm" and (node.get("alpha", 1.0) != 1.0 or node.get("beta", 1.0) != 1.0):
        return False
    groups = int(node.get("group", 1))
    match node.op_type:
        case "Conv":
            axis, out = 0, weight.shape[0]
        case "ConvTranspose":
            axis, out = 1, weight.shape[1] * groups
        case _:
            axis = 0 if node.get("transB", 0) else 1
            out = weight.shape[axis]
    if factor.size not in (1, out) or shift.size not in (1, out) or (old is not None and old.size not in (1, out)):
        return False
    factors = np.broadcast_to(factor.reshape(-1), (out,)).astype(np.float64)
    if node.op_type == "ConvTranspose" and groups > 1:
        shape = (groups, weight.shape[0] // groups, *weight.shape[1:])
        each = factors.reshape(groups, 1, -1, *(1,) * (weight.ndim - 2))
        scaled = (weight.reshape(shape) * each).reshape(weight.shape)
    else:
        each = [1] * weight.ndim
        each[axis] = out
        scaled = weight * factors.reshape(each)
    bias = np.zeros(out) if old is None else np.broadcast_to(old.reshape(-1), (out,)).astype(np.float64)
    new = [net.add_constant(scaled.astype(np.float32), node.input(1))]
    new.append(net.add_constant((bias * factors + shift.reshape(-1)).astype(np.float32), f"{node.name}/bias"))
    node.inputs[1:] = new
    node.proto = None
    return True


def _per_channel(net: Network, node: Node, name: str, out_shape: tuple[int, ...], *, dense: bool) -> Floats | None:
    """Return a constant as a vector of channels, None where it differs along another axis."""
    value = net.constant(name)
    if value is None or value.dtype != np.float32 or value.ndim > len(out_shape):
        return None
    whole = value.reshape((1,) * (len(out_shape) - value.ndim) + value.shape)
    channel = len(out_shape) - 1 if dense else 1
    if any(dim != 1 for axis, dim in enumerate(whole.shape) if axis != channel):
        return None
    del node
    return whole.reshape(-1)


def fold_scale_and_shift(net: Network) -> bool:
    """Fold Mul, Div, Add and Sub by constants into the linear node before them."""
    changed = False
    while _fold_once(net):
        changed = True
    return changed


def _fold_once(net: Network) -> bool:
    consumers, producers = net.consumers(), net.producers()
    done: set[int] = set()
    touched: set[str] = set()
    for node in net.nodes:
        if node.op_type not in ("Mul", "Div", "Add", "Sub") or node.domain or len(node.inputs) != 2:
            continue
        first_is_constant = net.is_constant(node.inputs[0])
        x, c = (node.inputs[1], node.inputs[0]) if first_is_constant else (node.inputs[0], node.inputs[1])
        maker, shape = producers.get(x), net.shape(node.outputs[0])
        if maker is None or maker.domain or maker.op_type not in _KINDS or maker.name in touched:
            continue
        if len(consumers[x]) != 1 or x in net.outputs or shape is None or shape != net.shape(x):
            continue
        value = _per_channel(net, node, c, shape, dense=maker.op_type == "Gemm")
        if value is None or (first_is_constant and node.op_type == "Div"):
            continue
        one, none = np.ones(1, np.float32), np.zeros(1, np.float32)
        match node.op_type:
            case "Mul":
                factor, shift = value, none
            case "Div":
                factor, shift = (np.float32(1) / value).astype(np.float32), none
            case "Add":
                factor, shift = one, value
            case _:
                factor, shift = (-one, value) if first_is_constant else (one, -value)
        if np.all(np.isfinite(factor)) and scale_weights(net, maker, factor, shift):
            maker.outputs[0] = node.outputs[0]
            maker.proto = None
            touched.add(maker.name)
            done.add(id(node))
    net.nodes[:] = [node for node in net.nodes if id(node) not in done]
    return bool(done)
