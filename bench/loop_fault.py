"""A bad network against the engine's two guards: the gate, and, forced past it, the rollout.

    python bench/loop_fault.py FOLDER          a run that is over (see bench/loop.py); a copy of it is used

The bad network is the deployed one with its steering mirrored: its path's sideways coordinate has the other sign. It
sees as well as ever, its training loss could be anything, and it drives into the grass.
"""

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import helper

from chanzi.drive.engine.acceptance import Verdict
from chanzi.drive.engine.car.units import make_units
from chanzi.drive.engine.cycle import perform, step
from chanzi.drive.engine.executor import ProcessExecutor
from chanzi.drive.engine.fleet import Rollout
from chanzi.drive.engine.loop import Loop, open_loop
from chanzi.drive.engine.outcomes import Deployed, Gated
from chanzi.drive.network.spec import LEFT


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What became of it."""

    verdict: Verdict
    rollout: Rollout
    before: int
    after: int
    cars: int


def mirrored(network: bytes) -> bytes:
    """Return the network with the sideways coordinate of its path negated."""
    model = onnx.load_model_from_string(network)
    graph = model.graph
    for node in graph.node:
        node.output[:] = [f"{name}_true" if name == LEFT else name for name in node.output]
    graph.node.append(helper.make_node("Neg", [f"{LEFT}_true"], [LEFT], name="mirror"))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def to_stage(loop: Loop, stage: str) -> None:
    """Go on until that stage is due."""
    while loop.due()[1] != stage:
        step(loop)


def fault(folder: Path) -> Fault:
    """Let a bad network take part in one more turn of a copy of a run, forced past the gate."""
    copy = folder.parent / f"{folder.name}-fault"
    if not copy.exists():
        shutil.copytree(folder, copy)
    with open_loop(copy, make_units, make_executor=lambda _, where: ProcessExecutor(2, where)) as loop:
        turn = int(loop.journal.setting("fault") or loop.due()[0])
        loop.journal.set("fault", str(turn))
        before = loop.outcome(turn - 1, "deploy", Deployed).version
        bad = folder.parent / "mirrored.onnx"
        bad.write_bytes(mirrored(loop.store.get(before.network)))
        if loop.journal.conclusion(turn, "train") is None:
            to_stage(loop, "train")
            perform(loop, "train", network=bad)
        if loop.journal.conclusion(turn, "deploy") is None:
            to_stage(loop, "deploy")
            perform(loop, "deploy", force=True)
        deployed = loop.outcome(turn, "deploy", Deployed)
        assert deployed.rollout is not None
        return Fault(
            verdict=loop.outcome(turn, "gate", Gated).verdict,
            rollout=deployed.rollout,
            before=before.number,
            after=deployed.version.number,
            cars=loop.settings.fleet.cars,
        )


def words(found: Fault) -> str:
    """Return what became of it, in words."""
    suite, last = found.verdict.suite, found.rollout.waves[-1]
    gate = "let it through" if found.verdict.deploy else "refused it"
    end = (
        "was not stopped"
        if found.rollout.alarm is None
        else f"raised its alarm after {found.rollout.alarm} drives, when {last.cars} of {found.cars} cars had it"
    )
    return (
        f"The gate {gate}: on the suite it gained {suite.gained} scenarios and lost {suite.lost} of {suite.total}"
        f" (p = {found.verdict.not_worse_p:.3g} for not worse, {found.verdict.better_p:.3g} for better)."
        f" Forced past it, the rollout {end}: {last.failures} of {last.drives} drives had failed,"
        f" where {found.rollout.usual_rate:.0%} was usual. The fleet had v{found.before} before and has v{found.after}"
        " after."
    )


def main() -> None:
    """Try it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(words(fault(parser.parse_args().folder)))


if __name__ == "__main__":
    main()
