"""Stage `gate`: the candidate drives the suite, the last turn's road and the mined failures, and is judged."""

from chanzi.drive.engine import acceptance, versions
from chanzi.drive.engine.interface import DriveOrder, Drove
from chanzi.drive.engine.loop import Loop
from chanzi.drive.engine.outcomes import Deployed, Failure, Gated, Mined, Programmed, Quality, Version
from chanzi.drive.engine.scenario import Purpose, Scenario, scenarios, seed_of
from chanzi.drive.statistics import sample


def suite(loop: Loop) -> tuple[Scenario, ...]:
    """Return the suite: the same in every turn."""
    settings = loop.settings
    return scenarios(
        Purpose.SUITE,
        worlds=settings.worlds,
        weathers=settings.weathers,
        seconds=settings.seconds,
        run_seed=settings.seed,
        turn=0,
        count=settings.suite,
    )


def failures(loop: Loop, turn: int) -> tuple[Failure, ...]:
    """Return the mined failures that a turn's candidate is asked: all of the last turn, a sample of those before."""
    last = loop.outcome(turn - 1, "mine", Mined).failures
    before = [f for t in range(turn - 1) for f in loop.outcome(t, "mine", Mined).failures]
    picks = sample(loop.settings.backlog, len(before), seed_of(Purpose.SUITE, loop.settings.seed, turn, 0))
    return (*last, *(before[pick] for pick in picks))


def drive_all(loop: Loop, turn: int, wanted: list[tuple[Version, Scenario]], stage: str = "gate") -> list[Drove]:
    """Let versions drive scenarios, on their own."""
    units = [
        loop.make.drive(DriveOrder(scenario=scenario, driver=versions.driver(loop, version)))
        for version, scenario in wanted
    ]
    return [done.as_(Drove) for done in loop.run(units, turn, stage)]


def decide(loop: Loop, turn: int) -> Gated:
    """Judge this turn's candidate."""
    new = versions.candidate(loop, turn)
    old = versions.deployed(loop, turn)
    broken = loop.outcome(turn, "compile", Programmed).compiled.broken
    fixed_suite = suite(loop)
    if old is None:
        drove = drive_all(loop, turn, [(new, scenario) for scenario in fixed_suite])
        return Gated(
            candidate=turn,
            deployed=None,
            verdict=acceptance.first(broken),
            suite=quality(drove),
            asked=0,
            answered=0,
            fixed=(),
            broken=(),
        )
    # The road is what the deployed version drove in the last turn: those drives are in the journal already.
    trips = [t for t in loop.outcome(turn - 1, "deploy", Deployed).trips if t.version == old.number]
    mined = failures(loop, turn)
    asked = [*fixed_suite, *(trip.scenario for trip in trips), *(failure.scenario for failure in mined)]
    drove = drive_all(loop, turn, [(version, scenario) for scenario in asked for version in (new, old)])
    by_new, by_old = drove[0::2], drove[1::2]
    ends = (len(fixed_suite), len(fixed_suite) + len(trips))

    def passes(first: int, last: int | None) -> tuple[list[bool], list[bool]]:
        return [d.passed for d in by_new[first:last]], [d.passed for d in by_old[first:last]]

    verdict = acceptance.judge(
        loop.settings.gate,
        suite=passes(0, ends[0]),
        road=passes(*ends),
        mined=passes(ends[1], None),
        broken=broken,
    )
    changed = list(zip(by_new[ends[1] :], by_old[ends[1] :], mined, strict=True))
    last = len(loop.outcome(turn - 1, "mine", Mined).failures)
    answers = [n.passed for n, o, _ in changed[:last] if not o.passed]
    return Gated(
        candidate=turn,
        deployed=old.number,
        verdict=verdict,
        suite=quality(by_new[: ends[0]]),
        asked=len(answers),
        answered=sum(answers),
        fixed=tuple(f.circumstances for n, o, f in changed if n.passed and not o.passed),
        broken=tuple(f.circumstances for n, o, f in changed if o.passed and not n.passed),
    )


def quality(drove: list[Drove]) -> Quality:
    """Return how a version did on the suite."""
    return Quality(passed=tuple(d.passed for d in drove), progress=tuple(d.progress for d in drove))
