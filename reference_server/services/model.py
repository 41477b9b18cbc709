"""The things the server keeps, as frozen values. Times are aware UTC datetimes. `id` 0 = not stored yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

Json = Mapping[str, Any]


class ActionOnFailure(str, Enum):
    """What a clear failure does to the print; an alert is sent in any case. CANCEL is ours."""

    PAUSE = "PAUSE"
    NONE = "NONE"
    CANCEL = "CANCEL"


class AlertOverwrite(str, Enum):
    FAILED = "FAILED"
    NOT_FAILED = "NOT_FAILED"


class EndedReason(str, Enum):
    """How a print ended. LOST: it was over when the server looked again, and nobody had told how."""

    DONE = "done"
    CANCELLED = "cancelled"
    ERROR = "error"
    LOST = "lost"


class EventKind(str, Enum):
    """`event_type` of a PrinterEvent (seed 003)."""

    STARTED = "STARTED"
    ENDED = "ENDED"
    PAUSED = "PAUSED"
    RESUMED = "RESUMED"
    FAILURE_ALERTED = "FAILURE_ALERTED"
    ALERT_MUTED = "ALERT_MUTED"
    ALERT_UNMUTED = "ALERT_UNMUTED"
    FILAMENT_CHANGE = "FILAMENT_CHANGE"
    PRINTER_ERROR = "PRINTER_ERROR"


class EventClass(str, Enum):
    ERROR = "ERROR"
    WARNING = "WARNING"
    SUCCESS = "SUCCESS"
    INFO = "INFO"


class Scope(str, Enum):
    """What an API key may do. ADMIN: keys, account, linking, printers' tokens, the audit log."""

    READ = "read"
    CONTROL = "control"
    WRITE = "write"
    ADMIN = "admin"


Scopes = tuple[Scope, ...]
ALL_SCOPES: Scopes = tuple(Scope)


@dataclass(frozen=True, slots=True)
class User:
    """`dh_balance` None: no limit (self-hosted); 0 or less stops watching (rest-decisions.md)."""

    id: int
    name: str
    email: str
    is_owner: bool
    created_at: datetime
    consented_at: datetime | None = None
    dh_balance: float | None = None
    unseen_printer_events: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """`client`: what the browser calls itself; `address`: where the log-in came from."""

    token_hash: str
    user_id: int
    expires_at: datetime
    refreshed_at: datetime
    created_at: datetime
    address: str = ""
    client: str = ""

    @property
    def public_id(self) -> str:
        """Names the session to its user; of no use for anything else."""
        return self.token_hash[:16]


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: int
    user_id: int
    key_hash: str
    name: str
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    scopes: Scopes = ALL_SCOPES
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Printer:
    """A printer with its owner's wishes (lengths in mm) and what its agent said of itself (`settings`).

    `detection_warmup_secs`: of each print, not judged; `detection_snooze_secs`: after a resume, without alert or pause.
    """

    id: int
    user_id: int
    name: str
    auth_token: str
    created_at: datetime
    archived_at: datetime | None = None
    deleted_at: datetime | None = None
    action_on_failure: ActionOnFailure = ActionOnFailure.PAUSE
    watching_enabled: bool = True
    tools_off_on_pause: bool = True
    bed_off_on_pause: bool = False
    retract_on_pause: float = 6.5
    lift_z_on_pause: float = 2.5
    detective_sensitivity: float = 1.0
    min_timelapse_secs_on_finish: int = 600
    min_timelapse_secs_on_cancel: int = 300
    agent_name: str | None = None
    agent_version: str | None = None
    settings: Json = field(default_factory=dict)
    current_print_id: int | None = None
    detection_warmup_secs: int = 0
    detection_snooze_secs: int = 0


@dataclass(frozen=True, slots=True)
class Print:
    """One print job. `ext_id`: the agent's `current_print_ts`; `print_time` s, `filament_used` mm."""

    id: int
    user_id: int
    printer_id: int
    ext_id: int
    filename: str
    started_at: datetime
    g_code_file_id: int | None = None
    finished_at: datetime | None = None
    cancelled_at: datetime | None = None
    ended_reason: EndedReason | None = None
    error_text: str | None = None
    uploaded_at: datetime | None = None
    alerted_at: datetime | None = None
    alert_acknowledged_at: datetime | None = None
    alert_muted_at: datetime | None = None
    alert_overwrite: AlertOverwrite | None = None
    paused_at: datetime | None = None
    filament_used: float | None = None
    print_time: float | None = None
    access_consented_at: datetime | None = None
    video_archived_at: datetime | None = None
    video_path: str | None = None
    tagged_video_path: str | None = None
    poster_path: str | None = None
    deleted_at: datetime | None = None

    @property
    def ended_at(self) -> datetime | None:
        return self.finished_at or self.cancelled_at

    @property
    def ended(self) -> bool:
        """Over for good; a cancelled print that is still the printer's current one counts as ended too."""
        return self.ended_at is not None


@dataclass(frozen=True, slots=True)
class PrinterEvent:
    id: int
    user_id: int
    printer_id: int
    print_id: int | None
    event_type: EventKind
    event_class: EventClass
    event_title: str | None
    event_text: str | None
    created_at: datetime
    image_path: str | None = None
    info_url: str | None = None


@dataclass(frozen=True, slots=True)
class GCodeFile:
    """A file a printer can print; `filament_total` mm, `estimated_time` s.

    Resident on a printer: `url` is its path on the agent, and `agent_signature` is the agent's. Kept on the server
    ("cloud file"): `media_path` is where in the media folder, `sha256` of its bytes in hex, `agent_signature` empty
    until an agent has fetched it. `thumbnails`: media paths, the largest first.
    """

    id: int
    user_id: int
    resident_printer_id: int | None
    filename: str
    safe_filename: str
    agent_signature: str
    url: str | None
    num_bytes: int | None
    created_at: datetime
    updated_at: datetime
    filament_total: float | None = None
    estimated_time: float | None = None
    deleted_at: datetime | None = None
    parent_folder_id: int | None = None
    media_path: str | None = None
    sha256: str | None = None
    details: Json | None = None
    thumbnails: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GCodeFolder:
    id: int
    user_id: int
    parent_folder_id: int | None
    name: str
    safe_name: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SharedPrinter:
    """Whoever has `share_token` (36 hex digits) may look at the printer."""

    id: int
    user_id: int
    printer_id: int
    share_token: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A program that may ask for a key (`/o/authorize`), and the addresses to which it may be sent."""

    id: int
    client_id: str
    name: str
    redirect_uris: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class VerificationCode:
    """A six-digit code (wire-protocol.md §2.1); `printer_id` set: links that printer anew."""

    id: int
    user_id: int
    printer_id: int | None
    code: str
    created_at: datetime
    expired_at: datetime
    verified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PrinterRecord:
    """A printer with what belongs to it, as of commit number `sequence` (a larger one is newer)."""

    printer: Printer
    current_print: Print | None
    dh_balance: float | None
    sequence: int
