"""Training in PyTorch: shards in, a checkpoint and an ONNX file out. Killed, it goes on from its last epoch.

Everything random in an epoch is drawn from the seed and the epoch's number, so a run that was killed ends with the same
weights as one that was not, on the same machine with as many threads.
"""

import json
import math
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from chanzi.drive.camera import Camera
from chanzi.drive.messages import GRID_COLUMNS, GRID_ROWS, PATH_DISTANCES_M
from chanzi.drive.network.batches import Batch, Frames, mirrored
from chanzi.drive.network.export import to_onnx
from chanzi.drive.network.shards import Shard, read_shard, seen_cells
from chanzi.drive.network.spec import LEFT_M, SPEED_M_S, NetSpec
from chanzi.errors import DriveError

if TYPE_CHECKING:
    from torch import Tensor, nn

Progress = Callable[[str], None]
CHECKPOINT, NETWORK = "checkpoint.npz", "drive.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a network is trained.

    Parameters
    ----------
    epochs : int
    batch : int
    rate : float
        Highest learning rate of AdamW; it warms up over the first tenth and falls as a cosine.
    decay : float
        Of the weights.
    held_share : float
        Share of the episodes that are held out, by hash of their file's name.
    untold_share : float
        Share of the frames for which the route commands nothing that an epoch shows, drawn anew each time: where
        junctions are what is hard, the road to them need not be seen as often.
    mirror : bool
        Show every other frame in a mirror: right where left and right differ in nothing that matters.
    seed : int
    threads : int
    """

    epochs: int = 12
    batch: int = 64
    rate: float = 2e-3
    decay: float = 1e-3
    held_share: float = 0.1
    untold_share: float = 1.0
    mirror: bool = True
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How training went, on the episodes that were held out of it.

    Parameters
    ----------
    frames, held_frames : int
    loss_before, loss_after : float
    left_m : tuple of float
        Mean error of the path sideways, at each of `PATH_DISTANCES_M`.
    speed_m_s : float
        Mean error of the target speed.
    precision, recall : float
        Of taken cells, at a probability of one half.
    """

    frames: int
    held_frames: int
    loss_before: float
    loss_after: float
    left_m: tuple[float, ...]
    speed_m_s: float
    precision: float
    recall: float

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), indent=1)


def held_out(path: Path, share: float) -> bool:
    """Tell whether an episode is held out of training: a function of its name alone, so that it always is."""
    import hashlib

    return int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:4], "big") < share * 2**32


def train(
    shards: Sequence[Path],
    folder: Path,
    spec: NetSpec,
    training: Training | None = None,
    *,
    cameras: Sequence[Camera] = (),
    parent: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Train on shards and write `CHECKPOINT` and `NETWORK` to `folder`; go on from the checkpoint that is there.

    Parameters
    ----------
    shards : sequence of Path
        Episodes, as `collect` writes them.
    folder : Path
    spec : NetSpec
    training : Training, optional
    cameras : sequence of Camera
        The rig: cells of the grid that none of it sees are learned as free, and cameras trade places in a mirror.
    parent : Path, optional
        A checkpoint to begin with instead of random weights.
    progress : callable, optional
        Told an epoch's losses in words.

    Raises
    ------
    DriveError
        Nothing to learn from, shards of another rig, or PyTorch is missing.
    """
    training = training or Training()
    torch = _torch()
    torch.set_num_threads(training.threads)
    torch.manual_seed(training.seed)
    inside = [read_shard(path) for path in shards if not held_out(path, training.held_share)]
    outside = [read_shard(path) for path in shards if held_out(path, training.held_share)]
    _check(inside + outside, spec)
    learn, held = Frames(inside), Frames(outside)
    if not len(learn):
        raise DriveError("there is nothing to learn from", hint="collect some episodes first")

    from chanzi.drive.network.model import build

    net = build(spec).to(memory_format=torch.channels_last)
    seen = torch.from_numpy(seen_cells(cameras) if cameras else np.ones((GRID_ROWS, GRID_COLUMNS), bool)).float()
    optimiser = torch.optim.AdamW(net.parameters(), lr=training.rate, weight_decay=training.decay)
    checkpoint = folder / CHECKPOINT
    state = _State(net, optimiser)
    begun = 0
    if parent is not None:
        state.load(parent, weights_only=True)
    before = _judge(net, held, seen, training.batch)
    if checkpoint.is_file():
        begun, before = state.load(checkpoint, weights_only=False)
    steps = -(-len(learn.drawn(training.untold_share, np.random.default_rng(0))) // training.batch)
    mirror = partial(mirrored, spec=spec, cameras=cameras) if training.mirror else None
    for epoch in range(begun, training.epochs):
        net.train()
        total = 0.0
        rng = np.random.default_rng([training.seed, epoch])
        for number, batch in enumerate(learn.shuffled(training.batch, rng, mirror, training.untold_share)):
            rate = _rate(training, (epoch * steps + number) / (training.epochs * steps))
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss = _loss(net(batch.images, batch.state), batch, seen)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            total += float(loss.detach())
        state.save(checkpoint, epoch + 1, before)
        if progress:
            now = _judge(net, held, seen, training.batch)
            progress(f"epoch {epoch + 1} of {training.epochs}: loss {total / steps:.4f}; held out {now.told()}")
    after = _judge(net, held, seen, training.batch)
    _write(folder / NETWORK, to_onnx(net, spec))
    return Report(
        frames=len(learn),
        held_frames=len(held),
        loss_before=before.loss,
        loss_after=after.loss,
        left_m=after.left_m,
        speed_m_s=after.speed_m_s,
        precision=after.precision,
        recall=after.recall,
    )


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError:
        raise DriveError("training needs PyTorch", hint="pip install 'chanzi[train]'") from None
    return torch


def _check(shards: Sequence[Shard], spec: NetSpec) -> None:
    wanted = (spec.cameras * spec.height, spec.width, 3)
    for shard in shards:
        if shard.cameras != spec.cameras or shard.images.shape[1:] != wanted:
            raise DriveError(
                f"a shard of {shard.cameras} cameras, {shard.images.shape[1:]}, for a network that takes {wanted}",
                hint="collect with the same rig, or train another network",
            )


def _rate(training: Training, share: float) -> float:
    """Return the learning rate after a share of all steps."""
    warm = 0.1
    if share < warm:
        return training.rate * (0.05 + 0.95 * share / warm)
    return training.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - warm) / (1 - warm))))


def _loss(said: "tuple[Tensor, ...]", batch: Batch, seen: "Tensor") -> "Tensor":
    """Return the loss: path and speed by their absolute error, doubt by likelihood, cells by cross-entropy."""
    from torch.nn import functional as f

    left, ahead, spread, logits, fast = said
    miss = (left - batch.left).abs()
    # The doubt learns from the path's errors, and the path not from the doubt: else it would give up what is hard.
    error, log = miss.detach(), spread.clamp(-6, 3)
    doubt = (log + 0.5 * (error * (-log).exp()) ** 2).mean()
    taken = batch.occupancy * seen
    cells = f.binary_cross_entropy_with_logits(logits.reshape(taken.shape), taken, reduction="none")
    # Taken cells are few. Where no camera looks the network says no: what it were free to say would be believed.
    weight = 1 + 4 * taken
    return (
        miss.mean()
        + 0.5 * (ahead - batch.ahead).abs().mean()
        + 0.05 * doubt
        + 5 * (cells * weight).sum() / weight.sum()
        + 0.5 * (fast[:, 0] - batch.speed).abs().mean()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    loss: float
    left_m: tuple[float, ...]
    speed_m_s: float
    precision: float
    recall: float

    def told(self) -> str:
        near = ", ".join(f"{self.left_m[i] * 100:.0f}" for i in (0, 3, 6, 9))
        return (
            f"{self.loss:.4f}, path off by {near} cm at 2, 9, 20, 40 m, speed by {self.speed_m_s:.2f} m/s,"
            f" {self.recall:.0%} of cells found, {self.precision:.0%} of those true"
        )


def _judge(net: "nn.Module", frames: Frames, seen: "Tensor", size: int) -> _Judged:
    """Return how good the network is on frames as they were taken."""
    torch = _torch()
    net.eval()
    loss = speed = 0.0
    left = np.zeros(len(PATH_DISTANCES_M))
    hit = said_taken = taken = 0.0
    with torch.no_grad():
        for batch in frames.in_order(size):
            said = net(batch.images, batch.state)
            loss += float(_loss(said, batch, seen)) * len(batch)
            left += (said[0] - batch.left).abs().sum(0).numpy() * LEFT_M
            speed += float((said[4][:, 0] - batch.speed).abs().sum()) * SPEED_M_S
            found = said[3].reshape(batch.occupancy.shape) > 0
            true = batch.occupancy * seen
            hit += float((found * true).sum())
            said_taken += float(found.sum())
            taken += float(true.sum())
    count = max(len(frames), 1)
    return _Judged(
        loss=loss / count,
        left_m=tuple(float(x) for x in left / count),
        speed_m_s=speed / count,
        precision=hit / max(said_taken, 1.0),
        recall=hit / max(taken, 1.0),
    )


class _State:
    """Weights and optimiser as plain arrays, there and back."""

    def __init__(self, net: "nn.Module", optimiser: Any) -> None:
        self._net, self._optimiser = net, optimiser

    def save(self, path: Path, epoch: int, before: _Judged) -> None:
        arrays = {f"net/{name}": value.numpy() for name, value in self._net.state_dict().items()}
        for index, entry in self._optimiser.state_dict()["state"].items():
            arrays |= {f"adam/{index}/{name}": np.asarray(value) for name, value in entry.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, epoch=np.int64(epoch), before=np.array(json.dumps(asdict(before))), **arrays)
        Path(part).replace(path)

    def load(self, path: Path, *, weights_only: bool) -> tuple[int, _Judged]:
        torch = _torch()
        try:
            with path.open("rb") as data, np.lib.npyio.NpzFile(data, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            weights = {name[4:]: torch.from_numpy(a) for name, a in arrays.items() if name.startswith("net/")}
            self._net.load_state_dict(weights)
            if not weights_only:
                state: dict[int, dict[str, Any]] = {}
                for name, array in arrays.items():
                    if name.startswith("adam/"):
                        _, index, key = name.split("/")
                        state.setdefault(int(index), {})[key] = torch.from_numpy(np.array(array))
                self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": state})
            return int(arrays["epoch"]), msgspec.json.decode(str(arrays["before"]), type=_Judged)
        except (
            OSError,
            ValueError,
            KeyError,
            RuntimeError,
            EOFError,
            zipfile.BadZipFile,
            msgspec.MsgspecError,
        ) as error:
            text = " ".join(str(error).split())[:200]
            raise DriveError(
                f"cannot go on from {path}: {text}", hint="delete it, or train the network it is of"
            ) from None


def _write(path: Path, data: bytes) -> None:
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(part).replace(path)
