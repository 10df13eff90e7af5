"""One bit flips in the chip while it drives: what the car does, with one chip and with two. `bench/faults.py` runs it.

The clean drive goes on here; at each frame that is to be hit, its flips are tried one after the other on the chip's
simulator. A flip is over where the outputs are as they were and nothing is left of it that a later frame reads. Of
every other one a fork of this process drives on, with the hit chip, in the same world with the same traffic.
"""

import contextlib
import json
import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chanzi.chip import Chip
from chanzi.drive.controller import Driver
from chanzi.drive.episode import Answer, Episode, Parts, run_episode
from chanzi.drive.figures import chip_figures
from chanzi.drive.messages import Frame
from chanzi.drive.network.export import spec_of
from chanzi.drive.network.spec import OUTPUTS, feed, perception
from chanzi.drive.redundant import RedundantPilot, differing
from chanzi.drive.sensor import ReadNoise
from chanzi.drive.world.world import World
from chanzi.isa.fields import INSTRUCTION_BYTES, Opcode
from chanzi.isa.hazards import streams
from chanzi.program.layout import read_outputs, write_inputs
from chanzi.runtime.execute import from_port, to_port
from chanzi.runtime.session import Session
from chanzi.sim.fast.upset import Place, Trap, Upset, UpsetSimulator, flipped

PLACES = (Place.SCRATCHPAD, Place.SUM, Place.PROGRAM)
FOLLOW_S = 8.0
"""A drive is followed so long after the hit, or to its end."""
ASTRAY_M = 1.5
"""Off its lane's centre: where a safety driver takes over (chanzi.drive.supervise)."""
SHORT_S, NEAR_M, NEAR_ALONG_M = 2.0, 0.05, 0.3
"""Where the car never was further from the clean drive's place than this, aside and along, so long is enough."""
_BACK_FRAMES = 10
LOOKS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 79)
"""Frames after the hit at which a chip that said the same is asked again."""
Outputs = Mapping[str, Any]
Line = dict[str, Any]


class Enough(Exception):  # noqa: N818 - no error
    """The drive need not be followed further."""


class Chips:
    """A chip that can be hit, with its program.

    Parameters
    ----------
    network : Path
        QDQ int8.
    chip : Chip
        Of one core, which runs all of the network.
    """

    def __init__(self, network: Path, chip: Chip) -> None:
        session = Session(network, chip)
        timing = session.timing()
        (step,) = session.model.steps
        self.step: Any = step
        self.spec = spec_of(network)
        self.figures = chip_figures(session.model, timing)
        self.segment, self.timing = self.step.segment, timing.segments[0].frame
        if len(self.segment.cores) != 1:
            raise SystemExit(f"{chip.name} runs it on several cores; take a chip of one")
        self.sim = UpsetSimulator(session.model.compiled(self.step), self.timing)
        self._ports = {port.name: port for port in (*self.segment.inputs, *self.segment.outputs)}
        self.order, self.code = self.sim.order(), self.segment.cores[0].frame
        self._dots = [k for k, (_, i) in enumerate(self.order) if self.code[i].opcode == Opcode.DOT]
        work = np.array([self._products(self.code[self.order[k][1]]) for k in self._dots], np.float64)
        self._dot_share = work / work.sum()
        self._starts = np.sort(self.timing.start)
        self.resident = self._resident()
        self._loaded = self.sim.scratchpads[0].copy()

    @staticmethod
    def _length(ins: Any) -> int:
        return int(ins.a_run) * int(ins.a_taps_y) * int(ins.a_taps_x)

    def _products(self, ins: Any) -> int:
        return int(ins.a_count) * int(ins.b_count) * self._length(ins)

    def _resident(self) -> np.ndarray:
        """Return which bytes of the scratchpad a frame may read and never writes: what outlives a frame there."""
        found = {
            True: np.zeros(self.sim.scratchpads[0].size, bool),
            False: np.zeros(self.sim.scratchpads[0].size, bool),
        }
        for ins in self.code:
            for stream in streams(ins):
                for low, high in stream.spans:
                    found[stream.writes][low:high] = True
        return found[False] & ~found[True]

    def check(self, inputs: Outputs) -> None:
        """Hold `resident` against the simulator: with every other byte spoilt a frame gives the same outputs."""
        clean = self.outputs(inputs)
        self.sim.save()
        memory = self.sim.scratchpads[0]
        memory[~self.resident] ^= 0xFF
        for plan in self.sim._plans:  # no flip of one bit is so large
            plan.forget((0, memory.size))
        if differing(clean, self.outputs(inputs)):
            raise SystemExit("a frame reads what the frame before left: more bytes outlive a frame than is known")
        self.sim.restore()

    def draw(self, place: Place, rng: np.random.Generator) -> Upset:
        """Return a flip: any bit of the scratchpad or of the code at any cycle of a frame, any sum at any product."""
        if place is Place.SUM:
            position = int(rng.choice(self._dots, p=self._dot_share))
            ins = self.code[self.order[position][1]]
            row, column, done = (int(rng.integers(n)) for n in (ins.a_count, ins.b_count, self._length(ins) + 1))
            return Upset(place=place, position=position, row=row, column=column, done=done, bit=int(rng.integers(32)))
        cycle = int(rng.integers(self.timing.cycles))
        position = int(np.searchsorted(self._starts, cycle, side="right"))
        size = self.resident.size if place is Place.SCRATCHPAD else len(self.code) * INSTRUCTION_BYTES
        return Upset(place=place, position=position, address=int(rng.integers(size)), bit=int(rng.integers(8)))

    def outputs(self, inputs: Outputs) -> dict[str, Any]:
        """Run a frame."""
        frame = {b.port: to_port(inputs[b.tensor], b, self._ports[b.port]) for b in self.step.inputs}
        write_inputs(self.sim.dram, self.segment, [frame])
        self.sim.step()
        (found,) = read_outputs(self.sim.dram, self.segment)
        return {b.tensor: from_port(found[b.port], b, self._ports[b.port]) for b in self.step.outputs}

    def changed(self, upset: Upset) -> bool:
        """Whether something of a flip is left after the frame that a later frame reads."""
        if upset.place is Place.PROGRAM:
            return True
        return bool((self.resident & (self.sim.scratchpads[0] != self._loaded)).any())

    def reads_the_same(self, upset: Upset) -> bool:
        """Whether a flip of the code changes nothing that the sequencer looks at."""
        index, byte = divmod(upset.address, INSTRUCTION_BYTES)
        with contextlib.suppress(Trap):
            return upset.place is Place.PROGRAM and flipped(self.code[index], byte, upset.bit) == self.code[index]
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What was so at a frame of the clean drive."""

    inputs: Outputs
    outputs: Outputs
    distance_m: float
    lateral_m: float


class CleanPilot:
    """Drives with a healthy chip and writes down what it saw and said."""

    def __init__(self, chips: Chips) -> None:
        self.chips = chips
        self.records: dict[int, Record] = {}

    def begin(self, world: World) -> None:
        """Begin the drive."""
        self.world = world

    def look(self, frame: Frame) -> Answer:
        """Return what the chip says."""
        inputs = feed(frame, self.chips.spec)
        outputs = self.chips.outputs(inputs)
        self.records[frame.number] = Record(
            inputs=inputs,
            outputs=outputs,
            distance_m=self.world.status().distance_m,
            lateral_m=self.world.truth().lateral_m,
        )
        return answered(self.chips, frame, outputs)


def answered(chips: Chips, frame: Frame, outputs: Outputs) -> Answer:
    """Return an answer after the chip's time."""
    chip_s = chips.figures.chip_s
    return Answer(perception=perception(frame.number, outputs), chip_s=chip_s, busy_s=chip_s)


def stopped(chips: Chips, why: str) -> Answer:
    """Return that the chip stands."""
    return Answer(perception=None, chip_s=chips.figures.chip_s, busy_s=chips.figures.chip_s, trouble=why)


class HitPilot:
    """The clean drive again; its forks drive on with what was hit.

    Parameters
    ----------
    chips : Chips
    records : mapping
        The clean drive.
    flips : mapping
        From a frame's number to (number, flip) of those that hit it.
    sink : callable
        Takes a line for each outcome.
    before : iterable of lines
        What is written down already.
    follow : int
        Flips with smaller numbers are driven on, where they show.
    """

    def __init__(
        self,
        chips: Chips,
        records: Mapping[int, Record],
        flips: Mapping[int, list[tuple[int, Upset]]],
        sink: Callable[[Line], None],
        before: Iterable[Line],
        *,
        follow: int,
    ) -> None:
        self.chips, self.records, self.flips, self._sink, self._follows = chips, records, flips, sink, follow
        self.pipe: int | None = None  # in a fork: where its outcome goes
        self.hit_at, self.lasts = 0, False
        self.first: int | None = None
        self.worst_m, self.refused, self._back, self._strayed = 0.0, "", 0, False
        self.trap: Trap | None = None
        self.plan: Callable[[], Any] = lambda: None
        self._stops: set[int] = set()  # frames at which a chip stops, and those at which two chips differ
        self._pairs: set[int] = set()
        self._known: set[tuple[str, int]] = set()
        for line in before:
            self._note(line)

    def begin(self, world: World) -> None:
        """Begin the drive."""
        self.world = world

    def _note(self, line: Line) -> None:
        for kind in ("flip", "stop", "two"):
            if kind in line and not (line["one"] == "shows" and line[kind] < self._follows):
                self._known.add((kind, line[kind]))
        if "flip" not in line or line["at"] is None or line["flip"] >= self._follows:
            return
        self._pairs.add(line["at"])
        if line.get("trap") and line["at"] == line["frame"]:
            self._stops.add(line["at"])

    def sink(self, line: Line) -> None:
        """Write a line down."""
        self._note(line)
        self._sink(line)

    def look(self, frame: Frame) -> Answer:
        """Return what the chip says; in the clean drive, after this frame's flips were tried."""
        if self.pipe is not None:
            return self._follow(frame)
        chips, number = self.chips, frame.number
        record = self.records[number]
        for at, upset in self.flips.get(number, ()):
            if ("flip", at) not in self._known:
                chips.sim.save()
                answer = self._try(at, upset, frame, record)
                if answer is not None:
                    return answer
                chips.sim.restore()
        for kind, wanted, then in (("stop", self._stops, self._stop), ("two", self._pairs, self._two)):
            if number in wanted and (kind, number) not in self._known:
                answer = self._fork({kind: number}, lambda then=then: then(frame))
                if answer is not None:
                    return answer
        outputs = chips.outputs(record.inputs)
        if differing(record.outputs, outputs):
            raise SystemExit(f"frame {number}: the clean chip differs from itself; a flip was not undone")
        return answered(chips, frame, outputs)

    def _try(self, at: int, upset: Upset, frame: Frame, record: Record) -> Answer | None:
        """Hit the chip; write down what comes of it, or in the fork return an answer to drive by."""
        chips, number = self.chips, frame.number
        line: Line = {"flip": at, "frame": number, "place": upset.place.value, "bit": upset.bit}
        if chips.reads_the_same(upset):
            self.sink({**line, "one": "masked", "at": None})
            return None
        chips.sim.hit(upset)
        try:
            outputs = chips.outputs(record.inputs)
        except Trap as trap:
            kind = "undefined" if trap.undefined else "stopped"
            self.sink({**line, "one": kind, "trap": str(trap), "at": None if trap.undefined else number})
            return None
        shows = number if differing(record.outputs, outputs) else None
        if shows is None:
            if chips.changed(upset):
                shows = self._shows_later(number)
            if shows is None:
                self.sink({**line, "one": "masked", "at": None})
                return None
            chips.sim.restore()
            if at >= self._follows:
                self.sink({**line, "one": "shows", "at": shows})
                return None
            chips.sim.hit(upset)
            outputs = chips.outputs(record.inputs)
        elif at >= self._follows:
            self.sink({**line, "one": "shows", "at": shows})
            return None

        def drive_on() -> Answer:
            self.hit_at, self.lasts = number, chips.changed(upset)
            self.first = number if differing(record.outputs, outputs) else None
            self._judge(frame)
            return answered(chips, frame, outputs)

        return self._fork(line, drive_on)

    def _shows_later(self, number: int) -> int | None:
        """Return the frame of the clean drive at which the hit chip says or does anything else, if there is one."""
        for ahead in LOOKS:
            record = self.records.get(number + ahead)
            if record is None:
                return None
            try:
                if differing(record.outputs, self.chips.outputs(record.inputs)):
                    return number + ahead
            except Trap:
                return number + ahead
        return None

    def _stop(self, frame: Frame) -> Answer:
        """Return that the one chip there is stands still."""
        self.hit_at, self.lasts = frame.number, True
        return stopped(self.chips, "the chip stopped")

    def _two(self, frame: Frame) -> Answer:
        """Return what two chips say that differ in one bit, load anew and agree."""
        self.hit_at, self.lasts = frame.number, False
        clean = self.chips.outputs(self.records[frame.number].inputs)
        figures = self.chips.figures
        pair = (_Unit(clean, spoilt=True), _Unit(clean))
        return RedundantPilot(self.chips.spec, pair, chip_s=figures.chip_s, reload_s=figures.reload_s).look(frame)

    def _fork(self, line: Line, then: Callable[[], Answer]) -> Answer | None:
        """Let a fork drive on and write down how it went; only the fork gets an answer."""
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(read)
            self.pipe = write
            return then()
        os.close(write)
        with os.fdopen(read, "rb") as stream:
            text = stream.read()
        os.waitpid(pid, 0)
        if not text:
            raise SystemExit(f"a fork died: {line}")
        self.sink({**line, **json.loads(text)})
        return None

    def _judge(self, frame: Frame) -> None:
        """Look where the car is; raise `Enough` where it has been followed far enough, or is back."""
        lateral = self.world.truth().lateral_m
        self.worst_m = max(self.worst_m, abs(lateral))
        plan = self.plan()
        if plan is not None and plan.stop:
            self.refused = plan.stop
        record = self.records.get(frame.number)
        near = (
            record is not None
            and abs(lateral - record.lateral_m) < NEAR_M
            and abs(self.world.status().distance_m - record.distance_m) < NEAR_ALONG_M
        )
        self._strayed |= not near
        self._back = self._back + 1 if near and not self.lasts else 0
        passed_s = frame.time_s - self.hit_at * self.world.frame_s
        if passed_s > (FOLLOW_S if self._strayed else SHORT_S) or self._back > _BACK_FRAMES:
            raise Enough

    def _follow(self, frame: Frame) -> Answer:
        """Drive on in a fork."""
        self._judge(frame)
        if self.trap is not None:
            return stopped(self.chips, str(self.trap))
        record = self.records.get(frame.number)
        try:
            outputs = self.chips.outputs(feed(frame, self.chips.spec))
        except Trap as trap:
            self.trap = trap
            self.first = frame.number if self.first is None else self.first
            return stopped(self.chips, str(trap))
        if self.first is None and record is not None and differing(record.outputs, outputs):
            self.first = frame.number
        return answered(self.chips, frame, outputs)

    def outcome(self, episode: Episode | None) -> Line:
        """Return how a fork's drive went."""
        ended = "" if episode is None else episode.ended
        self.worst_m = max(self.worst_m, 0.0 if episode is None else abs(self.world.truth().lateral_m))
        harmful = ended in ("crash", "off road") or self.worst_m > ASTRAY_M
        found: Line = {"at": self.first, "ended": ended, "worst_m": round(self.worst_m, 2)}
        if self.trap is not None:
            found["trap"] = str(self.trap)
        if harmful:
            return {**found, "one": "harmful"}
        if self.trap is not None:
            return {**found, "one": "undefined" if self.trap.undefined else "stopped"}
        if self.refused:
            return {**found, "one": "refused", "why": self.refused}
        return {**found, "one": "harmless" if self.first is not None else "masked"}


class _Unit:
    """A chip that says something else until it is loaded anew."""

    def __init__(self, clean: Outputs, *, spoilt: bool = False) -> None:
        self.clean, self.spoilt = clean, spoilt

    def outputs(self, inputs: Outputs) -> Outputs:
        """Return what it says."""
        del inputs
        if not self.spoilt:
            return self.clean
        wrong = np.ascontiguousarray(self.clean[OUTPUTS[0]]).copy()
        wrong.view(np.uint8).reshape(-1)[0] ^= 1
        return {**self.clean, OUTPUTS[0]: wrong}

    def reload(self) -> None:
        """Load anew."""
        self.spoilt = False


def clean_drive(chips: Chips, world: World, seed: int, limit_s: float) -> tuple[Episode, dict[int, Record]]:
    """Drive the healthy chip's episode."""
    pilot = CleanPilot(chips)
    parts = Parts(pilot=pilot, driver=Driver(world.vehicle), sensor=ReadNoise(seed))
    return run_episode(world, seed, parts, limit_s=limit_s), pilot.records


def hit_drive(world: World, seed: int, limit_s: float, pilot: HitPilot) -> None:
    """Drive it again, with every flip tried at its frame."""
    driver = Driver(world.vehicle)
    pilot.plan = lambda: driver.plan
    parts = Parts(pilot=pilot, driver=driver, sensor=ReadNoise(seed))
    try:
        episode = None
        with contextlib.suppress(Enough):
            episode = run_episode(world, seed, parts, limit_s=limit_s)
        if pilot.pipe is not None:
            os.write(pilot.pipe, json.dumps(pilot.outcome(episode)).encode())
    except BaseException:
        if pilot.pipe is None:
            raise
        traceback.print_exc()
    finally:
        if pilot.pipe is not None:
            os._exit(0)
