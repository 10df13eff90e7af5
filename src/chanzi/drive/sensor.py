"""What happens to a picture between the world and the car's computer: a sensor's noise, and a sensor's faults.

Real sensors never give the same picture twice: photons and amplifiers see to that even where nothing moves. Simulated
ones do, and then a frozen camera cannot be told from a car that stands. So every world's pictures pass through
`ReadNoise`, and whatever repeats itself bit for bit afterwards is a fault.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from chanzi.drive.messages import Frame
from chanzi.errors import DriveError, did_you_mean

Image = npt.NDArray[np.uint8]
Kind = Literal["black", "white", "covered", "noise", "frozen", "torn", "late", "wrong-size", "missing"]

_BANK = 1 << 20


class ReadNoise:
    """One unit of noise, up or down or none, on every byte; the same for the same number of a frame.

    Data sheets of automotive sensors give a read noise of one to three electrons, which at an 8-bit picture's gain is
    about a unit in the dark; in the light shot noise comes on top.
    """

    def __init__(self, seed: int = 0) -> None:
        bank = np.random.default_rng([seed, 77]).integers(-1, 2, _BANK, dtype=np.int16)
        self._bank = np.concatenate([bank, bank])

    def __call__(self, frame: Frame) -> Frame:
        """Return the frame with noise."""
        return replace(frame, images=tuple(self._noisy(frame.number, i, image) for i, image in enumerate(frame.images)))

    def _noisy(self, number: int, camera: int, image: Image) -> Image:
        start = (number * 7_919 + camera * 104_729) * 31 % _BANK
        noise = self._bank[start : start + image.size]
        if len(noise) < image.size:
            noise = np.resize(noise, image.size)
        noisy = np.clip(image + noise.reshape(image.shape), 0, 255).astype(np.uint8)
        noisy.flags.writeable = False
        return noisy


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault of one camera.

    Parameters
    ----------
    kind : str
        black, white: no light, or too much. covered: mud or a sticker; a dull grey that still has noise. noise: the
        link delivers garbage. frozen: the same picture again and again, with fresh time stamps. torn: the lower part
        is left of an earlier frame. late: pictures come with a delay, their stamps say so. wrong-size: half the lines.
        missing: the camera is gone.
    begin_s, end_s : float
        When, in the episode's time.
    camera : int
    every : int
        1: every frame; n: one in n.
    """

    kind: Kind
    begin_s: float
    end_s: float = float("inf")
    camera: int = 0
    every: int = 1

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise DriveError(f"there is no camera fault '{self.kind}'", hint=did_you_mean(self.kind, get_args(Kind)))
        if self.every < 1 or not self.begin_s <= self.end_s:
            raise DriveError("a camera fault that ends before it begins", hint="begin <= end, every >= 1")


class FaultyCamera:
    """Spoils the pictures of one camera while its fault lasts."""

    def __init__(self, fault: Fault, seed: int = 0) -> None:
        self.fault = fault
        self._rng = np.random.default_rng([seed, 78])
        self._past: deque[tuple[float, Image]] = deque(maxlen=16)
        self._held: Image | None = None
        self._count = 0

    def __call__(self, frame: Frame) -> Frame:
        """Return the frame as the faulty camera gives it."""
        fault, at = self.fault, self.fault.camera
        image = frame.images[at]
        active = fault.begin_s - 1e-9 <= frame.time_s < fault.end_s
        self._count += active
        if active and (self._count - 1) % fault.every == 0:
            if self._held is None:
                self._held = self._past[-1][1] if self._past else image
            frame = self._spoilt(frame, at, image)
        if not active:
            self._held = None
        self._past.append((frame.time_s, image))
        return frame

    def _spoilt(self, frame: Frame, at: int, image: Image) -> Frame:
        rng = self._rng
        stamp = frame.stamps_s[at]
        match self.fault.kind:
            case "black":
                image = rng.integers(0, 3, image.shape, dtype=np.uint8)
            case "white":
                image = rng.integers(253, 256, image.shape, dtype=np.uint8)
            case "covered":
                image = (90 + rng.integers(-1, 2, image.shape)).astype(np.uint8)
            case "noise":
                image = rng.integers(0, 256, image.shape, dtype=np.uint8)
            case "frozen":
                image = self._held if self._held is not None else image
            case "torn":
                old = self._past[-1][1] if self._past else image
                seam = int(rng.integers(image.shape[0] // 5, image.shape[0] * 4 // 5))
                image = np.concatenate([image[:seam], old[seam:]])
            case "late":
                stamp, image = self._past[0] if self._past else (stamp, image)
            case "wrong-size":
                image = image[::2]
            case "missing":
                return replace(
                    frame,
                    images=frame.images[:at] + frame.images[at + 1 :],
                    stamps_s=frame.stamps_s[:at] + frame.stamps_s[at + 1 :],
                )
        images, stamps = list(frame.images), list(frame.stamps_s)
        images[at], stamps[at] = image, stamp
        return replace(frame, images=tuple(images), stamps_s=tuple(stamps))


def chain(stages: Sequence[Callable[[Frame], Frame]]) -> Callable[[Frame], Frame]:
    """Return the stages as one, in their order."""

    def through(frame: Frame) -> Frame:
        for stage in stages:
            frame = stage(frame)
        return frame

    return through
