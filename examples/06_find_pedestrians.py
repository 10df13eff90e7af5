"""A real detector on the chip: find the people in photos. Fetches the network (12 MB) and a photo once.

python examples/06_find_pedestrians.py out.png
"""

import sys

from PIL import Image, ImageDraw

import chanzi
from chanzi import zoo
from chanzi.zoo import pedestrian


def main() -> None:
    """Detect, print, draw."""
    path = zoo.fetch("pedestrian", print)
    session = chanzi.Session(path, chip="tesla-fsd-hw3", calibration=zoo.calibration("pedestrian", 16))
    names = [output.name for output in session.get_outputs()]

    photo = zoo.photo("astronaut")
    outputs = dict(zip(names, session.run(None, zoo.feed("pedestrian", photo)), strict=True))
    found = pedestrian.decode(outputs)  # anchors, sigmoid and non-maximum suppression are the host's

    picture = Image.fromarray(photo)
    pen = ImageDraw.Draw(picture)
    height, width = photo.shape[:2]
    for (y0, x0, y1, x1), score in zip(found.boxes, found.scores, strict=True):
        print(f"person {score:.0%} at {x0 * width:.0f},{y0 * height:.0f} to {x1 * width:.0f},{y1 * height:.0f}")
        pen.rectangle((x0 * width, y0 * height, x1 * width, y1 * height), outline=(0, 90, 255), width=4)
    if len(sys.argv) > 1:
        picture.save(sys.argv[1])
    print(f"{1e3 * session.timing().latency_s:.3f} ms on {session.model.chip.name}")


if __name__ == "__main__":
    main()
