"""The pedestrian detector: SSDLite on MobileNetV2, 300x300, one class; from a TensorFlow graph, decoded here.

The ONNX network ends at the twelve raw head convolutions (``boxes_0`` ... ``boxes_5``, ``logits_0`` ...
``logits_5``, NCHW), so that boxes and scores never share a scale; anchors, decoding and non-maximum suppression are
this module's.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from chanzi.zoo.boxes import Detections, nms, sigmoid
from chanzi.zoo.frozen_graph import Converter, read_graph

FloatArray = npt.NDArray[np.float32]

SIZE = 300
LEVELS = (19, 10, 5, 3, 2, 1)
SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
BOX_VARIANCES = (10.0, 10.0, 5.0, 5.0)
"""The graph's own divisors of the encodings, in the order y, x, height, width."""
NMS_IOU = 0.6
OUTPUTS = tuple(f"{kind}_{level}" for level in range(6) for kind in ("boxes", "logits"))


def convert(graph: bytes) -> bytes:
    """Return the ONNX network (input ``image`` (1, 3, 300, 300) in [-1, 1]) of the serialized frozen graph."""
    from onnx import TensorProto, checker, helper

    start = "FeatureExtractor/MobilenetV2/MobilenetV2/input"
    converter = Converter(read_graph(graph), start, "image", (SIZE, SIZE))
    outputs = []
    for level, (side, anchors) in enumerate(zip(LEVELS, (3, 6, 6, 6, 6, 6), strict=True)):
        for kind, head, width in (("boxes", "BoxEncodingPredictor", 4), ("logits", "ClassPredictor", 2)):
            name = f"{kind}_{level}"
            converter.rename(converter.convert(f"BoxPredictor_{level}/{head}/BiasAdd"), name)
            shape = [1, anchors * width, side, side]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE])
    body = helper.make_graph(converter.onnx_nodes, "pedestrian", [image], outputs, converter.initializers)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model, full_check=True)
    return model.SerializeToString()


@cache
def anchors() -> FloatArray:
    """Return the 1,917 anchors as rows (centre y, centre x, height, width) in parts of the image's sides."""
    rows = []
    for level, side in enumerate(LEVELS):
        if level == 0:
            shapes = [(0.1, 1.0), (0.2, 2.0), (0.2, 0.5)]
        else:
            scale, between = SCALES[level], float(np.sqrt(SCALES[level] * SCALES[level + 1]))
            shapes = [(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 0.3333)] + [(between, 1.0)]
        for y in range(side):
            for x in range(side):
                centre = ((y + 0.5) / side, (x + 0.5) / side)
                rows.extend((*centre, scale / np.sqrt(ratio), scale * np.sqrt(ratio)) for scale, ratio in shapes)
    return np.array(rows, np.float32)


def _rows(maps: Sequence[FloatArray], width: int) -> FloatArray:
    """Put (1, anchors * width, y, x) maps into rows of `width` in the anchors' order."""
    return np.concatenate([m[0].transpose(1, 2, 0).reshape(-1, width) for m in maps])


def decode(outputs: Mapping[str, FloatArray], *, threshold: float = 0.3, most: int = 100) -> Detections:
    """Turn the network's twelve outputs into detections.

    Parameters
    ----------
    outputs : mapping
        ``boxes_i`` and ``logits_i`` for i in 0..5; class 0 of the logits is the background.
    threshold : float
        Least score.
    most : int
        At most this many detections.
    """
    encodings = _rows([outputs[f"boxes_{level}"] for level in range(6)], 4) / np.array(BOX_VARIANCES, np.float32)
    scores = sigmoid(_rows([outputs[f"logits_{level}"] for level in range(6)], 2)[:, 1])
    keep = scores > threshold
    encodings, anchor, scores = encodings[keep], anchors()[keep], scores[keep]
    centre = encodings[:, :2] * anchor[:, 2:] + anchor[:, :2]
    half = np.exp(encodings[:, 2:]) * anchor[:, 2:] / 2
    boxes = np.clip(np.concatenate([centre - half, centre + half], axis=1), 0, 1).astype(np.float32)
    best = nms(boxes, scores, NMS_IOU)[:most]
    return Detections(boxes=boxes[best], scores=scores[best])
