"""Stage `train`: a candidate, from the deployed network on, with what was kept now and before; or one from outside."""

import random
from pathlib import Path

from chanzi.drive.engine import versions
from chanzi.drive.engine.interface import CHECKPOINT, NETWORK, Trained
from chanzi.drive.engine.loop import Loop
from chanzi.drive.engine.outcomes import Candidate
from chanzi.drive.engine.scenario import Purpose, seed_of
from chanzi.drive.engine.stages.label import shards
from chanzi.errors import LoopError


def lesson(loop: Loop, turn: int) -> tuple[str, ...]:
    """Return the shards that a turn trains on: its own, and earlier ones drawn until there are frames enough."""
    own = shards(loop, turn)
    earlier = [shard for t in range(turn) for shard in shards(loop, t)]
    random.Random(seed_of(Purpose.LEARN, loop.settings.seed, turn, 1)).shuffle(earlier)
    left = loop.settings.train.frames - sum(shard.frames for shard in own)
    replayed = []
    for shard in earlier:
        if shard.frames <= left:
            replayed.append(shard)
            left -= shard.frames
    return tuple(shard.sha256 for shard in (*replayed, *own))


def train(loop: Loop, turn: int) -> Candidate:
    """Train this turn's candidate."""
    parent = versions.deployed(loop, turn)
    if parent is not None and parent.checkpoint is None:
        parent = None
    wanted = loop.settings.train
    unit = loop.make.train(
        lesson(loop, turn),
        None if parent is None else parent.checkpoint,
        wanted.first_epochs if parent is None else wanted.epochs,
        seed_of(Purpose.LEARN, loop.settings.seed, turn, 0),
    )
    (done,) = loop.run([unit], turn, "train")
    trained = done.as_(Trained)
    return Candidate(
        checkpoint=done.files[CHECKPOINT],
        network=done.files[NETWORK],
        parent=None if parent is None else parent.number,
        adopted=False,
        frames=trained.frames,
        loss_before=trained.loss_before,
        loss_after=trained.loss_after,
    )


def adopt(loop: Loop, turn: int, path: Path) -> Candidate:
    """Take a network file as this turn's candidate instead of training one.

    Raises
    ------
    LoopError
        The file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LoopError(f"cannot read {path}: {error.strerror}", hint="check the path") from None
    name = loop.store.put(data)
    (done,) = loop.run([loop.make.adopt(name)], turn, "train")
    trained = done.as_(Trained)
    return Candidate(
        checkpoint=done.files.get(CHECKPOINT),
        network=done.files[NETWORK],
        parent=None,
        adopted=True,
        frames=trained.frames,
        loss_before=trained.loss_before,
        loss_after=trained.loss_after,
    )
