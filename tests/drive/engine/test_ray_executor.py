"""Under Ray the same comes out as without, though workers die and machines leave (own environment: extra ``[ray]``)."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import toy
from small_units import Add, Foreign

from chanzi.drive.engine.cycle import run
from chanzi.drive.engine.executor import SerialExecutor
from chanzi.drive.engine.loop import STAGES, open_loop, read_run
from chanzi.drive.engine.ray_executor import RayExecutor
from chanzi.drive.engine.store import Store
from chanzi.errors import LoopError, RunError

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own warnings are not ours


@pytest.fixture(scope="module")
def machines():
    """Three machines, each a group of processes on this one: a head that units at nothing, and two workers."""
    from ray.cluster_utils import Cluster as Machines

    # Its workers import the units from where the tests are.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    found = Machines(initialize_head=True, head_node_args={"num_cpus": 0})
    found.add_node(num_cpus=1)
    found.add_node(num_cpus=1)
    ray.init(address=found.address, log_to_driver=False, logging_level="ERROR")
    yield found
    ray.shutdown()
    found.shutdown()


def performed(executor, units):
    begun = []
    results = {r.index: int(r.made.values) for r in executor.perform(units, begun.append)}
    return [results[i] for i in range(len(units))], begun


def test_a_cluster_does_what_one_process_does(machines, tmp_path):
    store = Store(tmp_path)
    sha = store.put(b"100")
    units = [Add(n=n, reads=(sha,)) for n in range(8)]
    assert performed(RayExecutor(store), units)[0] == performed(SerialExecutor(store), units)[0]


def test_workers_that_die_or_hang_are_replaced(machines, tmp_path):
    executor = RayExecutor(Store(tmp_path / "store"))
    units = [
        Add(n=0, how="dies once", mark=str(tmp_path / "a")),
        Add(n=1),
        Add(n=2, how="hangs once", mark=str(tmp_path / "b")),
    ]
    found, begun = performed(executor, units)
    assert found == [0, 1, 2]
    assert sum(w.n == 0 for w in begun) >= 2
    assert sum(w.n == 2 for w in begun) >= 2
    with pytest.raises(LoopError, match="add 9 ended its worker 3 times"):
        performed(executor, [Add(n=9, how="dies")])
    with pytest.raises(RunError, match="nothing to add"):
        performed(executor, [Add(n=1, how="mistake")])


def test_a_machine_without_the_package_is_named_at_once(machines, tmp_path):
    with pytest.raises(LoopError, match=r"cannot perform units: .*No module named 'chanzi'"):
        performed(RayExecutor(Store(tmp_path)), [Foreign(n=1)])


def test_a_machine_that_leaves_in_the_middle_loses_nothing(machines, tmp_path):
    """The whole cycle of the small world, with a machine gone half way: the same journal as on one machine."""
    with open_loop(tmp_path / "alone", toy.toy, settings=toy.SETTINGS) as loop:
        run(loop, 1)
    leaving = machines.add_node(num_cpus=1)
    done = 0

    def tell(progress):
        nonlocal done, leaving
        done += 1
        if done == 40 and leaving is not None:
            machines.remove_node(leaving, allow_graceful=False)
            leaving = None

    def make(store, _folder):
        return RayExecutor(store)

    with open_loop(tmp_path / "ray", toy.toy, settings=toy.SETTINGS, make_executor=make, tell=tell) as loop:
        run(loop, 1)
    assert leaving is None
    records = []
    for name in ("alone", "ray"):
        _, journal = read_run(tmp_path / name)
        units = {e.unit: journal.done(e.unit) for e in journal.entries()}
        records.append((units, {(t, s): journal.conclusion(t, s) for t in range(2) for s in STAGES}))
        assert journal.audit() == []
        journal.close()
    assert records[0] == records[1]
