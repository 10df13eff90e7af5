"""Stage `label`: frames that were kept, with what the simulator knew at those moments, as shards to train on."""

from chanzi.drive.engine.interface import SHARD, Labelled
from chanzi.drive.engine.loop import Loop
from chanzi.drive.engine.outcomes import Collected, Shard, Shards


def label(loop: Loop, turn: int) -> Shards:
    """Make a shard of each drive that something is kept of."""
    clips = loop.outcome(turn, "collect", Collected).clips
    units = [loop.make.label(clip.recording, clip.frames) for clip in clips]
    done = loop.run(units, turn, "label")
    return Shards(
        shards=tuple(
            Shard(sha256=one.files[SHARD], frames=one.as_(Labelled).frames) for one in done if SHARD in one.files
        )
    )


def shards(loop: Loop, turn: int) -> tuple[Shard, ...]:
    """Return the shards of a turn."""
    return loop.outcome(turn, "label", Shards).shards
