"""A world of the tests' own: a kinematic bicycle on a circle, a camera that sees a little of where it is."""

import math

import numpy as np

from chanzi.drive.camera import Camera
from chanzi.drive.messages import PATH_DISTANCES_M, Frame, Status, Truth, Vehicle

CAMERA = Camera(name="main", x_m=1.2, y_m=0, z_m=1.4, yaw_rad=0, pitch_rad=0.1, view_rad=1.2, width=40, height=20)


class Ring:
    """Drives counter-clockwise about the origin; an obstacle may stand on the road at an angle."""

    def __init__(
        self, radius_m=40.0, *, noise=True, lane_m=2.0, obstacle_rad=None, tick_s=0.02, frame_s=0.04, cameras=1
    ):
        self.name, self.tick_s, self.frame_s = "ring", tick_s, frame_s
        self.cameras = tuple(CAMERA for _ in range(cameras))
        self.vehicle = Vehicle(
            length_m=4.5, width_m=1.8, wheelbase_m=2.8, max_steering_rad=0.6, max_acceleration_m_s2=3.0,
            max_braking_m_s2=7.0, max_speed_m_s=30.0,
        )  # fmt: skip
        self.radius_m, self.noise, self.lane_m, self.obstacle_rad = radius_m, noise, lane_m, obstacle_rad
        self.target_m_s = 8.0
        self.frames_seen = 0
        self.reset(0)

    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.seed, self.ticks, self.distance, self.turned = seed, 0, 0.0, 0.0
        self.angle = float(rng.uniform(0, 6))
        radius = self.radius_m + float(rng.uniform(-0.8, 0.8))
        self.x, self.y = radius * math.cos(self.angle), radius * math.sin(self.angle)
        self.heading, self.speed = self.angle + math.pi / 2, 5.0
        self.texture = rng.integers(0, 255, (720, 3))

    def step(self, control):
        steer = max(-0.6, min(0.6, control.steering_rad))
        slip = math.atan(math.tan(steer) / 2)
        self.speed = max(self.speed + max(-7.0, min(3.0, control.acceleration_m_s2)) * self.tick_s, 0.0)
        self.x += self.speed * math.cos(self.heading + slip) * self.tick_s
        self.y += self.speed * math.sin(self.heading + slip) * self.tick_s
        self.heading += 2 * self.speed * math.sin(slip) / self.vehicle.wheelbase_m * self.tick_s
        self.distance += self.speed * self.tick_s
        angle = math.atan2(self.y, self.x)
        turned = (angle - self.angle + math.pi) % (2 * math.pi) - math.pi
        self.turned += turned
        self.angle = angle
        self.ticks += 1

    @property
    def lateral(self):
        return self.radius_m - math.hypot(self.x, self.y)

    def observe(self):
        self.frames_seen += 1
        h, w = self.cameras[0].height, self.cameras[0].width
        at = math.floor(math.degrees(self.angle) * 2) % 720
        rng = np.random.default_rng([self.seed, self.ticks])
        images = []
        for _ in self.cameras:
            image = np.full((h, w, 3), 120.0)
            image[: h // 2] = (180, 200, 220)
            image[h // 2 :] += (self.texture[(at + np.arange(w)) % 720] - 127)[None] * 0.2
            image += np.linspace(0, 30, w)[None, :, None]
            if self.noise:
                image = image + rng.normal(0, 2, image.shape)
            images.append(np.clip(image, 0, 255).astype(np.uint8))
        now = self.ticks * self.tick_s
        return Frame(
            number=round(now / self.frame_s), time_s=now, images=tuple(images), stamps_s=(now,) * len(images),
            speed_m_s=self.speed,
        )  # fmt: skip

    def _gap(self):
        if self.obstacle_rad is None:
            return math.inf
        return (self.obstacle_rad - self.turned) * self.radius_m - 4.5

    def truth(self):
        along = np.array(PATH_DISTANCES_M)
        angle = self.angle + along / self.radius_m
        points = self.radius_m * np.stack([np.cos(angle), np.sin(angle)], axis=1) - (self.x, self.y)
        c, s = math.cos(self.heading), math.sin(self.heading)
        turn = np.array([[c, -s], [s, c]])
        vehicles = np.zeros((0, 7), np.float32)
        if self.obstacle_rad is not None:
            at = self.angle + self.obstacle_rad - self.turned
            place = (self.radius_m * np.array([math.cos(at), math.sin(at)]) - (self.x, self.y)) @ turn
            vehicles = np.array([[*place, at + math.pi / 2 - self.heading, 4.5, 1.8, 0, 0]], np.float32)
        relative = (self.heading - self.angle - math.pi / 2 + math.pi) % (2 * math.pi) - math.pi
        return Truth(
            path_m=(points @ turn).astype(np.float32), target_speed_m_s=self.target_m_s, vehicles=vehicles,
            lateral_m=self.lateral, heading_rad=relative, curvature_1_m=1 / self.radius_m,
        )  # fmt: skip

    def status(self):
        progress = min(max(self.turned / (2 * math.pi), 0.0), 1.0)
        ended = ""
        if self._gap() <= 0:
            ended = "crash"
        elif abs(self.lateral) > self.lane_m:
            ended = "off road"
        elif progress >= 1:
            ended = "arrived"
        return Status(
            time_s=self.ticks * self.tick_s, distance_m=self.distance, progress=progress, ended=ended,
            nearest_m=max(self._gap(), 0.0),
        )  # fmt: skip

    def top_view(self, width, height):
        return np.full((height, width, 3), 90, np.uint8)

    def close(self):
        pass
