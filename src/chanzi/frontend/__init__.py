"""ONNX in, the typed int8 graph out."""

from chanzi.frontend.load import load

__all__ = ["load"]
