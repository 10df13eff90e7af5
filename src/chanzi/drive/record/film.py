"""A film of a drive: the road with the planned path on it, the world from above, what the network saw, the chip's time.

The car's own cameras may have few pixels. Where the world allows, the film looks through a twin: the same world with
the same seed and the same controls, and a camera made for people.
"""

import math
import os
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chanzi.drive.camera import Camera, rig
from chanzi.drive.episode import Episode, Moment
from chanzi.drive.figures import ChipFigures
from chanzi.drive.messages import GRID_CELL_M, GRID_COLUMNS, GRID_ROWS, Control, Perception, Plan
from chanzi.drive.motion import Motion, advance, seen_from
from chanzi.drive.record.canvas import Canvas, Colour, Image, mixed
from chanzi.drive.runs import Course, Drive
from chanzi.drive.timeline import Fate, Passage
from chanzi.drive.world.registry import make_world
from chanzi.drive.world.world import TOP_VIEW_M, World
from chanzi.errors import DriveError

WIDTH, HEIGHT = 1280, 720
VIEW_WIDTH, VIEW_HEIGHT = 896, 448
"""Of the large picture of the road."""
_HEAD = 44
_SIDE = WIDTH - VIEW_WIDTH
_FOOT = HEIGHT - _HEAD - VIEW_HEIGHT
_FRAME_S = 0.04

_INK: Colour = (230, 236, 242)
_PALE: Colour = (139, 148, 160)
_GROUND: Colour = (13, 17, 23)
_PANEL: Colour = (22, 27, 34)
_RULE: Colour = (48, 54, 61)
_PATH: Colour = (63, 185, 80)
_TAKEN: Colour = (248, 81, 73)
_CAMERA: Colour = (88, 166, 255)
_LINK: Colour = (121, 192, 255)
_CHIP: Colour = (63, 185, 80)
_PLAN: Colour = (210, 153, 34)
_OF_FATE: dict[Fate, Colour] = {Fate.DROPPED: _TAKEN, Fate.REFUSED: _TAKEN, Fate.FAILED: _TAKEN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credits:
    """What the film says beside what it shows.

    Parameters
    ----------
    title : str
        Who drives where.
    chip : str
        The chip, its clock, and what it takes.
    """

    title: str
    chip: str


def credits_of(drive: Drive, world: World, figures: ChipFigures | None) -> Credits:
    """Return what the film of a drive says."""
    who = {"truth": "told the truth", "expert": "an expert"}.get(drive.backend, f"the network ({drive.backend})")
    title = f"{world.name}   {who} drives"
    if figures is None:
        return Credits(title=title, chip="no chip")
    frame = f"{1e3 * figures.chip_s:.3g} ms a frame"  # Pillow's own letters have no µ
    pair = "two " if drive.redundant else ""
    return Credits(title=title, chip=f"{pair}{figures.chip.name} at {figures.chip.clock_hz / 1e6:g} MHz, {frame}")


def twin_of(course: Course) -> World | None:
    """Return the same world with a camera for people, or None where it knows no cameras of others."""
    (front,) = rig(1, width=VIEW_WIDTH, height=VIEW_HEIGHT)
    options = {**dict(course.options), "cameras": (front,)}
    try:
        twin = make_world(course.world, **options)
    except (DriveError, TypeError):
        return None
    return twin if twin.cameras == (front,) else None


class Film:
    """Films an episode.

    Parameters
    ----------
    path : Path
        An .mp4.
    words : Credits
    twin : World, optional
        A second world of the same course, whose first camera is made for people.
    still : Path, optional
        A .png of the moment `still_s`.
    still_s : float

    Raises
    ------
    DriveError
        The packages that make films are not installed.
    """

    def __init__(
        self, path: Path, words: Credits, *, twin: World | None = None, still: Path | None = None, still_s: float = 8.0
    ) -> None:
        try:
            import cv2  # noqa: F401 - to say now, not in the middle of a drive, what is missing
            import imageio_ffmpeg
        except ModuleNotFoundError as error:
            raise DriveError(f"films need {error.name}", hint="pip install 'chanzi[drive]'") from error
        self._ffmpeg: Any = imageio_ffmpeg
        self._path, self._words, self._twin = path, words, twin
        self._still, self._still_s = still, still_s
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
        self._writer: Generator[None, Image, None] | None = None

    def begin(self, world: World, seed: int) -> None:
        """Begin an episode."""
        self.close()
        if self._twin is not None:
            self._twin.reset(seed)
        self._world, self._seed = world, seed
        self._every = max(1, round(_FRAME_S / world.tick_s))
        self._ticks = 0
        self._moment: Moment | None = None
        self._plan: Plan | None = None
        self._perception: Perception | None = None
        self._motion = Motion()
        self._motions: dict[int, Motion] = {}
        self._passages: dict[int, Passage] = {}
        self._recent: deque[int] = deque(maxlen=64)
        self._window_s = max(0.4, 6 * world.frame_s)
        self._writer = self._ffmpeg.write_frames(
            str(self._temporary),
            (WIDTH, HEIGHT),
            fps=1 / (self._every * world.tick_s),
            codec="libx264",
            quality=7,
            pix_fmt_in="rgb24",
            pix_fmt_out="yuv420p",
            ffmpeg_log_level="error",
            output_params=["-preset", "veryfast", "-movflags", "+faststart"],
        )
        self._writer.send(None)  # type: ignore[arg-type] - a generator is begun with None

    def frame(self, world: World, moment: Moment) -> None:
        """Take a frame."""
        del world
        self._moment = moment
        m = self._motion
        self._motion = Motion(
            x_m=m.x_m, y_m=m.y_m, heading_rad=m.heading_rad, speed_m_s=moment.frame.speed_m_s
        )  # the car's own reckoning, as `chanzi.drive.controller.Driver` does it
        self._motions[moment.frame.number] = self._motion

    def passed(self, passage: Passage) -> None:
        """Take a frame's way."""
        if passage.frame not in self._passages:
            self._recent.append(passage.frame)
        self._passages[passage.frame] = passage

    def plan(self, passage: Passage, perception: Perception | None, plan: Plan) -> None:
        """Take a plan."""
        del passage
        self._plan = plan
        if perception is not None:
            self._perception = perception

    def tick(self, time_s: float, control: Control, by: str) -> None:
        """Draw, where a picture is due, and go on."""
        if self._ticks % self._every == 0:
            self._expose(self._drawn(time_s, control, by), time_s)
        self._ticks += 1
        self._motion = advance(self._motion, control, self._world.vehicle, self._world.tick_s)
        if self._twin is not None:
            self._twin.step(control)

    def end(self, episode: Episode) -> None:
        """Show how it ended, and put the finished film in its place."""
        canvas = self._drawn(episode.time_s, Control(), "")
        canvas.box(0, _HEAD, WIDTH, HEIGHT - _HEAD, _GROUND, 0.72)
        word = episode.stops[-1].why if episode.ended == "stopped" else episode.ended
        canvas.text(WIDTH / 2, 300, word, _INK, 44, anchor="mm")
        said = f"{episode.time_s:.1f} s   {episode.distance_m:.0f} m   {episode.crashes} collisions"
        canvas.text(WIDTH / 2, 360, said, _PALE, 24, anchor="mm")
        for _ in range(round(1.5 / (self._every * self._world.tick_s))):
            self._expose(canvas, -1.0)
        self.close()
        self._temporary.replace(self._path)

    def close(self) -> None:
        """Close the film."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _expose(self, canvas: Canvas, time_s: float) -> None:
        assert self._writer is not None
        self._writer.send(np.ascontiguousarray(canvas.pixels))
        if self._still is not None and time_s >= self._still_s:
            from chanzi.drive.record.mcap_log import png

            self._still.write_bytes(png(canvas.pixels))
            self._still = None

    def _drawn(self, now: float, control: Control, by: str) -> Canvas:
        canvas = Canvas(WIDTH, HEIGHT, _GROUND)
        self._head(canvas, now)
        self._road(canvas, by)
        self._above(canvas)
        self._time(canvas, now)
        self._seen(canvas, control)
        return canvas

    def _head(self, canvas: Canvas, now: float) -> None:
        canvas.text(16, 12, self._words.title, _INK, 19)
        canvas.text(WIDTH - 16, 12, f"{now:6.2f} s", _INK, 19, anchor="ra")
        canvas.text(WIDTH - 120, 14, self._words.chip, _PALE, 16, anchor="ra")

    def _road(self, canvas: Canvas, by: str) -> None:
        """Draw the road ahead, with the path and what is in the way laid on it."""
        looker = self._twin or self._world
        view = looker.observe().images[0] if self._twin is not None else self._own_view()
        if view is not None:
            canvas.paste(view, 0, _HEAD, VIEW_WIDTH, VIEW_HEIGHT)
            self._laid(canvas.part(0, _HEAD, VIEW_WIDTH, VIEW_HEIGHT), looker.cameras[0])
        plan, trouble = self._plan, self._moment.trouble if self._moment else ""
        banner = f"stopping: {plan.stop}" if plan is not None and plan.stop else trouble or (by and f"by hand: {by}")
        if banner:
            canvas.box(0, _HEAD, VIEW_WIDTH, 40, _TAKEN if not by else _PLAN, 0.85)
            canvas.text(16, _HEAD + 9, banner, _INK, 20)

    def _own_view(self) -> Image | None:
        images = self._moment.frame.images if self._moment is not None else ()
        return images[0] if images else None

    def _laid(self, view: Canvas, camera: Camera) -> None:
        scale = VIEW_WIDTH / camera.width
        if self._perception is not None:
            for corners, share in self._cells(self._perception):
                ground = np.concatenate([corners, np.zeros((4, 1))], axis=1)
                pixels, depth = camera.project(ground)
                if depth.min() > 0.5:
                    view.face(pixels * scale, _TAKEN, 0.45 * share)
        path = self._path_now()
        if path is None:
            return
        edges = _edges(path, self._world.vehicle.width_m / 2)
        sides = []
        for edge in edges:
            pixels, depth = camera.project(np.concatenate([edge, np.zeros((len(edge), 1))], axis=1))
            sides.append((pixels * scale, depth))
        near = np.minimum(sides[0][1], sides[1][1]) > 0.5
        left, right = sides[0][0][near], sides[1][0][near]
        if len(left) > 1:
            colour = _TAKEN if self._plan is not None and self._plan.stop else _PATH
            view.carpet(np.concatenate([left, right[::-1]]), colour)

    def _path_now(self) -> Any:
        """Return the plan's path in the car's frame now, (N, 2), every metre, or None."""
        plan = self._plan
        if plan is None or plan.frame not in self._motions:
            return None
        moved = seen_from(plan.path_m, self._motions[plan.frame], self._motion)
        ahead = moved[moved[:, 0] > -2.0]
        return ahead if len(ahead) > 1 else None

    def _cells(self, perception: Perception) -> list[tuple[Any, float]]:
        """Return the corners (4, 2) of cells that are likely taken, where they are now, and how likely."""
        then = self._motions.get(perception.frame)
        if then is None:
            return []
        found = []
        for row, column in np.argwhere(perception.occupancy > 0.3):
            x = row * GRID_CELL_M
            y = (GRID_COLUMNS / 2 - column) * GRID_CELL_M
            corners = np.array([[x, y], [x + GRID_CELL_M, y], [x + GRID_CELL_M, y - GRID_CELL_M], [x, y - GRID_CELL_M]])
            found.append((seen_from(corners, then, self._motion), float(perception.occupancy[row, column])))
        return found

    def _above(self, canvas: Canvas) -> None:
        """Draw the world from above."""
        looker = self._twin or self._world
        canvas.paste(looker.top_view(_SIDE, VIEW_HEIGHT), VIEW_WIDTH, _HEAD, _SIDE, VIEW_HEIGHT)
        px = VIEW_HEIGHT / TOP_VIEW_M
        centre = np.array([_SIDE / 2, VIEW_HEIGHT / 2])

        path = self._path_now()
        if path is not None:
            # forward is up, left is left
            canvas.part(VIEW_WIDTH, _HEAD, _SIDE, VIEW_HEIGHT).line(centre - path[:, ::-1] * px, _PATH, 2)
        canvas.box(VIEW_WIDTH, _HEAD, 2, VIEW_HEIGHT, _GROUND)

    def _time(self, canvas: Canvas, now: float) -> None:
        """Draw what sensor, link, chip and planner do in the last moments, a row each."""
        top, left, right = _HEAD + VIEW_HEIGHT, 96, VIEW_WIDTH - 16
        canvas.box(0, top, VIEW_WIDTH, _FOOT, _PANEL)
        rows = {"camera": top + 34, "link": top + 76, "chip": top + 118, "planner": top + 160}
        for name, y in rows.items():
            canvas.text(left - 14, y + 14, name, _PALE, 16, anchor="rm")
            canvas.box(left, y + 28, right - left, 1, _RULE)
        begin = now - self._window_s
        px = (right - left) / self._window_s

        def bar(row: str, a: float, b: float, colour: Colour, label: str = "") -> None:
            x0, x1 = left + (max(a, begin) - begin) * px, left + (min(b, now) - begin) * px
            if b <= begin or a >= now:
                return
            canvas.box(x0, rows[row] + 2, max(x1 - x0, 3), 25, colour)
            if label and x1 - x0 > 9 * len(label) + 4:
                canvas.text((x0 + x1) / 2, rows[row] + 14, label, _GROUND, 13, anchor="mm")

        for number in self._recent:
            p = self._passages[number]
            lost = _OF_FATE.get(p.fate)
            bar("camera", p.taken_s, p.read_s, mixed(_CAMERA, lost, 0.7) if lost else _CAMERA, str(number))
            bar("link", p.read_s, p.arrived_s, mixed(_LINK, lost, 0.7) if lost else _LINK)
            if p.answered_s is not None:
                bar("chip", p.arrived_s, p.answered_s, lost or _CHIP, str(number))
            elif lost and begin < p.arrived_s < now:
                x = left + (p.arrived_s - begin) * px
                canvas.line(np.array([[x - 6, rows["chip"] + 8], [x + 6, rows["chip"] + 20]]), _TAKEN, 2)
                canvas.line(np.array([[x - 6, rows["chip"] + 20], [x + 6, rows["chip"] + 8]]), _TAKEN, 2)
            if p.answered_s is not None and p.planned_s is not None:
                bar("planner", p.answered_s, p.planned_s, _PLAN)
            if p.acted_s is not None and begin < p.acted_s <= now:
                x = left + (p.acted_s - begin) * px
                canvas.circle(x, rows["planner"] + 14, 6, _INK)
        for k in range(5):
            x = left + (right - left) * k / 4
            canvas.text(x, top + 196, f"{1e3 * self._window_s * (k / 4 - 1):.0f} ms", _PALE, 14, anchor="ma")
        late = [s for n in self._recent if (s := self._passages[n].latency_s) is not None]
        if late:
            canvas.text(left, top + 9, f"light to steering {1e3 * late[-1]:.0f} ms", _INK, 17)
        lost_count = sum(p.fate is Fate.DROPPED for p in self._passages.values())
        if lost_count:
            text = f"{lost_count} of {len(self._passages)} frames found the chip busy"
            canvas.text(right, top + 9, text, _TAKEN, 17, anchor="ra")

    def _seen(self, canvas: Canvas, control: Control) -> None:
        """Draw what the network saw, where it thinks others are, and speed and steering."""
        x, y, width = VIEW_WIDTH, _HEAD + VIEW_HEIGHT, _SIDE
        canvas.box(x, y, width, _FOOT, _PANEL)
        canvas.box(x, y, 1, _FOOT, _RULE)
        images = self._moment.frame.images if self._moment is not None else ()
        if images:
            canvas.text(x + 16, y + 9, "what the network saw", _PALE, 15)
            columns = 1 if len(images) == 1 else 2 if len(images) <= 4 else 4
            each = (232 - 4 * (columns - 1)) // columns
            for i, image in enumerate(images[:8]):
                tall = round(each * image.shape[0] / image.shape[1])
                canvas.paste(
                    image,
                    x + 16 + i % columns * (each + 4),
                    y + 32 + i // columns * (tall + 4),
                    each,
                    tall,
                    smooth=False,
                )
        if self._perception is not None:
            canvas.text(x + 268, y + 9, "occupancy", _PALE, 15)
            grid = self._perception.occupancy[::-1]
            shade = (np.array(_RULE) + grid[..., None] * (np.array(_TAKEN) - _RULE)).astype(np.uint8)
            canvas.paste(shade, x + 276, y + 32, 5 * GRID_COLUMNS, 5 * GRID_ROWS, smooth=False)
        speed = self._moment.frame.speed_m_s if self._moment is not None else 0.0
        base = y + _FOOT - 60
        canvas.text(x + 16, base, f"{3.6 * speed:.0f} km/h", _INK, 26)
        target = f"means to go {3.6 * self._plan.speed_m_s:.0f}" if self._plan is not None else ""
        canvas.text(x + 16, base + 34, target, _PALE, 15)
        self._wheel(canvas, x + 200, base + 22, control)

    def _wheel(self, canvas: Canvas, x: float, y: float, control: Control) -> None:
        angle = control.steering_rad * 2.0  # so that small angles are seen; left is counter-clockwise
        ring = np.linspace(0, 2 * math.pi, 33)
        canvas.line(np.stack([x + 24 * np.cos(ring), y + 24 * np.sin(ring)], axis=1), _INK, 3)
        for spoke in (-math.pi / 2, 0.0, math.pi):
            at = spoke - angle + math.pi * (spoke == -math.pi / 2)
            canvas.line(np.array([[x, y], [x + 22 * math.cos(at), y + 22 * math.sin(at)]]), _INK, 3)


def _edges(path: Any, half_m: float) -> tuple[Any, Any]:
    """Return the lines (N, 2) so far to the left and right of a path."""
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1) * half_m
    return path + aside, path - aside
