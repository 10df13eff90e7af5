"""The closed loop with latency: world -> sensor -> watch -> chip -> planner -> controller -> world, tick by tick.

Time is simulated: ticks of the world, and delays that the frame's way takes; how long anything takes to compute here
changes nothing. The same world, seed and parts give the same episode.
"""

import hashlib
import math
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from chanzi.drive.messages import Control, Frame, Perception, Plan, Status, Truth
from chanzi.drive.timeline import Delays, Fate, Passage
from chanzi.drive.world.world import World

STANDS_M_S = 0.05
"""Slower than this a car stands."""
_STOOD_S = 0.5
"""A car that stopped for safety and stood so long ends its episode."""
_EPS_S = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the chip (or two of them) says of a frame.

    Parameters
    ----------
    perception : Perception or None
        None where it has no answer that may be acted on.
    chip_s : float
        From the frame in its memory to the answer.
    busy_s : float
        Until it takes the next frame.
    trouble : str
        Why there is no answer: the car stops in its lane and says this.
    note : str
        What happened on the way, such as a frame that was run again.
    """

    perception: Perception | None
    chip_s: float
    busy_s: float
    trouble: str = ""
    note: str = ""


class Pilot(Protocol):
    """Whoever looks at frames."""

    def begin(self, world: World) -> None:
        """Begin an episode: the world has been reset."""
        ...

    def look(self, frame: Frame) -> Answer:
        """Return what it says of a frame; called at the frame's own moment, and only for frames that it takes."""
        ...


class Drives(Protocol):
    """Planner and controller: `chanzi.drive.controller.Driver`."""

    @property
    def plan(self) -> Plan | None:
        """What it drives by now."""
        ...

    def saw(self, frame: Frame) -> None:
        """Remember where the car is as a frame is taken."""
        ...

    def decide(self, perception: Perception) -> Plan:
        """Return the plan that follows from an answer, and drive by it."""
        ...

    def stop(self, why: str) -> Plan:
        """Stop in lane."""
        ...

    def tick(self, tick_s: float, instead: Control | None = None) -> Control:
        """Return the control of the next tick, and reckon with having given it, or another in its place."""
        ...


class Guard(Protocol):
    """Whoever looks at what comes from the cameras before anything is driven by it: `chanzi.drive.watch.Watch`."""

    def look(self, frame: Frame, odometer_m: float) -> str:
        """Return what is wrong with a frame, or nothing."""
        ...

    @property
    def alarm(self) -> str:
        """Why the car has to stop; empty while it may drive."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """Another driver at the wheel, and why."""

    control: Control
    why: str


class CoDriver(Protocol):
    """Whoever may take the wheel: a safety driver, or a teacher."""

    def begin(self, world: World) -> None:
        """Begin an episode."""
        ...

    def take(self, world: World, time_s: float, speed_m_s: float) -> Hands | None:
        """Return what to do in the next tick in place of the car's own control; None leaves it to the car."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is so when a frame is taken."""

    frame: Frame
    truth: Truth
    status: Status
    plan: Plan | None
    control: Control
    by: str
    trouble: str


class Listener(Protocol):
    """Whoever writes an episode down."""

    def begin(self, world: World, seed: int) -> None:
        """Begin an episode."""
        ...

    def frame(self, world: World, moment: Moment) -> None:
        """Take a frame; the world may be looked at, not touched."""
        ...

    def passed(self, passage: Passage) -> None:
        """Take a frame's way: once as it sets out, again when its fate is known."""
        ...

    def plan(self, passage: Passage, perception: Perception | None, plan: Plan) -> None:
        """Take a plan, as the controller gets it, at `passage.acted_s`; without a perception it is a stop."""
        ...

    def tick(self, time_s: float, control: Control, by: str) -> None:
        """Take the control of a tick; `by` is empty where the car drives itself, else says why another does."""
        ...

    def end(self, episode: "Episode") -> None:
        """End the episode."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """A stretch that another driver drove."""

    begin_s: float
    end_s: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A stop in lane for safety: when it was decided, and why."""

    time_s: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """How an episode went.

    Parameters
    ----------
    world : str
    seed : int
    ended : str
        The world's word ('arrived', 'crash', 'off road', 'time', ...), or 'stopped' where the car stopped for safety.
    time_s, distance_m, progress, reward : float
        As `chanzi.drive.messages.Status`, at the end.
    crashes : int
    nearest_m : float
        Smallest gap to another vehicle.
    lateral_rms_m, lateral_most_m : float
        Of the car against its lane's centre, at the frames' moments.
    takeovers : tuple of Takeover
    stops : tuple of Stop
    notes : tuple of Stop
        What a pilot said beside its answers.
    passages : tuple of Passage
        Every frame's way.
    digest : str
        Of every control and every metre: the same drive has the same.
    """

    world: str
    seed: int
    ended: str
    time_s: float
    distance_m: float
    progress: float
    reward: float
    crashes: int
    nearest_m: float
    lateral_rms_m: float
    lateral_most_m: float
    takeovers: tuple[Takeover, ...]
    stops: tuple[Stop, ...]
    notes: tuple[Stop, ...]
    passages: tuple[Passage, ...]
    digest: str

    @property
    def arrived(self) -> bool:
        """Whether it came where it was to go, without a crash."""
        return self.ended == "arrived" and not self.crashes

    @property
    def off_road(self) -> bool:
        """Whether it left the road."""
        return self.ended == "off road"

    @property
    def safe(self) -> bool:
        """Whether nothing was hit and the road was not left."""
        return not self.crashes and not self.off_road


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an episode is made of, beside its world.

    Parameters
    ----------
    pilot : Pilot
    driver : Drives
    delays : Delays
    guard : Guard, optional
    sensor : callable, optional
        What happens to a frame between the world and the car's computer: noise, faults.
    codriver : CoDriver, optional
    listeners : sequence of Listener
    """

    pilot: Pilot
    driver: Drives
    delays: Delays = field(default_factory=Delays)
    guard: Guard | None = None
    sensor: Callable[[Frame], Frame] | None = None
    codriver: CoDriver | None = None
    listeners: Sequence[Listener] = ()


def run_episode(world: World, seed: int, parts: Parts, *, limit_s: float = math.inf) -> Episode:
    """Drive the episode of a seed and return how it went.

    Parameters
    ----------
    world : World
        It is reset here, and left where the episode ended.
    seed : int
    parts : Parts
    limit_s : float
        Simulated seconds after which it ends with 'time'.
    """
    return _Run(world, seed, parts).drive(limit_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """An answer on its way to the controller."""

    passage: Passage
    answer: Answer
    due_s: float


class _Run:
    """The state of one episode while it runs."""

    def __init__(self, world: World, seed: int, parts: Parts) -> None:
        world.reset(seed)
        self.world, self.seed, self.parts = world, seed, parts
        self.frame_ticks = max(1, round(world.frame_s / world.tick_s))
        self.passages: list[Passage] = []
        self.pending: deque[_Pending] = deque()
        self.free_s = 0.0  # when the chip takes the next frame
        self.plan: Plan | None = None
        self.control = Control()
        self.by = ""
        self.latched = ""
        self.stood_s = 0.0
        self.speed_m_s = 0.0
        self.crashes = 0
        self.nearest_m = math.inf
        self.lateral_m: list[float] = []
        self.takeovers: list[Takeover] = []
        self.stops: list[Stop] = []
        self.notes: list[Stop] = []
        self.digest = hashlib.sha256()
        parts.pilot.begin(world)
        if parts.codriver is not None:
            parts.codriver.begin(world)
        for listener in parts.listeners:
            listener.begin(world, seed)

    def drive(self, limit_s: float) -> Episode:
        world, tick_s = self.world, self.world.tick_s
        status = world.status()
        ticks, ended = 0, status.ended
        while not ended:
            now = ticks * tick_s
            if ticks % self.frame_ticks == 0:
                self._take(now, status)
            self._deliver(now)
            self._steer(now)
            world.step(self.control)
            before, status = status, world.status()
            ticks += 1
            self._account(before, status, now)
            ended = status.ended
            if not ended and self.latched and self.stood_s >= _STOOD_S:
                ended = "stopped"
            if not ended and ticks * tick_s >= limit_s - _EPS_S:
                ended = "time"
        return self._end(status, ended)

    def _take(self, now: float, status: Status) -> None:
        """Take a frame: past the sensor and the watch to the chip, if that is free when it arrives."""
        parts, delays = self.parts, self.parts.delays
        frame = self.world.observe()
        if parts.sensor is not None:
            frame = parts.sensor(frame)
        parts.driver.saw(frame)
        read = now + delays.sensor_s
        passage = Passage(
            frame=frame.number, taken_s=now, read_s=read, arrived_s=read + delays.transfer_s, fate=Fate.UNFINISHED
        )
        wrong = "" if parts.guard is None else parts.guard.look(frame, status.distance_m)
        if parts.guard is not None and parts.guard.alarm:
            self._stop(now, parts.guard.alarm)
        if wrong:
            self._passed(replace(passage, fate=Fate.REFUSED, why=wrong))
        elif passage.arrived_s < self.free_s - _EPS_S:
            self._passed(replace(passage, fate=Fate.DROPPED))
        else:
            self._look(frame, passage)
        truth = self.world.truth()
        self.lateral_m.append(truth.lateral_m)
        moment = Moment(
            frame=frame,
            truth=truth,
            status=status,
            plan=self.plan,
            control=self.control,
            by=self.by,
            trouble=wrong or self.latched,
        )
        for listener in parts.listeners:
            listener.frame(self.world, moment)

    def _look(self, frame: Frame, passage: Passage) -> None:
        answer = self.parts.pilot.look(frame)
        self.free_s = passage.arrived_s + answer.busy_s
        answered = passage.arrived_s + answer.chip_s
        planned = answered + self.parts.delays.planning_s
        passage = replace(passage, answered_s=answered, planned_s=planned)
        self.pending.append(_Pending(passage=passage, answer=answer, due_s=planned))
        for listener in self.parts.listeners:
            listener.passed(passage)

    def _passed(self, passage: Passage) -> None:
        """Write a frame's fate down."""
        self.passages.append(passage)
        for listener in self.parts.listeners:
            listener.passed(passage)

    def _deliver(self, now: float) -> None:
        """Give the controller what has become due."""
        while self.pending and self.pending[0].due_s <= now + _EPS_S:
            due = self.pending.popleft()
            answer, passage = due.answer, due.passage
            if answer.note:
                self.notes.append(Stop(time_s=now, why=answer.note))
            if answer.perception is None:
                self._passed(replace(passage, planned_s=None, fate=Fate.FAILED, why=answer.trouble))
                self._stop(now, answer.trouble)
                continue
            if self.latched:
                self._passed(replace(passage, fate=Fate.REFUSED, why=self.latched))
                continue
            passage = replace(passage, acted_s=now, fate=Fate.USED)
            self._passed(passage)
            plan = self.parts.driver.decide(answer.perception)
            self._adopt(now, plan)
            for listener in self.parts.listeners:
                listener.plan(passage, answer.perception, plan)

    def _adopt(self, now: float, plan: Plan) -> None:
        if plan.stop and (self.plan is None or self.plan.stop != plan.stop):
            self.stops.append(Stop(time_s=now, why=plan.stop))
        self.plan = plan

    def _stop(self, now: float, why: str) -> None:
        """Stop in lane and stay stopped: what failed is not trusted again in this episode."""
        if self.latched:
            return
        self.latched = why
        plan = self.parts.driver.stop(why)
        self._adopt(now, plan)
        passage = Passage(
            frame=plan.frame, taken_s=now, read_s=now, arrived_s=now, acted_s=now, fate=Fate.FAILED, why=why
        )
        for listener in self.parts.listeners:
            listener.plan(passage, None, plan)

    def _steer(self, now: float) -> None:
        parts, tick_s = self.parts, self.world.tick_s
        hands = None if parts.codriver is None else parts.codriver.take(self.world, now, self.speed_m_s)
        self.control = parts.driver.tick(tick_s) if hands is None else parts.driver.tick(tick_s, hands.control)
        if parts.driver.plan is not None:
            self._adopt(now, parts.driver.plan)  # it may have lost patience
        by = "" if hands is None else hands.why
        if by and not self.by:
            self.takeovers.append(Takeover(begin_s=now, end_s=now + tick_s, why=by))
        elif by:
            self.takeovers[-1] = replace(self.takeovers[-1], end_s=now + tick_s)
        self.by = by
        for listener in parts.listeners:
            listener.tick(now, self.control, by)

    def _account(self, before: Status, after: Status, now: float) -> None:
        self.speed_m_s = (after.distance_m - before.distance_m) / self.world.tick_s
        self.stood_s = self.stood_s + self.world.tick_s if self.speed_m_s < STANDS_M_S else 0.0
        self.crashes += after.events.count("crash") + (after.ended == "crash")
        self.nearest_m = min(self.nearest_m, after.nearest_m)
        self.digest.update(
            struct.pack("<4d", now, self.control.steering_rad, self.control.acceleration_m_s2, after.distance_m)
        )

    def _end(self, status: Status, ended: str) -> Episode:
        left = [replace(due.passage, planned_s=None, answered_s=None) for due in self.pending]
        lateral = np.array(self.lateral_m or [0.0])
        episode = Episode(
            world=self.world.name,
            seed=self.seed,
            ended=ended,
            time_s=status.time_s,
            distance_m=status.distance_m,
            progress=status.progress,
            reward=status.reward,
            crashes=self.crashes,
            nearest_m=self.nearest_m,
            lateral_rms_m=float(np.sqrt(np.mean(lateral**2))),
            lateral_most_m=float(np.abs(lateral).max()),
            takeovers=tuple(self.takeovers),
            stops=tuple(self.stops),
            notes=tuple(self.notes),
            passages=tuple(sorted((*self.passages, *left), key=lambda p: p.taken_s)),
            digest=self.digest.hexdigest(),
        )
        for listener in self.parts.listeners:
            listener.end(episode)
        return episode
