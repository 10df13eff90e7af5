"""What a driving network takes and what it says: names, shapes, and how numbers become metres.

All inputs are bytes by definition (0 to 255, carried as float32), so that the chip's 8-bit inputs have a scale of 1 and
nothing is lost at the door. All outputs are of the order of 1: each head has its own tensor, and each distance its own
unit, so that a step of an 8-bit output is a centimetre beside the car and decimetres at 40 m, where the road is not
known better than that.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from chanzi.drive.messages import GRID_COLUMNS, GRID_ROWS, PATH_DISTANCES_M, Command, Frame, Perception
from chanzi.errors import DriveError

FloatArray = npt.NDArray[np.float32]

IMAGES, STATE = "images", "state"
LEFT, AHEAD, SPREAD, OCCUPANCY, SPEED = "path_left", "path_ahead", "path_spread", "occupancy", "target_speed"
OUTPUTS = (LEFT, AHEAD, SPREAD, OCCUPANCY, SPEED)
STRIDE = 16
"""Pixels of a picture to one of the backbone's last map, each way."""
SPEED_STEP_M_S = 0.2
"""Of a step of the speed's byte: 51 m/s at most."""
STATE_BYTES = 1 + len(Command)
METADATA = "chanzi.drive"
"""Key of the ONNX file's metadata that holds the specification."""

_D: FloatArray = np.asarray(PATH_DISTANCES_M, np.float32)
LEFT_M: FloatArray = (0.6 + 0.1 * _D + 0.01 * _D**2).astype(np.float32)
"""Unit of the path's sideways coordinate: a position's and a heading's scatter, and a curve's, at each distance."""
AHEAD_M: FloatArray = (0.02 * _D + 0.006 * _D**2).astype(np.float32)
"""Unit of what a curve takes from the path's forward coordinate."""
SPEED_M_S = 10.0
"""Unit of the target speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetSpec:
    """A driving network's shape.

    Parameters
    ----------
    cameras : int
    height, width : int
        Of each camera's picture; multiples of `STRIDE`.
    widths : tuple of int
        Channels of the four stages, at a half, a quarter, an eighth and a sixteenth of the picture.
    depths : tuple of int
        Residual blocks of each stage after the convolution that halves the map.
    neck : int
        Channels that the heads see of each place.
    hidden : int
        Of the layer in which cameras and state meet.
    """

    cameras: int = 1
    height: int = 80
    width: int = 160
    widths: tuple[int, int, int, int] = (16, 32, 48, 64)
    depths: tuple[int, int, int, int] = (0, 0, 1, 1)
    neck: int = 24
    hidden: int = 128

    def __post_init__(self) -> None:
        if self.height % STRIDE or self.width % STRIDE or min(self.height, self.width) < STRIDE:
            raise DriveError(
                f"pictures of {self.width}x{self.height} do not fit the network", hint=f"multiples of {STRIDE}"
            )
        if self.cameras < 1:
            raise DriveError(f"a network for {self.cameras} cameras", hint="one at least")

    @property
    def images_shape(self) -> tuple[int, int, int, int]:
        """Of the input: all pictures below one another, so that one convolution runs over them all."""
        return 1, 3, self.cameras * self.height, self.width

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> "NetSpec":
        """Return the specification of `to_json`.

        Raises
        ------
        DriveError
            It is none.
        """
        import msgspec

        try:
            return msgspec.json.decode(text, type=NetSpec)
        except msgspec.MsgspecError as error:
            raise DriveError(f"not the specification of a driving network: {error}") from None


def stack(images: tuple[npt.NDArray[np.uint8], ...], spec: NetSpec) -> npt.NDArray[np.uint8]:
    """Return the pictures of a frame below one another, (cameras * height, width, 3).

    Raises
    ------
    DriveError
        Their number or size is not the network's.
    """
    wanted = (spec.height, spec.width, 3)
    if len(images) != spec.cameras:
        raise DriveError(
            f"{len(images)} pictures for a network of {spec.cameras} cameras", hint=f"a rig of {spec.cameras}"
        )
    for image in images:
        if image.shape != wanted or image.dtype != np.uint8:
            raise DriveError(
                f"a picture of {image.shape} {image.dtype} for a network that takes {wanted} uint8",
                hint="another camera, or another network",
            )
    return np.concatenate(images)


def state(speed_m_s: float, command: Command) -> npt.NDArray[np.uint8]:
    """Return speed and command as bytes, (STATE_BYTES,)."""
    found = np.zeros(STATE_BYTES, np.uint8)
    found[0] = min(max(round(speed_m_s / SPEED_STEP_M_S), 0), 255)
    found[1 + int(command)] = 255
    return found


def feed(frame: Frame, spec: NetSpec) -> dict[str, FloatArray]:
    """Return the network's inputs for a frame: `IMAGES` as `NetSpec.images_shape`, `STATE` (1, STATE_BYTES)."""
    pixels = stack(frame.images, spec).transpose(2, 0, 1)[None]
    return {
        IMAGES: np.ascontiguousarray(pixels, np.float32),
        STATE: state(frame.speed_m_s, frame.command)[None].astype(np.float32),
    }


def perception(frame: int, outputs: Mapping[str, npt.NDArray[np.floating]]) -> Perception:
    """Return what the network's outputs say, in metres.

    Parameters
    ----------
    frame : int
        Number of the frame.
    outputs : mapping
        The arrays of `OUTPUTS`, by name.
    """
    left, ahead, spread, logits, speed = (np.asarray(outputs[name], np.float32).reshape(-1) for name in OUTPUTS)
    path = np.stack([_D - AHEAD_M * ahead, LEFT_M * left], axis=1)
    return Perception(
        frame=frame,
        path_m=path,
        target_speed_m_s=float(max(speed[0], np.float32(0))) * SPEED_M_S,
        occupancy=(1 / (1 + np.exp(-logits.clip(-30, 30)))).reshape(GRID_ROWS, GRID_COLUMNS).astype(np.float32),
        spread_m=LEFT_M * np.exp(spread.clip(-10, 5)),
    )
