"""Workers that die, hang or fail cost time and nothing else; both executors give the same."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from small_units import Add

from chanzi.drive.engine.executor import ProcessExecutor, SerialExecutor
from chanzi.drive.engine.store import Store
from chanzi.errors import LoopError, RunError


@pytest.fixture(scope="module")
def executor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    found = ProcessExecutor(2, folder)
    yield found
    found.close()


def performed(executor, units):
    begun = []
    results = {r.index: int(r.made.values) for r in executor.perform(units, begun.append)}
    assert sorted(results) == list(range(len(units)))
    return [results[i] for i in range(len(units))], begun


def test_processes_do_what_one_process_does(executor, tmp_path):
    store = Store(executor._folder)
    sha = store.put(b"100")
    units = [Add(n=n, reads=(sha,)) for n in range(10)]
    assert performed(executor, units)[0] == performed(SerialExecutor(store), units)[0] == list(range(100, 110))


def test_a_worker_that_dies_is_replaced_and_its_unit_done_again(executor, tmp_path):
    units = [
        Add(n=n, how="dies once" if n == 2 else "well", mark=str(tmp_path / "m") if n == 2 else "") for n in range(5)
    ]
    found, begun = performed(executor, units)
    assert found == list(range(5))
    assert sorted(w.n for w in begun) == [0, 1, 2, 2, 3, 4]


def test_a_worker_that_is_killed_from_outside_loses_nothing(executor, tmp_path):
    units = [Add(n=n, how="hangs once", mark=str(tmp_path / str(n))) for n in range(2)]
    results = []
    iterator = executor.perform(units, lambda _: None)
    import threading

    def kill_all():
        while not all((tmp_path / str(n)).exists() for n in range(2)):
            time.sleep(0.05)
        for pid in executor.pids:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_all)
    killer.start()
    results = sorted(int(r.made.values) for r in iterator)
    killer.join()
    assert results == [0, 1]


def test_a_worker_that_hangs_is_given_up(executor, tmp_path):
    found, begun = performed(executor, [Add(n=7, how="hangs once", mark=str(tmp_path / "m"))])
    assert found == [7]
    assert len(begun) == 2


def test_a_unit_that_ends_every_worker_is_named(executor):
    with pytest.raises(LoopError, match="add 5 ended its worker 3 times"):
        performed(executor, [Add(n=5, how="dies")])
    assert performed(executor, [Add(n=1)])[0] == [1]


def test_mistakes_come_back_as_they_are_and_bugs_with_their_place(executor):
    with pytest.raises(RunError, match="nothing to add") as found:
        performed(executor, [Add(n=1, how="mistake")])
    assert found.value.hint == "give it something"
    with pytest.raises(RuntimeError, match=r"(?s)add 1 failed.*small_units\.py.*KeyError"):
        performed(executor, [Add(n=1, how="bug")])
    assert performed(executor, [Add(n=1)])[0] == [1]


def test_no_workers_are_no_crew(tmp_path):
    with pytest.raises(LoopError, match="0 workers"):
        ProcessExecutor(0, tmp_path)
