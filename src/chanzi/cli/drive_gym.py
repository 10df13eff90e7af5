"""``chanzi drive --sim gym:ENV``: one's own network in any Gymnasium environment, on the chip, in its time."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chanzi.chip.chip import Chip
from chanzi.cli.console import note, say_json, working
from chanzi.drive.gym_loop import GymEpisode, Policy, gym_tally, make_env, run_gym, step_s
from chanzi.errors import DriveError


def drive_gym(
    name: str,
    model: Path | None,
    chips: Sequence[Chip],
    backends: Sequence[str],
    *,
    seed: int,
    episodes: int,
    latency_ms: float | None,
    seconds: float | None,
    folder: Path | None,
    film: bool,
    json: bool,
) -> None:
    """Run the episodes on every chip with every backend, and show what each comes to."""
    if model is None:
        raise DriveError(
            f"gym:{name} needs a network that knows it",
            hint="--model POLICY.onnx: one input, the observation; one output, the action",
        )
    env = make_env(name, film=film and folder is not None)
    rows: list[dict[str, Any]] = []
    try:
        most = None if seconds is None else max(1, round(seconds / step_s(env)))
        for chip in chips:
            for backend in backends or ["chip"]:
                with working("compiling"):
                    policy = Policy(model, env, chip, backend)  # type: ignore[arg-type] - it refuses what is none
                figures = policy.figures
                chip_s = figures.chip_s if latency_ms is None else latency_ms / 1e3
                found: list[GymEpisode] = []
                with working(f"{backend} on {chip.name}", episodes) as advance:
                    for number in range(episodes):
                        first = folder is not None and film and not rows and not number
                        found.append(_one(env, policy, seed + number, chip_s, most, folder if first else None))
                        advance(1)
                rows.append({"backend": backend, "chip": chip.name, "chip_s": chip_s, "total": gym_tally(found),
                             "watts": figures.watts(1 / max(step_s(env), chip_s)), "episodes": found})  # fmt: skip
    finally:
        env.close()
    if json:
        say_json(rows)
        return
    from chanzi.cli.tables import show
    from chanzi.report.drive_gym import gym_table

    show(gym_table(f"gym:{name}, {episodes} episodes", rows))


def _one(env: Any, policy: Policy, seed: int, chip_s: float, most: int | None, folder: Path | None) -> GymEpisode:
    """Run an episode, and film it where the environment draws pictures."""
    if folder is None or env.render_mode != "rgb_array":
        return run_gym(env, policy, seed, chip_s=chip_s, most_steps=most)
    import imageio_ffmpeg
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "drive.mp4"
    temporary = folder / f".drive.{os.getpid()}.mp4"
    env.reset(seed=seed)
    height, width = np.asarray(env.render()).shape[:2]
    writer = imageio_ffmpeg.write_frames(
        str(temporary), (width // 2 * 2, height // 2 * 2), fps=1 / step_s(env), quality=7, ffmpeg_log_level="error",
        macro_block_size=2,
    )  # fmt: skip
    writer.send(None)
    try:
        found = run_gym(
            env, policy, seed, chip_s=chip_s, most_steps=most,
            film=lambda image: writer.send(np.ascontiguousarray(image[: height // 2 * 2, : width // 2 * 2])),
        )  # fmt: skip
    finally:
        writer.close()
    temporary.replace(target)
    note(f"wrote {target.name} in {folder.resolve()}")
    return found
