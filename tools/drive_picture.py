"""The README's picture: one frame of the film of `chanzi drive`, with the network that ships.

python tools/drive_picture.py                       into docs/_static/drive.png
python tools/drive_picture.py --seconds 12 -o x.png
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from chanzi.chip import DEFAULT_CHIP, load_chip
from chanzi.drive.network import shipped
from chanzi.drive.record.canvas import Canvas
from chanzi.drive.record.film import HEIGHT, WIDTH, Film, credits_of, twin_of
from chanzi.drive.runs import Course, Drive, Network, drive_seed, make_course, make_pilot

STATIC = Path(__file__).parents[1] / "docs" / "_static"
WORLD = "highway:racetrack"
SHOWN = 896, 504


class Still(Film):
    """A film of which one picture is drawn."""

    def _drawn(self, now: float, *rest: Any) -> Canvas:
        return super()._drawn(now, *rest) if now >= self._still_s else Canvas(WIDTH, HEIGHT, (0, 0, 0))


def main() -> None:
    """Drive to the moment and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--chip", default=DEFAULT_CHIP)
    parser.add_argument("-o", "--output", type=Path, default=STATIC / "drive.png")
    given = parser.parse_args()
    net = shipped(WORLD)
    if net is None:
        raise SystemExit("no driving network ships")
    drive = Drive(
        course=Course(world=WORLD, limit_s=given.seconds + 0.1),
        backend="chip",
        network=Network(int8=str(net.int8), floating=str(net.floating)),
        chip=load_chip(given.chip),
        pace=net.pace,
    )
    world, eyes = make_course(drive.course), make_pilot(drive)
    with tempfile.TemporaryDirectory() as folder:
        still = Path(folder) / "still.png"
        film = Still(
            Path(folder) / "drive.mp4",
            credits_of(drive, world, eyes.figures),
            twin=twin_of(drive.course),
            still=still,
            still_s=given.seconds,
        )
        drive_seed(drive, given.seed, world=world, pilot=eyes.pilot, listeners=[film])
        picture = Image.open(still).convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS)
    # few colours, so that the page loads fast; Pillow's k-means keeps small things in their own colour
    picture.quantize(256, kmeans=2, dither=Image.Dither.FLOYDSTEINBERG).save(given.output, optimize=True)
    print(f"{given.output.name}: {given.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
