"""The checker itself: each promise broken on purpose is found."""

import dataclasses

import pytest

pytest.importorskip("highway_env")
pytest.importorskip("cv2")

from chanzi.drive.messages import Control
from chanzi.drive.world import check
from chanzi.drive.world.registry import make_world


class _Broken:
    """A world that keeps its promises, and stands in for one that does not."""

    def __init__(self):
        self.inner = make_world("highway:racetrack", width=32, height=16)

    def __getattr__(self, name):
        return getattr(self.inner, name)


class _FrozenCamera(_Broken):
    def reset(self, seed):
        self.inner.reset(seed)
        self.first = self.inner.observe().images

    def observe(self):
        return dataclasses.replace(self.inner.observe(), images=self.first)


class _LeftIsRight(_Broken):
    def step(self, control):
        self.inner.step(dataclasses.replace(control, steering_rad=-control.steering_rad))


class _Forgetful(_Broken):
    def reset(self, seed):
        self.calls = getattr(self, "calls", 0) + 1
        self.inner.reset(seed + self.calls)


class _Watched(_Broken):
    def observe(self):
        frame = self.inner.observe()
        self.inner.step(Control())
        return frame


class _WrongPath(_Broken):
    def truth(self):
        truth = self.inner.truth()
        return dataclasses.replace(truth, lateral_m=truth.lateral_m + 2.0)


class _WrongVelocity(_Broken):
    def truth(self):
        truth = self.inner.truth()
        vehicles = truth.vehicles.copy()
        vehicles[:, 5:7] *= -1
        return dataclasses.replace(truth, vehicles=vehicles)


class _Writeable(_Broken):
    def observe(self):
        frame = self.inner.observe()
        return dataclasses.replace(frame, images=tuple(image.copy() for image in frame.images))


class _Sighted(_Broken):
    def top_view(self, width, height):
        self.inner.step(Control())
        return self.inner.top_view(width, height)


@pytest.mark.parametrize(
    ("broken", "part", "finding"),
    [
        (_FrozenCamera, check._same_seed, "frame before"),
        (_LeftIsRight, check._left, "steering left"),
        (_Forgetful, check._same_seed, "another episode"),
        (_Watched, check._looking, "two frames"),
        (_Sighted, check._looking, "looked at"),
        (_WrongPath, check._motion, "not where the path"),
        (_WrongVelocity, check._motion, "velocity"),
        (_Writeable, check._pictures, "written into"),
    ],
)
def test_a_broken_promise_is_found(broken, part, finding):
    assert any(finding in found for found in part(broken(), (0, 1)))
