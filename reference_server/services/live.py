"""What is true right now, in memory: the newest status, pictures and commands of each printer.

Only the event loop touches it: no lock, no SQL. It is bounded by the number of printers, and each printer's part by the
limits of the messages that fill it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reference_server.services.commands import CommandLog
from reference_server.services.model import Json, PrinterRecord
from reference_server.services.packed import pack, unpack
from reference_server.services.watching import is_closed, is_printing

STATUS_LIFE = 120.0
"""Seconds that a status counts as news (wire-protocol.md §3.3)."""

CAMERAS_KEPT = 16
"""Pictures kept per printer, one a camera."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The newest picture of a camera: `path` in the media folder, size in pixels."""

    camera: str
    path: str
    width: int
    height: int
    at: datetime
    is_primary: bool
    is_nozzle: bool


@dataclass(frozen=True, slots=True)
class LiveDetection:
    """What the last judged picture of a print said. `tagged`: that picture with its boxes drawn; `trouble`: why nothing
    can be judged at present."""

    print_id: int
    normalized_p: float = 0.0
    level: str = "none"
    detector: str | None = None
    findings: tuple[str, ...] = ()
    at: datetime | None = None
    tagged: Picture | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Timelapse:
    """How far the video of a print is: `state` as services.timelapse.VideoState, `progress` 0 to 1."""

    print_id: int
    state: str
    progress: float
    error: str | None = None


@dataclass(slots=True)
class LivePrinter:
    record: PrinterRecord
    packed: bytes | None = None  # the status, as text: thousands of trees would cost memory and garbage collections
    status_ts: float = 0.0  # its `_ts`
    status_at: float = 0.0  # monotonic seconds
    is_printing: bool = False  # by its flags
    is_closed: bool = False  # the agent is there and its printer is not
    last_seen_at: datetime | None = None
    agent_connected: bool = False
    online_since: datetime | None = None  # when the present connection of its agent began
    commands: CommandLog = field(default_factory=CommandLog)
    pictures: dict[str, Picture] = field(default_factory=dict)
    last_detection: LiveDetection | None = None
    timelapse: Timelapse | None = None  # of the print whose video was built last, or is being built
    recalled: bool = False  # whether what was known of detection before a restart was looked up
    # What its agent last said of its print that changed nothing stored, and the record as it was then (realtime).
    fruitless: tuple[PrinterRecord, object] | None = None

    @property
    def status(self) -> Json | None:
        """The newest status; a tree of its own at each call."""
        return unpack(self.packed) if self.packed is not None else None

    def forget_status(self) -> None:
        self.packed, self.is_printing, self.is_closed = None, False, False

    def take_status(self, status: Json | None, clock: float, *, may_be_old: bool) -> bool:
        """Note what the agent says; True if clients see a difference.

        `may_be_old`: it came with an event out of an outbox, so an older `_ts` than ours is history, and nothing at
        all says nothing. A status without `_ts` is not kept (§3.3).
        """
        if status is None:
            if may_be_old:
                return False
            changed = self.packed is not None
            self.forget_status()
            return changed
        ts = status.get("_ts")
        if not ts:
            return False
        if may_be_old and self.packed is not None and _number(ts) < self.status_ts:
            return False
        self.packed, self.status_ts, self.status_at = pack(status), _number(ts), clock
        self.is_printing, self.is_closed = is_printing(status), is_closed(status)
        return True

    def expire_status(self, clock: float) -> bool:
        """Forget a status that is no news any more; True if it was forgotten just now."""
        if self.packed is None or clock - self.status_at < STATUS_LIFE:
            return False
        self.forget_status()
        return True

    @property
    def primary_picture(self) -> Picture | None:
        return next((picture for picture in self.pictures.values() if picture.is_primary), None)

    @property
    def detection(self) -> LiveDetection | None:
        """Of the current print."""
        job, found = self.record.current_print, self.last_detection
        return found if found is not None and job is not None and found.print_id == job.id else None

    def take_picture(self, picture: Picture) -> list[str]:
        """Note a picture; the paths of pictures that nobody shows any more."""
        dropped = []
        if picture.is_primary:  # another camera may have been the primary one
            for camera, other in list(self.pictures.items()):
                if other.is_primary and camera != picture.camera:
                    dropped.append(self.pictures.pop(camera).path)
        self.pictures.pop(picture.camera, None)
        self.pictures[picture.camera] = picture
        while len(self.pictures) > CAMERAS_KEPT:
            oldest = next(name for name, entry in self.pictures.items() if not entry.is_primary)
            dropped.append(self.pictures.pop(oldest).path)
        return [path for path in dropped if path != picture.path]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


class LivePrinters:
    def __init__(self) -> None:
        self._printers: dict[int, LivePrinter] = {}

    def get(self, printer_id: int) -> LivePrinter | None:
        return self._printers.get(printer_id)

    def all(self) -> list[LivePrinter]:
        return list(self._printers.values())

    def put(self, record: PrinterRecord) -> LivePrinter:
        """Note a record read from the store, unless a newer one is known."""
        known = self._printers.get(record.printer.id)
        if known is None:
            known = self._printers[record.printer.id] = LivePrinter(record)
        elif record.sequence >= known.record.sequence:
            known.record = record
        return known

    def remove(self, printer_id: int) -> None:
        self._printers.pop(printer_id, None)
