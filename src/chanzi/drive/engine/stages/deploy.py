"""Stage `deploy`: the candidate spreads over the fleet if the gate lets it, and every car drives its drives."""

from collections.abc import Sequence

from chanzi.drive.engine import versions
from chanzi.drive.engine.fleet import Rollout, roll_out
from chanzi.drive.engine.interface import Drove
from chanzi.drive.engine.loop import Loop
from chanzi.drive.engine.outcomes import Deployed, Gated, Trip, Version
from chanzi.drive.engine.scenario import Purpose, Scenario, scenarios
from chanzi.drive.engine.stages.gate import drive_all
from chanzi.errors import LoopError


def road(loop: Loop, turn: int) -> tuple[Scenario, ...]:
    """Return what the fleet meets in a turn, drive by drive."""
    settings = loop.settings
    return scenarios(
        Purpose.ROAD,
        worlds=settings.worlds,
        weathers=settings.weathers,
        seconds=settings.seconds,
        run_seed=settings.seed,
        turn=turn,
        count=settings.fleet.drives,
    )


def deploy(loop: Loop, turn: int, *, force: bool = False) -> Deployed:
    """Roll out this turn's candidate if the gate let it through, or if forced; drive the rest with the old version."""
    fleet = loop.settings.fleet
    new, old = versions.candidate(loop, turn), versions.deployed(loop, turn)
    verdict = loop.outcome(turn, "gate", Gated).verdict
    let_through = verdict.deploy
    if old is None and not let_through:
        raise LoopError(
            f"the first network cannot drive: {'; '.join(verdict.reasons)}", hint="another chip, or another network"
        )
    met = road(loop, turn)
    trips: dict[int, Trip] = {}

    def drive(numbers: Sequence[int], version: Version) -> list[Drove]:
        drove = drive_all(loop, turn, [(version, met[n]) for n in numbers], "deploy")
        for n, one in zip(numbers, drove, strict=True):
            trips[n] = Trip(car=n // fleet.drives_per_car, version=version.number, scenario=met[n], drove=one)
        return drove

    rollout: Rollout | None = None
    drives = new
    if old is None:
        drive(range(fleet.drives), new)  # nothing to go back to
    elif not (let_through or force):
        drives = old
    else:
        before = [t for t in loop.outcome(turn - 1, "deploy", Deployed).trips if t.version == old.number]
        test = fleet.watch(sum(not t.drove.passed for t in before), len(before))
        rollout, _ = roll_out(fleet, test, lambda numbers: [not one.passed for one in drive(numbers, new)])
        if rollout.alarm is not None:
            drives = old
    drive([n for n in range(fleet.drives) if n not in trips], drives)
    return Deployed(
        version=drives,
        candidate=new.number,
        forced=force and not let_through,
        rollout=rollout,
        trips=tuple(trips[n] for n in sorted(trips)),
    )
