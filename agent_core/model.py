"""What the agent knows of its printer, host-neutral and frozen; and the events by which a host tells it.

Units: °C, mm, cm³ (filament volume), seconds, bytes, percent for `completion`, factors where 1.0 = 100 %; times are
Unix seconds. None always means "not known". `wire/` freezes what deployed peers understand; this module may move, and
payload.py alone translates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Phase(Enum):
    """What the printer is doing; the value is the text that Obico clients know (wire-protocol.md §3.3)."""

    OFFLINE = "Offline"
    CONNECTING = "Connecting"
    OPERATIONAL = "Operational"
    STARTING = "Starting"
    PRINTING = "Printing"
    PAUSING = "Pausing"
    PAUSED = "Paused"
    RESUMING = "Resuming"
    FINISHING = "Finishing"
    CANCELLING = "Cancelling"
    DOWNLOADING = "G-Code Downloading"
    ERROR = "Error"

    @property
    def active(self) -> bool:
        """Whether a print is under way."""
        return self in _ACTIVE

    @property
    def operational(self) -> bool:
        return self in _ACTIVE or self is Phase.OPERATIONAL


_ACTIVE = frozenset(
    {
        Phase.STARTING, Phase.PRINTING, Phase.PAUSING, Phase.PAUSED,
        Phase.RESUMING, Phase.FINISHING, Phase.CANCELLING,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Temperature:
    """`target` None: a sensor; 0: a heater that is off."""

    actual: float | None = None
    target: float | None = None
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class FilamentNeed:
    """Length in mm, volume in cm³."""

    length: float | None
    volume: float | None


@dataclass(frozen=True, slots=True)
class Job:
    """The file that is selected or printed, and what is known of it beforehand."""

    name: str | None = None
    path: str | None = None
    display: str | None = None
    origin: str | None = None
    size: int | None = None
    date: int | None = None
    user: str | None = None
    estimated_print_time: float | None = None
    average_print_time: float | None = None
    last_print_time: float | None = None
    filament: Mapping[str, FilamentNeed] = field(default_factory=dict)
    hash: str | None = None
    signature: str | None = None
    """How the server recognises the file: `md5:<hash>` (OctoPrint), `ts:<modified>` (Klipper); §4."""


@dataclass(frozen=True, slots=True)
class Progress:
    completion: float | None = None
    filepos: int | None = None
    print_time: float | None = None
    print_time_includes_pauses: bool = False
    """Klipper's clock runs on in a pause; payload.py then subtracts the pauses that were seen."""
    print_time_left: float | None = None
    print_time_left_origin: str | None = None
    filament_used: float | None = None


@dataclass(frozen=True, slots=True)
class PrintObjects:
    """The parts on the plate, by the names that the slicer gave them; what is excluded is not printed on."""

    current: str | None
    names: tuple[str, ...]
    excluded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PrinterReport:
    """Everything a host knows of its printer at one moment; a new one replaces the last.

    `text` overrides the phase's own text where the host has a better word (`Detecting serial connection`).
    `printing` overrides the flag of that name, which gates failure detection; None: true in PRINTING only.
    """

    phase: Phase
    text: str | None = None
    error: str | None = None
    printing: bool | None = None
    ready: bool | None = None
    sd_ready: bool = False
    error_flag: bool = False
    closed_or_error: bool = False
    job: Job = field(default_factory=Job)
    progress: Progress = field(default_factory=Progress)
    temperatures: Mapping[str, Temperature] = field(default_factory=dict)
    z: float | None = None
    layer: int | None = None
    total_layers: int | None = None
    object_height: float | None = None
    speed_factor: float | None = None
    flow_factor: float | None = None
    fan_speed: float | None = None
    message: str | None = None
    user_interaction_required: bool | None = None
    objects: PrintObjects | None = None


class PrintOutcome(Enum):
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


# --- events: what a host posts to the agent -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PrinterReported:
    """Newest wins: a report that still waits in the inbox is replaced by a newer one."""

    report: PrinterReport
    at: float
    urgent: bool = False
    """True where a person waits for it (a change of phase): it is sent at once."""


@dataclass(frozen=True, slots=True)
class PrinterUnknown:
    """The host cannot tell (Moonraker or Klippy away): the printer reads as offline, its print as unknown."""

    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class PrintBegan:
    """A print started at `at`; `ts` (> 0, whole Unix seconds) identifies it and stays fixed."""

    ts: int
    filename: str
    at: float


@dataclass(frozen=True, slots=True)
class PrintFound:
    """A print was found under way (agent started, host came back): no PrintStarted, but its identity is known."""

    ts: int
    filename: str
    at: float
    paused: bool = False


@dataclass(frozen=True, slots=True)
class PrintPaused:
    at: float


@dataclass(frozen=True, slots=True)
class PrintResumed:
    at: float


@dataclass(frozen=True, slots=True)
class PrintCancelling:
    at: float


@dataclass(frozen=True, slots=True)
class PrintEnded:
    """The current print is over, truly at `at` (which may be long ago); `report` = its last figures, if known."""

    outcome: PrintOutcome
    at: float
    reason: str | None = None
    report: PrinterReport | None = None


@dataclass(frozen=True, slots=True)
class NothingPrints:
    """The host knows for certain that nothing prints."""

    at: float


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """A camera as clients see it; how it is fetched stands in config.CameraConfig."""

    name: str
    primary: bool = False
    nozzle: bool = False
    flip_h: bool = False
    flip_v: bool = False
    rotation: int = 0
    ratio: str = "4:3"


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The slow-moving things that go into the `settings` block; None: not known (yet)."""

    cameras: tuple[CameraInfo, ...] | None = None
    temperature_profiles: tuple[Mapping[str, Any], ...] | None = None
    platform_uname: tuple[str, ...] | None = None
    installed_plugins: tuple[str, ...] | None = None
    printer_metadata: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SettingsReported:
    settings: HostSettings
    at: float


AGAIN_SECONDS = 1800.0
"""Between two events of one topic: the public agents' own pace (wire-protocol.md §3.6)."""

EACH_TIME_SECONDS = 60.0
"""The same for what a person has just done to a hot machine: told each time, short of a fault of ours that repeats."""


@dataclass(frozen=True, slots=True)
class AlertRaised:
    """Something a person should know now, beside the print's life cycle (homing lost in a pause, …).

    `kind` is the event type on the wire (`PRINTER_ERROR`, `FILAMENT_CHANGE`, …), `event_class` INFO | WARNING | ERROR.
    Of one `topic` (None: of one title) the next is told `every` seconds after the last at the earliest, or in another
    print.
    """

    title: str
    text: str
    at: float
    kind: str = "PRINTER_ERROR"
    event_class: str = "WARNING"
    topic: str | None = None
    every: float = AGAIN_SECONDS


@dataclass(frozen=True, slots=True)
class Download:
    """A file that is being fetched from the server to be printed; sizes in bytes, `total` None: not known."""

    name: str
    done: int = 0
    total: int | None = None

    @property
    def percent(self) -> int | None:
        """Whole, and 100 only when all is there."""
        return min(100, self.done * 100 // self.total) if self.total else None


@dataclass(frozen=True, slots=True)
class ExpectedPrint:
    """A print that the agent itself is about to start for a farm's order: what the host's word of it will lack."""

    path: str
    g_code_file_id: int | None
    order: str

    def is_it(self, filename: str) -> bool:
        """By a print's file name, with the folder (Klipper) or without (OctoPrint)."""
        return filename in {self.path, self.path.rpartition("/")[2]}


HostEvent = (
    PrinterReported | PrinterUnknown | PrintBegan | PrintFound | PrintPaused | PrintResumed | PrintCancelling
    | PrintEnded | NothingPrints | SettingsReported | AlertRaised
)  # fmt: skip


# --- what survives a restart --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ActivePrint:
    """The print under way, as kept on disk (store key `print`), so that a restart keeps its identity.

    `paused_seconds` sums the ended pauses; `paused_at` is the begin of a running one.
    """

    ts: int
    filename: str
    began_at: float
    paused_seconds: float = 0.0
    paused_at: float | None = None
    g_code_file_id: int | None = None
    ending: bool = False
    """Set with PrintCancelling: an end without further word is then a cancel."""

    def paused_until(self, now: float) -> float:
        """Seconds spent in pauses up to `now`."""
        return self.paused_seconds + (max(0.0, now - self.paused_at) if self.paused_at is not None else 0.0)

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, wire: Mapping[str, Any]) -> ActivePrint | None:
        """None for anything that is not what to_json wrote: a damaged record is no print."""
        try:
            return cls(
                ts=int(wire["ts"]),
                filename=str(wire["filename"]),
                began_at=float(wire["began_at"]),
                paused_seconds=float(wire.get("paused_seconds") or 0.0),
                paused_at=None if wire.get("paused_at") is None else float(wire["paused_at"]),
                g_code_file_id=None if wire.get("g_code_file_id") is None else int(wire["g_code_file_id"]),
                ending=bool(wire.get("ending")),
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class LinkState:
    """How it stands with the server, for people: a settings page, `status`, the log.

    `needs_person`: waiting will not help (token revoked, another agent uses it, TLS refused); `reason` then says what
    to do. `since`: Unix seconds at which `connected` took its value.
    """

    connected: bool
    since: float
    reason: str | None = None
    needs_person: bool = False
    printer_name: str | None = None
    server_name: str | None = None
    queued_events: int = 0
