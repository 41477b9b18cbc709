"""The agent's one file on disk: print events not yet acknowledged, and small records (sqlite3).

`synchronous=FULL`: what is committed survives a power cut. A damaged file is put aside and a new one begun, said once:
an agent that watches a hot printer must start. Nothing is written while nothing happens (SD cards wear out).
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
    frame TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


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
            self._put_aside(error)
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=5.0, check_same_thread=False, isolation_level=None)
        try:
            self.path.chmod(0o600)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA cache_size=-200")  # kB; the data are a few rows
            connection.executescript(_SCHEMA)
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
        connection.executescript(_SCHEMA)
        return connection

    def _put_aside(self, error: Exception) -> None:
        aside = f"{self.path}.damaged-{int(time.time())}"
        for suffix in ("", "-wal", "-shm"):
            damaged = Path(f"{self.path}{suffix}")
            if damaged.exists():
                damaged.replace(f"{aside}{suffix}")
        _log.error("the agent's database was damaged (%s); it is kept as %s and a new one is begun", error, aside)

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
            except sqlite3.Error as error:
                self._roll_back(connection)
                raise OSError(f"cannot write {self.path}: {error}") from error
            except BaseException:
                self._roll_back(connection)
                raise
            finally:
                self._depth = 0

    def _roll_back(self, connection: sqlite3.Connection) -> None:
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

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _damaged(error: sqlite3.OperationalError) -> bool:
    return any(word in str(error) for word in ("malformed", "not a database", "disk I/O"))


def _disk_is_full(folder: str, error: sqlite3.DatabaseError) -> bool:
    if "disk is full" in str(error):
        return True
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize < FULL_BYTES
