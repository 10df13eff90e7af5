"""Rewrites of float networks before quantization."""
