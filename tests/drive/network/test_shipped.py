"""The networks that ship: whole, small enough, and on the chip what they are in ONNX Runtime."""

import contextlib
import json
import warnings

import numpy as np
import pytest

from chanzi.drive.messages import Command
from chanzi.drive.network import shipped
from chanzi.drive.network.files import DATA
from chanzi.drive.network.spec import IMAGES, STATE, perception, state
from chanzi.drive.pilot import Pilot, same
from chanzi.drive.planner import nonsense
from chanzi.drive.world.registry import known_worlds, make_world

with contextlib.suppress(ModuleNotFoundError), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import Box2D  # noqa: F401 - its import warns, and where tests make warnings errors that ends the process

WORLDS = sorted(path.stem for path in DATA.glob("*.json"))


def test_one_ships_for_highway_and_none_for_what_nobody_knows():
    assert "highway" in WORLDS
    assert shipped("highway:racetrack") == shipped("highway")
    assert shipped("moon") is None


@pytest.mark.parametrize("world", WORLDS)
def test_it_is_small_and_says_how_it_was_made(world):
    files = shipped(world)
    assert files.int8.stat().st_size + files.floating.stat().st_size < 3 << 20
    made = json.loads(files.made.read_text("utf-8"))
    assert made["command"].startswith("python bench/train_drive.py")
    assert made["rounds"][-1]["frames"] > 1000
    for path in (files.int8, files.floating):
        assert b"/home" not in path.read_bytes()
        assert b"/work" not in path.read_bytes()


@pytest.mark.parametrize("world", WORLDS)
def test_the_chip_sees_in_pictures_what_onnx_runtime_sees(world):
    files = shipped(world)
    chip, judge = Pilot(files.int8), Pilot(files.int8, backend="ort-int8")
    if world not in {known.name for known in known_worlds() if known.ready}:
        pytest.skip(f"{world} is not installed")
    sim = make_world(world)
    try:
        pictures = []
        for seed in (11, 12):
            sim.reset(seed)
            pictures.append(np.concatenate(sim.observe().images))
    finally:
        sim.close()
    for picture, speed in zip(pictures, (0.0, 9.0), strict=True):
        inputs = {
            IMAGES: np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32),
            STATE: state(speed, Command.FOLLOW)[None].astype(np.float32),
        }
        ours = chip.outputs(inputs)
        assert same(ours, judge.outputs(inputs))
        assert not nonsense(perception(0, ours))
