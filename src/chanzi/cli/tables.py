"""Rich tables and outputs of a network on stdout."""

import sys
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

PIPED_WIDTH = 160
"""Columns where stdout is no terminal: nothing is cut off for a reader that has no width."""


def show(*tables: Table) -> None:
    """Write tables to stdout."""
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)
    for table in tables:
        console.print(table)


def output_lines(name: str, value: Any) -> list[str]:
    """Return an output in one line, or the five highest scores where it looks like a classifier's."""
    array = np.asarray(value)
    head = f"{name}: {array.dtype} {list(array.shape)}"
    if array.dtype.kind not in "fiu" or not array.size:
        return [head]
    flat = array.reshape(-1).astype(np.float64)
    if array.ndim <= 2 and 1 < flat.size == array.shape[-1] <= 10_000:
        best = np.argsort(-flat, kind="stable")[:5]
        return [f"{head}, highest: " + ", ".join(f"[{i}] {flat[i]:.4g}" for i in best)]
    if flat.size <= 8:
        return [f"{head}: " + ", ".join(f"{v:.4g}" for v in flat)]
    return [f"{head}, from {flat.min():.4g} to {flat.max():.4g}, mean {flat.mean():.4g}"]
