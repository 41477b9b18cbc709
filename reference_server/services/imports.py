"""Users, printers and prints of another server become ours, in one transaction: all of it or nothing.

Doing it twice changes nothing: a user is known by his e-mail address, a printer by its token, a print by the agent's
number. What is here already is left as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from reference_server.services.clock import Now
from reference_server.services.model import ActionOnFailure, AlertOverwrite, EndedReason, Print, Printer, User
from reference_server.services.passwords import is_known_hash
from reference_server.services.ports import Store, Transaction
from reference_server.services.text import clean

Row = Mapping[str, Any]

NO_PASSWORD = "!"  # noqa: S105 - none at all
"""A hash that no password has."""


class ImportFailed(Exception):
    """One line that says why; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """Rows by column name; any column but `id` may be missing."""

    users: Sequence[Row]
    printers: Sequence[Row]
    prints: Sequence[Row]


@dataclass(slots=True)
class Summary:
    users: int = 0
    printers: int = 0
    prints: int = 0
    known: int = 0
    """Things that were here already."""
    without_password: list[str] = field(default_factory=list)
    """Users who need `set-password`: their hash is of a kind that we cannot check."""
    skipped: list[str] = field(default_factory=list)
    """What could not be taken, and why."""


class _Rehearsed(Exception):
    pass


class Imports:
    def __init__(self, store: Store, now: Now) -> None:
        self._store, self._now = store, now

    def run(self, foreign: Foreign, *, rehearse: bool = False) -> Summary:
        """`rehearse`: do everything, and undo it. Raises ServiceError."""
        summary = Summary()
        try:
            with self._store.write() as tx:
                _Import(tx, self._now(), summary).run(foreign)
                if rehearse:
                    raise _Rehearsed
        except _Rehearsed:
            pass
        return summary


class _Import:
    def __init__(self, tx: Transaction, now: datetime, summary: Summary) -> None:
        self._tx, self._now, self._summary = tx, now, summary

    def run(self, foreign: Foreign) -> None:
        users = self._users(foreign.users)
        printers: dict[Any, Printer] = {}
        current: dict[Any, Any] = {}  # foreign print -> our printer
        for row in foreign.printers:
            if (printer := self._printer(row, users.get(row.get("user_id")))) is not None:
                printers[row["id"]] = printer
                current[row.get("current_print_id")] = printer
        for row in foreign.prints:
            self._print(row, printers.get(row.get("printer_id")), current)

    # --- users -------------------------------------------------------------------------------------------------

    def _users(self, rows: Sequence[Row]) -> dict[Any, User]:
        found: dict[Any, User] = {}
        owner_wanted = self._tx.users.count() == 0
        # The owner is made first; who is a superuser there is the owner here.
        for row in sorted(rows, key=lambda row: (not row.get("is_superuser"), row["id"])):
            user = self._user(row, owner_wanted)
            if user is not None:
                found[row["id"]], owner_wanted = user, False
        return found

    def _user(self, row: Row, is_owner: bool) -> User | None:
        email, name = _text(row.get("email"), 254), _text(row.get("username"), 150)
        login = name or email[:150]
        if not login:
            self._summary.skipped.append(f"user {row['id']}: neither name nor e-mail address")
            return None
        known = self._tx.users.by_login(email or login)
        if known is None and name:
            known = self._tx.users.by_login(name)
            if known is not None and email and known[0].email.casefold() != email.casefold():
                self._summary.skipped.append(f"user {row['id']}: somebody else here is called that")
                return None
        if known is not None:
            self._summary.known += 1
            return known[0]
        password_hash = str(row.get("password") or "").removeprefix("argon2$")
        if password_hash.startswith("argon2"):
            password_hash = f"${password_hash}"
        if len(password_hash) > 300 or not is_known_hash(password_hash):
            password_hash = NO_PASSWORD
            self._summary.without_password.append(login)
        joined = _time(row.get("date_joined")) or self._now
        user = User(0, login, email, is_owner, joined, _time(row.get("consented_at")) or joined)
        self._summary.users += 1
        return self._tx.users.add(user, password_hash)

    # --- printers ----------------------------------------------------------------------------------------------

    def _printer(self, row: Row, user: User | None) -> Printer | None:
        token = _text(row.get("auth_token"), 65)
        if user is None or not 8 <= len(token) <= 64 or not token.isascii():
            why = "its user was not taken" if user is None else "it has no usable token"
            self._summary.skipped.append(f"printer {row['id']}: {why}")
            return None
        known = next((each for each in self._tx.printers.of_user(user.id) if each.auth_token == token), None)
        if known is not None:
            self._summary.known += 1
            return known
        if self._tx.printers.by_token(token) is not None:
            self._summary.skipped.append(f"printer {row['id']}: somebody else here has its token")
            return None
        printer = Printer(
            0, user.id, _text(row.get("name"), 200) or f"Printer {row['id']}", token,
            _time(row.get("created_at")) or self._now, _time(row.get("archived_at")),
        )  # fmt: skip
        self._summary.printers += 1
        return self._tx.printers.add(replace(printer, **_wishes(row)))

    # --- prints ------------------------------------------------------------------------------------------------

    def _print(self, row: Row, printer: Printer | None, current: Mapping[Any, Printer]) -> None:
        started = _time(row.get("started_at"))
        if printer is None or started is None:
            why = "its printer was not taken" if printer is None else "it has no beginning"
            self._summary.skipped.append(f"print {row['id']}: {why}")
            return
        ext_id = row.get("ext_id")
        if not isinstance(ext_id, int) or not 0 < ext_id < 2**53:
            ext_id = int(started.timestamp())
        if self._tx.prints.by_ext_id(printer.id, ext_id) is not None:
            self._summary.known += 1
            return
        finished, cancelled = _time(row.get("finished_at")), _time(row.get("cancelled_at"))
        reason = EndedReason.CANCELLED if cancelled else EndedReason.DONE if finished else None
        goes_on = reason is None and current.get(row["id"]) is not None
        if reason is None and not goes_on:
            finished, reason = _time(row.get("updated_at")) or started, EndedReason.LOST
        verdict = row.get("alert_overwrite")
        job = Print(
            0, printer.user_id, printer.id, ext_id, _text(row.get("filename"), 1000) or "unknown", started,
            finished_at=finished, cancelled_at=cancelled, ended_reason=reason,
            uploaded_at=_time(row.get("uploaded_at")), alerted_at=_time(row.get("alerted_at")),
            alert_acknowledged_at=_time(row.get("alert_acknowledged_at")),
            alert_muted_at=_time(row.get("alert_muted_at")),
            alert_overwrite=AlertOverwrite(verdict) if verdict in set(AlertOverwrite) else None,
            paused_at=_time(row.get("paused_at")) if goes_on else None,
            filament_used=_number(row.get("filament_used"), 0, 1e9), print_time=_number(row.get("print_time"), 0, 1e9),
            access_consented_at=_time(row.get("access_consented_at")),
        )  # fmt: skip
        job = self._tx.prints.add(job)
        self._summary.prints += 1
        if goes_on and printer.current_print_id is None:
            self._tx.printers.save(replace(printer, current_print_id=job.id))


def _wishes(row: Row) -> dict[str, Any]:
    """The settings that make sense; the others stay at our defaults."""
    found: dict[str, Any] = {}
    for name in ("watching_enabled", "tools_off_on_pause", "bed_off_on_pause"):
        if row.get(name) in (0, 1):
            found[name] = bool(row[name])
    limits = {"retract_on_pause": (0, 50), "lift_z_on_pause": (0, 100), "detective_sensitivity": (0.8, 1.2)}
    for name, (low, high) in limits.items():
        if (value := _number(row.get(name), low, high)) is not None:
            found[name] = value
    for name in ("min_timelapse_secs_on_finish", "min_timelapse_secs_on_cancel"):
        if (value := _number(row.get(name), -1, 86400)) is not None:
            found[name] = int(value)
    for name in ("agent_name", "agent_version"):
        if text := _text(row.get(name), 100):
            found[name] = text
    if row.get("action_on_failure") in set(ActionOnFailure):
        found["action_on_failure"] = ActionOnFailure(row["action_on_failure"])
    return found


def _text(value: object, limit: int) -> str:
    return clean(value, limit) if isinstance(value, str) else ""


def _number(value: object, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if low <= value <= high else None


def _time(value: object) -> datetime | None:
    """Django writes UTC without a zone."""
    try:
        found = datetime.fromisoformat(str(value)) if isinstance(value, str) else None
    except ValueError:
        return None
    if found is None or found.year < 1970:
        return None
    return found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
