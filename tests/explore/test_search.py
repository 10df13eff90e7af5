"""A search: what it keeps, that it goes on after a kill, that workers may die, and what the bound may prune."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from chanzi.chip import load_chip
from chanzi.errors import ExploreError
from chanzi.explore import evaluate as ev
from chanzi.explore import full
from chanzi.explore.evaluate import evaluate, geometric_mean, measured
from chanzi.explore.finalists import finalists
from chanzi.explore.goals import Goals
from chanzi.explore.networks import Network, quantized, weights_of
from chanzi.explore.search import measure, search
from chanzi.explore.space import AXES, Space, narrowed
from chanzi.explore.store import open_storage
from chanzi.explore.workers import Here, Problem, Processes, Task
from chanzi.zoo import digits

pytest.importorskip("optuna")
GOALS = Goals(minimize=("energy", "area"), node_nm=14, max_area_mm2=20, max_power_w=2)
SMALL = narrowed(
    AXES, {"dim": "16:32", "cores": "1:3", "scratchpad_kib": "128:1024", "bank_kib": "8", "clock": "0.2:1"}
)


@pytest.fixture(scope="module")
def problem():
    data = digits.load_data()
    feeds = [{digits.INPUT: image[None]} for image in data.calibration[:4]]
    network = quantized("digits", 1.0, digits.model_path(), feeds)
    return Problem(networks=(network,), space=Space(node_nm=14, max_clock_hz=1e9, axes=SMALL), goals=GOALS)


@pytest.fixture(scope="module")
def network(problem):
    return Network.read(problem.networks[0])


def test_a_search_ends_with_a_front_that_holds_its_limits_and_compiles_to_what_was_said(problem, tmp_path):
    runner = Here(problem)
    told = []
    progress = search(
        problem, runner, trials=60, storage=str(tmp_path / "s.db"), report=lambda p, _: told.append(p.tried)
    )
    assert told[-1] == progress.tried == 60
    assert progress.best
    for trial in progress.front:
        assert all(v <= 0 for v in trial.outcome.violations)
        assert trial.outcome.area_mm2 <= 20
    found = finalists(problem, progress, runner, 3)
    assert 1 <= len(found) <= 3
    for f in found:
        assert f.compiled.path == "compiled"
        assert abs(f.errors["digits"]) < 0.02
        assert f.chip.core.code_instructions == f.compiled.code_instructions


def test_the_same_seed_tries_the_same_chips(problem, tmp_path):
    runs = [
        search(problem, Here(problem), trials=12, storage=str(tmp_path / f"{i}.db"), seed=3).trials for i in range(2)
    ]
    assert [t.point for t in runs[0]] == [t.point for t in runs[1]]


def test_a_search_goes_on_and_refuses_another_question(problem, tmp_path):
    storage = str(tmp_path / "s.db")
    first = search(problem, Here(problem), trials=10, storage=storage)
    second = search(problem, Here(problem), trials=15, storage=storage)
    assert second.resumed == 10
    assert [t.outcome for t in second.trials[:10]] == [t.outcome for t in first.trials]
    assert second.tried == 15
    other = replace(problem, goals=replace(GOALS, max_area_mm2=21))
    with pytest.raises(ExploreError, match="a search with other goals"):
        search(other, Here(problem), trials=20, storage=storage)


def test_damaged_and_impossible_storages_are_refused(problem, tmp_path):
    bad = tmp_path / "bad.db"
    bad.write_bytes(b"no database at all, certainly" * 50)
    with pytest.raises(ExploreError, match="cannot open the storage"):
        open_storage(str(bad))
    with pytest.raises(ExploreError, match=r"cannot open the storage|wants a package"):
        open_storage("nonsense://x")
    with pytest.raises(ExploreError, match="--trials is 0"):
        search(problem, Here(problem), trials=0, storage=str(tmp_path / "s.db"))


@pytest.mark.slow
def test_optunas_own_sqlite_tables_do_as_well(problem, tmp_path):
    url = f"sqlite:///{tmp_path / 'rdb.db'}"
    search(problem, Here(problem), trials=4, storage=url)
    assert search(problem, Here(problem), trials=6, storage=url).resumed == 4


_CHILD = """
import sys
from chanzi.cli.app import make_app
command = ["explore", "-m", "digits", "--max-area", "20mm2", "--trials", "100000", "--set", "dim=16:32"]
make_app()([*command, "-o", sys.argv[1]])
"""


def test_a_search_that_is_killed_loses_nothing_that_was_found(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(tmp_path)], stderr=subprocess.DEVNULL)
    path = tmp_path / "study.db"

    def told():
        try:
            with sqlite3.connect(path) as db:
                return [json.loads(r) for (r,) in db.execute("SELECT record FROM journal") if "outcome" in r]
        except sqlite3.OperationalError:
            return []

    try:
        while len(told()) < 8:
            assert child.poll() is None
            time.sleep(0.2)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    before = told()
    from chanzi.cli.app import make_app

    wanted = len(before) + 3
    command = ["explore", "-m", "digits", "--max-area", "20mm2", "--trials", str(wanted), "--set", "dim=16:32"]
    with pytest.raises(SystemExit) as ended:
        make_app()([*command, "-o", str(tmp_path), "--finalists", "1"])
    assert not ended.value.code
    after = told()
    assert after[: len(before)] == before
    assert len(after) == wanted
    assert (tmp_path / "finalist-1.toml").is_file()
    assert load_chip(str(tmp_path / "finalist-1.toml")).node_nm == 14
    assert "chanziLive(" in (tmp_path / "live.js").read_text("utf-8")


def test_processes_give_back_what_this_one_does_and_may_die(problem):
    here, there = Here(problem), Processes(problem, 2)
    point = {a.name: a.choices[0] if a.choices else a.low for a in SMALL}
    tasks = [Task(number=i, point={**point, "taps_per_lane": i + 1}) for i in range(8)]
    outcomes = {}
    try:
        waiting = list(tasks)
        killed = False
        while len(outcomes) < len(tasks):
            while waiting and there.room > 0:
                there.submit(waiting.pop())
            if not killed:
                killed = True
                os.kill(there.pids[0], signal.SIGKILL)
            task, outcome = there.next()
            outcomes[task.number] = outcome
    finally:
        there.close()
    for task in tasks:
        here.submit(task)
        assert here.next() == (task, outcomes[task.number])


def test_what_is_pruned_could_not_have_been_better(problem, network):
    free = replace(GOALS, max_area_mm2=None, max_power_w=None)
    for dim, cores, clock in ((16, 1, 0.3), (32, 2, 1.0), (32, 3, 0.5)):
        point = {a.name: a.choices[0] if a.choices else a.low for a in SMALL}
        chip = problem.space.chip({**point, "dim": dim, "cores": cores, "clock": clock, "scratchpad_kib": 512}, "x")
        outcome = evaluate(chip, [network], free)
        assert outcome.done
        core = chip.core
        quick = network.macs / (core.macs_per_cycle + core.lanes * core.taps_per_lane) / chip.clock_hz
        quickest, least = (
            ev.bounded(chip, [network], free, (), times) for times in ([quick], [ev.least_seconds(chip, network)])
        )
        assert not quickest.reason
        assert not least.reason
        for a, b, c in zip(quickest.values, least.values, outcome.values, strict=True):
            assert a <= b <= c
        better = tuple(0.99 * v for v in quickest.values)
        assert evaluate(chip, [network], free, front=[better]).reason == ev.BEATEN
        for limit in ({"max_area_mm2": 1.0}, {"max_power_w": 1e-6}, {"min_fps": 1e12}):
            found = evaluate(chip, [network], replace(free, **limit))
            assert found.reason
            assert max(found.violations) > 0
            assert not found.feasible


def test_maps_that_do_not_fit_are_pruned_or_compiled_for(problem, network):
    point = {a.name: a.choices[0] if a.choices else a.low for a in SMALL}
    chip = problem.space.chip({**point, "scratchpad_kib": 32}, "x")
    chip = replace(chip, core=replace(chip.core, scratchpad=replace(chip.core.scratchpad, bytes=2048, banks=4)))
    free = replace(GOALS, max_area_mm2=None)
    pruned = evaluate(chip, [network], free, spilled=False)
    assert "do not fit" in pruned.reason
    assert pruned.violations[-1] > 0


def test_compiled_runs_are_kept_by_what_decides_cycles(problem, network, monkeypatch, tmp_path):
    monkeypatch.setenv("CHANZI_CACHE", "1")
    monkeypatch.setenv("CHANZI_CACHE_DIR", str(tmp_path))
    point = {a.name: a.choices[0] if a.choices else a.low for a in SMALL}
    chip = problem.space.chip({**point, "scratchpad_kib": 512}, "x")
    first = measured(chip, [network], GOALS)
    monkeypatch.setattr(full, "compile_graph", None)  # a second compilation would fail
    again = measured(replace(chip, volt=0.8, name="y"), [network], GOALS)
    assert [r.cycles for r in again.results] == [r.cycles for r in first.results]
    assert again.results[0].joules > first.results[0].joules
    with pytest.raises(TypeError):
        measured(replace(chip, cores=2), [network], GOALS)


def test_measuring_keeps_the_order(problem, tmp_path):
    runner = Here(problem)
    progress = search(problem, runner, trials=10, storage=str(tmp_path / "s.db"))
    done = [t for t in progress.trials if t.outcome.done][:3]
    assert [t.number for t in measure(runner, done)] == [t.number for t in done]


def test_weights_are_shares():
    assert weights_of({"a": 1, "b": 3}) == {"a": 0.25, "b": 0.75}
    for given in ({}, {"a": 0}, {"a": -1}, {"a": float("inf")}):
        with pytest.raises(ExploreError):
            weights_of(given)
    assert geometric_mean([2, 8], [0.5, 0.5]) == pytest.approx(4)
