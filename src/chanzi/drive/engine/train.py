"""Stage `train`: a candidate, from the deployed network on and on all that was ever kept; or one from outside."""

from pathlib import Path

from chanzi.drive.engine import versions
from chanzi.drive.engine.label import shards
from chanzi.drive.engine.loop import Loop
from chanzi.drive.engine.orders import CHECKPOINT, NETWORK, Trained
from chanzi.drive.engine.said import Candidate
from chanzi.drive.engine.scenario import Purpose, seed_of
from chanzi.errors import LoopError


def train(loop: Loop, turn: int) -> Candidate:
    """Train this turn's candidate."""
    parent = versions.deployed(loop, turn)
    wanted = loop.settings.train
    work = loop.parts.train(
        shards(loop, turn),
        None if parent is None else parent.checkpoint,
        wanted.first_epochs if parent is None else wanted.epochs,
        seed_of(Purpose.LEARN, loop.settings.seed, turn, 0),
    )
    (done,) = loop.run([work], turn, "train")
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
    (done,) = loop.run([loop.parts.adopt(name)], turn, "train")
    trained = done.as_(Trained)
    return Candidate(
        checkpoint=done.files[CHECKPOINT],
        network=done.files[NETWORK],
        parent=None,
        adopted=True,
        frames=trained.frames,
        loss_before=trained.loss_before,
        loss_after=trained.loss_after,
    )
