"""One SQLite file, many readers, one writer (settled decision 7).

WAL lets readers go on while somebody writes; `synchronous=FULL` means that a commit survives a power cut, so whatever
the server acknowledges after its commit is there for good. Writers queue at one lock of ours rather than at SQLite's
busy timeout: first come, first served, and no "database is locked" in the middle of the night.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from reference_server.services.errors import StoreFailed
from reference_server.services.secrets import RandomBytes, system_random
from reference_server.store.fleet.print_repositories import rebuild_prints
from reference_server.store.fleet.repositories import complete
from reference_server.store.repositories import SqlTransaction

BUSY_TIMEOUT_MS = 10_000
"""How long to wait for a foreign process that writes (a backup, a person with the sqlite3 program)."""


def make_engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", pool_size=8, max_overflow=32, pool_timeout=30)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, record: Any) -> None:  # noqa: ARG001
        # SQLAlchemy says BEGIN itself (below): the driver's own idea of it comes too late for reads.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA journal_size_limit=16777216")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


class Database:
    """The store (services.ports.Store). `sequence` counts commits: a record read later is never older."""

    def __init__(self, engine: Engine, random: RandomBytes = system_random) -> None:
        self._engine, self._random = engine, random
        self._writer = engine.execution_options(writes=True)
        self._lock = threading.Lock()  # held from BEGIN IMMEDIATE to COMMIT: one writer at a time
        self._sequence = 0

    @contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        # Taken before the snapshot: a record may be newer than it says, never older.
        sequence = self._sequence
        try:
            with Session(self._engine, expire_on_commit=False) as session:
                yield SqlTransaction(session, sequence, self._random)
        except SQLAlchemyError as error:
            raise StoreFailed(f"the database cannot be read: {_reason(error)}") from error

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        with self._lock:
            try:
                with Session(self._writer, expire_on_commit=False) as session:
                    yield SqlTransaction(session, self._sequence + 1, self._random)
                    session.commit()
            except SQLAlchemyError as error:
                raise StoreFailed(
                    f"the database did not take the change: {_reason(error)}; is its disk full or read-only?"
                ) from error
            self._sequence += 1

    def complete(self) -> None:
        """At the start: rows that came another way get what belongs to them."""
        with self._lock, Session(self._writer) as session:
            complete(session, self._random)
            session.commit()

    def rebuild_figures(self) -> int:
        """How many rows of the farm's figures were wrong or missing."""
        with self._lock, Session(self._writer) as session:
            changed = rebuild_prints(session)
            session.commit()
            return changed

    def check(self) -> None:
        """Raises StoreFailed when the database cannot be read."""
        with self.read() as transaction:
            transaction.users.count()

    def close(self) -> None:
        self._engine.dispose()


def _reason(error: SQLAlchemyError) -> str:
    """The driver's own words: SQLAlchemy's would repeat the statement with its values, secrets included."""
    origin = getattr(error, "orig", None)
    return str(origin) if origin is not None else type(error).__name__
