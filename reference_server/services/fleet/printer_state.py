"""What a printer of the farm is doing, from memory alone (fleet-api.md §2)."""

from __future__ import annotations

from enum import Enum

from agent_core.wire import read
from reference_server.services.live import LivePrinter
from reference_server.services.model import Json, Printer


class PrinterStatus(str, Enum):
    """OFFLINE: no agent, no news from it, or its host has lost the printer. PRINTING: a print is under way, paused
    ones included."""

    IDLE = "idle"
    PRINTING = "printing"
    OFFLINE = "offline"


def status_of(live: LivePrinter | None) -> PrinterStatus:
    if live is None or not live.agent_connected or live.packed is None or live.is_closed:
        return PrinterStatus.OFFLINE
    return PrinterStatus.PRINTING if live.is_printing or has_print(live) else PrinterStatus.IDLE


def has_print(live: LivePrinter) -> bool:
    """Whether a print is under way, as far as its agent has told; also while it is away."""
    job = live.record.current_print
    return job is not None and not job.ended


def host_of(printer: Printer) -> str | None:
    """`OctoPrint 1.11.8`, `Klipper v0.13.0-1-gabc`, as its agent has told; None: it never has."""
    settings: Json = printer.settings
    octoprint = read.text(settings.get("octoprint_version"))
    if octoprint:
        return f"OctoPrint {octoprint}"
    name = printer.agent_name or ""
    if name.startswith("octoprint"):
        return "OctoPrint"
    if name.startswith("moonraker"):
        metadata = read.mapping(settings.get("printer_metadata")) or {}
        version = metadata.get("FIRMWARE_VERSION") if metadata.get("FIRMWARE_NAME") == "Klipper" else None
        return f"Klipper {version}" if isinstance(version, str) and version else "Klipper"
    return f"{name} {printer.agent_version or ''}".strip() or None
