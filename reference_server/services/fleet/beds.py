"""What prints do to beds, and printers' errors, in the transaction that tracks them (fleet-api.md §2, §3).

A bed that may hold a part is never clear: not from a print's start on, whoever started it, and not after its end. Only
`auto_continue` makes it clear by itself, and only after a print that was finished: whatever sweeps the bed is the end
of the G-code, which a cancelled or failed print never reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from reference_server.services.clock import Now
from reference_server.services.fleet.printer_events import ERROR, printer_told
from reference_server.services.followers import PrintChange
from reference_server.services.model import EndedReason, EventClass, EventKind, Print, Printer, PrinterEvent
from reference_server.services.ports import Transaction


def lose_sight(tx: Transaction, printer_id: int, now: datetime) -> None:
    """Its agent speaks for this printer no more, or anew: what was printed meanwhile nobody told."""
    fleet = tx.fleet.printers.get(printer_id)
    if fleet is not None and fleet.bed_clear:
        tx.fleet.printers.save(replace(fleet, bed_clear=False, updated_at=now))


class BedFollower:
    """A Follower, and a PrinterRemoval."""

    def __init__(self, now: Now) -> None:
        self._now = now

    def printer_removed(self, tx: Transaction, printer: Printer) -> None:
        lose_sight(tx, printer.id, self._now())

    def follow(self, tx: Transaction, change: PrintChange) -> None:
        marks = [event for event in change.events if event.event_type in {EventKind.STARTED, EventKind.ENDED}]
        fleet = tx.fleet.printers.get(change.printer.id) if marks else None
        if fleet is None:
            return
        clear = fleet.auto_continue and _is_swept(change.printer, marks, change.prints)
        if fleet.bed_clear != clear:
            tx.fleet.printers.save(replace(fleet, bed_clear=clear, updated_at=self._now()))


def _is_swept(printer: Printer, marks: Sequence[PrinterEvent], prints: Sequence[Print]) -> bool:
    """The newest of what happened is the finished end of a print, and no other is under way."""
    last = marks[-1]
    job = next((job for job in prints if job.id == last.print_id), None)
    return (
        printer.current_print_id is None
        and last.event_type is EventKind.ENDED
        and job is not None
        and job.ended_reason is EndedReason.DONE
    )


class PrinterErrors:
    """`printer.error`: a print that ended in an error, and whatever else an agent reports as one."""

    def __init__(self, now: Now) -> None:
        self._now = now

    def follow(self, tx: Transaction, change: PrintChange) -> None:
        for event in change.events:
            job = next((job for job in change.prints if job.id == event.print_id), None)
            if event.event_type is EventKind.PRINTER_ERROR:
                text = event.event_text or event.event_title or "error"
                severity = "error" if event.event_class is EventClass.ERROR else "warning"
            elif event.event_type is EventKind.ENDED and job is not None and job.ended_reason is EndedReason.ERROR:
                text, severity = job.error_text or "the print failed", "error"
            else:
                continue
            told = printer_told(tx, change.printer)
            if told is not None:
                more = {"error": text[:1000], "severity": severity, "print_id": event.print_id}
                tx.fleet.events.emit(told.organization_id, ERROR, told.public_id, {**told.data, **more}, self._now())
