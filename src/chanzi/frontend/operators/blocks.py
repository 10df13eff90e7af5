"""DepthToSpace and SpaceToDepth: convolutions with a single one in every filter, which copy bytes as they are."""

import numpy as np

from chanzi.frontend.context import Context, Translator
from chanzi.frontend.layout import NCHW, Refused
from chanzi.frontend.network import Node
from chanzi.graph.ops import Conv


def _spread(ctx: Context, node: Node) -> None:
    x = ctx.map(node.input(0), NCHW)
    block = int(node.get("blocksize"))
    channels = x.shape[2] // block**2
    if block < 1 or channels * block**2 != x.shape[2]:
        raise Refused("a block that does not fit its channels")
    index = np.arange(x.shape[2])
    if node.get("mode", "DCR") == "DCR":
        index = index.reshape(block, block, channels).transpose(2, 0, 1)
    else:
        index = index.reshape(channels, block, block)
    weight = np.zeros((channels, block, block, x.shape[2]), np.int8)
    np.put_along_axis(weight, index[..., None], 1, axis=3)
    _copy(ctx, node, weight, block, transposed=True)


def _gather(ctx: Context, node: Node) -> None:
    x = ctx.map(node.input(0), NCHW)
    block, channels = int(node.get("blocksize")), x.shape[2]
    weight = np.zeros((block, block, channels, block, block, channels), np.int8)
    for i in range(block):
        for j in range(block):
            weight[i, j, :, i, j] = np.eye(channels, dtype=np.int8)
    _copy(ctx, node, weight.reshape(-1, block, block, channels), block, transposed=False)


def _copy(ctx: Context, node: Node, weight: np.ndarray, block: int, *, transposed: bool) -> None:  # type: ignore[type-arg]
    x = ctx.map(node.input(0), NCHW)
    y = ctx.result(node, NCHW, x.quant)
    ctx.emit(
        Conv(
            name=ctx.name(node),
            x=x,
            y=y,
            weight=weight,
            weight_scale=np.ones(weight.shape[0], np.float32),
            strides=(block, block),
            transposed=transposed,
        )
    )


TRANSLATORS: dict[str, Translator] = {"DepthToSpace": _spread, "SpaceToDepth": _gather}
