"""Units that make a network: labelling, training, quantization, compilation; each a few calls of who can do it."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from chanzi.drive.camera import rig
from chanzi.drive.engine import interface
from chanzi.drive.engine.unit import Made, Read, Unit, canonical
from chanzi.drive.network.spec import IMAGES, OUTPUTS, STATE, NetSpec
from chanzi.drive.statistics import sample
from chanzi.errors import DriveError, LoopError
from chanzi.settings import cache_dir

MOST_LATERAL_M = 2.3
"""Further from the lane's centre another lane may be nearer, and a label says nothing about the picture."""
CALIBRATION_FRAMES = 128
CHECKED_FRAMES = 8
"""Of a candidate's program, run on the simulated chip and held against ONNX Runtime."""
FRAME_S = 0.1
"""A chip that takes longer for a frame than from one to the next cannot drive."""

Feed = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Unit):
    """What the cameras saw, with what was so."""

    kind: ClassVar[str] = "label"

    recording: str
    frames: tuple[int, ...]

    @property
    def name(self) -> str:
        """See `Unit`."""
        return f"{len(self.frames)} frames"

    def inputs(self) -> tuple[str, ...]:
        """See `Unit`."""
        return (self.recording,)

    def perform(self, read: Read) -> Made:
        """See `Unit`."""
        from chanzi.drive.network.shards import make_shard, write_shard
        from chanzi.drive.record.mcap_log import read_frames

        wanted = {*self.frames}
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "drive.mcap"
            log.write_bytes(read(self.recording))
            kept = [logged for at, logged in enumerate(read_frames(log)) if at in wanted]
            clear = [logged for logged in kept if abs(logged.truth.lateral_m) <= MOST_LATERAL_M]
            if not clear:
                return Made(values=canonical(interface.Labelled(frames=0)))
            path = Path(folder) / "shard.npz"
            write_shard(path, make_shard([one.frame for one in clear], [one.truth for one in clear]))
            data = path.read_bytes()
        return Made(values=canonical(interface.Labelled(frames=len(clear))), files=((interface.SHARD, data),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Train(Unit):
    """Training. Killed, it goes on from the last epoch that a worker on this machine had done."""

    kind: ClassVar[str] = "train"
    patience_s: ClassVar[float] = 6 * 3600.0

    shards: tuple[str, ...]
    parent: str | None
    epochs: int
    seed: int
    threads: int
    cameras: int

    @property
    def name(self) -> str:
        """See `Unit`."""
        return f"{self.epochs} epochs on {len(self.shards)} drives"

    def inputs(self) -> tuple[str, ...]:
        """See `Unit`."""
        return (*self.shards, *(() if self.parent is None else (self.parent,)))

    def perform(self, read: Read) -> Made:
        """See `Unit`."""
        import shutil

        from chanzi.drive.network import train as training

        # What is half done is kept beside the run, by the unit's name: it is nobody's but this unit's.
        half_done = cache_dir() / "training" / self.id[:32]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            paths = []
            for index, sha in enumerate(self.shards):
                # Named by content: which drives are held out of training must not change from turn to turn.
                paths.append(folder / f"{sha[:24]}-{index}.npz")
                paths[-1].write_bytes(read(sha))
            parent = None
            if self.parent is not None:
                parent = folder / "parent.npz"
                parent.write_bytes(read(self.parent))
            report = training.train(
                paths,
                half_done,
                NetSpec(cameras=self.cameras),
                training.Training(epochs=self.epochs, seed=self.seed, threads=self.threads),
                cameras=rig(self.cameras),
                parent=parent,
            )
        trained = interface.Trained(
            frames=report.frames + report.held_frames, loss_before=report.loss_before, loss_after=report.loss_after
        )
        made = Made(
            values=canonical(trained),
            files=(
                (interface.CHECKPOINT, (half_done / training.CHECKPOINT).read_bytes()),
                (interface.NETWORK, (half_done / training.NETWORK).read_bytes()),
            ),
        )
        shutil.rmtree(half_done)
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt(Unit):
    """A network from outside, taken as it is; it has no checkpoint that training could go on from."""

    kind: ClassVar[str] = "adopt"

    network: str
    cameras: int

    @property
    def name(self) -> str:
        """See `Unit`."""
        return self.network[:12]

    def inputs(self) -> tuple[str, ...]:
        """See `Unit`."""
        return (self.network,)

    def perform(self, read: Read) -> Made:
        """See `Unit`."""
        from chanzi.drive.network.export import spec_of

        data = read(self.network)
        try:
            spec = spec_of(data)
        except DriveError as error:
            raise LoopError(f"the network cannot be adopted: {error}") from None
        if spec.cameras != self.cameras:
            raise LoopError(
                f"a network of {spec.cameras} cameras for cars that have {self.cameras}", hint="another network"
            )
        trained = interface.Trained(frames=0, loss_before=0.0, loss_after=0.0)
        return Made(values=canonical(trained), files=((interface.NETWORK, data),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantize(Unit):
    """Post-training quantization, calibrated on frames of all turns."""

    kind: ClassVar[str] = "quantize"

    network: str
    shards: tuple[str, ...]

    @property
    def name(self) -> str:
        """See `Unit`."""
        return self.network[:12]

    def inputs(self) -> tuple[str, ...]:
        """See `Unit`."""
        return (self.network, *self.shards)

    def perform(self, read: Read) -> Made:
        """See `Unit`."""
        from chanzi.drive.network.export import to_int8

        network = read(self.network)
        feeds = list(_feeds(read, self.shards, CALIBRATION_FRAMES))
        int8 = to_int8(network, feeds)
        change = np.mean(
            [np.abs(a - b).mean() for a, b in zip(_paths(network, feeds), _paths(int8, feeds), strict=True)]
        )
        return Made(values=canonical(interface.Quantized(path_change_m=float(change))), files=((interface.INT8, int8),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compile(Unit):
    """Compilation for a chip, timed, with a check of the chip's bytes against ONNX Runtime's."""

    kind: ClassVar[str] = "compile"

    int8: str
    shards: tuple[str, ...]
    chip: str
    """Its description, as TOML: a preset may change, a run's chip may not."""

    @property
    def name(self) -> str:
        """See `Unit`."""
        return self.int8[:12]

    def inputs(self) -> tuple[str, ...]:
        """See `Unit`."""
        return (self.int8, *self.shards)

    def perform(self, read: Read) -> Made:
        """See `Unit`."""
        from chanzi.chip import parse_chip
        from chanzi.program import container
        from chanzi.runtime.build import compile as compile_model
        from chanzi.runtime.host import make_session
        from chanzi.runtime.session import Session
        from chanzi.runtime.timing import time_model

        int8 = read(self.int8)
        model = compile_model(int8, parse_chip(self.chip, origin="the run's chip"))
        timing = time_model(model)
        judge = make_session(int8, what="the candidate in 8 bits")
        chip = Session(model)
        equal = total = frames = 0
        for feed in _feeds(read, self.shards, CHECKED_FRAMES):
            names = list(OUTPUTS)
            for ours, theirs in zip(chip.run(names, feed), judge.run(names, feed), strict=True):
                equal += int((np.asarray(ours) == np.asarray(theirs)).sum())
                total += np.asarray(theirs).size
            frames += 1
        exact = equal / max(total, 1)
        broken = []
        if timing.latency_s > FRAME_S:
            broken.append(f"{timing.latency_s:.3g} s a frame on the chip, and a frame comes every {FRAME_S:g} s")
        if exact < 1:
            broken.append(f"the chip gives {100 * (1 - exact):.3g} % of its outputs otherwise than ONNX Runtime")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.chz"
            container.write(path, model)
            program = path.read_bytes()
        compiled = interface.Compiled(
            cycles=timing.cycles, latency_s=timing.latency_s, frames=frames, exact=exact, broken=tuple(broken)
        )
        return Made(values=canonical(compiled), files=((interface.PROGRAM, program),))


def _feeds(read: Read, shards: Sequence[str], count: int) -> Iterator[Feed]:
    """Yield frames of the shards as a network takes them: so many, spread evenly over all."""
    from chanzi.drive.network.shards import read_shard

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.npz"
        per_shard = max(1, -(-count // max(len(shards), 1)))
        left = count
        for which in sample(count, len(shards), seed=0):
            path.write_bytes(read(shards[which]))
            shard = read_shard(path)
            for at in sample(min(per_shard, left), len(shard), seed=which):
                left -= 1
                pixels = shard.images[at].transpose(2, 0, 1)[None]
                yield {
                    IMAGES: np.ascontiguousarray(pixels, np.float32),
                    STATE: shard.state[at][None].astype(np.float32),
                }


def _paths(network: bytes, feeds: Sequence[Feed]) -> list[npt.NDArray[np.float32]]:
    """Return the paths, in metres, that a network says for frames."""
    from chanzi.drive.network.spec import perception
    from chanzi.runtime.host import make_session

    session = make_session(network, what="the candidate")
    names = list(OUTPUTS)
    outputs = [session.run(names, feed) for feed in feeds]
    return [perception(0, dict(zip(names, found, strict=True))).path_m for found in outputs]
