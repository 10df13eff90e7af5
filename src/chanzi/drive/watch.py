"""Whether what comes from the cameras can be driven by: black, covered, frozen, torn, late or of the wrong size.

A frame with something wrong is not shown to the network; the car goes on by its last plan for a moment. What stays
wrong, or comes back again and again, is an alarm: the car stops in its lane and says why.

What cannot be noticed from pictures alone: a camera that is late and lies about its stamps, one that tears every
picture at the same line, and dirt on a part of the glass. Serial links of real cameras number and check every line.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chanzi.drive.camera import Camera
from chanzi.drive.messages import Frame

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a healthy camera keeps.

    Parameters
    ----------
    dark : float
        The brightest hundredth of a picture is brighter (of 255); the darkest is darker than 255 less this.
    contrast : float
        Standard deviation of a picture smoothed over 4x4 pixels; a lens that is covered has less.
    kinship : float
        Correlation of neighbouring pixels; garbage has none.
    late_s : float
        A picture is younger when it comes.
    memory : int
        Frames among which no line may come twice.
    patience_s : float
        What is wrong for so long is an alarm.
    window_s : float
        And so are as many wrong frames among the good ones of so much time, three at least.
    still_m : float
        A camera without noise may repeat itself while the car moves less than this.
    """

    dark: float = 12.0
    contrast: float = 2.0
    kinship: float = 0.3
    late_s: float = 0.12
    memory: int = 32
    patience_s: float = 0.25
    window_s: float = 2.0
    still_m: float = 0.5


class Watch:
    """Looks at every frame of an episode.

    Parameters
    ----------
    cameras : sequence of Camera
        What the car has; their sizes are expected.
    bounds : Bounds, optional
    noisy : bool
        Whether healthy cameras never give the same line twice, even of a scene that stands still.
    """

    def __init__(self, cameras: Sequence[Camera], bounds: Bounds | None = None, *, noisy: bool = True) -> None:
        self.cameras = tuple(cameras)
        self.bounds = bounds or Bounds()
        self.noisy = noisy
        self.alarm = ""
        self._lines = [_Lines(self.bounds.memory) for _ in self.cameras]
        self._stamps = [-math.inf for _ in self.cameras]
        self._recent: deque[tuple[float, str]] = deque()
        self._wrong_since: float | None = None

    def look(self, frame: Frame, odometer_m: float) -> str:
        """Return what is wrong with a frame, or nothing; `alarm` says whether the car must stop.

        Parameters
        ----------
        frame : Frame
        odometer_m : float
            The wheels' own measure of the way since the start.
        """
        wrong = self._wrong(frame, odometer_m)
        now, bounds = frame.time_s, self.bounds
        self._recent.append((now, wrong))
        while self._recent and self._recent[0][0] < now - bounds.window_s:
            self._recent.popleft()
        if not wrong:
            self._wrong_since = None
        elif self._wrong_since is None:
            self._wrong_since = now
        bad = [text for _, text in self._recent if text]
        frame_s = (now - self._recent[0][0]) / max(len(self._recent) - 1, 1)
        lasting = self._wrong_since is not None and now - self._wrong_since >= bounds.patience_s - 1e-9
        often = len(bad) >= 3 and len(bad) * frame_s >= bounds.patience_s - 1e-9
        if wrong and not self.alarm and (lasting or often):
            self.alarm = wrong
        return wrong

    def _wrong(self, frame: Frame, odometer_m: float) -> str:
        """Return the first thing that is wrong; every camera's memory is kept up to date whatever is found before."""
        if not (math.isfinite(frame.speed_m_s) and math.isfinite(odometer_m)):
            return "the odometer gives no number"
        if len(frame.images) != len(self.cameras):
            return f"{len(frame.images)} pictures of {len(self.cameras)} cameras"
        found = [self._of_camera(i, frame, odometer_m) for i in range(len(self.cameras))]
        return next((text for text in found if text), "")

    def _of_camera(self, i: int, frame: Frame, odometer_m: float) -> str:
        camera, image, stamp, bounds = self.cameras[i], frame.images[i], frame.stamps_s[i], self.bounds
        before, self._stamps[i] = self._stamps[i], stamp
        expected = (camera.height, camera.width, 3)
        if not isinstance(image, np.ndarray) or image.shape != expected or image.dtype != np.uint8:
            got = "x".join(map(str, getattr(image, "shape", ())))
            return f"{camera.name} camera: a picture of {got}, not {'x'.join(map(str, expected))}"
        repeated = self._lines[i].repeated(image, frame.time_s, odometer_m, 0.0 if self.noisy else bounds.still_m)
        if not math.isfinite(stamp) or frame.time_s - stamp > bounds.late_s:
            return f"{camera.name} camera: late by {frame.time_s - stamp:.2f} s"
        if stamp <= before:
            return f"{camera.name} camera: its clock stands still"
        seen = _seen(image)
        if seen.bright < bounds.dark:
            return f"{camera.name} camera: black"
        if seen.dark > 255 - bounds.dark:
            return f"{camera.name} camera: blinded"
        if repeated.share >= 1:
            return f"{camera.name} camera: frozen, the picture of {repeated.age_s:.2f} s ago"
        if repeated.share > 0:
            return f"{camera.name} camera: torn, {repeated.share:.0%} of it are {repeated.age_s:.2f} s old"
        if seen.kinship < bounds.kinship:
            return f"{camera.name} camera: garbage"
        if seen.contrast < bounds.contrast:
            return f"{camera.name} camera: covered"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repeated:
    share: float
    age_s: float


class _Lines:
    """Remembers a hash of every line of a camera's last pictures."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._past: npt.NDArray[np.int64] | None = None  # [picture][line]
        self._when = np.full((memory, 2), -np.inf)  # [picture][time, odometer]
        self._next = 0

    def repeated(self, image: Image, time_s: float, odometer_m: float, still_m: float) -> _Repeated:
        """Return the largest share of lines that are those of one earlier picture, bit for bit, and its age.

        Without noise lines may stay as they are while the car moves less than `still_m`, and a torn picture cannot be
        told from a still scene: then only whole pictures count.
        """
        data = np.ascontiguousarray(image)
        lines = np.array([hash(line.tobytes()) for line in data], np.int64)
        if self._past is None:
            self._past = np.zeros((self._memory, len(lines)), np.int64)
        share = (self._past == lines).mean(axis=1)
        if still_m:
            share = np.where((share == 1) & (odometer_m - self._when[:, 1] >= still_m), share, 0.0)
        share[np.isinf(self._when[:, 0])] = 0.0
        worst = int(share.argmax())
        found = _Repeated(share=float(share[worst]), age_s=time_s - self._when[worst, 0] if share[worst] else 0.0)
        self._past[self._next], self._when[self._next] = lines, (time_s, odometer_m)
        self._next = (self._next + 1) % self._memory
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    bright: float
    dark: float
    contrast: float
    kinship: float


def _seen(image: Image) -> _Seen:
    """Return what a picture's brightness tells.

    `contrast` is of the picture smoothed, so that noise is none; `kinship` compares how much neighbours differ with how
    much any two pixels do.
    """
    grey = image.astype(np.float32) @ np.full(3, 1 / 3, np.float32)
    h, w = grey.shape[0] // 4 * 4, grey.shape[1] // 4 * 4
    smooth = grey[:h, :w].reshape(h // 4, 4, w // 4, 4).mean(axis=(1, 3))
    spread = float(grey.var())
    step = grey[:, 1:] - grey[:, :-1]
    differ = float(np.mean(step * step)) / 2
    rank = grey.size // 100
    ordered = np.partition(grey.reshape(-1), (rank, grey.size - 1 - rank))
    return _Seen(
        bright=float(ordered[grey.size - 1 - rank]),
        dark=float(ordered[rank]),
        contrast=float(smooth.std()),
        # a picture almost without contrast has no kinship to speak of; `contrast` judges it
        kinship=1 - differ / spread if spread > 16 else 1.0,
    )
