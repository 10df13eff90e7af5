"""A frame of seeded noise for a network: what calibrates it where only cycles and events count, not values."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx


def noise_frame(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Return normally distributed inputs of the network in a file, unknown sides taken as 1."""
    graph = onnx.load(path).graph
    rng = np.random.default_rng(0)
    constant = {t.name for t in graph.initializer}
    return {
        i.name: rng.standard_normal([d.dim_value or 1 for d in i.type.tensor_type.shape.dim]).astype(np.float32)
        for i in graph.input
        if i.name not in constant
    }
