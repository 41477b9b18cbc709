"""A user's printers: list, make, change, archive, delete; and the questions around the current print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from reference_server.services import agent_settings, event_text
from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, NotFound
from reference_server.services.fleet.plan import UNLIMITED, Plan
from reference_server.services.followers import PrinterRemoval
from reference_server.services.model import (
    AlertOverwrite,
    EventKind,
    Json,
    Print,
    Printer,
    PrinterEvent,
    PrinterRecord,
    User,
)
from reference_server.services.ports import Store, Transaction
from reference_server.services.printer_changes import changed, checked_name
from reference_server.services.secrets import RandomBytes, token

PRINTERS_PER_USER = 20_000
"""A farm has hundreds; the load test ten thousand."""

DEFAULT_NAME = "My Awesome Cloud Printer"


def new_token(random: RandomBytes) -> str:
    """An agent's `auth_token`: 20 hex digits (wire-protocol.md §1)."""
    return token(random, 10)


def owned(tx: Transaction, user: User, printer_id: int, *, archived: bool = True) -> Printer:
    """The user's printer. Raises NotFound, also for somebody else's."""
    printer = tx.printers.get(printer_id)
    if printer is None or printer.user_id != user.id or (printer.archived_at is not None and not archived):
        raise NotFound
    return printer


class Printers:
    """`removals`: told of every printer that is archived or deleted."""

    def __init__(
        self, store: Store, now: Now, random: RandomBytes, removals: Sequence[PrinterRemoval] = (),
        plan: Plan = UNLIMITED,
    ) -> None:  # fmt: skip
        self._store, self._now, self._random, self._removals = store, now, random, tuple(removals)
        self._plan = plan

    def all(self, user: User, *, archived: bool) -> Sequence[PrinterRecord]:
        with self._store.read() as tx:
            found = tx.printers.of_user(user.id)
            return tx.printers.records([printer for printer in found if archived or printer.archived_at is None])

    def all_of(self, user_id: int) -> Sequence[PrinterRecord]:
        """What a page shows: without the archived ones."""
        with self._store.read() as tx:
            found = tx.printers.of_user(user_id)
            return tx.printers.records([printer for printer in found if printer.archived_at is None])

    def get(self, user: User, printer_id: int) -> PrinterRecord:
        with self._store.read() as tx:
            return tx.printers.record(owned(tx, user, printer_id))

    def record(self, printer_id: int) -> PrinterRecord | None:
        with self._store.read() as tx:
            printer = tx.printers.get(printer_id)
            return tx.printers.record(printer) if printer else None

    def by_token(self, auth_token: str) -> PrinterRecord | None:
        """The printer an agent speaks for; None: unknown, archived or deleted."""
        with self._store.read() as tx:
            printer = tx.printers.by_token(auth_token)
            return tx.printers.record(printer) if printer else None

    def by_tokens(self, auth_tokens: Sequence[str]) -> dict[str, PrinterRecord]:
        """The same for many: of those tokens that are good."""
        with self._store.read() as tx:
            records = tx.printers.records(tx.printers.by_tokens(auth_tokens))
            return {record.printer.auth_token: record for record in records}

    def create(self, user: User, name: object) -> PrinterRecord:
        """Raises Invalid, Conflict, QuotaExceeded."""
        name = checked_name(name)
        with self._store.write() as tx:
            if len(tx.printers.of_user(user.id)) >= PRINTERS_PER_USER:
                raise Conflict(f"There are {PRINTERS_PER_USER} printers already.")
            self._plan.check_printers(tx, user.id)
            printer = Printer(0, user.id, name, new_token(self._random), created_at=self._now())
            return tx.printers.record(tx.printers.add(printer))

    def change(self, user: User, printer_id: int, body: Json, show: Callable[[PrinterRecord], Json]) -> PrinterRecord:
        """`show`: the printer as the user sees it, to tell a whole object sent back. Raises Invalid, NotFound."""
        with self._store.write() as tx:
            printer = owned(tx, user, printer_id)
            return self._save(tx, changed(printer, body, show(tx.printers.record(printer))))

    def rename(self, printer_id: int, name: object) -> PrinterRecord:
        """By the printer's own agent."""
        name = checked_name(name)
        with self._store.write() as tx:
            printer = tx.printers.get(printer_id)
            if printer is None:
                raise NotFound
            return self._save(tx, replace(printer, name=name))

    def set_archived(self, user: User, printer_id: int, archived: bool) -> PrinterRecord:
        with self._store.write() as tx:
            printer = owned(tx, user, printer_id)
            if not archived and printer.archived_at is not None:
                self._plan.check_printers(tx, user.id)
            was, at = printer.archived_at, (printer.archived_at or self._now()) if archived else None
            printer = replace(printer, archived_at=at)
            tx.printers.save(printer)
            if archived and was is None:
                self._removed(tx, printer)
            return tx.printers.record(printer)

    def delete(self, user: User, printer_id: int) -> None:
        with self._store.write() as tx:
            printer = owned(tx, user, printer_id)
            was_archived = printer.archived_at is not None
            printer = replace(printer, deleted_at=self._now(), current_print_id=None)
            tx.printers.save(printer)
            if not was_archived:
                self._removed(tx, printer)

    def _removed(self, tx: Transaction, printer: Printer) -> None:
        for removal in self._removals:
            removal.printer_removed(tx, printer)

    def take_settings(self, printer_id: int, said: Json) -> PrinterRecord | None:
        """What the agent said of itself; None if the printer is gone."""
        with self._store.write() as tx:
            printer = tx.printers.get(printer_id)
            return self._save(tx, agent_settings.merged(printer, said)) if printer else None

    def _save(self, tx: Transaction, printer: Printer) -> PrinterRecord:
        tx.printers.save(printer)
        return tx.printers.record(printer)

    # --- the current print -------------------------------------------------------------------------------------

    def mute(self, user: User, printer_id: int, muted: bool) -> tuple[PrinterRecord, bool]:
        """Switch alerts off (or on) for the rest of the print; False: there is no print."""
        with self._store.write() as tx:
            return self._mute(tx, owned(tx, user, printer_id), muted)

    def mute_by_agent(self, printer_id: int, muted: bool) -> tuple[PrinterRecord, bool]:
        """The same for the printer's own agent. Raises NotFound."""
        with self._store.write() as tx:
            printer = tx.printers.get(printer_id)
            if printer is None:
                raise NotFound
            return self._mute(tx, printer, muted)

    def _mute(self, tx: Transaction, printer: Printer, muted: bool) -> tuple[PrinterRecord, bool]:
        record = tx.printers.record(printer)
        job = record.current_print
        if job is None:
            return record, False
        if (job.alert_muted_at is not None) != muted:
            kind = EventKind.ALERT_MUTED if muted else EventKind.ALERT_UNMUTED
            tx.prints.save(replace(job, alert_muted_at=self._now() if muted else None))
            self._note(tx, printer, job, kind)
        return tx.printers.record(printer), True

    def acknowledge(
        self, user: User, printer_id: int, overwrite: AlertOverwrite | None, print_id: int | None = None
    ) -> tuple[PrinterRecord, bool]:
        """The user has seen the alert; False: there is no print. Without an alert nothing is noted (§5.4).

        `print_id`: the print that he spoke of, which may be over by now; None: the current one.
        """
        with self._store.write() as tx:
            printer = owned(tx, user, printer_id)
            job = tx.printers.record(printer).current_print if print_id is None else tx.prints.get(print_id)
            if job is not None and job.alerted_at is not None:
                tx.prints.save(replace(job, alert_acknowledged_at=self._now(), alert_overwrite=overwrite))
            return tx.printers.record(printer), job is not None

    def _note(self, tx: Transaction, printer: Printer, job: Print, kind: EventKind) -> None:
        title, event_class = event_text.title_and_class(kind, job)
        tx.events.add(
            PrinterEvent(
                0, printer.user_id, printer.id, job.id, kind, event_class, title,
                event_text.text(printer, job), created_at=self._now(),
            )
        )  # fmt: skip
        tx.users.count_unseen_event(printer.user_id)
