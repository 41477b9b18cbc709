"""Brings the database to this program's shape at start-up, and refuses one that is newer than the program.

Alembic is imported only when there is something to do: it costs a quarter of a second and several megabytes.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DatabaseError

HEAD = "0009"
"""The newest migration; a test holds it against the folder."""

MIGRATIONS = Path(__file__).parent / "migrations"


class MigrationError(Exception):
    """The database cannot be used; one line that says why and what to do."""


def current_revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return str(found) if found is not None else None


def known_revisions() -> set[str]:
    return {path.name.split("_", 1)[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py")}


def migrate(engine: Engine, path: Path) -> None:
    """Create or upgrade the database at `path`. Raises MigrationError."""
    try:
        current = current_revision(engine)
        if current == HEAD:
            return
        if current is not None and current not in known_revisions():
            raise MigrationError(
                f"the database {path} was written by a newer version of this program (it is at {current}, this program "
                f"knows up to {HEAD}): install that version again, or start with another --data-dir"
            )
        _upgrade(engine)
    except DatabaseError as error:
        raise MigrationError(
            f"the database {path} cannot be used: {error.orig}: restore it from a backup, or move it away to start anew"
        ) from None


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    # BEGIN IMMEDIATE around everything: SQLite's table changes are undone with the rest if the power goes.
    with engine.execution_options(writes=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
