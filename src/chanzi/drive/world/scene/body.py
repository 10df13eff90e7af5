"""A vehicle as the scene draws it."""

from dataclasses import dataclass

from chanzi.drive.world.look import Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A vehicle to be drawn.

    Parameters
    ----------
    x_m, y_m, heading_rad : float
        Its middle on the ground, in the world's frame.
    length_m, width_m, height_m : float
    paint : Colour
    """

    x_m: float
    y_m: float
    heading_rad: float
    length_m: float
    width_m: float
    height_m: float
    paint: Colour
