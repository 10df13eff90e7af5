"""highway-env's roads and traffic, seen through cameras of our own."""

import functools
import logging
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from highway_env.vehicle.kinematics import Vehicle as RoadVehicle
from highway_env.vehicle.objects import RoadObject

from chanzi.drive.camera import Camera, rig
from chanzi.drive.messages import PATH_DISTANCES_M, Command, Control, Frame, Status, Truth, Vehicle
from chanzi.drive.world.boxes import gaps
from chanzi.drive.world.careful import curve_speed_m_s, horizon_m
from chanzi.drive.world.ground import Ground
from chanzi.drive.world.highway_roads import QuickNetwork, slip_rad, turned_angle, turned_point
from chanzi.drive.world.highway_scenarios import SCENARIOS, Scenario
from chanzi.drive.world.highway_traffic import Foresight
from chanzi.drive.world.look import Colour
from chanzi.drive.world.painter import Painter
from chanzi.drive.world.road import Lane
from chanzi.drive.world.solids import PAINTS, solid_box
from chanzi.drive.world.top_view import paint_top_view
from chanzi.drive.world.wayside import Scenery, scatter
from chanzi.drive.world.weather import draw_weather
from chanzi.errors import DriveError, did_you_mean

_DECISION_TICKS = 3
"""Ticks from one decision of the traffic to the next; highway-env itself takes 15 a second."""

_NEARBY_M = 100.0
_FINE_WIDTH_PX = 320

# It warns on each lane change that leaves a vehicle's planned route, which is what traffic does.
logging.getLogger("highway_env.road.road").setLevel(logging.ERROR)


class _Ego(RoadVehicle):
    """The car that is driven: highway-env's own bicycle model, told what to do, judged by us."""

    MIN_SPEED = 0.0

    def act(self, action: dict[str, float] | None = None) -> None:
        """Keep what it is told."""

    def handle_collisions(self, other: RoadObject, dt: float = 0) -> None:
        """Leave it to `boxes.gaps`: highway-env pushes vehicles apart before they touch."""


class HighwayWorld:
    """One scenario of highway-env.

    Parameters
    ----------
    scenario : str
        `racetrack`, `racetrack-large`, `racetrack-oval`, `highway`, `merge`, `roundabout` or `intersection`.
    cameras : int or sequence of Camera
        One, three or eight, or a rig.
    width, height : int
        Of each picture, where `cameras` is a number.
    traffic : int, optional
        At most how many other vehicles at the beginning; the scenario's own number by default. More come to an
        intersection as time passes, unless it is 0.
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
        scenario: str = "racetrack",
        *,
        cameras: int | Sequence[Camera] = 1,
        width: int = 160,
        height: int = 80,
        traffic: int | None = None,
        weather: str = "clear",
        variety: float = 0.0,
        frame_s: float = 0.1,
    ) -> None:
        if scenario not in SCENARIOS:
            raise DriveError(f"highway has no scenario '{scenario}'", hint=did_you_mean(scenario, SCENARIOS))
        if traffic is not None and traffic < 0:
            raise DriveError(f"traffic of {traffic} vehicles makes no sense", hint="0 is an empty road")
        self.name = f"highway:{scenario}"
        self.tick_s = 0.02
        self._ticks_per_frame = max(1, round(frame_s / self.tick_s))
        self.frame_s = self._ticks_per_frame * self.tick_s
        self.cameras = rig(cameras, width=width, height=height) if isinstance(cameras, int) else tuple(cameras)
        self.vehicle = Vehicle(
            length_m=_Ego.LENGTH,
            width_m=_Ego.WIDTH,
            # Its axles lie half a length before and behind the middle (highway_env.vehicle.kinematics).
            wheelbase_m=_Ego.LENGTH,
            max_steering_rad=math.pi / 4,
            max_acceleration_m_s2=4.0,
            max_braking_m_s2=6.0,
            max_speed_m_s=_Ego.MAX_SPEED,
        )
        self._scenario: Scenario = SCENARIOS[scenario]
        self._traffic = others = self._scenario.traffic if traffic is None else traffic
        config = dict(self._scenario.config)
        if self._scenario.traffic_key is not None:
            config[self._scenario.traffic_key] = others
        self._env = self._scenario.build(config={**config, "observation": {"type": "Kinematics"}})
        self._px_per_m = 16 if max(camera.width for camera in self.cameras) >= _FINE_WIDTH_PX else 8
        self._weather, self._variety = weather, variety
        self._env.reset(seed=0)
        self._lanes = self._scenario.lanes(self._env)
        self._painter = Painter(self.cameras, _ground(scenario, self._px_per_m, self._lanes))
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin the episode of a seed."""
        self._env.reset(seed=seed)
        road = self._env.road
        road.network = QuickNetwork(road.network)
        self._foresight = Foresight(road.network)
        self._place_ego()
        del road.vehicles[1 + self._traffic :]
        for other in road.vehicles:
            other.check_collisions = False
        trip = self._scenario.trip(self._env, np.random.default_rng([seed, 2]))
        self._route, self._orders = trip.route, trip.orders
        rng = np.random.default_rng([seed, 1])
        self._seed = seed
        self._look, self._sensor = draw_weather(seed, self._weather, self._variety)
        self._painter.wear(self._look)
        self._rng = rng
        self._dress()
        self._scenery: Scenery = scatter(self._lanes, rng)
        self._ticks = 0
        place = self._route.nearest(self._pose()[:2])
        self._along = self._begin = place.along_m
        self._done_m = self._driven_m = 0.0
        self._ended = ""
        self._frame: Frame | None = None
        self._truth: tuple[int, Truth] | None = None
        self._judge()

    def _place_ego(self) -> None:
        road, model = self._env.road, self._env.vehicle
        ego = _Ego(road, model.position, model.heading, model.speed)
        ego.target_speed = self._scenario.limit_m_s
        # First in the list, so that traffic may be cut short behind it.
        road.vehicles.remove(model)
        road.vehicles.insert(0, ego)
        self._env.vehicle = ego
        self._ego = ego

    def _dress(self) -> None:
        """Give each vehicle that has none a colour, in the order in which they came."""
        for vehicle in self._env.road.vehicles:
            if not hasattr(vehicle, "paint"):
                vehicle.paint = PAINTS[int(self._rng.integers(len(PAINTS)))]

    def _pose(self) -> tuple[float, float, float]:
        x, y = turned_point(self._ego.position)
        return float(x), float(y), turned_angle(float(self._ego.heading))

    def step(self, control: Control) -> None:
        """Let a tick pass under a control, which is held to what the vehicle can do.

        An episode that has ended stands still.
        """
        if self._ended:
            return
        car, ego = self.vehicle, self._ego
        steering = min(max(control.steering_rad, -car.max_steering_rad), car.max_steering_rad)
        push = min(max(control.acceleration_m_s2, -car.max_braking_m_s2), car.max_acceleration_m_s2)
        # Brakes stop a car, they do not drive it backwards.
        push = min(max(push, -ego.speed / self.tick_s), (car.max_speed_m_s - ego.speed) / self.tick_s)
        ego.action = {"steering": turned_angle(steering), "acceleration": push}
        if self._scenario.every_second and self._traffic and self._ticks % round(1 / self.tick_s) == 0:
            self._scenario.every_second(self._env)
            self._dress()
        if self._ticks % _DECISION_TICKS == 0:
            self._env.road.act()
        for other in self._env.road.vehicles:
            # IDM reverses when it stands too near to another, into whoever is behind.
            other.action["acceleration"] = max(other.action["acceleration"], -max(other.speed, 0.0) / self.tick_s)
        self._env.road.step(self.tick_s)
        self._ticks += 1
        self._driven_m += float(ego.speed) * self.tick_s
        self._judge()

    def _judge(self) -> None:
        """Work out where the car stands, once a tick."""
        before = self._along
        place = self._route.follow(self._pose()[:2], before)
        self._along, self._lateral = place.along_m, place.lateral_m
        gain = self._along - before
        if self._route.closed:
            gain = (gain + self._route.length_m / 2) % self._route.length_m - self._route.length_m / 2
        self._done_m += gain
        self._nearby: tuple[npt.NDArray[np.float64], list[RoadObject]] | None = None
        if self._touching():
            self._ended = "crash"
        elif not self._ego.on_road:
            self._ended = "off road"
        elif self._progress() >= 1:
            self._ended = "arrived"
        elif self._ticks * self.tick_s >= self._scenario.time_s:
            self._ended = "time"

    def _progress(self) -> float:
        whole = self._route.length_m if self._route.closed else self._route.length_m - self._begin
        return min(max(self._done_m / whole, 0.0), 1.0)

    def _others(self) -> list[RoadObject]:
        return [other for other in (*self._env.road.vehicles, *self._env.road.objects) if other is not self._ego]

    def _touching(self) -> bool:
        """Whether the car touches another; most ticks need no more than the distances between middles."""
        here = self._ego.position
        return (
            any(
                math.hypot(other.position[0] - here[0], other.position[1] - here[1])
                <= (other.diagonal + self._ego.diagonal) / 2
                for other in self._others()
            )
            and self._gap_m() <= 0
        )

    def _gap_m(self) -> float:
        own = np.array([0.0, 0.0, 0.0, self.vehicle.length_m, self.vehicle.width_m])
        return float(gaps(own, self._neighbours()[0]).min(initial=math.inf))

    def _neighbours(self) -> tuple[npt.NDArray[np.float64], list[RoadObject]]:
        """Return what stands or drives nearby, (N, 7) as `Truth.vehicles`, nearest first, and who each is."""
        if self._nearby is None:
            self._nearby = self._look_round()
        return self._nearby

    def _look_round(self) -> tuple[npt.NDArray[np.float64], list[RoadObject]]:
        x, y, heading = self._pose()
        c, s = math.cos(heading), math.sin(heading)
        rows: list[tuple[float, ...]] = []
        who: list[RoadObject] = []
        for other in self._others():
            there = turned_point(other.position)
            ahead, left = there[0] - x, there[1] - y
            if math.hypot(ahead, left) > _NEARBY_M:
                continue
            turn = turned_angle(float(other.heading)) - heading
            speed, course = float(other.speed), turn + turned_angle(slip_rad(other))
            rows.append(
                (
                    c * ahead + s * left,
                    c * left - s * ahead,
                    (turn + math.pi) % (2 * math.pi) - math.pi,
                    float(other.LENGTH),
                    float(other.WIDTH),
                    speed * math.cos(course),
                    speed * math.sin(course),
                )
            )
            who.append(other)
        order = sorted(range(len(rows)), key=lambda k: math.hypot(rows[k][0], rows[k][1]))
        return np.array([rows[k] for k in order], np.float64).reshape(-1, 7), [who[k] for k in order]

    def observe(self) -> Frame:
        """Return what the sensors see now; the frame's number is its time in whole frames."""
        time_s = self._ticks * self.tick_s
        if self._frame is None or self._frame.time_s != time_s:
            pose = self._pose()
            sun = self._sun(pose[2])
            solids = [
                solid_box(
                    box,
                    _paint_of(other),
                    self._look,
                    sun,
                    block=not isinstance(other, RoadVehicle),
                )
                for box, other in zip(*self._neighbours(), strict=True)
            ]
            images = tuple(
                self._sensor.see(
                    self._painter.paint(k, pose, solids, self._scenery),
                    np.random.default_rng([self._seed, self._ticks, k]),
                )
                for k in range(len(self.cameras))
            )
            for image in images:
                image.flags.writeable = False
            self._frame = Frame(
                number=self._ticks // self._ticks_per_frame,
                time_s=time_s,
                images=images,
                stamps_s=(time_s,) * len(images),
                speed_m_s=float(self._ego.speed),
                command=self._order(),
            )
        return self._frame

    def _order(self) -> Command:
        return next((order for begin, end, order in self._orders if begin <= self._along < end), Command.FOLLOW)

    def _sun(self, heading_rad: float) -> npt.NDArray[np.float64]:
        x, y, z = self._look.sun_direction()
        c, s = math.cos(heading_rad), math.sin(heading_rad)
        return np.array([c * x + s * y, c * y - s * x, z])

    def truth(self) -> Truth:
        """Return what is so now; worked out once a tick, for several ask."""
        if self._truth is None or self._truth[0] != self._ticks:
            self._truth = self._ticks, self._truth_now()
        return self._truth[1]

    def _truth_now(self) -> Truth:
        x, y, heading = self._pose()
        c, s = math.cos(heading), math.sin(heading)
        path = self._route.point(self._along + np.array(PATH_DISTANCES_M)) - (x, y)
        turn = heading - self._route.heading_rad(self._along)
        return Truth(
            path_m=(path @ np.array([[c, -s], [s, c]])).astype(np.float32),
            target_speed_m_s=self._careful_speed_m_s(),
            vehicles=self._neighbours()[0].astype(np.float32),
            lateral_m=self._lateral,
            heading_rad=(turn + math.pi) % (2 * math.pi) - math.pi,
            curvature_1_m=float(self._route.curvature_1_m(self._along)),
        )

    def _careful_speed_m_s(self) -> float:
        ahead = horizon_m()
        free = min(self._scenario.limit_m_s, curve_speed_m_s(ahead, self._route.curvature_1_m(self._along + ahead)))
        return self._foresight.careful_speed_m_s(
            self._route, self._along, float(self._ego.speed), free, self.vehicle, self._neighbours()[1]
        )

    def status(self) -> Status:
        """Return how the episode stands."""
        return Status(
            time_s=self._ticks * self.tick_s,
            distance_m=self._driven_m,
            progress=self._progress(),
            ended=self._ended,
            nearest_m=self._gap_m(),
        )

    def top_view(self, width: int, height: int) -> npt.NDArray[np.uint8]:
        """Return a picture (height, width, 3) from above; its height covers `TOP_VIEW_M`, the car looks up."""
        boxes, who = self._neighbours()
        paints = [_paint_of(other) for other in who]
        sheet = self._painter.ground.around(*self._pose()[:2])
        return paint_top_view(width, height, sheet, self._pose(), self.vehicle, boxes, paints, self._look)

    def close(self) -> None:
        """Give back what it holds."""
        self._env.close()


def _paint_of(thing: RoadObject) -> Colour:
    return getattr(thing, "paint", PAINTS[0])


@functools.cache
def _grounds() -> dict[tuple[str, int], Ground]:
    """Return what is drawn so far: a scenario's road is the same in every episode."""
    return {}


def _ground(scenario: str, px_per_m: int, lanes: Sequence[Lane]) -> Ground:
    key = (scenario, px_per_m)
    if key not in _grounds():
        _grounds()[key] = Ground(lanes, px_per_m=px_per_m, kerbs=SCENARIOS[scenario].kerbs)
    return _grounds()[key]
