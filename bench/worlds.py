"""How fast the worlds are: frames of driving a second, without looking and with 1, 3 and 8 cameras.

    python bench/worlds.py                          every world that is installed
    python bench/worlds.py metadrive:intersection   only this one
    python bench/worlds.py --write                  also rewrite docs/results/worlds.md

A frame is what lies between two pictures, 0.1 s of driving by default, driven by the expert where there is one. Wall
time is this machine's with whatever else runs on it; processor time is what a frame costs on any core like it, all
threads added.
"""

import argparse
import time
from pathlib import Path

from chanzi.drive.expert import expert_control
from chanzi.drive.messages import Control
from chanzi.drive.world.check import knows_truth
from chanzi.drive.world.registry import known_worlds, make_world

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SCENARIOS = {"metadrive": ("straight", "curve", "intersection", "roundabout")}
VIEWS = ((0, 160, 80), (1, 160, 80), (1, 320, 160), (3, 160, 80), (8, 160, 80))
EPISODES, FRAMES = 2, 120


def measure(name: str, cameras: int, width: int, height: int) -> tuple[float, float]:
    """Return frames a second and milliseconds of processor time a frame; 0 cameras: nothing is looked at."""
    world = make_world(name, cameras=max(cameras, 1), width=width, height=height)
    labels = knows_truth(world)
    wall = processor = 0.0
    frames = 0
    for seed in range(EPISODES):
        world.reset(seed)
        speed = 0.0
        if cameras:
            world.observe()
        began, spent = time.perf_counter(), time.process_time()
        for _ in range(FRAMES):
            if world.status().ended:
                break
            control = expert_control(world.truth(), speed, world.vehicle) if labels else Control(acceleration_m_s2=1.0)
            before = world.status().distance_m
            for _ in range(round(world.frame_s / world.tick_s)):
                world.step(control)
            speed = (world.status().distance_m - before) / world.frame_s
            if cameras:
                world.observe()
            frames += 1
        wall += time.perf_counter() - began
        processor += time.process_time() - spent
    world.close()
    return frames / wall, processor / frames * 1e3


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worlds", nargs="*")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    names = given.worlds or [
        f"{world.name}:{scenario}" if scenario else world.name
        for world in known_worlds()
        if world.ready
        for scenario in SCENARIOS.get(world.name, ("",))
    ]
    lines = ["| world | cameras | pixels | frames/s | processor ms/frame |", "|---|---:|---|---:|---:|"]
    for name in names:
        for cameras, width, height in VIEWS:
            rate, cost = measure(name, cameras, width, height)
            pixels = f"{width}x{height}" if cameras else ""
            lines.append(f"| {name} | {cameras} | {pixels} | {rate:.1f} | {cost:.1f} |")
            print(lines[-1], flush=True)
    if given.write:
        text = (
            f"# Frames per second of the worlds\n\n`python bench/worlds.py --write`: {__doc__.split(chr(10) * 2)[2]}\n"
        )
        (RESULTS / "worlds.md").write_text(text.strip() + "\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
