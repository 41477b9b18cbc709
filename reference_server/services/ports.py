"""What the services need of a store. `store/` implements it; tests may use any other.

A transaction is the unit of truth: what it did is there after a power cut, or nothing of it is. Every method may
raise StoreFailed. Methods block; the web side calls services in worker threads.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from reference_server.services.model import (
    ApiKey,
    EventClass,
    EventKind,
    GCodeFile,
    GCodeFolder,
    OAuthClient,
    Print,
    Printer,
    PrinterEvent,
    PrinterRecord,
    Session,
    SharedPrinter,
    User,
    VerificationCode,
)

if TYPE_CHECKING:
    from reference_server.services.alerts.model import AlertSettings, Channel, Delivery, DeliveryTry
    from reference_server.services.audit import AuditEntry
    from reference_server.services.detection.rows import DetectionRows
    from reference_server.services.fleet.ports import FleetRows
    from reference_server.services.notices import Notice, NoticeKind  # which know this module
    from reference_server.services.second_factor import SecondFactor
    from reference_server.services.timelapse.model import VideoJob
    from reference_server.services.tunnels import TunnelKey

class PrintFilter(str, Enum):
    """`filter` of GET /prints/ (seed 000)."""

    CANCELLED = "cancelled"
    FINISHED = "finished"
    NEED_ALERT_OVERWRITE = "need_alert_overwrite"
    NEED_PRINT_SHOT_FEEDBACK = "need_print_shot_feedback"


class Sorting(str, Enum):
    DATE_DESC = "date_desc"
    DATE_ASC = "date_asc"


@dataclass(frozen=True, slots=True)
class PrintQuery:
    user_id: int
    filter: PrintFilter | None = None
    sorting: Sorting = Sorting.DATE_DESC
    start: int = 0
    limit: int = 1000
    printer_ids: tuple[int, ...] | None = None
    feedback_needed: bool = False
    since: datetime | None = None
    before: datetime | None = None
    with_deleted: bool = False


@dataclass(frozen=True, slots=True)
class PrintFigures:
    """What statistics count of one print; `print_time` s, `filament_used` mm."""

    started_at: datetime
    finished_at: datetime | None
    cancelled_at: datetime | None
    print_time: float | None
    filament_used: float | None


@dataclass(frozen=True, slots=True)
class EventQuery:
    user_id: int
    kinds: tuple[EventKind, ...] | None = None
    classes: tuple[EventClass, ...] | None = None
    printer_id: int | None = None
    print_id: int | None = None
    start: int = 0
    limit: int = 12


@dataclass(frozen=True, slots=True)
class NoticeQuery:
    user_id: int
    kinds: tuple[NoticeKind, ...] | None = None
    printer_id: int | None = None
    print_id: int | None = None
    start: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    user_id: int
    channel_id: int | None = None
    notice_id: int | None = None
    start: int = 0
    limit: int = 50


class FileSorting(str, Enum):
    CREATED_DESC = "created_at_desc"
    CREATED_ASC = "created_at_asc"
    NAME_ASC = "filename_asc"
    NAME_DESC = "filename_desc"
    SIZE_ASC = "num_bytes_asc"
    SIZE_DESC = "num_bytes_desc"


class Anywhere(Enum):
    """A folder that does not matter (None is the top)."""

    ANYWHERE = "anywhere"


ANYWHERE = Anywhere.ANYWHERE


@dataclass(frozen=True, slots=True)
class FileQuery:
    """`folder_id` None: the top. `printer_id` None: files kept on the server. `text`: part of the name, in any case.
    Folders know neither size nor printer: they are sorted by name then."""

    user_id: int
    folder_id: int | Anywhere | None = ANYWHERE
    printer_id: int | None = None
    text: str = ""
    sorting: FileSorting = FileSorting.CREATED_DESC
    start: int = 0
    limit: int = 6


class Users(Protocol):
    def get(self, user_id: int) -> User | None: ...
    def by_login(self, login: str) -> tuple[User, str] | None:
        """The user with that name or e-mail address (any case), and the password's hash."""

    def count(self) -> int: ...
    def add(self, user: User, password_hash: str) -> User:
        """Raises Conflict when name or e-mail address are taken."""

    def password_hash(self, user_id: int) -> str | None: ...
    def set_password_hash(self, user_id: int, password_hash: str) -> None: ...
    def count_unseen_event(self, user_id: int) -> None: ...
    def save(self, user: User) -> None:
        """Raises Conflict when the e-mail address is taken."""


class Sessions(Protocol):
    def add(self, session: Session) -> None: ...
    def find(self, token_hash: str) -> Session | None: ...
    def save(self, session: Session) -> None: ...
    def of_user(self, user_id: int) -> Sequence[Session]:
        """The one used last comes first; expired ones may be among them."""

    def remove(self, token_hash: str) -> None: ...
    def remove_expired(self, now: datetime) -> None: ...


class ApiKeys(Protocol):
    def add(self, key: ApiKey) -> ApiKey: ...
    def find(self, key_hash: str) -> ApiKey | None: ...
    def get(self, key_id: int) -> ApiKey | None: ...
    def of_user(self, user_id: int) -> Sequence[ApiKey]: ...
    def save(self, key: ApiKey) -> None: ...


class Printers(Protocol):
    def get(self, printer_id: int) -> Printer | None:
        """Archived ones too, deleted ones not."""

    def by_token(self, auth_token: str) -> Printer | None:
        """Neither archived nor deleted."""

    def by_tokens(self, auth_tokens: Sequence[str]) -> Sequence[Printer]: ...
    def of_user(self, user_id: int) -> Sequence[Printer]:
        """Archived ones too, by id."""

    def printing(self) -> Sequence[int]:
        """Everybody's that have a current print; neither archived nor deleted."""

    def add(self, printer: Printer) -> Printer: ...
    def save(self, printer: Printer) -> None: ...
    def record(self, printer: Printer) -> PrinterRecord: ...
    def records(self, printers: Sequence[Printer]) -> Sequence[PrinterRecord]:
        """Of many at once, in few questions."""


class Prints(Protocol):
    def get(self, print_id: int) -> Print | None:
        """Not the deleted ones."""

    def by_ext_id(self, printer_id: int, ext_id: int) -> Print | None:
        """Deleted ones too: a print is never made twice."""

    def add(self, job: Print) -> Print: ...
    def save(self, job: Print) -> None: ...
    def find(self, query: PrintQuery) -> tuple[Sequence[Print], int]:
        """A page, and how many there are in all."""

    def of_file(self, file_id: int, limit: int) -> Sequence[Print]:
        """The newest prints of a file, deleted ones left out."""

    def figures(self, query: PrintQuery) -> Sequence[PrintFigures]:
        """Of all prints that fit, by the time of their start; `start` and `limit` do not count."""


class Events(Protocol):
    def add(self, event: PrinterEvent) -> PrinterEvent: ...
    def ended(self, print_id: int) -> PrinterEvent | None:
        """The ENDED event of a print."""

    def save(self, event: PrinterEvent) -> None: ...
    def find(self, query: EventQuery) -> Sequence[PrinterEvent]: ...
    def is_applied(self, printer_id: int, event_id: str) -> bool: ...
    def mark_applied(self, printer_id: int, event_id: str, now: datetime) -> None:
        """Remember the id of an agent's event; the last 4096 of a printer are kept."""

    def answer(self, printer_id: int, key: str) -> str | None:
        """What was answered to a request with that Idempotency-Key; the last 1024 of a printer are kept."""

    def keep_answer(self, printer_id: int, key: str, answer: str, now: datetime) -> None: ...


class Files(Protocol):
    def get(self, file_id: int) -> GCodeFile | None: ...
    def of_ids(self, file_ids: Collection[int]) -> Sequence[GCodeFile]:
        """Those that there are, in any order."""

    def match(self, user_id: int, printer_id: int, signature: str, safe_filename: str) -> GCodeFile | None:
        """A file with both, resident on that printer or in the cloud (wire-protocol.md §4)."""

    def of_user(self, user_id: int) -> Sequence[GCodeFile]: ...
    def find(self, query: FileQuery) -> tuple[Sequence[GCodeFile], int]:
        """A page, and how many there are in all."""

    def in_folders(self, folder_ids: Sequence[int]) -> Sequence[GCodeFile]: ...
    def same(self, file: GCodeFile) -> GCodeFile | None:
        """A file kept on the server with the same bytes and name in the same folder."""

    def count_kept(self, user_id: int) -> int:
        """Files kept on the server."""

    def add(self, file: GCodeFile) -> GCodeFile: ...
    def save(self, file: GCodeFile) -> None: ...


class Folders(Protocol):
    def get(self, folder_id: int) -> GCodeFolder | None: ...
    def named(self, user_id: int, parent_id: int | None, name: str) -> GCodeFolder | None: ...
    def find(self, query: FileQuery) -> tuple[Sequence[GCodeFolder], int]: ...
    def inside(self, folder_id: int) -> Sequence[int]:
        """Its own id and those of all folders below."""

    def count(self, user_id: int) -> int: ...
    def contents(self, folder_id: int) -> tuple[int, int]:
        """How many files and folders are directly in it."""

    def add(self, folder: GCodeFolder) -> GCodeFolder: ...
    def save(self, folder: GCodeFolder) -> None: ...
    def remove(self, folder_id: int) -> None:
        """With the folders below; their files are the caller's care."""


class SharedPrinters(Protocol):
    def get(self, share_id: int) -> SharedPrinter | None: ...
    def of_printer(self, printer_id: int) -> SharedPrinter | None: ...
    def by_token(self, share_token: str) -> SharedPrinter | None: ...
    def add(self, share: SharedPrinter) -> SharedPrinter: ...
    def remove(self, share_id: int) -> None: ...


class OAuthClients(Protocol):
    def all(self) -> Sequence[OAuthClient]: ...
    def by_client_id(self, client_id: str) -> OAuthClient | None: ...
    def add(self, client: OAuthClient) -> OAuthClient:
        """Raises Conflict when the id is taken."""

    def remove(self, row_id: int) -> bool: ...


class Codes(Protocol):
    def get(self, code_id: int) -> VerificationCode | None: ...
    def valid(self, user_id: int, printer_id: int | None, now: datetime) -> VerificationCode | None: ...
    def by_code(self, code: str, now: datetime) -> VerificationCode | None:
        """The unexpired one."""

    def add(self, code: VerificationCode) -> VerificationCode: ...
    def save(self, code: VerificationCode) -> None: ...
    def remove_older(self, before: datetime) -> None: ...


class Notices(Protocol):
    def add(self, notice: Notice) -> Notice: ...
    def get(self, notice_id: int) -> Notice | None: ...
    def after(self, notice_id: int, limit: int) -> Sequence[Notice]:
        """Those with a greater id, oldest first."""

    def newest_id(self) -> int:
        """0: there is none."""

    def latest(self, printer_id: int, kinds: Sequence[NoticeKind], limit: int) -> Sequence[Notice]:
        """A printer's notices of these kinds, newest first."""

    def last_of_each(self, kinds: Sequence[NoticeKind]) -> Sequence[Notice]:
        """Each printer's newest notice of these kinds."""

    def find(self, query: NoticeQuery) -> tuple[Sequence[Notice], int]:
        """A page, newest first, and how many there are in all."""

    def remove_older(self, before: datetime) -> None:
        """Those without a delivery that is still on its way."""


class Alerts(Protocol):
    """Channels, wishes and deliveries (services/alerts)."""

    def channel(self, channel_id: int) -> Channel | None: ...
    def channels_of(self, user_id: int) -> Sequence[Channel]: ...
    def add_channel(self, channel: Channel) -> Channel: ...
    def save_channel(self, channel: Channel) -> None: ...
    def remove_channel(self, channel_id: int) -> None: ...
    def settings(self, user_id: int) -> AlertSettings:
        """The defaults where a user has not said anything."""

    def save_settings(self, settings: AlertSettings) -> None: ...
    def cursor(self) -> int:
        """The notice up to which deliveries have been made."""

    def move_cursor(self, notice_id: int) -> None: ...
    def add_delivery(self, delivery: Delivery) -> Delivery: ...
    def delivery(self, delivery_id: int) -> Delivery | None: ...
    def save_delivery(self, delivery: Delivery) -> None: ...
    def queued(self, channel_id: int) -> int:
        """How many are on their way."""

    def due(self, now: datetime, limit: int, without: Sequence[int]) -> Sequence[Delivery]:
        """Of each channel and lane the oldest that is on its way, if its time has come; longest due first.
        `without`: channels to leave out."""

    def give_up(self, channel_id: int, reason: str, now: datetime) -> None:
        """Everything of that channel that is on its way has failed."""

    def add_try(self, attempt: DeliveryTry) -> None: ...
    def tries(self, delivery_ids: Sequence[int]) -> Sequence[DeliveryTry]:
        """Oldest first."""

    def find(self, query: DeliveryQuery) -> tuple[Sequence[Delivery], int]:
        """A page, newest first, and how many there are in all."""

    def remove_ended(self, before: datetime) -> None:
        """Deliveries that ended before."""

    def first_target(self, print_id: int, heater: str) -> float | None:
        """The target that a heater reached first in a print, °C."""

    def set_first_target(self, print_id: int, heater: str, target: float) -> None: ...


class SecondFactorStore(Protocol):
    def get(self, user_id: int) -> SecondFactor | None: ...
    def put(self, factor: SecondFactor) -> None: ...
    def remove(self, user_id: int) -> None:
        """With the recovery codes."""

    def set_recovery_codes(self, user_id: int, hashes: Sequence[str]) -> None: ...
    def use_recovery_code(self, user_id: int, code_hash: str, now: datetime) -> bool:
        """False: there is none, or it was used."""

    def recovery_codes_left(self, user_id: int) -> int: ...


class AuditStore(Protocol):
    def add(self, entry: AuditEntry) -> None:
        """The oldest ones go when there are too many."""

    def newest(self, start: int, limit: int, account_id: int | None = None) -> tuple[Sequence[AuditEntry], int]:
        """None: everybody's."""


class VideoJobRows(Protocol):
    def of_print(self, print_id: int) -> VideoJob | None: ...
    def of_prints(self, print_ids: Sequence[int]) -> Sequence[VideoJob]: ...
    def next(self, now: datetime) -> VideoJob | None:
        """The oldest that is queued or was being built, and whose time has come."""

    def put(self, job: VideoJob) -> None:
        """Added if its id is 0."""

    def remove(self, job_id: int) -> None: ...


class MediaRows(Protocol):
    """What is known of stored media, for their retention."""

    def kept(self) -> Sequence[Print]:
        """Prints that are over and have media of their own."""

    def running(self) -> Sequence[int]:
        """The current prints of all printers."""

    def unfinished(self) -> Sequence[int]:
        """Prints whose pictures still have a job."""

    def failed_since(self, since: datetime) -> Sequence[int]:
        """Prints whose video failed, after `since`."""

    def printer_ids(self) -> Sequence[int]: ...
    def print_ids(self) -> Sequence[int]: ...
    def event_images(self, print_id: int) -> Sequence[str]: ...
    def images(self, notices_since: datetime) -> Sequence[str]:
        """Every picture that an event shows, or a notice of after `notices_since`."""

    def forget_images_before(self, when: datetime) -> Sequence[str]:
        """Older events that belong to no print show no picture any more; the paths."""

    def archive(self, print_id: int, now: datetime) -> None:
        """The print and its events show no media any more."""


class TunnelRows(Protocol):
    """Printers' own web interfaces (services/tunnels.py)."""

    def ports(self) -> dict[int, int]:
        """Printer -> port."""

    def set_port(self, printer_id: int, port: int) -> None: ...
    def forget_port(self, printer_id: int) -> None: ...
    def keys_of(self, printer_id: int) -> Sequence[TunnelKey]: ...
    def key(self, key_id: int) -> TunnelKey | None: ...
    def key_by_login(self, login: str) -> TunnelKey | None: ...
    def add_key(self, key: TunnelKey) -> TunnelKey: ...
    def save_key(self, key: TunnelKey) -> None: ...
    def remove_key(self, key_id: int) -> None: ...


class EventImages(Protocol):
    def latest(self, printer: Printer, at: datetime) -> str | None:
        """A copy of the printer's latest picture, turned as its camera asks, in the media folder; None: there is none
        of that time."""


class Transaction(Protocol):
    """Everything the store keeps, as of one moment."""

    @property
    def users(self) -> Users: ...
    @property
    def sessions(self) -> Sessions: ...
    @property
    def api_keys(self) -> ApiKeys: ...
    @property
    def second_factors(self) -> SecondFactorStore: ...
    @property
    def audit(self) -> AuditStore: ...
    @property
    def printers(self) -> Printers: ...
    @property
    def prints(self) -> Prints: ...
    @property
    def events(self) -> Events: ...
    @property
    def files(self) -> Files: ...
    @property
    def codes(self) -> Codes: ...
    @property
    def folders(self) -> Folders: ...
    @property
    def shared_printers(self) -> SharedPrinters: ...
    @property
    def oauth_clients(self) -> OAuthClients: ...
    @property
    def notices(self) -> Notices: ...
    @property
    def detection(self) -> DetectionRows: ...
    @property
    def alerts(self) -> Alerts: ...
    @property
    def video_jobs(self) -> VideoJobRows: ...
    @property
    def media(self) -> MediaRows: ...
    @property
    def tunnels(self) -> TunnelRows: ...
    @property
    def fleet(self) -> FleetRows: ...


class Store(Protocol):
    def read(self) -> AbstractContextManager[Transaction]: ...
    def write(self) -> AbstractContextManager[Transaction]:
        """One writer at a time; committed when the block ends, undone when it raises."""
