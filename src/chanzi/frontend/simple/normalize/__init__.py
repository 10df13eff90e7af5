"""Rewrites of float networks before quantization, one a file; the pipeline below is their order."""

import onnx

from chanzi.frontend.simple.normalize.global_pool import mean_to_global_pool
from chanzi.frontend.simple.prepare import infer_shapes, lift_constants

PIPELINE = (mean_to_global_pool,)


def normalize(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network in the form the quantizer and the partition know."""
    from chanzi.frontend.simple.quantize import simplify

    proto = infer_shapes(lift_constants(simplify(proto)))
    for rewrite in PIPELINE:
        proto = rewrite(proto)
    return proto
