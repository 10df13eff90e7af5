"""A network of 32x32 pictures and frames that it can learn from: a white stripe says where the road goes."""

import numpy as np

from chanzi.drive.messages import PATH_DISTANCES_M, Command, Frame, Truth
from chanzi.drive.network.shards import make_shard, write_shard
from chanzi.drive.network.spec import NetSpec

SMALL = NetSpec(height=32, width=32, widths=(16, 16, 16, 16), depths=(0, 0, 1, 0), neck=8, hidden=16)


def example(rng, cameras=1, size=(32, 32)):
    """Return a frame and what is so."""
    height, width = size
    shift = rng.uniform(-1.5, 1.5)
    images = []
    for _ in range(cameras):
        image = rng.integers(0, 80, (height, width, 3)).astype(np.uint8)
        middle = round(width / 2 - shift * width / 5)
        image[:, max(middle - 3, 0) : middle + 3] = 230
        images.append(image)
    speed = float(rng.uniform(0, 15))
    frame = Frame(
        number=0,
        time_s=0.0,
        images=tuple(images),
        stamps_s=(0.0,) * cameras,
        speed_m_s=speed,
        command=Command(int(rng.integers(4))),
    )
    along = np.array(PATH_DISTANCES_M)
    truth = Truth(
        path_m=np.stack([along, np.full(len(along), shift)], axis=1).astype(np.float32),
        target_speed_m_s=10.0 - 2 * abs(shift),
        vehicles=np.array([[20.0, shift * 4, 0.0, 4.5, 1.8, 0.0, 0.0]], np.float32),
        lateral_m=-shift,
        heading_rad=0.0,
    )
    return frame, truth


def examples(count, seed=0, cameras=1, size=(32, 32)):
    rng = np.random.default_rng(seed)
    return [example(rng, cameras, size) for _ in range(count)]


def write_shards(folder, episodes=6, frames=40):
    paths = []
    for k in range(episodes):
        pairs = examples(frames, seed=k)
        path = folder / f"episode-{20 + k:06d}.npz"  # of these one is held out
        write_shard(path, make_shard([f for f, _ in pairs], [t for _, t in pairs]))
        paths.append(path)
    return paths
