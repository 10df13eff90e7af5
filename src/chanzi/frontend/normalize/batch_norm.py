"""BatchNormalization: into the convolution before it, or a depthwise convolution of one pixel where there is none."""

import numpy as np

from chanzi.frontend.network import Network, Node
from chanzi.frontend.normalize.linear import scale_weights


def fold_batch_norm(net: Network) -> bool:
    """Fold or replace every BatchNormalization with constant statistics."""
    consumers, producers = net.consumers(), net.producers()
    kept: list[Node] = []
    changed = False
    for node in net.nodes:
        if node.op_type != "BatchNormalization" or node.domain or any(node.outputs[1:]) or node.get("training_mode", 0):
            kept.append(node)
            continue
        values = [net.constant(name) for name in node.inputs[1:5]]
        if len(values) != 4 or any(value is None for value in values):
            kept.append(node)
            continue
        gamma, beta, mean, variance = (np.asarray(value, np.float64) for value in values)
        factor = gamma / np.sqrt(variance + node.get("epsilon", 1e-5))
        shift = beta - mean * factor
        x = node.inputs[0]
        maker = producers.get(x)
        if (
            maker is not None
            and maker.op_type in ("Conv", "ConvTranspose", "Gemm")
            and not maker.domain
            and len(consumers[x]) == 1
            and x not in net.outputs
            and scale_weights(net, maker, factor.astype(np.float32), shift.astype(np.float32))
        ):
            maker.outputs[0] = node.outputs[0]
            producers[node.outputs[0]] = maker
            changed = True
            continue
        kept.append(_depthwise(net, node, factor, shift))
        changed = True
    net.nodes[:] = kept
    return changed


def _depthwise(net: Network, node: Node, factor: np.ndarray, shift: np.ndarray) -> Node:  # type: ignore[type-arg]
    shape = net.shape(node.inputs[0])
    if shape is None or len(shape) not in (3, 4):
        return node
    weight = factor.astype(np.float32).reshape(-1, 1, *(1,) * (len(shape) - 2))
    inputs = [
        node.inputs[0],
        net.add_constant(weight, f"{node.name}/weight"),
        net.add_constant(shift.astype(np.float32), f"{node.name}/bias"),
    ]
    attributes = {"group": int(factor.size), "kernel_shape": [1] * (len(shape) - 2)}
    return Node(op_type="Conv", inputs=inputs, outputs=[node.outputs[0]], name=node.name, attributes=attributes)
