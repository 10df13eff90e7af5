"""M-LSD, the line detector: its head taken apart before quantization, and its lines decoded."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.errors import ModelError

FloatArray = npt.NDArray[np.float32]
SIDE = 256
"""Cells along each side of the score map, two pixels each."""
LEAST_LENGTH = 10.0
"""Shorter lines, in cells, are dropped: twenty pixels, as the network's authors do."""


def convert(model_bytes: bytes) -> bytes:
    """Give the score and the offsets a convolution each; the float network computes the same.

    The network's last convolution writes sixteen channels into one tensor: logits of a few units beside offsets of
    over a hundred cells. With one scale for all of them int8 leaves nothing of the scores (1 % of the lines survive),
    so its filters are dealt out to one convolution per Slice that follows; filters nobody reads are dropped.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_model_from_string(model_bytes)
    graph = model.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    resize = next((node for node in reversed(graph.node) if node.op_type == "Resize"), None)
    slices = [
        node for node in graph.node if resize is not None and node.op_type == "Slice" and node.input[0] in resize.output
    ]
    conv = next((node for node in graph.node if resize is not None and node.output[0] == resize.input[0]), None)
    if resize is None or conv is None or conv.op_type != "Conv" or len(slices) != 2:
        raise ModelError("not the M-LSD network: its head is not Conv, Resize and two Slices")
    at = list(graph.node).index(conv)
    made: list[Any] = []
    for index, node in enumerate(slices):
        channel = list(values[node.input[3]]).index(1)
        low, high = int(values[node.input[1]][channel]), int(values[node.input[2]][channel])
        names = [f"head_{index}.weight", f"head_{index}.bias", f"head_{index}.size"]
        arrays = [values[conv.input[1]][low:high], values[conv.input[2]][low:high]]
        arrays.append(np.array([1, high - low, SIDE, SIDE], np.int64))
        graph.initializer.extend(numpy_helper.from_array(a, name) for a, name in zip(arrays, names, strict=True))
        part = helper.make_node("Conv", [conv.input[0], *names[:2]], [f"head_{index}"], f"head_{index}")
        part.attribute.extend(conv.attribute)
        grown = helper.make_node("Resize", [part.output[0], *resize.input[1:3], names[2]], list(node.output))
        grown.name = f"{resize.name}_{index}"
        grown.attribute.extend(resize.attribute)
        made += [part, grown]
    nodes = [node for node in graph.node if node not in (conv, resize, *slices)]
    nodes[at:at] = made
    wanted = {output.name for output in graph.output}
    kept: list[Any] = []
    for node in reversed(nodes):  # what computed the old Resize's size is read by nobody now
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.insert(0, node)
    del graph.node[:]
    graph.node.extend(kept)
    weights = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(weights)
    del graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def decode(outputs: Mapping[str, FloatArray], *, threshold: float = 0.2) -> FloatArray:
    """Return the lines as rows (y0, x0, y1, x1) in cells, best first."""
    scores, offsets = outputs["scores"][0, :, :, 0], outputs["offsets"][0]
    y, x = np.nonzero(scores > threshold)
    order = np.argsort(-scores[y, x], kind="stable")
    y, x = y[order], x[order]
    x0, y0, x1, y1 = offsets[y, x].T
    lines = np.stack([y + y0, x + x0, y + y1, x + x1], axis=1).astype(np.float32)
    return lines[np.hypot(lines[:, 2] - lines[:, 0], lines[:, 3] - lines[:, 1]) > LEAST_LENGTH]


def agreement(found: FloatArray, truth: FloatArray, *, most_distance: float = 5.0) -> float:
    """Return the F1 of two sets of lines: each should have one of the other set near both its ends, in cells."""
    if not len(found) or not len(truth):
        return float(len(found) == len(truth))
    ends, others = found.reshape(-1, 1, 2, 2), truth.reshape(1, -1, 2, 2)
    apart = [np.linalg.norm(ends - way, axis=-1).max(axis=-1) for way in (others, others[:, :, ::-1])]
    near = np.minimum(*apart) <= most_distance
    precision, recall = near.any(axis=1).mean(), near.any(axis=0).mean()
    return float(2 * precision * recall / max(precision + recall, 1e-9))
