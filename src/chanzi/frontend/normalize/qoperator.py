"""Networks in ONNX Runtime's QOperator form (QLinearConv and its kin), written as QDQ."""

from dataclasses import dataclass

import numpy as np

from chanzi.frontend.network import Network, Node

_PLAIN = {
    "QLinearMatMul": "MatMul",
    "QLinearAdd": "Add",
    "QLinearMul": "Mul",
    "QLinearSigmoid": "Sigmoid",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearSoftmax": "Softmax",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearAveragePool": "AveragePool",
    "QLinearReduceMean": "ReduceMean",
}
_DROPPED = ("channels_last", "opset")


def to_qdq(net: Network) -> bool:
    """Replace every QLinear operator that can be written so."""
    nodes: list[Node] = []
    changed = False
    for node in net.nodes:
        made = _expand(net, node)
        nodes.extend(made or [node])
        changed |= bool(made)
    net.nodes[:] = nodes
    return changed


@dataclass(slots=True, kw_only=True)
class _Writer:
    net: Network
    node: Node
    nodes: list[Node]

    def dequantized(self, at: int, axis: int = 0) -> str:
        """Return the float value of the operand whose value, scale and zero point start at input `at`."""
        value, scale, zero = (self.node.input(at + i) for i in range(3))
        out = self.net.fresh(value)
        inputs = [value, scale, zero] if zero else [value, scale]
        name = f"{self.node.name}/dequantize{at}"
        attributes = {"axis": axis} if self.net.is_constant(value) else {}
        self.nodes.append(
            Node(op_type="DequantizeLinear", inputs=inputs, outputs=[out], name=name, attributes=attributes)
        )
        return out

    def bias(self, name: str, x_scale: str, w_scale: str) -> str:
        """Return the float value of an int32 bias."""
        a, b = self.net.constant(x_scale), self.net.constant(w_scale)
        if not name or a is None or b is None:
            return ""
        scale = self.net.add_constant((a.reshape(-1)[0] * b.reshape(-1)).astype(np.float32), f"{name}/scale")
        if b.size == 1:
            scale = self.net.add_constant(np.asarray(a.reshape(-1)[0] * b.reshape(-1)[0], np.float32), f"{name}/scale")
        out = self.net.fresh(name)
        self.nodes.append(
            Node(
                op_type="DequantizeLinear",
                inputs=[name, scale],
                outputs=[out],
                name=f"{self.node.name}/bias",
                attributes={"axis": 0},
            )
        )
        return out

    def operator(self, op_type: str, inputs: list[str], scale: str, zero: str, attributes: dict[str, object]) -> None:
        """Write the float operator and quantize its result."""
        out = self.net.fresh(self.node.outputs[0])
        name = self.node.name
        self.nodes.append(Node(op_type=op_type, inputs=inputs, outputs=[out], name=name, attributes=attributes))
        ends = [out, scale, *([zero] if zero else [])]
        self.nodes.append(
            Node(op_type="QuantizeLinear", inputs=ends, outputs=list(self.node.outputs), name=f"{name}/quantize")
        )


def _expand(net: Network, node: Node) -> list[Node]:
    write = _Writer(net=net, node=node, nodes=[])
    attributes = {key: value for key, value in node.attributes.items() if key not in _DROPPED}
    if node.get("channels_last", 0):
        return []
    match node.op_type:
        case "QLinearConv":
            inputs = [write.dequantized(0), write.dequantized(3)]
            bias = write.bias(node.input(8), node.input(1), node.input(4))
            if node.input(8) and not bias:
                return []
            write.operator("Conv", [*inputs, *([bias] if bias else [])], node.input(6), node.input(7), attributes)
        case "QGemm":
            inputs = [write.dequantized(0), write.dequantized(3, axis=0 if node.get("transB", 0) else 1)]
            bias = write.bias(node.input(6), node.input(1), node.input(4))
            if not node.input(7) or (node.input(6) and not bias):
                return []
            write.operator("Gemm", [*inputs, *([bias] if bias else [])], node.input(7), node.input(8), attributes)
        case "QLinearConcat":
            parts = [write.dequantized(at) for at in range(2, len(node.inputs), 3)]
            write.operator("Concat", parts, node.input(0), node.input(1), attributes)
        case "QLinearMatMul" | "QLinearAdd" | "QLinearMul":
            pair = [write.dequantized(0, axis=1), write.dequantized(3, axis=1)]
            write.operator(_PLAIN[node.op_type], pair, node.input(6), node.input(7), attributes)
        case kind if kind in _PLAIN:
            write.operator(_PLAIN[kind], [write.dequantized(0)], node.input(3), node.input(4), attributes)
    return write.nodes
