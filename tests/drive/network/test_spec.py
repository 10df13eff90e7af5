"""What goes in and comes out: bytes, metres, and refusals."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from small_net import SMALL, examples

from chanzi.drive.messages import PATH_DISTANCES_M, Command
from chanzi.drive.network.spec import (
    AHEAD,
    AHEAD_M,
    IMAGES,
    LEFT,
    LEFT_M,
    OCCUPANCY,
    SPEED,
    SPREAD,
    STATE,
    NetSpec,
    feed,
    perception,
    state,
)
from chanzi.errors import DriveError


@given(st.floats(-2, 2), st.floats(-0.3, 0.3), st.floats(-0.03, 0.03), st.floats(0, 30))
def test_units_lead_back_to_metres(offset, heading, curvature, speed):
    """A path and a speed in the network's units, read back; and a byte's step beside the car is centimetres."""
    d = np.array(PATH_DISTANCES_M)
    path = np.stack([d - 0.01 * d, offset + heading * d + curvature * d**2 / 2], axis=1)
    said = {
        LEFT: path[:, 1] / LEFT_M,
        AHEAD: (d - path[:, 0]) / AHEAD_M,
        SPREAD: np.zeros(10),
        OCCUPANCY: np.full((1, 288), 2.0),
        SPEED: np.array([[speed / 10]]),
    }
    seen = perception(7, said)
    assert seen.frame == 7
    assert np.allclose(seen.path_m, path, atol=1e-3)
    assert seen.target_speed_m_s == pytest.approx(speed, abs=1e-4)
    assert seen.occupancy.shape == (24, 12)
    assert np.allclose(seen.occupancy, 1 / (1 + np.exp(-2.0)))
    assert np.allclose(seen.spread_m, LEFT_M)
    # six units from the leftmost to the rightmost path that occurs, in 255 steps
    assert 6 * LEFT_M[0] / 255 < 0.025


@given(st.floats(-1, 80), st.sampled_from(list(Command)))
def test_state_is_bytes(speed, command):
    found = state(speed, command)
    assert found.dtype == np.uint8
    assert found[0] * 0.2 == pytest.approx(min(max(speed, 0), 51), abs=0.11)
    assert found[1:].tolist() == [255 * (k == command) for k in range(4)]


def test_a_feed_is_whole_numbers_and_keeps_every_pixel():
    spec = NetSpec(cameras=3, height=32, width=48)
    frame, _ = examples(1, cameras=3, size=(32, 48))[0]
    fed = feed(frame, spec)
    assert fed[IMAGES].shape == spec.images_shape == (1, 3, 96, 48)
    assert fed[STATE].shape == (1, 5)
    for k, image in enumerate(frame.images):
        assert np.array_equal(fed[IMAGES][0, :, 32 * k : 32 * (k + 1)].transpose(1, 2, 0), image)


def test_other_cameras_are_refused():
    frame, _ = examples(1)[0]
    with pytest.raises(DriveError, match="1 pictures for a network of 3"):
        feed(frame, NetSpec(cameras=3, height=32, width=32))
    with pytest.raises(DriveError, match="takes"):
        feed(frame, NetSpec(height=48, width=32))
    with pytest.raises(DriveError, match="multiples of 16"):
        NetSpec(height=50)


def test_specifications_survive_json_and_others_are_refused():
    assert NetSpec.from_json(SMALL.to_json()) == SMALL
    for text in ("", "{", '{"height": "x"}', '{"height": 7}'):
        with pytest.raises(DriveError):
            NetSpec.from_json(text)
