"""When a print is watched, and why not (wire-protocol.md §5.3, with the seed's reading of the balance)."""

from __future__ import annotations

from reference_server.services.model import Json, PrinterRecord


def should_watch(record: PrinterRecord) -> bool:
    """Ignores paused or printing on purpose: the answer would switch itself."""
    job = record.current_print
    return (
        record.printer.watching_enabled
        and not _out_of_hours(record)
        and job is not None
        and job.alert_muted_at is None
        and record.printer.archived_at is None
    )


def not_watching_reason(record: PrinterRecord, status: Json | None) -> str | None:
    """The first reason that applies, in the seed's words."""
    if not record.printer.watching_enabled:
        return "AI failure detection is disabled"
    if _out_of_hours(record):
        return "You have run out of AI Detection Hours"
    if record.current_print is None or not is_printing(status):
        return "Printer is not actively printing"
    if record.current_print.alert_muted_at is not None:
        return "Alerts are muted for current print"
    return None


def is_printing(status: Json | None) -> bool:
    flags = _state(status).get("flags")
    return isinstance(flags, dict) and flags.get("printing") is True


def is_closed(status: Json | None) -> bool:
    """Whether the agent's host has lost its printer (wire-protocol.md §3.3, `closedOrError`)."""
    flags = _state(status).get("flags")
    return isinstance(flags, dict) and flags.get("closedOrError") is True


def is_downloading(status: Json | None) -> bool:
    """Whether the agent fetches a file that it is to print (wire-protocol.md §3.3)."""
    return _state(status).get("text") == "G-Code Downloading"


def _state(status: Json | None) -> Json:
    state = (status or {}).get("state")
    return state if isinstance(state, dict) else {}


def _out_of_hours(record: PrinterRecord) -> bool:
    return record.dh_balance is not None and record.dh_balance <= 0
