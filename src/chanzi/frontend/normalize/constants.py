"""What depends on constants and known shapes alone is computed once, by ONNX Runtime."""

import numpy as np

from chanzi.errors import ModelError
from chanzi.frontend.network import Network, Node, model_of

LARGEST_BYTES = 64 << 20
_RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
_QUIET = 4


def fold_constants(net: Network) -> bool:
    """Replace shapes that are known, and then every node that reads only constants, by constants."""
    changed = _known_shapes(net)
    known: set[str] = set()
    folded: list[Node] = []
    for node in net.nodes:
        if node.op_type in _RANDOM or node.captured or any(out in net.outputs for out in node.outputs):
            continue
        if all(net.is_constant(name) or name in known for name in node.reads) and _small(net, node):
            folded.append(node)
            known.update(node.outputs)
    if not folded:
        return changed
    gone = {id(node) for node in folded}
    rest = [node for node in net.nodes if id(node) not in gone]
    wanted = [name for name in dict.fromkeys(n for node in rest for n in node.reads) if name in known]
    if wanted:
        for name, value in zip(wanted, _run(net, folded, wanted), strict=True):
            net.set_constant(name, value)
    net.nodes[:] = rest
    return True


def _small(net: Network, node: Node) -> bool:
    for out in node.outputs:
        shape = net.shape(out) if out else ()
        if shape is not None and int(np.prod(shape, dtype=np.int64)) * 8 > LARGEST_BYTES:
            return False
    return True


def _known_shapes(net: Network) -> bool:
    changed = False
    kept = []
    for node in net.nodes:
        shape = net.shape(node.input(0)) if node.op_type in ("Shape", "Size") and not node.domain else None
        if shape is None or node.outputs[0] in net.outputs or net.is_constant(node.input(0)):
            kept.append(node)
            continue
        if node.op_type == "Size":
            value = np.asarray(np.prod(shape, dtype=np.int64))
        else:
            value = np.asarray(shape[slice(node.get("start", 0), node.get("end"))], np.int64)
        net.set_constant(node.outputs[0], value)
        changed = True
    net.nodes[:] = kept
    return changed


def _run(net: Network, nodes: list[Node], outputs: list[str]) -> list[np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = 1
    model = model_of(net, nodes, [], outputs, name="constants").SerializeToString()
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
        return session.run(outputs, {})
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise ModelError(f"the constants of '{net.name}' cannot be computed: {text}") from None
