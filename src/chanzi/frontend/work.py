"""How many multiply-accumulates an ONNX node takes."""

import numpy as np

from chanzi.frontend.network import Network, Node

_DOMAINS = ("", "com.microsoft")


def node_macs(net: Network, node: Node) -> int:
    """Return the multiply-accumulates of an ONNX node, quantized or not."""
    try:
        return _node_macs(net, node)
    except (TypeError, IndexError):
        return 0


def _node_macs(net: Network, node: Node) -> int:
    x, w, y = (net.shape(name) for name in (node.input(0), node.input(1), node.outputs[0]))
    if node.domain not in _DOMAINS or x is None or w is None or y is None:
        return 0
    match node.op_type:
        case "Conv":
            return int(np.prod(y, dtype=np.int64) * np.prod(w[1:], dtype=np.int64))
        case "ConvTranspose":
            return int(np.prod(x, dtype=np.int64) * np.prod(w[1:], dtype=np.int64))
        case "Gemm":
            inner = x[0] if node.get("transA", 0) else x[1]
            return int(np.prod(y, dtype=np.int64) * inner)
        case "MatMul":
            return int(np.prod(y, dtype=np.int64) * x[-1])
    return 0
