"""Sum of several values: additions of two."""

from chanzi.frontend.network import Network, Node


def sums_to_additions(net: Network) -> bool:
    """Write every Sum as additions."""
    nodes: list[Node] = []
    changed = False
    for node in net.nodes:
        if node.op_type != "Sum" or node.domain or len(node.inputs) < 2:
            nodes.append(node)
            continue
        changed = True
        so_far = node.inputs[0]
        for i, name in enumerate(node.inputs[1:]):
            last = i == len(node.inputs) - 2
            out = node.outputs[0] if last else net.fresh(node.outputs[0])
            if not last:
                net.infos[out] = net.info(node.outputs[0])
            label = node.name if last else f"{node.name}/{i}"
            nodes.append(Node(op_type="Add", inputs=[so_far, name], outputs=[out], name=label))
            so_far = out
    net.nodes[:] = nodes
    return changed
