"""Rewrites of float networks before quantization, one a file; the pipeline below is their order."""

import onnx

from chanzi.frontend.simple.normalize.global_pool import mean_to_global_pool
from chanzi.frontend.simple.normalize.opset import upgrade_opset
from chanzi.frontend.simple.normalize.sum_to_add import sum_to_add
from chanzi.frontend.simple.prepare import infer_shapes, lift_constants

PIPELINE = (upgrade_opset, sum_to_add, mean_to_global_pool)


def normalize(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network in the form the quantizer and the partition know."""
    from chanzi.frontend.simple.quantize import simplify

    proto = infer_shapes(lift_constants(simplify(proto)))
    for rewrite in PIPELINE:
        proto = rewrite(proto)
    return infer_shapes(proto)
