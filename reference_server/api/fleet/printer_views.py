"""Printers of `/v1` as JSON. On the event loop: it reads what is live."""

from __future__ import annotations

from typing import Any

from agent_core.wire import read
from reference_server.api.fleet.views import time
from reference_server.services.fleet.printer_state import PrinterStatus, host_of, status_of
from reference_server.services.fleet.printers import PrinterEntry
from reference_server.services.live import LivePrinter
from reference_server.services.model import Json, PrinterRecord


def _heaters(status: Json) -> dict[str, dict[str, float | None]]:
    found = read.mapping(status.get("temperatures")) or {}
    return {
        name: {"actual": read.number(heater.get("actual")), "target": read.number(heater.get("target"))}
        for name, heater in found.items()
        if isinstance(heater, dict)
    }


def _progress(status: Json) -> int:
    percent = read.number((read.mapping(status.get("progress")) or {}).get("completion")) or 0.0
    return int(min(100.0, max(0.0, percent)))


def printer_view(entry: PrinterEntry, live: LivePrinter | None) -> dict[str, Any]:
    record: PrinterRecord = live.record if live is not None else entry.record
    printer, fleet, word = record.printer, entry.fleet, status_of(live)
    status = (live.status if live is not None and live.agent_connected else None) or {}
    heaters = _heaters(status)
    job = record.current_print
    is_printing = word is PrinterStatus.PRINTING
    return {
        "id": fleet.public_id,
        "name": printer.name,
        "status": word.value,
        "state": read.text((read.mapping(status.get("state")) or {}).get("text")),
        "model": fleet.model,
        "firmware": host_of(printer),
        "temperatures": {
            "hotend": heaters.get("tool0", {}).get("actual"), "bed": heaters.get("bed", {}).get("actual"),
        },
        "heaters": heaters,
        "current_job": entry.job,
        "progress": _progress(status) if is_printing else None,
        "group": entry.group.name if entry.group is not None else None,
        "group_id": entry.group.public_id if entry.group is not None else None,
        "tags": list(fleet.tags),
        "location": fleet.location,
        "materials": list(entry.materials),
        "bed_clear": fleet.bed_clear,
        "auto_continue": fleet.auto_continue,
        "agent_connected": live is not None and live.agent_connected,
        "last_seen_at": time(live.last_seen_at) if live is not None else None,
        "obico_id": printer.id,
        "print_id": job.id if job is not None and not job.ended else None,
        "created_at": time(printer.created_at),
        "updated_at": time(fleet.updated_at),
    }  # fmt: skip
