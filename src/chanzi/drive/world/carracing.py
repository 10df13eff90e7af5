"""Gymnasium's CarRacing-v3 as it is: its track, physics, picture from above and reward.

Its unit of length is taken for a metre, which makes its car five of them long. It grips twenty times better than a car
and its lap of a kilometre has to be done in twenty seconds.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from gymnasium.envs.box2d import car_dynamics
from gymnasium.envs.box2d.car_racing import (
    FPS,
    SCALE,
    STATE_H,
    STATE_W,
    TRACK_WIDTH,
    WINDOW_H,
    WINDOW_W,
    ZOOM,
    CarRacing,
)
from gymnasium.envs.registration import registry

from chanzi.drive.camera import Camera
from chanzi.drive.messages import PATH_DISTANCES_M, Control, Frame, Status, Truth, Vehicle
from chanzi.drive.world.careful import curve_speed_m_s
from chanzi.drive.world.ground import Ground
from chanzi.drive.world.lens import Pose
from chanzi.drive.world.look import Look
from chanzi.drive.world.road import Lane, Route
from chanzi.drive.world.top_view import paint_top_view
from chanzi.errors import DriveError

_PX_PER_M_AHEAD = STATE_H / WINDOW_H * ZOOM * SCALE
_PX_PER_M_ACROSS = STATE_W / WINDOW_W * ZOOM * SCALE
_CAR_ROW = 0.75
"""The car's place in the picture, as a share of its height."""

_MOST_STEERING_RAD = 0.4
_BRAKE_RAD_S = 15.0
"""How much slower a full brake makes a wheel turn, each tick; both figures stand in car_dynamics.py."""

_LATERAL_M_S2, _BRAKING_M_S2 = 70.0, 50.0
_TOP_M_S = 70.0
"""Found by trying on seeds 1000 to 1009; its tyres hold 219 m/s2."""
_LOOK = Look(grass=(102.0, 216.0, 102.0), asphalt=(106.0, 106.0, 106.0), grain=0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Above(Camera):
    """CarRacing's view: from above, ahead is up, with more pixels a metre ahead than across."""

    def project(self, points_m: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return pixels (N, 2), column and row, and depths (N,), which are its height."""
        points = np.asarray(points_m, np.float64)
        column = self.width / 2 - points[:, 1] * _PX_PER_M_ACROSS
        row = self.height * _CAR_ROW - points[:, 0] * _PX_PER_M_AHEAD
        return np.stack([column, row], axis=1), np.full(len(points), self.z_m)


class _LazyRacing(CarRacing):
    """CarRacing that draws when it is looked at; a step of the original draws each time, which is most of its cost."""

    _shown_reward = 0.0

    def _render(self, mode: str) -> None:  # noqa: ARG002  # the original's name
        # The original draws before it counts the step's own cost, and the picture shows the count.
        self._shown_reward = self.reward

    def look(self) -> npt.NDArray[np.uint8]:
        """Return the picture that the original's step would have returned."""
        counted, self.reward = self.reward, self._shown_reward
        try:
            return super()._render("state_pixels")
        finally:
            self.reward = counted


class CarRacingWorld:
    """CarRacing-v3.

    Parameters
    ----------
    cameras : int
        1; it has no others.
    frame_s : float
        From one frame to the next; its own step is 0.02.

    Raises
    ------
    DriveError
        Other cameras are asked for.
    """

    def __init__(self, *, cameras: int = 1, frame_s: float = 0.04) -> None:
        if cameras != 1:
            raise DriveError("carracing has one camera", hint="--cameras 1")
        self.name = "carracing"
        self.tick_s = 1.0 / FPS
        self._ticks_per_frame = max(1, round(frame_s / self.tick_s))
        self.frame_s = self._ticks_per_frame * self.tick_s
        height = 40.0
        above = _Above(
            name="above",
            x_m=0.0,
            y_m=0.0,
            z_m=height,
            yaw_rad=0.0,
            pitch_rad=math.pi / 2,
            view_rad=2 * math.atan(STATE_W / 2 / _PX_PER_M_ACROSS / height),
            width=STATE_W,
            height=STATE_H,
        )
        self.cameras: tuple[Camera, ...] = (above,)
        self._most_ticks = registry["CarRacing-v3"].max_episode_steps or 1000
        self._env = _LazyRacing()
        self.reset(0)
        car = self._env.car
        self._mass_kg = float(car.hull.mass + sum(wheel.mass for wheel in car.wheels))
        # Turning wheels have to be sped up and slowed down, too: each weighs as much as the rest of the car.
        self._wheel_kg = car_dynamics.WHEEL_MOMENT_OF_INERTIA / float(car.wheels[0].wheel_rad) ** 2
        (_, front), (_, rear) = car_dynamics.WHEELPOS[0], car_dynamics.WHEELPOS[2]
        self.vehicle = Vehicle(
            length_m=250 * car_dynamics.SIZE,
            width_m=(110 + 2 * car_dynamics.WHEEL_W) * car_dynamics.SIZE,
            wheelbase_m=(front - rear) * car_dynamics.SIZE,
            max_steering_rad=_MOST_STEERING_RAD,
            # Two wheels drive, and turn the other two through the road; four brake.
            max_acceleration_m_s2=2 * car_dynamics.FRICTION_LIMIT / (self._mass_kg + 2 * self._wheel_kg),
            max_braking_m_s2=4 * car_dynamics.FRICTION_LIMIT / self._mass_kg,
            max_speed_m_s=120.0,
        )

    def reset(self, seed: int) -> None:
        """Begin the episode of a seed: another track."""
        self._env.reset(seed=seed)
        self._route = Route(np.array([(x, y) for _, _, x, y in self._env.track]), closed=True)
        self._ground: Ground | None = None
        self._ticks, self._reward, self._driven_m, self._ended = 0, 0.0, 0.0, ""
        self._frame: Frame | None = None
        self._place()

    def _place(self) -> None:
        x, y, _ = self._pose()
        place = self._route.nearest((x, y))
        self._along, self._lateral = place.along_m, place.lateral_m

    def _pose(self) -> Pose:
        hull = self._env.car.hull
        # Its nose points along its own y axis.
        return float(hull.position[0]), float(hull.position[1]), float(hull.angle) + math.pi / 2

    def _speed_m_s(self) -> float:
        return math.hypot(*self._env.car.hull.linearVelocity)

    def step(self, control: Control) -> None:
        """Let a tick pass; an episode that has ended stands still."""
        if self._ended:
            return
        _, reward, terminated, _, info = self._env.step(np.array(self._action(control)))
        self._ticks += 1
        self._reward += float(reward)
        self._driven_m += self._speed_m_s() * self.tick_s
        self._place()
        if terminated:
            self._ended = "arrived" if info.get("lap_finished") else "off field"
        elif self._ticks >= self._most_ticks:
            self._ended = "time"

    def _action(self, control: Control) -> tuple[float, float, float]:
        """Return steering, gas and brake as CarRacing takes them; its steering is positive to the right."""
        steering = min(max(control.steering_rad, -_MOST_STEERING_RAD), _MOST_STEERING_RAD)
        car = self.vehicle
        push = min(max(control.acceleration_m_s2, -car.max_braking_m_s2), car.max_acceleration_m_s2)
        wheel = self._env.car.wheels[2]
        if push >= 0:
            # An engine of so much power turns each rear wheel: torque = power x gas / (turning speed + 5).
            torque = (self._mass_kg + 4 * self._wheel_kg) * push * wheel.wheel_rad / 2
            return -steering, min(1.0, torque * (abs(wheel.omega) + 5.0) / car_dynamics.ENGINE_POWER), 0.0
        # A brake takes turning speed from each wheel, some of which the road gives back.
        slower = -push * self.tick_s / wheel.wheel_rad * (1 + self._mass_kg / (4 * self._wheel_kg))
        # From 0.9 on the wheels lock.
        return -steering, 0.0, min(0.89, slower / _BRAKE_RAD_S)

    def observe(self) -> Frame:
        """Return its picture; the frame's number is its time in whole frames."""
        time_s = self._ticks * self.tick_s
        if self._frame is None or self._frame.time_s != time_s:
            image = np.ascontiguousarray(self._env.look(), np.uint8)
            image.flags.writeable = False
            self._frame = Frame(
                number=self._ticks // self._ticks_per_frame,
                time_s=time_s,
                images=(image,),
                stamps_s=(time_s,),
                speed_m_s=self._speed_m_s(),
            )
        return self._frame

    def truth(self) -> Truth:
        """Return what is so now. There are no others, and careful is what keeps its tyres' grip."""
        x, y, heading = self._pose()
        c, s = math.cos(heading), math.sin(heading)
        path = self._route.point(self._along + np.array(PATH_DISTANCES_M)) - (x, y)
        turn = heading - self._route.heading_rad(self._along)
        ahead = np.arange(0.0, 60.0, 1.0)
        bends = self._route.curvature_1_m(self._along + ahead)
        speed = curve_speed_m_s(ahead, bends, lateral_m_s2=_LATERAL_M_S2, braking_m_s2=_BRAKING_M_S2)
        return Truth(
            path_m=(path @ np.array([[c, -s], [s, c]])).astype(np.float32),
            target_speed_m_s=min(_TOP_M_S, speed),
            vehicles=np.empty((0, 7), np.float32),
            lateral_m=self._lateral,
            heading_rad=(turn + math.pi) % (2 * math.pi) - math.pi,
            curvature_1_m=float(bends[0]),
        )

    def status(self) -> Status:
        """Return how the episode stands: its reward, its tiles visited."""
        return Status(
            time_s=self._ticks * self.tick_s,
            distance_m=self._driven_m,
            progress=self._env.tile_visited_count / len(self._env.track),
            reward=self._reward,
            ended=self._ended,
        )

    def top_view(self, width: int, height: int) -> npt.NDArray[np.uint8]:
        """Return a picture (height, width, 3) from above, as other worlds' are."""
        if self._ground is None:
            points = np.concatenate([self._route.points_m, self._route.points_m[:1]])
            self._ground = Ground([Lane(points_m=points, width_m=2 * TRACK_WIDTH)], px_per_m=4)
        pose = self._pose()
        sheet = self._ground.around(pose[0], pose[1])
        return paint_top_view(width, height, sheet, pose, self.vehicle, np.empty((0, 5)), [], _LOOK)

    def close(self) -> None:
        """Give back what it holds."""
        self._env.close()
