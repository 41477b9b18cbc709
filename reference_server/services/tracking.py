"""Applies what services.prints decides, and an event's id with it, in one transaction.

The server may be killed at any moment: before the commit nothing has happened and the agent sends the event again;
after it the id is known and the event takes no second effect. The acknowledgement follows the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent_core.wire import read
from agent_core.wire.messages import NOT_PRINTING, StatusMessage
from reference_server.services import event_text
from reference_server.services.clock import Now
from reference_server.services.followers import Follower, PrintChange
from reference_server.services.model import Print, Printer, PrinterEvent, PrinterRecord
from reference_server.services.ports import EventImages, Store, Transaction
from reference_server.services.prints import EventDraft, Observation, Outcome, is_idle, track


@dataclass(frozen=True, slots=True)
class Tracked:
    """The printer afterwards, the events that were written, and whether anything was."""

    record: PrinterRecord
    events: tuple[PrinterEvent, ...]
    changed: bool = True


def _goes_on(current: Print | None, message: StatusMessage) -> bool:
    """A plain status of the print that is known, or of none: seen without reading all of it."""
    ts = message.current_print_ts
    if ts is None or current is None:
        return ts is None or ts == NOT_PRINTING
    if ts != current.ext_id:
        return False
    file_id, _ = said_file(message)
    return file_id is None or file_id == current.g_code_file_id


def said_file(message: StatusMessage) -> tuple[int | None, str | None]:
    """The id and the name of the file that a status tells."""
    file = read.mapping((read.mapping((message.status or {}).get("job")) or {}).get("file")) or {}
    return read.integer(file.get("obico_g_code_file_id")), read.text(file.get("name"))


class Tracking:
    def __init__(
        self, store: Store, now: Now, followers: Sequence[Follower] = (), images: EventImages | None = None
    ) -> None:
        self._store, self._now, self._followers, self._images = store, now, tuple(followers), images

    @staticmethod
    def needs_store(record: PrinterRecord, message: StatusMessage) -> bool:
        """False: the message changes nothing that is stored, as nearly all do."""
        if message.event is None and _goes_on(record.current_print, message):
            return False
        seen = Observation.of(message)
        if seen.event_id is not None and seen.event is not None:
            return True
        return not is_idle(record.current_print, seen)

    def apply(self, printer_id: int, message: StatusMessage) -> Tracked | None:
        """None: the printer is gone. Raises StoreFailed: nothing has happened."""
        seen = Observation.of(message)
        with self._store.write() as tx:
            printer = tx.printers.get(printer_id)
            if printer is None:
                return None
            now = self._now()
            if seen.event_id is not None:
                if tx.events.is_applied(printer_id, seen.event_id):
                    return Tracked(tx.printers.record(printer), ())
                tx.events.mark_applied(printer_id, seen.event_id, now)
            current = tx.printers.record(printer).current_print
            seen = self._with_known_file(tx, printer, seen)
            known = tx.prints.by_ext_id(printer_id, seen.ts) if seen.ts is not None and seen.ts >= 0 else None
            file = tx.files.get(current.g_code_file_id) if current and current.g_code_file_id else None
            outcome = track(
                printer.user_id, printer_id, current, known, seen, now, file.filament_total if file else None
            )
            return self._store_outcome(tx, printer, outcome, seen.order)

    def _with_known_file(self, tx: Transaction, printer: Printer, seen: Observation) -> Observation:
        """A file id that is not one of the user's files says nothing."""
        if seen.file_id is None:
            return seen
        file = tx.files.get(seen.file_id) if seen.file_id > 0 else None
        return seen if file is not None and file.user_id == printer.user_id else replace(seen, file_id=None)

    def _store_outcome(
        self, tx: Transaction, printer: Printer, outcome: Outcome, order: str | None = None
    ) -> Tracked:
        stored: dict[Print, Print] = {}
        for job in outcome.saved:
            if job.id:
                tx.prints.save(job)
                stored[job] = job
            else:
                stored[job] = tx.prints.add(job)
        current = stored.get(outcome.current, outcome.current) if outcome.current else None
        current_id, was_current_id = current.id if current else None, printer.current_print_id
        if current_id != printer.current_print_id:
            printer = replace(printer, current_print_id=current_id)
            tx.printers.save(printer)
        events = tuple(self._note(tx, printer, draft, stored) for draft in outcome.events)
        if outcome.corrected is not None:
            self._correct(tx, printer, outcome.corrected)
        if stored or events or outcome.corrected is not None:
            # A print may have been saved twice on the way: the newest version of each is told.
            # One that ends without a change (its cancellation was told before) is told by its event.
            ended = (stored.get(draft.target, draft.target) for draft in outcome.events)
            prints = {job.id: job for job in (*ended, *stored.values(), *([current] if current else []))}
            change = PrintChange(printer, tuple(prints.values()), events, outcome.corrected, order=order)
            for follower in self._followers:
                follower.follow(tx, change)
        changed = bool(outcome.saved or events or outcome.corrected is not None or current_id != was_current_id)
        return Tracked(tx.printers.record(printer), events, changed)

    def _note(
        self, tx: Transaction, printer: Printer, draft: EventDraft, stored: dict[Print, Print]
    ) -> PrinterEvent:
        job = stored.get(draft.target, draft.target)
        title, event_class = event_text.title_and_class(draft.kind, job)
        tx.users.count_unseen_event(printer.user_id)
        return tx.events.add(
            PrinterEvent(
                0, printer.user_id, printer.id, job.id, draft.kind, event_class, title,
                event_text.text(printer, job), created_at=draft.at,
                image_path=self._images.latest(printer, draft.at) if self._images is not None else None,
            )
        )  # fmt: skip

    def _correct(self, tx: Transaction, printer: Printer, job: Print) -> None:
        """The end was a guess and is known now: its event says so too."""
        event = tx.events.ended(job.id)
        if event is None:
            return
        title, event_class = event_text.title_and_class(event.event_type, job)
        tx.events.save(
            replace(
                event, event_title=title, event_class=event_class, event_text=event_text.text(printer, job),
                created_at=job.ended_at or event.created_at,
            )
        )  # fmt: skip
