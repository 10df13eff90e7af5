"""Can a world be driven at all? A driver who knows the truth, over many seeds: the ceiling of any network.

    python bench/expert.py metadrive:curve --episodes 100 --seed 10000

Prints one line an episode that did not end well, then a row of docs/results/expert.md.
"""

import argparse
import collections
import math
import sys
import time

from chanzi.drive.expert import expert_control
from chanzi.drive.world.registry import make_world


def main() -> None:
    """Drive and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=10_000)
    parser.add_argument("--traffic", type=float)
    given = parser.parse_args()
    options = {} if given.traffic is None else {"traffic": given.traffic}
    world = make_world(given.world, **options)
    ends: collections.Counter[str] = collections.Counter()
    done, seconds, frames = 0.0, 0.0, 0
    began = time.process_time()
    for seed in range(given.seed, given.seed + given.episodes):
        world.reset(seed)
        speed, before = 0.0, world.status().distance_m
        while not world.status().ended:
            control = expert_control(world.truth(), speed, world.vehicle)
            for _ in range(round(world.frame_s / world.tick_s)):
                world.step(control)
            now = world.status().distance_m
            speed, before = (now - before) / world.frame_s, now
            frames += 1
        status = world.status()
        ends[status.ended] += 1
        done, seconds = done + status.progress, seconds + status.time_s
        if status.ended != "arrived":
            print(f"seed {seed}: {status.ended} at {status.progress:.2f} after {status.time_s:.0f} s", flush=True)
    spent = time.process_time() - began
    low, high = wilson(ends["arrived"], given.episodes)
    rest = ", ".join(f"{count} {end}" for end, count in ends.items() if end != "arrived") or "none"
    print(
        f"| {given.world} | {given.traffic if given.traffic is not None else 'default'} | {given.episodes} |"
        f" {ends['arrived'] / given.episodes:.3f} ({low:.3f} to {high:.3f}) | {rest} | {done / given.episodes:.3f} |"
        f" {seconds / given.episodes:.0f} | {spent / frames * 1e3:.1f} |"
    )
    sys.stdout.flush()


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    share = hits / count
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


if __name__ == "__main__":
    main()
