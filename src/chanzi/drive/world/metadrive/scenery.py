"""A map of MetaDrive as meshes: its ground, and the trees and posts beside its roads."""

from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.drive.world.look import Look
from chanzi.drive.world.metadrive.roads import plain_lanes_of, roads_of
from chanzi.drive.world.scene.mesh import Mesh, joined, placed
from chanzi.drive.world.scene.roads import ground_mesh
from chanzi.drive.world.scene.shapes import post, tree
from chanzi.drive.world.wayside import scatter

_MOST_TREES = 260
_SQUARE_M = 50.0


def dress(road_map: Any, look: Look, rng: np.random.Generator) -> tuple[Mesh, list[Mesh]]:
    """Return the ground, and what stands on it, a mesh for each square that holds something.

    Parameters
    ----------
    road_map : metadrive map
    look : Look
    rng : numpy.random.Generator
    """
    roads = roads_of(road_map)
    ground = ground_mesh(roads.lanes, roads.walks, roads.stripes, look)
    wayside = scatter(plain_lanes_of(road_map), rng)
    squares: dict[tuple[int, int], list[Mesh]] = {}

    def add(mesh: Mesh, place_m: npt.NDArray[np.float64], scale: float = 1.0) -> None:
        column, row = (int(c // _SQUARE_M) for c in place_m)
        squares.setdefault((column, row), []).append(placed(mesh, place_m, scale))

    trees = np.flatnonzero(wayside.kinds != 2)
    for k in rng.permutation(trees)[:_MOST_TREES]:
        r, g, b = (float(c) for c in wayside.tones[k])
        add(tree(float(wayside.heights_m[k]), (r, g, b), pointed=bool(wayside.kinds[k] == 1)), wayside.places_m[k])
    one = post(1.0)
    for k in np.flatnonzero(wayside.kinds == 2):
        add(one, wayside.places_m[k], float(wayside.heights_m[k]))
    return ground, [joined(meshes) for meshes in squares.values()]
