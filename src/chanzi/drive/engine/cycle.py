"""The cycle: the stages in order, turn after turn, from wherever a run stands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from chanzi.drive.engine.loop import STAGES, Loop
from chanzi.drive.engine.stages.collect import collect
from chanzi.drive.engine.stages.compile import compile_network
from chanzi.drive.engine.stages.deploy import deploy
from chanzi.drive.engine.stages.gate import decide
from chanzi.drive.engine.stages.label import label
from chanzi.drive.engine.stages.mine import mine
from chanzi.drive.engine.stages.quantize import quantize
from chanzi.drive.engine.stages.train import adopt, train
from chanzi.errors import LoopError, did_you_mean

_PERFORM: dict[str, Callable[[Loop, int], Any]] = {
    "collect": collect,
    "label": label,
    "train": train,
    "quantize": quantize,
    "compile": compile_network,
    "gate": decide,
    "deploy": deploy,
    "mine": mine,
}


def step(loop: Loop) -> tuple[int, str]:
    """Perform the stage that is due; return its turn and name."""
    turn, stage = loop.due()
    loop.conclude(turn, stage, _PERFORM[stage](loop, turn))
    return turn, stage


def perform(loop: Loop, stage: str, *, network: Path | None = None, force: bool = False) -> int:
    """Perform a stage by name, if it is the one that is due; return its turn.

    Parameters
    ----------
    loop : Loop
    stage : str
    network : Path, optional
        With 'train': a network to take as the candidate instead of training one.
    force : bool
        With 'deploy': roll the candidate out though the gate refused it.

    Raises
    ------
    LoopError
        No such stage, or another one is due.
    """
    if stage not in STAGES:
        raise LoopError(f"no stage '{stage}'", hint=did_you_mean(stage, STAGES))
    turn, due = loop.due()
    if stage != due:
        raise LoopError(f"turn {turn} is at '{due}', not at '{stage}'", hint=f"`chanzi loop {due}` first")
    if network is not None:
        loop.conclude(turn, stage, adopt(loop, turn, network))
    elif force:
        loop.conclude(turn, stage, deploy(loop, turn, force=True))
    else:
        step(loop)
    return turn


def run(loop: Loop, turns: int, tell: Callable[[int, str], None] = lambda _turn, _stage: None) -> None:
    """Go on until the first network has been followed by so many turns; `tell` hears of each stage that begins."""
    if turns < 0:
        raise LoopError(f"{turns} turns", hint="0 makes the first network; 4 turns follow it with four more")
    while (at := loop.due())[0] <= turns:
        tell(*at)
        step(loop)
