"""One family of ONNX operators a file, each turned into operators of the graph; `TRANSLATORS` finds them by name."""

from chanzi.frontend.context import Translator
from chanzi.frontend.operators import affine, blocks, conv, dense, elementwise, join, move, pool, resize

TRANSLATORS: dict[str, Translator] = {
    **blocks.TRANSLATORS,
    **conv.TRANSLATORS,
    **dense.TRANSLATORS,
    **elementwise.TRANSLATORS,
    **affine.TRANSLATORS,
    **join.TRANSLATORS,
    **move.TRANSLATORS,
    **pool.TRANSLATORS,
    **resize.TRANSLATORS,
}

__all__ = ["TRANSLATORS"]
