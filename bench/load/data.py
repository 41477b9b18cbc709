"""A data folder with thousands of printers in mid-print, written in one transaction before the server starts."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from reference_server.app import make_accounts, open_database
from reference_server.services.agent_settings import merged
from reference_server.services.clock import utc_now
from reference_server.services.model import GCodeFile, Print, Printer
from reference_server.store.database import make_engine
from reference_server.store.tables import GCodeFileRow, PrinterRow, PrintRow

PASSWORD = "a password for figures"  # noqa: S105 - a throw-away server on this machine

SETTINGS: dict[str, Any] = {
    "agent": {"name": "octoprint_obico", "version": "3.0.0"},
    "webcams": [], "temperature": {"profiles": [{"name": "PLA", "bed": 60, "extruder": 210, "chamber": None}]},
    "platform_uname": ["Linux", "octopi.example", "6.1.0-generic", "#1 SMP", "x86_64"], "installed_plugins": ["obico"],
    "octoprint_version": "1.11.8",
}  # fmt: skip
"""What each agent says of itself. The server knows it already, as after a restart."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Printers' ids and tokens, and the owner's API key."""

    printers: tuple[tuple[int, str], ...]
    key: str


def fill(data_dir: Path, printers: int, message: dict[str, Any]) -> Fleet:
    """One owner; each printer prints what `message` (a status message) says."""
    path = data_dir / "server.sqlite3"
    database = open_database(path)
    accounts = make_accounts(database)
    user = accounts.create_user("owner", PASSWORD)
    _, key = accounts.create_api_key(user, "bench")
    database.close()
    now, file = utc_now(), message["status"]["job"]["file"]
    stored = GCodeFile(
        file["obico_g_code_file_id"], user.id, None, file["name"], file["name"], "bench", None, file["size"], now, now
    )
    tokens = [(number, secrets.token_hex(10)) for number in range(1, printers + 1)]
    engine = make_engine(path)
    with Session(engine.execution_options(writes=True)) as session:
        session.execute(insert(GCodeFileRow), [_row(stored)])
        session.execute(insert(PrinterRow), [
            _row(merged(Printer(number, user.id, f"P{number}", token, now, current_print_id=number), SETTINGS))
            for number, token in tokens
        ])  # fmt: skip
        session.execute(insert(PrintRow), [
            _row(Print(number, user.id, number, message["current_print_ts"], stored.filename, now, stored.id))
            for number, _ in tokens
        ])  # fmt: skip
        session.commit()
    engine.dispose()
    return Fleet(tuple(tokens), key)


def _row(entity: Any) -> dict[str, Any]:
    return {name: getattr(entity, name) for name in entity.__dataclass_fields__}
