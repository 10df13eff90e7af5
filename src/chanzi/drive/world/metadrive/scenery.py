"""A map of MetaDrive as meshes: its ground, and the trees and posts beside its roads."""

from typing import Any

import numpy as np

from chanzi.drive.world.look import Look
from chanzi.drive.world.metadrive.roads import plain_lanes_of, roads_of
from chanzi.drive.world.scene.mesh import Mesh, joined, placed
from chanzi.drive.world.scene.roads import ground_mesh
from chanzi.drive.world.scene.shapes import post, tree
from chanzi.drive.world.wayside import scatter

_MOST_TREES = 220


def dress(road_map: Any, look: Look, rng: np.random.Generator) -> tuple[Mesh, Mesh | None]:
    """Return the ground and what stands on it.

    Parameters
    ----------
    road_map : metadrive map
    look : Look
    rng : numpy.random.Generator
    """
    roads = roads_of(road_map)
    ground = ground_mesh(roads.lanes, roads.walks, roads.stripes, look)
    wayside = scatter(plain_lanes_of(road_map), rng)
    parts = []
    trees = np.flatnonzero(wayside.kinds != 2)
    for k in rng.permutation(trees)[:_MOST_TREES]:
        r, g, b = (float(c) for c in wayside.tones[k])
        shape = tree(float(wayside.heights_m[k]), (r, g, b), pointed=bool(wayside.kinds[k] == 1))
        parts.append(placed(shape, wayside.places_m[k]))
    one = post(1.0)
    parts += [placed(one, wayside.places_m[k], float(wayside.heights_m[k])) for k in np.flatnonzero(wayside.kinds == 2)]
    return ground, joined(parts) if parts else None
