"""Every deployed version on scenarios that nothing was ever chosen or trained by: how good the loop really made it."""

from dataclasses import dataclass

from chanzi.drive.engine.loop import Loop
from chanzi.drive.engine.outcomes import Deployed, Quality, Version
from chanzi.drive.engine.scenario import Purpose, scenarios
from chanzi.drive.engine.stages.gate import drive_all, quality
from chanzi.errors import LoopError


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """A version, and how it does."""

    version: int
    quality: Quality


def held_out(loop: Loop, count: int) -> list[HeldOut]:
    """Drive `count` held-out scenarios with every version that the fleet ever had.

    Raises
    ------
    LoopError
        No version is deployed yet.
    """
    settings = loop.settings
    last = loop.due()[0]
    turns = [turn for turn in range(last + 1) if loop.journal.conclusion(turn, "deploy") is not None]
    versions: dict[int, Version] = {}
    for turn in turns:
        version = loop.outcome(turn, "deploy", Deployed).version
        versions.setdefault(version.number, version)
    if not versions:
        raise LoopError("no version is deployed yet", hint="`chanzi loop run` first")
    wanted = scenarios(
        Purpose.HELD_OUT,
        worlds=settings.worlds,
        weathers=settings.weathers,
        seconds=settings.seconds,
        run_seed=settings.seed,
        turn=0,
        count=count,
    )
    found = []
    for version in versions.values():
        drove = drive_all(loop, last, [(version, scenario) for scenario in wanted], "held-out")
        found.append(HeldOut(version=version.number, quality=quality(drove)))
    return found
