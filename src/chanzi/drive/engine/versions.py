"""Which version drives, and what each was made of: read off the conclusions of the stages."""

from chanzi.drive.engine.interface import Driver
from chanzi.drive.engine.loop import Loop
from chanzi.drive.engine.outcomes import Candidate, Deployed, Integer, Programmed, Version


def candidate(loop: Loop, turn: int) -> Version:
    """Return the version that a turn made, deployed or not."""
    made = loop.outcome(turn, "train", Candidate)
    programmed = loop.outcome(turn, "compile", Programmed)
    return Version(
        number=turn,
        checkpoint=made.checkpoint,
        network=made.network,
        int8=loop.outcome(turn, "quantize", Integer).int8,
        program=programmed.program,
        latency_s=programmed.compiled.latency_s,
    )


def deployed(loop: Loop, turn: int) -> Version | None:
    """Return the version that the fleet has when a turn begins, or None before the first."""
    return loop.outcome(turn - 1, "deploy", Deployed).version if turn > 0 else None


def shadow(loop: Loop, turn: int) -> Version | None:
    """Return the version in the shadow of the one that drives in a turn.

    The last candidate where it was refused or rolled back; else the version that was deployed before.
    """
    driving = deployed(loop, turn)
    for before in range(turn - 1, -1, -1):
        for version in (candidate(loop, before), loop.outcome(before, "deploy", Deployed).version):
            if driving is not None and version.number != driving.number:
                return version
    return None


def driver(loop: Loop, version: Version) -> Driver:
    """Return a version as it drives."""
    return Driver(
        network=loop.make.executed(version.network, version.int8, version.program),
        backend=loop.settings.backend,
        latency_s=version.latency_s,
    )
