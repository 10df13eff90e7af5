"""MetaDrive's roads as ours: the route's line and its junctions; lanes, lines and pavements to be drawn."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from metadrive.constants import PGLineColor, PGLineType

from chanzi.drive.messages import Command
from chanzi.drive.world.metadrive.engine import Leg
from chanzi.drive.world.road import Lane, Line, Route
from chanzi.drive.world.scene.roads import Band, Paint, Stripe

Points = npt.NDArray[np.float64]

NOTICE_M = 45.0
"""How far before a junction the route names the direction."""

_PAST_M = 6.0
"""How far past a fork inside a junction the route names what follows: by then the ways are a car's width apart."""

_STEP_M = 0.5
_BEND_STEP_RAD = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What the route asks for at one fork, from one distance along it to another.

    Parameters
    ----------
    begin_m, end_m : float
        Where it is asked for.
    inside_m : float
        From where to `end_m` the car is inside the junction.
    command : Command
    """

    begin_m: float
    end_m: float
    inside_m: float
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Roads:
    """What is drawn of a map."""

    lanes: tuple[Band, ...]
    walks: tuple[Band, ...]
    stripes: tuple[Stripe, ...]


def centre_line(lane: Any, step_m: float = _STEP_M) -> Points:
    """Return a lane's centre (N, 2), about `step_m` apart."""
    return _offset(lane, 0.0, max(2, math.ceil(lane.length / step_m) + 1))


def route_of(legs: Sequence[Leg]) -> tuple[Route, tuple[Turn, ...]]:
    """Return the line to drive along, and what the route asks for on the way: a turn for each fork of a junction.

    A crossing has one fork. A roundabout has one at each exit, and looks the same before each: `LEFT` is to
    stay in it, past the next exit, and `RIGHT` is to leave it there.
    """
    line = Route(np.concatenate([centre_line(leg.lane) for leg in legs]))
    ends = np.cumsum([leg.lane.length for leg in legs])
    begins = np.concatenate([[0.0], ends[:-1]])
    turns = []
    for number in dict.fromkeys(leg.junction for leg in legs if leg.junction is not None):
        part = [k for k, leg in enumerate(legs) if leg.junction == number]
        forks = [k for k in part if legs[k].fork] or part[:1]
        begin, inside = float(begins[part[0]]) - NOTICE_M, float(begins[part[0]])
        for fork, following in zip(forks, [*forks[1:], part[-1] + 1], strict=True):
            first, last = legs[fork].lane, legs[following - 1].lane
            angle = math.remainder(last.heading_theta_at(last.length) - first.heading_theta_at(0.0), 2 * math.pi)
            command = Command.STRAIGHT if abs(angle) < math.pi / 4 else Command.LEFT if angle > 0 else Command.RIGHT
            end = float(ends[part[-1]] if fork == forks[-1] else begins[fork] + _PAST_M)
            turns.append(Turn(begin_m=begin, end_m=end, inside_m=inside, command=command))
            begin = inside = end
    return line, tuple(turns)


def roads_of(road_map: Any) -> Roads:
    """Return what is drawn of a map of MetaDrive."""
    lanes, stripes = [], []
    for lane, right_too in _lanes(road_map):
        count = math.ceil(abs(_turn(lane)) / _BEND_STEP_RAD) + 2
        half = lane.width / 2
        lanes.append(Band(left_m=_offset(lane, half, count), right_m=_offset(lane, -half, count)))
        for side, at in ((0, half), (1, -half)):
            paint = _paint(lane.line_types[side], lane.line_colors[side])
            if paint is not None and (side == 0 or right_too):
                stripes.append(Stripe(points_m=_offset(lane, at, count), paint=paint))
    walks = []
    for walk in (walk for block in road_map.blocks for walk in block.sidewalks.values()):
        corners = np.asarray(walk["polygon"], np.float64)
        if len(corners) >= 4:
            half = len(corners) // 2
            walks.append(_facing_up(corners[:half], corners[half:][::-1]))
    return Roads(lanes=tuple(lanes), walks=tuple(walks), stripes=tuple(stripes))


def plain_lanes_of(road_map: Any) -> list[Lane]:
    """Return a map's lanes with their lines, for the picture from above and for what stands beside them."""
    kinds = {
        Paint.WHITE_DASHED: Line.DASHED,
        Paint.WHITE_SOLID: Line.SOLID,
        Paint.YELLOW_SOLID: Line.SOLID,
        None: Line.NONE,
    }
    lanes = []
    for lane, right_too in _lanes(road_map):
        left, right = (kinds[_paint(lane.line_types[k], lane.line_colors[k])] for k in (0, 1))
        lanes.append(
            Lane(points_m=centre_line(lane), width_m=lane.width, left=left, right=right if right_too else Line.NONE)
        )
    return lanes


def _lanes(road_map: Any) -> Iterator[tuple[Any, bool]]:
    """Yield each lane, and whether the line to its right is its own: a neighbour draws it otherwise."""
    for start, ways in road_map.road_network.graph.items():
        for road in ways.values():
            for lane in road:
                yield lane, lane is road[-1] or start == "decoration"


def _turn(lane: Any) -> float:
    return math.remainder(lane.heading_theta_at(lane.length) - lane.heading_theta_at(0.0), 2 * math.pi)


def _offset(lane: Any, left_m: float, count: int) -> Points:
    """Return points (N, 2) along a lane; MetaDrive's sideways is to the right."""
    return np.array([lane.position(s, -left_m) for s in np.linspace(0.0, lane.length, count)], np.float64)


def _facing_up(one: Points, other: Points) -> Band:
    along, across = one[1] - one[0], other[0] - one[0]
    left = along[0] * across[1] - along[1] * across[0] > 0
    return Band(left_m=other, right_m=one) if left else Band(left_m=one, right_m=other)


def _paint(kind: str, colour: Any) -> Paint | None:
    if kind == PGLineType.NONE:
        return None
    if kind == PGLineType.BROKEN:
        return Paint.WHITE_DASHED
    return Paint.YELLOW_SOLID if colour == PGLineColor.YELLOW else Paint.WHITE_SOLID
