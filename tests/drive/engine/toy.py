"""Units small enough for tests and still real: a car on a winding lane, a network of 40 numbers, least squares.

The car sees where the lane goes, bent by its lens, which rain and fog bend otherwise; the network says the steering;
a weak network leaves the lane. Everything is NumPy and takes milliseconds. With CHANZI_TOY_PAUSE each unit takes that
many seconds longer, and one may be told never to end, so that a test can kill it half way.
"""

import io
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from chanzi.drive.engine import interface as o
from chanzi.drive.engine.acceptance import Rule
from chanzi.drive.engine.cycle import run
from chanzi.drive.engine.executor import ProcessExecutor
from chanzi.drive.engine.fleet import Fleet
from chanzi.drive.engine.loop import open_loop
from chanzi.drive.engine.scenario import Scenario
from chanzi.drive.engine.settings import Collect, Settings
from chanzi.drive.engine.signals import Signals, write_signals
from chanzi.drive.engine.triggers import Trigger, Window
from chanzi.drive.engine.unit import Made, Unit, canonical, sha256

FEATURES = 24
MIXING = np.random.default_rng(7).normal(0, 0.7, (FEATURES, 6))
EDGE_M = 1.2
TICK_S = 0.1
SPEED_M_S = 8.0

SETTINGS = Settings(
    worlds=("toy:lane",),
    weathers=("clear", "rain", "fog"),
    seconds=6.0,
    suite=30,
    backlog=10,
    replays=3,
    collect=Collect(
        first_drives=1,
        drives=6,
        failures=6,
        noise_rad=0.05,
        triggers=(
            Trigger(name="failure", threshold=0.5, budget_frames=100),
            Trigger(name="intervention", threshold=0.5, budget_frames=100),
            Trigger(name="disagreement", threshold=0.05, budget_frames=50),
        ),
        window=Window(before=6, after=6),
        routine_frames=60,
        first_frames=10,
    ),
    gate=Rule(alpha=0.1, margin=0.15),
    fleet=Fleet(cars=10, drives_per_car=3, waves=(0.2, 0.5, 1.0)),
)


class Lane:
    """A lane whose curvature is a sum of sines; the car's offset from it and heading against it."""

    def __init__(self, scenario: Scenario) -> None:
        chance = np.random.default_rng(scenario.seed)
        self.waves = chance.uniform((0.004, 0.1, 0.0), (0.028, 0.35, 6.28), (4, 3))
        self.rain, self.fog = scenario.weather == "rain", scenario.weather == "fog"
        self.noise = np.random.default_rng((scenario.seed, 1))
        self.t, self.offset, self.heading = 0.0, float(chance.uniform(-0.3, 0.3)), 0.0

    def curvature(self, t: float) -> float:
        return float(self.waves[:, 0] @ np.sin(self.waves[:, 1] * t + self.waves[:, 2]))

    def look(self) -> np.ndarray:
        lens = -0.6 if self.rain else 1.0  # rain on the lens turns the picture round, more or less
        ahead = 0.3 if self.fog else 1.0
        seen = [np.tanh(2 * self.offset) * lens, np.tanh(4 * self.heading) * lens]
        seen += [ahead * 20 * self.curvature(self.t + s) for s in (0.2, 0.6)]
        return np.array([*(np.array(seen) + self.noise.normal(0, 0.05, 4)), float(self.rain), float(self.fog)])

    def expert(self) -> float:
        return -0.6 * self.offset - 1.6 * self.heading + self.curvature(self.t + TICK_S) * SPEED_M_S

    def step(self, turn_rate: float) -> None:
        self.t += TICK_S
        self.heading += TICK_S * (turn_rate - self.curvature(self.t) * SPEED_M_S)
        self.offset += TICK_S * SPEED_M_S * float(np.sin(self.heading))


def features(seen: np.ndarray) -> np.ndarray:
    return np.concatenate([np.tanh(MIXING @ seen), seen, [1.0]])


def pack(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data)) as found:
        return {name: found[name] for name in found.files}


HOLD: list[int] = []
"""Where not empty: how many units may still be done before one never ends."""


def pause() -> None:
    time.sleep(float(os.environ.get("CHANZI_TOY_PAUSE", "0")))
    if HOLD:
        HOLD[0] -= 1
        if HOLD[0] < 0:
            time.sleep(600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive(Unit):
    kind: ClassVar[str] = "drive"
    order: o.DriveOrder

    @property
    def name(self) -> str:
        return self.order.scenario.name

    def inputs(self) -> tuple[str, ...]:
        return tuple(d.network for d in (self.order.driver, self.order.shadow) if d is not None)

    def perform(self, read) -> Made:
        pause()
        order, lane = self.order, Lane(self.order.scenario)
        driver, shadow = (None if d is None else unpack(read(d.network))["w"] for d in (order.driver, order.shadow))
        mix = order.mix
        chance = np.random.default_rng(mix.seed if mix else 0)
        seen, truth, apart, rescued, path = [], [], [], [], []
        ended, push = "arrived", 0.0
        for frame in range(int(order.scenario.seconds / TICK_S)):
            look, expert = lane.look(), lane.expert()
            ours = expert if driver is None else float(features(look) @ driver)
            rescue = mix is not None and mix.rescue and abs(lane.offset) > 0.8 * EDGE_M
            if mix is not None and frame % 10 == 0:
                push = chance.normal(0, mix.noise_rad) * SPEED_M_S
                stretch = chance.random() < mix.share
            turn = expert if rescue or (mix is not None and stretch) else ours
            seen.append(look)
            truth.append(expert)
            apart.append(0.0 if shadow is None else abs(float(features(look) @ shadow) - ours))
            rescued.append(float(rescue))
            path.append(lane.offset)
            lane.step(turn + (push if mix is not None and not rescue else 0.0))
            if abs(lane.offset) > EDGE_M:
                ended = "off road"
                break
        count = len(path)
        failed_at = int((order.failure_s or 0.0) / TICK_S)
        signals = Signals(
            near_miss=np.zeros(count, np.float32),
            disagreement=np.array(apart, np.float32),
            uncertainty=np.zeros(count, np.float32),
            intervention=np.array(rescued, np.float32),
            failure=np.array(
                [order.failure_s is not None and 0 <= failed_at - f < 10 for f in range(count)], np.float32
            ),
        )
        side = "left" if lane.offset > 0 else "right"
        drove = o.Drove(
            passed=ended == "arrived",
            ended=ended,
            circumstances=f"{ended} {side}, {order.scenario.weather}",
            time_s=count * TICK_S,
            distance_m=count * TICK_S * SPEED_M_S,
            progress=count * TICK_S / order.scenario.seconds,
            frames=count,
            interventions=int((np.diff([0.0, *rescued]) > 0).sum()),
            digest=sha256(np.array(path).tobytes()),
        )
        files = (
            (o.RECORDING, pack(seen=np.array(seen), turn=np.array(truth))),
            (o.SIGNALS, write_signals(signals)),
        )
        return Made(values=canonical(drove), files=files if order.record else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Unit):
    kind: ClassVar[str] = "label"
    recording: str
    frames: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{len(self.frames)} frames"

    def inputs(self) -> tuple[str, ...]:
        return (self.recording,)

    def perform(self, read) -> Made:
        pause()
        at = list(self.frames)
        whole = unpack(read(self.recording))
        shard = pack(seen=whole["seen"][at], turn=whole["turn"][at])
        return Made(values=canonical(o.Labelled(frames=len(at))), files=((o.SHARD, shard),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Train(Unit):
    kind: ClassVar[str] = "train"
    shards: tuple[str, ...]
    parent: str | None
    epochs: int
    seed: int

    @property
    def name(self) -> str:
        return f"{len(self.shards)} shards"

    def inputs(self) -> tuple[str, ...]:
        return (*self.shards, *([self.parent] if self.parent else []))

    def perform(self, read) -> Made:
        pause()
        data = [unpack(read(shard)) for shard in self.shards]
        x = np.stack([features(s) for d in data for s in d["seen"]])
        y = np.concatenate([d["turn"] for d in data])
        start = unpack(read(self.parent))["w"] if self.parent else np.zeros(x.shape[1])
        w = start + np.linalg.solve(x.T @ x + 0.01 * np.eye(x.shape[1]), x.T @ (y - x @ start))
        trained = o.Trained(
            frames=len(y), loss_before=float(np.mean((x @ start - y) ** 2)), loss_after=float(np.mean((x @ w - y) ** 2))
        )
        return Made(values=canonical(trained), files=((o.CHECKPOINT, pack(w=w)), (o.NETWORK, pack(w=w))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt(Unit):
    kind: ClassVar[str] = "adopt"
    network: str

    @property
    def name(self) -> str:
        return self.network[:12]

    def inputs(self) -> tuple[str, ...]:
        return (self.network,)

    def perform(self, read) -> Made:
        data = read(self.network)
        trained = o.Trained(frames=0, loss_before=0.0, loss_after=0.0)
        return Made(values=canonical(trained), files=((o.CHECKPOINT, data), (o.NETWORK, data)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantize(Unit):
    kind: ClassVar[str] = "quantize"
    network: str

    @property
    def name(self) -> str:
        return self.network[:12]

    def inputs(self) -> tuple[str, ...]:
        return (self.network,)

    def perform(self, read) -> Made:
        pause()
        w = unpack(read(self.network))["w"]
        scale = float(np.abs(w).max()) / 127 or 1.0
        rounded = np.rint(w / scale) * scale
        change = o.Quantized(path_change_m=float(np.abs(rounded - w).mean()))
        return Made(values=canonical(change), files=((o.INT8, pack(w=rounded)),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compile(Unit):
    kind: ClassVar[str] = "compile"
    int8: str

    @property
    def name(self) -> str:
        return self.int8[:12]

    def inputs(self) -> tuple[str, ...]:
        return (self.int8,)

    def perform(self, read) -> Made:
        pause()
        compiled = o.Compiled(cycles=1000, latency_s=1e-5, frames=1, exact=1.0)
        return Made(values=canonical(compiled), files=((o.PROGRAM, b"toy" + read(self.int8)),))


class Toy:
    """See `UnitMaker`."""

    def drive(self, order):
        return Drive(order=order)

    def label(self, recording, frames):
        return Label(recording=recording, frames=frames)

    def train(self, shards, parent, epochs, seed):
        return Train(shards=shards, parent=parent, epochs=epochs, seed=seed)

    def adopt(self, network):
        return Adopt(network=network)

    def quantize(self, network, _shards):
        return Quantize(network=network)

    def compile(self, int8, _shards):
        return Compile(int8=int8)

    def executed(self, _network, int8, _program):
        return int8


def toy(_settings) -> Toy:
    return Toy()


def main() -> None:
    """Run ``toy.py FOLDER TURNS WORKERS [TURN STAGE]``; in that stage the second unit, or an only one, never ends."""
    folder, turns, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    make_executor = (lambda _, where: ProcessExecutor(workers, where)) if workers else None

    def tell(turn: int, stage: str) -> None:
        if sys.argv[4:] == [str(turn), stage]:
            HOLD.append(0 if stage in ("train", "quantize", "compile") or turn == 0 else 1)

    with open_loop(folder, toy, settings=SETTINGS, make_executor=make_executor) as loop:
        run(loop, turns, tell)


if __name__ == "__main__":
    main()
