"""Reads users, printers and prints out of a public Obico server's SQLite database (Django's tables).

Which columns there are is looked up, not assumed: versions differ. The file is opened for reading only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from reference_server.services.imports import Foreign, ImportFailed

USERS, PRINTERS, PRINTS = "app_user", "app_printer", "app_print"


def read_public_server(path: Path) -> Foreign:
    """Raises ImportFailed."""
    if not path.is_file():
        raise ImportFailed(f"{path} is no file")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            tables = {row["name"] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            missing = [table for table in (USERS, PRINTERS) if table not in tables]
            if missing:
                raise ImportFailed(f"{path} is no database of an Obico server: it has no table {missing[0]}")
            prints = list(_rows(database, PRINTS)) if PRINTS in tables else []
            return Foreign(list(_rows(database, USERS)), list(_rows(database, PRINTERS)), prints)
    except sqlite3.Error as error:
        raise ImportFailed(f"{path} cannot be read as a database: {error}") from None


def _rows(database: sqlite3.Connection, table: str) -> Iterator[Mapping[str, Any]]:
    """What is not deleted, by id; every column that there is."""
    columns = {row["name"] for row in database.execute(f"PRAGMA table_info({table})")}
    alive = " AND ".join(f"{column} IS NULL" for column in ("deleted", "deleted_at") if column in columns)
    where = f" WHERE {alive}" if alive else ""
    for row in database.execute(f"SELECT * FROM {table}{where} ORDER BY id"):  # noqa: S608 - our own names
        yield dict(row)
