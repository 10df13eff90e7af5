"""ONNX in, typed int8 graphs out: import, normalise, quantize, cut into chip and host pieces."""

from chanzi.frontend.simple.load import load

__all__ = ["load"]
