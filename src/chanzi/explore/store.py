"""Where trials are kept: any Optuna storage, or a journal in one SQLite file, which is the default.

Optuna's own SQLite tables take dozens of statements a trial, most of a search's time; the journal takes one row. Both
lose nothing that was told when the process is killed.
"""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chanzi.errors import ExploreError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_TIMEOUT_S = 60.0


def open_storage(where: str) -> "BaseStorage":
    """Return the storage of a URL that Optuna knows (``sqlite:///a.db``, ``postgresql://…``) or of a file's path.

    Raises
    ------
    ExploreError
        It cannot be opened.
    """
    from optuna.storages import JournalStorage, get_storage

    try:
        if "://" in where:
            return get_storage(where)
        return JournalStorage(_journal(Path(where)))
    except ImportError as error:
        raise ExploreError(f"the storage {where} wants a package: {error}", hint="pip install its driver") from error
    except Exception as error:  # a storage's driver may raise anything
        raise ExploreError(
            f"cannot open the storage {where}: {error}", hint="--storage FILE, or an Optuna URL"
        ) from error


def _journal(path: Path) -> Any:
    """Return the journal in a SQLite file, made if need be."""
    from optuna.storages.journal import BaseJournalBackend

    class SqliteJournal(BaseJournalBackend):
        """One row a record. Written ahead, so that a killed process loses nothing it had written."""

        def __init__(self) -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            # used under the storage's lock only, by whichever thread holds it
            self.connection = sqlite3.connect(path, timeout=_TIMEOUT_S, check_same_thread=False)
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA synchronous=NORMAL")
            with self.connection:
                self.connection.execute(
                    "CREATE TABLE IF NOT EXISTS journal (number INTEGER PRIMARY KEY, record TEXT NOT NULL)"
                )

        def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
            query = "SELECT record FROM journal WHERE number > ? ORDER BY number"
            return [json.loads(record) for (record,) in self.connection.execute(query, (log_number_from,))]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            rows = [(json.dumps(log, separators=(",", ":")),) for log in logs]
            with self.connection:
                self.connection.executemany("INSERT INTO journal (record) VALUES (?)", rows)

    return SqliteJournal()
