"""MetaDrive as a world: one car, its route, its cameras, its judge."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from chanzi.drive.camera import Camera, rig
from chanzi.drive.messages import PATH_DISTANCES_M, Command, Control, Frame, Status, Truth, Vehicle
from chanzi.drive.world.boxes import gaps
from chanzi.drive.world.careful import LATERAL_M_S2, curve_speeds_m_s, follow_speed_m_s, horizon_m
from chanzi.drive.world.crossing import clear_speed_m_s, trials_m
from chanzi.drive.world.metadrive import engine
from chanzi.drive.world.metadrive.forecast import forecasts
from chanzi.drive.world.metadrive.roads import plain_lanes_of, route_of
from chanzi.drive.world.metadrive.scenarios import SCENARIOS
from chanzi.drive.world.scene.body import Body
from chanzi.drive.world.solids import PAINTS
from chanzi.drive.world.weather import draw_weather
from chanzi.errors import DriveError, did_you_mean

_NEARBY_M = 90.0
_WATCHED_M = 60.0
_SLOWEST_M_S = 2.5
"""Mean speed below which an episode runs out of time."""

_SPARE_S = 30.0
_JUNCTION_1_M = LATERAL_M_S2 / 8.0**2
"""A junction is driven like a bend that allows 8 m/s: nobody here has the right of way."""

_COASTING = 1e-6
"""A push that is none: with none at all MetaDrive brakes a little."""


class MetaDriveWorld:
    """One kind of road in MetaDrive. A process has one at a time: the second takes over from the first.

    Parameters
    ----------
    scenario : str
        straight, curve, intersection, roundabout or mixed.
    cameras : int or sequence of Camera
        One, three or eight, or a rig.
    width, height : int
        Of each picture, where `cameras` is a number.
    traffic : float
        Density of the others, in MetaDrive's way: vehicles per ten metres of lane where vehicles may begin.
    limit_m_s : float
        The most that a careful driver drives.
    weather : str
        One of `weather.weathers`; `mixed` draws one for each episode.
    variety : float
        0 to 1: how much episodes differ in colours, light and what the cameras suffer.
    frame_s : float
        From one frame to the next.

    Raises
    ------
    DriveError
        There is no such scenario, rig or weather.
    """

    def __init__(
        self,
        scenario: str = "mixed",
        *,
        cameras: int | Sequence[Camera] = 1,
        width: int = 160,
        height: int = 80,
        traffic: float = 0.1,
        limit_m_s: float = 13.0,
        weather: str = "clear",
        variety: float = 0.0,
        frame_s: float = 0.1,
    ) -> None:
        if scenario not in SCENARIOS:
            raise DriveError(f"MetaDrive has no scenario '{scenario}' here", hint=did_you_mean(scenario, SCENARIOS))
        if not 0 <= traffic <= 0.5:
            raise DriveError(f"traffic of {traffic:g} is not to be had", hint="0 is an empty road, 0.5 a full one")
        if limit_m_s <= 0:
            raise DriveError(f"a speed limit of {limit_m_s:g} m/s makes no sense", hint="13 is a town's")
        self.name = f"metadrive:{scenario}"
        self.tick_s = engine.TICK_S
        self._ticks_per_frame = max(1, round(frame_s / self.tick_s))
        self.frame_s = self._ticks_per_frame * self.tick_s
        self.cameras = rig(cameras, width=width, height=height) if isinstance(cameras, int) else tuple(cameras)
        self.limit_m_s = limit_m_s
        self._scenario = SCENARIOS[scenario]
        self._traffic = traffic
        self._weather, self._variety = weather, variety
        self._renderer: Any = None
        self.reset(0)
        ego = self._ego
        self.vehicle = Vehicle(
            length_m=ego.LENGTH,
            width_m=ego.WIDTH,
            wheelbase_m=ego.FRONT_WHEELBASE + ego.REAR_WHEELBASE,
            max_steering_rad=math.radians(ego.max_steering),
            # Its engine gives 750 to 850 N a wheel, by the seed; its brakes more than its tyres hold.
            max_acceleration_m_s2=4 * 750 / ego.MASS,
            max_braking_m_s2=6.0,
            max_speed_m_s=ego.max_speed_m_s,
        )

    def reset(self, seed: int) -> None:
        """Begin the episode of a seed."""
        engine.begin(self._scenario, seed, self._traffic)
        env = engine.the_env()
        self._map, self._ego = env.current_map, env.agent
        _OPEN[:] = [self]
        self._route, self._turns = route_of(engine.route())
        rng = np.random.default_rng([seed, 1])
        self._seed = seed
        self._look, self._sensor = draw_weather(seed, self._weather, self._variety)
        self._paints = {thing.id: PAINTS[int(rng.integers(len(PAINTS)))] for thing in engine.others()}
        self._scenery_seed = int(rng.integers(2**31))
        self._built = False
        self._top: Any = None
        self._ticks = 0
        self._driven_m = 0.0
        self._ended = ""
        self._frame: Frame | None = None
        self._boxes_at = -1
        self._last = self._pose()
        self._begin_m = self._along = self._route.nearest(np.array(self._last[:2])).along_m
        self._located_at = -1
        self._time_s = self._route.length_m / _SLOWEST_M_S + _SPARE_S

    def _pose(self) -> tuple[float, float, float]:
        x, y = self._ego.position
        return float(x), float(y), float(self._ego.heading_theta)

    def step(self, control: Control) -> None:
        """Let a tick pass under a control, which is held to what the vehicle can do.

        An episode that has ended stands still.
        """
        self._mine()
        if self._ended:
            return
        engine.tick(self._ticks, *self._pedals(control))
        self._ticks += 1
        here = self._pose()
        c, s = math.cos(here[2]), math.sin(here[2])
        self._driven_m += c * (here[0] - self._last[0]) + s * (here[1] - self._last[1])
        self._last = here
        if self._ticks % engine.DECISION_TICKS == 0:
            self._locate()
            self._judge()

    def _pedals(self, control: Control) -> tuple[float, float]:
        """Return MetaDrive's steering and throttle, -1 to 1 each, for a control."""
        car, ego = self.vehicle, self._ego
        steering = min(max(control.steering_rad, -car.max_steering_rad), car.max_steering_rad) / car.max_steering_rad
        push = min(max(control.acceleration_m_s2, -car.max_braking_m_s2), car.max_acceleration_m_s2)
        force = push * ego.MASS / 4
        if force >= 0:
            return steering, min(max(force / ego.config["max_engine_force"], _COASTING), 1.0)
        # Bullet's brake is an impulse a tick.
        return steering, -min(-force * self.tick_s / ego.config["max_brake_force"], 1.0)

    def _locate(self) -> None:
        """Find the car on its route; a route that crosses itself is followed from where the car was last found."""
        if self._located_at != self._ticks:
            self._located_at = self._ticks
            place = self._route.nearest(np.array(self._last[:2]), about_m=self._along)
            self._along, self._lateral = place.along_m, place.lateral_m

    def _judge(self) -> None:
        """Take over MetaDrive's word on how the episode stands."""
        word = engine.judgement()
        if word["arrive_dest"]:
            self._ended = "arrived"
        elif word["crash_vehicle"] or word["crash_object"] or word["crash_human"] or word["crash_building"]:
            self._ended = "crash"
        elif word["out_of_road"]:
            self._ended = "off road"
        elif self._ticks * self.tick_s >= self._time_s:
            self._ended = "time"

    def _drives(self) -> bool:
        return bool(_OPEN) and _OPEN[0] is self

    def _mine(self) -> None:
        if not self._drives():
            raise DriveError(
                "another MetaDrive world has taken over this process", hint="one world a process; or reset it"
            )

    def _nearby(self) -> npt.NDArray[np.float64]:
        """Return what drives nearby, (N, 7) as `Truth.vehicles`, nearest first; remember who is who."""
        if self._boxes_at == self._ticks:
            return self._boxes
        x, y, heading = self._last
        c, s = math.cos(heading), math.sin(heading)
        found = []
        for other in engine.others():
            ahead, left = other.position[0] - x, other.position[1] - y
            distance = math.hypot(ahead, left)
            if distance > _NEARBY_M:
                continue
            vx, vy = other.velocity
            row = (
                c * ahead + s * left,
                c * left - s * ahead,
                math.remainder(other.heading_theta - heading, 2 * math.pi),
                other.LENGTH,
                other.WIDTH,
                c * vx + s * vy,
                c * vy - s * vx,
            )
            found.append((distance, row, other))
        found.sort(key=lambda entry: entry[0])
        self._who = [other for _, _, other in found]
        self._boxes = np.array([row for _, row, _ in found], np.float64).reshape(-1, 7)
        self._boxes_at = self._ticks
        return self._boxes

    @property
    def speed_m_s(self) -> float:
        """How fast the car goes forward."""
        vx, vy = self._ego.velocity
        return float(math.cos(self._last[2]) * vx + math.sin(self._last[2]) * vy)

    def command(self) -> Command:
        """Return what the route asks for now."""
        self._locate()
        for turn in self._turns:
            if turn.begin_m <= self._along < turn.end_m:
                return turn.command
        return Command.FOLLOW

    def observe(self) -> Frame:
        """Return what the sensors see now; the frame's number is its time in whole frames."""
        self._mine()
        time_s = self._ticks * self.tick_s
        if self._frame is None or self._frame.time_s != time_s:
            images = self._render()
            for image in images:
                image.flags.writeable = False
            self._frame = Frame(
                number=self._ticks // self._ticks_per_frame,
                time_s=time_s,
                images=images,
                stamps_s=(time_s,) * len(images),
                speed_m_s=self.speed_m_s,
                command=self.command(),
            )
        return self._frame

    def _render(self) -> tuple[npt.NDArray[np.uint8], ...]:
        from chanzi.drive.world.metadrive.scenery import dress
        from chanzi.drive.world.scene.renderer import Renderer

        if self._renderer is None:
            self._renderer = Renderer(self.cameras)
        if not self._built:
            ground, standing = dress(self._map, self._look, np.random.default_rng(self._scenery_seed))
            self._renderer.wear(self._look)
            self._renderer.build(ground, standing)
            self._built = True
        return tuple(
            self._sensor.see(picture, np.random.default_rng([self._seed, self._ticks, k]))
            for k, picture in enumerate(self._renderer.render(*self._last, self.bodies()))
        )

    def bodies(self) -> list[Body]:
        """Return all other vehicles as they are drawn."""
        return [
            Body(
                x_m=float(other.position[0]),
                y_m=float(other.position[1]),
                heading_rad=float(other.heading_theta),
                length_m=other.LENGTH,
                width_m=other.WIDTH,
                height_m=other.HEIGHT,
                paint=self._paints.get(other.id, PAINTS[0]),
            )
            for other in engine.others()
        ]

    def truth(self) -> Truth:
        """Return what is so now."""
        self._mine()
        self._locate()
        x, y, heading = self._last
        c, s = math.cos(heading), math.sin(heading)
        path = self._route.point(self._along + np.array(PATH_DISTANCES_M)) - (x, y)
        return Truth(
            path_m=(path @ np.array([[c, -s], [s, c]])).astype(np.float32),
            target_speed_m_s=self._careful_speed_m_s(),
            vehicles=self._nearby().astype(np.float32),
            lateral_m=self._lateral,
            heading_rad=math.remainder(heading - self._route.heading_rad(self._along), 2 * math.pi),
            curvature_1_m=float(self._route.curvature_1_m(self._along)),
        )

    def _careful_speed_m_s(self) -> float:
        ahead = horizon_m()
        route, along = self._route, self._along
        bends = route.curvature_1_m(along + ahead)
        for turn in self._turns:
            inside = (along + ahead > turn.inside_m) & (along + ahead < turn.end_m)
            bends = np.where(inside, np.maximum(np.abs(bends), _JUNCTION_1_M), bends)
        limits = curve_speeds_m_s(ahead, bends)
        target = min(self.limit_m_s, float(limits[0]))
        crossing = []
        speed = target
        for box, other in zip(self._nearby(), self._who, strict=True):
            if math.hypot(box[0], box[1]) > _WATCHED_M:
                continue
            place = route.nearest(np.array(other.position), about_m=along + 30.0, within_m=45.0)
            gap = place.along_m - along
            turn = math.remainder(other.heading_theta - route.heading_rad(place.along_m), 2 * math.pi)
            on_way = abs(place.lateral_m) < (self.vehicle.width_m + box[4]) / 2 + 0.3
            if on_way and abs(turn) < math.pi / 3:
                # It drives the same way: before the car it is followed, behind the car it follows.
                if gap > 0:
                    bumper = gap - self.vehicle.length_m / 2 - box[3] / 2
                    speed = min(speed, follow_speed_m_s(bumper, max(0.0, float(other.speed) * math.cos(turn))))
                continue
            crossing += forecasts(other)
        if not crossing:
            return speed
        tried, ways = trials_m(self.speed_m_s, self.limit_m_s, ahead, limits)
        places = route.point(along + ways)
        headings = np.interp(along + ways, route.along_m, route.headings_rad)
        clear = clear_speed_m_s(places, headings, tried, self.vehicle.length_m, self.vehicle.width_m, crossing)
        return min(speed, clear)

    def status(self) -> Status:
        """Return how the episode stands; progress is along the route, and arriving is MetaDrive's word."""
        self._locate()
        own = np.array([0.0, 0.0, 0.0, self.vehicle.length_m, self.vehicle.width_m])
        whole = max(self._route.length_m - self._begin_m, 1e-6)
        progress = 1.0 if self._ended == "arrived" else min(max((self._along - self._begin_m) / whole, 0.0), 1.0)
        return Status(
            time_s=self._ticks * self.tick_s,
            distance_m=self._driven_m,
            progress=progress,
            ended=self._ended,
            nearest_m=float(gaps(own, self._nearby()).min(initial=math.inf)),
        )

    def top_view(self, width: int, height: int) -> npt.NDArray[np.uint8]:
        """Return a picture (height, width, 3) from above; the car is in its middle and looks up."""
        from chanzi.drive.world.ground import Ground
        from chanzi.drive.world.top_view import paint_top_view

        self._mine()
        if self._top is None:
            self._top = Ground(plain_lanes_of(self._map))
        boxes = self._nearby()
        paints = [self._paints.get(other.id, PAINTS[0]) for other in self._who]
        sheet = self._top.around(*self._last[:2])
        return paint_top_view(width, height, sheet, self._last, self.vehicle, boxes, paints, self._look)

    def close(self) -> None:
        """Give back what it holds; MetaDrive itself stays for the next world of this process."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        if self._drives():
            _OPEN.clear()


_OPEN: list[MetaDriveWorld] = []
"""The world whose episode MetaDrive runs."""
