"""Which nodes of a float network decode a detector's answer: they stay in float."""

from chanzi.frontend.network import Network

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"})
_DECODING = frozenset(
    {
        "ArgMax", "ArgMin", "Cast", "Concat", "Equal", "Exp", "Expand", "Gather", "GatherElements", "GatherND",
        "Greater", "GreaterOrEqual", "If", "Less", "LessOrEqual", "Loop", "Max", "Min", "NonMaxSuppression", "NonZero",
        "Not", "Or", "And", "Pow", "Range", "ScatterElements", "ScatterND", "Shape", "Tile", "TopK", "Where",
    }
)  # fmt: skip
_PREPARING = frozenset(
    {"Add", "Div", "Flatten", "Mul", "Pow", "Reshape", "Slice", "Split", "Squeeze", "Sub", "Transpose", "Unsqueeze"}
)


def decoding_nodes(net: Network) -> set[str]:
    """Return the names of the nodes after the last weights, from the first that decodes on.

    A final Concat would let boxes and scores share one scale, and what follows it works in pixels.
    """
    before_weights: set[str] = set()
    trailing = []
    for node in reversed(net.nodes):
        if node.op_type in _WEIGHTED or any(out in before_weights for out in node.outputs):
            before_weights.update(node.reads)
        else:
            trailing.append(node)
    decoded: set[str] = set()
    names: set[str] = set()
    for node in reversed(trailing):
        if node.op_type in _DECODING or any(name in decoded for name in node.reads):
            names.add(node.name)
            decoded.update(node.outputs)
    readers = net.consumers()
    for node in trailing:  # backwards: what only prepares the decoding
        after = [reader.name for out in node.outputs for reader in readers.get(out, [])]
        if node.op_type in _PREPARING and after and all(name in names for name in after):
            names.add(node.name)
    return names
