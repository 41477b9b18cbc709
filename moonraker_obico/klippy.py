"""What Klipper as a whole may be doing, and what may have to be asked of Moonraker about it."""

from __future__ import annotations

from enum import Enum


class Klippy(Enum):
    """`klippy_state` of server.info; UNKNOWN as long as Moonraker has not told."""

    UNKNOWN = "unknown"
    DISCONNECTED = "disconnected"
    STARTUP = "startup"
    READY = "ready"
    ERROR = "error"
    SHUTDOWN = "shutdown"


ABSENT = {
    Klippy.DISCONNECTED: "Klipper is not running or is being restarted",
    Klippy.STARTUP: "Klipper is starting; it waits for the printer's controller board",
    Klippy.UNKNOWN: "Moonraker has not said yet what Klipper does",
}
"""Why nothing is known of the printer then."""


class Want(Enum):
    """What to ask of Moonraker; the answer comes back through the Translator's input named."""

    HISTORY = "history"  # history_listed
    METADATA = "metadata"  # metadata; the file is `wanted_file`
    DIAMETER = "diameter"  # filament_diameter
    REASON = "reason"  # klippy_changed, with printer.info's state_message
