"""Does a world keep its promises? Held against every registered one by the tests, and against yours if you ask."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from chanzi.drive.expert import expert_control
from chanzi.drive.messages import PATH_DISTANCES_M, Control, Frame, Truth
from chanzi.drive.world.world import World
from chanzi.errors import DriveError

_DRIVE_S = 6.0
_LOOK_APART_M = 3.0
_PLACE_M = 0.5
_OTHERS_M = 0.6
_SHARE = 0.9

Findings = Iterator[str]


def check_world(world: World, *, seeds: Sequence[int] = (0, 1)) -> tuple[str, ...]:
    """Return what a world does that `World` does not allow; nothing where it keeps all its promises.

    Drives a few seconds with the expert, repeats them, steers left, brakes, and drives on until the episode ends.

    Parameters
    ----------
    world : World
    seeds : sequence of int
        At least two.
    """
    findings: list[str] = []
    checks: list[Callable[[World, Sequence[int]], Findings]] = [_clock, _pictures, _same_seed, _looking, _brakes, _end]
    if knows_truth(world):
        checks += [_left, _motion]
    for check in checks:
        findings += check(world, seeds)
    return tuple(findings)


def knows_truth(world: World) -> bool:
    """Whether a world has labels to give."""
    try:
        world.truth()
    except DriveError:
        return False
    return True


def _ticks(world: World) -> int:
    return max(1, round(world.frame_s / world.tick_s))


def _step_frame(world: World) -> None:
    """Drive one frame as the expert would, or straight ahead where nobody knows."""
    control = Control(acceleration_m_s2=1.0)
    if knows_truth(world):
        control = expert_control(world.truth(), world.observe().speed_m_s, world.vehicle)
    for _ in range(_ticks(world)):
        world.step(control)


def _drive(world: World, seed: int, seconds: float = _DRIVE_S) -> Iterator[Frame]:
    """Give the frames of an episode's beginning."""
    world.reset(seed)
    while not world.status().ended and world.status().time_s < seconds - 1e-9:
        yield world.observe()
        _step_frame(world)
    yield world.observe()


def _clock(world: World, seeds: Sequence[int]) -> Findings:
    ticks = world.frame_s / world.tick_s
    if world.tick_s <= 0 or abs(ticks - round(ticks)) > 1e-6 or ticks < 0.5:
        yield f"a frame of {world.frame_s} s is not a whole number of ticks of {world.tick_s} s"
    world.reset(seeds[0])
    before = world.status()
    if before.time_s != 0 or before.ended or world.observe().number != 0:
        yield "a new episode does not begin at 0"
    for count in range(1, 6):
        world.step(Control())
        if not world.status().ended and abs(world.status().time_s - count * world.tick_s) > 1e-6:
            yield f"after {count} ticks the time is {world.status().time_s} s"
    numbers = [frame.number for frame in _drive(world, seeds[0], 1.0)]
    if numbers != list(range(len(numbers))):
        yield f"frames are numbered {numbers}"


def _pictures(world: World, seeds: Sequence[int]) -> Findings:
    names = [camera.name for camera in world.cameras]
    if len(set(names)) != len(names):
        yield f"cameras share a name: {names}"
    world.reset(seeds[0])
    frame = world.observe()
    if len(frame.images) != len(names) or len(frame.stamps_s) != len(names):
        yield f"{len(names)} cameras, {len(frame.images)} pictures, {len(frame.stamps_s)} stamps"
    for camera, image in zip(world.cameras, frame.images, strict=False):
        if image.shape != (camera.height, camera.width, 3) or image.dtype != np.uint8:
            yield f"{camera.name} gives {image.shape} {image.dtype}"
        if image.flags.writeable:
            yield f"{camera.name}'s picture may be written into"
    view = world.top_view(90, 60)
    if view.shape != (60, 90, 3) or view.dtype != np.uint8:
        yield f"the top view of 90 x 60 is {view.shape} {view.dtype}"


def _same_seed(world: World, seeds: Sequence[int]) -> Findings:
    first = list(_drive(world, seeds[0]))
    ended = world.status()
    list(_drive(world, seeds[1], 1.0))
    again = list(_drive(world, seeds[0]))
    if len(first) != len(again) or not all(map(_same, first, again)) or world.status() != ended:
        yield "the same seed and controls give another episode"
    world.reset(seeds[1])
    if _same(world.observe(), first[0]):
        yield "another seed begins with the same frame"
    moving = [(a, b) for a, b in itertools.pairwise(first) if a.speed_m_s > 1 and b.speed_m_s > 1]
    for index, camera in enumerate(world.cameras):
        new = [bool(np.any(a.images[index] != b.images[index])) for a, b in moving]
        if not all(new):
            yield f"{camera.name} gives the frame before in {new.count(False)} of {len(new)} frames of a moving car"


def _same(a: Frame, b: Frame) -> bool:
    plain = (a.number, a.time_s, a.stamps_s, a.speed_m_s, a.command) == (
        b.number,
        b.time_s,
        b.stamps_s,
        b.speed_m_s,
        b.command,
    )
    return plain and all(np.array_equal(x, y) for x, y in zip(a.images, b.images, strict=True))


def _looking(world: World, seeds: Sequence[int]) -> Findings:
    """Look twice: it gives the same, and changes nothing."""
    plan = [Control(steering_rad=0.05 * math.sin(k / 7), acceleration_m_s2=1.0) for k in range(10 * _ticks(world))]
    world.reset(seeds[0])
    for control in plan:
        world.step(control)
    unseen = world.observe()
    world.reset(seeds[0])
    for control in plan:
        if not _same(world.observe(), world.observe()):
            yield "looking twice at the same moment gives two frames"
            return
        world.top_view(40, 40)
        world.step(control)
    if not _same(world.observe(), unseen):
        yield "an episode goes another way when it is looked at"


def _brakes(world: World, seeds: Sequence[int]) -> Findings:
    world.reset(seeds[0])
    wild = Control(steering_rad=0.0, acceleration_m_s2=-1e6)
    for _ in range(round(8.0 / world.tick_s)):
        world.step(wild)
        if world.status().ended:
            return
    if knows_truth(world) and abs(world.observe().speed_m_s) > 0.1:
        yield f"eight seconds of full braking leave {world.observe().speed_m_s:.2f} m/s"


def _end(world: World, seeds: Sequence[int]) -> Findings:
    world.reset(seeds[0])
    for _ in range(round(40.0 / world.tick_s)):
        if world.status().ended:
            break
        world.step(Control(steering_rad=1e3, acceleration_m_s2=1e3))
    status = world.status()
    if not 0 <= status.progress <= 1:
        yield f"progress is {status.progress}"
    if world.observe().speed_m_s > world.vehicle.max_speed_m_s + 1e-6:
        yield f"{world.observe().speed_m_s} m/s is faster than the vehicle can go"
    if not status.ended:
        return
    last = world.observe()
    world.step(Control(acceleration_m_s2=1.0))
    if world.status() != status or not _same(world.observe(), last):
        yield "an episode that has ended goes on"


def _left(world: World, seeds: Sequence[int]) -> Findings:
    """Steer left and right from one place: left turns the heading to the left, and moves the path to the right.

    Not against the heading before, for the lane itself may turn.
    """
    seen: list[Truth] = []
    for steering in (0.15, -0.15):
        for _ in _drive(world, seeds[0], 2.0):
            pass
        for _ in range(round(0.3 / world.tick_s)):
            world.step(Control(steering_rad=steering))
        seen.append(world.truth())
    left, right = seen
    if left.heading_rad <= right.heading_rad:
        yield f"steering left turns the heading to {left.heading_rad:.3f} rad, right to {right.heading_rad:.3f}"
    if left.path_m[2, 1] >= right.path_m[2, 1]:
        yield "steering left does not move the path to the right"


def _motion(world: World, seeds: Sequence[int]) -> Findings:
    """Drive along: the path of the past is where the car is now, and others are where their velocity took them."""
    lost, astray, moved, seen = 0, 0, 0, 0
    steps = 0
    for seed in seeds:
        before: Truth | None = None
        driven = since = 0.0
        for frame in _drive(world, seed):
            now, way = world.truth(), world.status().distance_m
            apart = frame.time_s - since
            if before is not None and way - driven < _LOOK_APART_M:
                continue
            if before is not None:
                turn, place = _odometry(before, now, way - driven)
                steps += 1
                lost += not _on_path(before, place, way - driven, now.lateral_m)
                for other in before.vehicles[np.hypot(*before.vehicles[:, :2].T) < 30]:
                    if not len(now.vehicles):
                        continue
                    there = now.vehicles[:, :2] @ turn.T + place
                    mean = (other[5:7] + now.vehicles[:, 5:7] @ turn.T) / 2
                    miss = np.hypot(*(there - other[:2] - mean * apart).T).min()
                    seen += 1
                    moved += bool(miss > _OTHERS_M)
            before, driven, since = now, way, frame.time_s
            astray += not (np.isfinite(now.path_m).all() and now.path_m.shape == (len(PATH_DISTANCES_M), 2))
    if astray:
        yield f"{astray} paths are not ten finite points"
    if steps and lost > (1 - _SHARE) * steps:
        yield f"the car is not where the path and its distance say in {lost} of {steps} moments"
    if seen and moved > (1 - _SHARE) * seen:
        yield f"others are not where their velocity took them in {moved} of {seen} moments"
    if not steps:
        yield "the expert does not get anywhere"


def _along(path_m: npt.NDArray[np.floating], at_m: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    return np.stack([np.interp(at_m, PATH_DISTANCES_M, path_m[:, k]) for k in (0, 1)], axis=1)


def _odometry(before: Truth, now: Truth, way_m: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return how the car moved, (2, 2) and (2,) in its old frame, from the two views of the same path (Kabsch 1976)."""
    at = np.linspace(way_m + 2.0, 24.0, 24)
    old, new = _along(before.path_m, at), _along(now.path_m, at - way_m)
    u, _, vt = np.linalg.svd((new - new.mean(axis=0)).T @ (old - old.mean(axis=0)))
    turn = vt.T @ np.diag([1.0, np.linalg.det(vt.T @ u.T)]) @ u.T
    return turn, old.mean(axis=0) - turn @ new.mean(axis=0)


def _on_path(before: Truth, place_m: npt.NDArray[np.float64], way_m: float, lateral_m: float) -> bool:
    """Whether a place lies as far along the old path and beside it as it should."""
    at = np.linspace(2.0, 24.0, 221)
    path = _along(before.path_m, at)
    if way_m > 2.5:
        nearest = int(np.argmin(np.hypot(*(path - place_m).T)))
        nearest = min(max(nearest, 1), len(path) - 2)
        ahead = path[nearest + 1] - path[nearest - 1]
        ahead /= np.hypot(*ahead)
        offset = place_m - path[nearest]
        if abs(ahead[0] * offset[1] - ahead[1] * offset[0] - lateral_m) > _PLACE_M:
            return False
    return abs(float(np.hypot(*place_m)) - way_m) < _PLACE_M + 0.1 * way_m and place_m[0] > 0
