"""The whole cycle on a small world: it improves, refuses what is bad, and survives being killed at every stage."""

import dataclasses
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import toy

from chanzi.drive.engine import outcomes
from chanzi.drive.engine.cycle import perform, run, step
from chanzi.drive.engine.loop import STAGES, open_loop, read_run
from chanzi.drive.engine.unit import canonical
from chanzi.errors import LoopError

TURNS = 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    with open_loop(folder, toy.toy, settings=toy.SETTINGS) as loop:
        run(loop, TURNS)
    return folder


def record(folder):
    """Return all that a run came to: units with what they made, conclusions, artefacts that are kept."""
    _, journal = read_run(folder)
    units = {e.unit: (e.kind, e.turn, e.stage, journal.done(e.unit)) for e in journal.entries()}
    ends = {(t, s): journal.conclusion(t, s) for t in range(TURNS + 1) for s in STAGES}
    kept = journal.artefacts()
    wrong = journal.audit()
    journal.close()
    assert wrong == []
    return units, ends, kept


def of(folder, turn, stage, kind):
    _, journal = read_run(folder)
    found = msgspec.json.decode(journal.conclusion(turn, stage), type=kind)
    journal.close()
    return found


def test_turns_improve_the_network_and_fix_what_was_mined(whole):
    first = of(whole, 0, "gate", outcomes.Gated)
    last = of(whole, TURNS, "deploy", outcomes.Deployed).version.number
    assert last > 0
    assert sum(of(whole, last, "gate", outcomes.Gated).suite.passed) > sum(first.suite.passed)
    assert of(whole, last, "gate", outcomes.Gated).fixed


def test_failures_come_again_exactly(whole):
    for turn in range(TURNS + 1):
        mined = of(whole, turn, "mine", outcomes.Mined)
        assert mined.exact == mined.replayed == min(len(mined.failures), toy.SETTINGS.replays)
        assert mined.drives == toy.SETTINGS.fleet.drives


def test_nothing_is_trained_on_what_judges_it(whole):
    _, journal = read_run(whole)
    orders = [(e.stage, msgspec.json.decode(e.definition)["order"]) for e in journal.entries() if e.kind == "drive"]
    journal.close()
    learnt = {o["scenario"]["seed"] for stage, o in orders if stage == "collect"}
    suite = {s.seed for s in _suite()}
    assert not learnt & suite
    assert suite <= {o["scenario"]["seed"] for stage, o in orders if stage == "gate"}


def _suite():
    from chanzi.drive.engine.stages.gate import suite

    return suite(type("L", (), {"settings": toy.SETTINGS})())


def test_provenance_of_a_version_names_data_parent_and_code(whole):
    version = of(whole, TURNS, "deploy", outcomes.Deployed).version
    _, journal = read_run(whole)
    found = journal.provenance(version.int8)
    journal.close()
    kinds, look = set(), [found]
    while look:
        one = look.pop()
        kinds.add(one.entry.kind)
        assert one.entry.code
        look += one.inputs
    assert kinds == {"quantize", "train", "label", "drive"}


def test_the_old_networks_drives_are_not_made_twice(whole):
    """The deployed network's suite is in the journal from its own gate."""
    _, journal = read_run(whole)
    seen = [msgspec.json.decode(e.definition)["order"] for e in journal.entries() if e.kind == "drive"]
    journal.close()
    alone = [(canonical(o["scenario"]), canonical(o["driver"]), o["again"]) for o in seen if o["mix"] is None]
    assert len(alone) == len({*alone})


def start(folder, workers, pause_s=0.0, hold=()):
    script = Path(__file__).parent / "toy.py"
    command = [sys.executable, str(script), str(folder), str(TURNS), str(workers), *map(str, hold)]
    environment = os.environ | {"CHANZI_TOY_PAUSE": str(pause_s)}
    # Its words go to a file: a pipe would have to be read, and closed again.
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def words(folder):
    return (folder.parent / f"{folder.name}.log").read_text()


def wait_for(folder, turn, stage, process):
    """Return when a unit of that stage is under way."""
    until = time.monotonic() + 240
    while time.monotonic() < until:
        assert process.poll() is None, words(folder)
        if (folder / "journal.sqlite").is_file():
            try:
                _, journal = read_run(folder)
            except (LoopError, sqlite3.Error):  # it is being made
                continue
            under_way = any((t, s) == (turn, stage) for t, s, _ in journal.open_units())
            journal.close()
            if under_way:
                time.sleep(0.1)  # well into it
                return
        time.sleep(0.02)
    raise AssertionError(f"turn {turn} never came to {stage}")


def check_like(folder, whole, killed):
    """Hold a run that was killed against one that was not: bit for bit, no work lost but that under way."""
    assert record(folder) == record(whole)
    _, journal = read_run(folder)
    again = [e for e in journal.entries() if e.attempts > 1]
    sessions = len(journal.sessions())
    assert journal.begun_after_done() == 0
    journal.close()
    assert sessions == killed + 1
    # Of each kill, at most what every worker had in its hands was begun again.
    assert sum(e.attempts - 1 for e in again) <= killed * 2
    assert all(e.attempts >= 1 for e in again)


def test_killed_at_every_stage_in_turn_nothing_is_lost_or_done_twice(whole, tmp_path):
    """SIGKILL with a unit of each stage half done, one stage after the other, in one run."""
    kills = 0
    for stage in STAGES:
        process = start(tmp_path, workers=0, hold=(1, stage))
        wait_for(tmp_path, 1, stage, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    process = start(tmp_path, workers=0)
    assert process.wait() == 0, words(tmp_path)
    check_like(tmp_path, whole, kills)


def test_killed_with_workers_at_it_they_end_too_and_the_run_goes_on(whole, tmp_path):
    process = start(tmp_path, workers=2, pause_s=0.2)
    wait_for(tmp_path, 0, "gate", process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
    process.send_signal(signal.SIGKILL)
    process.wait()
    process = start(tmp_path, workers=2)
    assert process.wait() == 0, words(tmp_path)
    check_like(tmp_path, whole, 1)
    assert not any(_runs(pid) for pid in workers)


def _runs(pid):
    try:
        return "toy.py" in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def bad_network(path, kind):
    """Write a network that drives badly."""
    if kind == "mirrored":  # steers to the wrong side
        w = toy.unpack(path.read_bytes())["w"]
        return toy.pack(w=-w)
    return toy.pack(w=np.zeros(toy.FEATURES + 7))  # does not steer at all


def to_stage(loop, turn, stage):
    while loop.due() != (turn, stage):
        step(loop)


@pytest.mark.parametrize("kind", ["mirrored", "asleep"])
def test_a_bad_network_is_stopped_by_the_gate_and_if_forced_by_the_rollout(tmp_path, whole, kind):
    shutil.copytree(whole, tmp_path / "run")
    bad_turn = TURNS + 1
    with open_loop(tmp_path / "run", toy.toy, settings=toy.SETTINGS) as loop:
        good = loop.outcome(TURNS, "deploy", outcomes.Deployed).version
        bad = tmp_path / "bad.npz"
        bad.write_bytes(bad_network(loop.store.path(good.network), kind))
        to_stage(loop, bad_turn, "train")
        perform(loop, "train", network=bad)
        to_stage(loop, bad_turn, "deploy")
        verdict = loop.outcome(bad_turn, "gate", outcomes.Gated).verdict
        assert not verdict.deploy
        assert verdict.suite.lost > verdict.suite.gained
        perform(loop, "deploy", force=True)
        deployed = loop.outcome(bad_turn, "deploy", outcomes.Deployed)
        assert deployed.forced
        assert deployed.rollout.alarm is not None
        assert deployed.rollout.waves[-1].cars < toy.SETTINGS.fleet.cars
        assert deployed.version == good
        # The cars that it had not reached drove with the old version, and all drives were driven.
        assert {t.version for t in deployed.trips} == {good.number, bad_turn}
        assert len(deployed.trips) == toy.SETTINGS.fleet.drives
        to_stage(loop, bad_turn + 1, "quantize")
        candidate = loop.outcome(bad_turn + 1, "train", outcomes.Candidate)
        assert candidate.parent == good.number  # training goes on from what drives, not from what was thrown out


def test_a_refused_network_is_not_deployed_and_the_old_one_is_mined(tmp_path):
    with open_loop(tmp_path / "run", toy.toy, settings=toy.SETTINGS) as loop:
        run(loop, 0)
        bad = tmp_path / "bad.npz"
        bad.write_bytes(bad_network(tmp_path, "asleep"))
        to_stage(loop, 1, "train")
        perform(loop, "train", network=bad)
        run(loop, 1)
        deployed = loop.outcome(1, "deploy", outcomes.Deployed)
        assert deployed.version.number == 0
        assert deployed.rollout is None
        assert {t.version for t in deployed.trips} == {0}


def test_the_wrong_stage_another_run_and_a_second_worker_are_refused(tmp_path, whole):
    with open_loop(tmp_path, toy.toy, settings=toy.SETTINGS) as loop:
        with pytest.raises(LoopError, match="at 'collect', not at 'gate'"):
            perform(loop, "gate")
        with pytest.raises(LoopError, match="no stage 'gait'"):
            perform(loop, "gait")
        with pytest.raises(LoopError, match="another process"), open_loop(tmp_path, toy.toy):
            pass
    other = dataclasses.replace(toy.SETTINGS, seed=5)
    with pytest.raises(LoopError, match="other settings: seed"), open_loop(tmp_path, toy.toy, settings=other):
        pass
    with pytest.raises(LoopError, match="holds no run"), open_loop(tmp_path / "none", toy.toy):
        pass
    with pytest.raises(LoopError, match="holds no run"):
        read_run(tmp_path / "none")
