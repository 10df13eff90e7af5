"""Who sits in the car and takes notes: signals for the triggers, and what the judge needs to know of a drive."""

import math

import numpy as np
import numpy.typing as npt

from chanzi.drive.engine.car.codriver import EXPERT
from chanzi.drive.engine.signals import Signals
from chanzi.drive.episode import Episode, Moment, Pilot
from chanzi.drive.messages import PATH_DISTANCES_M, Control, Perception, Plan, Truth
from chanzi.drive.timeline import Passage
from chanzi.drive.world.world import World

NEAR_M = 2.5
"""Between the centres of two cars that pass each other closely: their widths are two metres."""
SOON_S = 3.0
"""Further ahead no collision is seen coming."""
COMPARED_M = 16.0
"""Up to this distance paths are compared: what the car will drive before it sees better."""
BEFORE_FAILURE_S = 2.0
"""Frames so long before a mined failure are worth keeping."""
BEND_1_M = 0.01
"""Curvature from which a road is called a bend."""

_COMPARED = sum(distance <= COMPARED_M for distance in PATH_DISTANCES_M)


class Watcher:
    """Listens to a drive.

    Parameters
    ----------
    shadow : Pilot or None
        A network that looks at the same frames and is not obeyed.
    failure_s : float or None
        When a failure was mined in this scenario.
    """

    def __init__(self, shadow: Pilot | None, failure_s: float | None) -> None:
        self._shadow, self._failure_s = shadow, failure_s
        self._frames: list[int] = []
        self._times_s: list[float] = []
        self._near: list[float] = []
        self._rescued: list[float] = []
        self._said: dict[int, Perception] = {}
        self._shadow_said: dict[int, Perception] = {}
        self._by = ""
        self._last: Truth | None = None
        self.interventions = 0
        self.wanted_m = 0.0
        """Metres that a careful driver would have come: the sum of the target speeds."""

    def __len__(self) -> int:
        return len(self._frames)

    def begin(self, world: World, seed: int) -> None:
        """See `Listener`."""
        del seed
        self._frame_s = world.frame_s
        if self._shadow is not None:
            self._shadow.begin(world)

    def frame(self, world: World, moment: Moment) -> None:
        """See `Listener`."""
        del world
        self._frames.append(moment.frame.number)
        self._times_s.append(moment.frame.time_s)
        self._near.append(collision_1_s(moment.truth, moment.frame.speed_m_s))
        self._rescued.append(float(_rescue(self._by)))
        self._last = moment.truth
        self.wanted_m += moment.truth.target_speed_m_s * self._frame_s
        if self._shadow is not None:
            answer = self._shadow.look(moment.frame)
            if answer.perception is not None:
                self._shadow_said[moment.frame.number] = answer.perception

    def passed(self, passage: Passage) -> None:
        """See `Listener`."""

    def plan(self, passage: Passage, perception: Perception | None, plan: Plan) -> None:
        """See `Listener`."""
        del plan
        if perception is not None:
            self._said[passage.frame] = perception

    def tick(self, time_s: float, control: Control, by: str) -> None:
        """See `Listener`."""
        del time_s, control
        self.interventions += _rescue(by) and not _rescue(self._by)
        self._by = by

    def end(self, episode: Episode) -> None:
        """See `Listener`."""

    def signals(self) -> Signals:
        """Return what the triggers look at; a frame without an answer has no disagreement and no uncertainty."""
        apart, unsure = [], []
        for number in self._frames:
            said, other = self._said.get(number), self._shadow_said.get(number)
            apart.append(0.0 if said is None or other is None else path_apart_m(said.path_m, other.path_m))
            unsure.append(0.0 if said is None else float(said.spread_m[:_COMPARED].max()))
        times = np.array(self._times_s)
        failure = np.zeros(len(times))
        if self._failure_s is not None:
            failure = ((times <= self._failure_s) & (times > self._failure_s - BEFORE_FAILURE_S)).astype(np.float64)
        columns = (self._near, apart, unsure, self._rescued, failure)
        near, disagreement, uncertainty, intervention, failed = (np.asarray(c, np.float32) for c in columns)
        return Signals(
            near_miss=near,
            disagreement=disagreement,
            uncertainty=uncertainty,
            intervention=intervention,
            failure=failed,
        )

    def circumstances(self, ended: str, weather: str) -> str:
        """Return a failure in a few words: failures alike have the same."""
        if self._last is None:
            return f"{ended}, {weather}"
        bend = self._last.curvature_1_m
        road = "straight" if abs(bend) < BEND_1_M else "left bend" if bend > 0 else "right bend"
        return f"{ended}, {road}, {weather}"


def _rescue(by: str) -> bool:
    return by not in ("", EXPERT)


def path_apart_m(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    """Return the largest distance between two paths (10, 2) over the points that are driven next."""
    return float(np.hypot(*(one[:_COMPARED] - other[:_COMPARED]).T).max())


def collision_1_s(truth: Truth, speed_m_s: float) -> float:
    """Return 1 / seconds until the nearest vehicle is met if nobody changes speed or course; 0 if none is met soon."""
    if not len(truth.vehicles):
        return 0.0
    boxes = truth.vehicles.astype(np.float64)
    place = boxes[:, :2]
    moving = boxes[:, 5:7] - (speed_m_s, 0.0)
    closing = -(place * moving).sum(axis=1)
    square = (moving**2).sum(axis=1)
    meet_s = np.where(square > 1e-6, closing / np.maximum(square, 1e-6), math.inf)
    apart_m = np.hypot(*(place + np.minimum(meet_s, SOON_S)[:, None] * moving).T)
    soon = (meet_s > 0) & (meet_s < SOON_S) & (apart_m < NEAR_M)
    return float((1 / np.maximum(meet_s[soon], 0.1)).max(initial=0.0))
