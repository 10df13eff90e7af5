"""Stage `mine`: what went wrong on the road becomes scenarios, and is shown to come again exactly."""

from chanzi.drive.engine import versions
from chanzi.drive.engine.interface import RECORDING, SIGNALS, DriveOrder, Drove
from chanzi.drive.engine.loop import Loop
from chanzi.drive.engine.outcomes import Deployed, Failure, Mined
from chanzi.drive.engine.scenario import Purpose, seed_of
from chanzi.drive.statistics import sample


def mine(loop: Loop, turn: int) -> Mined:
    """Collect the failures of the fleet's drives, and drive some of them a second time."""
    deployed = loop.outcome(turn, "deploy", Deployed)
    trips = [trip for trip in deployed.trips if not trip.drove.passed]
    failures = tuple(
        Failure(
            scenario=trip.scenario,
            version=trip.version,
            ended=trip.drove.ended,
            circumstances=trip.drove.circumstances,
            time_s=trip.drove.time_s,
        )
        for trip in trips
    )
    picks = sample(loop.settings.replays, len(trips), seed_of(Purpose.ROAD, loop.settings.seed, turn, 0))
    known = {deployed.version.number: deployed.version, turn: versions.candidate(loop, turn)}
    units = [
        loop.make.drive(
            DriveOrder(scenario=trips[pick].scenario, driver=versions.driver(loop, known[trips[pick].version]), again=1)
        )
        for pick in picks
    ]
    again = [done.as_(Drove) for done in loop.run(units, turn, "mine")]
    exact = sum(one.digest == trips[pick].drove.digest for one, pick in zip(again, picks, strict=True))
    if not loop.settings.keep_recordings:
        # What was kept of the drives is in the shards; the rest of what they recorded has served.
        recorded = loop.journal.files(turn, "collect")
        loop.journal.drop(sha for name, sha in recorded if name in (RECORDING, SIGNALS))
    return Mined(failures=failures, drives=len(deployed.trips), replayed=len(again), exact=exact)
