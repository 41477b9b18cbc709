"""A user's prints and printer events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone, tzinfo
from typing import Any

from agent_core.wire import read
from reference_server.services.clock import Now
from reference_server.services.errors import Invalid, NotFound
from reference_server.services.model import AlertOverwrite, GCodeFile, Json, Print, Printer, PrinterEvent, User
from reference_server.services.ports import EventQuery, PrintQuery, Store, Transaction
from reference_server.services.statistics import GroupBy, summary

MOST_AT_ONCE = 1000
"""Prints or events in one answer (rest-decisions.md)."""

WRITABLE = frozenset({"alert_overwrite", "access_consented_at"})


class History:
    def __init__(self, store: Store, now: Now) -> None:
        self._store, self._now = store, now

    def prints(self, query: PrintQuery) -> tuple[Sequence[Print], int]:
        with self._store.read() as tx:
            return tx.prints.find(query)

    def statistics(self, query: PrintQuery, by: GroupBy, where: tzinfo) -> dict[str, Any]:
        """Of all prints that fit `query`, running ones too."""
        with self._store.read() as tx:
            return summary(tx.prints.figures(query), by, where)

    def get(self, user: User, print_id: int) -> Print:
        with self._store.read() as tx:
            return _owned(tx, user, print_id)

    def related(self, prints: Sequence[Print]) -> tuple[dict[int, Printer], dict[int, GCodeFile]]:
        """The printers and files of prints, for an expanded view."""
        with self._store.read() as tx:
            printers = {job.printer_id: tx.printers.get(job.printer_id) for job in prints}
            files = {job.g_code_file_id: tx.files.get(job.g_code_file_id) for job in prints if job.g_code_file_id}
        return (
            {key: value for key, value in printers.items() if value is not None},
            {key: value for key, value in files.items() if value is not None},
        )

    def change(self, user: User, print_id: int, body: Json, shown: Json) -> Print:
        """`shown`: the print as the user sees it; read-only fields may be repeated unchanged. Raises Invalid."""
        errors: dict[str, list[str]] = {}
        changes: dict[str, Any] = {}
        whole = "id" in body and body.get("id") == shown.get("id")
        for key, value in body.items():
            if key in WRITABLE:
                try:
                    changes[key] = _overwrite(value) if key == "alert_overwrite" else _time(value)
                except ValueError as error:
                    errors[key] = [str(error)]
            elif key not in shown:
                errors[key] = ["There is no such field."]
            elif value != shown[key] and not (whole and (key.endswith("_url") or key == "timelapse")):
                errors[key] = ["This field is read-only."]
        if errors:
            raise Invalid("; ".join(f"{key}: {texts[0]}" for key, texts in errors.items()), errors)
        with self._store.write() as tx:
            job = replace(_owned(tx, user, print_id), **changes)
            tx.prints.save(job)
            return job

    def delete(self, user: User, print_ids: Sequence[int]) -> list[int]:
        """The printers whose current print is gone with it. Raises NotFound (one print) before anything is done."""
        touched = []
        with self._store.write() as tx:
            for print_id in print_ids:
                job = _owned(tx, user, print_id)
                tx.prints.save(replace(job, deleted_at=self._now()))
                printer = tx.printers.get(job.printer_id)
                if printer is not None and printer.current_print_id == job.id:
                    tx.printers.save(replace(printer, current_print_id=None))
                    touched.append(printer.id)
        return touched

    def events(self, query: EventQuery) -> Sequence[PrinterEvent]:
        with self._store.read() as tx:
            return tx.events.find(query)


def _owned(tx: Transaction, user: User, print_id: int) -> Print:
    job = tx.prints.get(print_id)
    if job is None or job.user_id != user.id:
        raise NotFound
    return job


def _overwrite(value: object) -> AlertOverwrite | None:
    if value is None:
        return None
    try:
        return AlertOverwrite(value)
    except ValueError:
        raise ValueError("FAILED, NOT_FAILED or null is needed.") from None


def _time(value: object) -> datetime | None:
    text = read.text(value)
    if value is None:
        return None
    try:
        found = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        raise ValueError("An ISO-8601 time is needed.") from None
    if found.tzinfo is None:
        raise ValueError("The time needs its zone, such as Z.")
    try:
        return found.astimezone(timezone.utc)
    except OverflowError:
        raise ValueError("The time is out of the calendar.") from None
