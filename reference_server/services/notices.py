"""What a user may want to be told: notices, written in the transaction of the thing that they tell.

A notice is a row, so that nothing is lost between the event and its delivery, whatever is killed when. Which channel
gets it, and when, is decided later (services/alerts); here only what happened is written down.
"""

from __future__ import annotations

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


class NoticeWriter:
    """A follower of prints: their events become notices."""

    def follow(self, tx: Transaction, change: PrintChange) -> None:
        for event in change.events:
            job = next((job for job in change.prints if job.id == event.print_id), None)
            if (kind := kind_of(event, job)) is not None:
                tx.notices.add(
                    Notice(
                        0, event.user_id, event.printer_id, event.print_id, kind, event.event_title or kind.value,
                        _words(change.printer.name, event, job), event.created_at, event.id, event.image_path,
                    )
                )  # fmt: skip


def kind_of(event: PrinterEvent, job: Print | None) -> NoticeKind | None:
    """None: an event that whoever wrote it has made a notice of, or that nobody wants to hear of."""
    if event.event_type is EventKind.ENDED:
        reason = job.ended_reason if job is not None else None
        return _BY_END.get(reason, NoticeKind.PRINT_DONE) if reason is not None else NoticeKind.PRINT_DONE
    return _BY_EVENT.get(event.event_type)


def _words(printer: str, event: PrinterEvent, job: Print | None) -> str:
    """Plain text: printer, file, and why it ended if that is known."""
    if job is None:
        return f"{printer}: {event.event_title}"
    why = f" ({job.error_text})" if event.event_type is EventKind.ENDED and job.error_text else ""
    return f"{printer}: {job.filename}{why}"
