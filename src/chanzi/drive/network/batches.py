"""From shards to batches of tensors: another light each time, and every other frame as a mirror shows it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from chanzi.drive.camera import Camera
from chanzi.drive.messages import PATH_DISTANCES_M, Command
from chanzi.drive.network.shards import Shard
from chanzi.drive.network.spec import AHEAD_M, LEFT_M, SPEED_M_S, NetSpec

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Frames with what the network should say of them, in its units. B frames.

    Parameters
    ----------
    images : float32 (B, 3, cameras * height, width)
        0 to 255.
    state : float32 (B, STATE_BYTES)
        0 to 255.
    left, ahead : float32 (B, 10)
    speed : float32 (B,)
    occupancy : float32 (B, GRID_ROWS, GRID_COLUMNS)
    """

    images: "Tensor"
    state: "Tensor"
    left: "Tensor"
    ahead: "Tensor"
    speed: "Tensor"
    occupancy: "Tensor"

    def __len__(self) -> int:
        return len(self.images)


class Frames:
    """All frames of some shards; the pictures stay where they are."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._images = [shard.images for shard in shards]
        self._at = [(k, i) for k, shard in enumerate(shards) for i in range(len(shard))]
        self._told = np.zeros(0, bool)
        if not shards:
            return
        path = np.concatenate([shard.path_m for shard in shards])
        self._state = np.concatenate([shard.state for shard in shards])
        self._told = self._state[:, 1 + int(Command.FOLLOW)] == 0
        self._left = path[:, :, 1] / LEFT_M
        self._ahead = (np.asarray(PATH_DISTANCES_M, np.float32) - path[:, :, 0]) / AHEAD_M
        self._speed = np.concatenate([shard.target_speed_m_s for shard in shards]) / np.float32(SPEED_M_S)
        self._occupancy = np.concatenate([shard.occupancy for shard in shards])

    def __len__(self) -> int:
        return len(self._at)

    def batch(self, index: Sequence[int] | npt.NDArray[np.int64]) -> Batch:
        """Return frames by their number, as they were taken."""
        import torch

        pictures = np.stack([self._images[shard][i] for shard, i in (self._at[k] for k in index)])
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
        return Batch(
            images=images.contiguous(memory_format=torch.channels_last),
            state=torch.from_numpy(self._state[index]).float(),
            left=torch.from_numpy(self._left[index]),
            ahead=torch.from_numpy(self._ahead[index]),
            speed=torch.from_numpy(self._speed[index]),
            occupancy=torch.from_numpy(self._occupancy[index]).float(),
        )

    def in_order(self, size: int) -> Iterator[Batch]:
        """Yield all frames as they were taken."""
        for start in range(0, len(self), size):
            yield self.batch(np.arange(start, min(start + size, len(self))))

    def drawn(self, untold_share: float, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return an epoch's frames in an order: all at which the route commands something, a share of the others."""
        if untold_share >= 1:
            return rng.permutation(len(self))
        told, untold = np.flatnonzero(self._told), np.flatnonzero(~self._told)
        some = rng.permutation(untold)[: round(untold_share * len(untold))]
        return rng.permutation(np.concatenate([told, some]))

    def shuffled(
        self,
        size: int,
        rng: np.random.Generator,
        mirror: "Callable[[Batch], Batch] | None" = None,
        untold_share: float = 1.0,
    ) -> Iterator[Batch]:
        """Yield the frames of an epoch in a light and, where `mirror` is given, in mirrors, both drawn at random."""
        import torch

        order = self.drawn(untold_share, rng)
        for index in np.array_split(order, -(-len(order) // size)):
            plain = _relit(self.batch(index), rng)
            flipped = torch.from_numpy(rng.random(len(index)) < 0.5)
            yield plain if mirror is None else _chosen(flipped, mirror(plain), plain)


def _relit(batch: Batch, rng: np.random.Generator) -> Batch:
    """Return a batch in another light: exposure, a tint, a veil. Pixels stay whole numbers of a byte."""
    import torch

    count = len(batch)
    gain = rng.uniform(0.7, 1.3, (count, 1, 1, 1)) * rng.uniform(0.92, 1.08, (count, 3, 1, 1))
    veil = rng.uniform(-20, 20, (count, 1, 1, 1))
    images = batch.images * torch.from_numpy(gain).float() + torch.from_numpy(veil).float()
    return Batch(
        images=images.clamp_(0, 255).round_(),
        state=batch.state,
        left=batch.left,
        ahead=batch.ahead,
        speed=batch.speed,
        occupancy=batch.occupancy,
    )


def _chosen(flags: "Tensor", a: Batch, b: Batch) -> Batch:
    import torch

    def pick(x: "Tensor", y: "Tensor") -> "Tensor":
        return torch.where(flags.reshape(-1, *[1] * (x.dim() - 1)), x, y)

    return Batch(
        images=pick(a.images, b.images),
        state=pick(a.state, b.state),
        left=pick(a.left, b.left),
        ahead=pick(a.ahead, b.ahead),
        speed=pick(a.speed, b.speed),
        occupancy=pick(a.occupancy, b.occupancy),
    )


def partners(cameras: Sequence[Camera]) -> list[int]:
    """Return, for each camera, the one whose picture it would have in a mirror: itself where it looks straight."""
    return [
        min(range(len(cameras)), key=lambda k: (abs(cameras[k].yaw_rad + one.yaw_rad), k != i, abs(k - i)))
        if abs(one.yaw_rad) < 3.0
        else i
        for i, one in enumerate(cameras)
    ]


def mirrored(batch: Batch, spec: NetSpec, cameras: Sequence[Camera]) -> Batch:
    """Return a batch as a mirror shows it: left is right, and cameras trade places."""
    order = partners(cameras) if cameras else list(range(spec.cameras))
    count, _, _, width = batch.images.shape
    apart = batch.images.reshape(count, 3, spec.cameras, spec.height, width)[:, :, order]
    swap = list(range(batch.state.shape[1]))
    a, b = 1 + int(Command.LEFT), 1 + int(Command.RIGHT)
    swap[a], swap[b] = b, a
    return Batch(
        images=apart.flip(-1).reshape(batch.images.shape),
        state=batch.state[:, swap],
        left=-batch.left,
        ahead=batch.ahead,
        speed=batch.speed,
        occupancy=batch.occupancy.flip(-1),
    )
