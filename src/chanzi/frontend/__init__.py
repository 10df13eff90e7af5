"""ONNX in, the typed int8 graph out."""
