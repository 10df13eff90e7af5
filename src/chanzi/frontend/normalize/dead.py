"""Nodes whose results nothing reads."""

from chanzi.frontend.network import Network


def drop_dead(net: Network) -> bool:
    """Drop every node that no output depends on."""
    needed = set(net.outputs)
    kept = []
    for node in reversed(net.nodes):
        if any(out in needed for out in node.outputs):
            kept.append(node)
            needed.update(node.reads)
    changed = len(kept) < len(net.nodes)
    net.nodes[:] = kept[::-1]
    return changed
