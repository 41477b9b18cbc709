"""The agent's one file on disk: events that the server does not have yet, and small records (sqlite3).

`synchronous=FULL`: what is committed survives a power cut. A damaged file is put aside, whenever that is found, and a
new one begun with what can still be read of the old one, said once: an agent that watches a hot printer must go on.
Nothing is written while nothing happens (SD cards wear out).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

_log = logging.getLogger(__name__)

FILE_NAME = "agent.db"

FULL_BYTES = 256 * 1024
"""Less is free: the database's own files beside it (32 kB and more) do not fit."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    frame TEXT NOT NULL,
    lane INTEGER NOT NULL DEFAULT 0,
    terminal INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


_LATER_COLUMNS = ("lane", "terminal")
"""Of `events`, which a file of the first days does not have."""

_SALVAGED = {"events": "id, frame, lane, terminal", "records": "key, value"}

_MALFORMED = ("malformed", "not a database")
"""SQLite's words for a file that is damaged beyond doubt; `disk I/O error` in use may be a disk that is full."""

DAMAGED_KEPT = 3
"""Damaged files that are kept for whoever wants to look into them; the oldest go."""

_SALVAGE_LIMIT = 5000
"""Rows of a table that are taken out of a damaged file; the outbox has 2,000 at most."""


class Database:
    """A connection shared by the agent's threads, one at a time; also the Store of ports.py.

    Raises OSError where the folder cannot be used or the disk is full, so that callers need not know sqlite3.
    """

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / FILE_NAME
        # Guards the connection; held for one transaction, thus for milliseconds.
        self._lock = threading.RLock()
        self._depth = 0
        self._connection: sqlite3.Connection | None = None
        self.damage: str | None = None
        """What became of a damaged file, in a sentence; None if there was none."""
        self.commits = 0
        """Transactions since the start: each one wears the SD card."""
        try:
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            if _disk_is_full(folder, error):
                # Before anything is called damaged: a sound file cannot be opened for writing then either.
                self._connection = self._in_memory()
                return
            if isinstance(error, sqlite3.OperationalError) and not _damaged(error):
                raise OSError(f"cannot use {self.path}: {error}") from None
            self._connection = self._begin_anew(error)

    def _begin_anew(self, error: Exception) -> sqlite3.Connection:
        aside = self._put_aside(error)
        connection = self._open()
        saved = _salvage(aside, connection)
        self.damage = (
            f"its file was damaged ({error}); the damaged one is kept as {aside.name}, and a new one has been begun"
            + (f" with {saved} of its entries" if saved else "")
        )
        _log.error("the agent's database: %s", self.damage)
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=5.0, check_same_thread=False, isolation_level=None)
        try:
            self.path.chmod(0o600)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA cache_size=-200")  # kB; the data are a few rows
            _prepare(connection)
            (verdict,) = connection.execute("PRAGMA quick_check").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection

    def _in_memory(self) -> sqlite3.Connection:
        """For a start on a full disk: what the file holds, as far as it can be read without writing. The file stays as
        it is; what is delivered out of the copy is delivered again after the next start, and the server knows it."""
        _log.error("the disk is full: print events are kept in memory only; free some space, then restart the agent")
        connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        with contextlib.suppress(sqlite3.Error):
            uri = f"file:{quote(str(self.path))}?mode=ro&immutable=1"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as kept:
                kept.backup(connection)
        _prepare(connection)
        return connection

    def _put_aside(self, error: Exception) -> Path:
        _log.debug("putting %s aside: %s", self.path, error)
        aside = f"{self.path}.damaged-{int(time.time())}"
        for suffix in ("", "-wal", "-shm"):
            damaged = Path(f"{self.path}{suffix}")
            if damaged.exists():
                damaged.replace(f"{aside}{suffix}")
        for old in sorted(self.path.parent.glob(f"{FILE_NAME}.damaged-*[0-9]"))[:-DAMAGED_KEPT]:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{old}{suffix}").unlink(missing_ok=True)
        return Path(aside)

    def _mend(self, error: sqlite3.Error) -> None:
        """A file that turns out to be damaged in use: a new one, so that what comes next is kept again."""
        if not any(word in str(error) for word in _MALFORMED) or self._connection is None:
            return
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        try:
            self._connection = self._begin_anew(error)
        except (sqlite3.Error, OSError) as worse:
            self._connection = self._in_memory()
            _log.error("no new database could be begun either: %s", worse)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; may be nested. Raises OSError if it cannot be committed."""
        with self._lock:
            connection = self._connection
            if connection is None:
                raise OSError("the agent's database is closed")
            if self._depth:
                yield connection
                return
            try:
                connection.execute("BEGIN IMMEDIATE")
                self._depth = 1
                yield connection
                connection.execute("COMMIT")
                self.commits += 1
            except sqlite3.Error as error:
                self._roll_back(connection)
                self._mend(error)
                raise OSError(f"cannot write {self.path}: {error}") from error
            except BaseException:
                self._roll_back(connection)
                raise
            finally:
                self._depth = 0

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def read(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a query; none, and a line in the log, if the database cannot be read."""
        with self._lock:
            if self._connection is None:
                return []
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                _log.error("cannot read %s: %s", self.path, error)
                self._mend(error)
                return []

    def load(self, key: str) -> Mapping[str, Any] | None:
        for (text,) in self.read("SELECT value FROM records WHERE key = ?", (key,)):
            try:
                value = json.loads(text)
            except ValueError:
                return None
            return value if isinstance(value, dict) else None
        return None

    def save(self, key: str, value: Mapping[str, Any]) -> None:
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO records (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, json.dumps(value, separators=(",", ":"))),
            )

    def remove(self, key: str) -> None:
        with self.transaction() as connection:
            connection.execute("DELETE FROM records WHERE key = ?", (key,))

    def start_over(self) -> None:
        """Forgets everything: it was another printer's. Raises OSError."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM events")
            connection.execute("DELETE FROM records")

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _prepare(connection: sqlite3.Connection) -> None:
    connection.executescript(_SCHEMA)
    known = {row[1] for row in connection.execute("PRAGMA table_info(events)")}
    for column in _LATER_COLUMNS:
        if column not in known:
            connection.execute(f"ALTER TABLE events ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")


def _salvage(damaged: Path, into: sqlite3.Connection) -> int:
    """How many rows could be read of it; whatever is wrong with the rest of the file."""
    found = 0
    for table, columns in _SALVAGED.items():
        places = ", ".join("?" for _ in columns.split(","))
        uri = f"file:{quote(str(damaged))}?mode=ro"
        with (
            contextlib.suppress(sqlite3.Error, ValueError, TypeError),
            contextlib.closing(sqlite3.connect(uri, uri=True)) as old,
        ):
            # The names are ours, from above.
            rows = old.execute(f"SELECT {columns} FROM {table} ORDER BY rowid LIMIT {_SALVAGE_LIMIT}")  # noqa: S608
            for row in rows:
                json.loads(row[1])  # what was damaged without SQLite's noticing
                into.execute(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})", row)  # noqa: S608
                found += 1
    return found


def _damaged(error: sqlite3.Error) -> bool:
    return any(word in str(error) for word in (*_MALFORMED, "disk I/O"))


def _disk_is_full(folder: str, error: sqlite3.DatabaseError) -> bool:
    if "disk is full" in str(error):
        return True
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize < FULL_BYTES
