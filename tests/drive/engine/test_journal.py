"""The journal and the store: every unit once, whole or not at all, whatever comes between."""

import os
import sqlite3
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

sys.path.insert(0, str(Path(__file__).parent))
from small_units import Add

from chanzi.drive.engine.journal import Journal
from chanzi.drive.engine.store import Store
from chanzi.drive.engine.unit import Made, canonical, sha256
from chanzi.errors import LoopError


def open_journal(folder: Path) -> tuple[Journal, Store]:
    store = Store(folder / "artefacts")
    journal = Journal(folder / "journal.sqlite", store)
    journal.open_session("test")
    return journal, store


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


class JournalMachine(RuleBasedStateMachine):
    """Begins, commits, reopens and dies in random order beside a plain dictionary of what must be there."""

    @initialize()
    def start(self):
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.journal, self.store = open_journal(Path(self.folder.name))
        self.model: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.concluded: dict[tuple[int, str], bytes] = {}
        self.dropped: set[str] = set()
        self.attempts: dict[str, int] = {}

    def made_by(self, n):
        unit = Add(n=n)
        return unit, unit.perform(self.store.get)

    @rule(n=st.integers(0, 8))
    def begin(self, n):
        unit, _ = self.made_by(n)
        self.journal.begin(unit, 0, "collect")
        self.attempts[unit.id] = self.attempts.get(unit.id, 0) + 1

    @rule(n=st.integers(0, 8))
    def commit(self, n):
        unit, made = self.made_by(n)
        done = self.journal.commit(unit, made, 0, "collect", 1.0)
        self.model[unit.id] = (made.values, {name: sha256(data) for name, data in made.files})
        self.dropped -= set() if done is None else {sha for sha in done.files.values() if sha in self.store}

    @rule(n=st.integers(0, 8))
    def commit_something_else(self, n):
        unit, _ = self.made_by(n)
        other = Made(values=canonical(-1))
        if unit.id in self.model:
            with pytest.raises(LoopError, match="another result"):
                self.journal.commit(unit, other, 0, "collect", 1.0)

    @rule(n=st.integers(0, 8))
    def die_after_the_artefact_and_before_the_commit(self, n):
        _, made = self.made_by(n)
        for _, data in made.files:
            self.store.put(data)
        self.reopen()

    @rule()
    def reopen(self):
        self.journal.close()
        self.journal, self.store = open_journal(Path(self.folder.name))
        self.store.sweep(self.journal.artefacts())

    @rule(n=st.integers(0, 8))
    def drop(self, n):
        unit, _ = self.made_by(n)
        if unit.id in self.model:
            shas = self.model[unit.id][1].values()
            self.journal.drop(shas)
            self.dropped |= {*shas}

    @rule(turn=st.integers(0, 2), said=st.sampled_from([b"1", b"2"]))
    def conclude(self, turn, said):
        if self.concluded.get((turn, "mine"), said) == said:
            self.journal.conclude(turn, "mine", said)
            self.concluded[turn, "mine"] = said
        else:
            with pytest.raises(LoopError, match="another end"):
                self.journal.conclude(turn, "mine", said)

    @invariant()
    def everything_is_there_once(self):
        if not hasattr(self, "model"):
            return
        entries = self.journal.entries()
        assert sorted(e.unit for e in entries) == sorted(self.model)
        for name, (values, files) in self.model.items():
            done = self.journal.done(name)
            assert (done.values, done.files) == (values, files)
            assert self.journal.attempts(name) == self.attempts.get(name, 0)
        for key, said in self.concluded.items():
            assert self.journal.conclusion(*key) == said
        assert self.journal.audit() == []
        assert all(sha in self.store for sha in self.journal.artefacts())

    def teardown(self):
        if hasattr(self, "journal"):
            self.journal.close()
            self.folder.cleanup()


JournalMachine.TestCase.settings = __import__("hypothesis").settings(max_examples=25, stateful_step_count=20)
TestJournal = JournalMachine.TestCase


@given(st.integers(), st.text(max_size=5), st.integers(), st.text(max_size=5))
def test_a_unit_is_named_by_all_that_it_is(n, how, m, other):
    assert (Add(n=n, how=how).id == Add(n=m, how=other).id) == ((n, how) == (m, other))


def test_a_write_that_is_cut_off_leaves_nothing(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def die(*_):
        raise Killed

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(Killed):
        store.put(b"half")
    monkeypatch.undo()
    assert list(store) == []
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / ".part-x").write_bytes(b"left by SIGKILL")
    assert list(store) == []
    assert store.sweep(frozenset()) > 0
    assert store.get(store.put(b"whole")) == b"whole"


def test_an_artefact_that_was_changed_is_refused(tmp_path):
    journal, store = open_journal(tmp_path)
    unit = Add(n=1)
    done = journal.commit(unit, unit.perform(store.get), 0, "collect", 1.0)
    (sha,) = done.files.values()
    store.path(sha).write_bytes(b"2")
    with pytest.raises(LoopError, match="damaged"):
        store.get(sha)
    assert len(journal.audit()) == 1
    store.path(sha).unlink()
    with pytest.raises(LoopError, match="is not in"):
        store.get(sha)
    assert len(journal.audit()) == 1
    journal.close()


def test_what_is_given_up_under_one_name_is_kept_where_it_has_another(tmp_path):
    """A shard of every frame of a drive may be, byte for byte, what the drive recorded."""
    journal, store = open_journal(tmp_path)
    recording = Made(values=canonical(1), files=(("recording", b"same"), ("signals", b"other")))
    shard = Made(values=canonical(2), files=(("shard", b"same"),))
    given = journal.commit(Add(n=1), recording, 0, "collect", 1.0).files.values()
    journal.commit(Add(n=2), shard, 0, "label", 1.0)
    journal.drop(given)
    assert store.get(sha256(b"same")) == b"same"
    assert sha256(b"other") not in store
    assert journal.audit() == []
    journal.close()


def test_provenance_goes_back_to_the_beginning_and_shares_what_is_shared(tmp_path):
    journal, store = open_journal(tmp_path)
    shas: list[str] = []
    for n in range(30):  # each reads the two before it: a tree would have a million leaves
        unit = Add(n=n, reads=tuple(shas[-2:]))
        shas.append(journal.commit(unit, unit.perform(store.get), n, "train", 1.0).files["sum"])
    found = journal.provenance(shas[-1])
    assert found.entry.turn == 29
    met, look = set(), [found]
    while look:
        one = look.pop()
        if id(one) not in met:
            met.add(id(one))
            look += one.inputs
    assert len(met) == 30
    assert journal.provenance("0" * 64) is None
    journal.close()


def test_what_is_no_journal_is_refused_in_one_line(tmp_path):
    (tmp_path / "journal.sqlite").write_bytes(b"not a database at all, but long enough to be taken for one" * 20)
    with pytest.raises(LoopError, match="cannot use"):
        open_journal(tmp_path)


def test_a_journal_of_another_version_is_refused(tmp_path):
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.execute("CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    db.execute("INSERT INTO run VALUES ('format', 'chanzi loop 0')")
    db.commit()
    db.close()
    with pytest.raises(LoopError, match="another version"):
        open_journal(tmp_path)


def test_a_reader_looks_on_while_a_writer_writes_and_cannot_write(tmp_path):
    journal, store = open_journal(tmp_path)
    reader = Journal(tmp_path / "journal.sqlite", store, readonly=True)
    unit = Add(n=3)
    journal.begin(unit, 1, "gate")
    assert reader.open_units() == [(1, "gate", unit.id)]
    journal.commit(unit, unit.perform(store.get), 1, "gate", 2.0)
    assert reader.open_units() == []
    assert reader.stage_cpu_s() == {(1, "gate"): 2.0}
    with pytest.raises(LoopError, match="reading only"):
        reader.begin(unit, 1, "gate")
    reader.close()
    journal.close()
