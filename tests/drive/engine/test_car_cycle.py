"""A run with simulated cars, killed half way at every stage in turn: bit for bit what comes of an undisturbed run."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("highway_env")
pytest.importorskip("torch")

from chanzi.drive.engine.loop import STAGES, read_run
from chanzi.errors import LoopError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]
SCRIPT = Path(__file__).parent / "car_run.py"


def start(folder, cache, workers=0):
    environment = os.environ | {
        "CHANZI_CACHE_DIR": str(cache),
        "SDL_VIDEODRIVER": "dummy",
        # The one-process run must add up as the workers do.
        "OMP_NUM_THREADS": "1",
    }
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), str(workers)], env=environment, stdout=log, stderr=log
        )


def wait_for(folder, stage, process):
    while process.poll() is None:
        try:
            _, journal = read_run(folder)
        except (LoopError, sqlite3.Error):
            time.sleep(0.1)
            continue
        at_it = any((t, s) == (1, stage) for t, s, _ in journal.open_units())
        over = journal.conclusion(1, stage) is not None
        journal.close()
        assert not over, f"{stage} was over between two looks"
        if at_it:
            time.sleep(0.3 if stage != "label" else 0.0)
            return
        time.sleep(0.02)
    raise AssertionError((folder.parent / f"{folder.name}.log").read_text())


def record(folder):
    _, journal = read_run(folder)
    units = {e.unit: (e.kind, e.turn, e.stage, journal.done(e.unit)) for e in journal.entries()}
    ends = {(t, s): journal.conclusion(t, s) for t in range(2) for s in STAGES}
    wrong, again = journal.audit(), journal.begun_after_done()
    journal.close()
    assert wrong == []
    assert again == 0
    return units, ends


def test_killed_at_every_stage_the_car_learns_the_same(tmp_path):
    whole = tmp_path / "whole"
    assert start(whole, tmp_path / "cache1", workers=2).wait() == 0
    killed = tmp_path / "killed"
    for stage in STAGES:
        process = start(killed, tmp_path / "cache2")
        wait_for(killed, stage, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(killed, tmp_path / "cache2").wait() == 0
    assert record(killed) == record(whole)
