"""Where MetaDrive's traffic will be: on its lane, along the way that it has chosen; or, for a while, as it moves now.

Its drivers take bends at 30 km/h that they cannot hold at that speed. Where one drifts off its lane, what it does now
tells more than what it means to do.
"""

import math
from typing import Any

import numpy as np

from chanzi.drive.world.crossing import HORIZON_S, TIMES_S, Forecast

_STEP_RAD = 0.12
_STANDING_M_S = 0.5
_SOON_S = 2.0
_NOWHERE_M = 1e6


def forecasts(vehicle: Any) -> list[Forecast]:
    """Return where a vehicle of MetaDrive's traffic may be."""
    if float(vehicle.speed) < _STANDING_M_S:
        return [_on_lane(vehicle)]
    return [_on_lane(vehicle), _as_it_moves(vehicle)]


def _as_it_moves(vehicle: Any) -> Forecast:
    """Return a forecast at the speed and the rate of turning that a vehicle has now, and of nothing after a while."""
    vx, vy = (float(v) for v in vehicle.velocity)
    speed, way = math.hypot(vx, vy), math.atan2(vy, vx)
    rate = float(vehicle.body.getAngularVelocity()[2])
    soon = TIMES_S <= _SOON_S
    turned = rate * TIMES_S
    # The chord of an arc has the direction of its middle.
    reach = speed * TIMES_S * np.sinc(turned / (2 * math.pi))
    middle = way + turned / 2
    x, y = (float(p) for p in vehicle.position)
    places = np.stack([x + reach * np.cos(middle), y + reach * np.sin(middle)], axis=1)
    return Forecast(
        places_m=np.where(soon[:, None], places, _NOWHERE_M),
        headings_rad=float(vehicle.heading_theta) + turned,
        length_m=vehicle.LENGTH,
        width_m=vehicle.WIDTH,
    )


def _on_lane(vehicle: Any) -> Forecast:
    speed = float(vehicle.speed)
    lane = vehicle.lane
    along, aside = lane.local_coordinates(vehicle.position)
    reach = speed * HORIZON_S + 1.0
    places, headings, left = [vehicle.position], [float(vehicle.heading_theta)], reach
    at = along
    for _ in range(8):
        stop = min(at + left, lane.length)
        if stop > at:
            turn = abs(math.remainder(lane.heading_theta_at(stop) - lane.heading_theta_at(at), 2 * math.pi))
            for s in np.linspace(at, stop, math.ceil(turn / _STEP_RAD) + 2)[1:]:
                places.append(lane.position(float(s), aside))
                headings.append(lane.heading_theta_at(float(s)))
            left -= stop - at
        if left <= 1e-6:
            break
        following = _next(vehicle, lane)
        if following is None:
            break
        at = max(at - lane.length, 0.0)
        lane = following
    line = np.array(places, np.float64)
    if len(line) == 1 or speed < 0.1:
        return Forecast(
            places_m=np.repeat(line[:1], len(TIMES_S), axis=0),
            headings_rad=np.full(len(TIMES_S), headings[0]),
            length_m=vehicle.LENGTH,
            width_m=vehicle.WIDTH,
        )
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    when = speed * TIMES_S
    angles = np.unwrap(headings)
    ahead = np.stack([np.interp(when, way, line[:, k]) for k in (0, 1)], axis=1)
    # Beyond the end of what is known it goes on straight.
    beyond = np.maximum(when - way[-1], 0.0)[:, None]
    ahead = ahead + beyond * (math.cos(angles[-1]), math.sin(angles[-1]))
    return Forecast(
        places_m=ahead,
        headings_rad=np.interp(when, way, angles),
        length_m=vehicle.LENGTH,
        width_m=vehicle.WIDTH,
    )


def _next(vehicle: Any, lane: Any) -> Any:
    """Return the lane on which a vehicle goes on at the end of one, or None."""
    navigation = vehicle.navigation
    if lane.index is None or navigation is None:
        return None
    graph = navigation.map.road_network.graph
    end = lane.index[1]
    nodes = navigation.checkpoints
    if end in nodes[:-1]:
        ways = [graph[end][nodes[nodes.index(end) + 1]]]
    else:
        ways = list(graph.get(end, {}).values())
    lanes = [following for way in ways for following in way]
    return min(lanes, key=lambda following: math.dist(following.start, lane.end), default=None)
