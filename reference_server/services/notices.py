"""What a user may want to be told: notices, written in the transaction of the thing that they tell.

A notice is a row, so that nothing is lost between the event and its delivery, whatever is killed when. Which channel
gets it, and when, is decided later (services/alerts); here only what happened is written down.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from reference_server.services.followers import PrintChange
from reference_server.services.model import EndedReason, EventKind, Json, Print, PrinterEvent
from reference_server.services.ports import Transaction


class NoticeKind(str, Enum):
    """What a user chooses to be told of, kind by kind."""

    FAILURE_DETECTED = "failure_detected"
    PAUSED_BY_DETECTION = "paused_by_detection"
    PRINT_STARTED = "print_started"
    PRINT_DONE = "print_done"
    PRINT_CANCELLED = "print_cancelled"
    PRINT_FAILED = "print_failed"
    PRINT_PAUSED = "print_paused"
    PRINT_RESUMED = "print_resumed"
    FILAMENT_CHANGE = "filament_change"
    PRINTER_OFFLINE = "printer_offline"  # in mid-print
    PRINTER_BACK = "printer_back"
    HEATER_REACHED = "heater_reached"
    HEATER_COOLED = "heater_cooled"
    PRINTER_ERROR = "printer_error"
    CAMERA_TROUBLE = "camera_trouble"
    AGENT_TROUBLE = "agent_trouble"
    CHANNEL_TROUBLE = "channel_trouble"  # a channel was switched off; the others tell it


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell. `event_id`: the PrinterEvent that it tells of; `image_path`: a stored picture; `data`: what a
    template may want to know besides (temperatures in °C, scores 0 to 1)."""

    id: int
    user_id: int
    printer_id: int | None
    print_id: int | None
    kind: NoticeKind
    title: str
    text: str
    created_at: datetime
    event_id: int | None = None
    image_path: str | None = None
    data: Json = field(default_factory=dict)


_BY_EVENT = {
    EventKind.STARTED: NoticeKind.PRINT_STARTED,
    EventKind.PAUSED: NoticeKind.PRINT_PAUSED,
    EventKind.RESUMED: NoticeKind.PRINT_RESUMED,
    EventKind.FILAMENT_CHANGE: NoticeKind.FILAMENT_CHANGE,
    EventKind.PRINTER_ERROR: NoticeKind.PRINTER_ERROR,
}

_BY_END = {
    EndedReason.CANCELLED: NoticeKind.PRINT_CANCELLED,
    EndedReason.ERROR: NoticeKind.PRINT_FAILED,
    EndedReason.LOST: NoticeKind.PRINT_FAILED,
}

_TROUBLE = (
    (re.compile(r"(?i)(the )?(camera|webcam)\b(?!.*\.g)"), NoticeKind.CAMERA_TROUBLE),
    (re.compile(r"(?i)(the )?agent\b(?!.*\.g)"), NoticeKind.AGENT_TROUBLE),
)
"""The protocol has one type of event for every trouble: its title's first word tells whose it is (a title that begins
with a file's name has its ending too)."""

_LOST_TITLE = "Print Ended Out of Sight"
_LOST_WORDS = "it was over when the server heard of it again, and nobody has told how"


class NoticeWriter:
    """A follower of prints: their events become notices."""

    def follow(self, tx: Transaction, change: PrintChange) -> None:
        if not change.notify:
            return
        for event in change.events:
            job = next((job for job in change.prints if job.id == event.print_id), None)
            if job is None and event.print_id is not None:
                job = tx.prints.get(event.print_id)  # it had all of it already: a cancelled print that ends
            self._write(tx, change, event, job)
        if change.corrected is not None and (ended := tx.events.ended(change.corrected.id)) is not None:
            self._write(tx, change, ended, change.corrected, corrected=True)

    @staticmethod
    def _write(
        tx: Transaction, change: PrintChange, event: PrinterEvent, job: Print | None, *, corrected: bool = False
    ) -> None:
        kind = kind_of(event, job)
        if kind is None:
            return
        lost = event.event_type is EventKind.ENDED and job is not None and job.ended_reason is EndedReason.LOST
        title = _LOST_TITLE if lost else event.event_title or kind.value
        data = {"ended_reason": job.ended_reason.value} if job is not None and job.ended_reason is not None else {}
        if corrected:
            data["corrected"] = "true"
        tx.notices.add(
            Notice(
                0, event.user_id, event.printer_id, event.print_id, kind, title,
                _words(change.printer.name, event, job), event.created_at, event.id, event.image_path, data,
            )
        )  # fmt: skip


def kind_of(event: PrinterEvent, job: Print | None) -> NoticeKind | None:
    """None: an event that whoever wrote it has made a notice of, or that nobody wants to hear of."""
    if event.event_type is EventKind.ENDED:
        reason = job.ended_reason if job is not None else None
        return _BY_END.get(reason, NoticeKind.PRINT_DONE) if reason is not None else NoticeKind.PRINT_DONE
    if event.event_type is EventKind.PRINTER_ERROR:
        title = event.event_title or ""
        return next((kind for pattern, kind in _TROUBLE if pattern.match(title)), NoticeKind.PRINTER_ERROR)
    return _BY_EVENT.get(event.event_type)


def _words(printer: str, event: PrinterEvent, job: Print | None) -> str:
    """Plain text: printer, file, and why it ended or what is wrong, if that is known."""
    about = f"{printer}: {job.filename}" if job is not None else printer
    why: str | None = None
    if event.event_type is EventKind.ENDED and job is not None:
        why = _LOST_WORDS if job.ended_reason is EndedReason.LOST else job.error_text
    elif event.event_type in {EventKind.PRINTER_ERROR, EventKind.FILAMENT_CHANGE}:
        why = _plain(event.event_text or "")
    return f"{about} ({why})" if why else about


def _plain(text: str) -> str:
    """An event's own words; the two `div`s that the server writes by itself (§5.2) say nothing more."""
    return "" if text.startswith("<div><i>") else text[:1000]
