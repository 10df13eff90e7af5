"""The pictures of docs/worlds.md: every world through its cameras, and what weather does to them.

    python tools/world_pictures.py                      all of them, into docs/_static
    python tools/world_pictures.py highway-roundabout   only these
    python tools/world_pictures.py -o FOLDER            somewhere else

Needs the extras [drive] and [metadrive]; the expert drives to the moment that is shown. Roads, traffic and weather come
from seeds, so the pictures are the same on every machine (MetaDrive's, as far as its software renderer is).
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from chanzi.drive.expert import expert_control
from chanzi.drive.world.registry import make_world
from chanzi.drive.world.weather import MIXED, weathers
from chanzi.drive.world.world import World

Image = npt.NDArray[np.uint8]
STATIC = Path(__file__).parents[1] / "docs" / "_static"
WIDTH, HEIGHT = 320, 160
GAP, TITLE = 4, 20
MOST_BYTES = 150_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where to look: a world's episode, so many seconds in."""

    world: str
    seed: int
    time_s: float
    options: tuple[tuple[str, str | int | float], ...] = field(default=())


EIGHT = {
    "highway-racetrack": Moment(world="highway:racetrack", seed=3, time_s=4.0, options=(("traffic", 4),)),
    "highway-motorway": Moment(world="highway:highway", seed=1, time_s=3.0),
    "highway-merge": Moment(world="highway:merge", seed=2, time_s=6.0),
    "highway-roundabout": Moment(world="highway:roundabout", seed=1, time_s=4.0),
    "highway-intersection": Moment(world="highway:intersection", seed=1, time_s=4.0),
    "metadrive-intersection": Moment(world="metadrive:intersection", seed=1, time_s=12.0),
}
SCENARIOS = {
    name: Moment(world=f"metadrive:{name}", seed=seed, time_s=time_s)
    for name, seed, time_s in (
        ("straight", 2, 5.0), ("curve", 2, 5.0), ("intersection", 1, 14.0), ("roundabout", 2, 11.0),
    )
}  # fmt: skip
WEATHERS = {
    "highway-weather": Moment(world="highway:racetrack", seed=3, time_s=2.0, options=(("traffic", 4),)),
    "metadrive-weather": Moment(world="metadrive:curve", seed=2, time_s=5.0),
}
RIG = ("pillar_left", "main", "pillar_right", "narrow", "wide", "above", "wing_left", "rear", "wing_right")


def arrive(moment: Moment, **options: object) -> World:
    """Return the world at the moment; the expert has driven there."""
    world = make_world(moment.world, **dict(moment.options), **options)
    world.reset(moment.seed)
    speed = 0.0
    while world.status().time_s < moment.time_s and not world.status().ended:
        before = world.status().distance_m
        control = expert_control(world.truth(), speed, world.vehicle)
        for _ in range(round(world.frame_s / world.tick_s)):
            world.step(control)
        speed = (world.status().distance_m - before) / world.frame_s
    if world.status().ended:
        raise SystemExit(f"{moment.world}, seed {moment.seed}: {world.status().ended} before {moment.time_s} s")
    return world


def titled(image: Image, title: str) -> Image:
    """Return a picture of WIDTH x HEIGHT under its title."""
    if image.shape[:2] != (HEIGHT, WIDTH):
        image = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    sheet = np.full((TITLE + HEIGHT, WIDTH, 3), 255, np.uint8)
    cv2.putText(sheet, title, (2, TITLE - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    sheet[TITLE:] = image
    return sheet


def tiled(tiles: list[Image], columns: int) -> Image:
    """Return pictures of one size in rows."""
    tiles = tiles + [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    height, width, _ = tiles[0].shape
    rows = len(tiles) // columns
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for k, tile in enumerate(tiles):
        y, x = k // columns * (height + GAP), k % columns * (width + GAP)
        sheet[y : y + height, x : x + width] = tile
    return sheet


def eight(moment: Moment) -> Image:
    """Return what eight cameras see, as they stand round the car, the view from above in their middle."""
    world = arrive(moment, cameras=8, width=WIDTH, height=HEIGHT)
    seen = dict(zip([c.name for c in world.cameras], world.observe().images, strict=True))
    seen["above"] = world.top_view(WIDTH, HEIGHT)
    world.close()
    return tiled([titled(seen[name], name.replace("_", " ")) for name in RIG], 3)


def scenarios(moments: dict[str, Moment]) -> Image:
    """Return each scenario through the main camera and from above."""
    tiles = []
    for name, moment in moments.items():
        world = arrive(moment, width=WIDTH, height=HEIGHT)
        tiles += [titled(world.observe().images[0], name), titled(world.top_view(WIDTH, HEIGHT), "from above")]
        world.close()
    return tiled(tiles, 2)


def weather(moment: Moment) -> Image:
    """Return the same moment in every weather; `mixed` is one of the others."""
    tiles = []
    for name in weathers():
        if name != MIXED:
            world = arrive(moment, width=WIDTH, height=HEIGHT, weather=name)
            tiles.append(titled(world.observe().images[0], name))
            world.close()
    return tiled(tiles, 3)


def carracing() -> Image:
    """Return CarRacing's only picture, and the road round it."""
    world = arrive(Moment(world="carracing", seed=1, time_s=4.0))
    seen = cv2.resize(world.observe().images[0], (HEIGHT, HEIGHT), interpolation=cv2.INTER_NEAREST)
    sheet = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    sheet[:, (WIDTH - HEIGHT) // 2 : (WIDTH + HEIGHT) // 2] = seen
    tiles = [titled(sheet, "its picture, 96x96"), titled(world.top_view(WIDTH, HEIGHT), "from above")]
    world.close()
    return tiled(tiles, 2)


def save(image: Image, path: Path) -> None:
    """Write a JPEG that is small enough for a page."""
    for quality in (88, 80, 70, 60):
        done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        if done and data.size < MOST_BYTES:
            break
    path.write_bytes(data.tobytes())
    print(f"{path.name}: {data.size:,} bytes, {image.shape[1]}x{image.shape[0]}", flush=True)


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("-o", "--output", type=Path, default=STATIC)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    makers = {
        **{name: lambda m=moment: eight(m) for name, moment in EIGHT.items()},
        **{name: lambda m=moment: weather(m) for name, moment in WEATHERS.items()},
        "metadrive-scenarios": lambda: scenarios(SCENARIOS),
        "carracing": carracing,
    }
    for name in given.names or makers:
        save(makers[name](), given.output / f"world-{name}.jpg")


if __name__ == "__main__":
    main()
