"""HardSwish written out: ``x * clip(x + 3, 0, 6) / 6``, or ``x * hard_sigmoid(x)``."""

import math

from chanzi.frontend.network import Network, Node

NEEDED_OPSET = 14


def _near(value: float | None, number: float) -> bool:
    return value is not None and math.isclose(value, number, rel_tol=1e-3, abs_tol=1e-6)


def _by_constant(net: Network, node: Node) -> tuple[str, float] | None:
    """Return (x, number) of a node with one constant number."""
    for i in (1, 0):
        number = net.scalar(node.inputs[i]) if len(node.inputs) == 2 else None
        if number is not None and (i == 1 or node.op_type != "Div"):
            return node.inputs[1 - i], number
    return None


def _gate(net: Network, producers: dict[str, Node], name: str) -> tuple[str, float, list[Node]] | None:
    """Return (x, what it is a multiple of, its nodes) where the value is clip(x + 3, 0, 6) / (6 / multiple)."""
    node = producers.get(name)
    if node is None or node.domain:
        return None
    if node.op_type == "HardSigmoid":
        same = _near(node.get("alpha", 0.2), 1 / 6) and _near(node.get("beta", 0.5), 0.5)
        return (node.inputs[0], 1.0, [node]) if same else None
    if node.op_type in ("Div", "Mul"):
        found = _by_constant(net, node)
        inner = _gate(net, producers, found[0]) if found is not None else None
        if found is None or inner is None:
            return None
        factor = 1 / found[1] if node.op_type == "Div" else found[1]
        return inner[0], inner[1] * factor, [*inner[2], node]
    if node.op_type != "Clip" or not (_near(_limit(net, node, 1), 0) and _near(_limit(net, node, 2), 6)):
        return None
    plus = producers.get(node.inputs[0])
    found = _by_constant(net, plus) if plus is not None and plus.op_type == "Add" else None
    if plus is None or found is None or not _near(found[1], 3):
        return None
    return found[0], 6.0, [plus, node]


def _limit(net: Network, node: Node, index: int) -> float | None:
    return net.scalar(node.input(index)) if node.input(index) else None


def recognise_hard_swish(net: Network) -> bool:
    """Replace the parts by one HardSwish."""
    if net.opset < NEEDED_OPSET:
        return False
    consumers, producers = net.consumers(), net.producers()
    gone: set[int] = set()
    made: dict[int, Node] = {}
    for node in net.nodes:
        if node.op_type != "Mul" or node.domain or len(node.inputs) != 2 or id(node) in gone:
            continue
        for i in (0, 1):
            gate, x = _gate(net, producers, node.inputs[i]), node.inputs[1 - i]
            if gate is None or gate[0] != x:
                continue
            last, scale = node, gate[1]
            chain = [*gate[2], node]
            if not _near(scale, 1):
                after = consumers.get(node.outputs[0], [])
                found = _by_constant(net, after[0]) if len(after) == 1 and after[0].op_type in ("Div", "Mul") else None
                if found is None or node.outputs[0] in net.outputs:
                    continue
                last = after[0]
                chain.append(last)
                scale *= 1 / found[1] if last.op_type == "Div" else found[1]
            alone = all(len(consumers[n.outputs[0]]) == 1 and n.outputs[0] not in net.outputs for n in gate[2])
            if _near(scale, 1) and alone:
                gone.update(id(n) for n in chain)
                made[id(last)] = Node(op_type="HardSwish", inputs=[x], outputs=[last.outputs[0]], name=last.name)
                break
    net.nodes[:] = [made.get(id(node), node) for node in net.nodes if id(node) in made or id(node) not in gone]
    return bool(made)
