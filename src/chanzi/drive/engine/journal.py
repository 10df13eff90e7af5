"""What has been done in a run, in one SQLite file: every unit once, with who made it and from what.

A unit is begun (an attempt is noted), performed, its artefacts are stored, and then one transaction says that it is
done. Killed before that transaction the unit was never done, and is performed again; killed after it, never again.
"""

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chanzi.drive.engine.store import Store
from chanzi.drive.engine.unit import Done, Made, Unit, canonical
from chanzi.errors import LoopError

_FORMAT = "chanzi loop 1"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS session (id INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT NOT NULL, begun REAL NOT NULL);
CREATE TABLE IF NOT EXISTS attempt (
  id INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL, unit TEXT NOT NULL, turn INTEGER NOT NULL,
  stage TEXT NOT NULL, begun REAL NOT NULL);
CREATE TABLE IF NOT EXISTS unit (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, turn INTEGER NOT NULL, stage TEXT NOT NULL,
  work TEXT NOT NULL, made TEXT NOT NULL, session INTEGER NOT NULL, cpu_s REAL NOT NULL, done REAL NOT NULL);
CREATE TABLE IF NOT EXISTS file (
  unit TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (unit, name));
CREATE TABLE IF NOT EXISTS input (unit TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (unit, sha256));
CREATE TABLE IF NOT EXISTS dropped (sha256 TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS conclusion (
  turn INTEGER NOT NULL, stage TEXT NOT NULL, said TEXT NOT NULL, done REAL NOT NULL, PRIMARY KEY (turn, stage));
CREATE INDEX IF NOT EXISTS file_sha ON file (sha256);
CREATE INDEX IF NOT EXISTS attempt_unit ON attempt (unit);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A unit that is done, as a table of them shows it."""

    unit: str
    kind: str
    name: str
    turn: int
    stage: str
    definition: bytes
    cpu_s: float
    attempts: int
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where an artefact comes from: the unit that made it, and the artefacts that it was made from, in turn."""

    sha256: str
    file: str
    entry: Entry
    inputs: tuple["Provenance", ...]


class Journal:
    """The journal of a run. One process writes; any number may read.

    Parameters
    ----------
    path : Path
        Of the SQLite file.
    store : Store
    readonly : bool
        Only look: the file must be there, nothing is changed, and another process may be writing.

    Raises
    ------
    LoopError
        It cannot be opened, or is no journal.
    """

    def __init__(self, path: Path, store: Store, *, readonly: bool = False) -> None:
        self._store = store
        self._session: int | None = None
        mode = "ro" if readonly else "rwc"
        try:
            self._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None)
            if not readonly:
                self._db.execute("PRAGMA journal_mode=WAL")
                # A unit that is said to be done is done after a loss of power, too.
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.executescript(_SCHEMA)
                self._db.execute("INSERT OR IGNORE INTO run VALUES ('format', ?)", (_FORMAT,))
            found = self.setting("format")
        except sqlite3.Error as error:
            raise LoopError(f"cannot use {path}: {error}", hint="is it the folder of a run?") from None
        if found != _FORMAT:
            raise LoopError(f"{path} is of another version: '{found}'", hint="begin a new run")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def open_session(self, code: str) -> None:
        """Note that a process has begun to write, and with which code."""
        cursor = self._db.execute("INSERT INTO session (code, begun) VALUES (?, ?)", (code, time.time()))
        self._session = cursor.lastrowid

    def setting(self, key: str) -> str | None:
        """Return what was set for the whole run."""
        row = self._db.execute("SELECT value FROM run WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set(self, key: str, value: str) -> None:
        """Set something for the whole run, once; the same again is no mistake.

        Raises
        ------
        LoopError
            It was set to something else.
        """
        self._db.execute("INSERT OR IGNORE INTO run VALUES (?, ?)", (key, value))
        if (found := self.setting(key)) != value:
            raise LoopError(f"the run's {key} is '{found}', not '{value}'", hint="begin another run in another folder")

    # --- units

    def begin(self, unit: Unit, turn: int, stage: str) -> None:
        """Note an attempt at a unit."""
        row = (self._writer(), unit.id, turn, stage, time.time())
        self._db.execute("INSERT INTO attempt (session, unit, turn, stage, begun) VALUES (?, ?, ?, ?, ?)", row)

    def commit(self, unit: Unit, made: Made, turn: int, stage: str, cpu_s: float) -> Done:
        """Store what a unit made and note that it is done, in one transaction; a unit done before stays as it was.

        Raises
        ------
        LoopError
            It was done before, and made something else.
        """
        session = self._writer()
        files = {name: (self._store.put(data), len(data)) for name, data in made.files}
        known = self.done(unit.id)
        if known is not None:
            if known.values != made.values or known.files != {name: sha for name, (sha, _) in files.items()}:
                raise LoopError(
                    f"{unit.kind} {unit.name} gave another result than before",
                    hint="it does not depend on its fields alone; this is a bug",
                )
            return known
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            row = (unit.id, unit.kind, unit.name, turn, stage, canonical(unit).decode(), made.values.decode())
            self._db.execute(
                "INSERT INTO unit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, session, cpu_s, time.time())
            )
            self._db.executemany(
                "INSERT INTO file VALUES (?, ?, ?, ?)",
                [(unit.id, name, sha, size) for name, (sha, size) in files.items()],
            )
            # What was dropped once and has been made again is there again.
            self._db.executemany("DELETE FROM dropped WHERE sha256 = ?", [(sha,) for sha, _ in files.values()])
            self._db.executemany(
                "INSERT INTO input VALUES (?, ?)", [(unit.id, sha) for sha in sorted({*unit.inputs()})]
            )
        return Done(unit=unit.id, values=made.values, files={name: sha for name, (sha, _) in files.items()})

    def done(self, unit: str) -> Done | None:
        """Return what a unit made, or None where it is not done."""
        row = self._db.execute("SELECT made FROM unit WHERE id = ?", (unit,)).fetchone()
        if row is None:
            return None
        files = self._db.execute("SELECT name, sha256 FROM file WHERE unit = ? ORDER BY name", (unit,)).fetchall()
        return Done(unit=unit, values=str(row[0]).encode(), files=dict(files))

    def attempts(self, unit: str) -> int:
        """Return how often a unit was begun."""
        return int(self._db.execute("SELECT count(*) FROM attempt WHERE unit = ?", (unit,)).fetchone()[0])

    def begun_after_done(self) -> int:
        """Return how many attempts were made at units that were done already: none, unless something is wrong."""
        row = self._db.execute("SELECT count(*) FROM attempt JOIN unit ON unit.id = attempt.unit WHERE begun > done")
        return int(row.fetchone()[0])

    def entries(self, *, turn: int | None = None, stage: str | None = None) -> list[Entry]:
        """Return the units that are done, in the order in which they were."""
        where = [("unit.turn = ?", turn)] if turn is not None else []
        where += [("unit.stage = ?", stage)] if stage is not None else []
        clause = f"WHERE {' AND '.join(text for text, _ in where)}" if where else ""
        rows = self._db.execute(
            "SELECT unit.id, kind, name, turn, stage, work, cpu_s,"
            " (SELECT count(*) FROM attempt WHERE attempt.unit = unit.id), session.code"
            f" FROM unit JOIN session ON session.id = unit.session {clause} ORDER BY unit.rowid",
            [value for _, value in where],
        ).fetchall()
        return [
            Entry(
                unit=row[0], kind=row[1], name=row[2], turn=row[3], stage=row[4], definition=str(row[5]).encode(),
                cpu_s=row[6], attempts=row[7], code=row[8],
            )
            for row in rows
        ]  # fmt: skip

    def open_units(self) -> list[tuple[int, str, str]]:
        """Return (turn, stage, unit) of what was begun and is not done: under way, or cut off."""
        rows = self._db.execute(
            "SELECT turn, stage, unit FROM attempt WHERE unit NOT IN (SELECT id FROM unit) GROUP BY unit ORDER BY id"
        ).fetchall()
        return [(int(turn), str(stage), str(unit)) for turn, stage, unit in rows]

    # --- stages

    def conclude(self, turn: int, stage: str, outcome: bytes) -> None:
        """Note that a stage of a turn is over, and what came of it; the same again is no mistake.

        Raises
        ------
        LoopError
            Something else came of it before.
        """
        row = (turn, stage, outcome.decode(), time.time())
        self._db.execute("INSERT OR IGNORE INTO conclusion VALUES (?, ?, ?, ?)", row)
        if self.conclusion(turn, stage) != outcome:
            raise LoopError(f"stage {stage} of turn {turn} came to another end before", hint="this is a bug")

    def conclusion(self, turn: int, stage: str) -> bytes | None:
        """Return what came of a stage of a turn, or None where it is not over."""
        row = self._db.execute("SELECT said FROM conclusion WHERE turn = ? AND stage = ?", (turn, stage)).fetchone()
        return None if row is None else str(row[0]).encode()

    def stage_cpu_s(self) -> dict[tuple[int, str], float]:
        """Return what each stage took: processor seconds of its units, added up over the workers."""
        rows = self._db.execute("SELECT turn, stage, sum(cpu_s) FROM unit GROUP BY turn, stage").fetchall()
        return {(int(turn), str(stage)): float(s) for turn, stage, s in rows}

    def sessions(self) -> list[str]:
        """Return the code of each process that has written, in order."""
        return [str(row[0]) for row in self._db.execute("SELECT code FROM session ORDER BY id").fetchall()]

    # --- artefacts

    def drop(self, names: Iterable[str]) -> None:
        """Give artefacts up on purpose: noted first, deleted then, so that nobody takes it for a loss.

        Bytes that also came to be under another name (a shard of a whole recording may equal it) are kept.
        """
        rows = self._db.execute("SELECT sha256 FROM file GROUP BY sha256 HAVING count(DISTINCT name) > 1").fetchall()
        wanted = sorted({*names} - {str(row[0]) for row in rows})
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR IGNORE INTO dropped VALUES (?)", [(name,) for name in wanted])
        for name in wanted:
            self._store.drop(name)

    def files(self, turn: int, stage: str) -> list[tuple[str, str]]:
        """Return name and sha256 of all that the units of a stage made."""
        rows = self._db.execute(
            "SELECT file.name, sha256 FROM file JOIN unit ON unit.id = file.unit WHERE turn = ? AND stage = ?"
            " ORDER BY unit.rowid, file.name",
            (turn, stage),
        ).fetchall()
        return [(str(name), str(sha)) for name, sha in rows]

    def dropped(self) -> frozenset[str]:
        """Return the artefacts that were given up."""
        return frozenset(str(row[0]) for row in self._db.execute("SELECT sha256 FROM dropped").fetchall())

    def artefacts(self) -> frozenset[str]:
        """Return every artefact that should be in the store."""
        names = {str(row[0]) for row in self._db.execute("SELECT DISTINCT sha256 FROM file").fetchall()}
        return frozenset(names - self.dropped())

    def audit(self) -> list[str]:
        """Return what is wrong with the run's folder, a line each: artefacts that are lost or damaged."""
        wrong = []
        for name in sorted(self.artefacts()):
            try:
                self._store.get(name)
            except LoopError as error:
                wrong.append(str(error))
        return wrong

    def provenance(self, name: str) -> Provenance | None:
        """Return how an artefact came to be, back to those that were made from nothing; None if no unit made it.

        Where several units made the same bytes, the first is told. An artefact that is met twice is one object.
        """
        entries = {one.unit: one for one in self.entries()}
        known: dict[str, Provenance | None] = {}

        def trace(sha: str) -> Provenance | None:
            if sha not in known:
                row = self._db.execute(
                    "SELECT file.unit, file.name FROM file JOIN unit ON unit.id = file.unit WHERE sha256 = ?"
                    " ORDER BY unit.rowid LIMIT 1",
                    (sha,),
                ).fetchone()
                if row is None:
                    known[sha] = None
                else:
                    unit, file = str(row[0]), str(row[1])
                    rows = self._db.execute("SELECT sha256 FROM input WHERE unit = ? ORDER BY sha256", (unit,))
                    found = [trace(str(one[0])) for one in rows.fetchall()]
                    inputs = tuple(p for p in found if p is not None)
                    known[sha] = Provenance(sha256=sha, file=file, entry=entries[unit], inputs=inputs)
            return known[sha]

        return trace(name)

    def _writer(self) -> int:
        if self._session is None:
            raise LoopError("the journal is open for reading only", hint="open a session first; this is a bug")
        return self._session
