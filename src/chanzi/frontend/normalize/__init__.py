"""One rewrite a file: the ways exporters write one thing, made one way.

A rewrite changes a float `Network` in place, so that what it computes stays the same, and tells whether it did.
"""

from collections.abc import Callable

from chanzi.frontend.network import Network
from chanzi.frontend.normalize.batch_norm import fold_batch_norm
from chanzi.frontend.normalize.constants import fold_constants
from chanzi.frontend.normalize.dead import drop_dead
from chanzi.frontend.normalize.gelu import recognise_gelu
from chanzi.frontend.normalize.global_pool import pool_over_maps
from chanzi.frontend.normalize.hard_swish import recognise_hard_swish
from chanzi.frontend.normalize.identity import drop_identities
from chanzi.frontend.normalize.linear import fold_scale_and_shift
from chanzi.frontend.normalize.matmul_bias import matmul_and_bias
from chanzi.frontend.normalize.pad import fold_pads
from chanzi.frontend.normalize.sum_to_add import sums_to_additions
from chanzi.frontend.normalize.upgrade import upgrade

PIPELINE: tuple[Callable[[Network], bool], ...] = (
    upgrade,
    fold_constants,
    drop_identities,
    sums_to_additions,
    fold_batch_norm,
    fold_scale_and_shift,
    fold_pads,
    pool_over_maps,
    matmul_and_bias,
    recognise_gelu,
    recognise_hard_swish,
    drop_dead,
)


def normalize(net: Network) -> Network:
    """Run every rewrite on a float network, in order, and infer its shapes anew."""
    from chanzi.frontend.onnx_import import infer_shapes

    for rewrite in PIPELINE:
        if rewrite(net):
            infer_shapes(net)
    return net
