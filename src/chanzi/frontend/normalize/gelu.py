"""GELU as exporters write it: ``x * (1 + erf(x / sqrt(2))) * 0.5`` in any order."""

import math

from chanzi.frontend.network import Network, Node


def _single(consumers: dict[str, list[Node]], net: Network, name: str, kind: str) -> Node | None:
    readers = consumers.get(name, [])
    found = len(readers) == 1 and readers[0].op_type == kind and name not in net.outputs
    return readers[0] if found else None


def _other(node: Node, name: str) -> str:
    return node.inputs[1] if node.inputs[0] == name else node.inputs[0]


def _is(net: Network, name: str, number: float) -> bool:
    value = net.scalar(name)
    return value is not None and math.isclose(value, number, rel_tol=1e-4)


def _source(net: Network, producers: dict[str, Node], erf: Node) -> tuple[str, Node] | None:
    """Return x and the node that makes x / sqrt(2)."""
    maker = producers.get(erf.inputs[0])
    if maker is None or maker.op_type not in ("Div", "Mul"):
        return None
    if maker.op_type == "Div":
        return (maker.inputs[0], maker) if _is(net, maker.inputs[1], math.sqrt(2)) else None
    for i in (0, 1):
        if _is(net, maker.inputs[i], math.sqrt(0.5)):
            return maker.inputs[1 - i], maker
    return None


def recognise_gelu(net: Network) -> bool:
    """Replace the parts by one Gelu (ONNX's from opset 20 on, ONNX Runtime's own before)."""
    consumers, producers = net.consumers(), net.producers()
    gone: set[int] = set()
    made: dict[int, Node] = {}
    for erf in net.nodes:
        found = _source(net, producers, erf) if erf.op_type == "Erf" else None
        plus = _single(consumers, net, erf.outputs[0], "Add") if found else None
        if found is None or plus is None or not _is(net, _other(plus, erf.outputs[0]), 1.0):
            continue
        x, inner = found
        end = _products(net, consumers, producers, plus, x)
        if end is None:
            continue
        last, between = end
        used = [erf, plus, *between]
        if len(consumers[inner.outputs[0]]) == 1:
            used.append(inner)
        gone.update(id(node) for node in used)
        domain = "" if net.opset >= 20 else "com.microsoft"
        if domain:
            net.opsets.setdefault(domain, 1)
        made[id(last)] = Node(op_type="Gelu", domain=domain, inputs=[x], outputs=[last.outputs[0]], name=last.name)
    net.nodes[:] = [made.get(id(node), node) for node in net.nodes if id(node) in made or id(node) not in gone]
    return bool(made)


def _products(
    net: Network, consumers: dict[str, list[Node]], producers: dict[str, Node], plus: Node, x: str
) -> tuple[Node, list[Node]] | None:
    """Return the last of the two products, with x and with 0.5, and both."""
    first = _single(consumers, net, plus.outputs[0], "Mul")
    if first is None:
        return None
    other = _other(first, plus.outputs[0])
    half = producers.get(other)
    if half is not None and half.op_type == "Mul" and x in half.inputs and _is(net, _other(half, x), 0.5):
        return first, [first, *([half] if len(consumers[other]) == 1 else [])]
    second = _single(consumers, net, first.outputs[0], "Mul")
    if second is None:
        return None
    rest = _other(second, first.outputs[0])
    if (other == x and _is(net, rest, 0.5)) or (_is(net, other, 0.5) and rest == x):
        return second, [first, second]
    return None
