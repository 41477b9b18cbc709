"""Titles, classes and texts of printer events (wire-protocol.md §5.2)."""

from __future__ import annotations

from html import escape

from reference_server.services.model import EventClass, EventKind, Print, Printer

_FIXED = {
    EventKind.FAILURE_ALERTED: ("Possible Failure Detected", EventClass.ERROR),
    EventKind.ALERT_MUTED: ("Watching Turned Off", EventClass.WARNING),
    EventKind.ALERT_UNMUTED: ("Watching Turned On", EventClass.INFO),
    EventKind.FILAMENT_CHANGE: ("Filament Change Required", EventClass.WARNING),
    EventKind.PRINTER_ERROR: ("Printer Error", EventClass.ERROR),
}


def title_and_class(kind: EventKind, job: Print | None) -> tuple[str, EventClass]:
    if kind is EventKind.ENDED:
        if job is not None and job.cancelled_at is not None:
            return "Print Job Canceled", EventClass.WARNING
        return "Print Job Finished", EventClass.SUCCESS
    if kind in _FIXED:
        return _FIXED[kind]
    return f"Print Job {kind.value.capitalize()}", EventClass.INFO


def text(printer: Printer, job: Print | None) -> str:
    """Two `div`s, escaped: printer and file."""
    lines = f"<div><i>Printer:</i> {escape(printer.name)}</div>"
    return lines + (f"<div><i>G-Code:</i> {escape(job.filename)}</div>" if job is not None else "")
