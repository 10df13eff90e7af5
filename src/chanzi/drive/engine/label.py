"""Stage `label`: frames that were kept, with what the simulator knew at those moments, as shards to train on."""

from chanzi.drive.engine.loop import Loop
from chanzi.drive.engine.orders import SHARD, Labelled
from chanzi.drive.engine.said import Collected, Shards


def label(loop: Loop, turn: int) -> Shards:
    """Make a shard of each drive that something is kept of."""
    clips = loop.said(turn, "collect", Collected).clips
    works = [loop.parts.label(clip.recording, clip.truth, clip.frames) for clip in clips]
    done = loop.run(works, turn, "label")
    return Shards(shards=tuple(one.files[SHARD] for one in done), frames=sum(one.as_(Labelled).frames for one in done))


def shards(loop: Loop, turn: int) -> tuple[str, ...]:
    """Return the shards of all turns up to one, oldest first."""
    return tuple(shard for t in range(turn + 1) for shard in loop.said(t, "label", Shards).shards)
