"""``chanzi worlds``: what can be driven in, and whether it is ready."""

import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from chanzi.cli.console import note, say, say_json, working

app = App(name="worlds", help="List the worlds to drive in; get one ready.")

_LOOKS = 30


@app.default
def list_worlds(*, json: bool = False) -> None:
    """List the worlds that `chanzi drive --sim` knows.

    Parameters
    ----------
    json
        Write JSON instead of a table.
    """
    from chanzi.drive.world.registry import known_worlds

    rows = known_worlds()
    if json:
        say_json([{"name": row.name, "ready": row.ready, "needs": row.needs} for row in rows])
        return
    for row in rows:
        state = "installed" if row.ready else f"absent: pip install '{row.needs}'"
        say(f"{row.name:<12} {state}")


app.command(list_worlds, name="list")


@app.command
def prepare(
    name: str,
    *,
    cameras: int = 1,
    seed: int = 0,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json: bool = False,
) -> None:
    """Get a world ready, offline, and prove it: begin an episode, render it, say how fast that is.

    Nothing is fetched: roads, vehicles and textures are made by the package itself, for MetaDrive, too.

    Parameters
    ----------
    name
        Such as metadrive, or metadrive:roundabout.
    cameras
        1, 3 or 8.
    seed
        Of the episode.
    output
        A PNG of what the cameras see, with the view from above.
    json
        Write JSON.
    """
    from chanzi.drive.messages import Control
    from chanzi.drive.world.registry import make_world

    with working(f"preparing {name}"):
        began = time.perf_counter()
        world: Any = make_world(name, cameras=cameras)
        world.reset(seed)
        frame = world.observe()
        ready_s = time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(_LOOKS):
            for _ in range(round(world.frame_s / world.tick_s)):
                world.step(Control(acceleration_m_s2=1.0))
            frame = world.observe()
        rate = _LOOKS / (time.perf_counter() - began)
        picture = _sheet(frame.images, world.top_view(frame.images[0].shape[0], frame.images[0].shape[0]))
        world.close()
    if output is not None:
        _write(picture, output)
        note(f"wrote {output}")
    count, (height, width) = len(frame.images), frame.images[0].shape[:2]
    if json:
        shape = {"cameras": count, "width": width, "height": height}
        say_json({"world": world.name, "ready_s": ready_s, "frames_per_s": rate, **shape})
        return
    say(f"{world.name} is ready: {ready_s:.1f} s to the first picture,")
    say(f"then {rate:.0f} frames/s, each {count} x {width}x{height} pixels and {world.frame_s:g} s of driving")


def _sheet(images: tuple[Any, ...], above: Any) -> Any:
    """Return pictures of one size side by side, in rows of four, the view from above last."""
    import numpy as np

    every = [*images, above]
    height = max(image.shape[0] for image in every)
    width = max(image.shape[1] for image in every)
    every = [np.pad(i, ((0, height - i.shape[0]), (0, width - i.shape[1]), (0, 0))) for i in every]
    columns = min(4, len(every))
    every += [np.zeros_like(every[0])] * (-len(every) % columns)
    rows = [np.concatenate(every[k : k + columns], axis=1) for k in range(0, len(every), columns)]
    return np.concatenate(rows)


def _write(picture: Any, path: Path) -> None:
    """Write a PNG under another name first: nobody reads half of it."""
    from PIL import Image

    part = path.with_name(f".{path.name}.part")
    Image.fromarray(picture).save(part, format="png")
    part.replace(path)
