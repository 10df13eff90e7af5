"""Typed graph + chip -> program: fuse, lay out, lower, tile, schedule, place, synchronise."""

from chanzi.compiler.pipeline import compile_graph

__all__ = ["compile_graph"]
