"""Under Ray the same comes out as without, though workers die and machines leave (own environment: extra ``[ray]``)."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import toy
from small_work import Add

from chanzi.drive.engine.cluster import Cluster
from chanzi.drive.engine.crew import Alone
from chanzi.drive.engine.cycle import run
from chanzi.drive.engine.loop import STAGES, open_loop, read_run
from chanzi.drive.engine.store import Store
from chanzi.errors import LoopError, RunError

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own warnings are not ours


@pytest.fixture(scope="module")
def machines():
    """Three machines, each a group of processes on this one: a head that works at nothing, and two workers."""
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


def performed(crew, works):
    begun = []
    results = {r.index: int(r.made.values) for r in crew.perform(works, begun.append)}
    return [results[i] for i in range(len(works))], begun


def test_a_cluster_does_what_one_process_does(machines, tmp_path):
    store = Store(tmp_path)
    sha = store.put(b"100")
    works = [Add(n=n, reads=(sha,)) for n in range(8)]
    assert performed(Cluster(store), works)[0] == performed(Alone(store), works)[0]


def test_workers_that_die_or_hang_are_replaced(machines, tmp_path):
    crew = Cluster(Store(tmp_path / "store"))
    works = [
        Add(n=0, how="dies once", mark=str(tmp_path / "a")),
        Add(n=1),
        Add(n=2, how="hangs once", mark=str(tmp_path / "b")),
    ]
    found, begun = performed(crew, works)
    assert found == [0, 1, 2]
    assert sum(w.n == 0 for w in begun) >= 2
    assert sum(w.n == 2 for w in begun) >= 2
    with pytest.raises(LoopError, match="add 9 ended its worker 3 times"):
        performed(crew, [Add(n=9, how="dies")])
    with pytest.raises(RunError, match="nothing to add"):
        performed(crew, [Add(n=1, how="mistake")])


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

    def crew(store, _folder):
        return Cluster(store)

    with open_loop(tmp_path / "ray", toy.toy, settings=toy.SETTINGS, make_crew=crew, tell=tell) as loop:
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
