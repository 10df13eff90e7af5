"""A car and a road of the tests' own: a bicycle about its rear axle, and paths as a judge sees them."""

import math

import numpy as np

from chanzi.drive.messages import GRID_COLUMNS, GRID_ROWS, PATH_DISTANCES_M, Frame, Perception, Vehicle

CAR = Vehicle(
    length_m=4.8,
    width_m=1.9,
    wheelbase_m=2.9,
    max_steering_rad=0.6,
    max_acceleration_m_s2=3.0,
    max_braking_m_s2=7.0,
    max_speed_m_s=40.0,
)


class Bicycle:
    """Textbook kinematics of the rear axle; the place that is told is the middle of the wheelbase."""

    def __init__(self, x, y, heading, speed, car=CAR):
        self.rear = np.array([x, y]) - car.wheelbase_m / 2 * np.array([math.cos(heading), math.sin(heading)])
        self.heading, self.speed, self.car = heading, speed, car

    @property
    def centre(self):
        return self.rear + self.car.wheelbase_m / 2 * np.array([math.cos(self.heading), math.sin(self.heading)])

    def step(self, control, seconds, pieces=10):
        for _ in range(pieces):
            dt = seconds / pieces
            self.speed = max(self.speed + control.acceleration_m_s2 * dt, 0.0)
            self.rear = self.rear + self.speed * dt * np.array([math.cos(self.heading), math.sin(self.heading)])
            self.heading += self.speed * dt * math.tan(control.steering_rad) / self.car.wheelbase_m

    def to_car(self, points):
        c, s = math.cos(self.heading), math.sin(self.heading)
        return (np.asarray(points) - self.centre) @ np.array([[c, -s], [s, c]])


class Road:
    """A line whose curvature is constant, or swings as a sine: points every 10 cm."""

    def __init__(self, curvature=0.0, *, swing=0.0, wave_m=60.0, length_m=600.0):
        # A road that goes in circles lies on itself: a car may be found at its end, and it must go on from there.
        self.along = np.arange(0.0, length_m + PATH_DISTANCES_M[-1] + 1.0, 0.1)
        self.known = round(length_m / 0.1)
        bend = curvature + swing * np.sin(2 * math.pi * self.along / wave_m)
        heading = np.cumsum(bend) * 0.1
        self.headings = heading
        self.points = np.stack([np.cumsum(np.cos(heading)), np.cumsum(np.sin(heading))], axis=1) * 0.1

    def place(self, point):
        """Return the distance along and the offset to the left."""
        offset = np.asarray(point) - self.points[: self.known]
        i = int(np.hypot(*offset.T).argmin())
        h = self.headings[i]
        return self.along[i], float(-math.sin(h) * offset[i, 0] + math.cos(h) * offset[i, 1])

    def path(self, bicycle):
        along, _ = self.place(bicycle.centre)
        index = np.minimum(np.round((along + np.array(PATH_DISTANCES_M)) / 0.1).astype(int), len(self.points) - 1)
        return bicycle.to_car(self.points[index]).astype(np.float32)


def frame(number, time_s, speed):
    return Frame(number=number, time_s=time_s, images=(), stamps_s=(), speed_m_s=speed)


def perception(number, path, *, speed=12.0, taken=(), spread=0.1):
    occupancy = np.zeros((GRID_ROWS, GRID_COLUMNS), np.float32)
    for row, column in taken:
        occupancy[row, column] = 1.0
    return Perception(
        frame=number,
        path_m=path,
        target_speed_m_s=speed,
        occupancy=occupancy,
        spread_m=np.full(len(PATH_DISTANCES_M), spread, np.float32),
    )


def cells_of(points):
    """Return the cells that hold one of these points of the car's frame."""
    points = np.asarray(points)
    places = np.stack([np.floor(points[:, 0] / 2), np.floor((12 - points[:, 1]) / 2)], axis=1).astype(int)
    return {(r, c) for r, c in map(tuple, places.tolist()) if 0 <= r < GRID_ROWS and 0 <= c < GRID_COLUMNS}
